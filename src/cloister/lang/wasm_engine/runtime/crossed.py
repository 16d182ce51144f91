"""What has crossed in the crossing that is under way: things by their numbers, and numbers by address.

Owns how parts that are shared stay so while they cross; see `layout.CROSS_SHARED`. Nothing is collected meanwhile, so
an address stands for one object; between crossings what is here says nothing.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import gt_u, i32, load_i32, lt_u, memory_fill, shr_u, store_i32
from cloister.lang.wasm_engine.layout import (
    CROSS_AT,
    CROSS_PLAIN_BYTES,
    CROSSED,
    CROSSED_BYTES,
    CROSSED_COUNT,
    PLACES,
    PLACES_BYTES,
    PLACES_END,
)
from cloister.lang.wasm_engine.runtime.scratch import moved

PLACES_MIN = 2048
SPREAD = -1640531535  # 2**32 over the golden ratio, odd: neighbours come to lie far apart


def begin_crossing() -> None:
    """Forget what has crossed."""
    store_i32(CROSSED_COUNT, 0)
    store_i32(PLACES_END, 0)


def add_crossed(address: i32) -> i32:
    """Give what begins to cross the next number, and return it."""
    number = load_i32(CROSSED_COUNT)
    end = (number << 2) + 4
    if gt_u(end, load_i32(CROSSED_BYTES)):
        moved(CROSSED, end)
    store_i32(load_i32(CROSSED) + end - 4, address)
    store_i32(CROSSED_COUNT, number + 1)
    return number


def crossed(number: i32) -> i32:
    """Return the address of what has a number; 0 when it is not whole yet."""
    return load_i32(load_i32(CROSSED) + (number << 2))


def set_crossed(number: i32, address: i32) -> None:
    """Say what has a number, now that it is whole."""
    store_i32(load_i32(CROSSED) + (number << 2), address)


def crossed_before(address: i32) -> i32:
    """Return the number of an object that is about to be written; -1 when it had none, it has the next one then."""
    if load_i32(CROSS_AT) <= CROSS_PLAIN_BYTES:
        add_crossed(address)
        return -1
    if load_i32(PLACES_END) <= load_i32(CROSSED_COUNT) << 3:
        find_places()
    place = place_for(address)
    number = load_i32(place) - 1
    if number < 0:
        store_i32(place, add_crossed(address) + 1)
    return number


def place_for(address: i32) -> i32:
    """Return where the table has, or would have, the number of an object, plus 1."""
    table = load_i32(PLACES)
    end = load_i32(PLACES_END)
    mixed = address * SPREAD
    offset = ((mixed ^ shr_u(mixed, 15)) << 2) & end
    while True:
        number = load_i32(table + offset)
        if number == 0 or crossed(number - 1) == address:
            return table + offset
        offset = (offset + 4) & end


def find_places() -> None:
    """Make the table anew, with four places for everything that has crossed; of equals the first keeps its number."""
    count = load_i32(CROSSED_COUNT)
    size = PLACES_MIN
    while lt_u(size, count << 4):
        size <<= 1
    if lt_u(load_i32(PLACES_BYTES), size):
        moved(PLACES, size)
    memory_fill(load_i32(PLACES), 0, size)
    store_i32(PLACES_END, size - 4)
    number = 0
    while number < count:
        place = place_for(crossed(number))
        if load_i32(place) == 0:
            store_i32(place, number + 1)
        number += 1
