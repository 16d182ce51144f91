"""Longer texts of shorter ones.

Long texts are joined by pointing at both, so that appending in a loop costs little each time; `texts.flat` copies them
into one when their characters are needed. Nothing here looks at the limit of one text but `fits_text`.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    extend_u,
    i32,
    i64,
    le_u,
    load_i32,
    load_i64,
    load_u8,
    store_i32,
    wrap,
)
from cloister.lang.wasm_engine.layout import ROPE, ROPE_MIN, STRING, VALUE_BYTES
from cloister.lang.wasm_engine.runtime.memory import allocate
from cloister.lang.wasm_engine.runtime.text_parts import width_of_part
from cloister.lang.wasm_engine.runtime.texts import char_at, flat, new_string, put_char, put_chars, text_width

COUNT_MAX = 268435456
"""No text has more code points, so that its bytes can be counted."""


def fits_text(count: i32) -> i32:
    """Say whether a text may have so many code points."""
    return le_u(count, load_i32(VALUE_BYTES)) and le_u(count, COUNT_MAX)


def length_of(text: i64) -> i32:
    """Return how many code points a text has."""
    return load_i32(wrap(text) + 4)


def wider(left: i32, right: i32) -> i32:
    """Return the larger of two widths."""
    return left if left > right else right


def text_joined(left: i64, right: i64) -> i64:
    """Return two texts as one, which may be as long as it is."""
    mine = length_of(left)
    theirs = length_of(right)
    if theirs == 0:
        return left
    if mine == 0:
        return right
    if mine + theirs < ROPE_MIN:
        return extend_u(copied(flat(left), flat(right)))
    return rope_of(wrap(left), wrap(right))


def copied(left: i32, right: i32) -> i32:
    """Return two flat strings as one."""
    mine = load_i32(left + 4)
    theirs = load_i32(right + 4)
    text = new_string(mine + theirs, wider(load_i32(left + 12), load_i32(right + 12)))
    put_chars(text, 0, left, 0, mine)
    put_chars(text, mine, right, 0, theirs)
    return text


def rope_of(left: i32, right: i32) -> i64:
    """Return the rope of two strings or ropes; what is appended to a short end is put together with it first."""
    count = load_i32(left + 4) + load_i32(right + 4)
    width = wider(text_width(left), text_width(right))
    if load_u8(left) == ROPE and load_u8(right) == STRING and load_i32(left + 12) != 0:
        end = load_i32(left + 12)
        if load_u8(end) == STRING and load_i32(end + 4) + load_i32(right + 4) < ROPE_MIN:
            right = copied(end, right)
            left = load_i32(left + 8)
    rope = allocate(16)
    store_i32(rope, ROPE | width << 16)
    store_i32(rope + 4, count)
    store_i32(rope + 8, left)
    store_i32(rope + 12, right)
    return extend_u(rope)


def total_length(words: i32, count: i32) -> i32:
    """Return how many code points texts in a row have together; -1 when one text may not have as many."""
    total = 0
    while count > 0:
        total += length_of(load_i64(words))
        if not fits_text(total):
            return -1
        words += 8
        count -= 1
    return total


def total_width(words: i32, count: i32) -> i32:
    """Return the width that texts in a row need together."""
    width = 1
    while count > 0:
        width = wider(width, text_width(wrap(load_i64(words))))
        words += 8
        count -= 1
    return width


def joined_row(words: i32, count: i32, total: i32) -> i64:
    """Return texts in a row, which have so many code points together, as one."""
    if total < ROPE_MIN:
        return extend_u(copied_row(words, count, total, 0))
    # From the end, so that all that is short comes to one piece before it is put behind what is long
    index = count - 1
    text = load_i64(words + (index << 3))
    while index > 0:
        index -= 1
        text = text_joined(load_i64(words + (index << 3)), text)
    return text


def copied_row(words: i32, count: i32, total: i32, separator: i32) -> i32:
    """Return texts in a row as one flat string, with a flat string between them unless that is 0."""
    width = total_width(words, count)
    if separator != 0 and count > 1:
        width = wider(width, load_i32(separator + 12))
    text = new_string(total, width)
    place = 0
    index = 0
    while index < count:
        if separator != 0 and index > 0:
            put_chars(text, place, separator, 0, load_i32(separator + 4))
            place += load_i32(separator + 4)
        part = flat(load_i64(words + (index << 3)))
        put_chars(text, place, part, 0, load_i32(part + 4))
        place += load_i32(part + 4)
        index += 1
    return text


def text_narrowed(text: i32) -> i32:
    """Return a flat string that may be wider than it needs to be as narrow as it can be."""
    count = load_i32(text + 4)
    width = width_of_part(text, 0, count)
    if width == load_i32(text + 12):
        return text
    part = new_string(count, width)
    index = 0
    while index < count:
        put_char(part, index, char_at(text, index))
        index += 1
    return part


def repeated_char(text: i32, place: i32, count: i32, code: i32) -> None:
    """Put one code point into a string that is being made, so many times."""
    while count > 0:
        put_char(text, place, code)
        place += 1
        count -= 1
