"""Strings: making, flattening, comparing and hashing them.

Owns that a flat string has the least width its characters need, so that equal strings are equal bytes.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    extend_u,
    i32,
    i64,
    load_i32,
    load_i64,
    load_u8,
    load_u16,
    memory_copy,
    store_i32,
    store_u8,
    store_u16,
    wrap,
)
from cloister.lang.wasm_engine.layout import KEYWORD, ROPE, STRING, WORK_TOP
from cloister.lang.wasm_engine.runtime.base import kind_of
from cloister.lang.wasm_engine.runtime.hashing import hash_bytes
from cloister.lang.wasm_engine.runtime.memory import allocate
from cloister.lang.wasm_engine.runtime.scratch import pop_work, push_work, top_work


def new_string(count: i32, width: i32) -> i32:
    """Allocate a string of so many code points, to be filled in."""
    address = allocate(16 + count * width)
    store_i32(address, STRING)
    store_i32(address + 4, count)
    store_i32(address + 12, width)
    return address


def is_text(value: i64) -> i32:
    """Say whether a word is a string."""
    kind = kind_of(value)
    return kind == STRING or kind == ROPE


def width_of(code: i32) -> i32:
    """Return how many bytes a code point needs; surrogates need four."""
    if code < 256:
        return 1
    return 2 if code < 65536 and (code & 63488) != 55296 else 4


def text_width(address: i32) -> i32:
    """Return the bytes per code point of a string or rope."""
    return load_i32(address + 12) if load_u8(address) == STRING else load_u8(address + 2)


def char_at(address: i32, index: i32) -> i32:
    """Return a code point of a flat string."""
    width = load_i32(address + 12)
    if width == 1:
        return load_u8(address + index + 16)
    if width == 2:
        return load_u16(address + (index << 1) + 16)
    return load_i32(address + (index << 2) + 16)


def put_char(address: i32, index: i32, code: i32) -> None:
    """Set a code point of a string that is being made; its width is enough."""
    width = load_i32(address + 12)
    if width == 1:
        store_u8(address + index + 16, code)
    elif width == 2:
        store_u16(address + (index << 1) + 16, code)
    else:
        store_i32(address + (index << 2) + 16, code)


def put_chars(target: i32, place: i32, source: i32, start: i32, count: i32) -> None:
    """Copy code points of a flat string into one that is being made, which is at least as wide."""
    width = load_i32(source + 12)
    if width == load_i32(target + 12):
        memory_copy(target + 16 + place * width, source + 16 + start * width, count * width)
        return
    index = 0
    while index < count:
        put_char(target, place + index, char_at(source, start + index))
        index += 1


def flat(value: i64) -> i32:
    """Return the address of the flat string of a string or rope; a rope stays flat from then on."""
    address = wrap(value)
    if load_u8(address) == STRING:
        return address
    if load_i32(address + 12) != 0:
        flatten(address)
    return load_i32(address + 8)


def flatten(rope: i32) -> None:
    """Copy the parts of a rope into one string, from the last to the first, so that appending needs little memory."""
    place = load_i32(rope + 4)
    whole = new_string(place, load_u8(rope + 2))
    base = load_i32(WORK_TOP)
    store_i32(push_work(4), rope)
    while load_i32(WORK_TOP) > base:
        part = load_i32(top_work(4))
        pop_work(4)
        while load_u8(part) == ROPE:
            if load_i32(part + 12) != 0:
                store_i32(push_work(4), load_i32(part + 8))
                part = load_i32(part + 12)
            else:
                part = load_i32(part + 8)
        place -= load_i32(part + 4)
        put_chars(whole, place, part, 0, load_i32(part + 4))
    store_i32(rope + 8, whole)
    store_i32(rope + 12, 0)


def hash_of_text(address: i32) -> i32:
    """Return the hash of a flat string, which is never 0; it is remembered."""
    known = load_i32(address + 8)
    if known == 0:
        known = hash_bytes(address + 16, load_i32(address + 4) * load_i32(address + 12))
        store_i32(address + 8, known)
    return known


def same_bytes(left: i32, right: i32, count: i32) -> i32:
    """Say whether two ranges of memory hold the same."""
    index = 0
    while index + 8 <= count:
        if load_i64(left + index) != load_i64(right + index):
            return 0
        index += 8
    while index < count:
        if load_u8(left + index) != load_u8(right + index):
            return 0
        index += 1
    return 1


def same_flat(left: i32, right: i32) -> i32:
    """Say whether two flat strings are equal."""
    if left == right:
        return 1
    count = load_i32(left + 4)
    width = load_i32(left + 12)
    if count != load_i32(right + 4) or width != load_i32(right + 12):
        return 0
    mine = load_i32(left + 8)
    theirs = load_i32(right + 8)
    if mine != theirs and mine != 0 and theirs != 0:
        return 0
    return same_bytes(left + 16, right + 16, count * width)


def same_text(left: i64, right: i64) -> i32:
    """Say whether two strings are equal."""
    if load_i32(wrap(left) + 4) != load_i32(wrap(right) + 4):
        return 0
    return same_flat(flat(left), flat(right))


def new_name(kind: i32, name: i32) -> i64:
    """Return the keyword or symbol whose name is a flat string."""
    hash_of_text(name)
    address = allocate(16)
    store_i32(address, kind)
    store_i32(address + 8, name)
    return extend_u(address)


def new_keyword(name: i32) -> i64:
    """Return the keyword of a name, which is a flat string."""
    return new_name(KEYWORD, name)


def name_of(value: i64) -> i32:
    """Return the name of a keyword or symbol, a flat string."""
    return load_i32(wrap(value) + 8)


def same_name(left: i64, right: i64) -> i32:
    """Say whether two keywords, or two symbols, have the same name."""
    return 1 if left == right else same_flat(name_of(left), name_of(right))
