"""Arithmetic on words: checked integers of 64 bits and floats.

What would overflow, divide by zero or is no number is left to the builtins of the host, which raise.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    f64,
    fabs,
    floor,
    i32,
    i64,
    load_f64,
    load_u8,
    to_f64,
    to_i64,
    trunc,
    wrap,
)
from cloister.lang.wasm_engine.layout import BIGINT, BUILTIN_IDS, FLOAT
from cloister.lang.wasm_engine.runtime.base import box_float, box_integer, is_integer, kind_of, unbox_integer
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2

ID_ADD = BUILTIN_IDS["+"]
ID_SUBTRACT = BUILTIN_IDS["-"]
ID_MULTIPLY = BUILTIN_IDS["*"]
ID_DIVIDE = BUILTIN_IDS["/"]
ID_MOD = BUILTIN_IDS["mod"]
ID_QUOT = BUILTIN_IDS["quot"]
ID_INC = BUILTIN_IDS["inc"]
ID_DEC = BUILTIN_IDS["dec"]
ID_ABS = BUILTIN_IDS["abs"]
ID_MAX = BUILTIN_IDS["max"]
ID_MIN = BUILTIN_IDS["min"]
ID_POW = BUILTIN_IDS["pow"]

INTEGER_MIN = -9223372036854775808
LIMIT_FLOAT = 9223372036854775808.0
"""Integers of 64 bits are from minus this up to but without this."""
EXACT_MAX = 9007199254740992
"""Up to here every integer is a float."""


def is_float(value: i64) -> i32:
    """Say whether a word is a float."""
    return kind_of(value) == FLOAT


def is_number(value: i64) -> i32:
    """Say whether a word is an integer or a float."""
    if wrap(value) & 1:
        return 1
    kind = kind_of(value)
    return kind == FLOAT or kind == BIGINT


def are_integers(left: i64, right: i64) -> i32:
    """Say whether two words are integers."""
    return is_integer(left) and is_integer(right)


def are_numbers(left: i64, right: i64) -> i32:
    """Say whether two words are numbers."""
    return is_number(left) and is_number(right)


def as_float(value: i64) -> f64:
    """Return a number as a float."""
    if wrap(value) & 1:
        return to_f64(value >> 1)
    return load_f64(wrap(value) + 8) if load_u8(wrap(value)) == FLOAT else to_f64(unbox_integer(value))


def are_small(left: i64, right: i64) -> i32:
    """Say whether two words are integers of 63 bits."""
    return wrap(left) & wrap(right) & 1


def add(left: i64, right: i64) -> i64:
    """Add two numbers."""
    if are_small(left, right):
        even = right - 1
        sum_word = left + even
        if ((left ^ sum_word) & (even ^ sum_word)) >= 0:
            return sum_word
    if are_integers(left, right):
        x = unbox_integer(left)
        y = unbox_integer(right)
        total = x + y
        if ((x ^ total) & (y ^ total)) >= 0:
            return box_integer(total)
    elif are_numbers(left, right):
        return box_float(as_float(left) + as_float(right))
    return fallback2(ID_ADD, left, right)


def subtract(left: i64, right: i64) -> i64:
    """Subtract a number from another."""
    if are_small(left, right):
        even = right - 1
        rest_word = left - even
        if ((left ^ even) & (left ^ rest_word)) >= 0:
            return rest_word
    if are_integers(left, right):
        x = unbox_integer(left)
        y = unbox_integer(right)
        total = x - y
        if ((x ^ y) & (x ^ total)) >= 0:
            return box_integer(total)
    elif are_numbers(left, right):
        return box_float(as_float(left) - as_float(right))
    return fallback2(ID_SUBTRACT, left, right)


def negate(value: i64) -> i64:
    """Return a number with the opposite sign."""
    if is_integer(value):
        x = unbox_integer(value)
        if x != INTEGER_MIN:
            return box_integer(-x)
    elif is_float(value):
        return box_float(-as_float(value))
    return fallback1(ID_SUBTRACT, value)


def multiply(left: i64, right: i64) -> i64:
    """Multiply two numbers."""
    if are_small(left, right) and is_half(left >> 1) and is_half(right >> 1):
        return ((left >> 1) * (right >> 1) << 1) | 1
    if are_integers(left, right):
        x = unbox_integer(left)
        y = unbox_integer(right)
        if fits_product(x, y):
            return box_integer(x * y)
    elif are_numbers(left, right):
        return box_float(as_float(left) * as_float(right))
    return fallback2(ID_MULTIPLY, left, right)


def is_half(number: i64) -> i32:
    """Say whether an integer has 31 bits, so that the product of two has less than 63."""
    return (number + 1073741824) >> 31 == 0


def fits_product(x: i64, y: i64) -> i32:
    """Say whether the product of two integers has 64 bits."""
    if (x + 2147483648) >> 32 == 0 and (y + 2147483648) >> 32 == 0:
        return 1
    if y == 0:
        return 1
    if y == -1:
        return x != INTEGER_MIN
    return x * y // y == x


def divide(left: i64, right: i64) -> i64:
    """Divide a number by another; a whole result is an integer."""
    if are_integers(left, right):
        x = unbox_integer(left)
        y = unbox_integer(right)
        if y != 0 and (y != -1 or x != INTEGER_MIN):
            if x % y == 0:
                return box_integer(x // y)
            if is_exact(x) and is_exact(y):
                return whole_or_float(to_f64(x) / to_f64(y))
    elif are_numbers(left, right) and as_float(right) != 0.0:
        return whole_or_float(as_float(left) / as_float(right))
    return fallback2(ID_DIVIDE, left, right)


def is_exact(number: i64) -> i32:
    """Say whether an integer is so small that its float is the same number."""
    return number >= -EXACT_MAX and number <= EXACT_MAX


def fits_integer(number: f64) -> i32:
    """Say whether a float without its fraction has 64 bits; NaN does not."""
    return number >= -LIMIT_FLOAT and number < LIMIT_FLOAT


def whole_or_float(number: f64) -> i64:
    """Return a float as a word, as an integer when it is whole and has 64 bits."""
    if fits_integer(number) and floor(number) == number:
        return box_integer(to_i64(number))
    return box_float(number)


def modulo(left: i64, right: i64) -> i64:
    """Return the remainder of two integers, with the sign of the first; the host knows that of floats."""
    if are_integers(left, right):
        y = unbox_integer(right)
        if y != 0:
            return box_integer(unbox_integer(left) % y)
    return fallback2(ID_MOD, left, right)


def quotient(left: i64, right: i64) -> i64:
    """Divide a number by another and drop the fraction."""
    if are_integers(left, right):
        x = unbox_integer(left)
        y = unbox_integer(right)
        if y != 0 and (y != -1 or x != INTEGER_MIN):
            return box_integer(x // y)
    elif are_numbers(left, right) and as_float(right) != 0.0:
        return box_float(trunc(as_float(left) / as_float(right)) + 0.0)
    return fallback2(ID_QUOT, left, right)


def increment(value: i64) -> i64:
    """Return a number plus one."""
    if wrap(value) & 1 and value + 2 > value:
        return value + 2
    if is_integer(value):
        x = unbox_integer(value)
        if x != ~INTEGER_MIN:
            return box_integer(x + 1)
    elif is_float(value):
        return box_float(as_float(value) + 1.0)
    return fallback1(ID_INC, value)


def decrement(value: i64) -> i64:
    """Return a number minus one."""
    if wrap(value) & 1 and value - 2 < value:
        return value - 2
    if is_integer(value):
        x = unbox_integer(value)
        if x != INTEGER_MIN:
            return box_integer(x - 1)
    elif is_float(value):
        return box_float(as_float(value) - 1.0)
    return fallback1(ID_DEC, value)


def absolute(value: i64) -> i64:
    """Return a number without its sign."""
    if is_integer(value):
        x = unbox_integer(value)
        if x >= 0:
            return value
        if x != INTEGER_MIN:
            return box_integer(-x)
    elif is_float(value):
        return box_float(fabs(as_float(value)))
    return fallback1(ID_ABS, value)


def power(left: i64, right: i64) -> i64:
    """Raise an integer to a power that is an integer of at least 0; the host knows that of floats."""
    if are_integers(left, right):
        exponent = unbox_integer(right)
        if exponent >= 0:
            base = unbox_integer(left)
            if base > -2 and base < 2:
                return box_integer(tiny_power(base, exponent))
            if exponent < 64 and fits_power(base, wrap(exponent)):
                return box_integer(whole_power(base, wrap(exponent)))
    return fallback2(ID_POW, left, right)


def tiny_power(base: i64, exponent: i64) -> i64:
    """Return a power of -1, 0 or 1."""
    if (exponent & 1) != 0:
        return base
    return base * base if exponent != 0 else 1


def fits_power(base: i64, exponent: i32) -> i32:
    """Say whether a power has 64 bits."""
    result: i64 = 1
    while exponent > 0:
        if not fits_product(result, base):
            return 0
        result = result * base
        exponent -= 1
    return 1


def whole_power(base: i64, exponent: i32) -> i64:
    """Return a power that has 64 bits."""
    result: i64 = 1
    while exponent > 0:
        result = result * base
        exponent -= 1
    return result
