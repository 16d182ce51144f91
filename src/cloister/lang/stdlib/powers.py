"""Builtins on powers, roots and factorials.

Owns them; results beyond 64 bits are refused before they are computed. Part of the guest set: standard library only.

Source: language reference, sections 3.4 and 6.2.
"""

from __future__ import annotations

import math
from typing import Final

from cloister.lang.stdlib.builtin import Topic, argument_error, require_integer
from cloister.lang.stdlib.numbers import checked, require_number
from cloister.lang.values import INT_MAX, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_FACTORIAL_MAX: Final = 20
"""Largest n whose factorial fits in 64 bits."""


@_builtin(
    "sqrt",
    1,
    signature="(sqrt x)",
    examples=(
        "(sqrt 16) ;=> 4.0",
        "(sqrt -1) ;!! guest.argument",
    ),
)
def square_root(value: Value) -> Value:
    """Return the square root as a float."""
    number = require_number("sqrt", value)
    if number < 0:
        raise argument_error("sqrt", "the square root of a negative number is not a number")
    return math.sqrt(number)


@_builtin(
    "pow",
    2,
    signature="(pow base exponent)",
    examples=(
        "(pow 2 10) ;=> 1024",
        "(pow 2 -1) ;=> 0.5",
        "(pow 2 64) ;!! guest.overflow",
    ),
)
def power(base: Value, exponent: Value) -> Value:
    """Raise a number to a power; integers with an exponent of at least 0 stay integers."""
    base, exponent = require_number("pow", base), require_number("pow", exponent)
    if isinstance(base, int) and isinstance(exponent, int) and exponent >= 0:
        if abs(base) < 2:
            return base if exponent % 2 else base * base if exponent else 1
        # 2 is the smallest base left, so a larger exponent cannot fit; the huge number is never computed.
        return checked("pow", base**exponent if exponent <= 64 else INT_MAX + 1)
    return _float_power(float(base), float(exponent))


def _float_power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return -math.inf if base < 0 and exponent % 2 == 1 else math.inf
    except ValueError:  # a negative base with a fraction as exponent, or zero with a negative one
        return math.inf if base == 0 else math.nan


@_builtin("factorial", 1, signature="(factorial n)", examples=("(factorial 5) ;=> 120",))
def factorial(value: Value) -> Value:
    """Return the product of the integers from 1 to n."""
    number = require_integer("factorial", value)
    if number < 0:
        raise argument_error("factorial", "a negative number has no factorial")
    return checked("factorial", math.factorial(number) if number <= _FACTORIAL_MAX else INT_MAX + 1)
