"""Parts of texts: substrings, and the characters of a text one by one."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_u, i32, i64, load_i32
from cloister.lang.wasm_engine.runtime.texts import char_at, new_string, put_char, put_chars, width_of


def width_of_part(text: i32, start: i32, count: i32) -> i32:
    """Return the least width some code points of a flat string need."""
    width = load_i32(text + 12)
    if width == 1:
        return 1
    least = 1
    index = start
    while index < start + count and least < width:
        needed = width_of(char_at(text, index))
        if needed > least:
            least = needed
        index += 1
    return least


def part_of_text(text: i32, start: i32, count: i32) -> i32:
    """Return some code points of a flat string, as a string of its own; the string itself when they are all it has."""
    if count == load_i32(text + 4):
        return text
    part = new_string(count, width_of_part(text, start, count))
    if load_i32(part + 12) == load_i32(text + 12):
        put_chars(part, 0, text, start, count)
        return part
    index = 0
    while index < count:
        put_char(part, index, char_at(text, start + index))
        index += 1
    return part


def text_of_char(code: i32) -> i64:
    """Return the string of one code point."""
    text = new_string(1, width_of(code))
    put_char(text, 0, code)
    return extend_u(text)
