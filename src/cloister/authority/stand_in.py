"""Values that stand for results of calls which were not made.

Owns the smallest value of a type: what a dry run gives a plan in the place of a result. Such a value says nothing about
the world, and whoever gives one marks it in the record. Must not decide when one is given. Types come from declared
capabilities and are trusted.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from types import MappingProxyType
from typing import Final

from cloister.authority.capability import CapabilitySpec
from cloister.errors import GuestError, quoted
from cloister.lang.types.check import accepts
from cloister.lang.types.expression import (
    Array,
    Enum,
    Intersection,
    Kind,
    Literal,
    MapOf,
    Named,
    Optional,
    Primitive,
    Record,
    Refinement,
    Tuple,
    Type,
    Union,
    Vector,
)
from cloister.lang.values import Keyword, Map, Symbol, Value

_DEPTH_MAX: Final = 20
"""How deep a type may be nested; one that needs more has values that nobody wrote by hand."""
_ITEMS_MAX: Final = 1_000
"""How many elements or characters a stand-in may have."""

_PRIMITIVES: Final[Mapping[Kind, Value]] = MappingProxyType(
    {
        Kind.ANY: None,
        Kind.NIL: None,
        Kind.BOOL: False,
        Kind.INT: 0,
        Kind.FLOAT: 0.0,
        Kind.NUMBER: 0,
        Kind.STRING: "",
        Kind.KEYWORD: Keyword("simulated"),
        Kind.SYMBOL: Symbol("simulated"),
        Kind.MAP: Map(),
        Kind.VECTOR: (),
    }
)


class _Impossible(Exception):
    """No small value of the type was found."""


def stand_in(spec: CapabilitySpec) -> Value:
    """Return a value of the type that a capability promises, for a call that is not made.

    Raises:
        GuestError: `guest.stand-in`, kind `Generic`, when no small value of the type was found.
    """
    try:
        return _value(spec.result_type, _DEPTH_MAX)
    except _Impossible:
        raise GuestError(
            f"{quoted(spec.id)} cannot be simulated: no simple value has the type {quoted(spec.result)}",
            code="guest.stand-in",
            hint="catch it, or leave the call out of what is tried in a dry run",
        ) from None


def _value(type_: Type, depth: int) -> Value:  # noqa: C901, PLR0912 - one case for each class of type
    if depth == 0:
        raise _Impossible
    match type_:
        case Primitive(kind=kind) if kind in _PRIMITIVES:
            return _PRIMITIVES[kind]
        case Named(declaration=declaration) if declaration.type is not None:
            return _value(declaration.type, depth - 1)
        case Optional():
            return None
        case Vector():
            return ()
        case MapOf():
            return Map()
        case Tuple(items=items):
            return tuple(_value(item, depth - 1) for item in items)
        case Array(item=item, shape=shape):
            return _array(item, shape, depth)
        case Record():
            return _record(type_, depth)
        case Union(members=members) | Intersection(members=members):
            return _first(type_, (candidate for member in members for candidate in _candidates(member, depth - 1)))
        case Enum(literals=literals):
            return literals[0].value
        case Literal(literal=literal):
            return literal.value
        case Refinement():
            return _first(type_, _candidates(type_, depth))
    raise _Impossible


def _array(item: Type, shape: tuple[int | None, ...], depth: int) -> Value:
    if not shape or shape[0] is None:
        return ()
    if shape[0] > _ITEMS_MAX:
        raise _Impossible
    inner = _array(item, shape[1:], depth - 1) if len(shape) > 1 else _value(item, depth - 1)
    return (inner,) * shape[0]


def _record(record: Record, depth: int) -> Map:
    needed = (entry for entry in record.entries if not entry.optional and not isinstance(entry.type, Optional))
    return Map((Keyword(entry.key), _value(entry.type, depth - 1)) for entry in needed)


def _first(type_: Type, candidates: Iterable[Value]) -> Value:
    for candidate in candidates:
        if accepts(type_, candidate):
            return candidate
    raise _Impossible


def _candidates(type_: Type, depth: int) -> Iterator[Value]:
    """Yield values that may have a type: its smallest, and for a refined one those its conditions hint at."""
    base = type_.base if isinstance(type_, Refinement) else type_
    try:
        plain = _value(base, depth - 1)
    except _Impossible:
        return
    yield plain
    if not isinstance(type_, Refinement):
        return
    for predicate in type_.predicates:
        for argument in predicate.arguments:
            yield from _near(plain, argument.value)


def _near(plain: Value, bound: Value) -> Iterator[Value]:
    """Yield values of the kind of `plain` at the bound a condition names, and on both sides of it."""
    if type(plain) is type(bound):
        yield bound
    if type(bound) not in {int, float}:
        return
    if type(plain) in {int, float}:
        yield from (bound, bound + 1, bound - 1)
    elif isinstance(bound, int) and 0 <= bound <= _ITEMS_MAX:
        if isinstance(plain, str):
            yield "x" * bound
        elif isinstance(plain, tuple):
            yield (None,) * bound
