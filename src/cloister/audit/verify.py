"""Verification of a causal chain by anybody who has the file and the public key.

Owns the checks and their order. Everything read is taken for an attacker's: sizes are bounded, bytes are parsed only
after a signature covered them (save to name what is wrong when none does), and memory does not grow with the chain.

Records are read in blocks that end at a signed checkpoint. The root over everything up to there must be the signed one;
then every record is held against its leaf and its columns, and the stored tree against the computed one.

Detected without the key's secret: any change to any field of any record, records removed (at the end too), inserted,
repeated or reordered, a head or checkpoint that does not match, and whatever was signed by another key. Not detected:
changes by someone who holds the signing key; the exchange of the whole file for an earlier state of itself with the
head of that time, unless the caller passes a later head that was noted elsewhere; and a wrong clock in the recording
process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path
from typing import Any

from cloister.audit import anchor
from cloister.audit.block import Block
from cloister.audit.breaks import BreakReason, broken
from cloister.audit.checkpoint import INTERVAL_COUNT, checked_head, checked_interior, read_checkpoint
from cloister.audit.event import EventType, Head
from cloister.audit.merkle import Frontier
from cloister.audit.signer import PublicKey
from cloister.audit.store import ChainStore
from cloister.audit.tree import BAND_LEVELS, is_stored
from cloister.audit.trust import KeyLine, key_line


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a chain that verifies holds.

    Attributes:
        head: Where it ends; to be noted elsewhere and passed as `expected` later.
        runs_count: Number of `run.started` records.
        key_id: The key the head is signed with.
        keys_count: Keys that signed the chain one after the other.
        checkpoints_count: Interior checkpoints; all of their signatures were verified.
        steps_back_count: How often the recording clock went back between two records.
        first_at: Time of the first record, or None when there is none.
        last_at: Time of the last record, or None when there is none.
    """

    head: Head
    runs_count: int
    key_id: str
    keys_count: int
    checkpoints_count: int
    steps_back_count: int
    first_at: str | None
    last_at: str | None

    @property
    def count(self) -> int:
        """Number of records."""
        return self.head.count

    @property
    def head_sha256(self) -> str:
        """Root of the tree over them."""
        return self.head.root_sha256


def verify_chain(
    store_path: Path,
    public_key: PublicKey,
    *,
    expected: Iterable[Head] = (),
    anchor_path: Path | None = None,
    with_indexes: bool = True,
) -> VerifyReport:
    """Verify a chain file. The file is not changed; records appended meanwhile are left out.

    Args:
        store_path: The chain file.
        public_key: A key of the chain, obtained on another way than the file.
        expected: Heads noted earlier; the chain must still contain them.
        anchor_path: A file with such a head; it need not be there.
        with_indexes: Whether to compare the indexes, too, by which queries find records. Nothing that is read in order
            depends on them, and it takes half as long again.

    Returns:
        What the chain holds.

    Raises:
        ChainBroken: Details `sequence` and `reason` name the first record known to be bad; the reason is a
            `BreakReason`. Records before it are intact, or those before `proven_count` where the details have that.
        AuditError: `audit.store` when there is no chain, or the file is damaged; `audit.format`; `audit.anchor`.

    Cost: linear in the records, constant memory.
    """
    store = ChainStore.open_readonly(store_path)
    try:
        with store.snapshot():
            line = key_line(store, public_key)
            noted = [(head, "the noted head") for head in expected]
            if anchor_path is not None and (seen := anchor.load(anchor_path, line)) is not None:
                noted.append((seen, f"the head noted in {anchor_path}"))
            report = _Verification(store, line, noted).run()
            if with_indexes:
                store.check_indexes()
            return report
    finally:
        store.close()


