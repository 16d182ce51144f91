"""Texts as sequences of characters, for the builtins that take vectors, lists and strings.

These have dealt with vectors and lists before they come here; what is no text either is left to the host.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_s, extend_u, i32, i64, load_i32, wrap
from cloister.lang.wasm_engine.layout import NIL
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.ids import (
    B_DROP,
    B_DROP_LAST,
    B_FIRST,
    B_LAST,
    B_NEXT,
    B_NTH,
    B_NTHREST,
    B_REST,
    B_REVERSE,
    B_SECOND,
    B_SEQ,
    B_TAKE,
    B_TAKE_LAST,
    B_VEC,
)
from cloister.lang.wasm_engine.runtime.text_building import fits_text, length_of
from cloister.lang.wasm_engine.runtime.text_cutting import split_chars
from cloister.lang.wasm_engine.runtime.text_parts import part_of_text, text_of_char
from cloister.lang.wasm_engine.runtime.texts import char_at, flat, is_text, new_string, put_char
from cloister.lang.wasm_engine.runtime.values import fits


def is_cuttable(value: i64) -> i32:
    """Say whether a value is a text that is not too long."""
    return is_text(value) and fits_text(length_of(value))


def char_text(text: i64, index: i32) -> i64:
    """Return a character of a text, which has it, as a text."""
    return text_of_char(char_at(flat(text), index))


def text_first(value: i64) -> i64:
    """Return the first character; nil when there is none."""
    if not is_text(value):
        return fallback1(B_FIRST, value)
    return char_text(value, 0) if length_of(value) > 0 else NIL


def text_second(value: i64) -> i64:
    """Return the second character; nil when there is none."""
    if not is_text(value):
        return fallback1(B_SECOND, value)
    return char_text(value, 1) if length_of(value) > 1 else NIL


def text_last(value: i64) -> i64:
    """Return the last character; the empty text when there is none."""
    if not is_text(value):
        return fallback1(B_LAST, value)
    return char_text(value, length_of(value) - 1) if length_of(value) > 0 else value


def text_nth(value: i64, index: i64) -> i64:
    """Return the character at an index, which must exist."""
    if is_text(value) and is_index(index, length_of(value)):
        return char_text(value, wrap(index >> 1))
    return fallback2(B_NTH, value, index)


def text_nth_or(value: i64, index: i64, default: i64) -> i64:
    """Return the character at an index, or the default."""
    if is_text(value) and wrap(index) & 1:
        return char_text(value, wrap(index >> 1)) if is_index(index, length_of(value)) else default
    return fallback3(B_NTH, value, index, default)


def is_index(index: i64, count: i32) -> i32:
    """Say whether a word is an integer from 0 up to but without a number."""
    return wrap(index) & 1 and 0 <= index >> 1 and index >> 1 < extend_s(count)


def middle(text: i64, start: i32, count: i32) -> i64:
    """Return some characters of a text."""
    return extend_u(part_of_text(flat(text), start, count))


def clipped(amount: i64, count: i32) -> i32:
    """Return an integer as a number from 0 to another, the nearest."""
    if amount >> 1 < 0:
        return 0
    return wrap(amount >> 1) if amount >> 1 < extend_s(count) else count


def text_rest(value: i64) -> i64:
    """Return all characters but the first."""
    if not is_cuttable(value):
        return fallback1(B_REST, value)
    return middle(value, 1, length_of(value) - 1) if length_of(value) > 0 else value


def text_next(value: i64) -> i64:
    """Return all characters but the first; nil when there are none."""
    if not is_cuttable(value):
        return fallback1(B_NEXT, value)
    return middle(value, 1, length_of(value) - 1) if length_of(value) > 1 else NIL


def text_drop_first(value: i64, amount: i64, operation: i32) -> i64:
    """Return all characters but the first ones."""
    count = length_of(value)
    first = clipped(amount, count)
    if operation == B_DROP and amount >> 1 < 0:
        first = count
    return middle(value, first, count - first)


def text_nthrest(value: i64, amount: i64) -> i64:
    """Return all characters but the first ones; all when the amount is negative."""
    if is_cuttable(value) and wrap(amount) & 1:
        return text_drop_first(value, amount, B_NTHREST)
    return fallback2(B_NTHREST, value, amount)


def text_drop(amount: i64, value: i64) -> i64:
    """Return all characters but the first ones; none when the amount is negative."""
    if is_cuttable(value) and wrap(amount) & 1:
        return text_drop_first(value, amount, B_DROP)
    return fallback2(B_DROP, amount, value)


def text_take(amount: i64, value: i64) -> i64:
    """Return the first characters; all when the amount is negative."""
    if is_cuttable(value) and wrap(amount) & 1:
        count = length_of(value)
        return middle(value, 0, clipped(amount, count)) if amount >> 1 >= 0 else value
    return fallback2(B_TAKE, amount, value)


def text_take_last(amount: i64, value: i64) -> i64:
    """Return the last characters; none when the amount is negative."""
    if is_cuttable(value) and wrap(amount) & 1:
        wanted = clipped(amount, length_of(value))
        return middle(value, length_of(value) - wanted, wanted)
    return fallback2(B_TAKE_LAST, amount, value)


def text_drop_last(amount: i64, value: i64) -> i64:
    """Return all characters but the last ones; all when the amount is negative."""
    if is_cuttable(value) and wrap(amount) & 1:
        return middle(value, 0, length_of(value) - clipped(amount, length_of(value)))
    return fallback2(B_DROP_LAST, amount, value)


def text_without_last(value: i64, operation: i32) -> i64:
    """Return all characters but the last, as `butlast` or `drop-last` do."""
    if not is_cuttable(value):
        return fallback1(operation, value)
    return middle(value, 0, length_of(value) - 1) if length_of(value) > 0 else value


def text_reverse(value: i64) -> i64:
    """Return the characters in opposite order."""
    if not is_cuttable(value):
        return fallback1(B_REVERSE, value)
    text = flat(value)
    last = length_of(value) - 1
    made = new_string(last + 1, load_i32(text + 12))
    index = 0
    while index <= last:
        put_char(made, index, char_at(text, last - index))
        index += 1
    return extend_u(made)


def text_vec(value: i64) -> i64:
    """Return the characters as a vector."""
    if is_text(value) and fits(length_of(value)):
        return split_chars(flat(value))
    return fallback1(B_VEC, value)


def text_seq(value: i64) -> i64:
    """Return the characters as a vector; nil when there are none."""
    if is_text(value) and fits(length_of(value)):
        return split_chars(flat(value)) if length_of(value) != 0 else NIL
    return fallback1(B_SEQ, value)
