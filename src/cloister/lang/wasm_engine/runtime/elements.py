"""What natives that accept strings as sequences take as elements: their characters."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i64, load_i32
from cloister.lang.wasm_engine.runtime.base import at
from cloister.lang.wasm_engine.runtime.text_cutting import split_chars
from cloister.lang.wasm_engine.runtime.texts import flat, is_text
from cloister.lang.wasm_engine.runtime.values import fits


def elements_of(value: i64) -> i64:
    """Return the vector of the characters of a string; any other value as it is, and a string that is too long."""
    if is_text(value) and fits(load_i32(at(value) + 4)):
        return split_chars(flat(value))
    return value
