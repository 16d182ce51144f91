"""Growing maps; see the package.

Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, Sequence
from typing import Any

from cloister.lang.sharing.version import CUT, Version, charge_growth
from cloister.lang.stdlib.budget import current
from cloister.lang.values import Map, Value
from cloister.lang.wide_map import WIDE_MIN, WideMap, copy_map


class GrowingMap(Version):
    """A map of which other versions exist, with its keys in the order they were added.

    Args:
        store: The entries.
        is_shared: Whether others can see them, so that they may not be changed.
    """

    __slots__ = ("_is_shared", "_length")

    def __init__(self, store: Map, *, is_shared: bool) -> None:
        self.hold(store)
        self.restored = 0
        self._is_shared = is_shared
        self._length = len(store)

    def __len__(self) -> int:
        return self._length

    def __contains__(self, key: Value) -> bool:
        return key in self._reach()

    def __getitem__(self, key: Value) -> Value:
        return self._reach()[key]

    def __iter__(self) -> Iterator[Value]:
        return iter(self.settled())

    def get(self, key: Value, default: Value = None) -> Value:
        """Return the value of a key, or the default."""
        return self._reach().get(key, default)

    def items(self) -> ItemsView[Value, Value]:
        """Return the entries, settled."""
        return self.settled().items()

    @property
    def kind(self) -> str:
        """Always `map`."""
        return "map"

    def settled(self) -> Map:
        """Return the equal `Map`; nothing is copied, but the next version made of this one will be."""
        store: Map = self._reach()
        self._is_shared = True
        return store

    def with_entry(self, key: Value, value: Value) -> GrowingMap:
        """Return the version with one entry set; a new key comes last."""
        store = self._changeable(key)
        if store is None:
            current().charge_elements(self._length + 1)
            return GrowingMap(copy_map(self.store), is_shared=False).with_entry(key, value)
        old = store.get(key, CUT)
        charge_growth(self._length + 1, 1)
        store[key] = value
        newer = GrowingMap(store, is_shared=False)
        self._follow(newer, key, old)
        return newer

    def without(self, keys: Sequence[Value]) -> GrowingMap:
        """Return the version without some keys.

        Cost:
            One step for a key that was added last, otherwise one for each entry of the map.
        """
        store: Map = self._reach()
        gone = [key for key in keys if key in store]
        current().charge_steps(len(keys))
        if not gone:
            return self
        if len(gone) == 1 and not self._is_shared and next(reversed(store)) == gone[0]:
            old = store.pop(gone[0])
            newer = GrowingMap(store, is_shared=False)
            self._follow(newer, gone[0], old)
            return newer
        current().charge_elements(self._length)
        rest = copy_map(store)
        for key in gone:
            rest.pop(key, None)
        return GrowingMap(rest, is_shared=False)

    def _changeable(self, key: Value) -> Map | None:
        """Return the store to put a key into, or None when it may not be changed."""
        store: Map = self._reach()
        if self._is_shared:
            return None
        if type(key) is int and len(store) >= WIDE_MIN and type(store) is Map:
            current().charge_elements(len(store))
            store = self.store = WideMap(store.items())
        return store

    def owns(self) -> bool:
        """Say whether nobody else has seen the entries."""
        return not self._is_shared

    def copied(self) -> Map:
        """Return a map with the entries of the store."""
        return copy_map(self.store)

    def hold(self, store: Any) -> None:
        """Become the version that has the entries, alone."""
        super().hold(store)
        self._is_shared = False

    def undo(self, store: Map) -> tuple[Value, object]:
        """Make this version's entries of the newer one's, and return what undoes that."""
        key, content = self.place, self.content
        old = store.get(key, CUT)
        if content is CUT:
            del store[key]
        else:
            store[key] = content
        return key, old


def growing_map(entries: Map | GrowingMap) -> GrowingMap:
    """Return a map in the form that shares its entries."""
    return entries if isinstance(entries, GrowingMap) else GrowingMap(entries, is_shared=True)
