"""Texts cut into pieces, with parts replaced, repeated or filled up."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_s, extend_u, i32, i64, load_i32, wrap
from cloister.lang.wasm_engine.layout import BUILTIN_IDS, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, unbox_integer
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.text_building import fits_text, length_of, repeated_char, text_narrowed, wider
from cloister.lang.wasm_engine.runtime.text_parts import part_of_text, text_of_char
from cloister.lang.wasm_engine.runtime.text_search import NOWHERE, are_texts, find_text
from cloister.lang.wasm_engine.runtime.texts import char_at, flat, is_text, new_string, put_chars, width_of
from cloister.lang.wasm_engine.runtime.values import fits
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder

ID_LENGTH = BUILTIN_IDS["string-length"]
ID_SUBSTRING = BUILTIN_IDS["substring"]
ID_SPLIT = BUILTIN_IDS["split"]
ID_LINES = BUILTIN_IDS["split-lines"]
ID_REPLACE = BUILTIN_IDS["replace"]
ID_REPEAT = BUILTIN_IDS["string-repeat"]
ID_PAD_LEFT = BUILTIN_IDS["pad-left"]
ID_PAD_RIGHT = BUILTIN_IDS["pad-right"]
ID_CHAR = BUILTIN_IDS["char"]
ID_CHAR_CODE = BUILTIN_IDS["char-code"]

NEWLINE = 10
RETURN = 13
BLANK = 32
CODES = 1114112
FIRST_SURROGATE = 55296
END_SURROGATES = 57344
ALL_PIECES = 268435456


def text_length(text: i64) -> i64:
    """Return how many characters a text has."""
    return extend_s(length_of(text)) if is_text(text) else unbox_integer(fallback1(ID_LENGTH, text))


def is_place(place: i64, least: i32, most: i32) -> i32:
    """Say whether a word is an integer between two numbers."""
    return wrap(place) & 1 and extend_s(least) <= place >> 1 and place >> 1 <= extend_s(most)


def substring_from(text: i64, start: i64) -> i64:
    """Return the characters of a text from a position on."""
    if is_text(text) and is_place(start, 0, length_of(text)):
        first = wrap(start >> 1)
        if fits_text(length_of(text) - first):
            return extend_u(part_of_text(flat(text), first, length_of(text) - first))
    return fallback2(ID_SUBSTRING, text, start)


def substring(text: i64, start: i64, end: i64) -> i64:
    """Return the characters of a text from a position up to but without another."""
    if is_text(text) and is_place(start, 0, length_of(text)):
        first = wrap(start >> 1)
        if is_place(end, first, length_of(text)) and fits_text(wrap(end >> 1) - first):
            return extend_u(part_of_text(flat(text), first, wrap(end >> 1) - first))
    return fallback3(ID_SUBSTRING, text, start, end)


def pieces_of(text: i32, cut: i32, most: i32) -> i32:
    """Return how many pieces a flat string has between its cuts, which are not empty; at most so many."""
    count = 1
    place = find_text(text, cut, 0)
    while place != NOWHERE and count < most:
        count += 1
        place = find_text(text, cut, place + load_i32(cut + 4))
    return count


def split_pieces(text: i32, cut: i32, count: i32) -> i64:
    """Return so many pieces of a flat string; the last is all that is left."""
    made = vector_builder(VECTOR)
    start = 0
    while count > 1:
        place = find_text(text, cut, start)
        append(at(made), extend_u(part_of_text(text, start, place - start)))
        start = place + load_i32(cut + 4)
        count -= 1
    append(at(made), extend_u(part_of_text(text, start, load_i32(text + 4) - start)))
    return made


def split_chars(text: i32) -> i64:
    """Return the characters of a flat string."""
    made = vector_builder(VECTOR)
    count = load_i32(text + 4)
    index = 0
    while index < count:
        append(at(made), text_of_char(char_at(text, index)))
        index += 1
    return made


def text_split(text: i64, separator: i64) -> i64:
    """Cut a text at every separator; an empty one gives the characters."""
    if are_texts(text, separator):
        whole = flat(text)
        cut = flat(separator)
        if load_i32(cut + 4) == 0:
            if fits(load_i32(whole + 4) + 2):
                return split_chars(whole)
        else:
            count = pieces_of(whole, cut, ALL_PIECES)
            if fits(count):
                return split_pieces(whole, cut, count)
    return fallback2(ID_SPLIT, text, separator)


def text_split_some(text: i64, separator: i64, limit: i64) -> i64:
    """Cut a text at separators into at most so many pieces."""
    if are_texts(text, separator) and is_place(limit, 1, ALL_PIECES):
        whole = flat(text)
        cut = flat(separator)
        if load_i32(cut + 4) != 0:
            count = pieces_of(whole, cut, wrap(limit >> 1))
            if fits(count):
                return split_pieces(whole, cut, count)
    return fallback3(ID_SPLIT, text, separator, limit)


def text_lines(text: i64) -> i64:
    """Cut a text into its lines."""
    if not is_text(text) or not fits(length_of(text) + 1):
        return fallback1(ID_LINES, text)
    whole = flat(text)
    made = vector_builder(VECTOR)
    count = load_i32(whole + 4)
    start = 0
    index = 0
    while index <= count:
        if index == count or char_at(whole, index) == NEWLINE:
            if index < count or start < count:
                append(at(made), line_of(whole, start, index))
            start = index + 1
        index += 1
    return made


def line_of(text: i32, start: i32, end: i32) -> i64:
    """Return a line of a flat string without the carriage return at its end."""
    if end > start and char_at(text, end - 1) == RETURN:
        end -= 1
    return extend_u(part_of_text(text, start, end - start))


def text_replace(text: i64, old: i64, new: i64) -> i64:
    """Replace every occurrence of a part of a text by another text."""
    if are_texts(text, old) and is_text(new) and length_of(old) != 0:
        whole = flat(text)
        part = flat(old)
        instead = flat(new)
        count = pieces_of(whole, part, ALL_PIECES) - 1
        grown = extend_s(count) * extend_s(load_i32(instead + 4) - load_i32(part + 4))
        size = grown + extend_s(load_i32(whole + 4))
        if size >> 28 == 0 and fits_text(wrap(size)):
            if count == 0:
                return text
            return extend_u(replaced(whole, part, instead, wrap(size), count))
    return fallback3(ID_REPLACE, text, old, new)


def replaced(text: i32, part: i32, instead: i32, size: i32, count: i32) -> i32:
    """Return a flat string with so many parts replaced, which has that size then."""
    made = new_string(size, wider(load_i32(text + 12), load_i32(instead + 12)))
    start = 0
    place = 0
    while count > 0:
        found = find_text(text, part, start)
        put_chars(made, place, text, start, found - start)
        place += found - start
        put_chars(made, place, instead, 0, load_i32(instead + 4))
        place += load_i32(instead + 4)
        start = found + load_i32(part + 4)
        count -= 1
    put_chars(made, place, text, start, load_i32(text + 4) - start)
    return text_narrowed(made)


def text_repeat(text: i64, times: i64) -> i64:
    """Return a text repeated a number of times."""
    if is_text(text) and is_place(times, 0, ALL_PIECES):
        size = extend_s(length_of(text)) * (times >> 1)
        if size >> 28 == 0 and fits_text(wrap(size)):
            return extend_u(repeated(flat(text), wrap(size)))
    return fallback2(ID_REPEAT, text, times)


def repeated(text: i32, size: i32) -> i32:
    """Return a flat string repeated up to a size."""
    made = new_string(size, load_i32(text + 12) if size != 0 else 1)
    count = load_i32(text + 4)
    place = 0
    while place < size:
        put_chars(made, place, text, 0, count)
        place += count
    return made


def can_pad(text: i64, width: i64, fill: i64) -> i32:
    """Say whether a text can be filled up to a width with a character."""
    if not are_texts(text, fill) or not is_place(width, -ALL_PIECES, ALL_PIECES):
        return 0
    return length_of(fill) == 1 and fits_text(wrap(width >> 1)) and fits_text(length_of(text))


def padded(text: i32, width: i32, code: i32, is_left: i32) -> i32:
    """Return a flat string filled up to a width, on its left or its right."""
    count = load_i32(text + 4)
    missing = width - count
    if missing <= 0:
        return text
    made = new_string(width, wider(load_i32(text + 12), width_of(code)))
    put_chars(made, missing if is_left else 0, text, 0, count)
    repeated_char(made, 0 if is_left else count, missing, code)
    return made


def pad_left(text: i64, width: i64) -> i64:
    """Fill a text on its left up to a width with blanks."""
    return pad_left_with(text, width, text_of_char(BLANK))


def pad_right(text: i64, width: i64) -> i64:
    """Fill a text on its right up to a width with blanks."""
    return pad_right_with(text, width, text_of_char(BLANK))


def pad_left_with(text: i64, width: i64, fill: i64) -> i64:
    """Fill a text on its left up to a width with a character."""
    if can_pad(text, width, fill):
        return extend_u(padded(flat(text), wrap(width >> 1), char_at(flat(fill), 0), 1))
    return fallback3(ID_PAD_LEFT, text, width, fill)


def pad_right_with(text: i64, width: i64, fill: i64) -> i64:
    """Fill a text on its right up to a width with a character."""
    if can_pad(text, width, fill):
        return extend_u(padded(flat(text), wrap(width >> 1), char_at(flat(fill), 0), 0))
    return fallback3(ID_PAD_RIGHT, text, width, fill)


def char_of_code(code: i64) -> i64:
    """Return the character of a code point."""
    if is_place(code, 0, CODES - 1) and not is_place(code, FIRST_SURROGATE, END_SURROGATES - 1):
        return text_of_char(wrap(code >> 1))
    return fallback1(ID_CHAR, code)


def code_of_char(char: i64) -> i64:
    """Return the code point of a character."""
    if is_text(char) and length_of(char) == 1:
        return extend_s(char_at(flat(char), 0))
    return unbox_integer(fallback1(ID_CHAR_CODE, char))
