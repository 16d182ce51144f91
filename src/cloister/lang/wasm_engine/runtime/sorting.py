"""Natives that sort: a merge sort of keys and what belongs to them, where all keys are of one kind.

Only orders are used in which sorting cannot call functions of the program and in which equal keys are equal, so that
every stable sort gives the same.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, memory_copy, store_i32, store_i64
from cloister.lang.wasm_engine.layout import BUILTIN, DEPTH, FLOAT, KEYWORD, NIL, RAW, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, is_integer, is_small, kind_of, new_object, unbox_float, word
from cloister.lang.wasm_engine.runtime.calls import call1, can_call
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.higher_order import begin, can_go
from cloister.lang.wasm_engine.runtime.ids import B_COMPARE, B_FIRST, B_GREATER, B_LESS, B_SORT, B_SORT_BY
from cloister.lang.wasm_engine.runtime.making import do_vector2
from cloister.lang.wasm_engine.runtime.ordering import order_of, order_of_texts
from cloister.lang.wasm_engine.runtime.stack import leave
from cloister.lang.wasm_engine.runtime.texts import flat, is_text, name_of
from cloister.lang.wasm_engine.runtime.values import fits
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder_for
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_at, vector_count

BY_NUMBER = 1
BY_TEXT = 2
BY_NAME = 3
BY_WORD = 4
"""Small integers, which are in the order of their words."""


def order_kind(key: i64) -> i32:
    """Return in which order a key can be sorted; 0 when the host has to."""
    if is_small(key):
        return BY_WORD
    kind = kind_of(key)
    if is_integer(key):
        return BY_NUMBER
    if kind == FLOAT:
        return BY_NUMBER if unbox_float(key) == unbox_float(key) else 0
    if kind == KEYWORD:
        return BY_NAME
    return BY_TEXT if is_text(key) else 0


def order_of_all(keys: i64) -> i32:
    """Return in which order all keys of a sequence can be sorted; 0 when the host has to."""
    count = vector_count(keys)
    order = BY_WORD if count == 0 else order_kind(vector_at(keys, 0))
    index = 1
    while index < count and order != 0:
        other = order_kind(vector_at(keys, index))
        if other != order:
            order = BY_NUMBER if other + order == BY_NUMBER + BY_WORD else 0
        index += 1
    return order


def direction_of(comparator: i64, order: i32) -> i32:
    """Return 1 for a comparator that sorts so many kinds of keys ascending, -1 for descending, 0 for any other."""
    if kind_of(comparator) != BUILTIN:
        return 0
    number = load_i32(at(comparator) + 8)
    if number == B_COMPARE:
        return 1
    if order == BY_NAME:
        return 0
    return 1 if number == B_LESS else -1 if number == B_GREATER else 0


def compared(left: i64, right: i64, order: i32) -> i32:
    """Return -1, 0 or 1 as one key comes before, with or after another."""
    if order == BY_WORD:
        return (left > right) - (left < right)
    if order == BY_NAME:
        return order_of_texts(name_of(left), name_of(right))
    if order == BY_TEXT:
        return order_of_texts(flat(left), flat(right))
    return order_of(left, right)


def sorted_by(keys: i64, items: i64, order: i32, direction: i32) -> i64:
    """Return items in the order of their keys; those of equal keys keep theirs."""
    count = vector_count(keys)
    row = new_object(RAW, count << 5, (count << 5) + 16) + 16
    index = 0
    while index < count:
        store_i64(row + (index << 4), vector_at(keys, index))
        store_i64(row + (index << 4) + 8, vector_at(items, index))
        index += 1
    row = merged(row, row + (count << 4), count, order, direction)
    made = vector_builder_for(kind_of(items), count)
    index = 0
    while index < count:
        append(at(made), load_i64(row + (index << 4) + 8))
        index += 1
    return made


def merged(source: i32, target: i32, count: i32, order: i32, direction: i32) -> i32:
    """Sort rows by merging runs, to and fro between two places; return where they are in the end."""
    width = 1
    while width < count:
        start = 0
        while start < count:
            middle = start + width if width < count - start else count
            end = middle + width if width < count - middle else count
            merge_runs(source, target, start, middle, end, order, direction)
            start = end
        other = source
        source = target
        target = other
        width <<= 1
    return source


def merge_runs(source: i32, target: i32, start: i32, middle: i32, end: i32, order: i32, direction: i32) -> None:
    """Merge two sorted runs that lie next to each other."""
    left = source + (start << 4)
    right = source + (middle << 4)
    left_end = right
    right_end = source + (end << 4)
    place = target + (start << 4)
    while left < left_end and right < right_end:
        if compared(load_i64(left), load_i64(right), order) * direction > 0:
            memory_copy(place, right, 16)
            right += 16
        else:
            memory_copy(place, left, 16)
            left += 16
        place += 16
    memory_copy(place, left, left_end - left)
    memory_copy(place + (left_end - left), right, right_end - right)


def can_sort(items: i64) -> i32:
    """Say whether a value is a sequence that is not too large."""
    return is_sequence(items) and fits(vector_count(items))


def do_sort1(items: i64) -> i64:
    """Sort ascending."""
    order = order_of_all(items) if can_sort(items) else 0
    return sorted_by(items, items, order, 1) if order else fallback1(B_SORT, items)


def do_sort2(comparator: i64, items: i64) -> i64:
    """Sort by a comparator."""
    order = order_of_all(items) if can_sort(items) else 0
    direction = direction_of(comparator, order)
    if order == 0 or direction == 0:
        return fallback2(B_SORT, comparator, items)
    return sorted_by(items, items, order, direction)


def keys_of(function: i64, items: i64, also: i64) -> i64:
    """Return what a function gives for each element; keep something else alive meanwhile."""
    count = vector_count(items)
    made = vector_builder_for(VECTOR, count)
    frame = begin(function, items, made)
    store_i64(frame + 24, also)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        append(at(made), call1(function, vector_at(items, index)))
        index += 1
    leave(frame)
    return made


def do_sort_by2(function: i64, items: i64) -> i64:
    """Sort by what a function says of each element."""
    if not can_go(function, 1, items):
        return fallback2(B_SORT_BY, function, items)
    keys = keys_of(function, items, items)
    order = order_of_all(keys)
    return sorted_by(keys, items, order, 1) if order else sorted_by_host(keys, items, NIL)


def do_sort_by3(function: i64, comparator: i64, items: i64) -> i64:
    """Sort by what a function says of each element, in the order of a comparator."""
    if not can_go(function, 1, items) or not can_call(comparator, 2) or direction_of(comparator, BY_NUMBER) == 0:
        return fallback3(B_SORT_BY, function, comparator, items)
    keys = keys_of(function, items, comparator)
    order = order_of_all(keys)
    direction = direction_of(comparator, order)
    if order == 0 or direction == 0:
        return sorted_by_host(keys, items, comparator)
    return sorted_by(keys, items, order, direction)


def sorted_by_host(keys: i64, items: i64, comparator: i64) -> i64:
    """Have the host sort pairs of keys and items by their first elements, and return the second ones in that order."""
    count = vector_count(keys)
    pairs = vector_builder_for(VECTOR, count)
    index = 0
    while index < count:
        append(at(pairs), do_vector2(vector_at(keys, index), vector_at(items, index)))
        index += 1
    first = new_object(BUILTIN, 0, 16)
    store_i32(first + 8, B_FIRST)
    if comparator == NIL:
        pairs = fallback2(B_SORT_BY, word(first), pairs)
    else:
        pairs = fallback3(B_SORT_BY, word(first), comparator, pairs)
    made = vector_builder_for(kind_of(items), count)
    index = 0
    while index < count:
        append(at(made), vector_at(vector_at(pairs, index), 1))
        index += 1
    return made
