"""Builtins on numbers: checked 64-bit integers and IEEE doubles.

Owns arithmetic. Integers never wrap and never lose digits; a float operand makes the result
a float. Part of the guest set: standard library only.

Source: language reference, sections 3.4 and 6.2.
"""

from __future__ import annotations

import math
from typing import Final

from cloister.errors import GuestError
from cloister.lang.stdlib.builtin import Topic, argument_error, generic_error, require_integer, type_error
from cloister.lang.values import INT_MAX, INT_MIN, Value, type_name

TOPIC: Final = Topic()
_builtin = TOPIC.builtin

_FACTORIAL_MAX: Final = 20
"""Largest n whose factorial fits in 64 bits."""


def is_number(value: Value) -> bool:
    """Say whether a value is an integer or a float; booleans are neither."""
    kind = type(value)
    return kind is int or kind is float


def checked(operation: str, result: int) -> int:
    """Return an integer result that fits in 64 bits.

    Raises:
        GuestError: `ArithmeticOverflow` when it does not.
    """
    if INT_MIN <= result <= INT_MAX:
        return result
    raise overflow(operation)


def overflow(operation: str) -> GuestError:
    """Return the error for an integer result beyond 64 bits."""
    return GuestError(
        f"Arithmetic overflow in {operation}: the result exceeds 64 bits",
        kind="ArithmeticOverflow",
        code="guest.overflow",
        hint="use floats, for example (* 1.0 x), where magnitude matters more than exactness",
    )


def division_by_zero() -> GuestError:
    """Return the error for a zero divisor."""
    return GuestError("Division by zero", kind="DivisionByZero", code="guest.division")


def truncate(number: float) -> int:
    """Return a number without its fraction; beyond 64 bits the nearest integer that fits, and 0 for NaN."""
    if isinstance(number, int):
        return number
    if math.isnan(number):
        return 0
    if math.isinf(number):
        return INT_MAX if number > 0 else INT_MIN
    return max(INT_MIN, min(INT_MAX, math.trunc(number)))


def require_number(operation: str, value: Value) -> int | float:
    """Return `value` when it is a number.

    Raises:
        GuestError: `TypeError` otherwise.
    """
    if type(value) is int or type(value) is float:
        return value
    raise type_error(operation, "number", value)


def _settle(operation: str, result: int | float) -> int | float:
    return checked(operation, result) if type(result) is int else result


@_builtin("+", 1, None, signature="(+ x & more)")
def add(first: Value, *more: Value) -> Value:
    """Add numbers, from left to right."""
    total = require_number("+", first)
    for value in more:
        if type(value) is not int and type(value) is not float:
            raise type_error("+", "number", value)
        total += value
        if type(total) is int and not INT_MIN <= total <= INT_MAX:
            raise overflow("+")
    return total


@_builtin("-", 1, None, signature="(- x & more)")
def subtract(first: Value, *more: Value) -> Value:
    """Subtract the further numbers from the first; negate a single one."""
    total = require_number("-", first)
    if not more:
        return _settle("-", -total)
    for value in more:
        if type(value) is not int and type(value) is not float:
            raise type_error("-", "number", value)
        total -= value
        if type(total) is int and not INT_MIN <= total <= INT_MAX:
            raise overflow("-")
    return total


@_builtin("*", 1, None, signature="(* x & more)")
def multiply(first: Value, *more: Value) -> Value:
    """Multiply numbers, from left to right."""
    total = require_number("*", first)
    for value in more:
        if type(value) is not int and type(value) is not float:
            raise type_error("*", "number", value)
        total *= value
        if type(total) is int and not INT_MIN <= total <= INT_MAX:
            raise overflow("*")
    return total


