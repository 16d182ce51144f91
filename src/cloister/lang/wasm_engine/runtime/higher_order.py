"""Natives that call a function for each element of a sequence.

Each checks everything that may be wrong before the first call, and leaves the whole to the host when something is. What
it needs afterwards is on the stack of words while functions are called, because they may collect.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, store_i32, store_i64
from cloister.lang.wasm_engine.layout import BUILTIN, DEPTH, NIL, TRUE, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, is_small, is_truthy, kind_of, new_object, word
from cloister.lang.wasm_engine.runtime.calls import call0, call1, call2, call3, can_call
from cloister.lang.wasm_engine.runtime.elements import elements_of
from cloister.lang.wasm_engine.runtime.fallback import fallback2, fallback3, fallback4
from cloister.lang.wasm_engine.runtime.ids import (
    B_FILTER,
    B_IDENTITY,
    B_ITERATE,
    B_KEEP,
    B_KEEP_INDEXED,
    B_MAP,
    B_MAP_INDEXED,
    B_MAPCAT,
    B_REMOVE,
    B_REPEATEDLY,
    B_RUN,
)
from cloister.lang.wasm_engine.runtime.making import do_vector1
from cloister.lang.wasm_engine.runtime.stack import enter, leave
from cloister.lang.wasm_engine.runtime.values import as_index, fits, refuse_size, small
from cloister.lang.wasm_engine.runtime.vector_growth import append, append_all, vector_builder, vector_builder_for
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, place_of, run_of, vector_at, vector_count


def can_go(function: i64, count: i32, items: i64) -> i32:
    """Say whether a function can be called with so many arguments, for each element of a sequence."""
    return can_call(function, count) and is_sequence(items) and fits(vector_count(items))


def begin(function: i64, items: i64, made: i64) -> i32:
    """Keep alive a function, what it is called for, and what is made."""
    frame = enter(4)
    store_i64(frame, function)
    store_i64(frame + 8, items)
    store_i64(frame + 16, made)
    return frame


def do_map2(function: i64, items: i64) -> i64:
    """Return what a function gives for each element."""
    items = elements_of(items)
    if not can_go(function, 1, items):
        return fallback2(B_MAP, function, items)
    count = vector_count(items)
    made = vector_builder_for(VECTOR, count)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        place = place_of(items, index)
        run = run_of(items, index)
        index += run
        end = place + (run << 3)
        while place < end:
            store_i32(DEPTH, depth)
            append(at(made), call1(function, load_i64(place)))
            place += 8
    leave(frame)
    return made


def shorter(left: i64, right: i64) -> i32:
    """Return how many elements the shorter of two sequences has."""
    mine = vector_count(left)
    theirs = vector_count(right)
    return mine if mine < theirs else theirs


def do_map3(function: i64, items: i64, others: i64) -> i64:
    """Return what a function gives for the elements of two sequences."""
    if not can_go(function, 2, items) or not can_go(function, 2, others):
        return fallback3(B_MAP, function, items, others)
    count = shorter(items, others)
    made = vector_builder_for(VECTOR, count)
    frame = begin(function, items, made)
    store_i64(frame + 24, others)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        append(at(made), call2(function, vector_at(items, index), vector_at(others, index)))
        index += 1
    leave(frame)
    return made


def do_map4(function: i64, items: i64, others: i64, last: i64) -> i64:
    """Return what a function gives for the elements of three sequences."""
    if not can_go(function, 3, items) or not can_go(function, 3, others) or not can_go(function, 3, last):
        return fallback4(B_MAP, function, items, others, last)
    count = shorter(items, others)
    if vector_count(last) < count:
        count = vector_count(last)
    made = vector_builder_for(VECTOR, count)
    rest = begin(last, last, last)
    frame = begin(function, items, made)
    store_i64(frame + 24, others)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        append(at(made), call3(function, vector_at(items, index), vector_at(others, index), vector_at(last, index)))
        index += 1
    leave(rest)
    return made


def do_map_indexed(function: i64, items: i64) -> i64:
    """Return what a function gives for each index and element."""
    if not can_go(function, 2, items):
        return fallback2(B_MAP_INDEXED, function, items)
    count = vector_count(items)
    made = vector_builder_for(kind_of(items), count)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        append(at(made), call2(function, small(index), vector_at(items, index)))
        index += 1
    leave(frame)
    return made


def do_mapcat(function: i64, items: i64) -> i64:
    """Join what a function gives for each element."""
    items = elements_of(items)
    if not can_go(function, 1, items):
        return fallback2(B_MAPCAT, function, items)
    count = vector_count(items)
    made = vector_builder(VECTOR)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        part = call1(function, vector_at(items, index))
        if not is_sequence(part):
            refuse_part(part)
        if not fits(vector_count(made) + vector_count(part)):
            refuse_size(vector_count(made) + vector_count(part))
        append_all(at(made), part)
        index += 1
    leave(frame)
    return made


def refuse_part(part: i64) -> None:
    """Raise what `mapcat` raises when a function gives what is no sequence."""
    identity = new_object(BUILTIN, 0, 16)
    store_i32(identity + 8, B_IDENTITY)
    fallback2(B_MAPCAT, word(identity), do_vector1(part))


def do_filter(function: i64, items: i64) -> i64:
    """Return the elements for which a function gives neither false nor nil."""
    if not can_go(function, 1, items):
        return fallback2(B_FILTER, function, items)
    count = vector_count(items)
    made = vector_builder(VECTOR)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        place = place_of(items, index)
        run = run_of(items, index)
        index += run
        end = place + (run << 3)
        while place < end:
            store_i32(DEPTH, depth)
            item = load_i64(place)
            if is_truthy(call1(function, item)):
                append(at(made), item)
            place += 8
    leave(frame)
    return made


def do_remove(function: i64, items: i64) -> i64:
    """Return the elements for which a function does not give true."""
    if not can_go(function, 1, items):
        return fallback2(B_REMOVE, function, items)
    count = vector_count(items)
    made = vector_builder(kind_of(items))
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        item = vector_at(items, index)
        if call1(function, item) != TRUE:
            append(at(made), item)
        index += 1
    leave(frame)
    return made


def do_keep(function: i64, items: i64) -> i64:
    """Return what a function gives for each element, without nil."""
    items = elements_of(items)
    if not can_go(function, 1, items):
        return fallback2(B_KEEP, function, items)
    count = vector_count(items)
    made = vector_builder(VECTOR)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        result = call1(function, vector_at(items, index))
        if result != NIL:
            append(at(made), result)
        index += 1
    leave(frame)
    return made


def do_keep_indexed(function: i64, items: i64) -> i64:
    """Return what a function gives for each index and element, without nil."""
    items = elements_of(items)
    if not can_go(function, 2, items):
        return fallback2(B_KEEP_INDEXED, function, items)
    count = vector_count(items)
    made = vector_builder(VECTOR)
    frame = begin(function, items, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        result = call2(function, small(index), vector_at(items, index))
        if result != NIL:
            append(at(made), result)
        index += 1
    leave(frame)
    return made


def do_run(function: i64, items: i64) -> i64:
    """Call a function for each element."""
    items = elements_of(items)
    if not can_go(function, 1, items):
        return fallback2(B_RUN, function, items)
    count = vector_count(items)
    frame = begin(function, items, NIL)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        call1(function, vector_at(items, index))
        index += 1
    leave(frame)
    return NIL


def do_repeatedly(amount: i64, function: i64) -> i64:
    """Return what a function gives when it is called so many times."""
    count = 0 if amount < 0 else as_index(amount)
    if not is_small(amount) or not can_call(function, 0) or not fits(count):
        return fallback2(B_REPEATEDLY, amount, function)
    made = vector_builder_for(VECTOR, count)
    frame = begin(function, NIL, made)
    depth = load_i32(DEPTH)
    while count > 0:
        store_i32(DEPTH, depth)
        append(at(made), call0(function))
        count -= 1
    leave(frame)
    return made


def do_iterate(amount: i64, function: i64, start: i64) -> i64:
    """Return a value, what a function gives for it, what it gives for that, and so on."""
    count = 0 if amount < 0 else as_index(amount)
    if not is_small(amount) or not can_call(function, 1) or not fits(count):
        return fallback3(B_ITERATE, amount, function, start)
    made = vector_builder_for(VECTOR, count)
    frame = begin(function, start, made)
    depth = load_i32(DEPTH)
    value = start
    while count > 0:
        append(at(made), value)
        count -= 1
        if count > 0:
            store_i32(DEPTH, depth)
            value = call1(function, value)
    leave(frame)
    return made
