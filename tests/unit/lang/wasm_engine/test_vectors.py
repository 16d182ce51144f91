"""Vectors are what they should be, whatever was made of them before and after, and keep no more than they have to."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest
from tests.unit.lang.wasm_engine.harness import Guest

from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.layout import LIST, VECTOR

SIZES = (0, 1, 2, 31, 32, 33, 63, 64, 65, 96, 1023, 1024, 1025, 1056, 1057, 2100)


class Versions:
    """Random versions of vectors of small integers, each with the list it should be."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.guest = Guest()
        self.serial = 0
        self.known: list[tuple[int, list[int]]] = [(self.made([]), [])]

    def made(self, items: list[int]) -> int:
        """Return a new vector."""
        return self.guest.word(tuple(items))

    def item(self) -> int:
        """Return an integer that was not there before."""
        self.serial += 1
        return self.serial

    def call(self, function: str, *arguments: int) -> int:
        """Call a function that gives a word."""
        return self.guest.call(function, *arguments) % 2**64

    def check(self, word: int, items: list[int]) -> None:
        """See that a vector has the elements it should, from outside and one by one."""
        assert self.guest.value(word) == tuple(items)
        for index in self.chance.sample(range(len(items)), min(len(items), 10)):
            assert self.call("vector_at", word, index) == boxed(items[index])
            run = self.guest.call("run_of", word, index)
            assert 1 <= run <= len(items) - index
            last = self.guest.call("place_of", word, index) + 8 * (run - 1)
            assert self.guest.memory.read(self.guest.store, last, last + 8) == boxed(items[index + run - 1]).to_bytes(
                8, "little"
            )

    def turn(self) -> None:
        """Make a version of one that is known, mostly of a young one."""
        word, items = self.known[-1] if self.chance.random() < 0.7 else self.chance.choice(self.known)
        change = self.chance.choice(CHANGES)
        made = change(self, word, list(items))
        self.check(*made)
        self.known.append(made)
        if len(self.known) > 40:
            del self.known[self.chance.randrange(40)]


def boxed(number: int) -> int:
    """Return the word of a small integer."""
    return number << 1 | 1


def _push(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    for _ in range(v.chance.choice((1, 2, 33, 100, 1100))):
        items.append(v.item())
        word = v.call("vector_push", word, boxed(items[-1]))
    return word, items


def _prepend(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    for _ in range(v.chance.choice((1, 2, 33, 100, 1100))):
        items.insert(0, v.item())
        word = v.call("vector_prepend", word, boxed(items[0]))
    return word, items


def _set(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    for index in v.chance.sample(range(len(items)), min(len(items), 5)):
        items[index] = v.item()
        word = v.call("vector_set", word, index, boxed(items[index]))
    return word, items


def _drop(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    for _ in range(min(len(items), v.chance.choice((1, 3, 40, 700)))):
        word = v.call("vector_drop", word, 1)
        del items[0]
    return word, items


def _pop(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    for _ in range(min(len(items), v.chance.choice((1, 3, 40, 700)))):
        word = v.call("vector_pop", word)
        items.pop()
    return word, items


def _slice(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    start = v.chance.randint(0, len(items))
    stop = v.chance.randint(start, len(items))
    return v.call("vector_slice", word, start, stop, VECTOR), items[start:stop]


def _concat(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    other, more = v.chance.choice(v.known)
    if len(items) + len(more) > 5_000:
        return word, items
    return v.call("vector_concat", word, other, VECTOR), items + more


def _reverse(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    return v.call("vector_reverse", word, VECTOR), items[::-1]


def _queue(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    for _ in range(v.chance.choice((10, 100, 1100))):
        items.append(v.item())
        word = v.call("vector_drop", v.call("vector_push", word, boxed(items[-1])), 1)
        del items[0]
    return word, items


def _stack(v: Versions, word: int, items: list[int]) -> tuple[int, list[int]]:
    for _ in range(v.chance.choice((10, 100, 400))):
        items.insert(0, v.item())
        word = v.call("vector_prepend", word, boxed(items[0]))
        if v.chance.random() < 0.7:
            word = v.call("vector_drop", word, 1)
            del items[0]
    return word, items


def _fresh(v: Versions, _word: int, _items: list[int]) -> tuple[int, list[int]]:
    items = [v.item() for _ in range(v.chance.choice(SIZES))]
    return v.made(items), items


CHANGES: tuple[Callable[[Versions, int, list[int]], tuple[int, list[int]]], ...] = (
    _push, _push, _prepend, _prepend, _set, _drop, _pop, _slice, _concat, _reverse, _queue, _stack, _fresh,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(6))
def test_every_version_stays_what_it_was(seed: int) -> None:
    versions = Versions(seed)
    for turn in range(120):
        versions.turn()
        if turn % 20 == 0:
            for word, items in versions.known:
                versions.check(word, items)


@pytest.mark.parametrize("size", SIZES)
def test_two_versions_of_one_do_not_disturb_each_other(size: int) -> None:
    versions = Versions(0)
    items = list(range(size))
    word = versions.made(items)
    pushed = [versions.call("vector_push", word, boxed(-item % 2**61)) for item in (1, 2)]
    prepended = [versions.call("vector_prepend", word, boxed(item)) for item in (7, 8)]
    longer = [versions.call("vector_prepend", each, boxed(9)) for each in prepended]
    assert [versions.guest.value(each) for each in prepended] == [(7, *items), (8, *items)]
    assert [versions.guest.value(each) for each in longer] == [(9, 7, *items), (9, 8, *items)]
    assert [versions.guest.value(each)[:size] for each in pushed] == [tuple(items)] * 2
    assert versions.guest.value(pushed[0])[-1] != versions.guest.value(pushed[1])[-1]
    assert versions.guest.value(word) == tuple(items)


@pytest.mark.parametrize("function", ["vector_push", "vector_prepend"])
def test_building_takes_memory_for_each_element_only(function: str) -> None:
    guest = Guest()
    word = guest.word(())
    before = guest.memory.size(guest.store)
    for item in range(30_000):
        word = guest.call(function, word, boxed(item)) % 2**64
    # A header of 32 bytes and a slot, and the nodes above: far less than copying anything that grows
    assert (guest.memory.size(guest.store) - before) * layout.PAGE < 30_000 * 64


@pytest.mark.parametrize("keep", ["front", "back", "middle"])
def test_a_small_part_does_not_keep_a_large_vector_alive(keep: str) -> None:
    guest = Guest()
    word = guest.word(tuple(range(200_000)))
    start = {"front": 0, "back": 199_900, "middle": 100_000}[keep]
    part = guest.call("vector_slice", word, start, start + 100, VECTOR)
    guest.memory.write(guest.store, part.to_bytes(8, "little"), layout.STACK_START)
    guest.set_i32(layout.SP, layout.STACK_START + 8)
    guest.call("collect")
    before = guest.memory.size(guest.store)
    guest.word(tuple(range(190_000)))
    assert guest.memory.size(guest.store) == before
    assert guest.value(part) == tuple(range(start, start + 100))


def test_a_part_can_be_a_list() -> None:
    guest = Guest()
    part = guest.value(guest.call("vector_slice", guest.word((1, 2, 3)), 1, 3, LIST))
    assert (type(part).__name__, part) == ("List", (2, 3))
