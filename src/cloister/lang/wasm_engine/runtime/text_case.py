"""The case of letters, and the blanks around text. Letters beyond ASCII are left to the host, which knows Unicode."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_u, i32, i64, load_i32, load_i64, load_u8, store_u8
from cloister.lang.wasm_engine.layout import BUILTIN_IDS
from cloister.lang.wasm_engine.runtime.fallback import fallback1
from cloister.lang.wasm_engine.runtime.text_building import fits_text
from cloister.lang.wasm_engine.runtime.text_parts import part_of_text
from cloister.lang.wasm_engine.runtime.text_search import end_visible, first_visible
from cloister.lang.wasm_engine.runtime.texts import flat, is_text, new_string

ID_UPPER = BUILTIN_IDS["string-upper"]
ID_LOWER = BUILTIN_IDS["string-lower"]
ID_CAPITALIZE = BUILTIN_IDS["capitalize"]
ID_TRIM = BUILTIN_IDS["string-trim"]
ID_TRIM_LEFT = BUILTIN_IDS["triml"]
ID_TRIM_RIGHT = BUILTIN_IDS["trimr"]

SMALL_A = ord("a")
CAPITAL_A = ord("A")
LETTERS = 26
CASE = 32
HIGH_BITS = 0x8080808080808080 - (1 << 64)


def ascii_text(value: i64) -> i32:
    """Return the flat string of a text that is all ASCII and not too long; 0 for other values."""
    if not is_text(value):
        return 0
    text = flat(value)
    count = load_i32(text + 4)
    if load_i32(text + 12) != 1 or not fits_text(count):
        return 0
    index = 0
    while index + 8 <= count:
        if (load_i64(text + index + 16) & HIGH_BITS) != 0:
            return 0
        index += 8
    while index < count:
        if load_u8(text + index + 16) > 127:
            return 0
        index += 1
    return text


def changed_case(text: i32, start: i32, first_letter: i32) -> i32:
    """Return an ASCII string with the other case for the letters that begin with one, from a place on."""
    count = load_i32(text + 4)
    made = new_string(count, 1)
    index = 0
    while index < count:
        code = load_u8(text + index + 16)
        letter = code - first_letter
        if index >= start and 0 <= letter and letter < LETTERS:
            code = code ^ CASE
        store_u8(made + index + 16, code)
        index += 1
    return made


def text_upper(value: i64) -> i64:
    """Return a text in capital letters."""
    text = ascii_text(value)
    return extend_u(changed_case(text, 0, SMALL_A)) if text != 0 else fallback1(ID_UPPER, value)


def text_lower(value: i64) -> i64:
    """Return a text in small letters."""
    text = ascii_text(value)
    return extend_u(changed_case(text, 0, CAPITAL_A)) if text != 0 else fallback1(ID_LOWER, value)


def text_capitalize(value: i64) -> i64:
    """Return a text with a capital letter first and small ones after it."""
    text = ascii_text(value)
    if text == 0:
        return fallback1(ID_CAPITALIZE, value)
    made = changed_case(text, 1, CAPITAL_A)
    if load_i32(made + 4) != 0:
        letter = load_u8(made + 16) - SMALL_A
        if 0 <= letter and letter < LETTERS:
            store_u8(made + 16, CAPITAL_A + letter)
    return extend_u(made)


def can_trim(value: i64) -> i32:
    """Say whether a value is a text that is not too long."""
    return is_text(value) and fits_text(load_i32(flat(value) + 4))


def trimmed(value: i64, is_left: i32, is_right: i32) -> i64:
    """Return a text without the blanks at its start, its end, or both."""
    text = flat(value)
    start = first_visible(text) if is_left else 0
    end = end_visible(text, start) if is_right else load_i32(text + 4)
    return extend_u(part_of_text(text, start, end - start))


def text_trim(value: i64) -> i64:
    """Return a text without blanks at both ends."""
    return trimmed(value, 1, 1) if can_trim(value) else fallback1(ID_TRIM, value)


def text_trim_left(value: i64) -> i64:
    """Return a text without blanks at its start."""
    return trimmed(value, 1, 0) if can_trim(value) else fallback1(ID_TRIM_LEFT, value)


def text_trim_right(value: i64) -> i64:
    """Return a text without blanks at its end."""
    return trimmed(value, 0, 1) if can_trim(value) else fallback1(ID_TRIM_RIGHT, value)
