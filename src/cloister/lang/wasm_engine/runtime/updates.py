"""Natives that change collections by what functions give; see `higher_order`."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, store_i32, store_i64
from cloister.lang.wasm_engine.layout import DEPTH, NIL
from cloister.lang.wasm_engine.runtime.calls import call1, call2, call3, can_call
from cloister.lang.wasm_engine.runtime.entries import can_join
from cloister.lang.wasm_engine.runtime.fallback import fallback, fallback1, fallback2, fallback3, fallback4
from cloister.lang.wasm_engine.runtime.higher_order import begin
from cloister.lang.wasm_engine.runtime.ids import (
    B_CONSTANTLY,
    B_MERGE_WITH,
    B_UPDATE,
    B_UPDATE_IN,
    B_UPDATE_KEYS,
    B_UPDATE_VALS,
)
from cloister.lang.wasm_engine.runtime.keys import is_key
from cloister.lang.wasm_engine.runtime.lookups import can_set, do_assoc3, do_get2, holders_of, set_path
from cloister.lang.wasm_engine.runtime.map_changes import empty_map, map_builder, map_set
from cloister.lang.wasm_engine.runtime.maps import is_map, map_count, map_end, map_entry, map_find
from cloister.lang.wasm_engine.runtime.stack import enter, leave
from cloister.lang.wasm_engine.runtime.values import fits
from cloister.lang.wasm_engine.runtime.vectors import vector_at, vector_count


def do_update3(value: i64, key: i64, function: i64) -> i64:
    """Replace the value of a key by what a function makes of it."""
    if not can_call(function, 1) or not can_set(value, key, 0):
        return fallback3(B_UPDATE, value, key, function)
    frame = begin(key, value, NIL)
    changed = do_assoc3(value, key, call1(function, do_get2(value, key)))
    leave(frame)
    return changed


def do_update4(value: i64, key: i64, function: i64, a: i64) -> i64:
    """Replace the value of a key by what a function makes of it and an argument."""
    if not can_call(function, 2) or not can_set(value, key, 0):
        return fallback4(B_UPDATE, value, key, function, a)
    frame = begin(key, value, NIL)
    changed = do_assoc3(value, key, call2(function, do_get2(value, key), a))
    leave(frame)
    return changed


def do_update5(value: i64, key: i64, function: i64, a: i64, b: i64) -> i64:
    """Replace the value of a key by what a function makes of it and two arguments."""
    frame = enter(5)
    store_i64(frame, value)
    store_i64(frame + 8, key)
    if can_call(function, 3) and can_set(value, key, 0):
        changed = do_assoc3(value, key, call3(function, do_get2(value, key), a, b))
    else:
        store_i64(frame + 16, function)
        store_i64(frame + 24, a)
        store_i64(frame + 32, b)
        changed = fallback(B_UPDATE, frame, 5)
    leave(frame)
    return changed


def can_change(frame: i32, path: i64, function: i64, count: i32) -> i32:
    """Say whether the last collection along a path has a place for what a function gives."""
    if frame == 0 or not can_call(function, count):
        return 0
    last = vector_count(path) - 1
    return can_set(load_i64(frame + (last << 3)), vector_at(path, last), 0)


def do_update_in3(value: i64, path: i64, function: i64) -> i64:
    """Replace the value at a path by what a function makes of it."""
    rooted = begin(path, function, NIL)
    frame = holders_of(value, path)
    if not can_change(frame, path, function, 1):
        leave(rooted)
        return fallback3(B_UPDATE_IN, value, path, function)
    last = vector_count(path) - 1
    old = do_get2(load_i64(frame + (last << 3)), vector_at(path, last))
    changed = set_path(frame, path, call1(function, old))
    leave(rooted)
    return changed


def do_update_in4(value: i64, path: i64, function: i64, a: i64) -> i64:
    """Replace the value at a path by what a function makes of it and an argument."""
    rooted = begin(path, function, NIL)
    frame = holders_of(value, path)
    if not can_change(frame, path, function, 2):
        leave(rooted)
        return fallback4(B_UPDATE_IN, value, path, function, a)
    last = vector_count(path) - 1
    old = do_get2(load_i64(frame + (last << 3)), vector_at(path, last))
    changed = set_path(frame, path, call2(function, old, a))
    leave(rooted)
    return changed


def do_update_vals(value: i64, function: i64) -> i64:
    """Return a map with each value replaced by what a function gives for it."""
    if not can_call(function, 1) or not is_map(value) or not fits(map_count(value)):
        return fallback2(B_UPDATE_VALS, value, function)
    made = map_builder(map_count(value))
    frame = begin(function, value, NIL)
    depth = load_i32(DEPTH)
    end = map_end(value)
    place = 0
    while place < end:
        entry = map_entry(value, place)
        if entry:
            store_i64(frame + 16, made)
            store_i32(DEPTH, depth)
            made = map_set(made, load_i64(entry), call1(function, load_i64(entry + 8)))
        place += 1
    leave(frame)
    return made


def do_update_keys(value: i64, function: i64) -> i64:
    """Return a map with each key replaced by what a function gives for it."""
    if not can_call(function, 1) or not is_map(value) or not fits(map_count(value)):
        return fallback2(B_UPDATE_KEYS, value, function)
    made = map_builder(map_count(value))
    frame = begin(function, value, NIL)
    depth = load_i32(DEPTH)
    end = map_end(value)
    place = 0
    while place < end:
        entry = map_entry(value, place)
        if entry:
            store_i64(frame + 16, made)
            store_i32(DEPTH, depth)
            key = call1(function, load_i64(entry))
            if not is_key(key):
                refuse_key(key)
            made = map_set(made, key, load_i64(entry + 8))
        place += 1
    leave(frame)
    return made


def refuse_key(key: i64) -> None:
    """Raise what `update-keys` raises when a function gives what can be no key."""
    constantly = fallback1(B_CONSTANTLY, key)
    fallback2(B_UPDATE_KEYS, map_set(empty_map(), 1, NIL), constantly)


def do_merge_with3(function: i64, value: i64, other: i64) -> i64:
    """Join two maps; values of equal keys are combined by a function."""
    if not can_call(function, 2) or not can_join(value, other):
        return fallback3(B_MERGE_WITH, function, value, other)
    frame = begin(function, other, value)
    depth = load_i32(DEPTH)
    end = map_end(other)
    place = 0
    while place < end:
        entry = map_entry(other, place)
        if entry:
            item = load_i64(entry + 8)
            old = map_find(value, load_i64(entry))
            if old:
                store_i32(DEPTH, depth)
                item = call2(function, load_i64(old + 8), item)
            value = map_set(value, load_i64(entry), item)
            store_i64(frame + 16, value)
        place += 1
    leave(frame)
    return value
