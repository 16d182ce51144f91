"""Chains, and the hands of somebody who can write their file but has no signing key."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from pathlib import Path

import pytest

from cloister.audit.checkpoint import INTERVAL_COUNT, CheckpointKind, origin_of, sign_checkpoint
from cloister.audit.event import Draft, EventType, Head
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.merkle import Frontier, leaf_hash
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.tree import is_stored
from cloister.audit.verify import verify_chain
from cloister.clock import ManualClock
from cloister.errors import ChainBroken


def draft(number: int) -> Draft:
    """Return a small event; every fourth starts a run, the others belong to the one before."""
    is_start = number % 4 == 0
    return Draft(
        event_type=EventType.RUN_STARTED if is_start else EventType.STEP_STARTED,
        run_id=f"run-{number // 4}",
        capability_id="c.a",
        parent=None if is_start else number - 1,
        body={"number": number},
    )


class Tampered:
    """A chain of some records, and the attacker's hands on its file.

    Args:
        directory: The home, made here.
        count: How many records.
    """

    def __init__(self, directory: Path, count: int) -> None:
        self.home = AuditHome(directory)
        self.count = count
        with open_chain(directory, ManualClock()) as chain:
            for start in range(0, count, 5):
                drafts = [draft(number) for number in range(start, min(start + 5, count))]
                chain.append_all(drafts, durable=start + 5 >= count)

    @property
    def key(self) -> PublicKey:
        return PublicKey.load(self.home.public_key_path)

    def execute(self, *statements: str, values: tuple[object, ...] = ()) -> None:
        connection = sqlite3.connect(self.home.chain_path, isolation_level=None)
        try:
            for statement in statements:
                connection.execute(statement, values)
        finally:
            connection.close()

    def query(self, statement: str) -> list[tuple[object, ...]]:
        connection = sqlite3.connect(self.home.chain_path)
        try:
            return connection.execute(statement).fetchall()
        finally:
            connection.close()

    def event(self, sequence: int) -> bytes:
        ((data,),) = self.query(f"SELECT event FROM records WHERE sequence = {sequence}")
        assert isinstance(data, bytes)
        return data

    def rewrite(self, sequence: int, data: bytes) -> None:
        """Replace an event together with its leaf, which takes no key."""
        self.execute(
            f"UPDATE records SET event = ?, leaf = ? WHERE sequence = {sequence}", values=(data, leaf_hash(data))
        )

    def rebuild_tree(self) -> Head:
        """Compute all leaves and nodes again from the events as they are now; return the head that would be right."""
        frontier = Frontier()
        self.execute("DELETE FROM nodes")
        for sequence, data in self.query("SELECT sequence, event FROM records ORDER BY sequence"):
            assert isinstance(data, bytes)
            leaf = leaf_hash(data)
            self.execute(f"UPDATE records SET leaf = ? WHERE sequence = {sequence}", values=(leaf,))
            for node in frontier.extend((leaf,)):
                if is_stored(node[0]):
                    self.execute("INSERT INTO nodes VALUES (?, ?, ?)", values=node)
        return Head(count=frontier.size, root_sha256=frontier.root().hex())

    def sign_everything(self, signer: Signer) -> None:
        """Put the attacker's own signatures in the place of all of ours, under our name."""
        origin = origin_of(self.key)
        leaves = [leaf_hash(data) for (data,) in self.query("SELECT event FROM records ORDER BY sequence")]  # type: ignore[arg-type]
        self.execute("DELETE FROM checkpoints")
        frontier = Frontier()
        for leaf in leaves:
            frontier.extend((leaf,))
            if frontier.size % INTERVAL_COUNT == 0:
                head = Head(count=frontier.size, root_sha256=frontier.root().hex())
                note = sign_checkpoint(head, CheckpointKind.INTERIOR, origin, signer)
                self.execute("INSERT INTO checkpoints VALUES (?, ?)", values=(head.count, note))
        head = Head(count=frontier.size, root_sha256=frontier.root().hex())
        self.execute("UPDATE head SET note = ?", values=(sign_checkpoint(head, CheckpointKind.HEAD, origin, signer),))

    def verify(self, expected: Iterable[Head] = ()) -> int:
        return verify_chain(self.home.chain_path, self.key, expected=expected).count

    def broken(self, expected: Iterable[Head] = ()) -> ChainBroken:
        with pytest.raises(ChainBroken) as caught:
            self.verify(expected)
        assert caught.value.code == "audit.broken"
        return caught.value

    def assert_broken(self, sequence: int, *reasons: str, proven_count: int | None = None) -> None:
        """See that the chain is broken at this record, and that so many before it are said to be intact."""
        error = self.broken()
        assert error.details["reason"] in reasons, error
        assert error.details["sequence"] == sequence, error
        assert f"record {sequence}" in error.message
        assert error.details.get("proven_count", sequence) == (sequence if proven_count is None else proven_count)
