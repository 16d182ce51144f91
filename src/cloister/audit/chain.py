"""The causal chain: an append-only, signed sequence of what runs were allowed, refused and did.

Owns appending. Records are leaves of one Merkle tree; each commit signs one head over its size and root. Appends of
several threads that meet are committed together. Each commit re-reads the head inside the write lock, so several
processes extend one line, and checks that the head is ours, is where the records end, and contains what this process
saw before: a change made to the end of the file meanwhile is refused, not signed over. It does not re-read the whole
chain; that is `verify`.

What nobody can detect from the file alone: changes by someone who holds the signing key; and the exchange of the whole
file for an older state of itself. Against the second, the newest head is noted beside the key when the chain is closed
and now and then before; note a `Head` elsewhere, too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from cloister.audit import anchor
from cloister.audit.breaks import BreakReason, broken
from cloister.audit.checkpoint import CheckpointKind, origin_of, sign_checkpoint
from cloister.audit.commit import Batch, Request
from cloister.audit.event import (
    GENESIS,
    NO_BODY,
    NO_PROVENANCE,
    Draft,
    EventType,
    Head,
    Provenance,
    Record,
)
from cloister.audit.merkle import Frontier
from cloister.audit.query import RecordQuery
from cloister.audit.reader import ChainReader
from cloister.audit.signer import Signer
from cloister.audit.store import ChainStore
from cloister.audit.trust import trusted_tree
from cloister.canonical import Plain
from cloister.clock import Clock, timestamp
from cloister.errors import AppendFailed, AuditError, CloisterError

ANCHOR_EVERY_COUNT = 1024
"""The newest head is noted beside the key after so many records at the latest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Seen:
    """The end of the chain as this process last saw or wrote it.

    Attributes:
        note: The head as it is stored.
        head: What it says.
        frontier: The right edge of its tree; never changed in place.
        last_leaf: Leaf of the last record; None when there is none.
        origin: Name of the chain.
    """

    note: bytes
    head: Head
    frontier: Frontier
    last_leaf: bytes | None
    origin: str


