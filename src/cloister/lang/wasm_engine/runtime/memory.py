"""The allocator: objects of one size share a page, larger ones have pages of their own.

Owns the heap, which is made of pages of 64 KiB. A page begins with 16 bytes about it: the bytes of each block (0 when
the page is free), how many pages it stands for, the number of the last collection that found something alive in it, and
the address of the next page of its kind. `collector` reads and writes these too.

Every size class hands out a run of free blocks, from a cursor to a limit, all zero, so allocating is adding. A new run
is looked for behind the last one, in the class's pages in turn: blocks whose mark is not the current one. So sweeping
happens bit by bit, just before the memory is used again. The cells of a class are its cursor, its limit, the bytes of
a block, the page that is being looked through, the place in it, and the first page the last collection left it.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    gt_u,
    i32,
    le_u,
    load_i32,
    load_u8,
    memory_fill,
    memory_grow,
    memory_size,
    store_i32,
)
from cloister.lang.wasm_engine.layout import ALLOCATOR, COLLECT, HEAP, LIMIT_MEMORY, PEAK_PAGES
from cloister.lang.wasm_engine.runtime.host import limit

PAGE_BYTES = 65536
PAGE_HEAD = 16
BLOCKS_END = 65536
SMALL_MAX = 512
MEDIUM_MAX = 32752
CLASSES_END = 51
COLLECT_MIN = 8388608
GROWN_PAGES = 16

EPOCH = 3072
"""The number of the last collection, 1 to 255; what was alive then has it as its mark."""
PAGES_END = 3076
"""Where the pages of the heap end that were ever used; memory behind that is zero. 0 before the first."""
FREE_RUNS = 3080
"""The first run of free pages, in the order of addresses; the others follow as the next pages of their kind."""
ALLOCATED = 3084
"""Bytes that were handed out since the last collection."""
COLLECT_AT = 3088
"""At how many of these the next collection is due."""
LIVE = 3092
"""Bytes the last collection has found alive."""


def allocate(size: i32) -> i32:
    """Allocate bytes, all zero, at a multiple of 16; never collects. Ends the run when there is no memory left."""
    rounded = (size + 15) & -16
    if le_u(rounded, SMALL_MAX):
        cell = ALLOCATOR + (rounded << 1)
        address = load_i32(cell)
        if address != load_i32(cell + 4):
            store_i32(cell, address + rounded)
            return address
        return refill(cell)
    if le_u(rounded, MEDIUM_MAX):
        return allocate_medium(rounded)
    return allocate_pages(rounded)


def allocate_medium(size: i32) -> i32:
    """Allocate a block of one of the classes in which a page has only some."""
    if load_i32(PAGES_END) == 0:
        prepare()
    cell = ALLOCATOR + 1056
    while load_i32(cell + 8) < size:
        cell += 32
    address = load_i32(cell)
    if address == load_i32(cell + 4):
        return refill(cell)
    store_i32(cell, address + load_i32(cell + 8))
    return address


def prepare() -> None:
    """Begin the heap: set the sizes of the classes."""
    index = 1
    while index <= 32:
        store_i32(ALLOCATOR + (index << 5) + 8, index << 4)
        index += 1
    blocks = 112
    while index < CLASSES_END:
        store_i32(ALLOCATOR + (index << 5) + 8, (BLOCKS_END - PAGE_HEAD) // blocks & -16)
        index += 1
        if blocks > 48:
            blocks -= 16
        elif blocks > 16:
            blocks -= 8
        elif blocks > 6:
            blocks -= 2
        else:
            blocks -= 1
    store_i32(PAGES_END, load_i32(HEAP))
    store_i32(COLLECT_AT, COLLECT_MIN)
    store_i32(EPOCH, 1)


def refill(cell: i32) -> i32:
    """Find the next run of a class, and allocate its first block."""
    if load_i32(PAGES_END) == 0:
        prepare()
    size = load_i32(cell + 8)
    while load_i32(cell + 12) != 0:
        page = load_i32(cell + 12)
        last = page + BLOCKS_END - size
        start = skip_alive(load_i32(cell + 16), last, size)
        if start <= last:
            end = skip_dead(start, last, size)
            memory_fill(start, 0, end - start)
            store_i32(cell + 16, end)
            return run_of_blocks(cell, start, end, size)
        store_i32(cell + 12, load_i32(page + 12))
        store_i32(cell + 16, load_i32(page + 12) + PAGE_HEAD)
    page = take_pages(1)
    store_i32(page, size)
    return run_of_blocks(cell, page + PAGE_HEAD, page + PAGE_HEAD + (BLOCKS_END - PAGE_HEAD) // size * size, size)


def skip_alive(block: i32, last: i32, size: i32) -> i32:
    """Return the first block at or behind one that the last collection has not marked; one behind the last if none."""
    epoch = load_i32(EPOCH)
    while le_u(block, last) and load_u8(block + 1) == epoch:
        block += size
    return block


def skip_dead(block: i32, last: i32, size: i32) -> i32:
    """Return the first block at or behind one that the last collection has marked; one behind the last if none."""
    epoch = load_i32(EPOCH)
    while le_u(block, last) and load_u8(block + 1) != epoch:
        block += size
    return block


def run_of_blocks(cell: i32, start: i32, end: i32, size: i32) -> i32:
    """Hand out a run to a class; return its first block, which is taken."""
    store_i32(cell, start + size)
    store_i32(cell + 4, end)
    count_allocated(end - start)
    return start


def count_allocated(size: i32) -> None:
    """Take note that memory was handed out; ask for a collection when it is enough."""
    allocated = load_i32(ALLOCATED) + size
    store_i32(ALLOCATED, allocated)
    if gt_u(allocated, load_i32(COLLECT_AT)):
        store_i32(COLLECT, 1)


def allocate_pages(size: i32) -> i32:
    """Allocate an object that has pages of its own."""
    if load_i32(PAGES_END) == 0:
        prepare()
    if size < 0:
        limit(LIMIT_MEMORY)
    count = (size + PAGE_HEAD + PAGE_BYTES - 1) >> 16
    page = take_pages(count)
    store_i32(page, count << 16)
    count_allocated(count << 16)
    return page + PAGE_HEAD


def take_pages(count: i32) -> i32:
    """Return pages in a row, all zero but that the first says how many it stands for."""
    before = FREE_RUNS - 12
    run = load_i32(FREE_RUNS)
    while run != 0 and load_i32(run + 4) < count:
        before = run
        run = load_i32(run + 12)
    if run == 0:
        run = new_pages(count)
    else:
        left = load_i32(run + 4) - count
        rest = load_i32(run + 12)
        if left > 0:
            rest = run + (count << 16)
            store_i32(rest, 0)
            store_i32(rest + 4, left)
            store_i32(rest + 12, load_i32(run + 12))
        store_i32(before + 12, rest)
        memory_fill(run, 0, count << 16)
    store_i32(run + 4, count)
    return run


def new_pages(count: i32) -> i32:
    """Return pages behind all others, which are zero; the memory grows when it has to."""
    start = load_i32(PAGES_END)
    end = (start >> 16 & 65535) + count
    have = memory_size()
    if end > 65535:
        limit(LIMIT_MEMORY)
    if end > have:
        if memory_grow(end - have + GROWN_PAGES) == -1 and memory_grow(end - have) == -1:
            limit(LIMIT_MEMORY)
        store_i32(PEAK_PAGES, memory_size())
    store_i32(PAGES_END, end << 16)
    return start
