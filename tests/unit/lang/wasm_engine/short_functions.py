"""Functions of the dialect that are put in place of their calls, for `test_inlining`."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32

STEP = 10


def minus(a: i32, b: i32) -> i32:
    """Subtract."""
    return a - b


def swapped(b: i32, a: i32) -> i32:
    """Subtract the other way round; its names are those of whoever calls, in other places."""
    return minus(a, b) * STEP


def nested(a: i32, b: i32) -> i32:
    """Use a function several times, also within itself."""
    c = swapped(minus(a, swapped(a, b)), minus(b, a)) + minus(b, a)
    return c - swapped(a, b) + a


def by_turns(a: i32, b: i32) -> i32:
    """Use it in both ways of a choice."""
    return minus(a, b) if minus(a, b) > 0 else minus(b, a)


def counted(a: i32) -> i32:
    """Use it in a loop."""
    total = 0
    while a > 0:
        total = minus(total, minus(0, a))
        a = minus(a, 1)
    return total


def expected_nested(a: i32, b: i32) -> i32:
    """Return what `nested` gives, without functions."""
    first = a - (b - a) * 10
    return ((b - a) - first) * 10 + (b - a) - (b - a) * 10 + a
