"""Between names and text: keywords and symbols. What is no plain name is left to the host, which knows all names."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_u, i32, i64, load_i32, load_u8
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, KEYWORD, NIL, SYMBOL
from cloister.lang.wasm_engine.runtime.base import kind_of
from cloister.lang.wasm_engine.runtime.fallback import fallback1
from cloister.lang.wasm_engine.runtime.predicates import do_is_ident
from cloister.lang.wasm_engine.runtime.text_parts import part_of_text
from cloister.lang.wasm_engine.runtime.texts import char_at, flat, is_text, name_of, new_keyword

ID_NAME = BUILTIN_IDS["name"]
ID_NAMESPACE = BUILTIN_IDS["namespace"]
ID_KEYWORD = BUILTIN_IDS["keyword"]
ID_SYMBOL = BUILTIN_IDS["symbol"]

NAME_MAX = 64
"""Longest name that is looked at here."""
SLASH = ord("/")
DASH = ord("-")
UNDERSCORE = ord("_")


def name_text(value: i64) -> i32:
    """Return the name of a keyword, a symbol or a string, a flat string; 0 for other values."""
    if do_is_ident(value):
        return name_of(value)
    return flat(value) if is_text(value) else 0


def name(value: i64) -> i64:
    """Return the name of a keyword or symbol; a string is its own name."""
    if do_is_ident(value):
        return extend_u(name_of(value))
    return value if is_text(value) else fallback1(ID_NAME, value)


def namespace(value: i64) -> i64:
    """Return what stands before the first slash of a name; nil when nothing does."""
    text = name_text(value)
    if text == 0:
        return fallback1(ID_NAMESPACE, value)
    count = load_i32(text + 4)
    index = 0
    while index < count and char_at(text, index) != SLASH:
        index += 1
    if index == count or index == 0:
        return NIL
    return extend_u(part_of_text(text, 0, index))


def keyword(value: i64) -> i64:
    """Return the keyword with the name of a string, symbol or keyword."""
    if kind_of(value) == KEYWORD:
        return value
    text = name_text(value)
    if text != 0 and is_plain_name(text):
        return new_keyword(text)
    return fallback1(ID_KEYWORD, value)


def symbol(value: i64) -> i64:
    """Return the symbol with the name of a string, keyword or symbol."""
    return value if kind_of(value) == SYMBOL else fallback1(ID_SYMBOL, value)


def is_plain_name(text: i32) -> i32:
    """Say whether a flat string is a letter followed by letters, digits, dashes and underscores, all of them ASCII."""
    count = load_i32(text + 4)
    if load_i32(text + 12) != 1 or count == 0 or count > NAME_MAX:
        return 0
    if not is_ascii_letter(load_u8(text + 16)):
        return 0
    index = 1
    while index < count and is_name_char(load_u8(text + index + 16)):
        index += 1
    return index == count


def is_ascii_letter(code: i32) -> i32:
    """Say whether a code point is a letter from a to z, small or capital."""
    small = code | 32
    return small >= 97 and small <= 122


def is_digit(code: i32) -> i32:
    """Say whether a code point is a digit from 0 to 9."""
    return code >= 48 and code <= 57


def is_name_char(code: i32) -> i32:
    """Say whether a code point may stand in a plain name."""
    return is_ascii_letter(code) or is_digit(code) or code == DASH or code == UNDERSCORE
