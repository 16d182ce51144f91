"""Builtins that bring numbers into a shape: rounding, bounds, sums.

Owns rounding, which is half away from zero and exact on the value a float really has. Part of the guest set: standard
library only.
"""

from __future__ import annotations

import math
from typing import Final

from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import Topic, argument_error, require_integer, require_sequence
from cloister.lang.stdlib.numbers import checked, overflow, require_number
from cloister.lang.values import INT_MAX, INT_MIN, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_DIGITS_MAX: Final = 15
_WHOLE_FROM: Final = 2.0**52
"""From here on a float has no fraction."""


def _whole(operation: str, value: Value) -> int | float:
    number = require_number(operation, value)
    if isinstance(number, float):
        if math.isnan(number):
            raise argument_error(operation, "NaN is no number", "test it with nan? before")
        if math.isinf(number):
            raise overflow(operation)
    return number


@_builtin("floor", 1, signature="(floor x)", examples=("(floor -1.5) ;=> -2", "(floor ##NaN) ;!! guest.argument"))
def floor(value: Value) -> Value:
    """Return the largest integer that is not above the number."""
    return checked("floor", math.floor(_whole("floor", value)))


@_builtin("ceil", 1, signature="(ceil x)", also=("ceiling",), examples=("(ceil 1.2) ;=> 2",))
def ceil(value: Value) -> Value:
    """Return the smallest integer that is not below the number."""
    return checked("ceil", math.ceil(_whole("ceil", value)))


@_builtin("trunc", 1, signature="(trunc x)", examples=("(trunc -1.9) ;=> -1", "(trunc 1.0e300) ;!! guest.overflow"))
def trunc(value: Value) -> Value:
    """Return the number without its fraction, as an integer; int does so for anything and never fails."""
    return checked("trunc", math.trunc(_whole("trunc", value)))


@_builtin(
    "round",
    1,
    2,
    signature="(round x digits?)",
    examples=("(round 2.5) ;=> 3", "(round -2.5) ;=> -3", "(round 3.14159 2) ;=> 3.14"),
)
def round_number(value: Value, digits: Value = None) -> Value:
    """Return the nearest integer, or the nearest float with so many decimal digits; halves go away from zero."""
    number = _whole("round", value) if digits is None else require_number("round", value)
    if digits is None:
        return number if isinstance(number, int) else checked("round", _rounded(number, 1)[0])
    count = require_integer("round", digits)
    if not 0 <= count <= _DIGITS_MAX:
        raise argument_error("round", f"{count} digits", f"keep between 0 and {_DIGITS_MAX} digits after the point")
    if isinstance(number, int) or not math.isfinite(number) or abs(number) >= _WHOLE_FROM:
        return number
    whole, scale = _rounded(number, 10**count)
    return math.copysign(whole / scale, number)


def _rounded(number: float, scale: int) -> tuple[int, int]:
    above, below = abs(number).as_integer_ratio()
    whole = (2 * above * scale + below) // (2 * below)
    return (whole if number >= 0 else -whole), scale


@_builtin("sign", 1, signature="(sign x)", examples=("(sign -2.5) ;=> -1",))
def sign(value: Value) -> Value:
    """Return -1, 0 or 1 as the number is below, at or above zero; 0 for NaN."""
    number = require_number("sign", value)
    return (number > 0) - (number < 0)


@_builtin("clamp", 3, signature="(clamp x low high)", examples=("(clamp 12 0 10) ;=> 10", "(clamp 5 0 10) ;=> 5"))
def clamp(value: Value, low: Value, high: Value) -> Value:
    """Return the number, or the bound it lies beyond."""
    number, least, most = (require_number("clamp", argument) for argument in (value, low, high))
    if least > most:
        raise argument_error("clamp", "the lower bound is above the upper one", "name the smaller bound first")
    return least if number < least else most if number > most else number


@_builtin("sum", 1, signature="(sum numbers)", examples=("(sum [1 2 3.5]) ;=> 6.5", "(sum []) ;=> 0"))
def total(values: Value) -> Value:
    """Add the numbers of a vector or list."""
    numbers = require_sequence("sum", values)
    current().charge_steps(len(numbers))
    result: int | float = 0
    for value in numbers:
        result += require_number("sum", value)
        if type(result) is int and not INT_MIN <= result <= INT_MAX:
            raise overflow("sum")
    return result


@_builtin("avg", 1, signature="(avg numbers)", also=("mean",), examples=("(avg [1 2]) ;=> 1.5", "(avg []) ;=> nil"))
def average(values: Value) -> Value:
    """Return the arithmetic mean of the numbers of a vector or list, as a float; nil when there are none."""
    numbers = require_sequence("avg", values)
    current().charge_steps(len(numbers))
    result: int | float = 0
    for value in numbers:
        result += require_number("avg", value)
    return float(result / len(numbers)) if numbers else None
