"""The allocator and the collector."""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import i32, load_i32, memory_grow, memory_size, store_i32, unreachable
from cloister.lang.wasm_engine.layout import ALLOCATOR, HEAP


def allocate(size: i32) -> i32:
    """Allocate bytes, all zero, at a multiple of 8; never collects. Ends the run when there is no memory left."""
    start = load_i32(ALLOCATOR)
    if start == 0:
        start = load_i32(HEAP)
    end = start + ((size + 15) & -16)
    have = memory_size() << 16
    if end > have or end < start:
        if memory_grow(((end - have) >> 16) + 16) == -1:
            unreachable()
    store_i32(ALLOCATOR, end)
    return start


def collect() -> None:
    """Free what nothing refers to any more: neither the stack of words, nor the plan's roots, nor what they refer to."""
    store_i32(28, 0)
