"""Memory that is no value: the buffer in which values cross, and the stack of what is still to be visited.

Both are objects of kind RAW that only their cells refer to, as those of `crossed` are; the collector knows them.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, le_u, load_i32, lt_u, memory_copy, store_i32
from cloister.lang.wasm_engine.layout import (
    BUFFER,
    BUFFER_BYTES,
    LIMIT_VALUE,
    RAW,
    VALUE_BYTES,
    WORK,
    WORK_BYTES,
    WORK_TOP,
)
from cloister.lang.wasm_engine.runtime.base import new_object
from cloister.lang.wasm_engine.runtime.host import limit

ROOM_MIN = 4096
CROSSING_MIN = 1048576
CROSSING_MAX = 1073741824


def buffer(size: i32) -> i32:
    """Give the buffer room for `size` bytes, keep what is in it, and return its address."""
    if le_u(size, load_i32(BUFFER_BYTES)):
        return load_i32(BUFFER)
    if lt_u(most_that_crosses(), size):
        limit(LIMIT_VALUE)
    return moved(BUFFER, size)


def most_that_crosses() -> i32:
    """Return how many bytes may cross at once: a collection as large as one may be, and more."""
    most = load_i32(VALUE_BYTES)
    if lt_u(CROSSING_MAX >> 2, most):
        return CROSSING_MAX
    return (most << 2) + CROSSING_MIN


def moved(cell: i32, size: i32) -> i32:
    """Move the memory of a cell, whose size is in the cell behind it, to where it has more room; return its address."""
    had = load_i32(cell + 4)
    room = had << 1
    if room < size:
        room = size
    if room < ROOM_MIN:
        room = ROOM_MIN
    address = new_object(RAW, room, room + 16) + 16
    memory_copy(address, load_i32(cell), had)
    store_i32(cell, address)
    store_i32(cell + 4, room)
    return address


def push_work(size: i32) -> i32:
    """Add bytes to the work stack and return their address, which holds until the next are added."""
    top = load_i32(WORK_TOP)
    end = top + size
    if end > load_i32(WORK_BYTES):
        moved(WORK, end)
    store_i32(WORK_TOP, end)
    return load_i32(WORK) + top


def top_work(size: i32) -> i32:
    """Return the address of the last so many bytes of the work stack."""
    return load_i32(WORK) + load_i32(WORK_TOP) - size


def pop_work(size: i32) -> None:
    """Drop the last so many bytes of the work stack."""
    store_i32(WORK_TOP, load_i32(WORK_TOP) - size)
