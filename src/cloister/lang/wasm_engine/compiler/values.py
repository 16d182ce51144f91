"""How constants, inputs, collections, primitive operations and checks of types are written."""

from __future__ import annotations

from typing import Final

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.types.expression import Kind, Optional, Primitive, Type
from cloister.lang.wasm_engine.binary import opcodes as op
from cloister.lang.wasm_engine.binary.opcodes import I64
from cloister.lang.wasm_engine.compiler.calls import ask, push_sequence
from cloister.lang.wasm_engine.compiler.generator import WRITERS, Generator
from cloister.lang.wasm_engine.compiler.writer import Rep
from cloister.lang.wasm_engine.layout import (
    ASK_CONSTANT,
    ASK_CONTEXT_GET,
    ASK_HAS_TYPE,
    ASK_INPUT,
    ASK_NEXT_TURN,
    ASK_NO_MATCH,
    ASK_REFUSE,
    ASK_THROW,
    ASK_UNDO_FOR,
    ASK_UNDO_WITH,
    TRUE,
    VECTOR,
)

_OPERATIONS: Final[dict[Operation, tuple[str, str, str]]] = {
    Operation.CHECK_VECTOR: ("op_check_vector", "wnn", "w"),
    Operation.CHECK_MAP: ("op_check_map", "w", "w"),
    Operation.ELEMENT: ("op_element", "wn", "w"),
    Operation.TAIL: ("op_tail", "wn", "w"),
    Operation.ENTRY: ("op_entry", "ww", "w"),
    Operation.HAS_KEY: ("op_has_key", "ww", "c"),
    Operation.WITHOUT: ("op_without", "ww", "w"),
    Operation.HAS_CONTENT: ("op_has_content", "w", "c"),
    Operation.SAME: ("same", "ww", "c"),
    Operation.MATCH_VECTOR: ("op_match_vector", "wnn", "w"),
    Operation.MATCH_MAP: ("op_match_map", "wwn", "w"),
    Operation.ELEMENTS: ("op_elements", "w", "w"),
}
"""Function, operands (`w` a word, `n` a number of 32 bits) and result of operations the runtime does."""

_ASKED: Final = {
    Operation.THROW: ASK_THROW,
    Operation.NO_MATCH: ASK_NO_MATCH,
    Operation.CONTEXT_GET: ASK_CONTEXT_GET,
    Operation.NEXT_TURN: ASK_NEXT_TURN,
    Operation.UNDO_WITH: ASK_UNDO_WITH,
    Operation.UNDO_FOR: ASK_UNDO_FOR,
}
_JOINED: Final = {
    Operation.JOIN_LIST: "op_join_list", Operation.JOIN_VECTOR: "op_join_vector", Operation.JOIN_MAP: "op_join_map",
    Operation.JOIN_CODE_MAP: "op_join_code_map",
}  # fmt: skip


def _const(g: Generator, node: core.Const, want: Rep | None, tail: bool) -> Rep | None:
    del tail
    value = node.value
    if want is None:
        return None
    if type(value) is int and want is Rep.INTEGER:
        g.w.add(op.i64_const(value))
        return Rep.INTEGER
    if type(value) in {int, float} and want is Rep.FLOAT:
        g.w.add(op.f64_const(float(value)))
        return Rep.FLOAT
    if type(value) is bool and want is Rep.CONDITION:
        g.w.add(op.i32_const(value))
        return Rep.CONDITION
    if id(node) in g.large:
        _large_constant(g, node)
    else:
        g.constant(value)
    return Rep.WORD


def _large_constant(g: Generator, node: core.Const) -> None:
    """Write a constant that the host gives, once in a run."""
    address, value = g.large[id(node)], g.w.scratch("large", I64)
    g.w.add(op.i32_const(0), op.load("load_i64", address))
    g.w.tee(value)
    g.w.add(op.I64_EQZ)
    with g.w.block(op.IF, op.EMPTY):
        ask(g, ASK_CONSTANT, [core.Const(g.object_number(node.value), node.start, node.end)])
        g.w.set(value)
        g.w.add(op.i32_const(0))
        g.w.get(value)
        g.w.add(op.store("store_i64", address))
    g.w.get(value)


