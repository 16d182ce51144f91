"""How types relate: which holds all values of another, which share no value, and what two have in common.

Owns subtyping and joining (language reference, section 5.5) and disjointness, on which the static checker rests. All
three err on one side only: `is_subtype` and `is_disjoint` say yes only when it is certain, and a join holds at least
all values of both. Types come from programs, and comparing two can take very long; each comparison is charged to the
current budget. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from cloister.lang.stdlib.budget import current
from cloister.lang.types.check import accepts, value_kinds
from cloister.lang.types.expression import (
    ANY,
    NEVER,
    NIL,
    Array,
    Entry,
    Enum,
    Function,
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

DEPTH_MAX: Final = 12
"""How far into two types a comparison goes; further in, nothing is certain. Declared types may not end at all."""

MEMBERS_MAX: Final = 5
"""Members of the union that joining makes; of more types the join is any (language reference, section 5.5)."""

_NUMBERS: Final = frozenset({Kind.INT, Kind.FLOAT, Kind.NUMBER})
_WHOLE: Final = {Kind.VECTOR: (Vector, Tuple, Array), Kind.MAP: (Record, MapOf), Kind.FUNCTION: (Function,)}


def is_subtype(left: Type, right: Type, depth: int = DEPTH_MAX) -> bool:
    """Say whether every value of `left` is certainly one of `right`.

    An integer is a number, and is accepted as a float. The members of a union on the left are looked at one by one
    before those on the right, so that their order does not matter.
    """
    if left is right or right is ANY or left is NEVER:
        return True
    if depth == 0:
        return False
    current().charge_steps(1)
    if isinstance(left, Literal):
        return accepts(right, left.literal.value)
    match left:
        case Enum(literals=literals):
            return all(accepts(right, each.value) for each in literals)
        case Union(members=members):
            return all(is_subtype(member, right, depth - 1) for member in members)
        case Optional(inner=inner):
            return is_subtype(NIL, right, depth - 1) and is_subtype(inner, right, depth - 1)
        case Named(declaration=declaration):
            if isinstance(right, Named) and right.declaration is declaration:
                return True
            return declaration.type is not None and is_subtype(declaration.type, right, depth - 1)
    return _is_below(left, right, depth - 1)


def _is_below(left: Type, right: Type, depth: int) -> bool:
    match right:
        case Intersection(members=members):
            return all(is_subtype(left, member, depth) for member in members)
        case Union(members=members) if any(is_subtype(left, member, depth) for member in members):
            return True
        case Optional(inner=inner) if left == NIL or is_subtype(left, inner, depth):
            return True
        case Named(declaration=declaration) if declaration.type is not None:
            return is_subtype(left, declaration.type, depth)
    match left:
        case Intersection(members=members):
            return any(is_subtype(member, right, depth) for member in members)
        case Refinement(base=base):
            return left == right or is_subtype(base, right, depth)
        case Primitive(kind=kind):
            return left == right or (isinstance(right, Primitive) and kind in _NUMBERS and _takes_number(kind, right))
    return _is_part_below(left, right, depth)


def _takes_number(kind: Kind, right: Primitive) -> bool:
    # A float annotation takes integers too, so :float and :number say the same of a value.
    return right.kind in {Kind.FLOAT, Kind.NUMBER} or kind is right.kind


def _is_part_below(left: Type, right: Type, depth: int) -> bool:
    if isinstance(right, Primitive):
        return isinstance(left, _WHOLE.get(right.kind, ()))
    match left, right:
        case Vector(item=item), Vector(item=wanted):
            return is_subtype(item, wanted, depth)
        case Tuple(items=items), Vector(item=wanted):
            return all(is_subtype(item, wanted, depth) for item in items)
        case Tuple(items=items), Tuple(items=wanted):
            return len(items) == len(wanted) and _pairwise(items, wanted, depth)
        case MapOf(key=key, value=value), MapOf(key=wanted_key, value=wanted):
            return is_subtype(key, wanted_key, depth) and is_subtype(value, wanted, depth)
        case Record(), Record():
            return all(_has_entry(left, entry, depth) for entry in right.entries)
        case Function(), Function():
            return _is_function_below(left, right, depth)
    return left == right


def _pairwise(left: Iterable[Type], right: Iterable[Type], depth: int) -> bool:
    return all(is_subtype(one, other, depth) for one, other in zip(left, right, strict=True))


def _has_entry(record: Record, wanted: Entry, depth: int) -> bool:
    entry = next((each for each in record.entries if each.key == wanted.key), None)
    if entry is None:
        return wanted.optional and record.wildcard is NEVER
    return (wanted.optional or not entry.optional) and is_subtype(entry.type, wanted.type, depth)


def _is_function_below(left: Function, right: Function, depth: int) -> bool:
    if len(left.parameters) != len(right.parameters) or (left.rest is None) != (right.rest is None):
        return False
    if left.rest is not None and right.rest is not None and not is_subtype(right.rest, left.rest, depth):
        return False
    return _pairwise(right.parameters, left.parameters, depth) and is_subtype(left.result, right.result, depth)


def join(left: Type, right: Type) -> Type:
    """Return a type that has all values of both."""
    if is_subtype(left, right):
        return right
    if is_subtype(right, left):
        return left
    members: list[Type] = []
    for each in (*_members(left), *_members(right)):
        if not any(is_subtype(each, known) for known in members):
            members.append(each)
    return Union(tuple(members)) if len(members) <= MEMBERS_MAX else ANY


def join_all(types: Iterable[Type]) -> Type:
    """Return a type that has all values of all; of none, the type without values."""
    found: Type = NEVER
    for each in types:
        found = join(found, each)
        if found is ANY:
            break
    return found


def _members(type_: Type) -> tuple[Type, ...]:
    return type_.members if isinstance(type_, Union) else (type_,)


def is_disjoint(left: Type, right: Type, depth: int = DEPTH_MAX) -> bool:
    """Say whether no value has both types for certain: what has one can never pass for the other."""
    if left is NEVER or right is NEVER:
        return True
    if depth == 0:
        return False
    current().charge_steps(1)
    found = _disjoint_values(left, right)
    if found is None:
        found = _disjoint_members(left, right, depth - 1)
    if found is not None:
        return found
    return _have_no_kind(left, right) or _have_no_part(left, right, depth - 1)


def _disjoint_values(left: Type, right: Type) -> bool | None:
    """Say it of a type whose every value is written out, on whichever side it stands; None when there is none.

    These come first: of them it is known exactly, and what takes a type apart loses some of what it knows.
    """
    for one, other in ((left, right), (right, left)):
        if isinstance(one, Literal):
            return not accepts(other, one.literal.value)
        if isinstance(one, Enum):
            return not any(accepts(other, each.value) for each in one.literals)
    return None


def _disjoint_members(left: Type, right: Type, depth: int) -> bool | None:
    """Say it of a type that is made of others, whichever side it stands on; None when neither is.

    What a value has one of is taken apart before what it has all of, and a refinement last, so that both orders of the
    same two types say the same.
    """
    sides = ((left, right), (right, left))
    for one, other in sides:
        if isinstance(one, Union):
            return all(is_disjoint(member, other, depth) for member in one.members)
        if isinstance(one, Optional):
            return is_disjoint(NIL, other, depth) and is_disjoint(one.inner, other, depth)
        if isinstance(one, Named) and one.declaration.type is not None:
            return is_disjoint(one.declaration.type, other, depth)
    for one, other in sides:
        if isinstance(one, Intersection):
            return any(is_disjoint(member, other, depth) for member in one.members)
    for one, other in sides:
        if isinstance(one, Refinement):
            return is_disjoint(one.base, other, depth)
    return None


def _have_no_kind(left: Type, right: Type) -> bool:
    one, other = value_kinds(left), value_kinds(right)
    return one is not None and other is not None and one.isdisjoint(other)


def _have_no_part(left: Type, right: Type, depth: int) -> bool:
    match left, right:
        case (Tuple(items=items), Vector(item=item)) | (Vector(item=item), Tuple(items=items)):
            return any(is_disjoint(each, item, depth) for each in items)
        case Tuple(items=items), Tuple(items=wanted):
            return len(items) != len(wanted) or any(
                is_disjoint(one, other, depth) for one, other in zip(items, wanted, strict=True)
            )
        case (Tuple(items=items), Array(item=item, shape=shape)) | (Array(item=item, shape=shape), Tuple(items=items)):
            inner = Array(item, shape[1:]) if len(shape) > 1 else item
            wrong_size = bool(shape) and shape[0] is not None and shape[0] != len(items)
            return wrong_size or any(is_disjoint(each, inner, depth) for each in items)
        case Record(), Record():
            return _lacks(left, right, depth) or _lacks(right, left, depth)
        case (Record(entries=entries), MapOf(key=key, value=value)) | (
            MapOf(key=key, value=value),
            Record(entries=entries),
        ):
            present = [entry for entry in entries if not entry.optional]
            wrong_key = bool(present) and is_disjoint(Primitive(Kind.KEYWORD), key, depth)
            if wrong_key and _holds_keywords(left, right):
                return True
            return any(is_disjoint(each.type, value, depth) for each in present)
    return False


def _holds_keywords(left: Type, right: Type) -> bool:
    # Only the record of a map that was written out certainly has keywords for keys; others may have strings.
    return any(isinstance(each, Record) and each.wildcard is NEVER for each in (left, right))


def _lacks(left: Record, right: Record, depth: int) -> bool:
    """Say whether a field that `right` needs is absent from `left`, or can never have the right type."""
    known = {entry.key: entry for entry in left.entries}
    for wanted in right.entries:
        entry = known.get(wanted.key)
        if entry is None:
            if left.wildcard is NEVER and not wanted.optional:
                return True
        elif not entry.optional and is_disjoint(entry.type, wanted.type, depth):
            return True
    return False