@_builtin("/", 1, None, signature="(/ x & more)")
def divide(first: Value, *more: Value) -> Value:
    """Divide the first number by the further ones; a whole result is an integer, any other a float."""
    total = require_number("/", first)
    for value in more:
        divisor = require_number("/", value)
        if divisor == 0:
            raise division_by_zero()
        if isinstance(total, int) and isinstance(divisor, int) and total % divisor == 0:
            total = checked("/", total // divisor)
        else:
            total = total / divisor
    if isinstance(total, float) and total.is_integer() and INT_MIN <= total < -float(INT_MIN):
        return int(total)
    return total


@_builtin("mod", 2, signature="(mod x divisor)", also=("rem",))
def modulo(number: Value, divisor: Value) -> Value:
    """Return the remainder of a division; its sign is that of the dividend."""
    number, divisor = require_number("mod", number), require_number("mod", divisor)
    if divisor == 0:
        raise division_by_zero()
    if isinstance(number, int) and isinstance(divisor, int):
        rest = abs(number) % abs(divisor)
        return rest if number >= 0 else -rest
    return math.nan if math.isinf(number) else math.fmod(number, divisor)


@_builtin("quot", 2, signature="(quot x divisor)")
def quotient(number: Value, divisor: Value) -> Value:
    """Divide and drop the fraction."""
    number, divisor = require_number("quot", number), require_number("quot", divisor)
    if divisor == 0:
        raise division_by_zero()
    if isinstance(number, int) and isinstance(divisor, int):
        whole = abs(number) // abs(divisor)
        return checked("quot", whole if (number >= 0) == (divisor > 0) else -whole)
    result: float = number / divisor
    return float(math.trunc(result)) if math.isfinite(result) else result


def _step(operation: str, value: Value, by: int) -> Value:
    if not is_number(value):
        raise generic_error(f"{operation} expects a number, got {type_name(value)}")
    return _settle(operation, value + by)


@_builtin("inc", 1, signature="(inc x)")
def increment(value: Value) -> Value:
    """Return the number plus one."""
    return _step("inc", value, 1)


@_builtin("dec", 1, signature="(dec x)")
def decrement(value: Value) -> Value:
    """Return the number minus one."""
    return _step("dec", value, -1)


def _extreme(operation: str, values: tuple[Value, ...], sign: int) -> Value:
    best = values[0]
    if len(values) == 1:
        return best
    for value in values:
        if not is_number(value):
            raise generic_error(f"{operation} expects numbers, got {type_name(value)}")
        if (value > best) if sign > 0 else (value < best):
            best = value
    return best


@_builtin("max", 1, None, signature="(max x & more)")
def maximum(*values: Value) -> Value:
    """Return the largest number, as it was given; of equal ones the first."""
    return _extreme("max", values, 1)


@_builtin("min", 1, None, signature="(min x & more)")
def minimum(*values: Value) -> Value:
    """Return the smallest number, as it was given; of equal ones the first."""
    return _extreme("min", values, -1)


@_builtin("abs", 1, signature="(abs x)")
def absolute(value: Value) -> Value:
    """Return the number without its sign."""
    return _settle("abs", abs(require_number("abs", value)))


@_builtin("sqrt", 1, signature="(sqrt x)")
def square_root(value: Value) -> Value:
    """Return the square root as a float."""
    number = require_number("sqrt", value)
    if number < 0:
        raise argument_error("sqrt", "the square root of a negative number is not a number")
    return math.sqrt(number)


@_builtin("pow", 2, signature="(pow base exponent)")
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


@_builtin("factorial", 1, signature="(factorial n)")
def factorial(value: Value) -> Value:
    """Return the product of the integers from 1 to n."""
    number = require_integer("factorial", value)
    if number < 0:
        raise argument_error("factorial", "a negative number has no factorial")
    return checked("factorial", math.factorial(number) if number <= _FACTORIAL_MAX else INT_MAX + 1)


@_builtin("even?", 1, signature="(even? x)")
def is_even(value: Value) -> Value:
    """Say whether the number, without its fraction, is divisible by two."""
    return truncate(require_number("even?", value)) % 2 == 0


@_builtin("odd?", 1, signature="(odd? x)")
def is_odd(value: Value) -> Value:
    """Say whether the number, without its fraction, is not divisible by two."""
    return truncate(require_number("odd?", value)) % 2 == 1


@_builtin("zero?", 1, signature="(zero? x)")
def is_zero(value: Value) -> Value:
    """Say whether the number is zero."""
    return require_number("zero?", value) == 0


@_builtin("pos?", 1, signature="(pos? x)")
def is_positive(value: Value) -> Value:
    """Say whether the number is greater than zero."""
    return require_number("pos?", value) > 0


@_builtin("neg?", 1, signature="(neg? x)")
def is_negative(value: Value) -> Value:
    """Say whether the number is less than zero."""
    return require_number("neg?", value) < 0
