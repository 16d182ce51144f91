"""How functions are written.

Owns the calling convention. A function that is called where it is known, a **direct** one, takes itself when it
captures anything, the number of open calls, and its arguments as they lie best. Functions that are values are called
through the table with themselves and words, or with one vector of all arguments when they take more than
`PACKED_MIN - 1` or any number; they find how many more calls may be open in a cell. A function that is both is written
once, directly, with a short one in front.
"""

from __future__ import annotations

from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.kinds import Kind
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.opcodes import I32, I64
from cloister.lang.wasm_engine.compiler.conversions import convert
from cloister.lang.wasm_engine.compiler.generator import WRITERS, FunctionFrame, Generator, WrittenFunction
from cloister.lang.wasm_engine.compiler.variables import (
    assign,
    local_of,
    new_cells,
    parameters_of,
    push_captured,
)
from cloister.lang.wasm_engine.compiler.writer import TYPES, Rep, Symbol, Writer
from cloister.lang.wasm_engine.layout import CODE_START, DEPTH

PACKED_MIN: Final = 5
"""Functions of so many parameters get their arguments as a vector when they are called as values."""

_REPS: Final = {Kind.INTEGER: Rep.INTEGER, Kind.FLOAT: Rep.FLOAT, Kind.BOOLEAN: Rep.CONDITION}


def result_rep(g: Generator, node: core.Lambda) -> Rep:
    """Return how a direct function leaves its value."""
    return _REPS.get(g.kinds.of_result(node), Rep.WORD)


def is_packed(node: core.Lambda) -> bool:
    """Say whether a function gets its arguments as a vector when it is called as a value."""
    return node.rest is not None or len(node.parameters) >= PACKED_MIN


def direct_symbol(g: Generator, node: core.Lambda) -> Symbol:
    """Return the name of a direct function, also before it is written."""
    return Symbol("plan", f"f{g.captures.number(node)}")


def code_of(g: Generator, node: core.Lambda) -> int:
    """Return the index in the table of a function as a value, also before it is written.

    One that is only ever called directly has none; its value is but a sign that it is there.
    """
    if g.facts.is_closed(node):
        return 0
    symbol = Symbol("plan", f"g{g.captures.number(node)}")
    if symbol not in g.codes:
        least = len(node.parameters)
        g.codes[symbol] = len(g.codes), node.name, f"at least {least}" if node.rest else str(least)
    return CODE_START + g.codes[symbol][0]


def direct_parameters(g: Generator, node: core.Lambda) -> tuple[list[Rep], list[core.Variable]]:
    """Return how the arguments of a direct function lie, and the variables they are."""
    variables = [*node.parameters, *((node.rest,) if node.rest else ())]
    return [Rep.WORD if each is node.rest else g.rep_of(each) for each in variables], variables


def _write_lambda(g: Generator, node: core.Lambda, want: Rep | None, tail: bool) -> Rep | None:
    del tail
    is_known = g.facts.is_known(node)
    if is_known:
        _write_direct(g, node)
        if not g.facts.is_closed(node):
            _write_front(g, node)
    else:
        _write_value_only(g, node)
    if want is None:
        return None
    push_closure(g, node)
    return Rep.WORD


def push_closure(g: Generator, node: core.Lambda) -> None:
    """Push a function as a value, made here."""
    code, parameters = code_of(g, node), parameters_of(node)
    captured = g.captures.captured(node)
    address = g.w.scratch("closure", I32)
    g.w.add(op.i32_const(code), op.i32_const(parameters), op.i32_const(len(captured)))
    g.runtime("new_closure")
    g.w.set(address)
    for position, variable in enumerate(captured):
        g.w.get(address)
        _push_for_capture(g, variable)
        g.w.add(op.store("store_i64", 16 + position * 8))
    g.w.get(address)
    g.w.add(op.I64_EXTEND_I32_U)


def _push_for_capture(g: Generator, variable: core.Variable) -> None:
    from cloister.lang.wasm_engine.compiler.variables import push_variable  # noqa: PLC0415

    if variable in g.captures.cells:
        if variable in g.f.locals:
            g.w.get(g.f.locals[variable])
        else:
            push_captured(g, variable)
        return
    convert(g.w, push_variable(g, variable), Rep.WORD)


# Bodies


def _write_direct(g: Generator, node: core.Lambda) -> None:
    reps, variables = direct_parameters(g, node)
    has_self = g.captures.has_self(node)
    types = (*((I64,) if has_self else ()), I32, *(TYPES[rep] for rep in reps))
    result = result_rep(g, node)
    frame = FunctionFrame(node, Writer(types), result, depth=int(has_self), own=0 if has_self else None)
    first = len(types) - len(reps)
    with g.function(frame):
        kept = _take_parameters(g, reps, variables, first)
        _open_call(g, node)
        _write_body(g, node, result)
    results = (TYPES[result],)
    g.written.append(
        WrittenFunction(
            direct_symbol(g, node), types, results, frame.writer, node.name, kept,
            is_function=True, is_value=not g.facts.is_closed(node),
        )
    )  # fmt: skip


