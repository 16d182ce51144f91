"""Natives that cut a sequence where a function says so; see `higher_order`."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, store_i32, store_i64
from cloister.lang.wasm_engine.layout import DEPTH, NIL, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, is_truthy, kind_of
from cloister.lang.wasm_engine.runtime.calls import call1
from cloister.lang.wasm_engine.runtime.elements import elements_of
from cloister.lang.wasm_engine.runtime.equality import same
from cloister.lang.wasm_engine.runtime.fallback import fallback2
from cloister.lang.wasm_engine.runtime.higher_order import begin, can_go
from cloister.lang.wasm_engine.runtime.ids import B_DROP_WHILE, B_PARTITION_BY, B_SPLIT_WITH, B_TAKE_WHILE
from cloister.lang.wasm_engine.runtime.making import do_vector2
from cloister.lang.wasm_engine.runtime.stack import leave
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder
from cloister.lang.wasm_engine.runtime.vector_views import vector_drop, vector_slice
from cloister.lang.wasm_engine.runtime.vectors import vector_at, vector_count


def prefix_of(function: i64, items: i64) -> i32:
    """Return for how many first elements a function gives neither false nor nil."""
    count = vector_count(items)
    frame = begin(function, items, NIL)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        if not is_truthy(call1(function, vector_at(items, index))):
            break
        index += 1
    leave(frame)
    return index


def do_take_while(function: i64, items: i64) -> i64:
    """Return the elements before the first for which a function gives false or nil."""
    if not can_go(function, 1, items):
        return fallback2(B_TAKE_WHILE, function, items)
    return vector_slice(items, 0, prefix_of(function, items), kind_of(items))


def do_drop_while(function: i64, items: i64) -> i64:
    """Return the elements from the first on for which a function gives false or nil."""
    if not can_go(function, 1, items):
        return fallback2(B_DROP_WHILE, function, items)
    return vector_drop(items, prefix_of(function, items))


def do_split_with(function: i64, items: i64) -> i64:
    """Return what `take-while` and what `drop-while` give."""
    if not can_go(function, 1, items):
        return fallback2(B_SPLIT_WITH, function, items)
    number = prefix_of(function, items)
    return do_vector2(vector_slice(items, 0, number, kind_of(items)), vector_drop(items, number))


def do_partition_by(function: i64, items: i64) -> i64:
    """Cut a sequence wherever a function gives something else than for the element before."""
    items = elements_of(items)
    if not can_go(function, 1, items):
        return fallback2(B_PARTITION_BY, function, items)
    count = vector_count(items)
    made = vector_builder(VECTOR)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    start = 0
    index = 0
    before: i64 = NIL
    while index < count:
        store_i64(frame + 24, before)
        store_i32(DEPTH, depth)
        now = call1(function, vector_at(items, index))
        if index > 0 and not same(before, now):
            append(at(made), vector_slice(items, start, index, VECTOR))
            start = index
        before = now
        index += 1
    if count > 0:
        append(at(made), vector_slice(items, start, count, VECTOR))
    leave(frame)
    return made
