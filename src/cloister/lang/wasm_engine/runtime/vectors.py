"""Vectors and lists: reading them, and making headers and nodes.

Owns how an element is found; `vector_growth` adds elements, `vector_views` shortens. A slot of a node that nobody has
seen filled, and that lies before others, is UNSET: whoever needs it first may fill it in place.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    i32,
    i64,
    load_i32,
    load_i64,
    memory_copy,
    store_i32,
    store_i64,
)
from cloister.lang.wasm_engine.layout import LIST, NODE, NODE_MAX, RAW, UNSET, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, kind_of, new_object, word

VECTOR_BYTES = 32


def is_sequence(value: i64) -> i32:
    """Say whether a word is a vector or a list."""
    return ((kind_of(value) + 1) | 1) == LIST + 1  # the two are neighbours


def new_vector(kind: i32, count: i32, start: i32, tail: i32) -> i64:
    """Make a vector or list that is all in its tail, from slot `start` on."""
    vector = new_object(kind, count, VECTOR_BYTES)
    store_i32(vector + 8, start)
    store_i32(vector + 20, tail)
    return word(vector)


def copied_header(vector: i32) -> i32:
    """Make another header with the same elements, which may be changed until somebody sees it."""
    copy = new_object(VECTOR, 0, VECTOR_BYTES)
    memory_copy(copy, vector, VECTOR_BYTES)
    store_i32(copy, kind_of(word(vector)))  # without the marks of the collector
    return copy


def new_node(room: i32) -> i32:
    """Make a node with so much room, of which nothing is used."""
    return new_object(NODE, room, (room << 3) + 16)


def open_node() -> i32:
    """Make a node all of whose slots can be filled in place, from the last to the first."""
    node = new_node(NODE_MAX)
    store_i32(node + 8, NODE_MAX)
    slot = 0
    while slot < NODE_MAX:
        set_slot(node, slot, UNSET)
        slot += 1
    return node


def slot_of(node: i32, slot: i32) -> i64:
    """Return what is in a slot of a node."""
    return load_i64(node + (slot << 3) + 16)


def set_slot(node: i32, slot: i32, content: i64) -> None:
    """Put something into a slot of a node."""
    store_i64(node + (slot << 3) + 16, content)


def child_of(node: i32, place: i32, shift: i32) -> i32:
    """Return the node below another on the way to a place."""
    return load_i32(node + (((place >> shift) & 31) << 3) + 16)


def leaf_of(root: i32, shift: i32, place: i32) -> i32:
    """Return the node of the tree that holds the element of a place."""
    while shift > 0:
        root = child_of(root, place, shift)
        shift -= 5
    return root


def place_of(value: i64, index: i32) -> i32:
    """Return the address of the word of an element; the index exists."""
    vector = at(value)
    place = index + load_i32(vector + 8)
    first = load_i32(vector + 24)
    if place >= first:
        return load_i32(vector + 20) + ((place - first) << 3) + 16
    return leaf_of(load_i32(vector + 16), load_i32(vector + 12), place) + ((place & 31) << 3) + 16


def run_of(value: i64, index: i32) -> i32:
    """Return how many elements, from an index that exists on, lie next to each other in memory."""
    vector = at(value)
    left = load_i32(vector + 4) - index
    place = index + load_i32(vector + 8)
    if place >= load_i32(vector + 24):
        return left
    run = NODE_MAX - (place & 31)
    return left if left < run else run


def vector_count(value: i64) -> i32:
    """Return how many elements a vector or list has."""
    return load_i32(at(value) + 4)


def vector_at(value: i64, index: i32) -> i64:
    """Return an element of a vector or list; the index exists."""
    return load_i64(place_of(value, index))


def words_of(value: i64) -> i32:
    """Return the address of all elements in a row, which nobody may change; those of a large vector are copied."""
    vector = at(value)
    if load_i32(vector + 16) == 0:
        return load_i32(vector + 20) + (load_i32(vector + 8) << 3) + 16
    count = load_i32(vector + 4)
    row = new_object(RAW, count << 3, (count << 3) + 16) + 16
    index = 0
    while index < count:
        run = run_of(value, index)
        memory_copy(row + (index << 3), place_of(value, index), run << 3)
        index += run
    return row
