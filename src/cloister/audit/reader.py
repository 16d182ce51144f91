"""Reading a chain so that each record that is returned was proven.

Owns a read-only view of one state of the file: its head is checked once, every record against the tree below that head.
A record that was taken away, or that an index no longer lists, is not missed here; `verify` finds both.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from cloister.audit.breaks import BreakReason, broken
from cloister.audit.event import Event, Head, Record, read_fields
from cloister.audit.merkle import leaf_hash
from cloister.audit.query import EVERYTHING, RecordQuery
from cloister.audit.row import COLUMNS_COUNT, StoredRow, columns_in
from cloister.audit.signer import PublicKey
from cloister.audit.store import ChainStore
from cloister.audit.tree import Tree
from cloister.audit.trust import KeyLine, trusted_tree
from cloister.errors import AuditError


class ChainReader:
    """One state of a chain, open for reading. Get one with `open`; not safe for use by two threads at once."""

    def __init__(self, store: ChainStore, tree: Tree, line: KeyLine, note: bytes) -> None:
        self._store = store
        self.tree = tree
        self.line = line
        self.note = note

    @classmethod
    def open(cls, path: Path, public_key: PublicKey) -> Self:
        """Open a chain file and check its head. What is appended later is not seen.

        Args:
            path: The file.
            public_key: A key of the chain, obtained on another way than the file.

        Raises:
            ChainBroken: When the head is wrong or another key signed it.
            AuditError: `audit.store` or `audit.format` when the file cannot be read.
        """
        store = ChainStore.open_readonly(path)
        try:
            store.begin_snapshot()
            tree, line = trusted_tree(store, public_key)
            return cls(store, tree, line, store.head())
        except BaseException:
            store.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def head(self) -> Head:
        """Where the chain ends."""
        return self.tree.head

    def records(self, query: RecordQuery = EVERYTHING) -> Iterator[Record]:
        """Yield the records that are asked for, in order.

        Raises:
            ChainBroken: At the first that was changed.
            AuditError: `audit.store` when the file cannot be read.
        """
        for row in self._store.rows(query):
            yield self._proven(row)

    def record(self, sequence: int) -> Record:
        """Return one record.

        Raises:
            AuditError: `audit.record` when the chain has no such record.
            ChainBroken: When it is missing though the head counts it, or was changed.
        """
        self.require_sequence(sequence)
        row = self._store.row(sequence)
        if row is None:
            raise broken(sequence, BreakReason.MISSING, "the head counts it", proven_count=0)
        return self._proven(row)

    def require_sequence(self, sequence: int) -> None:
        """Accept the number of a record.

        Raises:
            AuditError: `audit.record` when the chain has no such record.
        """
        if not 0 <= sequence < self.head.count:
            raise AuditError(
                f"there is no record {sequence}; the chain has {self.head.count}",
                code="audit.record",
                hint="`cloister audit show` lists the records with their numbers",
            )

    def children(self, sequence: int) -> tuple[Record, ...]:
        """Return the records that belong to one, in order."""
        return tuple(self.records(RecordQuery(parent=sequence)))

    def trace(self, sequence: int) -> tuple[Record, ...]:
        """Return the way from a record up to the one that belongs to no other: first the record, last its run.

        Raises:
            AuditError: As `record`.
            ChainBroken: As `record`.
        """
        found = [self.record(sequence)]
        while (parent := found[-1].event.parent) is not None:
            found.append(self.record(parent))  # a parent is always an earlier record, so this ends
        return tuple(found)

    def close(self) -> None:
        """Close the file. Idempotent."""
        self._store.close()

    def _proven(self, row: StoredRow) -> Record:
        sequence = row.sequence
        if type(sequence) is not int or not 0 <= sequence < self.head.count:
            raise broken(sequence, BreakReason.BEYOND_HEAD, "the head does not cover it", proven_count=0)
        return prove_row(row, self.tree.leaf(sequence))


def prove_row(row: StoredRow, leaf: bytes) -> Record:
    """Return the record of a row whose leaf is proven.

    Raises:
        ChainBroken: When the row holds something else.
    """
    if not isinstance(row.event, bytes):
        raise broken(row.sequence, BreakReason.UNDECODABLE, "the event has the wrong type or size", proven_count=0)
    if row.leaf != leaf or leaf_hash(row.event) != leaf:
        raise broken(row.sequence, BreakReason.HASH_MISMATCH, "its content was changed", proven_count=0)
    event = Event.of_fields(fields_of(row, proven_count=0))
    return Record(event=event, event_bytes=row.event, leaf=leaf)


def fields_of(row: StoredRow, *, proven_count: int | None = None) -> dict[str, Any]:
    """Return the plain fields of an event whose bytes are proven, held against the columns.

    Args:
        row: The row.
        proven_count: As in `broken`.

    Raises:
        ChainBroken: When the bytes are not an event, or the row is filed elsewhere.
    """
    sequence = row.sequence
    try:
        fields = read_fields(row.event)
    except ValueError as error:
        raise broken(sequence, BreakReason.UNDECODABLE, str(error), proven_count=proven_count) from error
    if columns_in(fields) != row[:COLUMNS_COUNT]:
        if fields["sequence"] != sequence:
            wrong = f"it was written as record {fields['sequence']}"
            raise broken(sequence, BreakReason.REORDERED, wrong, proven_count=proven_count)
        wrong = "it is stored under another run, type, capability, parent, time or origin"
        raise broken(sequence, BreakReason.MISFILED, wrong, proven_count=proven_count)
    return fields
