"""Looking for parts of texts."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_s, i32, i64, load_i32, load_u8, wrap
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, NIL, TRUE
from cloister.lang.wasm_engine.runtime.base import box_integer
from cloister.lang.wasm_engine.runtime.equality import same
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.texts import char_at, flat, is_text, same_bytes
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_at, vector_count

ID_CONTAINS = BUILTIN_IDS["string-contains"]
ID_STARTS = BUILTIN_IDS["starts-with?"]
ID_ENDS = BUILTIN_IDS["ends-with?"]
ID_INDEX_OF = BUILTIN_IDS["index-of"]
ID_LAST_INDEX_OF = BUILTIN_IDS["last-index-of"]
ID_BLANK = BUILTIN_IDS["blank?"]

NOWHERE = -1


def matches_at(text: i32, place: i32, part: i32) -> i32:
    """Say whether a flat string has another at a place; it has as many code points from there on."""
    count = load_i32(part + 4)
    width = load_i32(part + 12)
    if width == load_i32(text + 12):
        return same_bytes(text + 16 + place * width, part + 16, count * width)
    index = 0
    while index < count and char_at(text, place + index) == char_at(part, index):
        index += 1
    return index == count


def find_text(text: i32, part: i32, start: i32) -> i32:
    """Return the first place at or behind another where a flat string has a part; -1 for none."""
    last = load_i32(text + 4) - load_i32(part + 4)
    if load_i32(part + 4) == 0:
        return start if start <= last else NOWHERE
    if load_i32(part + 12) > load_i32(text + 12):
        return NOWHERE
    first = char_at(part, 0)
    while start <= last:
        start = find_char(text, first, start, last)
        if start > last or matches_at(text, start, part):
            return start if start <= last else NOWHERE
        start += 1
    return NOWHERE


def find_char(text: i32, code: i32, start: i32, last: i32) -> i32:
    """Return the first place from one to another where a flat string has a code point; behind the last for none."""
    if load_i32(text + 12) == 1:
        address = text + 16 + start
        end = text + 16 + last
        while address <= end and load_u8(address) != code:
            address += 1
        return address - text - 16
    while start <= last and char_at(text, start) != code:
        start += 1
    return start


def find_last(text: i32, part: i32) -> i32:
    """Return the last place where a flat string has a part; -1 for none."""
    if load_i32(part + 12) > load_i32(text + 12):
        return NOWHERE
    place = load_i32(text + 4) - load_i32(part + 4)
    while place >= 0 and not matches_at(text, place, part):
        place -= 1
    return place if place >= 0 else NOWHERE


def are_texts(left: i64, right: i64) -> i32:
    """Say whether two values are texts."""
    return is_text(left) and is_text(right)


def text_contains(text: i64, part: i64) -> i32:
    """Say whether a text contains a part."""
    if are_texts(text, part):
        return find_text(flat(text), flat(part), 0) != NOWHERE
    return fallback2(ID_CONTAINS, text, part) == TRUE


def text_starts(text: i64, start: i64) -> i32:
    """Say whether a text begins with another."""
    if are_texts(text, start):
        whole = flat(text)
        part = flat(start)
        return load_i32(whole + 4) >= load_i32(part + 4) and matches_at(whole, 0, part)
    return fallback2(ID_STARTS, text, start) == TRUE


def text_ends(text: i64, end: i64) -> i32:
    """Say whether a text finishes with another."""
    if are_texts(text, end):
        whole = flat(text)
        part = flat(end)
        place = load_i32(whole + 4) - load_i32(part + 4)
        return place >= 0 and matches_at(whole, place, part)
    return fallback2(ID_ENDS, text, end) == TRUE


def place_word(place: i32) -> i64:
    """Return a place as a word; nil for none."""
    return NIL if place == NOWHERE else box_integer(extend_s(place))


def find_element(items: i64, item: i64) -> i32:
    """Return the first index of an element of a vector or list that equals a value; -1 for none."""
    count = vector_count(items)
    index = 0
    while index < count:
        if same(item, vector_at(items, index)):
            return index
        index += 1
    return NOWHERE


def text_index(text: i64, part: i64) -> i64:
    """Return the first position of a part of a text, or of an element."""
    if are_texts(text, part):
        return place_word(find_text(flat(text), flat(part), 0))
    if is_sequence(text):
        return place_word(find_element(text, part))
    return fallback2(ID_INDEX_OF, text, part)


def text_index_from(text: i64, part: i64, start: i64) -> i64:
    """Return the first position of a part of a text at or behind another position."""
    if are_texts(text, part) and wrap(start) & 1:
        whole = flat(text)
        first = start >> 1
        if 0 <= first and first <= extend_s(load_i32(whole + 4)):
            return place_word(find_text(whole, flat(part), wrap(first)))
    return fallback3(ID_INDEX_OF, text, part, start)


def text_last_index(text: i64, part: i64) -> i64:
    """Return the last position of a part of a text."""
    if are_texts(text, part):
        return place_word(find_last(flat(text), flat(part)))
    return fallback2(ID_LAST_INDEX_OF, text, part)


def is_blank(code: i32) -> i32:
    """Say whether a code point has the property White_Space."""
    if code < 128:
        return code == 32 or (9 <= code and code <= 13)
    if code == 133 or code == 160 or code == 5760 or code == 12288:
        return 1
    if 8192 <= code and code <= 8202:
        return 1
    return code == 8232 or code == 8233 or code == 8239 or code == 8287


def first_visible(text: i32) -> i32:
    """Return the place of the first code point of a flat string that is no blank; its length when all are."""
    count = load_i32(text + 4)
    index = 0
    while index < count and is_blank(char_at(text, index)):
        index += 1
    return index


def end_visible(text: i32, start: i32) -> i32:
    """Return the place behind the last code point of a flat string that is no blank, at least a start."""
    end = load_i32(text + 4)
    while end > start and is_blank(char_at(text, end - 1)):
        end -= 1
    return end


def text_blank(text: i64) -> i32:
    """Say whether a text has no characters but blanks."""
    if is_text(text):
        whole = flat(text)
        return first_visible(whole) == load_i32(whole + 4)
    return fallback1(ID_BLANK, text) == TRUE
