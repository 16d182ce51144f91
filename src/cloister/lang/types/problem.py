"""What is wrong with a value that does not have its type: where in it, what was expected, and what is there.

Owns the words of type validation errors. Only called for values that were refused, so it may take longer than the
check, but no more than a few times as long. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.errors import GuestError, quoted
from cloister.lang.printer import to_text
from cloister.lang.types.check import accepts, value_kinds
from cloister.lang.types.expression import (
    Array,
    Intersection,
    MapOf,
    Named,
    Optional,
    Record,
    Refinement,
    Tuple,
    Type,
    Union,
    Vector,
)
from cloister.lang.types.predicates import make_test
from cloister.lang.types.text import predicate_text, type_text
from cloister.lang.values import Keyword, Map, Value, settled, type_name

PARTS_MAX: Final = 12
"""Parts of a path that are named; the way further down is left out."""

TYPE_CHARS_MAX: Final = 120
VALUE_CHARS_MAX: Final = 40


@dataclass(frozen=True, slots=True)
class Problem:
    """Why a value does not have a type.

    Attributes:
        path: Where in the value, such as `[0].field`; empty for the value itself.
        expected: What belongs there, usually a type as text.
        actual: What is there.
    """

    path: str
    expected: str
    actual: str

    def __str__(self) -> str:
        place = f"at {self.path}: " if self.path else ""
        return f"{place}expected {self.expected}, got {self.actual}"


@dataclass(frozen=True, slots=True)
class _Part:
    """A part of a value that is not what its type wants it to be."""

    step: str
    type: Type
    value: Value


def find_problem(value: Value, type_: Type) -> Problem | None:
    """Return the first thing wrong with a value, or None when it has the type."""
    if accepts(type_, value):
        return None
    path, steps = "", 0
    while steps < PARTS_MAX:
        found = _look(value, type_)
        if isinstance(found, Problem):
            return Problem(path + found.path, found.expected, found.actual)
        path, steps = path + found.step, steps + bool(found.step)
        type_, value = found.type, found.value
    return Problem(path, _shown(type_), _described(value))


def problem(value: Value, type_: Type) -> str | None:
    """Return what is wrong with a value in words, or None when it has the type."""
    found = find_problem(value, type_)
    return None if found is None else str(found)


def validation_error(value: Value, type_: Type, subject: str) -> GuestError:
    """Return the error for a value that does not have its type.

    Args:
        value: The value that was refused.
        type_: The type it should have.
        subject: What the value is, such as the name it was to be bound to.
    """
    found = find_problem(value, type_) or Problem("", _shown(type_), _described(value))
    message = f"Type validation error: {quoted(subject, 60)}{found.path}: expected {found.expected}, got {found.actual}"
    return GuestError(
        message,
        kind="TypeValidationError",
        code="guest.annotation",
        hint=f"it is declared {_shown(type_)}" if found.path else None,
        details={"path": found.path, "expected": found.expected, "actual": found.actual},
    )


def _shown(type_: Type) -> str:
    return quoted(type_text(type_), TYPE_CHARS_MAX)


def _described(value: Value) -> str:
    value = settled(value)
    kind = type_name(value)
    if value is None or isinstance(value, (tuple, Map)) or kind in {"function", "error", "unknown"}:
        return kind
    return f"{quoted(to_text(value, VALUE_CHARS_MAX), VALUE_CHARS_MAX)} ({kind})"


def _look(value: Value, type_: Type) -> Problem | _Part:  # noqa: C901, PLR0912 - one case for each class of type
    """Return what is wrong with a value that was refused: by itself, or in one of its parts."""
    value = settled(value)
    match type_:
        case Named(declaration=declaration) if declaration.type is not None:
            return _Part("", declaration.type, value)
        case Optional(inner=inner) if not isinstance(inner, Optional) and _has_parts(inner):
            return _Part("", inner, value)
        case Vector(item=item) if isinstance(value, tuple):
            return _wrong_item(value, item)
        case Array(item=item, shape=shape) if isinstance(value, tuple):
            if shape and shape[0] is not None and len(value) != shape[0]:
                return Problem("", f"{shape[0]} elements", str(len(value)))
            return _wrong_item(value, Array(item, shape[1:]) if len(shape) > 1 else item)
        case Tuple(items=items) if isinstance(value, tuple):
            return _wrong_tuple(value, items)
        case Record() if isinstance(value, Map):
            return _wrong_entry(value, type_)
        case MapOf(key=key, value=item) if isinstance(value, Map):
            return _wrong_pair(value, key, item)
        case Union(members=members):
            kinds = [value_kinds(member) for member in members]
            possible = [
                each for each, known in zip(members, kinds, strict=True) if not known or type_name(value) in known
            ]
            if len(possible) == 1:
                return _Part("", possible[0], value)
        case Intersection(members=members):
            return next(_Part("", member, value) for member in members if not accepts(member, value))
        case Refinement(base=base, predicates=predicates):
            if not accepts(base, value):
                return _Part("", base, value)
            unmet = next(each for each in predicates if not make_test(each)(value))
            return Problem("", quoted(predicate_text(unmet), TYPE_CHARS_MAX), _described(value))
    return Problem("", _shown(type_), _described(value))


def _has_parts(type_: Type) -> bool:
    return isinstance(type_, (Named, Vector, Array, Tuple, Record, MapOf, Intersection, Refinement))


def _wrong_item(value: tuple[Value, ...], item: Type) -> Problem | _Part:
    return next(_Part(f"[{index}]", item, part) for index, part in enumerate(value) if not accepts(item, part))


def _wrong_tuple(value: tuple[Value, ...], items: tuple[Type, ...]) -> Problem | _Part:
    if len(value) != len(items):
        return Problem("", f"{len(items)} elements", str(len(value)))
    pairs = enumerate(zip(items, value, strict=True))
    return next(_Part(f"[{index}]", item, part) for index, (item, part) in pairs if not accepts(item, part))


def _wrong_entry(value: Map, record: Record) -> Problem | _Part:
    for entry in record.entries:
        key: Value = Keyword(entry.key)
        if key not in value and not record.keywords_only:
            key = entry.key
        name = f".{quoted(entry.key, VALUE_CHARS_MAX)}"
        if key not in value:
            if not entry.optional:
                return Problem(name, _shown(entry.type), "nothing")
        elif not accepts(entry.type, value[key]):
            return _Part(name, entry.type, value[key])
    raise AssertionError("a record was refused, so one of its fields is wrong")


def _wrong_pair(value: Map, key: Type, item: Type) -> Problem | _Part:
    for name, part in value.items():
        step = f"[{quoted(to_text(name, VALUE_CHARS_MAX), VALUE_CHARS_MAX)}]"
        if not accepts(key, name):
            return Problem("", f"keys of type {_shown(key)}", _described(name))
        if not accepts(item, part):
            return _Part(step, item, part)
    raise AssertionError("a map was refused, so one of its entries is wrong")