def _input(g: Generator, node: core.Input, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    g.w.add(op.i32_const(ASK_INPUT))
    g.constant(node.name)
    g.constant(node.required)
    g.runtime("fallback2")
    return Rep.WORD


def _vector(g: Generator, node: core.MakeVector, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    if not node.items:
        g.constant(())
        return Rep.WORD
    push_sequence(g, g.array(node.items), len(node.items), VECTOR)
    return Rep.WORD


def _map(g: Generator, node: core.MakeMap, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    parts: list[core.Node] = []
    for key, value in node.entries:
        parts += [core.Const(key, node.start, node.end), value]
    g.push_address(g.array(parts))
    g.w.add(op.i32_const(len(node.entries)))
    g.runtime("map_from")
    return Rep.WORD


def _intrinsic(g: Generator, node: core.Intrinsic, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    operation, arguments = node.operation, node.arguments
    if operation in _ASKED:
        ask(g, _ASKED[operation], arguments)
        if operation not in {Operation.THROW, Operation.NO_MATCH}:
            return Rep.WORD
        g.w.add(op.DROP, op.UNREACHABLE)
        return None
    if operation in _JOINED:
        g.push_address(g.array(arguments))
        g.w.add(op.i32_const(len(arguments)))
        g.runtime(_JOINED[operation])
        return Rep.WORD
    function, operands, result = _OPERATIONS[operation]
    words = [node for node, code in zip(arguments, operands, strict=True) if code == "w"]
    g.words(words)
    for argument, code in zip(arguments, operands, strict=True):
        if code == "n":
            if isinstance(argument, core.Const):
                g.w.add(op.i32_const(int(argument.value)))
            else:
                g.emit(argument, Rep.INTEGER)
                g.w.add(op.I32_WRAP_I64)
    g.runtime(function)
    return Rep.CONDITION if result == "c" else Rep.WORD


# Types

_BITS: Final[dict[Kind, int]] = {
    Kind.INT: 1, Kind.FLOAT: 3, Kind.NUMBER: 3, Kind.STRING: 4, Kind.BOOL: 8, Kind.KEYWORD: 16,
}  # fmt: skip
"""Which bits of `type_bits` of the runtime a type takes; all other types are the host's to judge."""
_NIL_BIT: Final = 32
_OF_REP: Final = {Rep.INTEGER: 1, Rep.FLOAT: 2, Rep.CONDITION: 8}


def _bits_of(type_: Type) -> int | None:
    if isinstance(type_, Optional):
        inner = _bits_of(type_.inner) if isinstance(type_.inner, Primitive) else None
        return None if inner is None else inner | _NIL_BIT
    return _BITS.get(type_.kind) if isinstance(type_, Primitive) else None


def _cast(g: Generator, node: core.Cast, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    rep = g.natural(node.value)
    bits = _bits_of(node.annotation)
    if bits is not None and rep in _OF_REP and _OF_REP[rep] & bits:
        g.emit(node.value, rep)
        return rep
    value, slot = g.w.scratch("cast", I64), g.w.slot()
    g.emit(node.value, Rep.WORD)
    g.w.tee(value)
    g.w.keep(value, slot)
    _test_type(g, node.annotation, bits)
    g.w.add(op.I32_EQZ)
    with g.w.block(op.IF, op.EMPTY):
        g.w.add(op.i32_const(ASK_REFUSE))
        g.constant(g.object_number(node.annotation))
        g.constant(node.subject)
        g.w.get(value)
        g.runtime("fallback3", allocates=False)
        g.w.add(op.DROP, op.UNREACHABLE)
    g.w.get(value)
    return Rep.WORD


def _has_type(g: Generator, node: core.HasType, want: Rep | None, tail: bool) -> Rep | None:
    del want, tail
    g.emit(node.value, Rep.WORD)
    _test_type(g, node.type, _bits_of(node.type))
    return Rep.CONDITION


def _test_type(g: Generator, type_: Type, bits: int | None) -> None:
    """Turn the word on top of the stack into whether it has a type."""
    if bits is not None:
        g.runtime("type_bits", allocates=False)
        g.w.add(op.i32_const(bits), op.I32_AND, op.i32_const(0), op.I32_NE)
        return
    value = g.w.scratch("of a type", I64)
    g.w.set(value)
    g.w.add(op.i32_const(ASK_HAS_TYPE))
    g.constant(g.object_number(type_))
    g.w.get(value)
    g.runtime("fallback2")
    g.w.add(op.i64_const(TRUE), op.I64_EQ)


WRITERS.update({
    core.Const: _const,
    core.Input: _input,
    core.MakeVector: _vector,
    core.MakeMap: _map,
    core.Intrinsic: _intrinsic,
    core.Cast: _cast,
    core.HasType: _has_type,
})  # fmt: skip
