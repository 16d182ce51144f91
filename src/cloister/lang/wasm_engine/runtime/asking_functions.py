"""Natives that make functions which ask several others, or replace nil; see `made_functions`."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, memory_copy, store_i32, store_i64
from cloister.lang.wasm_engine.layout import DEPTH, FALSE, MADE_CODE, NIL, RAW, TRUE
from cloister.lang.wasm_engine.runtime.base import at, is_truthy, new_object
from cloister.lang.wasm_engine.runtime.calls import call1, call_with, can_call
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.ids import B_EVERY_PRED, B_FNIL, B_SOME_FN
from cloister.lang.wasm_engine.runtime.made_functions import held_by, made_of
from cloister.lang.wasm_engine.runtime.stack import enter, leave
from cloister.lang.wasm_engine.runtime.vectors import vector_at, vector_count, words_of

CODE_FNIL = MADE_CODE + 5
CODE_EVERY = MADE_CODE + 6
CODE_SOME = MADE_CODE + 7


def do_fnil2(function: i64, default: i64) -> i64:
    """Return the function that gets a default where its first argument is nil."""
    if not can_call(function, 1):
        return fallback2(B_FNIL, function, default)
    return made_of(CODE_FNIL, 2, function, default, NIL)


def do_fnil3(function: i64, default: i64, other: i64) -> i64:
    """Return the function that gets defaults where its first two arguments are nil."""
    if not can_call(function, 1):
        return fallback3(B_FNIL, function, default, other)
    return made_of(CODE_FNIL, 3, function, default, other)


def code_fnil(closure: i64, arguments: i64) -> i64:
    """Call a function with the defaults in the places of nil."""
    count = vector_count(arguments)
    row = new_object(RAW, count << 3, (count << 3) + 16) + 16
    if count > 0:
        memory_copy(row, words_of(arguments), count << 3)
    defaults = load_i32(at(closure) + 4) - 1
    index = 0
    while index < count and index < defaults:
        if load_i64(row + (index << 3)) == NIL:
            store_i64(row + (index << 3), held_by(closure, index + 1))
        index += 1
    return call_with(held_by(closure, 0), row, count)


def do_every_pred1(a: i64) -> i64:
    """Return the function that says whether a predicate holds for all its arguments."""
    return made_of(CODE_EVERY, 1, a, NIL, NIL) if can_call(a, 1) else fallback1(B_EVERY_PRED, a)


def do_every_pred2(a: i64, b: i64) -> i64:
    """Return the function that says whether two predicates hold for all its arguments."""
    if not can_call(a, 1) or not can_call(b, 1):
        return fallback2(B_EVERY_PRED, a, b)
    return made_of(CODE_EVERY, 2, a, b, NIL)


def do_every_pred3(a: i64, b: i64, c: i64) -> i64:
    """Return the function that says whether three predicates hold for all its arguments."""
    if not can_call(a, 1) or not can_call(b, 1) or not can_call(c, 1):
        return fallback3(B_EVERY_PRED, a, b, c)
    return made_of(CODE_EVERY, 3, a, b, c)


def do_some_fn1(a: i64) -> i64:
    """Return the function that gives the first answer of one that is neither false nor nil."""
    return made_of(CODE_SOME, 1, a, NIL, NIL) if can_call(a, 1) else fallback1(B_SOME_FN, a)


def do_some_fn2(a: i64, b: i64) -> i64:
    """Return the function that gives the first answer of two that is neither false nor nil."""
    if not can_call(a, 1) or not can_call(b, 1):
        return fallback2(B_SOME_FN, a, b)
    return made_of(CODE_SOME, 2, a, b, NIL)


def do_some_fn3(a: i64, b: i64, c: i64) -> i64:
    """Return the function that gives the first answer of three that is neither false nor nil."""
    if not can_call(a, 1) or not can_call(b, 1) or not can_call(c, 1):
        return fallback3(B_SOME_FN, a, b, c)
    return made_of(CODE_SOME, 3, a, b, c)


def code_every(closure: i64, arguments: i64) -> i64:
    """Ask the predicates about all arguments until one says no."""
    return FALSE if first_of(closure, arguments, 0) != 0 else TRUE


def code_some(closure: i64, arguments: i64) -> i64:
    """Ask the functions about all arguments until one has an answer."""
    answer = first_of(closure, arguments, 1)
    return NIL if answer == 0 else answer


def first_of(closure: i64, arguments: i64, wanted: i32) -> i64:
    """Return the first answer that is as true as wanted, of all functions about one argument, then the next; else 0."""
    frame = enter(2)
    store_i64(frame, closure)
    store_i64(frame + 8, arguments)
    depth = load_i32(DEPTH)
    functions = load_i32(at(closure) + 4)
    count = vector_count(arguments) * functions
    answer: i64 = 0
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        result = call1(held_by(closure, index % functions), vector_at(arguments, index // functions))
        if is_truthy(result) == wanted:
            answer = result
            break
        index += 1
    leave(frame)
    return answer
