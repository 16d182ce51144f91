"""Builtins that ask what a number is like.

Owns parity, sign, and the two kinds of floats that are no ordinary number. Part of the guest set: standard library
only.

Source: language reference, section 6.2.
"""

from __future__ import annotations

import math
from typing import Final

from cloister.lang.stdlib.builtin import Topic
from cloister.lang.stdlib.numbers import require_number, truncate
from cloister.lang.values import Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin("even?", 1, signature="(even? x)", examples=("(even? 4) ;=> true",))
def is_even(value: Value) -> Value:
    """Say whether the number, without its fraction, is divisible by two."""
    return truncate(require_number("even?", value)) % 2 == 0


@_builtin("odd?", 1, signature="(odd? x)", examples=("(odd? -3) ;=> true",))
def is_odd(value: Value) -> Value:
    """Say whether the number, without its fraction, is not divisible by two."""
    return truncate(require_number("odd?", value)) % 2 == 1


@_builtin("zero?", 1, signature="(zero? x)", examples=("(zero? 0.0) ;=> true",))
def is_zero(value: Value) -> Value:
    """Say whether the number is zero."""
    return require_number("zero?", value) == 0


@_builtin("pos?", 1, signature="(pos? x)", examples=("(pos? 1) ;=> true",))
def is_positive(value: Value) -> Value:
    """Say whether the number is greater than zero."""
    return require_number("pos?", value) > 0


@_builtin("neg?", 1, signature="(neg? x)", examples=("(neg? -1) ;=> true",))
def is_negative(value: Value) -> Value:
    """Say whether the number is less than zero."""
    return require_number("neg?", value) < 0


@_builtin("nat-int?", 1, signature="(nat-int? x)", examples=("(nat-int? 0) ;=> true", "(nat-int? -1) ;=> false"))
def is_natural(value: Value) -> Value:
    """Say whether the value is an integer of at least zero; other kinds are none."""
    return type(value) is int and value >= 0


@_builtin("nan?", 1, signature="(nan? x)", examples=("(nan? ##NaN) ;=> true", "(nan? 1) ;=> false"))
def is_nan(value: Value) -> Value:
    """Say whether the number is NaN."""
    return math.isnan(require_number("nan?", value))


@_builtin("infinite?", 1, signature="(infinite? x)", examples=("(infinite? ##-Inf) ;=> true",))
def is_infinite(value: Value) -> Value:
    """Say whether the number is infinite."""
    return math.isinf(require_number("infinite?", value))
