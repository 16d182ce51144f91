"""Vectors and lists with more elements, or with one replaced.

A version that ends where the used slots of its tail end adds the next element in place: no older version looks there.
The same holds for nodes of the tree. A function that takes the address of a header changes it, so nobody may have seen
it yet; such a header is also how vectors are built from nothing.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, memory_copy, store_i32
from cloister.lang.wasm_engine.layout import LIMIT_VALUE, NODE_MAX, UNSET
from cloister.lang.wasm_engine.runtime.base import at, is_object, new_object, word
from cloister.lang.wasm_engine.runtime.host import limit
from cloister.lang.wasm_engine.runtime.vectors import (
    VECTOR_BYTES,
    child_of,
    copied_header,
    new_node,
    new_vector,
    open_node,
    place_of,
    run_of,
    set_slot,
    slot_of,
    vector_count,
)

SHIFT_MAX = 25
COMPACT_MAX = 8
ROOM_MIN = 4


def vector_builder(kind: i32) -> i64:
    """Make an empty vector or list, whose header `append` may change."""
    return word(new_object(kind, 0, VECTOR_BYTES))


def vector_builder_for(kind: i32, count: i32) -> i64:
    """Make an empty vector or list that will get so many elements."""
    tail = new_node(NODE_MAX if count > NODE_MAX else count) if count > 0 else 0
    return new_vector(kind, 0, 0, tail)


def vector_from(address: i32, count: i32, kind: i32) -> i64:
    """Make a vector or list of words that lie next to each other."""
    value = vector_builder_for(kind, count)
    append_run(at(value), address, count)
    return value


def vector_push(value: i64, item: i64) -> i64:
    """Return the vector with an element added at the end."""
    vector = copied_header(at(value))
    append(vector, item)
    return word(vector)


def append(vector: i32, item: i64) -> None:
    """Add an element at the end."""
    length = tail_with_room(vector, 1)
    tail = load_i32(vector + 20)
    set_slot(tail, length, item)
    store_i32(tail + 8, length + 1)
    store_i32(vector + 4, load_i32(vector + 4) + 1)


def append_run(vector: i32, address: i32, count: i32) -> None:
    """Add words that lie next to each other at the end."""
    while count > 0:
        length = tail_with_room(vector, count)
        tail = load_i32(vector + 20)
        part = load_i32(tail + 4) - length
        part = count if count < part else part
        memory_copy(tail + (length << 3) + 16, address, part << 3)
        store_i32(tail + 8, length + part)
        store_i32(vector + 4, load_i32(vector + 4) + part)
        address += part << 3
        count -= part


def append_all(vector: i32, source: i64) -> None:
    """Add the elements of another vector or list at the end."""
    count = vector_count(source)
    index = 0
    while index < count:
        run = run_of(source, index)
        append_run(vector, place_of(source, index), run)
        index += run


def tail_with_room(vector: i32, more: i32) -> i32:
    """See that the tail has room behind the last element, and that it may be filled; return where in it."""
    length = load_i32(vector + 8) + load_i32(vector + 4) - load_i32(vector + 24)
    if length == NODE_MAX:
        sink_tail(vector)
        length = 0
    tail = load_i32(vector + 20)
    if tail == 0 or load_i32(tail + 8) != length or load_i32(tail + 4) == length:
        room = NODE_MAX if load_i32(vector + 24) > 0 else tail_room(length, more)
        store_i32(vector + 20, copied_front(tail, length, room))
    return length


def tail_room(length: i32, more: i32) -> i32:
    """Return how much room a tail gets that has so many elements and is about to get more."""
    room = length << 1
    if room < length + more:
        room = length + more
    if room < ROOM_MIN:
        room = ROOM_MIN
    return NODE_MAX if room > NODE_MAX else room


def copied_front(node: i32, count: i32, room: i32) -> i32:
    """Copy the first slots of a node into one with so much room."""
    copy = new_node(room)
    if count > 0:
        memory_copy(copy + 16, node + 16, count << 3)
    store_i32(copy + 8, count)
    return copy


def copied_back(node: i32, slot: i32) -> i32:
    """Copy the slots of a node behind a slot; that one and those before it can be filled in place."""
    copy = open_node()
    used = load_i32(node + 8)
    if used > slot + 1:
        memory_copy(copy + (slot << 3) + 24, node + (slot << 3) + 24, (used - slot - 1) << 3)
    store_i32(copy + 8, used if used > slot else slot + 1)
    return copy


def sink_tail(vector: i32) -> None:
    """Move the tail, which is full, into the tree."""
    root = load_i32(vector + 16)
    shift = load_i32(vector + 12)
    first = load_i32(vector + 24)
    if root == 0:
        root = load_i32(vector + 20)
    else:
        if (first >> (shift + 5)) != 0:
            shift = next_shift(shift)
            root = with_slot(new_node(NODE_MAX), 0, root)
        root = with_leaf(root, shift, first, load_i32(vector + 20))
    store_i32(vector + 12, shift)
    store_i32(vector + 16, root)
    store_i32(vector + 20, 0)
    store_i32(vector + 24, first + NODE_MAX)


def next_shift(shift: i32) -> i32:
    """Return the shift of a tree with one level more."""
    if shift >= SHIFT_MAX:
        limit(LIMIT_VALUE)
    return shift + 5


def with_leaf(node: i32, shift: i32, place: i32, leaf: i32) -> i32:
    """Return the tree with a leaf added behind all others."""
    slot = (place >> shift) & 31
    if shift > 5:
        has_child = slot < load_i32(node + 8) and is_object(slot_of(node, slot))
        below = child_of(node, place, shift) if has_child else new_node(NODE_MAX)
        leaf = with_leaf(below, shift - 5, place, leaf)
    return with_slot(node, slot, leaf)


def with_slot(node: i32, slot: i32, child: i32) -> i32:
    """Return a node with a child in the last slot that counts: the same node when nobody has seen that filled."""
    used = load_i32(node + 8)
    if slot < used and slot_of(node, slot) == word(child):
        return node
    if slot < used:
        if slot_of(node, slot) != UNSET:
            node = copied_front(node, slot, NODE_MAX)
    elif slot >= load_i32(node + 4):
        node = copied_front(node, slot, NODE_MAX)
    set_slot(node, slot, word(child))
    if slot >= load_i32(node + 8):
        store_i32(node + 8, slot + 1)
    return node


def vector_prepend(value: i64, item: i64) -> i64:
    """Return the vector with an element added at the beginning."""
    vector = copied_header(at(value))
    if load_i32(vector + 4) == 0:
        append(vector, item)
        return word(vector)
    if load_i32(vector + 8) == 0:
        make_room_before(vector)
    place = load_i32(vector + 8) - 1
    first = load_i32(vector + 24)
    if place >= first:
        store_i32(vector + 20, with_before(load_i32(vector + 20), 0, place - first, item))
    else:
        store_i32(vector + 16, with_before(load_i32(vector + 16), load_i32(vector + 12), place, item))
    store_i32(vector + 8, place)
    store_i32(vector + 4, load_i32(vector + 4) + 1)
    return word(vector)


def make_room_before(vector: i32) -> None:
    """Give all elements higher places, so that some are free before the first."""
    count = load_i32(vector + 4)
    root = load_i32(vector + 16)
    if root == 0 and count < NODE_MAX:
        move_tail_up(vector, count)
        return
    shift = next_shift(load_i32(vector + 12))
    top = open_node()
    if root != 0:
        set_slot(top, NODE_MAX - 1, word(root))
    base = (NODE_MAX - 1) << shift
    store_i32(vector + 8, base)
    store_i32(vector + 12, shift)
    store_i32(vector + 16, top)
    store_i32(vector + 24, load_i32(vector + 24) + base)


def move_tail_up(vector: i32, count: i32) -> None:
    """Move the elements of a vector that has only a tail to the end of a new one; a small one gets just one slot."""
    tail = load_i32(vector + 20)
    if count < COMPACT_MAX:
        copy = new_node(count + 1)
        set_slot(copy, 0, UNSET)
        store_i32(copy + 8, count + 1)
        start = 1
    else:
        copy = open_node()
        start = NODE_MAX - count
    memory_copy(copy + (start << 3) + 16, tail + 16, count << 3)
    store_i32(vector + 20, copy)
    store_i32(vector + 8, start)


def with_before(node: i32, shift: i32, place: i32, content: i64) -> i32:
    """Return a node, and what is below it, with an element at the place before the first."""
    slot = (place >> shift) & 31
    if shift > 0:
        has_child = is_object(slot_of(node, slot))
        below = child_of(node, place, shift) if has_child else open_node()
        content = word(with_before(below, shift - 5, place, content))
    if slot_of(node, slot) == content:
        return node
    if slot_of(node, slot) != UNSET:
        node = copied_back(node, slot)
    set_slot(node, slot, content)
    return node


def vector_set(value: i64, index: i32, item: i64) -> i64:
    """Return the vector with another element at an index, which exists."""
    vector = copied_header(at(value))
    place = index + load_i32(vector + 8)
    first = load_i32(vector + 24)
    if place >= first:
        tail = copied_node(load_i32(vector + 20))
        set_slot(tail, place - first, item)
        store_i32(vector + 20, tail)
    else:
        store_i32(vector + 16, with_element(load_i32(vector + 16), load_i32(vector + 12), place, item))
    return word(vector)


def copied_node(node: i32) -> i32:
    """Copy a node with the room it has."""
    return copied_front(node, load_i32(node + 8), load_i32(node + 4))


def with_element(node: i32, shift: i32, place: i32, content: i64) -> i32:
    """Return a copy of the way to a place, with an element there."""
    if shift > 0:
        content = word(with_element(child_of(node, place, shift), shift - 5, place, content))
    node = copied_node(node)
    set_slot(node, (place >> shift) & 31, content)
    return node
