"""Numbers out of text, and out of other kinds. What is not plainly a short decimal number is left to the host."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_s, f64, i32, i64, load_i32, load_u8, to_f64, to_i64
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, FALSE, NIL, TRUE
from cloister.lang.wasm_engine.runtime.base import box_float, box_integer, is_integer
from cloister.lang.wasm_engine.runtime.fallback import fallback1
from cloister.lang.wasm_engine.runtime.names import is_digit
from cloister.lang.wasm_engine.runtime.numbers import as_float, is_float, is_number
from cloister.lang.wasm_engine.runtime.rounding import power_of_ten
from cloister.lang.wasm_engine.runtime.text_search import end_visible, first_visible
from cloister.lang.wasm_engine.runtime.texts import flat, is_text

ID_PARSE_INT = BUILTIN_IDS["parse-int"]
ID_PARSE_FLOAT = BUILTIN_IDS["parse-float"]
ID_INT = BUILTIN_IDS["int"]
ID_FLOAT = BUILTIN_IDS["float"]

MINUS = ord("-")
PLUS = ord("+")
POINT = ord(".")
INTEGER_DIGITS = 18
FLOAT_DIGITS = 15
NOT_PLAIN = -1


def sign_at(text: i32, start: i32, end: i32) -> i32:
    """Return the sign a flat string of one byte per character has at a place; 0 when there is none."""
    code = load_u8(text + start + 16) if start < end else 0
    return code if code == MINUS or code == PLUS else 0


def digits_at(text: i32, start: i32, end: i32) -> i64:
    """Return the number that the digits from one place to another are; -1 when there are none or others."""
    if start == end:
        return NOT_PLAIN
    number: i64 = 0
    while start < end:
        code = load_u8(text + start + 16)
        if not is_digit(code):
            return NOT_PLAIN
        number = number * 10 + extend_s(code - 48)
        start += 1
    return number


def parsed_integer(value: i64, operation: i32) -> i64:
    """Return the integer that a text is; the host decides about what is not plainly one."""
    text = flat(value)
    if load_i32(text + 12) == 1:
        start = first_visible(text)
        end = end_visible(text, start)
        sign = sign_at(text, start, end)
        start += sign != 0
        if end - start <= INTEGER_DIGITS:
            number = digits_at(text, start, end)
            if number != NOT_PLAIN:
                return box_integer(-number if sign == MINUS else number)
    return fallback1(operation, value)


def parsed_float(value: i64, operation: i32) -> i64:
    """Return the float that a text is; the host decides about what is not plainly one.

    Up to 15 digits and the power of ten they are divided by are both floats, so the quotient is rounded once.
    """
    text = flat(value)
    if load_i32(text + 12) == 1:
        start = first_visible(text)
        end = end_visible(text, start)
        sign = sign_at(text, start, end)
        start += sign != 0
        if end - start <= FLOAT_DIGITS:
            number = decimal_at(text, start, end)
            if number >= 0.0:
                return box_float(-number if sign == MINUS else number)
    return fallback1(operation, value)


def decimal_at(text: i32, start: i32, end: i32) -> f64:
    """Return the number that digits from one place to another are, with digits behind a point or not; else -1."""
    point = start
    while point < end and load_u8(text + point + 16) != POINT:
        point += 1
    whole = digits_at(text, start, point)
    if whole == NOT_PLAIN or point + 1 >= end:
        return to_f64(whole) if point == end else -1.0
    rest = digits_at(text, point + 1, end)
    if rest == NOT_PLAIN:
        return -1.0
    scale = power_of_ten(end - point - 1)
    return to_f64(whole * to_i64(scale) + rest) / scale


def truncated(value: i64) -> i64:
    """Return a number without its fraction; beyond 64 bits the nearest integer that fits, and 0 for NaN."""
    return box_integer(to_i64(as_float(value))) if is_float(value) else value


def parse_integer(value: i64) -> i64:
    """Read an integer from text; nil when it is none. A number is returned without its fraction."""
    if is_text(value):
        return parsed_integer(value, ID_PARSE_INT)
    return truncated(value) if is_number(value) else NIL


def to_integer(value: i64) -> i64:
    """Turn anything into an integer; what is not a number, nor text of one, gives 0."""
    if is_text(value):
        return parsed_integer(value, ID_INT)
    if value == TRUE or value == FALSE:
        return box_integer(1 if value == TRUE else 0)
    return truncated(value) if is_number(value) else box_integer(0)


def parse_float(value: i64) -> i64:
    """Read a float from text; nil when it is none. A number is returned as a float."""
    if is_text(value):
        return parsed_float(value, ID_PARSE_FLOAT)
    return floated(value) if is_number(value) else NIL


def to_float(value: i64) -> i64:
    """Turn anything into a float; what is not a number, nor text of one, gives 0.0."""
    if is_text(value):
        return parsed_float(value, ID_FLOAT)
    return floated(value) if is_number(value) else box_float(0.0)


def floated(value: i64) -> i64:
    """Return a number as a float."""
    return box_float(as_float(value)) if is_integer(value) else value
