"""Vectors and lists with fewer elements, or in another order.

What is cut off at the ends is not copied: the parts of the tree that still count are shared, and those that do not are
let go of, so that a small part does not keep a large vector alive.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, store_i32
from cloister.lang.wasm_engine.layout import NODE_MAX
from cloister.lang.wasm_engine.runtime.base import at, is_object, kind_of, word
from cloister.lang.wasm_engine.runtime.vector_growth import (
    append,
    append_all,
    copied_back,
    copied_front,
    vector_builder,
)
from cloister.lang.wasm_engine.runtime.vectors import (
    child_of,
    copied_header,
    leaf_of,
    new_vector,
    set_slot,
    slot_of,
    vector_at,
    vector_count,
)


def vector_drop(value: i64, count: i32) -> i64:
    """Return the vector without its first elements, of which it has as many."""
    return vector_slice(value, count, vector_count(value), kind_of(value))


def vector_pop(value: i64) -> i64:
    """Return the vector without its last element, which exists."""
    return vector_slice(value, 0, vector_count(value) - 1, kind_of(value))


def vector_slice(value: i64, start: i32, stop: i32, kind: i32) -> i64:
    """Return the elements from start up to but without stop, both within the vector, as a vector or list."""
    vector = at(value)
    base = load_i32(vector + 8)
    first = base + start
    end = base + stop
    if first < end and (base >> 5) == (first >> 5) and end > load_i32(vector + 24):
        copy = copied_header(vector)  # in the same nodes as before
        store_i32(copy, kind)
        store_i32(copy + 4, stop - start)
        store_i32(copy + 8, first)
        return word(copy)
    return view(vector, first, end, kind)


def view(vector: i32, first: i32, end: i32, kind: i32) -> i64:
    """Return the elements of some places of a vector, as a vector or list."""
    if first >= end:
        return vector_builder(kind)
    root = load_i32(vector + 16)
    shift = load_i32(vector + 12)
    tail = load_i32(vector + 20)
    border = load_i32(vector + 24)
    if end <= border:
        border = (end - 1) & -32
        tail = leaf_of(root, shift, border)
    if first >= border:
        return new_vector(kind, end - first, first - border, tail)
    made = copied_header(vector)
    store_i32(made, kind)
    store_i32(made + 4, end - first)
    store_i32(made + 20, tail)
    shorten_tree(made, root, shift, first, border)
    return word(made)


def shorten_tree(made: i32, root: i32, shift: i32, first: i32, border: i32) -> None:
    """Give a header what is left of a tree between two places: no level too many, no nodes that do not count."""
    while shift > 0 and (first >> shift) == ((border - 1) >> shift):
        base = (first >> shift) << shift
        root = child_of(root, first, shift)
        first -= base
        border -= base
        shift -= 5
    root = cut_before(root, shift, first)
    store_i32(made + 16, cut_behind(root, shift, border - 1))
    store_i32(made + 12, shift)
    store_i32(made + 8, first)
    store_i32(made + 24, border)


def cut_before(node: i32, shift: i32, place: i32) -> i32:
    """Return a node without children that are wholly before a place."""
    if shift == 0:
        return node
    slot = (place >> shift) & 31
    below = child_of(node, place, shift)
    kept = cut_before(below, shift - 5, place)
    if kept == below and (slot == 0 or not is_object(slot_of(node, slot - 1))):
        return node
    node = copied_back(node, slot)
    set_slot(node, slot, word(kept))
    return node


def cut_behind(node: i32, shift: i32, place: i32) -> i32:
    """Return a node without children that are wholly behind a place."""
    if shift == 0:
        return node
    slot = (place >> shift) & 31
    below = child_of(node, place, shift)
    kept = cut_behind(below, shift - 5, place)
    if kept == below and slot + 1 == load_i32(node + 8):
        return node
    node = copied_front(node, slot, NODE_MAX)
    set_slot(node, slot, word(kept))
    store_i32(node + 8, slot + 1)
    return node


def vector_concat(left: i64, right: i64, kind: i32) -> i64:
    """Return the elements of two vectors or lists, as a vector or list."""
    vector = copied_header(at(left))
    store_i32(vector, kind)
    append_all(vector, right)
    return word(vector)


def vector_reverse(value: i64, kind: i32) -> i64:
    """Return the elements in opposite order, as a vector or list."""
    made = vector_builder(kind)
    index = vector_count(value) - 1
    while index >= 0:
        append(at(made), vector_at(value, index))
        index -= 1
    return made
