"""Builtins on errors as values.

Owns making an error value and reading one. Throwing and catching are special forms, not here. Part of the guest set:
standard library only.

Source: language reference, sections 3.6 and 6.6, and section 9 row 51.
"""

from __future__ import annotations

from typing import Final

from cloister.errors import GuestError
from cloister.lang.printer import to_display
from cloister.lang.stdlib.builtin import Topic, type_error
from cloister.lang.values import ErrorValue, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


def _require_error(operation: str, value: Value) -> ErrorValue:
    if isinstance(value, ErrorValue):
        return value
    raise type_error(operation, "error", value)


@_builtin(
    "Exception.",
    1,
    None,
    signature="(Exception. message data?)",
    examples=('(error-message (Exception. "no")) ;=> "no"',),
)
def make_error(message: Value, *more: Value) -> Value:
    """Return an error with a message, and data if given; throw raises it."""
    return ErrorValue(GuestError(to_display(message)), data=more[0] if more else None)


@_builtin(
    "ex-info",
    1,
    2,
    signature="(ex-info message data?)",
    examples=('(try (throw (ex-info "no" {:a 1})) (catch e (ex-data e))) ;=> {:a 1}',),
)
def make_error_with_data(message: Value, data: Value = None) -> Value:
    """Return an error with a message and data; throw raises it."""
    return ErrorValue(GuestError(to_display(message)), data=data)


@_builtin(
    "getMessage",
    1,
    signature="(getMessage e)",
    also=("error-message", "ex-message"),
    examples=('(getMessage (Exception. "no")) ;=> "no"',),
)
def error_message(error: Value) -> Value:
    """Return the message of a caught error."""
    return _require_error("getMessage", error).error.message


@_builtin(
    "error-kind",
    1,
    signature="(error-kind e)",
    examples=('(try (/ 1 0) (catch e (error-kind e))) ;=> "DivisionByZero"',),
)
def error_kind(error: Value) -> Value:
    """Return the kind of a caught error as text, such as "DivisionByZero"."""
    return _require_error("error-kind", error).error.kind or GuestError.default_kind


@_builtin(
    "error-data",
    1,
    signature="(error-data e)",
    also=("ex-data",),
    examples=('(error-data (Exception. "no" {:a 1})) ;=> {:a 1}',),
)
def error_data(error: Value) -> Value:
    """Return the data that was thrown with an error; nil when there was none."""
    return _require_error("error-data", error).data
