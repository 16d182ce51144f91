"""What natives that accept strings as sequences take as elements: their characters."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32
from cloister.lang.wasm_engine.runtime.base import at
from cloister.lang.wasm_engine.runtime.text_cutting import split_chars
from cloister.lang.wasm_engine.runtime.text_parts import text_of_char
from cloister.lang.wasm_engine.runtime.texts import char_at, flat, is_text
from cloister.lang.wasm_engine.runtime.values import as_index, fits


def elements_of(value: i64) -> i64:
    """Return the vector of the characters of a string; any other value as it is, and a string that is too long."""
    if is_text(value) and fits(load_i32(at(value) + 4)):
        return split_chars(flat(value))
    return value


def char_in(value: i64, index: i64) -> i32:
    """Return an index within a string as a number; -1 when it is none, or there is no such character."""
    if not is_text(value):
        return -1
    place = as_index(index)
    return place if place < load_i32(at(value) + 4) else -1


def char_of(value: i64, place: i32) -> i64:
    """Return a character of a string, which exists."""
    return text_of_char(char_at(flat(value), place))
