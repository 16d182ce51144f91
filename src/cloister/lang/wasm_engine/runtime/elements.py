"""Vectors, lists and maps as rows of words: made of them, and read one by one."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import extend_u, i32, i64, load_i32, load_i64, memory_copy, store_i32
from cloister.lang.wasm_engine.layout import MAP, NODE
from cloister.lang.wasm_engine.runtime.base import new_object


def sequence_from(kind: i32, words: i32, count: i32) -> i64:
    """Return a vector or list with elements that are words in memory."""
    address = new_object(kind, count, 32)
    if count != 0:
        first = (count - 1) & -32
        store_i32(address + 20, node_of(words + (first << 3), count - first))
        store_i32(address + 24, first)
        if first != 0:
            plant(address, words, first >> 5)
    return extend_u(address)


def node_of(words: i32, count: i32) -> i32:
    """Return a node that holds some words."""
    node = new_object(NODE, count, 16 + (count << 3))
    store_i32(node + 8, count)
    memory_copy(node + 16, words, count << 3)
    return node


def plant(vector: i32, words: i32, leaves: i32) -> None:
    """Give a vector its tree, made level by level of full leaves."""
    row = new_object(NODE, leaves, 16 + (leaves << 3)) + 16
    index = 0
    while index < leaves:
        store_i32(row + (index << 3), node_of(words + (index << 8), 32))
        index += 1
    shift = 5
    while leaves > 32:
        leaves = level(row, leaves)
        shift += 5
    store_i32(vector + 16, node_of(row, leaves))
    store_i32(vector + 12, shift)


def level(row: i32, count: i32) -> i32:
    """Put nodes in a row into nodes above them, in place; return how many those are."""
    index = 0
    while index << 5 < count:
        first = index << 5
        left = count - first
        store_i32(row + (index << 3), node_of(row + (first << 3), left if left < 32 else 32))
        store_i32(row + (index << 3) + 4, 0)
        index += 1
    return index


def vector_part(address: i32, index: i32) -> i64:
    """Return an element of a vector or list, whose index is in range."""
    place = index + load_i32(address + 8)
    first = load_i32(address + 24)
    if place >= first:
        return load_i64(load_i32(address + 20) + 16 + ((place - first) << 3))
    node = load_i32(address + 16)
    shift = load_i32(address + 12)
    while shift > 0:
        node = load_i32(node + 16 + ((place >> shift & 31) << 3))
        shift -= 5
    return load_i64(node + 16 + ((place & 31) << 3))


def map_from(words: i32, count: i32) -> i64:
    """Return the map with so many keys and values, in turn, that are words in memory."""
    address = new_object(MAP, count, 16 + (count << 4))
    memory_copy(address + 16, words, count << 4)
    return extend_u(address)


def map_part(address: i32, index: i32) -> i64:
    """Return a key or value of a map, in turn."""
    return load_i64(address + 16 + (index << 3))
