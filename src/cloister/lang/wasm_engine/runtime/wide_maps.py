"""Large maps: versions that see the first entries of a store they share.

A store only grows: what replaces or removes a key is an entry of its own, with a link to the one before it of the same
key. The version that sees all entries adds the next one in place; any other gets a store of its own. So the costs of a
change do not depend on the size of the map, but for versions that are not the newest.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, store_i32, store_i64
from cloister.lang.wasm_engine.layout import ENTRIES, ENTRY_BYTES, GONE, RAW, STORE, WIDE_MAP
from cloister.lang.wasm_engine.runtime.base import new_object, word
from cloister.lang.wasm_engine.runtime.keys import hash_of_key, same_key

STORE_BYTES = 24
WIDE_BYTES = 16
INDEX_BYTES_MIN = 64
SPARE_MIN = 16


def new_store(room: i32) -> i32:
    """Make an empty store with room for so many entries, and an index of at least twice as many places."""
    size = INDEX_BYTES_MIN
    while size < room << 3:
        size <<= 1
    store = new_object(STORE, room, STORE_BYTES)
    store_i32(store + 12, new_object(RAW, size, size + 16))
    store_i32(store + 16, new_object(ENTRIES, room, room * ENTRY_BYTES + 16))
    return store


def new_version(store: i32, count: i32) -> i64:
    """Make the map that sees all entries of a store, of which so many count."""
    version = new_object(WIDE_MAP, count, WIDE_BYTES)
    store_i32(version + 8, load_i32(store + 8))
    store_i32(version + 12, store)
    return word(version)


def store_entry(store: i32, number: i32) -> i32:
    """Return an entry of a store."""
    return load_i32(store + 16) + number * ENTRY_BYTES + 16


def index_slot(store: i32, key: i64, code: i32) -> i32:
    """Return the address where the index has, or would have, the number of the last entry of a key, plus 1."""
    index = load_i32(store + 12)
    mask = load_i32(index + 4) - 1
    offset = (code << 2) & mask
    while True:
        number = load_i32(index + offset + 16)
        if number == 0:
            break
        entry = store_entry(store, number - 1)
        if load_i32(entry + 16) == code and same_key(load_i64(entry), key):
            break
        offset = (offset + 4) & mask
    return index + offset + 16


def seen_number(version: i32, key: i64, code: i32) -> i32:
    """Return the number of the last entry of a key that a version sees; -1 when it sees none."""
    store = load_i32(version + 12)
    number = load_i32(index_slot(store, key, code)) - 1
    seen = load_i32(version + 8)
    while number >= seen:
        number = load_i32(store_entry(store, number) + 20)
    return number


def wide_find(version: i32, key: i64) -> i32:
    """Return the entry of a key; 0 when there is none."""
    number = seen_number(version, key, hash_of_key(key))
    if number < 0:
        return 0
    entry = store_entry(load_i32(version + 12), number)
    return 0 if load_i64(entry + 8) == GONE else entry


def wide_entry(version: i32, place: i32) -> i32:
    """Return the entry at a place; 0 when there is none."""
    store = load_i32(version + 12)
    entry = store_entry(store, place)
    if load_i32(version + 8) == load_i32(version + 4):
        return entry  # as many entries as keys: nothing was replaced or removed
    if load_i32(entry + 24) != place:
        return 0
    number = seen_number(version, load_i64(entry), load_i32(entry + 16))
    entry = store_entry(store, number)
    return 0 if load_i32(entry + 24) != place or load_i64(entry + 8) == GONE else entry


def add_entry(store: i32, key: i64, value: i64, code: i32) -> i32:
    """Put a key, or that it is gone, into a store that has room; say whether the store had the key before."""
    slot = index_slot(store, key, code)
    before = load_i32(slot) - 1
    number = load_i32(store + 8)
    place = number
    was_there = 0
    if before >= 0:
        old = store_entry(store, before)
        was_there = load_i64(old + 8) != GONE
        if was_there:
            place = load_i32(old + 24)
    entry = store_entry(store, number)
    store_i64(entry, key)
    store_i64(entry + 8, value)
    store_i32(entry + 16, code)
    store_i32(entry + 20, before)
    store_i32(entry + 24, place)
    store_i32(slot, number + 1)
    store_i32(store + 8, number + 1)
    return was_there


def growable_store(version: i32) -> i32:
    """Return a store into which a version's next entry can be put: its own, or a copy of what it sees."""
    store = load_i32(version + 12)
    number = load_i32(store + 8)
    count = load_i32(version + 4)
    if number == load_i32(version + 8) and number < load_i32(store + 4) and number <= (count << 1) + SPARE_MIN:
        return store
    return compacted(version)


def compacted(version: i32) -> i32:
    """Copy the entries of a version into a store of their own, in their order."""
    count = load_i32(version + 4)
    store = new_store(count + (count >> 1) + SPARE_MIN)
    end = load_i32(version + 8)
    place = 0
    while place < end:
        entry = wide_entry(version, place)
        if entry:
            add_entry(store, load_i64(entry), load_i64(entry + 8), load_i32(entry + 16))
        place += 1
    return store


def wide_set(version: i32, key: i64, value: i64) -> i64:
    """Return the map with a key set; a new one comes last."""
    store = growable_store(version)
    count = load_i32(version + 4)
    if not add_entry(store, key, value, hash_of_key(key)):
        count += 1
    return new_version(store, count)


def wide_without(version: i32, key: i64) -> i64:
    """Return the map without a key, which it has."""
    store = growable_store(version)
    add_entry(store, key, GONE, hash_of_key(key))
    return new_version(store, load_i32(version + 4) - 1)


def widened(address: i32, pairs: i32) -> i64:
    """Make a large map of keys and values that lie in turn in memory; of equal keys the last value wins."""
    store = new_store(pairs)
    count = 0
    while pairs > 0:
        key = load_i64(address)
        if not add_entry(store, key, load_i64(address + 8), hash_of_key(key)):
            count += 1
        address += 16
        pairs -= 1
    return new_version(store, count)
