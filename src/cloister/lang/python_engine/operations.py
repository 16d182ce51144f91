"""What the primitive operations of core do.

Owns their implementations and errors, and `ThrownError`. Values here come from programs; every kind of value must be
expected everywhere.
"""

from __future__ import annotations

from typing import Any, Final, NoReturn

from cloister.errors import CloisterError, GuestError, quoted
from cloister.lang.annotations import Annotation
from cloister.lang.core import Operation
from cloister.lang.printer import to_display, to_text
from cloister.lang.special_forms.plan import TURNS_MAX
from cloister.lang.stdlib.builtin import generic_error, type_error
from cloister.lang.stdlib.comparison import same
from cloister.lang.values import ErrorValue, Keyword, Map, Value, type_name


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
    if not isinstance(value, tuple):
        raise type_error("destructuring", "vector", value)
    if len(value) < count or (exact and len(value) != count):
        wanted = f"{'' if exact else 'at least '}{count}"
        message = f"Type error in destructuring: expected a vector of {wanted} elements, got {len(value)}"
        hint = "the pattern names each element; write & rest at its end to take any number"
        raise GuestError(message, kind="TypeError", code="guest.type", hint=hint)
    return value


def check_map(value: Value) -> Value:
    """Return a map."""
    if isinstance(value, Map):
        return value
    raise type_error("destructuring", "map", value)


def without(value: Map, keys: tuple[Value, ...]) -> Map:
    """Return a map without some keys."""
    return Map((key, item) for key, item in value.items() if key not in keys)


def throw(value: Value) -> NoReturn:
    """Raise an error value again, or a new error with a message or data."""
    if isinstance(value, ErrorValue):
        error = value.error
        if isinstance(error, ThrownError) or error.span is not None:
            raise error
        raise ThrownError(error.message, value.data, error.kind or "Generic")
    if isinstance(value, str):
        raise ThrownError(value, None, "ApplicationError")
    message = value.get(Keyword("message")) if isinstance(value, Map) else None
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
    if isinstance(value, (bool, int, float, str, tuple, Map)):
        return bool(value)
    return value is not None


def next_turn(turn: int) -> int:
    """Count a turn of `step-loop`."""
    if turn >= TURNS_MAX:
        raise generic_error(f"step-loop ran {TURNS_MAX} times, the most it may", "use loop and recur for longer loops")
    return turn + 1


def cast(value: Value, annotation: Annotation, subject: str) -> Value:
    """Return a value that has the type its annotation says."""
    if annotation.accepts(value):
        return value
    message = f"Type validation error: {quoted(subject, 60)} is declared {annotation}, got {type_name(value)}"
    raise GuestError(message, kind="TypeValidationError", code="guest.annotation")


def cast_each(values: tuple[Value, ...], annotation: Annotation, subject: str) -> Value:
    """Return a vector whose elements have the type their annotation says."""
    for value in values:
        cast(value, annotation, subject)
    return values


def elements(value: Value) -> tuple[Value, ...]:
    """Return what `for` goes through: a vector or list."""
    if isinstance(value, tuple):
        return value
    raise type_error("for", "vector or list", value, "use keys, vals or split to get a vector")


def turns(value: Value) -> range:
    """Return what `dotimes` goes through."""
    if type(value) is int:
        return range(value)
    raise type_error("dotimes", "integer", value)


def unset(name: str) -> NoReturn:
    """Raise the error for a definition that was not evaluated before it was used."""
    message = f"Undefined symbol: {quoted(name, 60)}"
    hint = "its definition stands later or in a branch that was not taken"
    raise GuestError(message, kind="UndefinedSymbol", code="guest.undefined", hint=hint)


OPERATIONS: Final = {
    Operation.CHECK_VECTOR: check_vector,
    Operation.CHECK_MAP: check_map,
    Operation.ELEMENT: lambda value, index: value[index],
    Operation.TAIL: lambda value, index: tuple(value[index:]),
    Operation.ENTRY: lambda value, key: value.get(key),
    Operation.HAS_KEY: lambda value, key: key in value,
    Operation.WITHOUT: without,
    Operation.THROW: throw,
    Operation.NO_MATCH: no_match,
    Operation.NEXT_TURN: next_turn,
    Operation.HAS_CONTENT: has_content,
    Operation.SAME: same,
}
"""Implementation of each operation."""
