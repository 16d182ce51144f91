"""How `try`, steps and hints are written: whatever must happen also when a part fails.

An exception of the machine carries an error value. Whoever catches it gives up the words of the functions that ended,
and says again how many `try` are open.
"""

from __future__ import annotations

from collections.abc import Callable

from cloister.lang import core
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.encoding import unsigned
from cloister.lang.wasm_engine.binary.opcodes import I32, I64
from cloister.lang.wasm_engine.compiler.calls import ask
from cloister.lang.wasm_engine.compiler.generator import WRITERS, Generator
from cloister.lang.wasm_engine.compiler.variables import assign, local_of
from cloister.lang.wasm_engine.compiler.writer import TYPES, Rep
from cloister.lang.wasm_engine.layout import (
    ASK_HINTED,
    ASK_STEP_ENDED,
    ASK_STEP_FAILED,
    ASK_STEP_STARTED,
    ASK_UNHINTED,
    CATCHERS,
    UNSET,
)

Part = Callable[[], None]


class _Result:
    """Where the parts of a `try` leave its value."""

    def __init__(self, g: Generator, want: Rep | None) -> None:
        self._g = g
        self.want = want
        self.local = g.w.local(TYPES[want]) if want is not None else None
        self.slot = g.w.slot() if want is Rep.WORD else None

    def emit(self, node: core.Node) -> None:
        """Write a node and leave its value here."""
        self._g.emit(node, self.want)
        if self.local is not None:
            self._g.w.set(self.local)
            if self.slot is not None:
                self._g.w.keep(self.local, self.slot)

    def push(self) -> Rep | None:
        """Push the value."""
        if self.local is not None:
            self._g.w.get(self.local)
        return self.want


def guarded(g: Generator, body: Part, handler: Callable[[int], None]) -> None:
    """Write a body, and what is done with the error when it fails; `handler` gets the local with the error."""
    error, slot, catchers = g.w.local(I64), g.w.slot(), g.w.local(I32)
    g.w.add(op.i32_const(0), op.load("load_i32", CATCHERS))
    g.w.set(catchers)
    g.w.allocates += 1  # an error that was raised is an object, whatever raised it
    with g.w.block(op.BLOCK, op.EMPTY) as done:
        with g.w.block(op.BLOCK, bytes((I64,))) as failed:
            _set_catchers(g, catchers, 1)
            catch = b"\x01\x00\x00" + unsigned(g.w.labels - failed)
            with g.w.block(op.TRY_TABLE, op.EMPTY + catch):
                body()
            _set_catchers(g, catchers, 0)
            g.w.branch(done)
        g.w.set(error)
        g.w.own_stack()
        g.w.keep(error, slot)
        _set_catchers(g, catchers, 0)
        handler(error)


def _set_catchers(g: Generator, local: int, more: int) -> None:
    g.w.add(op.i32_const(0))
    g.w.get(local)
    if more:
        g.w.add(op.i32_const(more), op.I32_ADD)
    g.w.add(op.store("store_i32", CATCHERS))


def _throw_again(g: Generator, error: int) -> None:
    g.w.get(error)
    g.runtime("throw_again")
    g.w.add(op.UNREACHABLE)


def _try(g: Generator, node: core.Try, want: Rep | None, tail: bool) -> Rep | None:
    del tail
    loop, g.f.loop = g.f.loop, None
    result = _Result(g, want)
    if node.last is None:
        _catching(g, node, result)
    else:
        pending, slot = g.w.local(I64), g.w.slot()
        g.w.add(op.i64_const(UNSET))
        g.w.set(pending)

        def note(error: int) -> None:
            g.w.get(error)
            g.w.set(pending)
            g.w.keep(pending, slot)

        guarded(g, lambda: _catching(g, node, result), note)
        g.emit(node.last, None)
        g.w.get(pending)
        g.w.add(op.i64_const(UNSET), op.I64_NE)
        with g.w.block(op.IF, op.EMPTY):
            _throw_again(g, pending)
    g.f.loop = loop
    return result.push()


def _catching(g: Generator, node: core.Try, result: _Result) -> None:
    if node.catches:
        guarded(g, lambda: result.emit(node.body), lambda error: _handlers(g, node.catches, error, result))
    else:
        result.emit(node.body)


def _handlers(g: Generator, clauses: tuple[core.Catch, ...], error: int, result: _Result) -> None:
    opened = 0
    for clause in clauses:
        if clause.kind is not None:
            g.w.get(error)
            g.constant(clause.kind)
            g.runtime("error_has_kind", allocates=False)
            g.w.add(op.IF, op.EMPTY)
            g.w.labels += 1
            opened += 1
        for variable in clause.variables:
            if variable in g.captures.cells:
                raise AssertionError("what a clause binds is assigned before anything reads it")
            local_of(g, variable)
            g.w.get(error)
            assign(g, variable)
        result.emit(clause.body)
        if clause.kind is None:
            break
        g.w.add(op.ELSE)
    else:
        _throw_again(g, error)
    g.w.add(op.END * opened)
    g.w.labels -= opened


def _step(g: Generator, node: core.Step, want: Rep | None, tail: bool) -> Rep | None:
    del tail
    loop, g.f.loop = g.f.loop, None
    result = _Result(g, want)
    ask(g, ASK_STEP_STARTED, [node.name, core.Const(g.object_number(node.options), node.start, node.end)])
    g.w.add(op.DROP)
    place = g.w.place

    def fail(error: int) -> None:
        g.w.place = place
        g.w.add(op.i32_const(ASK_STEP_FAILED))
        g.w.get(error)
        g.runtime("fallback1")
        g.w.add(op.DROP)
        _throw_again(g, error)

    guarded(g, lambda: result.emit(node.body), fail)
    ask(g, ASK_STEP_ENDED, [])
    g.w.add(op.DROP)
    g.f.loop = loop
    return result.push()


def _hinted(g: Generator, node: core.Hinted, want: Rep | None, tail: bool) -> Rep | None:
    del tail
    loop, g.f.loop = g.f.loop, None
    result = _Result(g, want)
    parts: list[core.Node] = []
    for name, value in node.hints:
        parts += [core.Const(name, node.start, node.end), value]
    ask(g, ASK_HINTED, parts)
    g.w.add(op.DROP)

    def fail(error: int) -> None:
        ask(g, ASK_UNHINTED, [])
        g.w.add(op.DROP)
        _throw_again(g, error)

    guarded(g, lambda: result.emit(node.body), fail)
    ask(g, ASK_UNHINTED, [])
    g.w.add(op.DROP)
    g.f.loop = loop
    return result.push()


WRITERS.update({core.Try: _try, core.Step: _step, core.Hinted: _hinted})
