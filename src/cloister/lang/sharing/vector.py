"""Growing vectors and lists; see the package.

Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cloister.lang.sharing.version import CUT, GROWING_MIN, NOTHING, Version, charge_growth
from cloister.lang.stdlib.budget import current
from cloister.lang.values import List, Value


class GrowingVector(Version):
    """A vector or list of which other versions exist.

    Its elements are a part of the store: a list up to its end, or a tuple that several versions look at.

    Args:
        store: What holds the elements.
        start: Where they begin.
        length: How many there are.
        sequence: The plain class, `tuple` or `List`.
    """

    __slots__ = ("_length", "_plain", "_sequence", "_start")

    def __init__(self, store: Any, start: int, length: int, sequence: type[tuple[Any, ...]]) -> None:
        self.hold(store)
        self.restored = 0
        self._start = start
        self._length = length
        self._sequence = sequence
        self._plain: tuple[Value, ...] | None = None

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> Value:
        if not -self._length <= index < self._length:
            raise IndexError(index)
        return self._reach()[self._start + (index if index >= 0 else index + self._length)]

    def __iter__(self) -> Iterator[Value]:
        return iter(self.settled())

    @property
    def kind(self) -> str:
        """`vector` or `list`."""
        return "list" if self._sequence is List else "vector"

    def settled(self) -> tuple[Any, ...]:
        """Return the equal tuple or `List`."""
        plain = self._plain
        if plain is None:
            store = self._reach()
            current().charge_elements(self._length)
            if type(store) is list:
                store = self.store = tuple(store)
            is_whole = self._length == len(store) and type(store) is self._sequence
            plain = self._plain = store if is_whole else self._sequence(store[self._start : self._start + self._length])
        return plain

    def appended(self, more: Sequence[Value]) -> GrowingVector:
        """Return the version with elements added at the end."""
        store = self._reach()
        end = self._start + self._length
        if type(store) is not list:
            charge_growth(self._length + len(more), self._length + len(more))
            return self._fresh([*store[self._start : end], *more], 0)
        charge_growth(self._length + len(more), len(more))
        newer = GrowingVector(store, self._start, self._length + len(more), self._sequence)
        store.extend(more)
        self._follow(newer, end, CUT)
        return newer

    def prepended(self, item: Value) -> GrowingVector:
        """Return the version with an element added at the beginning."""
        store = self._reach()
        end = self._start + self._length
        if type(store) is not list or self._start == 0:
            # Room for as many elements as there are, so that copying for room costs one step for each on average.
            charge_growth(self._length + 1, 2 * self._length)
            room = self._length
            return self._fresh([*[None] * (room - 1), item, *store[self._start : end]], room - 1)
        charge_growth(self._length + 1, 1)
        place = self._start - 1
        newer = GrowingVector(store, place, self._length + 1, self._sequence)
        old, store[place] = store[place], item
        self._follow(newer, place, old)
        return newer

    def replaced(self, index: int, item: Value) -> GrowingVector:
        """Return the version with another element at an index, which must exist."""
        store = self._reach()
        if type(store) is not list:
            current().charge_elements(self._length)
            fresh = self._fresh(list(store[self._start : self._start + self._length]), 0)
            return fresh.replaced(index, item)
        current().charge_steps(1)
        place = self._start + index
        newer = GrowingVector(store, self._start, self._length, self._sequence)
        old, store[place] = store[place], item
        self._follow(newer, place, old)
        return newer

    def dropped(self, count: int) -> Value:
        """Return the version without its first elements, of which it must have as many."""
        store, left = self._reach(), self._length - count
        start = self._start + count
        current().charge_steps(1)
        if left <= GROWING_MIN:
            return self._sequence(store[start : start + left])
        if type(store) is not list:
            return GrowingVector(store, start, left, self._sequence)
        if start > left:  # more is kept than counts
            current().charge_elements(left)
            return self._fresh(store[start:], 0)
        newer = GrowingVector(store, start, left, self._sequence)
        self._follow(newer, 0, NOTHING)
        return newer

    def popped(self) -> Value:
        """Return the version without its last element, which it must have."""
        store, left = self._reach(), self._length - 1
        current().charge_steps(1)
        if left <= GROWING_MIN:
            return self._sequence(store[self._start : self._start + left])
        newer = GrowingVector(store, self._start, left, self._sequence)
        if type(store) is list:
            last = store.pop()
            self._follow(newer, self._start + left, (last,))
        return newer

    def _fresh(self, store: list[Value], start: int) -> GrowingVector:
        return GrowingVector(store, start, len(store) - start, self._sequence)

    def owns(self) -> bool:
        """Say whether the store is a list of this version alone."""
        return type(self.store) is list

    def copied(self) -> list[Value]:
        """Return a list with the elements of the store."""
        return list(self.store)

    def undo(self, store: list[Value]) -> tuple[int, object]:
        """Make this version's list of the newer one's, and return what undoes that."""
        place, content = self.place, self.content
        if content is NOTHING:
            return 0, NOTHING
        if content is CUT:
            added = tuple(store[place:])
            del store[place:]
            return place, added
        if place == len(store):
            store.extend(content)
            return place, CUT
        old, store[place] = store[place], content
        return place, old


def growing_vector(items: tuple[Value, ...] | GrowingVector) -> GrowingVector:
    """Return a sequence in the form that shares its elements."""
    if isinstance(items, GrowingVector):
        return items
    return GrowingVector(items, 0, len(items), List if isinstance(items, List) else tuple)