def _take_parameters(
    g: Generator, reps: list[Rep], variables: list[core.Variable], first: int
) -> list[tuple[int, int]]:
    """Bind parameters to the locals they arrive in; returns those that are words with where they are kept."""
    kept = []
    if g.f.own is not None:
        kept.append((g.f.own, g.w.slot()))
    for number, (rep, variable) in enumerate(zip(reps, variables, strict=True)):
        g.f.locals[variable] = first + number
        if rep is Rep.WORD:
            slot = g.f.slots[variable] = g.w.slot()
            kept.append((first + number, slot))
    return kept


def _open_call(g: Generator, node: core.Lambda) -> None:
    """Refuse a call that is nested too deep; one that calls nothing further need not look."""
    g.w.place = g.places.setdefault((node.start, node.end), len(g.places))
    depth = read_depth(g, less=1) if g.f.depth is None else g.f.depth
    if not g.facts.is_leaf(node):
        g.w.get(depth)
        g.w.add(op.i32_const(0), op.I32_LT_S)
        with g.w.block(op.IF, op.EMPTY):
            g.w.add(op.i32_const(2))
            g.runtime("limit_reached", allocates=False)
            g.w.add(op.UNREACHABLE)  # said because the code behind is better for it


def read_depth(g: Generator, less: int) -> int:
    """Read how many more calls may be open from its cell; returns the local that says so."""
    depth = g.f.depth = g.w.local(I32)
    g.w.add(op.i32_const(0), op.load("load_i32", DEPTH), op.i32_const(less), op.I32_SUB)
    g.w.set(depth)
    return depth


def _write_body(g: Generator, node: core.Lambda, result: Rep) -> None:
    new_cells(g, g.captures.cells_of(node))
    g.emit(node.body, result, tail=True)


def _write_value_only(g: Generator, node: core.Lambda) -> None:
    """Write a function that is only ever called as a value."""
    reps, variables = direct_parameters(g, node)
    packed = is_packed(node)
    types = (I64, I64) if packed else (I64,) * (1 + len(reps))
    frame = FunctionFrame(node, Writer(types), Rep.WORD, own=0)
    with g.function(frame):
        kept = [(0, g.w.slot())]
        _open_call(g, node)
        if packed:
            kept.append((1, g.w.slot()))
            _unpack(g, node, 1, variables)
        else:
            kept = _take_parameters(g, [Rep.WORD] * len(reps), variables, 1)
        _write_body(g, node, Rep.WORD)
    code_of(g, node)
    symbol = Symbol("plan", f"g{g.captures.number(node)}")
    g.written.append(
        WrittenFunction(symbol, types, (I64,), frame.writer, node.name, kept, is_function=True, is_value=True)
    )


def _unpack(g: Generator, node: core.Lambda, vector: int, variables: list[core.Variable]) -> None:
    """Assign parameters from the vector of all arguments, whose number is right."""
    for position, variable in enumerate(variables):
        local_of(g, variable)
        g.w.get(vector)
        g.w.add(op.i32_const(position))
        if variable is node.rest:
            g.runtime("rest_arguments")
        else:
            g.runtime("vector_at", allocates=False)
            convert(g.w, Rep.WORD, g.rep_of(variable))
        assign(g, variable)


def _write_front(g: Generator, node: core.Lambda) -> None:
    """Write what callers of a value see of a function that is called directly too."""
    reps, variables = direct_parameters(g, node)
    packed = is_packed(node)
    types = (I64, I64) if packed else (I64,) * (1 + len(reps))
    frame = FunctionFrame(node, Writer(types), Rep.WORD)
    w = frame.writer
    with g.function(frame):
        w.place = g.places.setdefault((node.start, node.end), len(g.places))
        if g.captures.has_self(node):
            w.get(0)
        w.add(op.i32_const(0), op.load("load_i32", DEPTH), op.i32_const(1), op.I32_SUB)
        for position, (rep, variable) in enumerate(zip(reps, variables, strict=True)):
            if packed:
                w.get(1)
                w.add(op.i32_const(position))
                g.runtime("rest_arguments" if variable is node.rest else "vector_at")
            else:
                w.get(1 + position)
            convert(w, Rep.WORD, rep)
        result = result_rep(g, node)
        w.call(direct_symbol(g, node), tail=result is Rep.WORD)
        convert(w, result, Rep.WORD)
    symbol = Symbol("plan", f"g{g.captures.number(node)}")
    g.written.append(WrittenFunction(symbol, types, (I64,), w, None, []))


WRITERS.update({core.Lambda: _write_lambda})
