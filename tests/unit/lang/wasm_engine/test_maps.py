"""Maps are what they should be, whatever was made of them before and after, whoever chose the keys."""

from __future__ import annotations

import random

import pytest
from tests.unit.lang.wasm_engine.harness import Guest

from cloister.lang.values import INT_MAX, INT_MIN, Keyword, Map, Value
from cloister.lang.wide_map import map_of


def _key(chance: random.Random, most: int) -> Value:
    number = chance.randrange(most)
    return chance.choice(
        (
            number, -number, number << 32, (number % 4) << 61, INT_MIN + number, INT_MAX - number, f"k{number}",
            f"é{number}", f"{number}", Keyword(f"k{number}"), Keyword(f"n-{number}"), "x" * number,
        )
    )  # fmt: skip


class Versions:
    """Random versions of maps, each with the map it should be."""

    def __init__(self, seed: int) -> None:
        self.chance = random.Random(seed)
        self.guest = Guest()
        self.known: list[tuple[int, Map]] = [(self.guest.word(Map()), Map())]

    def check(self, word: int, entries: Map, keys: int) -> None:
        """See that a map has the entries it should, in their order, and no others."""
        assert list(self.guest.value(word).items()) == list(entries.items())
        assert [type(key) for key in self.guest.value(word)] == [type(key) for key in entries]
        assert self.guest.call("map_count", word) == len(entries)
        for key in [*self.chance.sample(list(entries), min(len(entries), 5)), _key(self.chance, keys)]:
            got = self.guest.call("map_get", word, self.guest.word(key), 2)
            assert self.guest.value(got) == entries.get(key)
            assert bool(self.guest.call("map_has", word, self.guest.word(key))) == (key in entries)

    def turn(self) -> None:
        """Make a version of one that is known, mostly of the youngest."""
        word, entries = self.known[-1] if self.chance.random() < 0.75 else self.chance.choice(self.known)
        keys = self.chance.choice((4, 20, 200))
        change = self.chance.choice(("set", "set", "remove", "both", "both", "join", "fresh"))
        entries = Map(entries)
        if change == "join":
            other, more = self.chance.choice(self.known)
            word = self.guest.call("map_with_all", word, other)
            entries.update(more)
        elif change == "fresh":
            pairs = [(_key(self.chance, keys), index) for index in range(self.chance.choice((0, 1, 7, 8, 9, 40)))]
            entries = map_of([key for key, _ in pairs], [item for _, item in pairs])
            word = self.guest.word(entries)
        else:
            for _ in range(self.chance.choice((1, 1, 5, 50, 200))):
                word = self.step(change, word, entries, keys)
        self.check(word, entries, keys)
        self.known.append((word, entries))
        if len(self.known) > 30:
            del self.known[self.chance.randrange(30)]

    def step(self, change: str, word: int, entries: Map, keys: int) -> int:
        """Set or remove one key."""
        key = _key(self.chance, keys)
        if change == "set" or (change == "both" and self.chance.random() < 0.5):
            entries[key] = item = self.chance.randrange(100)
            return int(self.guest.call("map_set", word, self.guest.word(key), item << 1 | 1))
        if self.chance.random() < 0.7 and entries:
            key = self.chance.choice(list(entries))
        entries.pop(key, None)
        return int(self.guest.call("map_without", word, self.guest.word(key)))


@pytest.mark.parametrize("seed", range(6))
def test_every_version_stays_what_it_was(seed: int) -> None:
    versions = Versions(seed)
    for turn in range(120):
        versions.turn()
        if turn % 20 == 0:
            for word, entries in versions.known:
                versions.check(word, entries, 20)


def test_keys_of_different_kinds_are_different_keys() -> None:
    guest = Guest()
    entries = Map({1: "integer", "1": "text", Keyword("a"): "keyword", "a": "name", ":a": "spelled", 2**62: "big"})
    word = guest.word(entries)
    for key, item in entries.items():
        assert guest.value(guest.call("map_get", word, guest.word(key), 2)) == item
    for key in (0, "b", Keyword("b"), Keyword("1"), -(2**62) - 1, "2"):
        assert not guest.call("map_has", word, guest.word(key))


@pytest.mark.parametrize("size", [3, 8, 9, 500])
def test_a_key_that_comes_back_comes_last(size: int) -> None:
    guest = Guest()
    word = guest.word(Map(dict.fromkeys(range(size), 0)))
    word = guest.call("map_set", word, guest.word(1), 3)
    assert list(guest.value(word)) == list(range(size))
    word = guest.call("map_without", word, guest.word(0))
    word = guest.call("map_set", word, guest.word(0), 3)
    assert list(guest.value(word)) == [*range(1, size), 0]


@pytest.mark.parametrize("stride", [1, 1 << 16, 1 << 31, 1 << 32, (1 << 32) + 1, 1 << 40])
def test_no_choice_of_integers_makes_a_map_slow(stride: int) -> None:
    guest = Guest()
    word = guest.word(Map())
    for number in range(4_000):
        word = guest.call("map_set", word, (number * stride % 2**60) << 1 | 1, 3)
    longest = 0
    store = int.from_bytes(guest.memory.read(guest.store, word + 12, word + 16), "little")
    index = int.from_bytes(guest.memory.read(guest.store, store + 12, store + 16), "little")
    size = guest.get_i32(index + 4)
    slots = guest.memory.read(guest.store, index + 16, index + 16 + size)
    run = 0
    for at in range(0, size, 4):
        run = run + 1 if any(slots[at : at + 4]) else 0
        longest = max(longest, run)
    assert longest < 120  # random hashes at this load: about 30; keys that lead to one row: thousands
