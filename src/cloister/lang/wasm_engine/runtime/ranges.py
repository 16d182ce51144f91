"""Natives that make sequences of a size: the same again and again, or integers that follow each other."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, wrap
from cloister.lang.wasm_engine.layout import VECTOR
from cloister.lang.wasm_engine.runtime.base import at, is_small
from cloister.lang.wasm_engine.runtime.cutting import can_cut
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.ids import B_CYCLE, B_NUMBERS, B_RANGE, B_REPEAT
from cloister.lang.wasm_engine.runtime.values import as_index, fits
from cloister.lang.wasm_engine.runtime.vector_growth import append, append_all, vector_builder, vector_builder_for
from cloister.lang.wasm_engine.runtime.vector_views import vector_slice
from cloister.lang.wasm_engine.runtime.vectors import vector_count

NUMBER_MAX = 1099511627776
"""Beyond this, the host counts what a range has."""


def do_repeat(amount: i64, item: i64) -> i64:
    """Return so many times the same value."""
    count = 0 if amount < 0 else as_index(amount)
    if not is_small(amount) or not fits(count):
        return fallback2(B_REPEAT, amount, item)
    made = vector_builder_for(VECTOR, count)
    while count > 0:
        append(at(made), item)
        count -= 1
    return made


def do_cycle(amount: i64, value: i64) -> i64:
    """Return so many elements: those of a sequence again and again."""
    count = 0 if amount < 0 else as_index(amount)
    if not can_cut(value, amount) or not fits(count):
        return fallback2(B_CYCLE, amount, value)
    made = vector_builder(VECTOR)
    length = vector_count(value)
    if length == 0:
        return made
    while count >= length:
        append_all(at(made), value)
        count -= length
    append_all(at(made), vector_slice(value, 0, count, VECTOR))
    return made


def do_range1(stop: i64) -> i64:
    """Return the integers from 0."""
    if not is_near(stop) or not fits_range(0, stop >> 1, 1):
        return fallback1(B_RANGE, stop)
    return range_of(0, stop >> 1, 1)


def do_range2(start: i64, stop: i64) -> i64:
    """Return the integers from start."""
    if not is_near(start) or not is_near(stop) or not fits_range(start >> 1, stop >> 1, 1):
        return fallback2(B_RANGE, start, stop)
    return range_of(start >> 1, stop >> 1, 1)


def do_range3(start: i64, stop: i64, step: i64) -> i64:
    """Return the integers from start, with a step."""
    is_certain = is_near(start) and is_near(stop) and is_near(step) and (step >> 1) != 0
    if not is_certain or not fits_range(start >> 1, stop >> 1, step >> 1):
        return fallback3(B_RANGE, start, stop, step)
    return range_of(start >> 1, stop >> 1, step >> 1)


def do_numbers(start: i64, end: i64) -> i64:
    """Return the integers between two, both included."""
    if not is_near(start) or not is_near(end) or not fits_range(start >> 1, (end >> 1) + 1, 1):
        return fallback2(B_NUMBERS, start, end)
    return range_of(start >> 1, (end >> 1) + 1, 1)


def is_near(number: i64) -> i32:
    """Say whether a value is an integer with which counting cannot overflow."""
    return is_small(number) and number < NUMBER_MAX and number > -NUMBER_MAX


def range_count(start: i64, stop: i64, step: i64) -> i64:
    """Return how many integers a range has."""
    if step > 0:
        return (stop - start + step - 1) // step if stop > start else 0
    return (start - stop - step - 1) // -step if stop < start else 0


def fits_range(start: i64, stop: i64, step: i64) -> i32:
    """Say whether a vector of a range may be that large."""
    count = range_count(start, stop, step)
    return count < 2147483647 and fits(wrap(count))


def range_of(start: i64, stop: i64, step: i64) -> i64:
    """Return the vector of a range."""
    count = wrap(range_count(start, stop, step))
    made = vector_builder_for(VECTOR, count)
    number = (start << 1) | 1
    while count > 0:
        append(at(made), number)
        number += step << 1
        count -= 1
    return made
