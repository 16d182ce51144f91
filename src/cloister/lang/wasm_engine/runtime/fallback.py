"""What natives do not do themselves: the builtin of the host does it, or raises."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, store_i64, throw_error
from cloister.lang.wasm_engine.layout import ARGUMENTS, BUFFER
from cloister.lang.wasm_engine.runtime.base import box_integer
from cloister.lang.wasm_engine.runtime.crossing_in import cross_in
from cloister.lang.wasm_engine.runtime.crossing_out import cross_arguments
from cloister.lang.wasm_engine.runtime.host import ask


def fallback(operation: i32, address: i32, count: i32) -> i64:
    """Ask the host for an operation, with arguments that are words in memory; return its answer or throw its error."""
    length = cross_arguments(address, count)
    answer = ask(operation, load_i32(BUFFER), length)
    value = cross_in()
    if answer < 0:
        throw_error(value)
    return value


def fallback1(operation: i32, a: i64) -> i64:
    """Ask the host for an operation with one argument."""
    store_i64(ARGUMENTS, a)
    return fallback(operation, ARGUMENTS, 1)


def fallback2(operation: i32, a: i64, b: i64) -> i64:
    """Ask the host for an operation with two arguments."""
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    return fallback(operation, ARGUMENTS, 2)


def overflowed1(operation: i32, a: i64) -> None:
    """Have the host raise what a result means that does not fit in 64 bits, of one integer."""
    fallback1(operation, box_integer(a))


def overflowed2(operation: i32, a: i64, b: i64) -> None:
    """Have the host raise what a result means that does not fit in 64 bits, of two integers."""
    fallback2(operation, box_integer(a), box_integer(b))


def fallback3(operation: i32, a: i64, b: i64, c: i64) -> i64:
    """Ask the host for an operation with three arguments."""
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    store_i64(ARGUMENTS + 16, c)
    return fallback(operation, ARGUMENTS, 3)


def fallback4(operation: i32, a: i64, b: i64, c: i64, d: i64) -> i64:
    """Ask the host for an operation with four arguments."""
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    store_i64(ARGUMENTS + 16, c)
    store_i64(ARGUMENTS + 24, d)
    return fallback(operation, ARGUMENTS, 4)