class _Verification:
    """One pass over one state of a chain."""

    def __init__(self, store: ChainStore, line: KeyLine, noted: Sequence[tuple[Head, str]]) -> None:
        self._store = store
        self._line = line
        self._noted = noted
        self._rotations = {rotation.size: rotation for rotation in line.rotations}
        self._head = self._read_head()
        self._frontier = Frontier()
        self._runs_count = self._steps_back_count = self._checkpoints_count = 0
        self._first_at: str | None = None
        self._last_at: str | None = None

    def _read_head(self) -> Head:
        note = self._store.head()
        if note is None:
            last = self._store.last()
            count = last[0] + 1 if last is not None and isinstance(last[0], int) else 0
            raise broken(count, BreakReason.HEAD_MISSING, "the chain has no signed head", proven_count=0)
        try:
            size = read_checkpoint(note).head.count
        except ValueError as error:
            raise broken(0, BreakReason.HEAD_INVALID, str(error)) from error
        return checked_head(note, self._line.key_of_head(size), self._line.origin).head

    def run(self) -> VerifyReport:
        """Check everything, in order."""
        self._require_noted(0, self._frontier.root())
        rows = self._store.rows()
        for stop in self._stops():
            self._check_block(Block.read(rows, self._frontier, stop, self._head.count), stop)
        if (row := next(rows, None)) is not None:
            Block.require_place(row, self._head.count, self._head.count)
            raise broken(self._head.count, BreakReason.BEYOND_HEAD, f"the head counts {self._head.count} records")
        self._check_counts()
        for head, name in self._noted:
            if head.count > self._head.count:
                wrong = f"{name} counts {head.count} records"
                raise broken(self._head.count, BreakReason.ROLLED_BACK, wrong)
        return VerifyReport(
            head=self._head,
            runs_count=self._runs_count,
            key_id=self._line.last.key_id,
            keys_count=len(self._line.rotations) + 1,
            checkpoints_count=self._checkpoints_count,
            steps_back_count=self._steps_back_count,
            first_at=self._first_at,
            last_at=self._last_at,
        )

    def _stops(self) -> Iterator[int]:
        """Yield the sizes at which a signed root must be reached, in order."""
        count = self._head.count
        regular = range(INTERVAL_COUNT, count + 1, INTERVAL_COUNT)
        extra = sorted(size for size in {*self._rotations, count} if 0 < size <= count and size % INTERVAL_COUNT)
        places = iter(extra)
        place = next(places, None)
        for size in regular:
            while place is not None and place < size:
                yield place
                place = next(places, None)
            yield size
        while place is not None:
            yield place
            place = next(places, None)

    def _check_block(self, block: Block, stop: int) -> None:
        is_interior = stop % INTERVAL_COUNT == 0 or stop in self._rotations
        signed = self._interior(block, stop) if is_interior else self._head
        block.require_root(signed.root)
        if stop == self._head.count and signed.root != self._head.root:
            raise broken(block.start, BreakReason.HEAD_INVALID, "head and last checkpoint differ", proven_count=stop)
        self._check_nodes(block)
        for count in {head.count for head, _ in self._noted if block.start < head.count <= stop}:
            self._require_noted(count, block.root_at(count))
        self._frontier = block.end
        for event in block.events():
            self._count(event)

    def _interior(self, block: Block, size: int) -> Head:
        self._checkpoints_count += 1
        try:
            return checked_interior(
                self._store.checkpoint(size), size, self._line.key_of_interior(size), self._line.origin
            )
        except ValueError as error:
            wrong = f"the checkpoint of {size} records is not right: {error}"
            raise broken(block.start, BreakReason.CHECKPOINT_INVALID, wrong) from error

    def _check_nodes(self, block: Block) -> None:
        """Hold the stored nodes against those the block completed."""
        levels: dict[int, list[tuple[int, bytes]]] = {}
        for level, position, node in block.nodes:
            if is_stored(level):
                levels.setdefault(level, []).append((position, node))
        for level, nodes in levels.items():
            stored = self._store.hashes(level, nodes[0][0], nodes[0][0] + len(nodes))
            for (position, node), found in zip_longest(nodes, stored):
                if found != node:
                    raise broken(
                        position << level,
                        BreakReason.TREE_MISMATCH,
                        f"the stored node {position} of level {level} is not the hash of what is below it",
                        proven_count=block.end.size,
                    )

    def _check_counts(self) -> None:
        """Refuse nodes and checkpoints that nothing above has looked at."""
        count, nodes_count = self._head.count >> BAND_LEVELS, 0
        while count:
            nodes_count, count = nodes_count + count, count >> BAND_LEVELS
        if self._store.nodes_count() != nodes_count:
            raise broken(self._head.count, BreakReason.TREE_MISMATCH, "there are nodes of no tree")
        if self._store.checkpoints_count() != self._checkpoints_count:
            raise broken(self._head.count, BreakReason.CHECKPOINT_INVALID, "there is a checkpoint of no place")

    def _require_noted(self, count: int, root: bytes) -> None:
        for head, name in self._noted:
            if head.count == count and head.root != root:
                raise broken(max(count - 1, 0), BreakReason.ROLLED_BACK, f"{name} ends in another record here")

    def _count(self, event: dict[str, Any]) -> None:
        at = event["at"]
        self._runs_count += event["event_type"] == EventType.RUN_STARTED
        if self._last_at is None:
            self._first_at = at
        elif at < self._last_at:
            self._steps_back_count += 1
        self._last_at = at
