"""The collector: marks what is alive, and lets the allocator have all other memory again. Nothing moves.

Owns what the roots are, what becomes of pages without anything alive, and when the next collection is due.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    gt_u,
    i32,
    load_i32,
    load_i64,
    load_u8,
    lt_u,
    memory_fill,
    store_i32,
    wrap,
)
from cloister.lang.wasm_engine.layout import (
    ALLOCATOR,
    BUFFER,
    BUFFER_BYTES,
    CELL,
    COLLECT,
    CROSSED,
    CROSSED_BYTES,
    ERROR_WORD,
    HEAP,
    HELD,
    PAGES_MAX,
    PLACES,
    PLACES_BYTES,
    ROOTS,
    ROOTS_END,
    SP,
    STACK_START,
    WORK,
    WORK_BYTES,
    WORK_TOP,
)
from cloister.lang.wasm_engine.runtime.marking import (
    PENDING,
    PENDING_BYTES,
    mark,
    mark_pending,
    mark_word,
    mark_words,
)
from cloister.lang.wasm_engine.runtime.memory import (
    ALLOCATED,
    CLASSES_END,
    COLLECT_AT,
    COLLECT_MIN,
    EPOCH,
    FREE_RUNS,
    LIVE,
    PAGE_HEAD,
    PAGES_END,
    prepare,
)

KEPT_MAX = 1048576
LATER = 1048576


def collect() -> None:
    """Free what can be reached neither from the stack of words nor from the roots of the plan."""
    if load_i32(PAGES_END) == 0:
        prepare()
    if load_i32(HELD) != 0:
        store_i32(COLLECT_AT, load_i32(ALLOCATED) + LATER)
        store_i32(COLLECT, 0)
        return
    epoch = load_i32(EPOCH)
    store_i32(EPOCH, epoch + 1 if epoch < 255 else 1)
    store_i32(LIVE, 0)
    mark_roots()
    mark_scratch(PENDING, PENDING_BYTES)
    sort_pages()
    store_i32(COLLECT, 0)
    store_i32(ALLOCATED, 0)
    store_i32(COLLECT_AT, allowance(load_i32(LIVE)))


def mark_roots() -> None:
    """Mark what is alive."""
    mark_words(STACK_START, (load_i32(SP) - STACK_START) >> 3)
    mark_pending()
    mark_static(load_i32(ROOTS), load_i32(ROOTS_END))
    mark_word(load_i64(ERROR_WORD))
    mark_pending()
    mark_scratch(BUFFER, BUFFER_BYTES)
    mark_scratch(CROSSED, CROSSED_BYTES)
    mark_scratch(PLACES, PLACES_BYTES)
    if load_i32(WORK_TOP) == 0:
        mark_scratch(WORK, WORK_BYTES)
    elif load_i32(WORK) != 0:
        mark(load_i32(WORK) - 16)


def mark_static(address: i32, end: i32) -> None:
    """Mark what the words of the plan keep alive; of the static objects only cells refer to the heap."""
    while lt_u(address, end):
        word = load_i64(address)
        mark_word(word)
        if (wrap(word) & 7) == 0 and lt_u(wrap(word), load_i32(HEAP)) and load_u8(wrap(word)) == CELL:
            mark_word(load_i64(wrap(word) + 8))
        address += 8


def mark_scratch(cell: i32, size: i32) -> None:
    """Keep memory that only a cell refers to; let it go when it has become large."""
    if gt_u(load_i32(size), KEPT_MAX):
        store_i32(cell, 0)
        store_i32(size, 0)
    elif load_i32(cell) != 0:
        mark(load_i32(cell) - 16)


def sort_pages() -> None:
    """Free the pages in which nothing is alive, and give every class those that are left, to look through again."""
    forget_pages()
    epoch = load_i32(EPOCH)
    last = FREE_RUNS - 12
    page = load_i32(HEAP)
    end = load_i32(PAGES_END)
    while page != end:
        count = load_i32(page + 4)
        size = load_i32(page)
        if size != 0 and load_i32(page + 8) == epoch:
            if (size & 65535) != 0:
                add_page(page, size)
        else:
            last = free_pages(page, count, last)
        page += count << 16


def forget_pages() -> None:
    """Take all pages from all classes, and all free ones from their list."""
    index = 1
    while index < CLASSES_END:
        cell = ALLOCATOR + (index << 5)
        memory_fill(cell, 0, 8)
        memory_fill(cell + 12, 0, 12)
        index += 1
    store_i32(FREE_RUNS, 0)


def add_page(page: i32, size: i32) -> None:
    """Give a page to the class of its blocks."""
    cell = ALLOCATOR + (size << 1)
    if size > 512:
        cell = ALLOCATOR + 1056
        while load_i32(cell + 8) != size:
            cell += 32
    store_i32(page + 12, load_i32(cell + 20))
    store_i32(cell + 20, page)
    store_i32(cell + 12, page)
    store_i32(cell + 16, page + PAGE_HEAD)


def free_pages(page: i32, count: i32, last: i32) -> i32:
    """Add pages to the free ones, to the last run if they lie behind it; return what is the last run then."""
    if last + (load_i32(last + 4) << 16) == page and load_i32(FREE_RUNS) != 0:
        store_i32(last + 4, load_i32(last + 4) + count)
        return last
    store_i32(page, 0)
    store_i32(page + 4, count)
    store_i32(page + 12, 0)
    store_i32(last + 12, page)
    return page


def allowance(live: i32) -> i32:
    """Return how much may be allocated until the next collection: as much as is alive, less when memory runs short."""
    most = COLLECT_MIN if lt_u(live, COLLECT_MIN) else live
    pages = load_i32(PAGES_MAX)
    if pages == 0:
        return most
    # Half of what is left, because objects of one size cannot go where those of another were
    room = (pages - (load_i32(PAGES_END) >> 16 & 65535) + free_count()) << 15
    if room < LATER:
        room = LATER
    return room if lt_u(room, most) else most


def free_count() -> i32:
    """Return how many pages are free among those that were ever used."""
    count = 0
    run = load_i32(FREE_RUNS)
    while run != 0:
        count += load_i32(run + 4)
        run = load_i32(run + 12)
    return count
