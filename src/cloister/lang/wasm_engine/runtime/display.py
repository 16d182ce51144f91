"""Values as people see them, for `str` and `join`. The host knows how collections and unusual floats look."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    bits_of,
    extend_s,
    extend_u,
    f64,
    fabs,
    i32,
    i64,
    load_i32,
    load_i64,
    nearest,
    store_i64,
    store_u8,
    to_i64,
    trunc,
    wrap,
)
from cloister.lang.wasm_engine.layout import ARGUMENTS, BUILTIN_IDS, FALSE, FLOAT, KEYWORD, NIL, RAW, SYMBOL, TRUE
from cloister.lang.wasm_engine.runtime.base import is_integer, kind_of, new_object, unbox_float, unbox_integer
from cloister.lang.wasm_engine.runtime.fallback import fallback, fallback2
from cloister.lang.wasm_engine.runtime.kinds import N_NIL, short_text
from cloister.lang.wasm_engine.runtime.rounding import power_of_ten
from cloister.lang.wasm_engine.runtime.text_building import copied_row, fits_text, joined_row, total_length
from cloister.lang.wasm_engine.runtime.texts import flat, is_text, name_of, new_string, put_chars
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_at, vector_count

ID_STR = BUILTIN_IDS["str"]
ID_JOIN = BUILTIN_IDS["join"]

N_TRUE = int.from_bytes(b"true", "little")
N_FALSE = int.from_bytes(b"false", "little")
MINUS = ord("-")
POINT = ord(".")
COLON = ord(":")
ZERO = ord("0")
DISPLAYED_MIN = 0.0001
"""Below this a float is spelled with an exponent."""
DIGITS_15 = 1e15


def displayed(value: i64) -> i64:
    """Return the text that shows a value; 0 when only the host knows it."""
    if is_text(value):
        return value
    if is_integer(value):
        return integer_text(unbox_integer(value))
    kind = kind_of(value)
    if kind == KEYWORD:
        return keyword_text(name_of(value))
    if kind == SYMBOL:
        return extend_u(name_of(value))
    if kind == FLOAT:
        return float_text(unbox_float(value))
    if value == NIL:
        return short_text(N_NIL, 3)
    if value == TRUE:
        return short_text(N_TRUE, 4)
    return short_text(N_FALSE, 5) if value == FALSE else 0


def keyword_text(name: i32) -> i64:
    """Return a keyword's name with its colon."""
    count = load_i32(name + 4)
    text = new_string(count + 1, load_i32(name + 12))
    store_u8(text + 16, COLON)
    put_chars(text, 1, name, 0, count)
    return extend_u(text)


def digits_of(number: i64) -> i32:
    """Return how many decimal digits an integer has that is not positive."""
    count = 1
    while number <= -10:
        number = number // 10
        count += 1
    return count


def put_digits(end: i32, number: i64, count: i32) -> None:
    """Write so many decimal digits of an integer that is not positive; the last is in front of an address."""
    while count > 0:
        end -= 1
        store_u8(end, ZERO - wrap(number % 10))
        number = number // 10
        count -= 1


def integer_text(number: i64) -> i64:
    """Return an integer in decimal."""
    sign = number < 0
    below = number if sign else -number  # every integer has one that is not positive
    count = digits_of(below)
    text = new_string(count + sign, 1)
    if sign:
        store_u8(text + 16, MINUS)
    put_digits(text + 16 + count + sign, below, count)
    return extend_u(text)


def float_text(number: f64) -> i64:
    """Return a float as it is displayed, when it has at most 15 digits and needs no exponent; else 0.

    Decimal numbers of up to 15 digits are all different as floats, so the first one that is this float is the shortest.
    """
    size = fabs(number)
    if trunc(size) == size and size < DIGITS_15:
        return whole_text(size, bits_of(number) < 0)
    if size < DISPLAYED_MIN or not size < DIGITS_15:
        return 0
    places = 1
    scale = 10.0
    digits = nearest(size * scale)
    while digits / scale != size:
        places += 1
        scale = scale * 10.0
        digits = nearest(size * scale)
        if digits >= DIGITS_15:
            return 0
    return decimal_text(to_i64(digits), places, number < 0.0)


def whole_text(size: f64, sign: i32) -> i64:
    """Return a float without a fraction; minus zero has its sign."""
    if size == 0.0 and sign:
        return short_text(MINUS | ZERO << 8, 2)
    return integer_text(-to_i64(size) if sign else to_i64(size))


def decimal_text(digits: i64, places: i32, sign: i32) -> i64:
    """Return digits with a point in front of the last so many."""
    scale = to_i64(power_of_ten(places))
    whole = -(digits // scale)
    count = digits_of(whole)
    text = new_string(sign + count + 1 + places, 1)
    if sign:
        store_u8(text + 16, MINUS)
    point = text + 16 + sign + count
    put_digits(point, whole, count)
    store_u8(point, POINT)
    put_digits(point + 1 + places, -(digits % scale), places)
    return extend_u(text)


def str_none() -> i64:
    """Return the empty text."""
    return extend_u(new_string(0, 1))


def str_one(value: i64) -> i64:
    """Return a value as it is displayed."""
    store_i64(ARGUMENTS, value)
    return str_words(ARGUMENTS, 1)


def str_two(a: i64, b: i64) -> i64:
    """Return two values as they are displayed, as one text."""
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    return str_words(ARGUMENTS, 2)


def str_three(a: i64, b: i64, c: i64) -> i64:
    """Return three values as they are displayed, as one text."""
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    store_i64(ARGUMENTS + 16, c)
    return str_words(ARGUMENTS, 3)


def str_four(a: i64, b: i64, c: i64, d: i64) -> i64:
    """Return four values as they are displayed, as one text."""
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    store_i64(ARGUMENTS + 16, c)
    store_i64(ARGUMENTS + 24, d)
    return str_words(ARGUMENTS, 4)


def str_words(words: i32, count: i32) -> i64:
    """Return values in a row, at least one, as they are displayed, as one text."""
    texts = displayed_row(words, count)
    if texts != 0:
        total = total_length(texts, count)
        if total >= 0:
            return joined_row(texts, count, total)
    return fallback(ID_STR, words, count)


def displayed_row(words: i32, count: i32) -> i32:
    """Return the address of the texts that show values in a row; 0 when one is known to the host only."""
    texts = new_object(RAW, count << 3, (count << 3) + 16) + 16
    index = 0
    while index < count:
        text = displayed(load_i64(words + (index << 3)))
        if text == 0:
            return 0
        store_i64(texts + (index << 3), text)
        index += 1
    return texts


def join_texts(separator: i64, values: i64) -> i64:
    """Return the elements of a vector or list as they are displayed, with a text between them."""
    if is_text(separator) and is_sequence(values):
        count = vector_count(values)
        if count == 0:
            return str_none()
        texts = displayed_elements(values, count)
        if texts != 0:
            between = flat(separator)
            total = extend_s(total_length(texts, count))
            size = total + extend_s(load_i32(between + 4)) * extend_s(count - 1)
            if total >= 0 and size >> 28 == 0 and fits_text(wrap(size)):
                return extend_u(copied_row(texts, count, wrap(size), between))
    return fallback2(ID_JOIN, separator, values)


def displayed_elements(values: i64, count: i32) -> i32:
    """Return the address of the texts that show elements; 0 when one is known to the host only."""
    texts = new_object(RAW, count << 3, (count << 3) + 16) + 16
    index = 0
    while index < count:
        text = displayed(vector_at(values, index))
        if text == 0:
            return 0
        store_i64(texts + (index << 3), text)
        index += 1
    return texts
