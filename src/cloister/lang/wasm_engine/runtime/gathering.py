"""Natives that bring equal elements together.

Elements that can be keys are found by their hash; where there are others, the host does the whole, or says what their
text is.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, store_i32, store_i64
from cloister.lang.wasm_engine.layout import DEPTH, FALSE, NIL, TRUE, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, kind_of
from cloister.lang.wasm_engine.runtime.calls import call1, can_call
from cloister.lang.wasm_engine.runtime.elements import elements_of
from cloister.lang.wasm_engine.runtime.equality import same
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2
from cloister.lang.wasm_engine.runtime.higher_order import begin, can_go
from cloister.lang.wasm_engine.runtime.ids import B_DEDUPE, B_DISTINCT, B_FREQUENCIES, B_GROUP_BY, B_STR
from cloister.lang.wasm_engine.runtime.keys import is_key
from cloister.lang.wasm_engine.runtime.map_changes import empty_map, map_set
from cloister.lang.wasm_engine.runtime.maps import map_find, map_has
from cloister.lang.wasm_engine.runtime.stack import leave
from cloister.lang.wasm_engine.runtime.values import fits
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_at, vector_count


def all_keys(items: i64) -> i32:
    """Say whether all elements of a sequence can be keys."""
    count = vector_count(items)
    index = 0
    while index < count:
        if not is_key(vector_at(items, index)):
            return 0
        index += 1
    return 1


def do_distinct(items: i64) -> i64:
    """Return the elements without repetitions."""
    if not is_sequence(items) or not fits(vector_count(items)) or not all_keys(items):
        return fallback1(B_DISTINCT, items)
    made = vector_builder(kind_of(items))
    seen = empty_map()
    count = vector_count(items)
    index = 0
    while index < count:
        item = vector_at(items, index)
        if not map_has(seen, item):
            seen = map_set(seen, item, NIL)
            append(at(made), item)
        index += 1
    return made


def do_dedupe(items: i64) -> i64:
    """Return the elements without those that equal the one before them."""
    if not is_sequence(items) or not fits(vector_count(items)):
        return fallback1(B_DEDUPE, items)
    made = vector_builder(kind_of(items))
    count = vector_count(items)
    index = 0
    while index < count:
        item = vector_at(items, index)
        if index == 0 or not same(vector_at(items, index - 1), item):
            append(at(made), item)
        index += 1
    return made


def do_frequencies(items: i64) -> i64:
    """Return a map from each element to how often it occurs."""
    items = elements_of(items)
    if not is_sequence(items) or not fits(vector_count(items)) or not all_keys(items):
        return fallback1(B_FREQUENCIES, items)
    made = empty_map()
    count = vector_count(items)
    index = 0
    while index < count:
        made = counted_once_more(made, vector_at(items, index))
        index += 1
    return made


def counted_once_more(counts: i64, key: i64) -> i64:
    """Add one to the number of a key, in a map that nobody else has seen."""
    entry = map_find(counts, key)
    if entry == 0:
        return map_set(counts, key, 3)
    store_i64(entry + 8, load_i64(entry + 8) + 2)
    return counts


def do_group_by(function: i64, items: i64) -> i64:
    """Return a map from what a function gives to the vector of the elements it gives that for."""
    items = elements_of(items)
    if items == NIL and can_call(function, 1):
        return empty_map()
    if not can_go(function, 1, items):
        return fallback2(B_GROUP_BY, function, items)
    groups = empty_map()
    frame = begin(function, items, groups)
    depth = load_i32(DEPTH)
    count = vector_count(items)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        item = vector_at(items, index)
        groups = grouped(groups, key_text(call1(function, item), frame + 24), item)
        store_i64(frame + 16, groups)
        index += 1
    leave(frame)
    return groups


def grouped(groups: i64, key: i64, item: i64) -> i64:
    """Add an element to the vector of a key, in a map that nobody else has seen, with vectors nobody has."""
    entry = map_find(groups, key)
    if entry == 0:
        group = vector_builder(VECTOR)
        append(at(group), item)
        return map_set(groups, key, group)
    append(at(load_i64(entry + 8)), item)
    return groups


def key_text(value: i64, known: i32) -> i64:
    """Return what a value becomes as a key: itself, or its text.

    At `known` is what keeps the texts of nil, false and true, for which most functions are asked again and again: a
    vector, or 0.
    """
    if is_key(value):
        return value
    if value != NIL and value != FALSE and value != TRUE:
        return fallback1(B_STR, value)
    texts = load_i64(known)
    if texts == 0:
        texts = vector_builder(VECTOR)
        append(at(texts), fallback1(B_STR, NIL))
        append(at(texts), fallback1(B_STR, FALSE))
        append(at(texts), fallback1(B_STR, TRUE))
        store_i64(known, texts)
    return vector_at(texts, 0 if value == NIL else 1 if value == FALSE else 2)
