"""Natives that make vectors and lists of what they are given."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i64, store_i32
from cloister.lang.wasm_engine.layout import LIST, VECTOR
from cloister.lang.wasm_engine.runtime.base import at
from cloister.lang.wasm_engine.runtime.maps import map_count, map_end, map_entry
from cloister.lang.wasm_engine.runtime.values import pair_at
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder, vector_builder_for


def do_vector0() -> i64:
    """Return an empty vector."""
    return vector_builder(VECTOR)


def do_vector1(a: i64) -> i64:
    """Return a vector of one element."""
    made = vector_builder_for(VECTOR, 1)
    append(at(made), a)
    return made


def do_vector2(a: i64, b: i64) -> i64:
    """Return a vector of two elements."""
    made = vector_builder_for(VECTOR, 2)
    append(at(made), a)
    append(at(made), b)
    return made


def do_vector3(a: i64, b: i64, c: i64) -> i64:
    """Return a vector of three elements."""
    made = vector_builder_for(VECTOR, 3)
    append(at(made), a)
    append(at(made), b)
    append(at(made), c)
    return made


def as_list(fresh: i64) -> i64:
    """Make a vector that nobody has seen a list."""
    store_i32(at(fresh), LIST)
    return fresh


def do_list0() -> i64:
    """Return an empty list."""
    return vector_builder(LIST)


def do_list1(a: i64) -> i64:
    """Return a list of one element."""
    return as_list(do_vector1(a))


def do_list2(a: i64, b: i64) -> i64:
    """Return a list of two elements."""
    return as_list(do_vector2(a, b))


def do_list3(a: i64, b: i64, c: i64) -> i64:
    """Return a list of three elements."""
    return as_list(do_vector3(a, b, c))


def pairs_of(entries: i64) -> i64:
    """Return the vector of the entries of a map as pairs."""
    made = vector_builder_for(VECTOR, map_count(entries))
    end = map_end(entries)
    place = 0
    while place < end:
        entry = map_entry(entries, place)
        if entry:
            append(at(made), pair_at(entry))
        place += 1
    return made
