"""The causal chain: an append-only, signed sequence of what runs were allowed, refused and did.

Owns appending. Each append re-reads the head inside the write lock, so several processes extend one line, and checks
that the head is ours and is where the records end: a change made to the end of the file meanwhile is refused, not
signed over. It does not re-read the whole chain; that is `verify`.

What nobody can detect from the file alone: changes by someone who holds the signing key; and the exchange of the whole
file for an older state of itself, an empty one among them. Note a `Head` elsewhere against the second.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from cloister.audit.event import (
    EVENT_BYTES_MAX,
    GENESIS,
    Event,
    EventType,
    Head,
    Record,
    SignedHead,
    record_sha256,
)
from cloister.audit.signer import Signer
from cloister.audit.store import ChainStore
from cloister.audit.verify import BreakReason, broken, check_head, check_row
from cloister.canonical import Plain
from cloister.clock import Clock, timestamp
from cloister.errors import AppendFailed, CloisterError


class CausalChain:
    """An open chain. Safe for use by several threads; owns its store and closes it.

    Args:
        store: Where it is kept.
        signer: Signs records and heads.
        clock: Says when things happened.

    Raises:
        ChainBroken: When the end of the chain was tampered with, or was signed by another key.
        AuditError: `audit.store` when the file cannot be read or written.
    """

    def __init__(self, store: ChainStore, signer: Signer, clock: Clock) -> None:
        self._store = store
        self._signer = signer
        self._clock = clock
        self._lock = threading.Lock()
        self._seen: SignedHead | None = None
        with store.transaction():
            if store.head() is None and store.last() is None:
                # Even an empty chain has a signed head, so that taking all records away shows
                store.put_head(self._sign_head(GENESIS))
            self._seen = self._checked_head()

    def __repr__(self) -> str:
        return f"CausalChain({str(self._store.path)!r}, key {self._signer.key_id})"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def append(
        self,
        event_type: EventType,
        *,
        run_id: str,
        body: Mapping[str, Plain] | None = None,
        capability_id: str | None = None,
        parent: int | None = None,
    ) -> Record:
        """Append one event; when this returns, the record is on the disk.

        Args:
            event_type: What happened.
            run_id: The run it belongs to.
            body: Further facts: plain data without floating point, no secrets.
            capability_id: The capability concerned.
            parent: Sequence of an earlier record of which this is a part or the outcome.

        Returns:
            The sealed record.

        Raises:
            AppendFailed: When it could not be recorded for whatever reason, tampering with the chain's end among them;
                nothing was changed, and the run must stop. The details hold the reason where there is one.
        """
        try:
            with self._lock, self._store.transaction():
                seen = self._checked_head()
                event = Event(
                    sequence=seen.head.count,
                    run_id=run_id,
                    event_type=event_type,
                    at=timestamp(self._clock.now()),
                    capability_id=capability_id,
                    parent=parent,
                    body=body or {},
                )
                record = self._seal(event, seen.head)
                self._store.insert(record)
                signed = self._sign_head(Head(count=event.sequence + 1, record_sha256=record.record_sha256))
                self._store.put_head(signed)
        except CloisterError as error:
            raise AppendFailed(
                f"cannot record {event_type.value}: {error.message}", hint=error.hint, details=error.details
            ) from error
        self._seen = signed
        return record

    def head(self) -> Head:
        """Return where the chain ends now, whoever appended last.

        Raises:
            ChainBroken: When the end was tampered with.
            AuditError: `audit.store` when the file cannot be read.
        """
        with self._lock, self._store.snapshot():
            return self._checked_head().head

    def records(self, run_id: str | None = None) -> Iterator[Record]:
        """Yield records in order, each with its own hash and signature checked.

        Links between records and the head are not checked here; that is `verify_chain`.

        Args:
            run_id: Only of this run; None for all.

        Raises:
            ChainBroken: At the first record that was changed.
            AuditError: `audit.store` when the file cannot be read.
        """
        reader = ChainStore.open_readonly(self._store.path)
        try:
            for row in reader.rows(run_id):
                yield check_row(row, self._signer.public_key)
        finally:
            reader.close()

    def close(self) -> None:
        """Close the chain's file. Idempotent."""
        with self._lock:
            self._store.close()

    def _seal(self, event: Event, head: Head) -> Record:
        if event.parent is not None and not 0 <= event.parent < event.sequence:
            raise AppendFailed(f"parent {event.parent} is not an earlier record than {event.sequence}")
        data = event.to_bytes()
        if len(data) > EVENT_BYTES_MAX:
            raise AppendFailed(f"the event has {len(data)} bytes; at most {EVENT_BYTES_MAX} are allowed")
        digest = record_sha256(head.record_sha256, data)
        return Record(
            event=event,
            event_bytes=data,
            previous_sha256=head.record_sha256,
            record_sha256=digest,
            signature=self._signer.sign(bytes.fromhex(digest)),
            key_id=self._signer.key_id,
        )

    def _sign_head(self, head: Head) -> SignedHead:
        return SignedHead(head=head, key_id=self._signer.key_id, signature=self._signer.sign(head.to_bytes()))

    def _checked_head(self) -> SignedHead:
        """Return the stored head after proving that it may be extended."""
        stored, seen = self._store.head(), self._seen
        if seen is not None and stored == (seen.head.count, seen.head.record_sha256, seen.key_id, seen.signature):
            current = seen  # our own last words; their signature needs no second look
        else:
            current = check_head(stored, self._signer.public_key)
            self._check_progress(current.head)
        last = self._store.last()
        ends_at = GENESIS if last is None else Head(count=last[0] + 1, record_sha256=last[1])
        if ends_at.count < current.head.count:
            raise broken(ends_at.count, BreakReason.TRUNCATED, f"the head counts {current.head.count} records")
        if ends_at != current.head:
            raise broken(ends_at.count - 1, BreakReason.BEYOND_HEAD, "the head does not cover it")
        return current

    def _check_progress(self, head: Head) -> None:
        """Refuse a head that does not continue the one this process saw last."""
        if self._seen is None or self._seen.head.count == 0:
            return
        seen = self._seen.head
        if head.count < seen.count or self._store.digest_at(seen.count - 1) != seen.record_sha256:
            raise broken(
                min(head.count, seen.count - 1),
                BreakReason.ROLLED_BACK,
                f"this process saw {seen.count} records, and the chain does not continue them",
            )
