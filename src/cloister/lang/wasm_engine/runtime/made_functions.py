"""Natives that make functions of functions, and call them.

What they make are closures whose code is in this module. It takes its arguments as a vector, any number of them.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, i64, load_i32, load_i64, memory_copy, store_i32, store_i64
from cloister.lang.wasm_engine.layout import ARGUMENTS, CLOSURE, DEPTH, MADE_CODE, NIL, RAW, UNSET, VECTOR
from cloister.lang.wasm_engine.runtime.base import at, boolean, is_truthy, new_object, word
from cloister.lang.wasm_engine.runtime.calls import call1, call_vector, call_with, can_call
from cloister.lang.wasm_engine.runtime.fallback import fallback1, fallback2, fallback3, fallback4
from cloister.lang.wasm_engine.runtime.ids import B_APPLY, B_COMP, B_COMPLEMENT, B_JUXT, B_PARTIAL
from cloister.lang.wasm_engine.runtime.map_changes import copy_entries
from cloister.lang.wasm_engine.runtime.maps import is_map, map_count
from cloister.lang.wasm_engine.runtime.stack import enter, leave
from cloister.lang.wasm_engine.runtime.values import fits
from cloister.lang.wasm_engine.runtime.vector_growth import append, vector_builder_for
from cloister.lang.wasm_engine.runtime.vectors import is_sequence, vector_count, words_of

ANY_COUNT = 65536
"""The parameters of a closure that takes any number of arguments."""

CODE_PARTIAL = MADE_CODE
CODE_COMPLEMENT = MADE_CODE + 1
CODE_CONSTANTLY = MADE_CODE + 2
CODE_COMP = MADE_CODE + 3
CODE_JUXT = MADE_CODE + 4


def made_function(code: i32, count: i32) -> i32:
    """Make a closure of this module that has so many words, and return its address."""
    closure = new_object(CLOSURE, count, (count << 3) + 16)
    store_i32(closure + 8, code)
    store_i32(closure + 12, ANY_COUNT)
    return closure


def made_of(code: i32, count: i32, a: i64, b: i64, c: i64) -> i64:
    """Make a closure of up to three words."""
    closure = made_function(code, count)
    store_i64(closure + 16, a)
    if count > 1:
        store_i64(closure + 24, b)
    if count > 2:
        store_i64(closure + 32, c)
    return word(closure)


def held_by(closure: i64, index: i32) -> i64:
    """Return a word of a closure."""
    return load_i64(at(closure) + (index << 3) + 16)


def do_partial1(function: i64) -> i64:
    """Return the function with no arguments given."""
    return made_of(CODE_PARTIAL, 1, function, NIL, NIL) if can_call(function, 1) else fallback1(B_PARTIAL, function)


def do_partial2(function: i64, a: i64) -> i64:
    """Return the function with an argument given."""
    if not can_call(function, 1):
        return fallback2(B_PARTIAL, function, a)
    return made_of(CODE_PARTIAL, 2, function, a, NIL)


def do_partial3(function: i64, a: i64, b: i64) -> i64:
    """Return the function with two arguments given."""
    if not can_call(function, 1):
        return fallback3(B_PARTIAL, function, a, b)
    return made_of(CODE_PARTIAL, 3, function, a, b)


def code_partial(closure: i64, arguments: i64) -> i64:
    """Call a function with the arguments given before, and then with those given now."""
    given = load_i32(at(closure) + 4) - 1
    return call_spread(held_by(closure, 0), at(closure) + 24, given, arguments)


def do_complement(function: i64) -> i64:
    """Return the function that gives true where the given one gives false or nil."""
    if not can_call(function, 1):
        return fallback1(B_COMPLEMENT, function)
    return made_of(CODE_COMPLEMENT, 1, function, NIL, NIL)


def code_complement(closure: i64, arguments: i64) -> i64:
    """Call a function and turn its answer round."""
    return boolean(not is_truthy(call_vector(held_by(closure, 0), arguments)))


def do_constantly(value: i64) -> i64:
    """Return the function that always gives a value."""
    return made_of(CODE_CONSTANTLY, 1, value, NIL, NIL)


def code_constantly(closure: i64, arguments: i64) -> i64:
    """Return the value, whatever the arguments are."""
    return held_by(closure, 0) if arguments != UNSET else NIL


def do_comp1(a: i64) -> i64:
    """Return the function that calls one."""
    return made_of(CODE_COMP, 1, a, NIL, NIL) if can_call(a, 1) else fallback1(B_COMP, a)


def do_comp2(a: i64, b: i64) -> i64:
    """Return the function that calls the second function, and the first with the result."""
    return made_of(CODE_COMP, 2, a, b, NIL) if can_call(a, 1) and can_call(b, 1) else fallback2(B_COMP, a, b)


def do_comp3(a: i64, b: i64, c: i64) -> i64:
    """Return the function that calls three, from the last to the first."""
    if not can_call(a, 1) or not can_call(b, 1) or not can_call(c, 1):
        return fallback3(B_COMP, a, b, c)
    return made_of(CODE_COMP, 3, a, b, c)


def code_comp(closure: i64, arguments: i64) -> i64:
    """Call the last function with the arguments, and each before it with the result."""
    frame = enter(1)
    store_i64(frame, closure)
    depth = load_i32(DEPTH)
    index = load_i32(at(closure) + 4) - 1
    result = call_vector(held_by(closure, index), arguments)
    while index > 0:
        index -= 1
        store_i32(DEPTH, depth)
        result = call1(held_by(closure, index), result)
    leave(frame)
    return result


def do_juxt1(a: i64) -> i64:
    """Return the function that gives the vector of what one gives."""
    return made_of(CODE_JUXT, 1, a, NIL, NIL) if can_call(a, 1) else fallback1(B_JUXT, a)


def do_juxt2(a: i64, b: i64) -> i64:
    """Return the function that gives the vector of what two give."""
    return made_of(CODE_JUXT, 2, a, b, NIL) if can_call(a, 1) and can_call(b, 1) else fallback2(B_JUXT, a, b)


def do_juxt3(a: i64, b: i64, c: i64) -> i64:
    """Return the function that gives the vector of what three give."""
    if not can_call(a, 1) or not can_call(b, 1) or not can_call(c, 1):
        return fallback3(B_JUXT, a, b, c)
    return made_of(CODE_JUXT, 3, a, b, c)


def code_juxt(closure: i64, arguments: i64) -> i64:
    """Call all functions with the same arguments."""
    count = load_i32(at(closure) + 4)
    made = vector_builder_for(VECTOR, count)
    frame = enter(3)
    store_i64(frame, closure)
    store_i64(frame + 8, arguments)
    store_i64(frame + 16, made)
    depth = load_i32(DEPTH)
    index = 0
    while index < count:
        store_i32(DEPTH, depth)
        append(at(made), call_vector(held_by(closure, index), arguments))
        index += 1
    leave(frame)
    return made


def spread_size(value: i64) -> i32:
    """Return how many arguments a value is for `apply`; -1 when the host has to say."""
    if is_sequence(value):
        return vector_count(value)
    if is_map(value):
        return map_count(value) << 1
    return 0 if value == NIL else -1


def call_spread(function: i64, address: i32, count: i32, rest: i64) -> i64:
    """Call a function with words in memory and then all that a value is for `apply`."""
    more = spread_size(rest)
    if count == 0 and is_sequence(rest):
        return call_with(function, words_of(rest), more)
    size = (count + more) << 3
    row = new_object(RAW, size, size + 16) + 16
    memory_copy(row, address, count << 3)
    if is_map(rest):
        copy_entries(row + (count << 3), rest)
    elif more:
        memory_copy(row + (count << 3), words_of(rest), more << 3)
    return call_with(function, row, count + more)


def can_apply(function: i64, count: i32, rest: i64) -> i32:
    """Say whether a function can be called with so many arguments and those in a value."""
    more = spread_size(rest)
    return more >= 0 and can_call(function, count + more) and fits(count + more + 1)


def do_apply2(function: i64, rest: i64) -> i64:
    """Call a function with the elements of a collection."""
    if not can_apply(function, 0, rest):
        return fallback2(B_APPLY, function, rest)
    return call_spread(function, 0, 0, rest)


def do_apply3(function: i64, a: i64, rest: i64) -> i64:
    """Call a function with an argument and the elements of a collection."""
    if not can_apply(function, 1, rest):
        return fallback3(B_APPLY, function, a, rest)
    store_i64(ARGUMENTS, a)
    return call_spread(function, ARGUMENTS, 1, rest)


def do_apply4(function: i64, a: i64, b: i64, rest: i64) -> i64:
    """Call a function with two arguments and the elements of a collection."""
    if not can_apply(function, 2, rest):
        return fallback4(B_APPLY, function, a, b, rest)
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    return call_spread(function, ARGUMENTS, 2, rest)
