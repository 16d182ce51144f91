"""What is alive: everything that can be reached from somewhere, marked without recursion.

Owns which words every kind of object refers to. Objects that are marked but not looked into yet are in a stack of their
addresses, which grows as it has to; it is an object of its own, of kind RAW.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    i32,
    i64,
    load_i32,
    load_i64,
    load_u8,
    lt_u,
    memory_copy,
    store_i32,
    store_u8,
    wrap,
)
from cloister.lang.wasm_engine.layout import (
    BIGINT,
    BUILTIN,
    CELL,
    CLOSURE,
    ENTRIES,
    ENTRY_BYTES,
    ERROR,
    FLOAT,
    HEAP,
    KEYWORD,
    LIST,
    MAP,
    NODE,
    RAW,
    ROPE,
    STORE,
    STRING,
    SYMBOL,
    VECTOR,
    WIDE_MAP,
)
from cloister.lang.wasm_engine.runtime.memory import EPOCH, LIVE, allocate_pages

PENDING = 3096
"""Address of the stack of what is still to be looked into."""
PENDING_BYTES = 3100
PENDING_TOP = 3104

PENDING_MIN = 65520


def mark_word(value: i64) -> None:
    """Mark the object a word stands for, if it stands for one on the heap."""
    if (wrap(value) & 7) == 0:
        mark(wrap(value))


def mark(address: i32) -> None:
    """Mark an object on the heap, and have it looked into unless it refers to nothing; 0 is none."""
    if lt_u(address, load_i32(HEAP)):
        return
    epoch = load_i32(EPOCH)
    if load_u8(address + 1) == epoch:
        return
    store_u8(address + 1, epoch)
    page = address & -65536
    store_i32(page + 8, epoch)
    store_i32(LIVE, load_i32(LIVE) + load_i32(page))
    kind = load_u8(address)
    leaves = 1 << BIGINT | 1 << FLOAT | 1 << STRING | 1 << RAW | 1 << BUILTIN
    if (leaves >> kind & 1) == 0:
        push_pending(address)


def push_pending(address: i32) -> None:
    """Have an object looked into."""
    top = load_i32(PENDING_TOP)
    if top + 4 > load_i32(PENDING_BYTES):
        grow_pending()
    store_i32(load_i32(PENDING) + top, address)
    store_i32(PENDING_TOP, top + 4)


def grow_pending() -> None:
    """Move the stack to where it has more room."""
    had = load_i32(PENDING_BYTES)
    room = PENDING_MIN if had == 0 else had << 1
    address = allocate_pages(room + 16)
    store_i32(address, RAW)
    memory_copy(address + 16, load_i32(PENDING), had)
    store_i32(PENDING, address + 16)
    store_i32(PENDING_BYTES, room)


def mark_pending() -> None:
    """Mark everything that can be reached from what is to be looked into."""
    while load_i32(PENDING_TOP) != 0:
        top = load_i32(PENDING_TOP) - 4
        store_i32(PENDING_TOP, top)
        address = load_i32(load_i32(PENDING) + top)
        mark_parts(address, load_u8(address))


def mark_parts(address: i32, kind: i32) -> None:
    """Mark what an object refers to."""
    if kind == NODE:
        mark_words(address + 16, load_i32(address + 8))
    elif kind == VECTOR or kind == LIST:
        mark(load_i32(address + 16))
        mark(load_i32(address + 20))
    elif kind == MAP:
        mark_words(address + 16, load_i32(address + 4) << 1)
    elif kind == KEYWORD or kind == SYMBOL:
        mark(load_i32(address + 8))
    elif kind == CLOSURE:
        mark_words(address + 16, load_i32(address + 4))
    elif kind == ROPE:
        mark(load_i32(address + 12))
        mark(load_i32(address + 8))
    elif kind == CELL:
        mark_word(load_i64(address + 8))
    elif kind == WIDE_MAP:
        mark(load_i32(address + 12))
    elif kind == STORE:
        mark(load_i32(address + 12))
        mark(load_i32(address + 16))
    elif kind == ENTRIES:
        mark_entries(address + 16, load_i32(address + 4))
    elif kind == ERROR:
        mark_words(address + 8, 3)


def mark_words(address: i32, count: i32) -> None:
    """Mark what words in a row stand for."""
    end = address + (count << 3)
    while address != end:
        word = load_i64(address)
        if (wrap(word) & 7) == 0:
            mark(wrap(word))
        address += 8


def mark_entries(address: i32, room: i32) -> None:
    """Mark keys and values of entries; those behind the last one are zero."""
    while room > 0:
        mark_words(address, 2)
        address += ENTRY_BYTES
        room -= 1
