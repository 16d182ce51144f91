"""The stored tree, read so that what it says is proven.

Owns reading nodes downwards from a root that is believed: the stored nodes at the right edge must give that root, and
sixteen nodes below a proven one must give it. So a node that was changed is found when it is read, and what is read is
as good as the root. Stored are leaves and every fourth level; those between are computed.

Cost: a handful of queries for a leaf in a tree of millions, one for each sixteen leaves when they are read in order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from cloister.audit.breaks import BreakReason, broken
from cloister.audit.event import Head
from cloister.audit.merkle import EMPTY_ROOT, HASH_BYTES, Frontier, fold, root_of_peaks, subtrees

BAND_LEVELS: Final = 4
"""Every so many levels one is stored: a sixteenth of the rows of a full tree, for at most 15 hashes computed again."""
BAND_COUNT: Final = 1 << BAND_LEVELS
_BANDS_KEPT_MAX: Final = 4096

Hashes = Callable[[int, int, int], list[Any]]
"""Gives the stored hashes of a level from a position to another; see `ChainStore.hashes`."""


def is_stored(level: int) -> bool:
    """Return whether inner nodes of this level are stored."""
    return level % BAND_LEVELS == 0


class Tree:
    """A tree whose head is believed.

    Args:
        hashes: Reads what is stored.
        head: Size and root, already checked.

    Raises:
        ChainBroken: When the stored nodes do not give this root.
    """

    __slots__ = ("_bands", "_edge", "_hashes", "head", "peaks")

    def __init__(self, hashes: Hashes, head: Head) -> None:
        self.head = head
        self._hashes = hashes
        self._edge: dict[tuple[int, int], list[bytes]] = {}
        self._bands: dict[tuple[int, int], list[bytes]] = {}
        self.peaks = self._read_edge()
        if (root_of_peaks(self.peaks) if self.peaks else EMPTY_ROOT) != head.root:
            raise broken(
                head.count - 1, BreakReason.TREE_MISMATCH, "the stored tree does not end in its head", proven_count=0
            )

    def _read_edge(self) -> list[bytes]:
        """Return the roots of the largest complete subtrees, the largest first."""
        peaks: list[bytes] = []
        level, count = 0, self.head.count
        while count:
            start = count & -BAND_COUNT
            band = self._read(level, start, count)
            self._edge[level, start >> BAND_LEVELS] = band
            lower = [fold(band[at << up : (at + 1) << up]) for up, at in subtrees(0, len(band))]
            peaks = lower + peaks
            level, count = level + BAND_LEVELS, count >> BAND_LEVELS
        return peaks

    def _read(self, level: int, start: int, end: int) -> list[bytes]:
        found = self._hashes(level, start, end)
        if len(found) != end - start or not all(isinstance(each, bytes) and len(each) == HASH_BYTES for each in found):
            raise broken(
                start << level,
                BreakReason.TREE_MISMATCH,
                f"nodes of level {level} are missing or none",
                proven_count=0,
            )
        return found

    def frontier(self) -> Frontier:
        """Return the right edge, to be grown."""
        return Frontier(self.head.count, self.peaks)

    def node(self, level: int, position: int) -> bytes:
        """Return the hash of a complete subtree.

        Raises:
            ChainBroken: When a stored node on the way to it is wrong.
        """
        up = level % BAND_LEVELS
        first = position << up
        band = self._band(level - up, first >> BAND_LEVELS)
        offset = first % BAND_COUNT
        return fold(band[offset : offset + (1 << up)])

    def leaf(self, sequence: int) -> bytes:
        """Return a leaf.

        Raises:
            ChainBroken: As `node`.
        """
        return self._band(0, sequence >> BAND_LEVELS)[sequence % BAND_COUNT]

    def root_at(self, size: int) -> bytes:
        """Return the root the tree had when it had this size, at most its size now.

        Raises:
            ChainBroken: As `node`.
        """
        return root_of_peaks([self.node(*each) for each in subtrees(0, size)]) if size else EMPTY_ROOT

    def _band(self, level: int, group: int) -> list[bytes]:
        """Return sixteen neighbours, or those there are at the right edge, proven by the node above them."""
        band = self._edge.get((level, group)) or self._bands.get((level, group))
        if band is not None:
            return band
        band = self._read(level, group << BAND_LEVELS, (group + 1) << BAND_LEVELS)
        if fold(band) != self.node(level + BAND_LEVELS, group):
            start = (group << BAND_LEVELS) << level
            raise broken(
                start,
                BreakReason.TREE_MISMATCH,
                f"a stored node of level {level} or {level + BAND_LEVELS} was changed",
                proven_count=0,
            )
        if len(self._bands) >= _BANDS_KEPT_MAX:
            self._bands.clear()
        self._bands[level, group] = band
        return band
