"""How variables are read and assigned.

Owns the five places a value can be: a local of the machine, an address, a cell, a captured word, or nowhere, when a
variable always holds a function that captures nothing.
"""

from __future__ import annotations

from cloister.lang import core
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.opcodes import I64
from cloister.lang.wasm_engine.compiler.generator import WRITERS, Generator
from cloister.lang.wasm_engine.compiler.writer import TYPES, Rep
from cloister.lang.wasm_engine.layout import ASK_UNDEFINED, UNSET

CAPTURED_AT = 16
CELL_VALUE_AT = 8

_LOADS = {Rep.WORD: "load_i64", Rep.INTEGER: "load_i64", Rep.FLOAT: "load_f64", Rep.CONDITION: "load_i32"}
_STORES = {Rep.WORD: "store_i64", Rep.INTEGER: "store_i64", Rep.FLOAT: "store_f64", Rep.CONDITION: "store_i32"}


def push_variable(g: Generator, variable: core.Variable) -> Rep:
    """Push the value of a variable, whatever it is, and return how it lies."""
    known = g.facts.known(variable)
    if known is not None and g.captures.is_constant(variable):
        from cloister.lang.wasm_engine.compiler.functions import code_of  # noqa: PLC0415 - functions read variables

        g.w.add(op.i64_const(g.constants.closure(code_of(g, known), parameters_of(known))))
        return Rep.WORD
    if variable in g.statics:
        rep = g.rep_of(variable)
        g.w.add(op.i32_const(0), op.load(_LOADS[rep], g.statics[variable]))
        return rep
    if variable in g.f.locals:
        g.w.get(g.f.locals[variable])
        if variable in g.captures.cells:
            g.w.add(op.I32_WRAP_I64, op.load("load_i64", CELL_VALUE_AT))
            return Rep.WORD
        return g.rep_of(variable)
    push_captured(g, variable)
    if variable in g.captures.cells and not _is_own(g, variable):
        g.w.add(op.I32_WRAP_I64, op.load("load_i64", CELL_VALUE_AT))
    return Rep.WORD


def _is_own(g: Generator, variable: core.Variable) -> bool:
    node = g.f.node
    return node is not None and g.facts.known(variable) is node and g.captures.position(node, variable) is None


def push_captured(g: Generator, variable: core.Variable) -> None:
    """Push what the present function, or the one about to be made, captures of a variable: its word or its cell."""
    node = g.f.node
    position = g.captures.position(node, variable) if node is not None else None
    if g.f.own is None or (position is None and not _is_own(g, variable)):
        raise AssertionError(f"{variable.name} is neither here nor captured")
    if position is None:
        g.w.get(g.f.own)
        return
    g.w.get(g.f.own)
    g.w.add(op.I32_WRAP_I64, op.load("load_i64", CAPTURED_AT + position * 8))


def assign(g: Generator, variable: core.Variable) -> None:
    """Pop the value of a variable, which lies as `Generator.rep_of` says."""
    rep = g.rep_of(variable)
    if variable in g.statics:
        value = g.w.local(TYPES[rep])
        g.w.set(value)
        g.w.add(op.i32_const(0))
        g.w.get(value)
        g.w.add(op.store(_STORES[rep], g.statics[variable]))
        return
    if variable in g.captures.cells:
        value = g.w.local(I64)
        g.w.set(value)
        g.w.get(g.f.locals[variable])
        g.w.add(op.I32_WRAP_I64)
        g.w.get(value)
        g.w.add(op.store("store_i64", CELL_VALUE_AT))
        return
    local = local_of(g, variable)
    g.w.set(local)
    if rep is Rep.WORD:
        g.w.keep(local, g.f.slots[variable])


def local_of(g: Generator, variable: core.Variable) -> int:
    """Return the local of a variable of the present function; a word is kept as well."""
    local = g.f.locals.get(variable)
    if local is None:
        rep = g.rep_of(variable)
        is_cell = variable in g.captures.cells
        local = g.f.locals[variable] = g.w.local(I64 if is_cell else TYPES[rep])
        if is_cell or rep is Rep.WORD:
            g.f.slots[variable] = g.w.slot()
    return local


def new_cells(g: Generator, variables: list[core.Variable]) -> None:
    """Make the cells of variables anew."""
    for variable in variables:
        local = local_of(g, variable)
        g.runtime("new_cell")
        g.w.set(local)
        g.w.keep(local, g.f.slots[variable])


def mark_unset(g: Generator, variable: core.Variable) -> None:
    """Note that a variable is not assigned yet."""
    if not g.captures.is_constant(variable):
        g.w.add(op.i64_const(UNSET))
        assign(g, variable)


def parameters_of(node: core.Lambda) -> int:
    """Return how a closure says which arguments it takes."""
    return len(node.parameters) | (1 << 16 if node.rest else 0)


def _local(g: Generator, node: core.Local, want: Rep | None, tail: bool) -> Rep | None:
    del tail
    rep = push_variable(g, node.variable)
    if node.checked:
        require_set(g, node.variable)
    del want
    return rep


def require_set(g: Generator, variable: core.Variable) -> None:
    """Refuse the word on top of the stack when it says that a variable was not assigned."""
    value = g.w.local(I64)
    g.w.tee(value)
    g.w.add(op.i64_const(UNSET), op.I64_EQ)
    with g.w.block(op.IF, op.EMPTY):
        refuse_unset(g, variable)
    g.w.get(value)


def refuse_unset(g: Generator, variable: core.Variable) -> None:
    """Raise the error for a variable that was not assigned."""
    g.w.add(op.i32_const(ASK_UNDEFINED))
    g.constant(variable.name)
    g.runtime("fallback1")
    g.w.add(op.DROP, op.UNREACHABLE)


def _latest(g: Generator, node: core.Latest, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    with g.w.block(op.BLOCK, bytes((I64,))) as found:
        for variable in node.variables:
            value = g.w.local(I64)
            push_variable(g, variable)
            g.w.tee(value)
            g.w.get(value)
            g.w.add(op.i64_const(UNSET), op.I64_NE)
            g.w.branch(found, op.BR_IF)
            g.w.add(op.DROP)
        refuse_unset(g, node.variables[0])
    return Rep.WORD


WRITERS.update({core.Local: _local, core.Latest: _latest})
