"""Calls of values: functions of the program, builtins and keywords.

Whoever calls several times puts what was in cell `DEPTH` back there before each call, and keeps alive what it still
needs: every call may collect.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    extend_s,
    i32,
    i64,
    invoke0,
    invoke1,
    invoke2,
    invoke3,
    invoke4,
    load_i32,
    load_i64,
    store_i64,
)
from cloister.lang.wasm_engine.layout import (
    ARGUMENTS,
    ASK_CALL,
    ASK_KEYWORD_GET,
    ASK_NOT_CALLABLE,
    ASK_WRONG_COUNT,
    BUILTIN,
    CLOSURE,
    KEYWORD,
    NATIVE_CODE,
    NATIVE_COUNTS,
    NIL,
    RAW,
    VECTOR,
)
from cloister.lang.wasm_engine.runtime.base import at, box_integer, kind_of, new_object
from cloister.lang.wasm_engine.runtime.fallback import fallback, fallback1, fallback2, fallback3
from cloister.lang.wasm_engine.runtime.maps import is_map, map_get
from cloister.lang.wasm_engine.runtime.vector_growth import vector_from
from cloister.lang.wasm_engine.runtime.vectors import vector_count, words_of

COUNT_MASK = 65535
PLAIN_MAX = 4


def can_call(function: i64, count: i32) -> i32:
    """Say whether a value can be called with so many arguments, as far as that is certain before it is."""
    kind = kind_of(function)
    return kind == CLOSURE or kind == BUILTIN or (kind == KEYWORD and (count == 1 or count == 2))


def takes(function: i64, count: i32) -> i32:
    """Say whether the code of a closure takes exactly so many arguments as they are."""
    return load_i32(at(function) + 12) == count


def code_of(function: i64) -> i32:
    """Return where the code of a closure is in the table."""
    return load_i32(at(function) + 8)


def native_code(function: i64, count: i32) -> i32:
    """Return where the code of a builtin for 1 to `NATIVE_COUNTS` arguments is in the table; 0 when the host has it."""
    number = load_i32(at(function) + 8)
    return NATIVE_CODE + number * NATIVE_COUNTS + count - 1 if number >= 0 else 0


def call0(function: i64) -> i64:
    """Call a value without arguments."""
    if kind_of(function) == CLOSURE and takes(function, 0):
        return invoke0(code_of(function), function)
    return call_odd(function, ARGUMENTS, 0)


def call1(function: i64, a: i64) -> i64:
    """Call a value with one argument."""
    kind = kind_of(function)
    if kind == CLOSURE and takes(function, 1):
        return invoke1(code_of(function), function, a)
    if kind == KEYWORD:
        return keyword_get(function, a, NIL)
    if kind == BUILTIN:
        code = native_code(function, 1)
        if code:
            return invoke1(code, function, a)
    store_i64(ARGUMENTS, a)
    return call_odd(function, ARGUMENTS, 1)


def call2(function: i64, a: i64, b: i64) -> i64:
    """Call a value with two arguments."""
    kind = kind_of(function)
    if kind == CLOSURE and takes(function, 2):
        return invoke2(code_of(function), function, a, b)
    if kind == BUILTIN:
        code = native_code(function, 2)
        if code:
            return invoke2(code, function, a, b)
    if kind == KEYWORD:
        return keyword_get(function, a, b)
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    return call_odd(function, ARGUMENTS, 2)


def call3(function: i64, a: i64, b: i64, c: i64) -> i64:
    """Call a value with three arguments."""
    kind = kind_of(function)
    if kind == CLOSURE and takes(function, 3):
        return invoke3(code_of(function), function, a, b, c)
    if kind == BUILTIN:
        code = native_code(function, 3)
        if code:
            return invoke3(code, function, a, b, c)
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    store_i64(ARGUMENTS + 16, c)
    return call_odd(function, ARGUMENTS, 3)


def call4(function: i64, a: i64, b: i64, c: i64, d: i64) -> i64:
    """Call a value with four arguments."""
    if kind_of(function) == CLOSURE and takes(function, 4):
        return invoke4(code_of(function), function, a, b, c, d)
    store_i64(ARGUMENTS, a)
    store_i64(ARGUMENTS + 8, b)
    store_i64(ARGUMENTS + 16, c)
    store_i64(ARGUMENTS + 24, d)
    return call_odd(function, ARGUMENTS, 4)


def call_with(function: i64, address: i32, count: i32) -> i64:
    """Call a value with arguments that are words in memory."""
    if count == 0:
        return call0(function)
    a = load_i64(address)
    if count == 1:
        return call1(function, a)
    b = load_i64(address + 8)
    if count == 2:
        return call2(function, a, b)
    c = load_i64(address + 16)
    if count == 3:
        return call3(function, a, b, c)
    if count == PLAIN_MAX:
        return call4(function, a, b, c, load_i64(address + 24))
    return call_odd(function, address, count)


def call_odd(function: i64, address: i32, count: i32) -> i64:
    """Call a value in the way that always works, with words in memory as arguments; or raise that it cannot be."""
    kind = kind_of(function)
    if kind == BUILTIN:
        number = load_i32(at(function) + 8)
        return fallback(number, address, count) if number >= 0 else call_host(function, address, count)
    if kind == CLOSURE:
        return call_closure(function, address, count)
    if kind == KEYWORD:
        return fallback2(ASK_WRONG_COUNT, function, box_integer(extend_s(count)))
    return fallback1(ASK_NOT_CALLABLE, function)


def call_closure(function: i64, address: i32, count: i32) -> i64:
    """Call a closure that takes its arguments as a vector; or raise that it takes another number of them."""
    takes_count = load_i32(at(function) + 12)
    least = takes_count & COUNT_MASK
    if (takes_count > COUNT_MASK and count >= least) or (count == least and count > PLAIN_MAX):
        return invoke1(code_of(function), function, vector_from(address, count, VECTOR))
    code = box_integer(extend_s(code_of(function)))
    return fallback2(ASK_WRONG_COUNT, code, box_integer(extend_s(count)))


def call_host(function: i64, address: i32, count: i32) -> i64:
    """Call a function that the host holds."""
    row = new_object(RAW, (count + 1) << 3, (count << 3) + 24) + 16
    store_i64(row, function)
    index = 0
    while index < count:
        store_i64(row + (index << 3) + 8, load_i64(address + (index << 3)))
        index += 1
    return fallback(ASK_CALL, row, count + 1)


def call_vector(function: i64, arguments: i64) -> i64:
    """Call a value with the elements of a vector or list."""
    return call_with(function, words_of(arguments), vector_count(arguments))


def keyword_get(keyword: i64, target: i64, default: i64) -> i64:
    """Look a keyword up in a map; in nil there is nothing."""
    if is_map(target):
        return map_get(target, keyword, default)
    return default if target == NIL else fallback2(ASK_KEYWORD_GET, keyword, target)


def ask_builtin1(function: i64, a: i64) -> i64:
    """Do what the table has for a builtin without a native for one argument."""
    return fallback1(load_i32(at(function) + 8), a)


def ask_builtin2(function: i64, a: i64, b: i64) -> i64:
    """Do what the table has for a builtin without a native for two arguments."""
    return fallback2(load_i32(at(function) + 8), a, b)


def ask_builtin3(function: i64, a: i64, b: i64, c: i64) -> i64:
    """Do what the table has for a builtin without a native for three arguments."""
    return fallback3(load_i32(at(function) + 8), a, b, c)
