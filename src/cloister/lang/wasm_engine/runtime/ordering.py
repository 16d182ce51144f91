"""Which of two numbers or texts comes first, and what a number is like.

Integers and floats are compared exactly, not as floats.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    f64,
    fabs,
    i32,
    i64,
    load_i32,
    load_u8,
    lt_u,
    to_i64,
    trunc,
    wrap,
)
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, TRUE
from cloister.lang.wasm_engine.runtime.base import is_integer, unbox_integer
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2
from cloister.lang.wasm_engine.runtime.numbers import (
    ID_MAX,
    ID_MIN,
    LIMIT_FLOAT,
    are_integers,
    are_numbers,
    are_small,
    as_float,
    is_float,
    is_number,
)
from cloister.lang.wasm_engine.runtime.texts import char_at, flat, is_text

ID_LESS = BUILTIN_IDS["<"]
ID_LESS_EQUAL = BUILTIN_IDS["<="]
ID_GREATER = BUILTIN_IDS[">"]
ID_GREATER_EQUAL = BUILTIN_IDS[">="]
ID_ZERO = BUILTIN_IDS["zero?"]
ID_POSITIVE = BUILTIN_IDS["pos?"]
ID_NEGATIVE = BUILTIN_IDS["neg?"]
ID_EVEN = BUILTIN_IDS["even?"]
ID_ODD = BUILTIN_IDS["odd?"]
ID_NAN = BUILTIN_IDS["nan?"]
ID_INFINITE = BUILTIN_IDS["infinite?"]

UNORDERED = 2
"""In place of an order: one of both is NaN."""
NOT_COMPARABLE = 3


def order_of(left: i64, right: i64) -> i32:
    """Return -1, 0 or 1 as the first of two numbers or texts is less, equal or greater."""
    if are_small(left, right):
        return (left > right) - (left < right)
    if are_integers(left, right):
        x = unbox_integer(left)
        y = unbox_integer(right)
        return (x > y) - (x < y)
    if are_numbers(left, right):
        return order_of_numbers(left, right)
    if is_text(left) and is_text(right):
        return order_of_texts(flat(left), flat(right))
    return NOT_COMPARABLE


def order_of_numbers(left: i64, right: i64) -> i32:
    """Return the order of two numbers of which one at least is a float."""
    if is_integer(left):
        return order_of_mixed(unbox_integer(left), as_float(right))
    if is_integer(right):
        order = order_of_mixed(unbox_integer(right), as_float(left))
        return order if order == UNORDERED else -order
    return order_of_floats(as_float(left), as_float(right))


def order_of_floats(x: f64, y: f64) -> i32:
    """Return the order of two floats."""
    if x < y:
        return -1
    if x > y:
        return 1
    return 0 if x == y else UNORDERED


def order_of_mixed(x: i64, y: f64) -> i32:
    """Return the order of an integer and a float, whose fraction decides when the rest is equal."""
    if y != y:  # noqa: PLR0124 - NaN
        return UNORDERED
    if y >= LIMIT_FLOAT:
        return -1
    if y < -LIMIT_FLOAT:
        return 1
    whole = to_i64(y)
    if x != whole:
        return (x > whole) - (x < whole)
    return order_of_floats(trunc(y), y)


def order_of_texts(left: i32, right: i32) -> i32:
    """Return the order of two flat strings: that of the first code points that differ."""
    mine = load_i32(left + 4)
    theirs = load_i32(right + 4)
    count = mine if mine < theirs else theirs
    index = 0
    if load_i32(left + 12) == 1 and load_i32(right + 12) == 1:
        while index < count and load_u8(left + index + 16) == load_u8(right + index + 16):
            index += 1
    else:
        while index < count and char_at(left, index) == char_at(right, index):
            index += 1
    if index == count:
        return (mine > theirs) - (mine < theirs)
    return -1 if lt_u(char_at(left, index), char_at(right, index)) else 1


def less(left: i64, right: i64) -> i32:
    """Say whether the first of two numbers or texts is the smaller one."""
    if are_small(left, right):
        return left < right
    order = order_of(left, right)
    return order == -1 if order < NOT_COMPARABLE else fallback2(ID_LESS, left, right) == TRUE


def less_or_equal(left: i64, right: i64) -> i32:
    """Say whether the first of two numbers or texts is not the larger one."""
    if are_small(left, right):
        return left <= right
    order = order_of(left, right)
    return order <= 0 if order < NOT_COMPARABLE else fallback2(ID_LESS_EQUAL, left, right) == TRUE


def greater(left: i64, right: i64) -> i32:
    """Say whether the first of two numbers or texts is the larger one."""
    if are_small(left, right):
        return left > right
    order = order_of(left, right)
    return order == 1 if order < NOT_COMPARABLE else fallback2(ID_GREATER, left, right) == TRUE


def greater_or_equal(left: i64, right: i64) -> i32:
    """Say whether the first of two numbers or texts is not the smaller one."""
    if are_small(left, right):
        return left >= right
    order = order_of(left, right)
    if order < NOT_COMPARABLE:
        return order == 0 or order == 1
    return fallback2(ID_GREATER_EQUAL, left, right) == TRUE


def larger(left: i64, right: i64) -> i64:
    """Return the larger number; of equal ones the first."""
    if are_numbers(left, right):
        return right if order_of(right, left) == 1 else left
    return fallback2(ID_MAX, left, right)


def smaller(left: i64, right: i64) -> i64:
    """Return the smaller number; of equal ones the first."""
    if are_numbers(left, right):
        return right if order_of(right, left) == -1 else left
    return fallback2(ID_MIN, left, right)


def is_zero(value: i64) -> i32:
    """Say whether a number is zero."""
    if is_integer(value):
        return value == 1
    return as_float(value) == 0.0 if is_float(value) else fallback1(ID_ZERO, value) == TRUE


def is_positive(value: i64) -> i32:
    """Say whether a number is greater than zero."""
    if is_integer(value):
        return unbox_integer(value) > 0
    return as_float(value) > 0.0 if is_float(value) else fallback1(ID_POSITIVE, value) == TRUE


def is_negative(value: i64) -> i32:
    """Say whether a number is less than zero."""
    if is_integer(value):
        return unbox_integer(value) < 0
    return as_float(value) < 0.0 if is_float(value) else fallback1(ID_NEGATIVE, value) == TRUE


def whole_of(value: i64) -> i64:
    """Return a number without its fraction; the nearest that has 64 bits, 0 for NaN."""
    return unbox_integer(value) if is_integer(value) else to_i64(as_float(value))


def is_even(value: i64) -> i32:
    """Say whether a number without its fraction is divisible by two."""
    if is_number(value):
        return (wrap(whole_of(value)) & 1) == 0
    return fallback1(ID_EVEN, value) == TRUE


def is_odd(value: i64) -> i32:
    """Say whether a number without its fraction is not divisible by two."""
    if is_number(value):
        return wrap(whole_of(value)) & 1
    return fallback1(ID_ODD, value) == TRUE


def is_natural(value: i64) -> i32:
    """Say whether a value is an integer of at least zero."""
    return is_integer(value) and unbox_integer(value) >= 0


def is_nan(value: i64) -> i32:
    """Say whether a number is NaN."""
    if is_float(value):
        number = as_float(value)
        return number != number  # noqa: PLR0124 - that is what NaN is
    return 0 if is_integer(value) else fallback1(ID_NAN, value) == TRUE


def is_infinite(value: i64) -> i32:
    """Say whether a number is infinite."""
    if is_float(value):
        return fabs(as_float(value)) > 1.7976931348623157e308
    return 0 if is_integer(value) else fallback1(ID_INFINITE, value) == TRUE
