"""Builtins that make numbers: from text, from other kinds, and in rows.

Owns what text counts as a number, and ranges. Part of the guest set: standard library only.

Source: language reference, section 6.2.
"""

from __future__ import annotations

import re
from typing import Final

from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import Topic, argument_error, require_integer
from cloister.lang.stdlib.numbers import is_number, require_number, truncate
from cloister.lang.values import INT_MAX, INT_MIN, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_INTEGER: Final = re.compile(r"[+-]?+[0-9]++(?!.)", re.DOTALL)
_FLOAT: Final = re.compile(
    r"[+-]?+(?:(?:[0-9]++\.?+[0-9]*+|\.[0-9]++)(?:e[+-]?+[0-9]++)?+|inf(?:inity)?+|nan)(?!.)", re.IGNORECASE | re.DOTALL
)
_INT_DIGITS_MAX: Final = 19


def integer_of_text(text: str) -> int | None:
    """Read a decimal integer, blanks around it ignored; None when it is none or does not fit in 64 bits."""
    trimmed = text.strip()
    if not _INTEGER.match(trimmed):
        return None
    digits = trimmed.lstrip("+-0") or "0"
    if len(digits) > _INT_DIGITS_MAX:
        return None
    number = -int(digits) if trimmed[0] == "-" else int(digits)
    return number if INT_MIN <= number <= INT_MAX else None


def float_of_text(text: str) -> float | None:
    """Read a float, blanks around it ignored; None when it is none."""
    trimmed = text.strip()
    return float(trimmed) if _FLOAT.match(trimmed) else None


@_builtin("parse-int", 1, signature="(parse-int x)")
def parse_integer(value: Value) -> Value:
    """Read an integer from text; nil when it is none.

    An integer is returned as it is, a float without its fraction, anything else gives nil.
    """
    if isinstance(value, str):
        return integer_of_text(value)
    return truncate(value) if is_number(value) else None


@_builtin("parse-float", 1, signature="(parse-float x)")
def parse_float(value: Value) -> Value:
    """Read a float from text; nil when it is none.

    A number is returned as a float, anything else gives nil.
    """
    if isinstance(value, str):
        return float_of_text(value)
    return float(value) if is_number(value) else None


@_builtin("int", 1, signature="(int x)")
def to_integer(value: Value) -> Value:
    """Turn anything into an integer; what is not a number, nor text of one, gives 0."""
    if isinstance(value, str):
        return integer_of_text(value) or 0
    if isinstance(value, bool):
        return int(value)
    return truncate(value) if is_number(value) else 0


@_builtin("float", 1, signature="(float x)")
def to_float(value: Value) -> Value:
    """Turn anything into a float; what is not a number, nor text of one, gives 0.0."""
    if isinstance(value, str):
        return float_of_text(value) or 0.0
    return float(value) if is_number(value) else 0.0


@_builtin("range", 1, 3, signature="(range start? end step?)")
def integer_range(*bounds: Value) -> Value:
    """List the integers from start (0 if left out) up to but without end."""
    start, stop, step = 0, 0, 1
    numbers = [require_integer("range", bound) for bound in bounds]
    if len(numbers) == 1:
        stop = numbers[0]
    else:
        start, stop, step = (*numbers, 1)[:3]
    if step == 0:
        raise argument_error("range", "the step is 0", "count up with 1 or down with -1")
    return _integers(start, stop, step)


@_builtin("numbers", 2, signature="(numbers from to)")
def inclusive_range(start: Value, end: Value) -> Value:
    """List the integers between two numbers, both included."""
    first = truncate(require_number("numbers", start))
    return _integers(first, truncate(require_number("numbers", end)) + 1, 1)


def _integers(start: int, stop: int, step: int) -> tuple[int, ...]:
    count = max(0, (stop - start + step - (1 if step > 0 else -1)) // step)
    current().charge_elements(count)
    return tuple(range(start, stop, step))
