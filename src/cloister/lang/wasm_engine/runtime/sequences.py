"""Natives for sequences: their ends, and joining them.

Each does what the builtin of its name does with vectors and lists, and leaves all else to the host.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_s, i32, i64, store_i32
from cloister.lang.wasm_engine.layout import LIST, NIL, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, is_integer, is_small, kind_of, unbox_integer, word
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.ids import (
    B_CONCAT,
    B_CONJ,
    B_CONS,
    B_COUNT,
    B_EMPTY,
    B_LENGTH,
    B_PEEK,
    B_POP,
)
from cloister.lang.wasm_engine.runtime.making import do_vector1, pairs_of
from cloister.lang.wasm_engine.runtime.map_changes import empty_map
from cloister.lang.wasm_engine.runtime.maps import is_map, map_count
from cloister.lang.wasm_engine.runtime.text_items import (
    text_first,
    text_last,
    text_next,
    text_nth,
    text_nth_or,
    text_nthrest,
    text_rest,
    text_reverse,
    text_second,
    text_seq,
    text_vec,
)
from cloister.lang.wasm_engine.runtime.texts import is_text
from cloister.lang.wasm_engine.runtime.values import amount_of, fits, index_in, is_counted
from cloister.lang.wasm_engine.runtime.vector_growth import (
    append,
    append_all,
    vector_builder,
    vector_prepend,
    vector_push,
)
from cloister.lang.wasm_engine.runtime.vector_views import vector_drop, vector_pop, vector_reverse
from cloister.lang.wasm_engine.runtime.vectors import copied_header, is_sequence, vector_at, vector_count


def do_vec(value: i64) -> i64:
    """Return the elements of a collection as a vector."""
    kind = kind_of(value)
    if kind == VECTOR:
        return value
    if value == NIL:
        return vector_builder(VECTOR)
    if kind == LIST and fits(vector_count(value)):
        vector = copied_header(at(value))
        store_i32(vector, VECTOR)
        return word(vector)
    if is_map(value) and fits(map_count(value)):
        return pairs_of(value)
    return text_vec(value)


def do_seq(value: i64) -> i64:
    """Return the elements of a collection; nil when there are none."""
    if is_sequence(value):
        return value if vector_count(value) else NIL
    if value == NIL:
        return NIL
    if is_map(value) and fits(map_count(value)):
        return pairs_of(value) if map_count(value) else NIL
    return text_seq(value)


def do_count(value: i64) -> i64:
    """Return how many elements or characters a value has."""
    if is_counted(value):
        return extend_s(vector_count(value))
    return unbox_integer(fallback1(B_COUNT, value))


def do_length(value: i64) -> i64:
    """Return how many elements a collection has."""
    if is_counted(value) and not is_text(value):
        return extend_s(vector_count(value))
    return unbox_integer(fallback1(B_LENGTH, value))


def do_is_empty(value: i64) -> i32:
    """Say whether a value has nothing in it."""
    return value == NIL or (is_counted(value) and vector_count(value) == 0)


def do_not_empty(value: i64) -> i64:
    """Return the value, or nil when it is empty."""
    return NIL if do_is_empty(value) else value


def do_empty(value: i64) -> i64:
    """Return an empty collection of the same kind."""
    if is_sequence(value):
        return vector_builder(kind_of(value))
    return empty_map() if is_map(value) else fallback1(B_EMPTY, value)


def do_first(value: i64) -> i64:
    """Return the first element."""
    if is_sequence(value):
        return vector_at(value, 0) if vector_count(value) else NIL
    return text_first(value)


def do_second(value: i64) -> i64:
    """Return the second element."""
    if is_sequence(value):
        return vector_at(value, 1) if vector_count(value) > 1 else NIL
    return text_second(value)


def do_ffirst(value: i64) -> i64:
    """Return the first element of the first element."""
    inner = do_first(value)
    return NIL if inner == NIL else do_first(inner)


def do_last(value: i64) -> i64:
    """Return the last element."""
    if is_sequence(value):
        count = vector_count(value)
        return vector_at(value, count - 1) if count else NIL
    return text_last(value)


def do_rest(value: i64) -> i64:
    """Return all elements but the first."""
    if is_sequence(value) and fits(vector_count(value)):
        return vector_drop(value, 1) if vector_count(value) else value
    return text_rest(value)


def do_next(value: i64) -> i64:
    """Return all elements but the first; nil when there are none."""
    if is_sequence(value) and fits(vector_count(value)):
        return vector_drop(value, 1) if vector_count(value) > 1 else NIL
    return text_next(value)


def do_nthrest(value: i64, amount: i64) -> i64:
    """Return all elements but the first ones."""
    if is_sequence(value) and is_small(amount) and fits(vector_count(value)):
        return vector_drop(value, amount_of(amount, vector_count(value)))
    return text_nthrest(value, amount)


def do_nth2(value: i64, index: i64) -> i64:
    """Return the element at an index."""
    place = index_in(value, index)
    return vector_at(value, place) if place >= 0 else text_nth(value, index)


def do_nth3(value: i64, index: i64, default: i64) -> i64:
    """Return the element at an index, or the default."""
    place = index_in(value, index)
    if place >= 0:
        return vector_at(value, place)
    if is_sequence(value) and is_integer(index):
        return default
    return text_nth_or(value, index, default)


def do_peek(value: i64) -> i64:
    """Return the last element of a vector, the first of a list."""
    if not is_sequence(value):
        return fallback1(B_PEEK, value)
    return do_last(value) if kind_of(value) == VECTOR else do_first(value)


def do_pop(value: i64) -> i64:
    """Return a vector without its last element, a list without its first."""
    if not is_sequence(value) or vector_count(value) == 0 or not fits(vector_count(value)):
        return fallback1(B_POP, value)
    return vector_pop(value) if kind_of(value) == VECTOR else vector_drop(value, 1)


def do_conj2(value: i64, a: i64) -> i64:
    """Append an element."""
    if is_sequence(value) and fits(vector_count(value) + 1):
        return vector_push(value, a)
    return fallback2(B_CONJ, value, a)


def do_conj3(value: i64, a: i64, b: i64) -> i64:
    """Append two elements."""
    if is_sequence(value) and fits(vector_count(value) + 2):
        return vector_push(vector_push(value, a), b)
    return fallback3(B_CONJ, value, a, b)


def do_cons(item: i64, value: i64) -> i64:
    """Put an element before the others."""
    if is_sequence(value) and fits(vector_count(value) + 1):
        return vector_prepend(value, item)
    return fallback2(B_CONS, item, value)


def part_size(value: i64) -> i32:
    """Return how many elements a value is for `concat`; -1 when the host has to say."""
    if is_sequence(value):
        return vector_count(value)
    return -1 if is_text(value) else 1


def begun(value: i64) -> i64:
    """Return a fresh header of a vector with the elements that a value is for `concat`."""
    if not is_sequence(value):
        return do_vector1(value)
    vector = copied_header(at(value))
    store_i32(vector, VECTOR)
    return word(vector)


def add_part(made: i64, value: i64) -> None:
    """Append the elements that a value is for `concat`."""
    if is_sequence(value):
        append_all(at(made), value)
    else:
        append(at(made), value)


def do_concat1(a: i64) -> i64:
    """Return the elements as a vector."""
    size = part_size(a)
    if size < 0 or not fits(size):
        return fallback1(B_CONCAT, a)
    return begun(a)


def do_concat2(a: i64, b: i64) -> i64:
    """Join two sequences into a vector."""
    size = part_size(a)
    more = part_size(b)
    if size < 0 or more < 0 or not fits(size + more + 1):
        return fallback2(B_CONCAT, a, b)
    made = begun(a)
    add_part(made, b)
    return made


def do_concat3(a: i64, b: i64, c: i64) -> i64:
    """Join three sequences into a vector."""
    size = part_size(a)
    more = part_size(b)
    most = part_size(c)
    if size < 0 or more < 0 or most < 0 or not fits(size + more + most + 2):
        return fallback3(B_CONCAT, a, b, c)
    made = begun(a)
    add_part(made, b)
    add_part(made, c)
    return made


def do_reverse(value: i64) -> i64:
    """Return the elements in opposite order."""
    if is_sequence(value) and fits(vector_count(value)):
        return vector_reverse(value, kind_of(value))
    return text_reverse(value)
