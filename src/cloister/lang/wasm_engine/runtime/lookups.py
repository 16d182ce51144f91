"""Natives that look things up in collections and change single places of them, without calling functions."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i64, store_i64
from cloister.lang.wasm_engine.layout import NIL, TRUE, UNSET
from cloister.lang.wasm_engine.runtime.base import is_integer
from cloister.lang.wasm_engine.runtime.equality import same
from cloister.lang.wasm_engine.runtime.fallback import fallback, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.ids import (
    B_ASSOC,
    B_ASSOC_IN,
    B_CONTAINS_P,
    B_DISSOC,
    B_FIND,
    B_GET,
    B_GET_IN,
)
from cloister.lang.wasm_engine.runtime.keys import is_key
from cloister.lang.wasm_engine.runtime.making import do_vector2
from cloister.lang.wasm_engine.runtime.map_changes import empty_map, map_set, map_without
from cloister.lang.wasm_engine.runtime.maps import is_map, map_count, map_find, map_get, map_has
from cloister.lang.wasm_engine.runtime.stack import enter, leave
from cloister.lang.wasm_engine.runtime.values import as_index, fits, index_in
from cloister.lang.wasm_engine.runtime.vector_growth import vector_set
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_at, vector_count

PATH_MAX = 1000
"""Longer paths are left to the host."""


def do_get2(value: i64, key: i64) -> i64:
    """Look up a key or an index; nil when there is none."""
    if is_map(value) and is_key(key):
        return map_get(value, key, NIL)
    if is_sequence(value) and is_integer(key):
        place = index_in(value, key)
        return vector_at(value, place) if place >= 0 else NIL
    return fallback2(B_GET, value, key)


def do_get3(value: i64, key: i64, default: i64) -> i64:
    """Look up a key or an index; the default when there is none."""
    if is_map(value) and is_key(key):
        return map_get(value, key, default)
    if is_sequence(value) and is_integer(key):
        place = index_in(value, key)
        return vector_at(value, place) if place >= 0 else default
    return fallback3(B_GET, value, key, default)


def do_get_in2(value: i64, path: i64) -> i64:
    """Look up a path; nil when it leads nowhere."""
    return value_in(value, path, NIL) if is_sequence(path) else fallback2(B_GET_IN, value, path)


def do_get_in3(value: i64, path: i64, default: i64) -> i64:
    """Look up a path; the default when it leads nowhere."""
    return value_in(value, path, default) if is_sequence(path) else fallback3(B_GET_IN, value, path, default)


def value_in(value: i64, path: i64, default: i64) -> i64:
    """Go along a path, as far as it leads."""
    count = vector_count(path)
    index = 0
    while index < count:
        step = vector_at(path, index)
        index += 1
        if is_map(value):
            entry = map_find(value, step) if is_key(step) and not is_integer(step) else 0
            if entry == 0:
                return default
            value = load_i64(entry + 8)
        else:
            place = index_in(value, step)
            if place < 0:
                return default
            value = vector_at(value, place)
    return value


def do_find(value: i64, key: i64) -> i64:
    """Return the entry of a key as a pair."""
    if not is_map(value) or not is_key(key):
        return fallback2(B_FIND, value, key)
    entry = map_find(value, key)
    return do_vector2(key, load_i64(entry + 8)) if entry else NIL


def do_contains(value: i64, item: i64) -> i32:
    """Say whether a map has a key, or a sequence an element."""
    if is_map(value):
        return is_key(item) and map_has(value, item)
    if is_sequence(value):
        return has_element(value, item)
    return fallback2(B_CONTAINS_P, value, item) == TRUE


def has_element(value: i64, item: i64) -> i32:
    """Say whether a sequence has an element equal to a value."""
    count = vector_count(value)
    index = 0
    while index < count:
        if same(item, vector_at(value, index)):
            return 1
        index += 1
    return 0


def can_set(value: i64, key: i64, more: i32) -> i32:
    """Say whether a value is a collection in which a key can be set, and that so many more elements are allowed."""
    if is_map(value):
        return is_key(key) and fits(map_count(value) + more)
    return index_in(value, key) >= 0 and fits(vector_count(value) + more)


def set_in(value: i64, key: i64, item: i64) -> i64:
    """Set a key that can be set."""
    return map_set(value, key, item) if is_map(value) else vector_set(value, as_index(key), item)


def do_assoc3(value: i64, key: i64, item: i64) -> i64:
    """Set a key or an element."""
    if can_set(value, key, 1):
        return set_in(value, key, item)
    return fallback3(B_ASSOC, value, key, item)


def do_assoc5(value: i64, key: i64, item: i64, other: i64, content: i64) -> i64:
    """Set two keys or elements."""
    if can_set(value, key, 2) and can_set(value, other, 2):
        return set_in(set_in(value, key, item), other, content)
    frame = enter(5)
    store_i64(frame, value)
    store_i64(frame + 8, key)
    store_i64(frame + 16, item)
    store_i64(frame + 24, other)
    store_i64(frame + 32, content)
    changed = fallback(B_ASSOC, frame, 5)
    leave(frame)
    return changed


def do_dissoc2(value: i64, key: i64) -> i64:
    """Remove a key."""
    if not is_map(value) or not fits(map_count(value) + 1):
        return fallback2(B_DISSOC, value, key)
    return map_without(value, key) if is_key(key) else value


def do_dissoc3(value: i64, key: i64, other: i64) -> i64:
    """Remove two keys."""
    if not is_map(value) or not fits(map_count(value) + 2):
        return fallback3(B_DISSOC, value, key, other)
    return do_dissoc2(do_dissoc2(value, key), other)


def do_assoc_in(value: i64, path: i64, item: i64) -> i64:
    """Set the value at a path; maps that are missing on the way are made."""
    frame = holders_of(value, path)
    if frame == 0:
        return fallback3(B_ASSOC_IN, value, path, item)
    last = vector_count(path) - 1
    if not can_set(load_i64(frame + (last << 3)), vector_at(path, last), 1):
        leave(frame)
        return fallback3(B_ASSOC_IN, value, path, item)
    changed = set_path(frame, path, item)
    leave(frame)
    return changed


def holders_of(value: i64, path: i64) -> i32:
    """Return a frame with the collections along a path, each of which holds the next; 0 when it leads nowhere."""
    if not is_sequence(path) or vector_count(path) == 0 or vector_count(path) > PATH_MAX:
        return 0
    count = vector_count(path)
    frame = enter(count)
    store_i64(frame, value)
    index = 1
    while index < count:
        step = vector_at(path, index - 1)
        is_known = (is_map(value) and is_key(step)) or (is_sequence(value) and is_integer(step))
        value = do_get2(value, step) if is_known else UNSET
        if value == UNSET:
            leave(frame)
            return 0
        if value == NIL:
            value = empty_map()
        store_i64(frame + (index << 3), value)
        index += 1
    return frame


def set_path(frame: i32, path: i64, item: i64) -> i64:
    """Set the last key of a path, and then each before it, in the collections that hold them."""
    index = vector_count(path) - 1
    while index >= 0:
        item = do_assoc3(load_i64(frame + (index << 3)), vector_at(path, index), item)
        index -= 1
    return item
