"""Functions in the dialect, for its tests."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32

FACTOR = 3
ADDEND = 100


def scaled(number: i32) -> i32:
    """Return a number scaled, with what only this module knows."""
    return number * FACTOR + ADDEND


def calls(number: i32) -> i32:
    """Call the same function twice in an expression."""
    return scaled(number) + scaled(number + 2)


def minus(left: i32, right: i32) -> i32:
    """Subtract."""
    return left - right


def swapped(left: i32, right: i32) -> i32:
    """Pass parameters under the names of others."""
    return minus(left, right) - minus(right, left)


def recursive(number: i32) -> i32:
    """Call itself."""
    return number * recursive(number - 1) if number > 1 else 1


def next_of(number: i32) -> i32:
    """Return the next number."""
    return number + 1


def shadowed(number: i32) -> i32:
    """Use its own parameter after a call of a function that has one of the same name."""
    tens = next_of(number) * 10
    return tens + number


def in_loop(end: i32) -> i32:
    """Call in a loop, with a jump around."""
    total = 0
    index = 0
    while 1:
        index = next_of(index)
        if index == end:
            break
        total += index * index
    return total


def turned(right: i32, left: i32) -> i32:
    """Subtract the other way round; its parameters are those of `minus` in other places."""
    return minus(left, right) * 10


def nested(left: i32, right: i32) -> i32:
    """Use functions within their own arguments."""
    return turned(minus(left, turned(left, right)), minus(right, left)) + minus(right, left)


def by_turns(left: i32, right: i32) -> i32:
    """Use a function in both ways of a choice."""
    return minus(left, right) if minus(left, right) > 0 else minus(right, left)
