"""Natives that take sequences apart and put them together in other ways, without calling functions."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, store_i32
from cloister.lang.wasm_engine.layout import VECTOR, WORK_TOP
from cloister.lang.wasm_engine.runtime.base import at, is_small, kind_of, word
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.ids import (
    B_BUTLAST,
    B_DROP_LAST,
    B_FLATTEN,
    B_INTERLEAVE,
    B_INTERPOSE,
    B_PARTITION,
    B_SPLIT_AT,
    B_SUBVEC,
    B_TAKE_NTH,
)
from cloister.lang.wasm_engine.runtime.making import do_vector2
from cloister.lang.wasm_engine.runtime.scratch import pop_work, push_work, top_work
from cloister.lang.wasm_engine.runtime.text_items import (
    text_drop,
    text_drop_last,
    text_take,
    text_take_last,
    text_without_last,
)
from cloister.lang.wasm_engine.runtime.values import amount_of, as_index, fits
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder, vector_builder_for
from cloister.lang.wasm_engine.runtime.vector_views import vector_drop, vector_slice
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_at, vector_count


def can_cut(value: i64, amount: i64) -> i32:
    """Say whether a value is a sequence, and an amount an integer, of which natives cut."""
    return is_small(amount) and is_sequence(value) and fits(vector_count(value))


def head_of(value: i64, stop: i32) -> i64:
    """Return the first elements."""
    return vector_slice(value, 0, stop, kind_of(value))


def wanted_of(amount: i64, count: i32) -> i32:
    """Return how many elements an amount means for `take` and `drop`: all when it is negative."""
    return count if amount < 0 else amount_of(amount, count)


def do_take(amount: i64, value: i64) -> i64:
    """Return the first elements."""
    if can_cut(value, amount):
        return head_of(value, wanted_of(amount, vector_count(value)))
    return text_take(amount, value)


def do_drop(amount: i64, value: i64) -> i64:
    """Return all but the first elements."""
    if can_cut(value, amount):
        return vector_drop(value, wanted_of(amount, vector_count(value)))
    return text_drop(amount, value)


def do_take_last(amount: i64, value: i64) -> i64:
    """Return the last elements."""
    if can_cut(value, amount):
        count = vector_count(value)
        return vector_drop(value, count - amount_of(amount, count))
    return text_take_last(amount, value)


def do_drop_last1(value: i64) -> i64:
    """Return all but the last element."""
    if can_cut(value, 1):
        count = vector_count(value)
        return head_of(value, count - 1 if count else 0)
    return text_without_last(value, B_DROP_LAST)


def do_drop_last2(amount: i64, value: i64) -> i64:
    """Return all but the last elements."""
    if can_cut(value, amount):
        count = vector_count(value)
        return head_of(value, count - amount_of(amount, count))
    return text_drop_last(amount, value)


def do_butlast(value: i64) -> i64:
    """Return all but the last element."""
    if can_cut(value, 1):
        count = vector_count(value)
        return head_of(value, count - 1 if count else 0)
    return text_without_last(value, B_BUTLAST)


def do_subvec2(value: i64, start: i64) -> i64:
    """Return the elements from start on."""
    first = as_index(start)
    if first < 0 or not can_cut(value, start) or first > vector_count(value):
        return fallback2(B_SUBVEC, value, start)
    return vector_drop(value, first)


def do_subvec3(value: i64, start: i64, end: i64) -> i64:
    """Return the elements from start up to but without end."""
    first = as_index(start)
    last = as_index(end)
    if first < 0 or last < first or not can_cut(value, start) or last > vector_count(value):
        return fallback3(B_SUBVEC, value, start, end)
    return vector_slice(value, first, last, kind_of(value))


def do_split_at(amount: i64, value: i64) -> i64:
    """Return the first elements and the others."""
    if not can_cut(value, amount):
        return fallback2(B_SPLIT_AT, amount, value)
    number = amount_of(amount, vector_count(value))
    return do_vector2(head_of(value, number), vector_drop(value, number))


def do_take_nth(amount: i64, value: i64) -> i64:
    """Return every nth element."""
    step = as_index(amount)
    if step <= 0 or not can_cut(value, amount):
        return fallback2(B_TAKE_NTH, amount, value)
    made = vector_builder(kind_of(value))
    count = vector_count(value)
    index = 0
    while index < count and index >= 0:
        append(at(made), vector_at(value, index))
        index += step
    return made


def do_partition2(size: i64, value: i64) -> i64:
    """Cut a sequence into vectors of so many elements."""
    width = as_index(size)
    if width <= 0 or not can_cut(value, size) or not fits_parts(width, width, value):
        return fallback2(B_PARTITION, size, value)
    return parts_of(width, width, value)


def do_partition3(size: i64, step: i64, value: i64) -> i64:
    """Cut a sequence into vectors of so many elements, that begin `step` apart."""
    width = as_index(size)
    distance = as_index(step)
    if width <= 0 or distance <= 0 or not can_cut(value, size) or not fits_parts(width, distance, value):
        return fallback3(B_PARTITION, size, step, value)
    return parts_of(width, distance, value)


def fits_parts(width: i32, step: i32, value: i64) -> i32:
    """Say whether what a sequence is cut into may be as large as it gets."""
    count = vector_count(value)
    most = 1 + (width if width < count else count)
    parts = 0 if count == 0 else (count - 1) // step + 1
    return parts <= 2147483647 // most and fits(parts * most)


def parts_of(width: i32, step: i32, value: i64) -> i64:
    """Return the parts of a sequence."""
    made = vector_builder(VECTOR)
    count = vector_count(value)
    start = 0
    while start < count and start >= 0:
        end = start + width if width < count - start else count
        append(at(made), vector_slice(value, start, end, VECTOR))
        start += step
    return made


def do_interleave2(a: i64, b: i64) -> i64:
    """Return the elements of two sequences by turns."""
    if not is_sequence(a) or not is_sequence(b):
        return fallback2(B_INTERLEAVE, a, b)
    count = vector_count(a) if vector_count(a) < vector_count(b) else vector_count(b)
    if not fits(count << 1):
        return fallback2(B_INTERLEAVE, a, b)
    made = vector_builder_for(VECTOR, count << 1)
    index = 0
    while index < count:
        append(at(made), vector_at(a, index))
        append(at(made), vector_at(b, index))
        index += 1
    return made


def do_interpose(separator: i64, value: i64) -> i64:
    """Return the elements with a separator between them."""
    if not is_sequence(value) or not fits(vector_count(value) << 1):
        return fallback2(B_INTERPOSE, separator, value)
    made = vector_builder(VECTOR)
    count = vector_count(value)
    index = 0
    while index < count:
        if index:
            append(at(made), separator)
        append(at(made), vector_at(value, index))
        index += 1
    return made


def do_flatten(value: i64) -> i64:
    """Return what is in a sequence and in those inside it."""
    if not is_sequence(value):
        return fallback1(B_FLATTEN, value)
    base = load_i32(WORK_TOP)
    made = vector_builder(VECTOR)
    push_row(value)
    while load_i32(WORK_TOP) > base:
        row = word(load_i32(top_work(8)))
        index = load_i32(top_work(8) + 4)
        if index == vector_count(row):
            pop_work(8)
        else:
            store_i32(top_work(8) + 4, index + 1)
            item = vector_at(row, index)
            if not is_sequence(item):
                append(at(made), item)
            elif fits(vector_count(made) + vector_count(item)):
                push_row(item)
            else:
                store_i32(WORK_TOP, base)
                return fallback1(B_FLATTEN, value)
    return made


def push_row(value: i64) -> None:
    """Remember to go through a sequence, from its beginning."""
    frame = push_work(8)
    store_i32(frame, at(value))
    store_i32(frame + 4, 0)
