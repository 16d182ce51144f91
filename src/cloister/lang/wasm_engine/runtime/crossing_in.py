"""Values on their way from the host: from bytes in the buffer to words. See `layout` for the form.

The host is trusted to write what it should. Owns it without recursion, as `crossing_out`.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    extend_u,
    float_of,
    i32,
    i64,
    load_i32,
    load_i64,
    load_u8,
    memory_copy,
    store_i32,
    store_i64,
    unreachable,
    wrap,
)
from cloister.lang.wasm_engine.layout import (
    BUFFER,
    BUILTIN,
    CROSS_AT,
    CROSS_BUILTIN,
    CROSS_CLOSURE,
    CROSS_ERROR,
    CROSS_FALSE,
    CROSS_FLOAT,
    CROSS_INTEGER,
    CROSS_KEYWORD,
    CROSS_LIST,
    CROSS_MAP,
    CROSS_NIL,
    CROSS_SHARED,
    CROSS_STRING,
    CROSS_SYMBOL,
    CROSS_TEXT_BYTES,
    CROSS_TRUE,
    CROSS_VECTOR,
    ERROR,
    FALSE,
    KEYWORD,
    LIST,
    NIL,
    RAW,
    STRING,
    SYMBOL,
    TRUE,
    UNSET,
    VECTOR,
    WORK_TOP,
)
from cloister.lang.wasm_engine.runtime.base import box_float, box_integer, new_object
from cloister.lang.wasm_engine.runtime.crossed import add_crossed, begin_crossing, crossed, set_crossed
from cloister.lang.wasm_engine.runtime.map_changes import map_from
from cloister.lang.wasm_engine.runtime.scratch import pop_work, push_work, top_work
from cloister.lang.wasm_engine.runtime.texts import new_name, new_string
from cloister.lang.wasm_engine.runtime.vector_growth import vector_from


def cross_in() -> i64:
    """Return the value that is in the buffer.

    On the work stack are the collections that are begun: what it will be, how many parts it has, how many are there,
    the address of their words, and its number: that of `crossed`, or of an error the host's.
    """
    store_i32(CROSS_AT, load_i32(BUFFER))
    begin_crossing()
    base = load_i32(WORK_TOP)
    while 1:
        value = in_value()
        while value != UNSET:
            if load_i32(WORK_TOP) == base:
                return value
            value = in_place(value)


def in_place(value: i64) -> i64:
    """Put a value into the collection that is begun; return the collection if that was the last part, else UNSET."""
    frame = top_work(20)
    index = load_i32(frame + 8)
    store_i64(load_i32(frame + 12) + (index << 3), value)
    store_i32(frame + 8, index + 1)
    if index + 1 < load_i32(frame + 4):
        return UNSET
    pop_work(20)
    number = load_i32(frame + 16)
    if load_i32(frame) == CROSS_ERROR:
        return in_error(load_i32(frame + 12), number)
    whole = in_whole(load_i32(frame), load_i32(frame + 12), index + 1)
    set_crossed(number, wrap(whole))
    return whole


def in_whole(code: i32, words: i32, count: i32) -> i64:
    """Return the collection that has some words as its parts."""
    if code == CROSS_VECTOR:
        return vector_from(words, count, VECTOR)
    if code == CROSS_LIST:
        return vector_from(words, count, LIST)
    return map_from(words, count >> 1)


def in_error(words: i32, number: i32) -> i64:
    """Return the error that has some words as its parts."""
    address = new_object(ERROR, 0, 40)
    memory_copy(address + 8, words, 24)
    store_i32(address + 32, number)
    return extend_u(address)


def in_skip(size: i32) -> i32:
    """Return the address of the next bytes to read, and go behind them."""
    address = load_i32(CROSS_AT)
    store_i32(CROSS_AT, address + size)
    return address


def in_value() -> i64:
    """Read a value without parts, or begin one with parts and return UNSET."""
    code = load_u8(in_skip(1))
    if code == CROSS_INTEGER:
        return box_integer(load_i64(in_skip(8)))
    if code == CROSS_STRING:
        return in_text(STRING)
    if code == CROSS_NIL:
        return NIL
    if code == CROSS_FALSE:
        return FALSE
    if code == CROSS_TRUE:
        return TRUE
    if code == CROSS_FLOAT:
        return box_float(float_of(load_i64(in_skip(8))))
    if code == CROSS_KEYWORD:
        return in_text(KEYWORD)
    if code == CROSS_SYMBOL:
        return in_text(SYMBOL)
    if code == CROSS_CLOSURE:
        return load_i64(in_skip(8))
    return in_rare(code)


def in_text(kind: i32) -> i64:
    """Read a string, keyword or symbol."""
    width = load_u8(in_skip(1))
    count = load_i32(in_skip(4))
    size = count * width
    text = new_string(count, width)
    memory_copy(text + 16, in_skip(size), size)
    value = extend_u(text) if kind == STRING else new_name(kind, text)
    if size >= CROSS_TEXT_BYTES:
        add_crossed(wrap(value))
    return value


def in_rare(code: i32) -> i64:
    """Read a builtin or what was there before, or begin a collection or an error."""
    number = load_i32(in_skip(4))
    if code == CROSS_BUILTIN:
        address = new_object(BUILTIN, 0, 16)
        store_i32(address + 8, number)
        return extend_u(address)
    if code == CROSS_SHARED:
        return extend_u(crossed(number))
    if code == CROSS_ERROR:
        in_skip(8)
        return in_begin(code, 3, number)
    if code != CROSS_VECTOR and code != CROSS_LIST and code != CROSS_MAP:
        unreachable()
    count = number << 1 if code == CROSS_MAP else number
    if count == 0:
        return in_whole(code, 0, 0)
    return in_begin(code, count, add_crossed(0))


def in_begin(code: i32, count: i32, number: i32) -> i64:
    """Put a collection or an error on the work stack and return UNSET."""
    size = (count << 3) + 16
    words = new_object(RAW, size - 16, size) + 16
    frame = push_work(20)
    store_i32(frame, code)
    store_i32(frame + 4, count)
    store_i32(frame + 8, 0)
    store_i32(frame + 12, words)
    store_i32(frame + 16, number)
    return UNSET
