"""Values on their way to the host: from words to bytes in the buffer. See `layout` for the form.

Owns it without recursion: values nest deeper than the machine's own stack can.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    i32,
    i64,
    load_i32,
    load_i64,
    load_u8,
    memory_copy,
    store_i32,
    store_i64,
    store_u8,
    unreachable,
    wrap,
)
from cloister.lang.wasm_engine.layout import (
    BIGINT,
    BUILTIN,
    CLOSURE,
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
    FLOAT,
    KEYWORD,
    LIST,
    MAP,
    NIL,
    ROPE,
    STRING,
    SYMBOL,
    TRUE,
    UNSET,
    VECTOR,
    WIDE_MAP,
    WORK_TOP,
)
from cloister.lang.wasm_engine.runtime.base import unbox_integer, word
from cloister.lang.wasm_engine.runtime.crossed import add_crossed, begin_crossing, crossed_before
from cloister.lang.wasm_engine.runtime.maps import map_end, map_entry
from cloister.lang.wasm_engine.runtime.scratch import buffer, pop_work, push_work, top_work
from cloister.lang.wasm_engine.runtime.texts import flat, name_of
from cloister.lang.wasm_engine.runtime.vectors import vector_at


def cross_out(value: i64) -> i32:
    """Write a value to the buffer; return how many bytes it takes."""
    begin_out()
    out_tree(value)
    return load_i32(CROSS_AT)


def cross_arguments(address: i32, count: i32) -> i32:
    """Write words in memory to the buffer, as a vector; return how many bytes it takes."""
    begin_out()
    if count > 0:
        add_crossed(0)  # the vector has a number too, and is no object
    out_number(CROSS_VECTOR, count)
    index = 0
    while index < count:
        out_tree(load_i64(address + (index << 3)))
        index += 1
    return load_i32(CROSS_AT)


def begin_out() -> None:
    """Begin to write."""
    store_i32(CROSS_AT, 0)
    begin_crossing()


def out_before(address: i32) -> i32:
    """Write that an object is there once more, if it was written before; say whether it was."""
    number = crossed_before(address)
    if number < 0:
        return 0
    out_number(CROSS_SHARED, number)
    return 1


def out_room(size: i32) -> i32:
    """Add bytes to what is written, and return their address."""
    offset = load_i32(CROSS_AT)
    store_i32(CROSS_AT, offset + size)
    return buffer(offset + size) + offset


def out_byte(code: i32) -> None:
    """Write one byte."""
    store_u8(out_room(1), code)


def out_number(code: i32, number: i32) -> None:
    """Write a byte and a number of 32 bits."""
    target = out_room(5)
    store_u8(target, code)
    store_i32(target + 1, number)


def out_word(code: i32, bits: i64) -> None:
    """Write a byte and a number of 64 bits."""
    target = out_room(9)
    store_u8(target, code)
    store_i64(target + 1, bits)


def out_text(code: i32, address: i32, text: i32) -> None:
    """Write an object that is, or has as its name, a flat string."""
    count = load_i32(text + 4)
    width = load_i32(text + 12)
    size = count * width
    if size >= CROSS_TEXT_BYTES and out_before(address):
        return
    target = out_room(size + 6)
    store_u8(target, code)
    store_u8(target + 1, width)
    store_i32(target + 2, count)
    memory_copy(target + 6, text + 16, size)


def out_tree(value: i64) -> None:
    """Write a value with all that is in it.

    On the work stack are the collections that are begun: address, how many of its parts are written, how many it has.
    """
    base = load_i32(WORK_TOP)
    out_value(value)
    while load_i32(WORK_TOP) > base:
        frame = top_work(12)
        address = load_i32(frame)
        index = load_i32(frame + 4)
        if index == load_i32(frame + 8):
            pop_work(12)
        else:
            store_i32(frame + 4, index + 1)
            part = part_of(address, index)
            if part != UNSET:
                out_value(part)


def part_of(address: i32, index: i32) -> i64:
    """Return a part of a collection or an error, in the order in which they cross; UNSET when a map has none there."""
    kind = load_u8(address)
    if kind == ERROR:
        return load_i64(address + 8 + (index << 3))
    if kind == VECTOR or kind == LIST:
        return vector_at(word(address), index)
    entry = map_entry(word(address), index >> 1)
    return load_i64(entry + ((index & 1) << 3)) if entry else UNSET


def out_value(value: i64) -> None:
    """Write a value, but of one that has parts only that it begins."""
    if wrap(value) & 1:
        out_word(CROSS_INTEGER, value >> 1)
    elif value == NIL:
        out_byte(CROSS_NIL)
    elif value == FALSE:
        out_byte(CROSS_FALSE)
    elif value == TRUE:
        out_byte(CROSS_TRUE)
    elif (wrap(value) & 7) == 0:
        out_object(value, load_u8(wrap(value)))
    else:
        unreachable()


def out_object(value: i64, kind: i32) -> None:
    """Write an object, but of one that has parts only that it begins."""
    address = wrap(value)
    if kind == STRING or kind == ROPE:
        text = flat(value)
        out_text(CROSS_STRING, text, text)
    elif kind == KEYWORD:
        out_text(CROSS_KEYWORD, address, name_of(value))
    elif kind == FLOAT:
        out_word(CROSS_FLOAT, load_i64(address + 8))
    elif kind == VECTOR:
        out_parts(CROSS_VECTOR, address, load_i32(address + 4))
    elif kind == MAP or kind == WIDE_MAP:
        out_parts(CROSS_MAP, address, map_end(value) << 1)
    elif kind == LIST:
        out_parts(CROSS_LIST, address, load_i32(address + 4))
    elif kind == SYMBOL:
        out_text(CROSS_SYMBOL, address, name_of(value))
    elif kind == BIGINT:
        out_word(CROSS_INTEGER, unbox_integer(value))
    else:
        out_rare(value, kind)


def out_rare(value: i64, kind: i32) -> None:
    """Write a function or an error."""
    address = wrap(value)
    if kind == CLOSURE:
        out_word(CROSS_CLOSURE, value)
    elif kind == BUILTIN:
        out_number(CROSS_BUILTIN, load_i32(address + 8))
    elif kind == ERROR:
        out_number(CROSS_ERROR, load_i32(address + 32))
        store_i64(out_room(8), value)
        begin_parts(address, 3)
    else:
        unreachable()


def out_parts(code: i32, address: i32, parts: i32) -> None:
    """Begin to write a collection that has so many places for parts."""
    count = load_i32(address + 4)
    if count != 0 and out_before(address):
        return
    out_number(code, count)
    if parts != 0:
        begin_parts(address, parts)


def begin_parts(address: i32, count: i32) -> None:
    """Put a collection on the work stack."""
    frame = push_work(12)
    store_i32(frame, address)
    store_i32(frame + 4, 0)
    store_i32(frame + 8, count)
