"""What the code of plans calls directly: making functions and cells, loops, errors, the way to the host and back."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    attempt,
    extend_u,
    i32,
    i64,
    load_i32,
    load_i64,
    memory_grow,
    store_i32,
    store_i64,
    throw_error,
    unreachable,
    wrap,
)
from cloister.lang.wasm_engine.layout import (
    ASK_NOT_CALLABLE,
    ASK_TURNS,
    ASK_UNCAUGHT,
    BIGINT,
    BUILTIN,
    CATCHERS,
    CELL,
    CLOSURE,
    DEPTH,
    ERROR,
    ERROR_WORD,
    FALSE,
    FLOAT,
    HEAP,
    KEYWORD,
    LIMIT_MEMORY,
    LIMIT_VALUE,
    NIL,
    RAISED,
    ROOTS,
    ROOTS_END,
    ROPE,
    STATIC_START,
    STRING,
    TRUE,
    UNSET,
    VALUE_BYTES,
)
from cloister.lang.wasm_engine.runtime.base import is_integer, is_small, kind_of, new_object, unbox_integer
from cloister.lang.wasm_engine.runtime.calls import call_with
from cloister.lang.wasm_engine.runtime.crossing_in import cross_in
from cloister.lang.wasm_engine.runtime.crossing_out import cross_out
from cloister.lang.wasm_engine.runtime.fallback import fallback1
from cloister.lang.wasm_engine.runtime.host import limit
from cloister.lang.wasm_engine.runtime.stack import enter, leave
from cloister.lang.wasm_engine.runtime.texts import same_text
from cloister.lang.wasm_engine.runtime.vector_growth import vector_push
from cloister.lang.wasm_engine.runtime.vector_views import vector_drop
from cloister.lang.wasm_engine.runtime.vectors import vector_at, vector_count


def begin_plan(heap: i32, roots_end: i32) -> None:
    """Make room for the static data of a plan, and say where its heap begins and its roots end."""
    pages = (heap - STATIC_START) >> 16
    if memory_grow(pages) == -1:
        limit(LIMIT_MEMORY)
    store_i32(HEAP, heap)
    store_i32(ROOTS, STATIC_START)
    store_i32(ROOTS_END, roots_end)


def limit_reached(which: i32) -> None:
    """End the run because a limit was reached."""
    limit(which)


def new_closure(code: i32, parameters: i32, captured: i32) -> i32:
    """Return the address of a function value whose captured words are still to be put in."""
    address = new_object(CLOSURE, captured, 16 + (captured << 3))
    store_i32(address + 8, code)
    store_i32(address + 12, parameters)
    return address


def new_cell() -> i64:
    """Return the cell of a variable that is not assigned yet."""
    address = new_object(CELL, 0, 16)
    store_i64(address + 8, UNSET)
    return extend_u(address)


def callable_value(value: i64) -> i64:
    """Return a value that can be called, or refuse it."""
    kind = kind_of(value)
    if kind == CLOSURE or kind == BUILTIN or kind == KEYWORD:
        return value
    return fallback1(ASK_NOT_CALLABLE, value)


def direct_code(function: i64, count: i32) -> i32:
    """Return where the code of a function is that takes so many arguments one by one; 0 for any other value."""
    if kind_of(function) != CLOSURE:
        return 0
    return load_i32(wrap(function) + 8) if load_i32(wrap(function) + 12) == count else 0


def throw_again(error: i64) -> None:
    """Throw an error value that was caught."""
    if load_i32(CATCHERS) == 0:
        fallback1(ASK_UNCAUGHT, error)
    throw_error(error)


def error_has_kind(error: i64, kind: i64) -> i32:
    """Say whether an error value is of a kind."""
    if kind_of(error) != ERROR:
        return 0
    actual = load_i64(wrap(error) + 16)
    return 1 if kind_of(actual) != 0 and same_text(actual, kind) else 0


def for_push(found: i64, item: i64) -> i64:
    """Add what a turn of `for` gave, as far as one value may be that large."""
    if load_i32(wrap(found) + 4) >= load_i32(VALUE_BYTES) >> 3:
        limit(LIMIT_VALUE)
    return vector_push(found, item)


def turns_of(value: i64) -> i64:
    """Return how often `dotimes` repeats."""
    if is_integer(value):
        return unbox_integer(value)
    return unbox_integer(fallback1(ASK_TURNS, value))


def rest_arguments(arguments: i64, first: i32) -> i64:
    """Return the vector of the arguments from one on."""
    return vector_drop(arguments, first)


def answered(length: i32) -> i64:
    """Return what the host answered, which is in the buffer, or throw what it raised."""
    value = cross_in()
    if length < 0:
        throw_error(value)
    return value


def type_bits(value: i64) -> i32:
    """Return the bit of the type of a value: integer 1, float 2, string 4, boolean 8, keyword 16, nil 32; else 64."""
    if is_small(value):
        return 1
    if value == NIL:
        return 32
    if value == TRUE or value == FALSE:
        return 8
    kind = kind_of(value)
    if kind == BIGINT:
        return 1
    if kind == FLOAT:
        return 2
    if kind == STRING or kind == ROPE:
        return 4
    return 16 if kind == KEYWORD else 64


def trap_now() -> None:
    """Trap, so that the host sees which calls are open."""
    unreachable()


def called_from_host() -> i32:
    """Call a function of the plan with what is in the buffer, a vector of the function and its arguments.

    Returns:
        How long the result in the buffer is; when it threw, -1 less how long the error is.
    """
    asked = cross_in()
    count = vector_count(asked) - 1
    depth = load_i32(DEPTH)
    frame = enter(count + 1)
    store_i64(frame, asked)
    index = 0
    while index < count:
        store_i64(frame + 8 + (index << 3), vector_at(asked, index + 1))
        index += 1
    store_i32(CATCHERS, load_i32(CATCHERS) + 1)
    result = attempt(call_with(vector_at(asked, 0), frame + 8, count), ERROR_WORD)
    store_i32(CATCHERS, load_i32(CATCHERS) - 1)
    leave(frame)
    store_i32(DEPTH, depth)
    if result == RAISED:
        return -1 - cross_out(load_i64(ERROR_WORD))
    return cross_out(result)