class CausalChain:
    """An open chain. Safe for use by several threads; owns its store and closes it.

    Args:
        store: Where it is kept.
        signer: Signs heads and checkpoints.
        clock: Says when things happened.
        reload: Loads the signer with a key id; asked when another process rotated to it. None: appending ends then.
        anchor_path: Where the newest head is noted, and looked for on opening. None: nowhere.

    Raises:
        ChainBroken: When the end of the chain was tampered with, was signed by another key, or does not contain the
            head that was noted.
        AuditError: `audit.store` when the file cannot be read or written; `audit.format` when it has another format;
            `audit.anchor` when what was noted is not a head, or the newest one cannot be noted there later.
    """

    def __init__(
        self,
        store: ChainStore,
        signer: Signer,
        clock: Clock,
        *,
        reload: Callable[[str], Signer] | None = None,
        anchor_path: Path | None = None,
    ) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._reload = reload
        self._anchor_path = anchor_path
        self._anchored_count = -1
        self._durable: _Seen | None = None
        self._lock = threading.Lock()
        self._waiting: list[Request] = []
        self._waiting_lock = threading.Lock()
        self._seen: _Seen | None = None
        with store.transaction():
            is_fresh = store.head() is None and store.last() is None
            if is_fresh:
                # Even an empty chain has a signed head, so that taking all records away shows
                origin = origin_of(signer.public_key)
                store.put_head(sign_checkpoint(GENESIS, CheckpointKind.HEAD, origin, signer))
            self._seen = self._checked_end()
            self._check_anchor()
        if is_fresh:
            self._durable = self._seen

    def __repr__(self) -> str:
        return f"CausalChain({str(self._store.path)!r}, key {self._signer.key_id})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(self.close, error)

    @property
    def key_id(self) -> str:
        """The key that signs now."""
        return self._signer.key_id

    def append(
        self,
        event_type: EventType,
        *,
        run_id: str,
        body: Mapping[str, Plain] | None = None,
        capability_id: str | None = None,
        parent: int | None = None,
        provenance: Provenance = NO_PROVENANCE,
        durable: bool = True,
    ) -> Record:
        """Append one event.

        Args:
            event_type: What happened.
            run_id: The run it belongs to.
            body: Further facts: plain data without floating point, no secrets.
            capability_id: The capability concerned.
            parent: Sequence of an earlier record of which this is a part or the outcome.
            provenance: For whom and under what.
            durable: Whether to wait until the disk has it. Otherwise it survives a crash of the process, and a loss of
                power only once a later durable append returned.

        Returns:
            The sealed record.

        Raises:
            AppendFailed: When it could not be recorded for whatever reason, tampering with the chain's end among them;
                nothing was changed, and the run must stop. The details hold the reason where there is one.
        """
        draft = Draft(
            event_type=event_type,
            run_id=run_id,
            body=NO_BODY if body is None else body,
            capability_id=capability_id,
            parent=parent,
            provenance=provenance,
        )
        return self.append_all((draft,), durable=durable)[0]

    def append_all(self, drafts: Sequence[Draft], *, durable: bool = True) -> tuple[Record, ...]:
        """Append several events one after the other, all of them or none, under one signature.

        Args:
            drafts: What happened, in order.
            durable: As in `append`.

        Returns:
            The sealed records, in the same order.

        Raises:
            AppendFailed: As `append`.
        """
        if not drafts:
            return ()
        try:
            if any(draft.event_type is EventType.KEY_ROTATED for draft in drafts):
                raise AppendFailed("only `rotate` hands the chain over to another key")
            request = Request(drafts, durable=durable)
        except CloisterError as error:
            raise _failed(drafts, error) from error
        self._commit_with_others(request)
        if request.error is not None:
            raise _failed(drafts, request.error) from request.error
        return request.records

    def _commit_with_others(self, request: Request) -> None:
        with self._waiting_lock:
            self._waiting.append(request)
        try:
            with self._lock:
                # Whoever held the lock before may have committed this one together with its own
                if not request.is_done:
                    with self._waiting_lock:
                        batch, self._waiting = self._waiting, []
                    self._commit(batch)
        finally:
            if not request.is_done:  # interrupted while it waited: nobody is to commit it later
                with self._waiting_lock:
                    self._waiting = [each for each in self._waiting if each is not request]

    def head(self) -> Head:
        """Return where the chain ends now, whoever appended last.

        Raises:
            ChainBroken: When the end was tampered with.
            AuditError: `audit.store` when the file cannot be read.
        """
        with self._lock, self._store.snapshot():
            return self._checked_end().head

    def records(self, run_id: str | None = None) -> Iterator[Record]:
        """Yield records in order, each proven by the signed head there was when the first was asked for.

        Args:
            run_id: Only of this run; None for all.

        Raises:
            ChainBroken: At the first record that was changed.
            AuditError: `audit.store` when the file cannot be read.
        """
        yield from self.select(RecordQuery(run_id=run_id))

    def select(self, query: RecordQuery) -> Iterator[Record]:
        """Yield the records that are asked for; otherwise as `records`."""
        with ChainReader.open(self._store.path, self._signer.public_key) as reader:
            yield from reader.records(query)

    def rotate(self, successor: Signer, *, run_id: str) -> Record:
        """Hand the chain over to another key: record it, signed by the old one, and sign with the new from then on.

        Args:
            successor: The new key. Its file must be on the disk already, because it signs the head from now on; it has
                to take the old one's place afterwards.
            run_id: Names the act in the record.

        Returns:
            The `key.rotated` record.

        Raises:
            AppendFailed: As `append`; the old key goes on.
        """
        body: dict[str, Plain] = {
            "previous_key_id": self._signer.key_id,
            "previous_public_key": self._signer.public_key.raw.hex(),
            "key_id": successor.key_id,
            "public_key": successor.public_key.raw.hex(),
        }
        draft = Draft(event_type=EventType.KEY_ROTATED, run_id=run_id, body=body)
        request = Request((draft,), durable=True)
        with self._lock:
            self._commit([request], successor)
            if request.error is not None:
                raise _failed((draft,), request.error) from request.error
            self._signer = successor
        return request.records[0]

    def close(self) -> None:
        """Note the newest head that is on the disk, and close the chain's file. Idempotent.

        Raises:
            AuditError: `audit.anchor` when the head could not be noted; the file is closed all the same.
        """
        with self._lock:
            try:
                if not self._store.is_closed:
                    self._note_anchor()
            finally:
                self._store.close()

    def _commit(self, requests: list[Request], successor: Signer | None = None) -> None:
        """Commit what waited, in one transaction; every request gets its records or its error."""
        durable = any(request.durable for request in requests)
        try:
            if self._durable is not None and self._durable.head.count - self._anchored_count >= ANCHOR_EVERY_COUNT:
                self._note_anchor()  # before the next records: when it cannot be noted, nothing else is done
            with self._store.transaction(durable=durable):
                end = self._checked_end()
                batch = Batch(end.frontier, end.origin, self._signer, timestamp(self._clock.now()), successor)
                for request in requests:
                    batch.add(request)
                if not batch.rows:
                    return
                note, head = batch.write(self._store)
        except BaseException as error:
            cause = error if isinstance(error, CloisterError) else AppendFailed("the commit was ended from outside")
            for request in requests:
                request.fail(cause)
            if not isinstance(error, CloisterError):
                raise
            return
        for request in requests:
            request.succeed()
        self._seen = _Seen(note=note, head=head, frontier=batch.frontier, last_leaf=batch.last_leaf, origin=end.origin)
        if durable:
            self._durable = self._seen

    def _checked_end(self) -> _Seen:
        """Return the end of the chain after proving that it may be extended."""
        note, seen = self._store.head(), self._seen
        # Our own last words need no second look
        end = seen if seen is not None and seen.note == note else self._read_end(note)
        last = self._store.last()
        count = 0 if last is None else last[0] + 1
        if count < end.head.count:
            raise broken(count, BreakReason.TRUNCATED, f"the head counts {end.head.count} records")
        if count > end.head.count:
            raise broken(end.head.count, BreakReason.BEYOND_HEAD, "the head does not cover it")
        if last is not None and last[1] != end.last_leaf:
            raise broken(count - 1, BreakReason.HASH_MISMATCH, "the head does not end in it")
        return end

    def _read_end(self, note: object) -> _Seen:
        """Return the end that another process, or an earlier one, wrote."""
        tree, line = trusted_tree(self._store, self._signer.public_key)
        if line.last.raw != self._signer.public_key.raw:
            self._follow(line.last.key_id)
        count, seen = tree.head.count, self._seen
        if seen is not None and (count < seen.head.count or tree.root_at(seen.head.count) != seen.head.root):
            raise broken(
                min(count, max(seen.head.count - 1, 0)),
                BreakReason.ROLLED_BACK,
                f"this process saw {seen.head.count} records, and the chain does not continue them",
            )
        assert isinstance(note, bytes)  # noqa: S101 - its signature was checked
        last_leaf = tree.leaf(count - 1) if count else None
        return _Seen(note=note, head=tree.head, frontier=tree.frontier(), last_leaf=last_leaf, origin=line.origin)

    def _follow(self, key_id: str) -> None:
        """Take over the key that another process rotated to."""
        signer = self._reload(key_id) if self._reload is not None else self._signer
        if signer.key_id != key_id:
            raise broken(
                0, BreakReason.FOREIGN_KEY, f"its key was rotated to {key_id}; the key here is {signer.key_id}"
            )
        self._signer = signer

    def _check_anchor(self) -> None:
        """Refuse a chain that does not contain the head that was noted last."""
        if self._anchor_path is None:
            return
        anchor.require_writable(self._anchor_path)
        tree, line = trusted_tree(self._store, self._signer.public_key)
        noted = anchor.load(self._anchor_path, line)
        if noted is None:
            return
        anchor.require_contained(noted, tree, self._anchor_path)
        self._anchored_count = noted.count

    def _note_anchor(self) -> None:
        """Note the newest head that is on the disk: after a loss of power the chain must contain what was noted."""
        end = self._durable
        if self._anchor_path is not None and end is not None and end.head.count > self._anchored_count:
            anchor.save(self._anchor_path, end.note)
            self._anchored_count = end.head.count


def close_after(close: Callable[[], None], error: BaseException | None) -> None:
    """Close something at the end of a block; what fails then is noted on the error that ended it, if there is one.

    Raises:
        AuditError: As `close`, when no error ended the block.
    """
    try:
        close()
    except AuditError as failed:
        if error is None:
            raise
        error.add_note(f"{failed.code}: {failed.message}")


def _failed(drafts: Sequence[Draft], error: CloisterError) -> AppendFailed:
    what = drafts[0].event_type.value if drafts else "nothing"
    return AppendFailed(f"cannot record {what}: {error.message}", hint=error.hint, details=error.details)
