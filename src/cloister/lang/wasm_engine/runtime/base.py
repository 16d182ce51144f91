"""Words and headers: what everything else in the runtime is written with."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    extend_u,
    f64,
    i32,
    i64,
    load_f64,
    load_i32,
    load_i64,
    load_u8,
    store_f64,
    store_i32,
    store_i64,
    wrap,
)
from cloister.lang.wasm_engine.layout import BIGINT, FALSE, FLOAT, NIL, TRUE
from cloister.lang.wasm_engine.runtime.memory import allocate


def is_small(word: i64) -> i32:
    """Say whether a word is an integer of 63 bits."""
    return wrap(word) & 1


def is_object(word: i64) -> i32:
    """Say whether a word is the address of an object."""
    return (wrap(word) & 7) == 0


def is_truthy(word: i64) -> i32:
    """Say whether a word is neither nil nor false."""
    return (word & -5) != NIL


def at(word: i64) -> i32:
    """Return the address of the object a word stands for."""
    return wrap(word)


def word(address: i32) -> i64:
    """Return the word of an object."""
    return extend_u(address)


def kind_of(value: i64) -> i32:
    """Return the kind of an object; 0 for a word that is none."""
    return load_u8(wrap(value)) if (wrap(value) & 7) == 0 else 0


def boolean(condition: i32) -> i64:
    """Return true or false."""
    return TRUE if condition else FALSE


def new_object(kind: i32, number: i32, size: i32) -> i32:
    """Allocate an object of `size` bytes, header included, all zero but the header."""
    address = allocate(size)
    store_i32(address, kind)
    store_i32(address + 4, number)
    return address


def box_integer(value: i64) -> i64:
    """Return the word of an integer."""
    shifted = value << 1
    if shifted >> 1 == value:
        return shifted | 1
    address = new_object(BIGINT, 0, 16)
    store_i64(address + 8, value)
    return extend_u(address)


def is_integer(value: i64) -> i32:
    """Say whether a word is an integer."""
    return 1 if wrap(value) & 1 else kind_of(value) == BIGINT


def unbox_integer(value: i64) -> i64:
    """Return the integer of a word that is one."""
    return value >> 1 if wrap(value) & 1 else load_i64(wrap(value) + 8)


def box_float(value: f64) -> i64:
    """Return the word of a float."""
    address = new_object(FLOAT, 0, 16)
    store_f64(address + 8, value)
    return extend_u(address)


def unbox_float(value: i64) -> f64:
    """Return the float of a word that is one."""
    return load_f64(wrap(value) + 8)


def count_of(value: i64) -> i32:
    """Return the number in the header of an object."""
    return load_i32(wrap(value) + 4)
