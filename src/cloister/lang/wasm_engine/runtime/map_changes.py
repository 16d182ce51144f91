"""Maps with entries set or removed, and maps made of keys and values."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i64, memory_copy, store_i32, store_i64
from cloister.lang.wasm_engine.layout import SMALL_MAP_MAX, WIDE_MAP
from cloister.lang.wasm_engine.runtime.base import at, kind_of, word
from cloister.lang.wasm_engine.runtime.maps import map_count, map_end, map_entry, map_find, new_map, put_entry
from cloister.lang.wasm_engine.runtime.wide_maps import new_store, new_version, wide_set, wide_without, widened

NARROW_MAX = 4
"""A large map that gets as small as this becomes a small one; fewer than `SMALL_MAP_MAX`, so that it does not go to and
fro."""


def empty_map() -> i64:
    """Make a map without entries."""
    return word(new_map(0))


def map_set(value: i64, key: i64, item: i64) -> i64:
    """Return the map with a key set, which can be one; it keeps its place, and a new one comes last."""
    if kind_of(value) == WIDE_MAP:
        return wide_set(at(value), key, item)
    count = map_count(value)
    entry = map_find(value, key)
    if entry:
        changed = new_map(count)
        memory_copy(changed + 16, at(value) + 16, count << 4)
        store_i64(changed + (entry - at(value)) + 8, item)
        return word(changed)
    if count == SMALL_MAP_MAX:
        return wide_set(at(widened(at(value) + 16, count)), key, item)
    changed = new_map(count + 1)
    memory_copy(changed + 16, at(value) + 16, count << 4)
    put_entry(changed + (count << 4) + 16, key, item)
    return word(changed)


def map_without(value: i64, key: i64) -> i64:
    """Return the map without a key, which can be one; the same map when it does not have it."""
    entry = map_find(value, key)
    if entry == 0:
        return value
    if kind_of(value) == WIDE_MAP:
        return narrowed(wide_without(at(value), key))
    count = map_count(value) - 1
    changed = new_map(count)
    before = entry - at(value) - 16
    memory_copy(changed + 16, at(value) + 16, before)
    memory_copy(changed + before + 16, entry + 16, (count << 4) - before)
    return word(changed)


def narrowed(value: i64) -> i64:
    """Return a large map as a small one when it has very few entries."""
    count = map_count(value)
    if count > NARROW_MAX:
        return value
    made = new_map(count)
    copy_entries(made + 16, value)
    return word(made)


def copy_entries(target: i32, value: i64) -> None:
    """Copy the keys and values of a map, in order, next to each other."""
    end = map_end(value)
    place = 0
    while place < end:
        entry = map_entry(value, place)
        if entry:
            memory_copy(target, entry, 16)
            target += 16
        place += 1


def map_from(address: i32, pairs: i32) -> i64:
    """Make a map of keys and values that lie in turn in memory.

    The keys can be keys; of equal ones the last value wins, at the first one's place.
    """
    if pairs > SMALL_MAP_MAX:
        return widened(address, pairs)
    made = new_map(pairs)
    count = 0
    while pairs > 0:
        count = put_first(made, count, load_i64(address), load_i64(address + 8))
        address += 16
        pairs -= 1
    store_i32(made + 4, count)
    return word(made)


def put_first(made: i32, count: i32, key: i64, item: i64) -> i32:
    """Put an entry into a small map that is being made and has so many; return how many it has then."""
    store_i32(made + 4, count)
    entry = map_find(word(made), key)
    if entry:
        store_i64(entry + 8, item)
        return count
    put_entry(made + (count << 4) + 16, key, item)
    return count + 1


def map_with_all(value: i64, other: i64) -> i64:
    """Return a map with the entries of another set."""
    end = map_end(other)
    place = 0
    while place < end:
        entry = map_entry(other, place)
        if entry:
            value = map_set(value, load_i64(entry), load_i64(entry + 8))
        place += 1
    return value


def map_builder(count: i32) -> i64:
    """Make an empty map that is about to get so many entries; small ones need no preparation."""
    return new_version(new_store(count), 0) if count > SMALL_MAP_MAX else empty_map()
