"""What the primitive operations of core do.

Owns their implementations and errors, and `ThrownError`. Values here come from programs; every kind of value must be
expected everywhere.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Final, NoReturn

from cloister.errors import CloisterError, GuestError, quoted
from cloister.lang.core import Operation
from cloister.lang.growing import (
    COLLECTIONS,
    GROWING_MIN,
    MAPS,
    SEQUENCES,
    GrowingMap,
    GrowingVector,
    growing_vector,
)
from cloister.lang.printer import to_display, to_text
from cloister.lang.python_engine.templates import join_code_map, join_list, join_map, join_vector
from cloister.lang.special_forms.plan import TURNS_MAX
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import generic_error, type_error
from cloister.lang.stdlib.comparison import same
from cloister.lang.stdlib.numbers import overflow
from cloister.lang.types.expression import Type
from cloister.lang.types.problem import validation_error
from cloister.lang.values import INT_MAX, INT_MIN, ErrorValue, Keyword, Map, Value, settled, type_name
from cloister.lang.wide_map import map_of


class ThrownError(GuestError):
    """A `GuestError` that a program raised with `throw`; it keeps the thrown data while the program runs.

    Attributes:
        data: The thrown value, or None.
    """

    def __init__(self, message: str, data: Value, kind: str) -> None:
        super().__init__(message, kind=kind, code="guest.thrown")
        self.data = data

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain JSON data, where it is a `GuestError` like any other."""
        return super().to_dict() | {"type": GuestError.__name__}


def check_vector(value: Value, count: int, exact: bool) -> Value:
    """Return a sequence of `count` elements, or of at least as many when not `exact`."""
    if not isinstance(value, SEQUENCES):
        raise type_error("destructuring", "vector", value)
    if len(value) < count or (exact and len(value) != count):
        wanted = f"{'' if exact else 'at least '}{count}"
        message = f"Type error in destructuring: expected a vector of {wanted} elements, got {len(value)}"
        hint = "the pattern names each element; write & rest at its end to take any number"
        raise GuestError(message, kind="TypeError", code="guest.type", hint=hint)
    return value


def check_map(value: Value) -> Value:
    """Return a map."""
    if isinstance(value, MAPS):
        return value
    raise type_error("destructuring", "map", value)


def match_vector(value: Value, count: int, exact: bool) -> Value:
    """Return a sequence when it has `count` elements, or at least as many when not `exact`; else None."""
    if not isinstance(value, SEQUENCES) or len(value) < count or (exact and len(value) != count):
        return None
    return value


def match_map(value: Value, keys: tuple[Value, ...], exact: bool) -> Value:
    """Return a map when it has all `keys`, and no others when `exact`; else None."""
    if not isinstance(value, MAPS) or not all(key in value for key in keys):
        return None
    return None if exact and len(value) != len(keys) else value


def without(value: Map | GrowingMap, keys: Collection[Value]) -> Map:
    """Return a map without some keys."""
    current().charge_elements(len(value))
    kept = [(key, item) for key, item in value.items() if key not in keys]
    return map_of([key for key, _ in kept], [item for _, item in kept])


def tail(value: tuple[Value, ...] | GrowingVector, index: int) -> Value:
    """Return the vector of the elements from an index on, of which the sequence has as many."""
    left = len(value) - index
    if left > GROWING_MIN and type_name(value) == "vector":
        return growing_vector(value).dropped(index)
    current().charge_elements(max(0, left))
    return tuple(settled(value)[index:])


def throw(value: Value) -> NoReturn:
    """Raise an error value again, or a new error with a message or data."""
    if isinstance(value, ErrorValue):
        error = value.error
        if isinstance(error, ThrownError) or error.span is not None:
            raise error
        raise ThrownError(error.message, value.data, error.kind or "Generic")
    if isinstance(value, str):
        raise ThrownError(value, None, "ApplicationError")
    message = value.get(Keyword("message")) if isinstance(value, MAPS) else None
    text = message if isinstance(message, str) else to_display(value)
    raise ThrownError(text, value, "ApplicationError")


def error_value(error: CloisterError) -> ErrorValue:
    """Return what `catch` binds."""
    return ErrorValue(error, getattr(error, "data", None))


def has_kind(error: CloisterError, kind: str) -> bool:
    """Say whether a catch clause for `kind` takes the error."""
    return error.kind == kind


def no_match(value: Value) -> NoReturn:
    """Raise the error for a value no clause took."""
    shown = quoted(to_text(value), 80)
    raise GuestError(
        f"Match error: no clause for {shown}", kind="MatchError", code="guest.match", hint="add a default value last"
    )


def has_content(value: Value) -> bool:
    """Say whether `step-if` and `step-loop` take a value as true (language reference, section 2.9)."""
    if isinstance(value, (bool, int, float, str, *COLLECTIONS)):
        return bool(value)
    return value is not None


def next_turn(turn: int) -> int:
    """Count a turn of `step-loop`."""
    if turn >= TURNS_MAX:
        raise generic_error(f"step-loop ran {TURNS_MAX} times, the most it may", "use loop and recur for longer loops")
    return turn + 1


def refuse(value: Value, annotation: Type, subject: str) -> NoReturn:
    """Raise the error for a value that does not have the type its annotation says."""
    raise validation_error(value, annotation, subject)


def elements(value: Value) -> tuple[Value, ...]:
    """Return what `for` goes through: a vector or list."""
    if isinstance(value, SEQUENCES):
        items: tuple[Value, ...] = settled(value)
        return items
    raise type_error("for", "vector or list", value, "use keys, vals or split to get a vector")


def turns(value: Value) -> range:
    """Return what `dotimes` goes through."""
    if type(value) is int:
        return range(value)
    raise type_error("dotimes", "integer", value)


def fit(result: int, operation: str) -> int:
    """Return an integer that has 64 bits."""
    if INT_MIN <= result <= INT_MAX:
        return result
    raise overflow(operation)


UNSET: Final = object()
"""What a variable holds that was not assigned yet."""


def latest(name: str, *values: Value) -> Value:
    """Return the first value that was assigned.

    Raises:
        GuestError: `guest.undefined` when none was.
    """
    found = next((value for value in values if value is not UNSET), UNSET)
    return unset(name) if found is UNSET else found


def unset(name: str) -> NoReturn:
    """Raise the error for a definition that was not evaluated before it was used."""
    message = f"Undefined symbol: {quoted(name, 60)}"
    hint = "its definition stands later or in a branch that was not taken"
    raise GuestError(message, kind="UndefinedSymbol", code="guest.undefined", hint=hint)


OPERATIONS: Final[dict[Operation, Callable[..., Any]]] = {
    Operation.CHECK_VECTOR: check_vector,
    Operation.CHECK_MAP: check_map,
    Operation.ELEMENT: lambda value, index: value[index],
    Operation.TAIL: tail,
    Operation.ENTRY: lambda value, key: value.get(key),
    Operation.HAS_KEY: lambda value, key: key in value,
    Operation.WITHOUT: without,
    Operation.THROW: throw,
    Operation.NO_MATCH: no_match,
    Operation.NEXT_TURN: next_turn,
    Operation.HAS_CONTENT: has_content,
    Operation.SAME: same,
    Operation.JOIN_LIST: join_list,
    Operation.JOIN_VECTOR: join_vector,
    Operation.JOIN_MAP: join_map,
    Operation.JOIN_CODE_MAP: join_code_map,
    Operation.MATCH_VECTOR: match_vector,
    Operation.MATCH_MAP: match_map,
    Operation.ELEMENTS: elements,
}
"""Implementation of each operation."""
