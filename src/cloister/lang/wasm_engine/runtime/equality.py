"""When two values are the same, as `=` says.

Owns it without recursion. Nothing is the same because it is the same object: what holds NaN does not equal itself.
"""

from __future__ import annotations

from cloister.lang.wasm_engine.dialect.words import (
    i32,
    i64,
    load_f64,
    load_i32,
    load_i64,
    store_i32,
    store_i64,
    wrap,
)
from cloister.lang.wasm_engine.layout import (
    BIGINT,
    BUILTIN,
    ERROR,
    FLOAT,
    KEYWORD,
    LIST,
    MAP,
    ROPE,
    STRING,
    SYMBOL,
    VECTOR,
    WIDE_MAP,
    WORK_TOP,
)
from cloister.lang.wasm_engine.runtime.base import kind_of
from cloister.lang.wasm_engine.runtime.maps import map_count, map_end, map_entry, map_find
from cloister.lang.wasm_engine.runtime.scratch import pop_work, push_work, top_work
from cloister.lang.wasm_engine.runtime.texts import same_name, same_text
from cloister.lang.wasm_engine.runtime.vectors import place_of, run_of, vector_count

NO_GROUP = 0
SEQUENCES = 1
MAPS = 2


def same(left: i64, right: i64) -> i32:
    """Say whether two values are the same."""
    if wrap(left) & 1:
        return left == right
    group = group_of(left)
    if group == NO_GROUP:
        return same_atoms(left, right)
    return group_of(right) == group and same_trees(left, right)


def differ(left: i64, right: i64) -> i32:
    """Say whether two values are not the same."""
    return not same(left, right)


def same_three(first: i64, second: i64, third: i64) -> i32:
    """Say whether two values are the same as the first."""
    return same(first, second) and same(first, third)


def group_of(value: i64) -> i32:
    """Return of which group of collections a value is, those that can be the same; 0 for what is no collection."""
    kind = kind_of(value)
    if kind == VECTOR or kind == LIST:
        return SEQUENCES
    return MAPS if kind == MAP or kind == WIDE_MAP else NO_GROUP


def same_atoms(left: i64, right: i64) -> i32:
    """Say whether a value that is no collection is the same as another."""
    kind = kind_of(left)
    other = kind_of(right)
    if kind == KEYWORD or kind == SYMBOL:
        return kind == other and same_name(left, right)
    if kind == STRING or kind == ROPE:
        return (other == STRING or other == ROPE) and same_text(left, right)
    if kind == FLOAT:
        return other == FLOAT and load_f64(wrap(left) + 8) == load_f64(wrap(right) + 8)
    if left == right:
        return 1
    if kind == 0 or kind != other:
        return 0
    return same_rare(wrap(left), wrap(right), kind)


def same_rare(left: i32, right: i32, kind: i32) -> i32:
    """Say whether two objects of a kind without a test of its own are the same."""
    if kind == BIGINT:
        return load_i64(left + 8) == load_i64(right + 8)
    if kind == BUILTIN:
        return load_i32(left + 8) == load_i32(right + 8)
    return kind == ERROR and same_text(load_i64(left + 8), load_i64(right + 8))


def same_trees(left: i64, right: i64) -> i32:
    """Say whether two collections of one group are the same.

    On the work stack are the pairs of collections that are still to be compared.
    """
    base = load_i32(WORK_TOP)
    push_pair(left, right)
    while load_i32(WORK_TOP) > base:
        pair = top_work(16)
        mine = load_i64(pair)
        theirs = load_i64(pair + 8)
        pop_work(16)
        if not same_parts(mine, theirs):
            store_i32(WORK_TOP, base)
            return 0
    return 1


def push_pair(left: i64, right: i64) -> None:
    """Have two collections of one group compared."""
    pair = push_work(16)
    store_i64(pair, left)
    store_i64(pair + 8, right)


def same_parts(left: i64, right: i64) -> i32:
    """Compare the parts of two collections of one group; what are collections themselves is put on the work stack."""
    if group_of(left) == MAPS:
        return map_count(left) == map_count(right) and same_entries(left, right)
    count = vector_count(left)
    if count != vector_count(right):
        return 0
    index = 0
    while index < count:
        run = run_of(left, index)
        other = run_of(right, index)
        if other < run:
            run = other
        if not same_words(place_of(left, index), place_of(right, index), run):
            return 0
        index += run
    return 1


def same_words(left: i32, right: i32, count: i32) -> i32:
    """Compare values in a row."""
    end = left + (count << 3)
    while left != end:
        if not same_part(load_i64(left), load_i64(right)):
            return 0
        left += 8
        right += 8
    return 1


def same_part(left: i64, right: i64) -> i32:
    """Compare two values; have them compared later when they are collections of one group."""
    if wrap(left) & 1:
        return left == right
    group = group_of(left)
    if group == NO_GROUP:
        return same_atoms(left, right)
    if group_of(right) != group:
        return 0
    push_pair(left, right)
    return 1


def same_entries(left: i64, right: i64) -> i32:
    """Compare two maps with as many entries: whether the second has all keys of the first, with the same values."""
    end = map_end(left)
    place = 0
    while place < end:
        mine = map_entry(left, place)
        if mine != 0:
            theirs = map_find(right, load_i64(mine))
            if theirs == 0:
                return 0
            if not same_part(load_i64(mine + 8), load_i64(theirs + 8)):
                return 0
        place += 1
    return 1
