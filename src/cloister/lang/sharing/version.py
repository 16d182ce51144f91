"""What the versions of growing vectors and maps have in common: who holds the store, and how another gets it.

Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Any, Final

from cloister.lang.stdlib.budget import SLOT_BYTES, current, size_error
from cloister.lang.values import Growing, settled

GROWING_MIN: Final = 32
"""Collections up to this size are copied; that is faster than sharing."""

CUT: Final = object()
"""Undo: forget everything from the place on; in a map, forget the key, which is the last one."""

NOTHING: Final = object()
"""Undo: the store is the same, only other parts of it count."""


class Version(Growing):
    """One version of a growing collection, on a path of links to the version that holds the store."""

    __slots__ = ("content", "newer", "place", "restored", "store")
    store: Any  # what holds the elements; None when a newer version has it
    newer: Any  # the next version on the way to the store
    place: Any  # where to change the newer version's store to get this one's
    content: Any  # what to put there
    restored: int  # steps spent so far on taking the store over

    def _reach(self) -> Any:
        store = self.store
        return self._restore() if store is None else store

    def _restore(self) -> Any:
        path: list[Version] = []
        holder: Version = self
        while holder.store is None:
            path.append(holder)
            holder = holder.newer
        budget = current()
        budget.charge_steps(len(path))
        self.restored += len(path)
        if holder.owns() and self.restored <= len(self):
            for version in reversed(path):
                version.take_over()
            return self.store
        budget.charge_elements(len(holder.store))
        store = holder.copied()
        for version in reversed(path):
            version.undo(store)
        self.hold(store)
        return store

    def take_over(self) -> None:
        """Get the store from the next version, which becomes the older one of the two."""
        newer = self.newer
        store = newer.store
        newer.place, newer.content = self.undo(store)
        newer.store, newer.newer = None, self
        self.hold(store)

    def hold(self, store: Any) -> None:
        """Become the version that has the store."""
        self.store, self.newer, self.place, self.content = store, None, None, None

    def _follow(self, newer: Version, place: Any, content: Any) -> None:
        """Become older: the store now belongs to `newer`, and this undoes the change."""
        self.store, self.newer, self.place, self.content = None, newer, place, content

    def owns(self) -> bool:
        """Say whether the store may be changed; a settled one may not."""
        raise NotImplementedError

    def copied(self) -> Any:
        """Return a store with the same content, which may be changed."""
        raise NotImplementedError

    def undo(self, store: Any) -> tuple[Any, Any]:
        """Make this version's store of the newer one's, and return what undoes that."""
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def __eq__(self, other: object) -> bool:
        return bool(self.settled() == settled(other))

    def __hash__(self) -> int:
        return hash(self.settled())

    def __repr__(self) -> str:
        return repr(self.settled())


def charge_growth(length: int, added: int) -> None:
    """Ask for a collection of `length` elements of which `added` are new: spends a step for each new one.

    Raises:
        LimitExceeded: `limit.value` or `limit.steps`.
    """
    budget = current()
    if length * SLOT_BYTES > budget.value_bytes:
        raise size_error(length * SLOT_BYTES, budget.value_bytes)
    budget.charge_steps(added)
