"""What natives for collections share: sizes, indexes, and pairs."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_s, i32, i64, load_i32, shr_u, wrap
from cloister.lang.wasm_engine.layout import LIST, MAP, NIL, ROPE, STRING, VALUE_BYTES, VECTOR, WIDE_MAP
from cloister.lang.wasm_engine.runtime.base import kind_of
from cloister.lang.wasm_engine.runtime.fallback import fallback2
from cloister.lang.wasm_engine.runtime.ids import B_REPEAT
from cloister.lang.wasm_engine.runtime.vector_growth import vector_from
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_count

INDEX_MASK = -4294967295
"""The bits that are 1, 0 ... 0 in the word of an integer of 31 bits."""


def fits(count: i32) -> i32:
    """Say whether a collection may have so many elements, each of which counts 8 bytes."""
    return 0 <= count and count <= shr_u(load_i32(VALUE_BYTES), 3)


def refuse_size(count: i32) -> i64:
    """Raise that a value of so many elements is too large; for after a callback, when it is too late to fall back."""
    return fallback2(B_REPEAT, small(count), NIL)


def small(number: i32) -> i64:
    """Return the word of a number of 32 bits."""
    return (extend_s(number) << 1) | 1


def as_index(index: i64) -> i32:
    """Return the number of a word that is an integer of 31 bits without a sign; -1 for any other."""
    return shr_u(wrap(index), 1) if (index & INDEX_MASK) == 1 else -1


def index_in(value: i64, index: i64) -> i32:
    """Return an index within a vector or list as a number; -1 when it is none, or there is no such element."""
    if not is_sequence(value):
        return -1
    place = as_index(index)
    return place if place < vector_count(value) else -1


def amount_of(amount: i64, most: i32) -> i32:
    """Return a small integer as a number from 0 to `most`, the nearest."""
    number = amount >> 1
    if number < 0:
        return 0
    return wrap(number) if number < extend_s(most) else most


def is_counted(value: i64) -> i32:
    """Say whether a value has elements or characters."""
    kind = kind_of(value)
    return kind == VECTOR or kind == MAP or kind == STRING or kind == LIST or kind == ROPE or kind == WIDE_MAP


def pair_at(entry: i32) -> i64:
    """Return the vector of a key and its value."""
    return vector_from(entry, 2, VECTOR)


def is_pair(value: i64) -> i32:
    """Say whether a value is a vector or list of two elements."""
    return is_sequence(value) and vector_count(value) == 2
