"""The operations of core on collections, for compiled code: what patterns, loops and templates turn into.

What an operation refuses, or finds odd, it leaves to the host; see the numbers `ASK_...` in `layout`.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i64, unreachable
from cloister.lang.wasm_engine.layout import (
    ASK_CHECK_MAP,
    ASK_CHECK_VECTOR,
    ASK_ELEMENTS,
    ASK_JOIN_CODE_MAP,
    ASK_JOIN_LIST,
    ASK_JOIN_MAP,
    ASK_JOIN_VECTOR,
    ASK_TAIL,
    ASK_WITHOUT,
    FALSE,
    FLOAT,
    LIST,
    NIL,
    VECTOR,
)
from cloister.lang.wasm_engine.runtime.base import at, boolean, is_integer, kind_of, unbox_float, unbox_integer
from cloister.lang.wasm_engine.runtime.fallback import fallback, fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.keys import is_key
from cloister.lang.wasm_engine.runtime.map_changes import map_from, map_without
from cloister.lang.wasm_engine.runtime.maps import is_map, map_count, map_get, map_has
from cloister.lang.wasm_engine.runtime.values import fits, is_counted, small
from cloister.lang.wasm_engine.runtime.vector_growth import append_all, vector_builder
from cloister.lang.wasm_engine.runtime.vector_views import vector_slice
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_at, vector_count


def has_length(value: i64, count: i32, exact: i32) -> i32:
    """Say whether a value is a sequence of so many elements, or of more when not exact."""
    if not is_sequence(value):
        return 0
    return vector_count(value) == count if exact else vector_count(value) >= count


def op_check_vector(value: i64, count: i32, exact: i32) -> i64:
    """Return a sequence of so many elements, or of more when not exact."""
    if has_length(value, count, exact):
        return value
    return fallback3(ASK_CHECK_VECTOR, value, small(count), boolean(exact))


def op_check_map(value: i64) -> i64:
    """Return a map."""
    return value if is_map(value) else fallback1(ASK_CHECK_MAP, value)


def op_element(value: i64, index: i32) -> i64:
    """Return an element of a sequence, which was checked to have it."""
    if not is_sequence(value) or index < 0 or index >= vector_count(value):
        unreachable()
    return vector_at(value, index)


def op_tail(value: i64, index: i32) -> i64:
    """Return the vector of the elements of a sequence from an index on, which it was checked to have."""
    if not is_sequence(value) or index > vector_count(value) or not fits(vector_count(value)):
        return fallback2(ASK_TAIL, value, small(index))
    return vector_slice(value, index, vector_count(value), VECTOR)


def op_entry(value: i64, key: i64) -> i64:
    """Return the value of a key of a map, or nil."""
    return map_get(value, key, NIL)


def op_has_key(value: i64, key: i64) -> i32:
    """Say whether a map has a key."""
    return map_has(value, key)


def op_without(value: i64, keys: i64) -> i64:
    """Return a map without the keys in a vector."""
    if not fits(map_count(value)):
        return fallback2(ASK_WITHOUT, value, keys)
    count = vector_count(keys)
    index = 0
    while index < count:
        value = map_without(value, vector_at(keys, index))
        index += 1
    return value


def op_match_vector(value: i64, count: i32, exact: i32) -> i64:
    """Return a sequence when it has so many elements, or more when not exact; else nil."""
    return value if has_length(value, count, exact) else NIL


def op_match_map(value: i64, keys: i64, exact: i32) -> i64:
    """Return a map when it has the keys in a vector, and no others when exact; else nil."""
    if not is_map(value):
        return NIL
    count = vector_count(keys)
    index = 0
    while index < count:
        if not map_has(value, vector_at(keys, index)):
            return NIL
        index += 1
    return NIL if exact and map_count(value) != count else value


def op_elements(value: i64) -> i64:
    """Return what `for` goes through."""
    return value if is_sequence(value) else fallback1(ASK_ELEMENTS, value)


def op_join_vector(address: i32, count: i32) -> i64:
    """Return the vector of the elements of so many parts, which are words in memory; nil has none."""
    if not can_join_parts(address, count):
        return fallback(ASK_JOIN_VECTOR, address, count)
    return joined_parts(address, count, VECTOR)


def op_join_list(address: i32, count: i32) -> i64:
    """Return the list of the elements of so many parts, which are words in memory; nil has none."""
    if not can_join_parts(address, count):
        return fallback(ASK_JOIN_LIST, address, count)
    return joined_parts(address, count, LIST)


def can_join_parts(address: i32, count: i32) -> i32:
    """Say whether all parts are sequences or nil, and together not too large."""
    size = 0
    while count > 0:
        part = load_i64(address)
        if is_sequence(part):
            size += vector_count(part)
        elif part != NIL:
            return 0
        if not fits(size):
            return 0
        address += 8
        count -= 1
    return 1


def joined_parts(address: i32, count: i32, kind: i32) -> i64:
    """Return the elements of all parts."""
    made = vector_builder(kind)
    while count > 0:
        if load_i64(address) != NIL:
            append_all(at(made), load_i64(address))
        address += 8
        count -= 1
    return made


def op_join_map(address: i32, count: i32) -> i64:
    """Return the map of keys and values in turn, so many words in memory."""
    return map_from(address, count >> 1) if can_be_map(address, count) else fallback(ASK_JOIN_MAP, address, count)


def op_join_code_map(address: i32, count: i32) -> i64:
    """Return the map of keys and values in turn, for a macro."""
    return map_from(address, count >> 1) if can_be_map(address, count) else fallback(ASK_JOIN_CODE_MAP, address, count)


def can_be_map(address: i32, count: i32) -> i32:
    """Say whether all that shall be keys can be, and are not too many."""
    if not fits(count):
        return 0
    while count > 0:
        if not is_key(load_i64(address)):
            return 0
        address += 16
        count -= 2
    return 1


def op_has_content(value: i64) -> i32:
    """Say whether `step-if` and `step-loop` take a value as true."""
    if value == NIL or value == FALSE:
        return 0
    if is_integer(value):
        return unbox_integer(value) != 0
    if is_counted(value):
        return vector_count(value) != 0
    return unbox_float(value) != 0.0 if kind_of(value) == FLOAT else 1
