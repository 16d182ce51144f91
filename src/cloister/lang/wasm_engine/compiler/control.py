"""How binding, choice and loops are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.ranges import narrowed
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.module import block_type
from cloister.lang.wasm_engine.binary.opcodes import I32, I64
from cloister.lang.wasm_engine.compiler.conversions import convert
from cloister.lang.wasm_engine.compiler.generator import WORD_IS_TRUE, WRITERS, Generator, LoopFrame
from cloister.lang.wasm_engine.compiler.variables import (
    assign,
    local_of,
    mark_unset,
    new_cells,
    push_variable,
)
from cloister.lang.wasm_engine.compiler.writer import SAFEPOINT, TYPES, Rep
from cloister.lang.wasm_engine.layout import NIL


def result_type(want: Rep | None) -> bytes:
    """Return the type of a block that leaves a value as it is wanted."""
    return block_type(() if want is None else (TYPES[want],))


def bind(g: Generator, variable: core.Variable, value: core.Node) -> None:
    """Write a value and give it to a variable."""
    if isinstance(value, core.Lambda) and g.captures.is_constant(variable):
        g.emit(value, None)
        return
    g.emit(value, g.rep_of(variable))
    assign(g, variable)


def _let(g: Generator, node: core.Let, want: Rep | None, tail: bool) -> Rep | None:
    for variable, value in node.bindings:
        if variable in g.captures.cells:
            new_cells(g, [variable])
        bind(g, variable, value)
    g.emit(node.body, want, tail=tail)
    return want


def _define(g: Generator, node: core.Define, want: Rep | None, tail: bool) -> Rep | None:
    del tail
    bind(g, node.variable, node.value)
    return None if want is None else push_variable(g, node.variable)


def _sequence(g: Generator, node: core.Sequence, want: Rep | None, tail: bool) -> Rep | None:
    for variable in node.unset:
        mark_unset(g, variable)
    for item in node.items[:-1]:
        g.emit(item, None)
    if not node.items:
        if want is None:
            return None
        g.w.add(op.i64_const(NIL))
        return Rep.WORD
    g.emit(node.items[-1], want, tail=tail)
    return want


def _branch(g: Generator, node: core.Branch, want: Rep | None, tail: bool) -> Rep | None:
    ranges = g.ranges
    opened = 0
    kind = result_type(want)
    for test, body in node.clauses:
        g.test(test)
        before = g.ranges
        g.w.add(op.IF, kind)
        g.w.labels += 1
        opened += 1
        g.ranges = narrowed(g.kinds, before, test, outcome=True)
        g.emit(body, want, tail=tail)
        g.ranges = narrowed(g.kinds, before, test, outcome=False)
        g.w.add(op.ELSE)
    g.emit(node.otherwise, want, tail=tail)
    g.w.add(op.END * opened)
    g.w.labels -= opened
    g.ranges = ranges
    return want


def _logic(g: Generator, node: core.Logic, want: Rep | None, tail: bool) -> Rep | None:
    rep = want if want is not None else g.natural(node)
    value = g.w.local(TYPES[rep])
    with g.w.block(op.BLOCK, result_type(rep)) as decided:
        for item in node.items[:-1]:
            g.emit(item, rep)
            g.w.tee(value)
            g.w.get(value)
            _truth(g, rep)
            if node.is_and:
                g.w.add(op.I32_EQZ)
            g.w.branch(decided, op.BR_IF)
            g.w.add(op.DROP)
        g.emit(node.items[-1], rep, tail=tail)
    return rep


def _truth(g: Generator, rep: Rep) -> None:
    """Turn the value on top of the stack into whether it is neither false nor nil."""
    if rep is Rep.WORD:
        g.w.add(*WORD_IS_TRUE)
    elif rep is not Rep.CONDITION:
        g.w.add(op.DROP, op.i32_const(1))


# Loops


def written_loop(g: Generator, kind: bytes, body: Callable[[int], None]) -> None:
    """Write a loop; `body` gets its label. When it allocates, the collector may run at the beginning of each turn."""
    before, called = g.w.allocates, len(g.w.callees)
    with g.w.block(op.LOOP, kind) as label:
        head = g.w.loop_head()
        body(label)
    if g.w.allocates != before:
        head.symbol = SAFEPOINT
    elif len(g.w.callees) > called:
        head.symbol, head.unless_quiet = SAFEPOINT, tuple(g.w.callees[called:])
    else:
        return
    g.w.collects += 1


def _loop(g: Generator, node: core.Loop, want: Rep | None, tail: bool) -> Rep | None:
    for variable, value in zip(node.variables, node.initials, strict=True):
        bind(g, variable, value)

    outer, ranges = g.f.loop, g.ranges
    g.ranges = {each: known for each, known in ranges.items() if each not in node.variables}
    if _is_tight(node):
        _unrolled(g, node, want)
    else:
        written_loop(g, result_type(want), lambda label: _turn(g, node, want, label, tail=tail))
    g.f.loop, g.ranges = outer, ranges
    return want


def _turn(g: Generator, node: core.Loop, want: Rep | None, label: int, *, tail: bool) -> None:
    """Write one turn; `recur` goes on at a label."""
    g.f.loop = LoopFrame(label, node)
    new_cells(g, g.captures.cells_of(node))
    g.emit(node.body, want, tail=tail)


TURNS: Final = 4
"""How often the body of a tight loop is written: fuel and time are looked at where a loop begins, which costs as much
as a few operations on numbers."""
TIGHT_NODES_MAX: Final = 40

_TIGHT: Final = frozenset({
    core.Call, core.Const, core.Local, core.Global, core.Branch, core.Logic, core.Let, core.Recur, core.Sequence,
})  # fmt: skip
_CHEAP: Final = frozenset({
    "+", "-", "*", "inc", "dec", "mod", "rem", "quot", "<", "<=", ">", ">=", "=", "!=", "not=", "not",
})  # fmt: skip


def _is_tight(node: core.Loop) -> bool:
    """Say whether a loop only computes with numbers, and little."""
    for count, each in enumerate(core.walk(node.body)):
        if count >= TIGHT_NODES_MAX or type(each) not in _TIGHT:
            return False
        if isinstance(each, core.Call) and not (isinstance(each.callee, core.Global) and each.callee.name in _CHEAP):
            return False
    return True


def _unrolled(g: Generator, node: core.Loop, want: Rep | None) -> None:
    with g.w.block(op.BLOCK, result_type(want)) as done:

        def turns(label: int) -> None:
            for _ in range(TURNS - 1):
                with g.w.block(op.BLOCK, op.EMPTY) as following:
                    _turn(g, node, want, following, tail=False)
                    g.w.branch(done)
            _turn(g, node, want, label, tail=False)
            g.w.branch(done)

        written_loop(g, op.EMPTY, turns)
        g.w.add(op.UNREACHABLE)


def _recur(g: Generator, node: core.Recur, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    loop = g.f.loop
    if loop is None:
        raise AssertionError("the resolver lets recur stand only in loops")
    variables = loop.node.variables
    g.operands(node.arguments, [g.rep_of(variable) for variable in variables])
    for variable in reversed(variables):
        assign(g, variable)
    g.w.branch(loop.label)
    return None


def _for(g: Generator, node: core.For, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    sources = [_source(g, each, node) for each in node.collections]
    found, slot = g.w.local(I64), g.w.slot()
    g.constant(())
    g.w.set(found)
    g.w.keep(found, slot)

    def append() -> None:
        new_cells(g, g.captures.cells_of(node))
        item = g.w.local(I64)
        g.emit(node.body, Rep.WORD)
        g.w.set(item)
        g.w.get(found)
        g.w.get(item)
        g.runtime("for_push")
        g.w.set(found)
        g.w.keep(found, slot)

    turn = append
    for variable, source in zip(reversed(node.variables), reversed(sources), strict=True):
        turn = _each(g, variable, source, turn)
    outer, g.f.loop = g.f.loop, None
    turn()
    g.f.loop = outer
    g.w.get(found)
    return Rep.WORD


def _source(g: Generator, node: core.Node, place: core.For) -> int:
    """Write a sequence that `for` goes through, refused when it is none; returns its local."""
    local, slot = g.w.local(I64), g.w.slot()
    g.emit(core.Intrinsic(core.Operation.ELEMENTS, (node,), place.start, place.end), Rep.WORD)
    g.w.set(local)
    g.w.keep(local, slot)
    return local


def _each(g: Generator, variable: core.Variable, source: int, turn: Callable[[], None]) -> Callable[[], None]:
    def write() -> None:
        index = g.w.local(I32)
        g.w.add(op.i32_const(0))
        g.w.set(index)

        def body(label: int) -> None:
            g.w.get(index)
            g.w.get(source)
            g.w.add(op.I32_WRAP_I64, op.load("load_i32", 4), op.I32_LT_S)
            with g.w.block(op.IF, op.EMPTY):
                g.w.get(source)
                g.w.get(index)
                g.runtime("vector_at", allocates=False)
                local_of(g, variable)
                assign(g, variable)
                turn()
                g.w.get(index)
                g.w.add(op.i32_const(1), op.I32_ADD)
                g.w.set(index)
                g.w.branch(label)

        written_loop(g, op.EMPTY, body)

    return write


def _dotimes(g: Generator, node: core.Dotimes, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    count, index, result, slot = g.w.local(I64), g.w.local(I64), g.w.local(I64), g.w.slot()
    if g.natural(node.count) is Rep.INTEGER:
        g.emit(node.count, Rep.INTEGER)
    else:
        g.emit(node.count, Rep.WORD)
        g.runtime("turns_of")
    g.w.set(count)
    g.w.add(op.i64_const(0))
    g.w.set(index)
    g.w.add(op.i64_const(NIL))
    g.w.set(result)

    def body(label: int) -> None:
        g.w.get(index)
        g.w.get(count)
        g.w.add(op.I64_LT_S)
        with g.w.block(op.IF, op.EMPTY):
            new_cells(g, g.captures.cells_of(node))
            g.w.get(index)
            convert(g.w, Rep.INTEGER, g.rep_of(node.variable))
            assign(g, node.variable)
            g.emit(node.body, Rep.WORD)
            g.w.set(result)
            g.w.keep(result, slot)
            g.w.get(index)
            g.w.add(op.i64_const(1), op.I64_ADD)
            g.w.set(index)
            g.w.branch(label)

    outer, g.f.loop = g.f.loop, None
    written_loop(g, op.EMPTY, body)
    g.f.loop = outer
    g.w.get(result)
    return Rep.WORD


WRITERS.update({
    core.Let: _let,
    core.Define: _define,
    core.Sequence: _sequence,
    core.Branch: _branch,
    core.Logic: _logic,
    core.Loop: _loop,
    core.Recur: _recur,
    core.For: _for,
    core.Dotimes: _dotimes,
})  # fmt: skip
