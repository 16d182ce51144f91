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
from cloister.lang.stdlib.texts import BLANKS
from cloister.lang.values import INT_MAX, INT_MIN, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_INTEGER: Final = re.compile(r"[+-]?[0-9]+")
_FLOAT: Final = re.compile(
    r"[+-]?(?:(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:e[+-]?[0-9]+)?|inf|infinity|nan)", re.IGNORECASE | re.ASCII
)
_INT_DIGITS_MAX: Final = 19
_BASE_DIGITS_MAX: Final = 64
_BASES: Final = range(2, 37)


_DIGITS: Final = "0123456789abcdefghijklmnopqrstuvwxyz"


def integer_of_text(text: str) -> int | None:
    """Read a decimal integer, blanks around it ignored; None when it is none or does not fit in 64 bits."""
    current().charge_scan(len(text))
    trimmed = text.strip(BLANKS)
    if not _INTEGER.fullmatch(trimmed):
        return None
    digits = trimmed.lstrip("+-0") or "0"
    if len(digits) > _INT_DIGITS_MAX:
        return None
    number = -int(digits) if trimmed[0] == "-" else int(digits)
    return number if INT_MIN <= number <= INT_MAX else None


def _in_base(text: str, base: int) -> int | None:
    current().charge_scan(len(text))
    trimmed = text.strip(BLANKS).lower()
    unsigned = trimmed[1:] if trimmed[:1] in {"+", "-"} else trimmed
    digits = unsigned.lstrip("0") or unsigned[:1]
    if not digits or len(digits) > _BASE_DIGITS_MAX or not set(_DIGITS[:base]).issuperset(digits):
        return None
    number = -int(digits, base) if trimmed[0] == "-" else int(digits, base)
    return number if INT_MIN <= number <= INT_MAX else None


def float_of_text(text: str) -> float | None:
    """Read a float, blanks around it ignored; None when it is none."""
    current().charge_scan(len(text))
    trimmed = text.strip(BLANKS)
    return float(trimmed) if _FLOAT.fullmatch(trimmed) else None


@_builtin(
    "parse-int",
    1,
    2,
    signature="(parse-int x base?)",
    examples=('(parse-int " 12 ") ;=> 12', '(parse-int "1.5") ;=> nil', '(parse-int "ff" 16) ;=> 255'),
)
def parse_integer(value: Value, base: Value = None) -> Value:
    """Read an integer from text, in base 10 or another up to 36; nil when it is none.

    An integer is returned as it is, a float without its fraction, anything else gives nil.
    """
    if base is not None and require_integer("parse-int", base) not in _BASES:
        raise argument_error("parse-int", f"base {base}", "bases go from 2 to 36")
    if isinstance(value, str):
        return integer_of_text(value) if base is None else _in_base(value, base)
    return truncate(value) if is_number(value) else None


@_builtin(
    "parse-float",
    1,
    signature="(parse-float x)",
    examples=(
        '(parse-float "1e3") ;=> 1000.0',
        '(parse-float "x") ;=> nil',
    ),
)
def parse_float(value: Value) -> Value:
    """Read a float from text; nil when it is none.

    A number is returned as a float, anything else gives nil.
    """
    if isinstance(value, str):
        return float_of_text(value)
    return float(value) if is_number(value) else None


@_builtin(
    "int",
    1,
    signature="(int x)",
    examples=(
        "(int 3.9) ;=> 3",
        '(int "x") ;=> 0',
    ),
)
def to_integer(value: Value) -> Value:
    """Turn anything into an integer; what is not a number, nor text of one, gives 0."""
    if isinstance(value, str):
        return integer_of_text(value) or 0
    if isinstance(value, bool):
        return int(value)
    return truncate(value) if is_number(value) else 0


@_builtin(
    "float",
    1,
    signature="(float x)",
    examples=(
        "(float 2) ;=> 2.0",
        '(float "x") ;=> 0.0',
    ),
)
def to_float(value: Value) -> Value:
    """Turn anything into a float; what is not a number, nor text of one, gives 0.0."""
    if isinstance(value, str):
        found = float_of_text(value)
        return 0.0 if found is None else found
    return float(value) if is_number(value) else 0.0


@_builtin(
    "parse-bool",
    1,
    signature="(parse-bool x)",
    also=("parse-boolean",),
    examples=('(parse-bool "true") ;=> true', '(parse-bool "yes") ;=> nil'),
)
def parse_boolean(value: Value) -> Value:
    """Read "true" or "false" from text, blanks around it ignored; nil when it is neither.

    A boolean is returned as it is, anything else gives nil.
    """
    if isinstance(value, str):
        current().charge_scan(len(value))
        return {"true": True, "false": False}.get(value.strip(BLANKS))
    return value if isinstance(value, bool) else None


@_builtin("boolean", 1, signature="(boolean x)", examples=("(boolean 0) ;=> true", "(boolean nil) ;=> false"))
def to_boolean(value: Value) -> Value:
    """Return whether the value counts as true: all do except false and nil."""
    return value is not None and value is not False


@_builtin(
    "range",
    1,
    3,
    signature="(range start? end step?)",
    examples=(
        "(range 3) ;=> [0 1 2]",
        "(range 0 10 3) ;=> [0 3 6 9]",
    ),
)
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


@_builtin("numbers", 2, signature="(numbers from to)", examples=("(numbers 1 3) ;=> [1 2 3]",))
def inclusive_range(start: Value, end: Value) -> Value:
    """List the integers between two numbers, both included."""
    first = truncate(require_number("numbers", start))
    return _integers(first, truncate(require_number("numbers", end)) + 1, 1)


def _integers(start: int, stop: int, step: int) -> tuple[int, ...]:
    count = max(0, (stop - start + step - (1 if step > 0 else -1)) // step)
    current().charge_elements(count)
    return tuple(range(start, stop, step))
