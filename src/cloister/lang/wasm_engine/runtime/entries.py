"""Natives on whole maps, without calling functions."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i64
from cloister.lang.wasm_engine.layout import VECTOR
from cloister.lang.wasm_engine.runtime.base import at, word
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3, fallback4
from cloister.lang.wasm_engine.runtime.ids import (
    B_HASH_MAP,
    B_INTO,
    B_KEY,
    B_KEYS,
    B_MAP_INVERT,
    B_MERGE,
    B_RENAME_KEYS,
    B_SELECT_KEYS,
    B_VAL,
    B_VALS,
    B_ZIPMAP,
)
from cloister.lang.wasm_engine.runtime.keys import is_key
from cloister.lang.wasm_engine.runtime.making import pairs_of
from cloister.lang.wasm_engine.runtime.map_changes import empty_map, map_builder, map_set, map_with_all
from cloister.lang.wasm_engine.runtime.maps import is_map, map_count, map_end, map_entry, map_find, map_get
from cloister.lang.wasm_engine.runtime.values import fits, is_pair
from cloister.lang.wasm_engine.runtime.vector_growth import append, append_all, vector_builder_for
from cloister.lang.wasm_engine.runtime.vectors import copied_header, is_sequence, vector_at, vector_count


def do_hash_map0() -> i64:
    """Return an empty map."""
    return empty_map()


def do_hash_map2(key: i64, value: i64) -> i64:
    """Return a map of one entry."""
    return map_set(empty_map(), key, value) if is_key(key) else fallback2(B_HASH_MAP, key, value)


def do_hash_map4(key: i64, value: i64, other: i64, content: i64) -> i64:
    """Return a map of two entries."""
    if not is_key(key) or not is_key(other):
        return fallback4(B_HASH_MAP, key, value, other, content)
    return map_set(map_set(empty_map(), key, value), other, content)


def can_join(value: i64, other: i64) -> i32:
    """Say whether two values are maps that together are not too large."""
    return is_map(value) and is_map(other) and fits(map_count(value) + map_count(other))


def do_merge1(value: i64) -> i64:
    """Return a map."""
    return value if is_map(value) else fallback1(B_MERGE, value)


def do_merge2(value: i64, other: i64) -> i64:
    """Join two maps."""
    return map_with_all(value, other) if can_join(value, other) else fallback2(B_MERGE, value, other)


def do_merge3(value: i64, other: i64, last: i64) -> i64:
    """Join three maps."""
    if can_join(value, other) and is_map(last) and fits(map_count(value) + map_count(other) + map_count(last)):
        return map_with_all(map_with_all(value, other), last)
    return fallback3(B_MERGE, value, other, last)


def column_of(entries: i64, offset: i32) -> i64:
    """Return the vector of all keys, or of all values at offset 8."""
    made = vector_builder_for(VECTOR, map_count(entries))
    end = map_end(entries)
    place = 0
    while place < end:
        entry = map_entry(entries, place)
        if entry:
            append(at(made), load_i64(entry + offset))
        place += 1
    return made


def do_keys(value: i64) -> i64:
    """Return the keys of a map."""
    return column_of(value, 0) if is_map(value) and fits(map_count(value)) else fallback1(B_KEYS, value)


def do_vals(value: i64) -> i64:
    """Return the values of a map."""
    return column_of(value, 8) if is_map(value) and fits(map_count(value)) else fallback1(B_VALS, value)


def do_key(value: i64) -> i64:
    """Return the key of a pair."""
    return vector_at(value, 0) if is_pair(value) else fallback1(B_KEY, value)


def do_val(value: i64) -> i64:
    """Return the value of a pair."""
    return vector_at(value, 1) if is_pair(value) else fallback1(B_VAL, value)


def do_select_keys(value: i64, wanted: i64) -> i64:
    """Return a map of only the wanted keys, in their order."""
    if not is_map(value) or not is_sequence(wanted) or not fits(vector_count(wanted)):
        return fallback2(B_SELECT_KEYS, value, wanted)
    made = empty_map()
    count = vector_count(wanted)
    index = 0
    while index < count:
        key = vector_at(wanted, index)
        entry = map_find(value, key) if is_key(key) else 0
        if entry:
            made = map_set(made, key, load_i64(entry + 8))
        index += 1
    return made


def do_rename_keys(value: i64, names: i64) -> i64:
    """Return a map with keys replaced."""
    if not is_map(value) or not is_map(names) or not fits(map_count(value)):
        return fallback2(B_RENAME_KEYS, value, names)
    made = map_builder(map_count(value))
    end = map_end(value)
    place = 0
    while place < end:
        entry = map_entry(value, place)
        if entry:
            key = map_get(names, load_i64(entry), load_i64(entry))
            if not is_key(key):
                return fallback2(B_RENAME_KEYS, value, names)
            made = map_set(made, key, load_i64(entry + 8))
        place += 1
    return made


def do_zipmap(names: i64, contents: i64) -> i64:
    """Pair keys with values."""
    if not is_sequence(names) or not is_sequence(contents):
        return fallback2(B_ZIPMAP, names, contents)
    count = vector_count(names) if vector_count(names) < vector_count(contents) else vector_count(contents)
    made = map_builder(count) if fits(count) else empty_map()
    index = 0 if fits(count) else -1
    while 0 <= index and index < count:
        key = vector_at(names, index)
        if is_key(key):
            made = map_set(made, key, vector_at(contents, index))
            index += 1
        else:
            index = -1
    return made if index >= 0 else fallback2(B_ZIPMAP, names, contents)


def do_into(target: i64, source: i64) -> i64:
    """Add the elements of a collection to another."""
    if is_map(source) and fits(map_count(source)):
        if is_map(target):
            return do_merge2_into(target, source)
        if is_sequence(target) and fits(vector_count(target) + map_count(source)):
            return joined(target, pairs_of(source))
    elif is_sequence(source):
        if is_sequence(target) and fits(vector_count(target) + vector_count(source)):
            return joined(target, source)
        if is_map(target) and fits(map_count(target) + vector_count(source)) and all_pairs(source):
            return with_all_pairs(target, source)
    return fallback2(B_INTO, target, source)


def do_merge2_into(target: i64, source: i64) -> i64:
    """Set the entries of a map in another, as `into` does."""
    return map_with_all(target, source) if can_join(target, source) else fallback2(B_INTO, target, source)


def joined(target: i64, source: i64) -> i64:
    """Return a sequence with the elements of another at its end."""
    vector = copied_header(at(target))
    append_all(vector, source)
    return word(vector)


def all_pairs(source: i64) -> i32:
    """Say whether all elements of a sequence are pairs of a key and a value."""
    count = vector_count(source)
    index = 0
    while index < count:
        pair = vector_at(source, index)
        if not is_pair(pair) or not is_key(vector_at(pair, 0)):
            return 0
        index += 1
    return 1


def with_all_pairs(target: i64, source: i64) -> i64:
    """Return a map with pairs set."""
    count = vector_count(source)
    index = 0
    while index < count:
        pair = vector_at(source, index)
        target = map_set(target, vector_at(pair, 0), vector_at(pair, 1))
        index += 1
    return target


def do_map_invert(value: i64) -> i64:
    """Return a map from values to keys."""
    if not is_map(value) or not fits(map_count(value)):
        return fallback1(B_MAP_INVERT, value)
    made = map_builder(map_count(value))
    end = map_end(value)
    place = 0
    while place < end:
        entry = map_entry(value, place)
        if entry:
            if not is_key(load_i64(entry + 8)):
                return fallback1(B_MAP_INVERT, value)
            made = map_set(made, load_i64(entry + 8), load_i64(entry))
        place += 1
    return made
