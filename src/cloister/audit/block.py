"""A run of records that ends at a signed root, and what is wrong with it when it does not give that root.

Owns reading the rows of one block, its hashes, and the search for the first bad record. What a block holds is an
attacker's until `require_root` accepted it; the search parses unproven bytes, but only to name what is wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from cloister.audit.breaks import BreakReason, broken
from cloister.audit.event import Event
from cloister.audit.merkle import HASH_BYTES, Frontier, leaf_hash
from cloister.audit.reader import fields_of
from cloister.audit.row import StoredRow
from cloister.errors import ChainBroken


class Block:
    """Rows from the size of a frontier up to another size. Get one with `read`.

    Attributes:
        start: The size before it.
        end: The frontier after it.
        nodes: The inner nodes it completes: level, position, hash.
    """

    __slots__ = ("_before", "_leaves", "_rows", "end", "nodes", "start")

    def __init__(self, rows: list[StoredRow], before: Frontier) -> None:
        self.start = before.size
        self._before = before
        self._rows = rows
        self._leaves = [leaf_hash(row.event) for row in rows]
        self.end = before.copy()
        self.nodes = self.end.extend(self._leaves)

    @classmethod
    def read(cls, rows: Iterator[StoredRow], before: Frontier, stop: int, head_count: int) -> Block:
        """Read the rows of a block.

        Args:
            rows: Stands at its first row.
            before: The frontier there.
            stop: The size it ends at.
            head_count: How many records the head counts.

        Raises:
            ChainBroken: When a row is missing, is not in its place, or has fields of wrong types or sizes.
        """
        found: list[StoredRow] = []
        for position in range(before.size, stop):
            row = next(rows, None)
            if row is None:
                wrong = f"the head counts {head_count} records"
                raise broken(position, BreakReason.TRUNCATED, wrong, proven_count=before.size)
            if row.sequence != position:
                cls.require_place(row, position, before.size)
            if not isinstance(row.event, bytes) or not isinstance(row.leaf, bytes) or len(row.leaf) != HASH_BYTES:
                wrong = "a field has the wrong type or size"
                raise broken(position, BreakReason.UNDECODABLE, wrong, proven_count=before.size)
            found.append(row)
        return cls(found, before)

    @staticmethod
    def require_place(row: StoredRow, position: int, proven_count: int) -> None:
        """Accept a row that stands where the next one must.

        Raises:
            ChainBroken: When it does not.
        """
        if row.sequence != position:
            is_later = isinstance(row.sequence, int) and row.sequence > position
            raise broken(
                position if is_later else row.sequence,
                BreakReason.MISSING,
                f"the next record stored is {row.sequence}",
                proven_count=proven_count,
            )

    def root_at(self, size: int) -> bytes:
        """Return the root of the tree at a size inside the block."""
        return _grown(self._before, self._leaves[: size - self.start]).root()

    def require_root(self, root: bytes) -> None:
        """Accept the block when it gives this root, and each stored leaf is the computed one.

        Raises:
            ChainBroken: When it does not, naming the first bad record as closely as can be proven.
        """
        stored = [row.leaf for row in self._rows]
        is_root = self.end.root() == root
        if is_root and stored == self._leaves:
            return
        differing = next((at for at, leaf in enumerate(self._leaves) if leaf != stored[at]), None)
        if differing is not None:
            # When either row of leaves gives the root, all of it is proven, and only the other one is wrong
            is_exact = is_root or _grown(self._before, stored).root() == root
            which = "its stored leaf was changed" if is_root else "its content was changed"
            raise broken(
                self.start + differing,
                BreakReason.HASH_MISMATCH,
                which,
                proven_count=self.start + (differing if is_exact else 0),
            )
        raise self._unproven()

    def _unproven(self) -> ChainBroken:
        """Name what is wrong with rows whose leaves are right but do not give the root."""
        claimed = [_claimed_sequence(row.event) for row in self._rows]
        displaced = _first_displaced(self.start, claimed, self._leaves)
        if displaced is not None:
            return broken(
                displaced,
                BreakReason.REORDERED,
                "records here were written for other positions",
                proven_count=self.start,
            )
        return broken(
            self.start,
            BreakReason.UNPROVEN,
            f"records {self.start} to {self.end.size - 1} are not those that the signed checkpoint of "
            f"{self.end.size} covers",
        )

    def events(self) -> Iterator[dict[str, Any]]:
        """Yield the events of an accepted block as plain fields, each held against its columns.

        Raises:
            ChainBroken: At the first that is misfiled, or that is not an event.
        """
        for row in self._rows:
            yield fields_of(row)


def _grown(before: Frontier, leaves: Sequence[bytes]) -> Frontier:
    frontier = before.copy()
    frontier.extend(leaves)
    return frontier


def _claimed_sequence(data: bytes) -> int | None:
    try:
        return Event.from_bytes(data).sequence
    except ValueError:
        return None


def _first_displaced(start: int, claimed: Sequence[int | None], leaves: Sequence[bytes]) -> int | None:
    """Return the first position that holds a record of another one, or is claimed by two.

    A record that claims an earlier position than its own was moved back: then something stands in its place, unless
    that is the very same record, which was repeated.
    """
    found: int | None = None
    for offset, claim in enumerate(claimed):
        position = start + offset
        if claim is None or claim == position:
            continue
        is_repeated = start <= claim < position and leaves[claim - start] == leaves[offset]
        first = position if is_repeated or claim < start else min(position, claim)
        found = first if found is None else min(found, first)
    return found
