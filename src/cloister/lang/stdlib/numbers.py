"""Builtins on numbers: checked 64-bit integers and IEEE doubles.

Owns arithmetic. Integers never wrap and never lose digits; a float operand makes the result
a float. Part of the guest set: standard library only.

Source: language reference, sections 3.4 and 6.2.
"""

from __future__ import annotations

import math
from typing import Final

from cloister.errors import GuestError
from cloister.lang.stdlib.builtin import Topic, generic_error, type_error
from cloister.lang.values import INT_MAX, INT_MIN, Value, type_name

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


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


def _add_two(left: Value, right: Value) -> Value:
    if type(left) is int and type(right) is int:
        total = left + right
        if INT_MIN <= total <= INT_MAX:
            return total
    return add(left, right)


@_builtin(
    "+",
    1,
    None,
    signature="(+ x & more)",
    binary=_add_two,
    examples=(
        "(+ 1 2 3) ;=> 6",
        "(+ 1 2.5) ;=> 3.5",
        "(+ 9223372036854775807 1) ;!! guest.overflow",
    ),
)
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


def _subtract_two(left: Value, right: Value) -> Value:
    if type(left) is int and type(right) is int:
        total = left - right
        if INT_MIN <= total <= INT_MAX:
            return total
    return subtract(left, right)


@_builtin(
    "-",
    1,
    None,
    signature="(- x & more)",
    binary=_subtract_two,
    examples=(
        "(- 10 3 2) ;=> 5",
        "(- 5) ;=> -5",
    ),
)
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


def _multiply_two(left: Value, right: Value) -> Value:
    if type(left) is int and type(right) is int:
        total = left * right
        if INT_MIN <= total <= INT_MAX:
            return total
    return multiply(left, right)


@_builtin(
    "*",
    1,
    None,
    signature="(* x & more)",
    binary=_multiply_two,
    examples=(
        "(* 2 3) ;=> 6",
        "(* 2 1.5) ;=> 3.0",
    ),
)
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


@_builtin(
    "/",
    1,
    None,
    signature="(/ x & more)",
    examples=(
        "(/ 10 4) ;=> 2.5",
        "(/ 10 5) ;=> 2",
        "(/ 1 0) ;!! guest.division",
    ),
)
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


@_builtin(
    "mod",
    2,
    signature="(mod x divisor)",
    also=("rem",),
    examples=(
        "(mod 7 3) ;=> 1",
        "(mod -7 3) ;=> -1",
    ),
)
def modulo(number: Value, divisor: Value) -> Value:
    """Return the remainder of a division; its sign is that of the dividend."""
    number, divisor = require_number("mod", number), require_number("mod", divisor)
    if divisor == 0:
        raise division_by_zero()
    if isinstance(number, int) and isinstance(divisor, int):
        rest = abs(number) % abs(divisor)
        return rest if number >= 0 else -rest
    return math.nan if math.isinf(number) else math.fmod(number, divisor)


@_builtin(
    "quot",
    2,
    signature="(quot x divisor)",
    examples=(
        "(quot 7 2) ;=> 3",
        "(quot -7 2) ;=> -3",
    ),
)
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


@_builtin("inc", 1, signature="(inc x)", examples=("(inc 1) ;=> 2",))
def increment(value: Value) -> Value:
    """Return the number plus one."""
    if type(value) is int and value < INT_MAX:
        return value + 1
    return _step("inc", value, 1)


@_builtin("dec", 1, signature="(dec x)", examples=("(dec 1) ;=> 0",))
def decrement(value: Value) -> Value:
    """Return the number minus one."""
    if type(value) is int and value > INT_MIN:
        return value - 1
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


def _larger(left: Value, right: Value) -> Value:
    if type(left) is int and type(right) is int:
        return right if right > left else left
    return maximum(left, right)


def _smaller(left: Value, right: Value) -> Value:
    if type(left) is int and type(right) is int:
        return right if right < left else left
    return minimum(left, right)


@_builtin("max", 1, None, signature="(max x & more)", binary=_larger, examples=("(max 1 3 2) ;=> 3",))
def maximum(*values: Value) -> Value:
    """Return the largest number, as it was given; of equal ones the first."""
    return _extreme("max", values, 1)


@_builtin("min", 1, None, signature="(min x & more)", binary=_smaller, examples=("(min 1 3 2) ;=> 1",))
def minimum(*values: Value) -> Value:
    """Return the smallest number, as it was given; of equal ones the first."""
    return _extreme("min", values, -1)


@_builtin("abs", 1, signature="(abs x)", examples=("(abs -5) ;=> 5",))
def absolute(value: Value) -> Value:
    """Return the number without its sign."""
    return _settle("abs", abs(require_number("abs", value)))
