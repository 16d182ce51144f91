"""How calls are written: of builtins, keywords, known functions, values, and of the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.functions import fits
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Keyword
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.encoding import unsigned
from cloister.lang.wasm_engine.binary.opcodes import I32, I64
from cloister.lang.wasm_engine.compiler.arithmetic import checked_operation, is_checked, write_arithmetic
from cloister.lang.wasm_engine.compiler.conversions import convert
from cloister.lang.wasm_engine.compiler.functions import direct_parameters, direct_symbol, result_rep
from cloister.lang.wasm_engine.compiler.generator import WRITERS, Generator, imported_name
from cloister.lang.wasm_engine.compiler.variables import push_variable, require_set
from cloister.lang.wasm_engine.compiler.writer import Rep, Symbol
from cloister.lang.wasm_engine.layout import ASK_CAPABILITY, BUFFER, BUILTIN_IDS, DEPTH, NIL, VECTOR
from cloister.lang.wasm_engine.native_tables import NATIVES
from cloister.lang.wasm_engine.runtime.natives_numbers import FOLDED

FALLBACK_MAX: Final = 4
"""Most arguments that are handed to a builtin of the host one by one."""
FOLDED_MAX: Final = 16
"""Most arguments that are added, subtracted or multiplied one after the other."""
CALLED_MAX: Final = 3
"""Most arguments that are handed to a function value one by one."""

REPS: Final = {"w": Rep.WORD, "i": Rep.INTEGER, "f": Rep.FLOAT, "c": Rep.CONDITION}


def _call(g: Generator, node: core.Call, want: Rep | None, tail: bool) -> Rep | None:
    callee, arguments = node.callee, node.arguments
    if isinstance(callee, core.Global):
        return _call_builtin(g, callee.name, arguments, want)
    if isinstance(callee, core.Const) and isinstance(callee.value, Keyword) and 1 <= len(arguments) <= 2:
        return _call_keyword(g, callee.value, arguments)
    known = g.facts.called(node)
    if known is not None and isinstance(callee, core.Local):
        return _call_known(g, known, node, is_last=tail and want is result_rep(g, known))
    return _call_value(g, node, want, tail)


# Builtins


def _call_builtin(g: Generator, name: str, arguments: Sequence[core.Node], want: Rep | None) -> Rep | None:
    if fits(name, len(arguments)):
        short = write_arithmetic(g, name, arguments, want)
        if short is not None:
            return short
        native = NATIVES.get((name, len(arguments)))
        if native is not None:
            g.operands(arguments, [REPS[code] for code in native.parameters])
            if native.calls_back:
                leave_depth(g)
            g.runtime(native.function, allocates=native.result in "wf", collects=native.calls_back)
            return REPS[native.result]
        if name in FOLDED and 2 < len(arguments) <= FOLDED_MAX:
            return _fold(g, name, arguments)
        if name == "str":
            g.push_address(g.array(arguments))
            g.w.add(op.i32_const(len(arguments)))
            g.runtime("str_words")
            return Rep.WORD
        if BUILTINS[name].needs_call:
            return _call_back(g, name, arguments)
    return ask(g, BUILTIN_IDS[name], arguments)


def _fold(g: Generator, name: str, arguments: Sequence[core.Node]) -> Rep:
    """Write a call that is the same as calls with two arguments, from left to right; all are evaluated before."""
    reps = [g.natural(each) for each in arguments]
    kind = Rep.INTEGER if set(reps) == {Rep.INTEGER} and is_checked(name) else Rep.WORD
    g.operands(arguments, [kind] * len(arguments))
    held = [g.w.scratch(f"held {position}", I64) for position in range(len(arguments))]
    for local in reversed(held):
        g.w.set(local)
    g.w.get(held[0])
    for local in held[1:]:
        if kind is Rep.INTEGER:
            before = g.w.scratch("before", I64)
            g.w.set(before)
            checked_operation(g, name, before, local)
        else:
            g.w.get(local)
            g.runtime(NATIVES[name, 2].function)
    return kind


def _call_back(g: Generator, name: str, arguments: Sequence[core.Node]) -> Rep:
    """Write a call of a builtin of the host that calls functions of the program."""
    first = g.array(arguments)
    leave_depth(g)
    g.w.add(op.i32_const(BUILTIN_IDS[name]))
    g.push_address(first)
    g.w.add(op.i32_const(len(arguments)))
    g.runtime("fallback")
    return Rep.WORD


def ask(g: Generator, operation: int, arguments: Sequence[core.Node]) -> Rep:
    """Write a question to the host, whose answer is a word."""
    if 1 <= len(arguments) <= FALLBACK_MAX:
        g.w.add(op.i32_const(operation))
        g.words(arguments)
        g.runtime(f"fallback{len(arguments)}")
        return Rep.WORD
    first = g.array(arguments)
    g.w.add(op.i32_const(operation))
    g.push_address(first)
    g.w.add(op.i32_const(len(arguments)))
    g.runtime("fallback")
    return Rep.WORD


def _call_keyword(g: Generator, keyword: Keyword, arguments: Sequence[core.Node]) -> Rep:
    g.constant(keyword)
    g.words(arguments)
    if len(arguments) == 1:
        g.w.add(op.i64_const(NIL))
    g.runtime("keyword_get", allocates=False)
    return Rep.WORD


# Functions of the program


def leave_depth(g: Generator, more: int = 0) -> None:
    """Leave how many more calls may be open where functions that are called as values find it."""
    g.w.add(op.i32_const(0))
    push_depth(g)
    if more:
        g.w.add(op.i32_const(more), op.I32_ADD)
    g.w.add(op.store("store_i32", DEPTH))


def push_depth(g: Generator) -> None:
    """Push how many more calls may be open."""
    if g.f.depth is None:
        raise AssertionError("every function knows how many more calls may be open")
    g.w.get(g.f.depth)


def _call_known(g: Generator, known: core.Lambda, node: core.Call, *, is_last: bool) -> Rep | None:
    callee = node.callee
    assert isinstance(callee, core.Local)  # noqa: S101 - what is known is called by its name
    if callee.checked:  # before the arguments: the callee comes first
        push_variable(g, callee.variable)
        require_set(g, callee.variable)
        g.w.add(op.DROP)
    if g.captures.has_self(known):
        push_variable(g, callee.variable)
    push_depth(g)
    if not is_last:
        g.w.add(op.i32_const(1), op.I32_SUB)
    _push_arguments(g, known, node.arguments)
    if is_last:
        g.w.restore_stack()
    g.w.collects += 1
    g.w.callees.append(direct_symbol(g, known))
    g.w.call(direct_symbol(g, known), tail=is_last)
    return None if is_last else result_rep(g, known)


def _push_arguments(g: Generator, known: core.Lambda, arguments: Sequence[core.Node]) -> None:
    reps, _ = direct_parameters(g, known)
    if known.rest is None:
        g.operands(arguments, reps)
        return
    # All in the frame first, so that the rest becomes a vector without anything being evaluated out of order
    least = len(known.parameters)
    first = g.array(arguments)
    for number, rep in enumerate(reps[:least]):
        g.w.get(g.w.use_frame())
        g.w.add(op.load("load_i64", first + number * 8))
        convert(g.w, Rep.WORD, rep)
    push_sequence(g, first + least * 8, len(arguments) - least, VECTOR)


def push_sequence(g: Generator, first: int, count: int, kind: int) -> None:
    """Push a vector or list of words in the frame."""
    g.push_address(first)
    g.w.add(op.i32_const(count), op.i32_const(kind))
    g.runtime("vector_from")


def _call_value(g: Generator, node: core.Call, want: Rep | None, tail: bool) -> Rep | None:
    """Write a call of whatever a node gives; it is refused before the arguments are evaluated."""
    count = len(node.arguments)
    _push_callee(g, node)
    if count > CALLED_MAX:
        g.push_address(g.array(node.arguments))
        g.w.add(op.i32_const(count))
        leave_depth(g)
        g.runtime("call_with", collects=True)
        return Rep.WORD
    g.words(node.arguments)
    if tail and want is Rep.WORD:
        _tail_call(g, count)
    leave_depth(g)
    g.runtime(f"call{count}", collects=True)
    return Rep.WORD


def _tail_call(g: Generator, count: int) -> None:
    """Make a call the last thing done when it is one of a function of the program that takes that many arguments.

    Any other can fail by itself, and then the present function must be seen in the trace.
    """
    given = [g.w.scratch(f"given {position}", I64) for position in range(count + 1)]
    code = g.w.scratch("code", I32)
    for local in reversed(given):
        g.w.set(local)
    g.w.get(given[0])
    g.w.add(op.i32_const(count))
    g.runtime("direct_code", allocates=False)
    g.w.tee(code)
    with g.w.block(op.IF, op.EMPTY):
        leave_depth(g, more=1)
        g.w.restore_stack()
        for local in given:
            g.w.get(local)
        g.w.get(code)
        signature = g.signature((I64,) * (count + 1), (I64,))
        g.w.placed(op.RETURN_CALL_INDIRECT + unsigned(signature) + b"\x00")
    for local in given:
        g.w.get(local)


def _push_callee(g: Generator, node: core.Call) -> None:
    callee, slot = g.w.scratch("callee", I64), g.w.slot()
    g.emit(node.callee, Rep.WORD)
    g.runtime("callable_value", allocates=False)
    g.w.tee(callee)
    g.w.keep(callee, slot)


# The host


def _host_call(g: Generator, node: core.HostCall, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    name = imported_name(node)
    if name is None:
        return ask(g, ASK_CAPABILITY, [node.capability, *node.arguments])
    length = g.w.scratch("length", I32)
    g.push_address(g.array(node.arguments))
    g.w.add(op.i32_const(len(node.arguments)))
    g.runtime("cross_arguments", allocates=False)
    g.w.set(length)
    g.w.add(op.i32_const(0), op.load("load_i32", BUFFER))  # only now: crossing may have moved it
    g.w.get(length)
    g.w.call(Symbol("capability", name))
    g.runtime("answered")
    return Rep.WORD


def _host_function(g: Generator, node: core.HostFunction, want: Rep | None, tail: bool) -> Rep | None:
    del node, want, tail
    g.w.add(op.i64_const(g.constants.builtin(None)))
    return Rep.WORD


def _global(g: Generator, node: core.Global, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    g.w.add(op.i64_const(g.constants.builtin(node.name)))
    return Rep.WORD


WRITERS.update({
    core.Call: _call,
    core.HostCall: _host_call,
    core.HostFunction: _host_function,
    core.Global: _global,
})  # fmt: skip
