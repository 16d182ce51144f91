"""Maps: looking up, and going through them.

Owns how a small map is read, and what reads both kinds; `wide_maps` has the large ones, `map_changes` makes changed
versions. An entry is the address of a key, behind which the value is. The places of a map are numbers from 0; at some
of them is no entry, and the entries come in their order.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, store_i64
from cloister.lang.wasm_engine.layout import MAP, WIDE_MAP
from cloister.lang.wasm_engine.runtime.base import at, is_small, kind_of, new_object
from cloister.lang.wasm_engine.runtime.keys import same_key
from cloister.lang.wasm_engine.runtime.wide_maps import wide_entry, wide_find


def is_map(value: i64) -> i32:
    """Say whether a word is a map."""
    return (kind_of(value) | 1) == WIDE_MAP  # the two are neighbours


def new_map(count: i32) -> i32:
    """Make a small map with room for so many entries, which are still missing."""
    return new_object(MAP, count, (count << 4) + 16)


def put_entry(entry: i32, key: i64, value: i64) -> None:
    """Write a key and its value."""
    store_i64(entry, key)
    store_i64(entry + 8, value)


def map_count(value: i64) -> i32:
    """Return how many entries a map has."""
    return load_i32(at(value) + 4)


def map_find(value: i64, key: i64) -> i32:
    """Return the entry of a key, which can be one; 0 when there is none."""
    if kind_of(value) == WIDE_MAP:
        return wide_find(at(value), key)
    entry = at(value) + 16
    end = entry + (map_count(value) << 4)
    while entry < end:
        if load_i64(entry) == key:
            return entry
        entry += 16
    return 0 if is_small(key) else find_equal(at(value) + 16, end, key)


def find_equal(entry: i32, end: i32, key: i64) -> i32:
    """Return the entry whose key is equal to one that is another object; 0 when there is none."""
    while entry < end:
        if same_key(load_i64(entry), key):
            return entry
        entry += 16
    return 0


def map_get(value: i64, key: i64, default: i64) -> i64:
    """Return the value of a key, which can be one; the default when there is none."""
    entry = map_find(value, key)
    return load_i64(entry + 8) if entry else default


def map_has(value: i64, key: i64) -> i32:
    """Say whether a map has a key, which can be one."""
    return map_find(value, key) != 0


def map_end(value: i64) -> i32:
    """Return how many places a map has."""
    return load_i32(at(value) + 8) if kind_of(value) == WIDE_MAP else map_count(value)


def map_entry(value: i64, place: i32) -> i32:
    """Return the entry at a place; 0 when there is none."""
    return wide_entry(at(value), place) if kind_of(value) == WIDE_MAP else at(value) + (place << 4) + 16
