"""Constants and types as bytes.

Owns which values an artefact can hold: those that a text can write. What is read has the kinds that are promised and
stays within the bounds of the reader and of types; whether a type makes sense is for `validity`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from cloister.lang.lexer import is_keyword_name, is_symbol_name
from cloister.lang.types import expression
from cloister.lang.types.expression import PRIMITIVES, Entry, Exactly, Kind, Predicate
from cloister.lang.values import Keyword, List, Map, Symbol, Value, settled
from cloister.lang.wasm_engine.artefact.octets import damaged
from cloister.lang.wasm_engine.artefact.trees import (
    FLAG,
    OPTIONAL_PART,
    PART,
    PARTS,
    TEXT,
    Pending,
    Shape,
    Tree,
    TreeReader,
    TreeWriter,
    listed,
    paired,
    plain,
    shape_of,
)

DEPTH_MAX: Final = 250
"""Deepest nesting of a constant; texts nest 200 levels."""
TYPE_DEPTH_MAX: Final = 200
"""Deepest nesting of a type; written ones nest 50 levels, each of which makes up to three here, and one that is a
structure."""


def _atom(tag: int, write: Any, read: Any) -> Shape:
    def reading(reader: TreeReader) -> Pending:
        value = read(reader)
        return 0, lambda _: value

    return Shape(tag, write, lambda _: (), reading)


def _sequence(tag: int, make: Any) -> Shape:
    return Shape(
        tag, lambda out, items: out.number(len(items)), lambda items: items, lambda reader: (reader.number(), make)
    )


def _map_parts(value: Map) -> Sequence[Value]:
    return [part for entry in value.items() for part in entry]


def _read_map(reader: TreeReader) -> Pending:
    count = reader.number()
    return count * 2, lambda parts: _map(parts, count)


def _map(parts: Sequence[Value], count: int) -> Map:
    if not all(type(key) in KEYS for key in parts[::2]):
        raise damaged("a map has a key that is none")
    made = Map(zip(parts[::2], parts[1::2], strict=True))
    if len(made) < count:
        raise damaged("a map has a key twice")
    return made


def _read_keyword(reader: TreeReader) -> Keyword:
    name = reader.text()
    if not is_keyword_name(name):
        raise damaged("a keyword has a name that no keyword has")
    return Keyword(name)


def _read_symbol(reader: TreeReader) -> Symbol:
    name = reader.text()
    if not is_symbol_name(name):
        raise damaged("a name is one that no name is")
    return Symbol(name)


KEYS: Final = frozenset({Keyword, str, int, Symbol})
"""Classes of keys; names only in code."""

VALUES: Final = Tree(
    "values",
    {
        type(None): _atom(0, lambda _, __: None, lambda _: None),
        bool: _atom(1, lambda out, value: out.flag(value=value), lambda reader: reader.flag()),
        int: _atom(2, lambda out, value: out.integer(value), lambda reader: reader.integer()),
        float: _atom(3, lambda out, value: out.double(value), lambda reader: reader.double()),
        str: _atom(4, lambda out, value: out.text(value), lambda reader: reader.text()),
        Keyword: _atom(5, lambda out, value: out.text(value.name), _read_keyword),
        Symbol: _atom(6, lambda out, value: out.text(value.name), _read_symbol),
        tuple: _sequence(7, tuple),
        List: _sequence(8, List),
        Map: Shape(9, lambda out, value: out.number(len(value)), _map_parts, _read_map),
    },
    DEPTH_MAX,
    settled,
)


def write_value(out: TreeWriter, value: Value) -> None:
    """Write a constant."""
    VALUES.write(out, value)


def read_value(reader: TreeReader) -> Value:
    """Read a constant."""
    return VALUES.read(reader)


VALUE: Final = plain(write_value, read_value)


# Types


def _write_exactly(out: TreeWriter, literal: Exactly) -> None:
    write_value(out, literal.value)


def _read_exactly(reader: TreeReader) -> Exactly:
    value = read_value(reader)
    pending = [value]
    while pending:
        part = pending.pop()
        if type(part) is tuple:
            pending.extend(part)
        elif type(part) in {List, Map, Symbol}:
            raise damaged("a type has a literal that no type takes")
    return Exactly(value)


def _write_size(out: TreeWriter, size: int | None) -> None:
    out.integer(-1 if size is None else size)


def _read_size(reader: TreeReader) -> int | None:
    size = reader.integer()
    if size < -1:
        raise damaged("an array has a length below zero")
    return None if size == -1 else size


_LITERALS: Final = listed(_write_exactly, _read_exactly)


def _write_predicate(out: TreeWriter, predicate: Predicate) -> None:
    out.text(predicate.name)
    _LITERALS.write(out, predicate.arguments)


def _read_predicate(reader: TreeReader) -> Predicate:
    name = reader.text()
    _, build = _LITERALS.read(reader)
    return Predicate(name, build(()))


def _write_entry(out: TreeWriter, entry: Entry) -> None:
    out.text(entry.key)
    out.flag(value=entry.optional)


def _primitive(kind: str) -> expression.Primitive:
    if kind not in set(Kind):
        raise damaged("it has a type that this version does not know")
    return PRIMITIVES[Kind(kind)]


TYPES: Final = Tree(
    "types",
    {
        expression.Primitive: shape_of(0, _primitive, kind=TEXT),
        expression.Named: shape_of(
            1,
            expression.Named,
            declaration=plain(lambda out, value: out.declaration(value), lambda reader: reader.declaration()),
        ),
        expression.Optional: shape_of(2, expression.Optional, inner=PART),
        expression.Vector: shape_of(3, expression.Vector, item=PART),
        expression.Tuple: shape_of(4, expression.Tuple, items=PARTS),
        expression.Array: shape_of(5, expression.Array, item=PART, shape=listed(_write_size, _read_size)),
        expression.Record: shape_of(
            6,
            expression.Record,
            entries=paired(
                _write_entry,
                lambda reader: (reader.text(), reader.flag()),
                make=lambda head, part: Entry(head[0], part, head[1]),
                head=lambda entry: entry,
                part=lambda entry: entry.type,
            ),
            wildcard=OPTIONAL_PART,
            keywords_only=FLAG,
        ),
        expression.MapOf: shape_of(7, expression.MapOf, key=PART, value=PART),
        expression.Function: shape_of(8, expression.Function, parameters=PARTS, rest=OPTIONAL_PART, result=PART),
        expression.Union: shape_of(9, expression.Union, members=PARTS),
        expression.Intersection: shape_of(10, expression.Intersection, members=PARTS),
        expression.Enum: shape_of(11, expression.Enum, literals=_LITERALS),
        expression.Literal: shape_of(12, expression.Literal, literal=plain(_write_exactly, _read_exactly)),
        expression.Resource: shape_of(13, expression.Resource, name=TEXT),
        expression.Refinement: shape_of(
            14, expression.Refinement, base=PART, predicates=listed(_write_predicate, _read_predicate)
        ),
    },
    TYPE_DEPTH_MAX,
)

TYPE: Final = plain(TYPES.write, TYPES.read)
