"""Natives that make one value of all elements of a collection, by calling a function; see `higher_order`."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, store_i32
from cloister.lang.wasm_engine.layout import DEPTH, NIL, TRUE, UNSET, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, is_truthy
from cloister.lang.wasm_engine.runtime.calls import call1, call2, call3, can_call
from cloister.lang.wasm_engine.runtime.elements import elements_of
from cloister.lang.wasm_engine.runtime.fallback import fallback2, fallback3
from cloister.lang.wasm_engine.runtime.higher_order import begin
from cloister.lang.wasm_engine.runtime.ids import (
    B_EVERY_P,
    B_NOT_ANY_P,
    B_NOT_EVERY_P,
    B_REDUCE,
    B_REDUCE_KV,
    B_REDUCTIONS,
    B_SOME,
    B_SOME_P,
)
from cloister.lang.wasm_engine.runtime.maps import is_map, map_end, map_entry
from cloister.lang.wasm_engine.runtime.stack import leave
from cloister.lang.wasm_engine.runtime.values import fits, small
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, place_of, run_of, vector_at, vector_count


def can_fold(function: i64, count: i32, items: i64) -> i32:
    """Say whether a function can be called with so many arguments, and there are elements to call it for."""
    return can_call(function, count) and is_sequence(items)


def do_reduce2(function: i64, items: i64) -> i64:
    """Combine all elements from left to right."""
    items = elements_of(items)
    if not can_fold(function, 2, items) or vector_count(items) == 0:
        return fallback2(B_REDUCE, function, items)
    return folded(function, vector_at(items, 0), items, 1)


def do_reduce3(function: i64, start: i64, items: i64) -> i64:
    """Combine a value and all elements from left to right."""
    items = elements_of(items)
    if not can_fold(function, 2, items):
        return fallback3(B_REDUCE, function, start, items)
    return folded(function, start, items, 0)


def folded(function: i64, result: i64, items: i64, index: i32) -> i64:
    """Combine a value and the elements from an index on."""
    count = vector_count(items)
    frame = begin(function, items, NIL)
    depth = load_i32(DEPTH)
    while index < count:
        place = place_of(items, index)
        run = run_of(items, index)
        index += run
        end = place + (run << 3)
        while place < end:
            store_i32(DEPTH, depth)
            result = call2(function, result, load_i64(place))
            place += 8
    leave(frame)
    return result


def do_reductions2(function: i64, items: i64) -> i64:
    """Return all results on the way that `reduce` goes."""
    items = elements_of(items)
    if not can_fold(function, 2, items) or not fits(vector_count(items) + 1):
        return fallback2(B_REDUCTIONS, function, items)
    if vector_count(items) == 0:
        return vector_builder(VECTOR)
    return all_folded(function, vector_at(items, 0), items, 1)


def do_reductions3(function: i64, start: i64, items: i64) -> i64:
    """Return all results on the way that `reduce` goes, the first included."""
    items = elements_of(items)
    if not can_fold(function, 2, items) or not fits(vector_count(items) + 1):
        return fallback3(B_REDUCTIONS, function, start, items)
    return all_folded(function, start, items, 0)


def all_folded(function: i64, result: i64, items: i64, index: i32) -> i64:
    """Return the results of combining a value and the elements from an index on."""
    count = vector_count(items)
    made = vector_builder(VECTOR)
    append(at(made), result)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    while index < count:
        store_i32(DEPTH, depth)
        result = call2(function, result, vector_at(items, index))
        append(at(made), result)
        index += 1
    leave(frame)
    return made


def first_answer(function: i64, items: i64, wanted: i32) -> i64:
    """Return the first result that is as true as wanted; UNSET when none is."""
    count = vector_count(items)
    frame = begin(function, items, NIL)
    depth = load_i32(DEPTH)
    answer: i64 = UNSET
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        result = call1(function, vector_at(items, index))
        if is_truthy(result) == wanted:
            answer = result
            break
        index += 1
    leave(frame)
    return answer


def do_every(function: i64, items: i64) -> i32:
    """Say whether a function gives neither false nor nil for every element."""
    items = elements_of(items)
    if not can_fold(function, 1, items):
        return fallback2(B_EVERY_P, function, items) == TRUE
    return first_answer(function, items, 0) == UNSET


def do_not_every(function: i64, items: i64) -> i32:
    """Say whether a function gives false or nil for an element."""
    items = elements_of(items)
    if not can_fold(function, 1, items):
        return fallback2(B_NOT_EVERY_P, function, items) == TRUE
    return first_answer(function, items, 0) != UNSET


def do_has_some(function: i64, items: i64) -> i32:
    """Say whether a function gives neither false nor nil for an element."""
    items = elements_of(items)
    if not can_fold(function, 1, items):
        return fallback2(B_SOME_P, function, items) == TRUE
    return first_answer(function, items, 1) != UNSET


def do_is_some(value: i64) -> i32:
    """Say whether a value is not nil."""
    return value != NIL


def do_not_any(function: i64, items: i64) -> i32:
    """Say whether a function gives false or nil for every element."""
    items = elements_of(items)
    if not can_fold(function, 1, items):
        return fallback2(B_NOT_ANY_P, function, items) == TRUE
    return first_answer(function, items, 1) == UNSET


def do_some(function: i64, items: i64) -> i64:
    """Return the first result that is neither false nor nil."""
    items = elements_of(items)
    if not can_fold(function, 1, items):
        return fallback2(B_SOME, function, items)
    answer = first_answer(function, items, 1)
    return NIL if answer == UNSET else answer


def do_reduce_kv(function: i64, start: i64, entries: i64) -> i64:
    """Combine a value and all entries of a map, or all indexes and elements."""
    if not can_call(function, 3):
        return fallback3(B_REDUCE_KV, function, start, entries)
    if is_map(entries):
        return folded_entries(function, start, entries)
    if is_sequence(entries):
        return folded_indexes(function, start, entries)
    return fallback3(B_REDUCE_KV, function, start, entries)


def folded_entries(function: i64, result: i64, entries: i64) -> i64:
    """Combine a value and all entries of a map."""
    end = map_end(entries)
    frame = begin(function, entries, NIL)
    depth = load_i32(DEPTH)
    place = 0
    while place < end:
        entry = map_entry(entries, place)
        if entry:
            store_i32(DEPTH, depth)
            result = call3(function, result, load_i64(entry), load_i64(entry + 8))
        place += 1
    leave(frame)
    return result


def folded_indexes(function: i64, result: i64, items: i64) -> i64:
    """Combine a value and all indexes and elements."""
    count = vector_count(items)
    frame = begin(function, items, NIL)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        result = call3(function, result, small(index), vector_at(items, index))
        index += 1
    leave(frame)
    return result
