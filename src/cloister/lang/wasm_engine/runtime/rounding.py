"""Rounding, bounds, roots, and the bits of integers.

Halves are rounded away from zero, exactly on the value a float really has. What fails is left to the host.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    bits_of,
    ceil,
    extend_s,
    f64,
    fabs,
    float_of,
    floor,
    i32,
    i64,
    sqrt,
    to_i64,
    trunc,
    wrap,
)
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, TRUE
from cloister.lang.wasm_engine.runtime.base import box_float, box_integer, is_integer, unbox_integer
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.numbers import (
    are_integers,
    are_numbers,
    as_float,
    fits_integer,
    is_float,
    is_number,
)
from cloister.lang.wasm_engine.runtime.ordering import order_of

ID_FLOOR = BUILTIN_IDS["floor"]
ID_CEIL = BUILTIN_IDS["ceil"]
ID_TRUNC = BUILTIN_IDS["trunc"]
ID_ROUND = BUILTIN_IDS["round"]
ID_SIGN = BUILTIN_IDS["sign"]
ID_CLAMP = BUILTIN_IDS["clamp"]
ID_SQRT = BUILTIN_IDS["sqrt"]
ID_BIT_AND = BUILTIN_IDS["bit-and"]
ID_BIT_OR = BUILTIN_IDS["bit-or"]
ID_BIT_XOR = BUILTIN_IDS["bit-xor"]
ID_BIT_NOT = BUILTIN_IDS["bit-not"]
ID_SHIFT_LEFT = BUILTIN_IDS["bit-shift-left"]
ID_SHIFT_RIGHT = BUILTIN_IDS["bit-shift-right"]
ID_BIT_TEST = BUILTIN_IDS["bit-test"]

DIGITS_MAX = 15
ROUNDED_MAX = 4503599627370496.0
"""From here on a float has no fraction."""
SPLITTER = 134217729.0
SIGN_BIT = -9223372036854775808


def floor_of(value: i64) -> i64:
    """Return the largest integer that is not above a number."""
    if is_float(value) and fits_integer(floor(as_float(value))):
        return box_integer(to_i64(floor(as_float(value))))
    return value if is_integer(value) else fallback1(ID_FLOOR, value)


def ceil_of(value: i64) -> i64:
    """Return the smallest integer that is not below a number."""
    if is_float(value) and fits_integer(ceil(as_float(value))):
        return box_integer(to_i64(ceil(as_float(value))))
    return value if is_integer(value) else fallback1(ID_CEIL, value)


def trunc_of(value: i64) -> i64:
    """Return a number without its fraction, as an integer."""
    if is_float(value) and fits_integer(as_float(value)):
        return box_integer(to_i64(as_float(value)))
    return value if is_integer(value) else fallback1(ID_TRUNC, value)


def round_of(value: i64) -> i64:
    """Return the integer nearest to a number."""
    if is_float(value) and fits_integer(as_float(value)):
        number = as_float(value)
        whole = trunc(number)
        if fabs(number - whole) >= 0.5:
            return box_integer(to_i64(whole) + (1 if number > 0.0 else -1))
        return box_integer(to_i64(whole))
    return value if is_integer(value) else fallback1(ID_ROUND, value)


def round_to(value: i64, digits: i64) -> i64:
    """Return the float nearest to a number that has so many decimal digits."""
    if wrap(digits) & 1 and digits >> 1 >= 0 and digits >> 1 <= DIGITS_MAX:
        if is_integer(value):
            return value
        if is_float(value):
            number = as_float(value)
            scale = power_of_ten(wrap(digits >> 1))
            if fabs(number) * scale < ROUNDED_MAX:
                return box_float(with_sign(rounded_product(fabs(number), scale) / scale, number))
    return fallback2(ID_ROUND, value, digits)


def power_of_ten(exponent: i32) -> f64:
    """Return a power of ten that is a float, so one of 0 to 22."""
    result = 1.0
    while exponent > 0:
        result = result * 10.0
        exponent -= 1
    return result


def rounded_product(number: f64, scale: f64) -> f64:
    """Return the integer nearest to the exact product of two floats that are not negative.

    Source: T. J. Dekker, "A floating-point technique for extending the available precision", 1971: the product rounded
    to a float, and what rounding has cut off.
    """
    product = number * scale
    high = number * SPLITTER - (number * SPLITTER - number)
    low = number - high
    scale_high = scale * SPLITTER - (scale * SPLITTER - scale)
    scale_low = scale - scale_high
    rest = high * scale_high - product + high * scale_low + low * scale_high + low * scale_low
    whole = trunc(product)
    above = product - whole - 0.5
    if above > 0.0 or (above == 0.0 and rest >= 0.0):
        return whole + 1.0
    return whole


def with_sign(number: f64, sign: f64) -> f64:
    """Return a float that is not negative with the sign of another."""
    return float_of(bits_of(number) | (bits_of(sign) & SIGN_BIT))


def sign_of(value: i64) -> i64:
    """Return -1, 0 or 1 as a number is below, at or above zero; 0 for NaN."""
    if is_integer(value):
        x = unbox_integer(value)
        return box_integer(extend_s((x > 0) - (x < 0)))
    if is_float(value):
        y = as_float(value)
        return box_integer(extend_s((y > 0.0) - (y < 0.0)))
    return fallback1(ID_SIGN, value)


def clamp(value: i64, low: i64, high: i64) -> i64:
    """Return a number, or the bound it lies beyond."""
    if is_number(value) and are_numbers(low, high) and order_of(low, high) != 1:
        if order_of(value, low) == -1:
            return low
        return high if order_of(value, high) == 1 else value
    return fallback3(ID_CLAMP, value, low, high)


def square_root(value: i64) -> i64:
    """Return the square root of a number as a float."""
    if is_number(value) and not as_float(value) < 0.0:
        return box_float(sqrt(as_float(value)))
    return fallback1(ID_SQRT, value)


def bit_and(left: i64, right: i64) -> i64:
    """Return the bits that both integers have."""
    if are_integers(left, right):
        return box_integer(unbox_integer(left) & unbox_integer(right))
    return fallback2(ID_BIT_AND, left, right)


def bit_or(left: i64, right: i64) -> i64:
    """Return the bits that any of two integers has."""
    if are_integers(left, right):
        return box_integer(unbox_integer(left) | unbox_integer(right))
    return fallback2(ID_BIT_OR, left, right)


def bit_xor(left: i64, right: i64) -> i64:
    """Return the bits that one of two integers has."""
    if are_integers(left, right):
        return box_integer(unbox_integer(left) ^ unbox_integer(right))
    return fallback2(ID_BIT_XOR, left, right)


def bit_not(value: i64) -> i64:
    """Return the bits that an integer does not have."""
    return box_integer(~unbox_integer(value)) if is_integer(value) else fallback1(ID_BIT_NOT, value)


def is_shift(left: i64, places: i64) -> i32:
    """Say whether a word is an integer and another one from 0 to 63."""
    return is_integer(left) and wrap(places) & 1 and places >> 1 >= 0 and places >> 1 <= 63


def shift_left(value: i64, places: i64) -> i64:
    """Move the bits of an integer to the left; none may be lost."""
    if is_shift(value, places):
        x = unbox_integer(value)
        moved = x << (places >> 1)
        if moved >> (places >> 1) == x:
            return box_integer(moved)
    return fallback2(ID_SHIFT_LEFT, value, places)


def shift_right(value: i64, places: i64) -> i64:
    """Move the bits of an integer to the right; the sign stays."""
    if is_shift(value, places):
        return box_integer(unbox_integer(value) >> (places >> 1))
    return fallback2(ID_SHIFT_RIGHT, value, places)


def bit_test(value: i64, place: i64) -> i32:
    """Say whether an integer has a bit."""
    if is_shift(value, place):
        return wrap(unbox_integer(value) >> (place >> 1)) & 1
    return fallback2(ID_BIT_TEST, value, place) == TRUE
