"""Verification of a causal chain by anybody who has the file and the public key.

Owns the checks and their order; pure functions over rows, with the file opened only in `verify_chain`. Everything read
is taken for an attacker's: bytes are parsed only after their signature was checked, sizes are bounded, and memory does
not grow with the chain.

Detected without the key's secret: any change to any field of any record, records removed (at the end too), inserted,
repeated, reordered, or signed by another key, and a head that does not match. Not detected: changes by someone who
holds the signing key; the exchange of the whole file for an earlier state of itself with the head of that time, unless
the caller passes a later `expected` head that was noted elsewhere; and a wrong clock in the recording process.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from cloister.audit.event import GENESIS, Event, EventType, Head, Record, SignedHead, record_sha256
from cloister.audit.signer import PublicKey
from cloister.audit.store import ChainStore, StoredHead, StoredRow
from cloister.errors import ChainBroken


class BreakReason(StrEnum):
    """Why a record, or the end of the chain, is bad."""

    UNDECODABLE = "undecodable"
    """A field has the wrong type or size, or signed bytes are not an event."""
    MISSING = "missing sequence"
    """The record with this number is not there, but later ones are."""
    REORDERED = "reordered"
    """The record was written for another position."""
    BROKEN_LINK = "broken link"
    """It does not name the record before it."""
    HASH_MISMATCH = "hash mismatch"
    """Its content is not what its digest says."""
    FOREIGN_KEY = "foreign key"
    """Another key than the given one signed it."""
    BAD_SIGNATURE = "bad signature"
    """The signature was not made over its digest."""
    MISFILED = "misfiled"
    """It is stored under another run than the signed one."""
    TRUNCATED = "truncated"
    """The head counts more records than there are."""
    BEYOND_HEAD = "beyond the head"
    """The head counts fewer records than there are, or ends in another one."""
    HEAD_MISSING = "head missing"
    """There is no signed head."""
    HEAD_INVALID = "head invalid"
    """The head has wrong types, or its signature is wrong."""
    ROLLED_BACK = "rolled back"
    """The chain does not contain a head that was noted before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyReport:
    """What a chain that verifies holds.

    Attributes:
        count: Number of records.
        head_sha256: Digest of the last one, or 64 zeros.
        runs_count: Number of `run.started` records.
        key_id: The key everything is signed with.
        first_at: Time of the first record, or None when there is none.
        last_at: Time of the last record, or None when there is none.
    """

    count: int
    head_sha256: str
    runs_count: int
    key_id: str
    first_at: str | None
    last_at: str | None

    @property
    def head(self) -> Head:
        """The head, to be noted elsewhere and passed as `expected` later."""
        return Head(count=self.count, record_sha256=self.head_sha256)


def verify_chain(store_path: Path, public_key: PublicKey, *, expected: Head | None = None) -> VerifyReport:
    """Verify a chain file. The file is not changed; records appended meanwhile are left out.

    Args:
        store_path: The chain file.
        public_key: Obtained on another way than the file.
        expected: A head noted earlier; the chain must still contain it.

    Returns:
        What the chain holds.

    Raises:
        ChainBroken: Details `sequence` and `reason` name the first bad record; the reason is a `BreakReason`.
        AuditError: `audit.store` when there is no chain, or the file is damaged.

    Cost: linear in the records, constant memory.
    """
    store = ChainStore.open_readonly(store_path)
    try:
        with store.snapshot():
            return verify_rows(store.rows(), store.head(), public_key, expected=expected)
    finally:
        store.close()


def verify_rows(
    rows: Iterable[StoredRow], stored_head: StoredHead | None, public_key: PublicKey, *, expected: Head | None = None
) -> VerifyReport:
    """Verify rows in the order of their sequence, then the head; see `verify_chain`."""
    reached, runs_count = GENESIS, 0
    first_at = last_at = None
    for row in rows:
        record = _check_next(row, reached, public_key)
        reached = Head(count=reached.count + 1, record_sha256=record.record_sha256)
        if expected is not None and expected.count == reached.count and expected != reached:
            raise broken(reached.count - 1, BreakReason.ROLLED_BACK, "the noted head ends in another record here")
        runs_count += record.event.event_type is EventType.RUN_STARTED
        first_at, last_at = first_at or record.event.at, record.event.at
    _check_end(reached, stored_head, public_key, expected)
    return VerifyReport(
        count=reached.count,
        head_sha256=reached.record_sha256,
        runs_count=runs_count,
        key_id=public_key.key_id,
        first_at=first_at,
        last_at=last_at,
    )


def check_row(row: StoredRow, public_key: PublicKey) -> Record:
    """Check one row by itself: types, digest, signature, position. Links to other rows are not checked.

    Raises:
        ChainBroken: Naming the row's sequence.
    """
    sequence, run_id, data, previous, digest, key_id, signature = row
    texts = isinstance(run_id, str) and isinstance(key_id, str) and _is_digest(previous) and _is_digest(digest)
    if not (texts and isinstance(data, bytes) and isinstance(signature, bytes)):
        raise broken(sequence, BreakReason.UNDECODABLE, "a field has the wrong type or size")
    if record_sha256(previous, data) != digest:
        raise broken(sequence, BreakReason.HASH_MISMATCH, "its content was changed")
    if key_id != public_key.key_id:
        raise broken(sequence, BreakReason.FOREIGN_KEY, f"the key is not {public_key.key_id}")
    if not public_key.verify(signature, bytes.fromhex(digest)):
        raise broken(sequence, BreakReason.BAD_SIGNATURE, f"key {public_key.key_id} did not sign it")
    try:
        event = Event.from_bytes(data)
    except ValueError as error:
        raise broken(sequence, BreakReason.UNDECODABLE, str(error)) from error
    if event.sequence != sequence:
        raise broken(sequence, BreakReason.REORDERED, f"it was written as record {event.sequence}")
    if event.run_id != run_id:
        raise broken(sequence, BreakReason.MISFILED, "it is stored under another run")
    return Record(
        event=event,
        event_bytes=data,
        previous_sha256=previous,
        record_sha256=digest,
        signature=signature,
        key_id=key_id,
    )


def check_head(stored: StoredHead | None, public_key: PublicKey) -> SignedHead:
    """Check the stored head by itself: types and signature.

    Raises:
        ChainBroken: The sequence in the details is the count the head claims, or 0 when it claims none.
    """
    if stored is None:
        raise broken(0, BreakReason.HEAD_MISSING, "the chain has no signed head")
    count, digest, key_id, signature = stored
    if type(count) is not int or count < 0 or not _is_digest(digest) or not isinstance(signature, bytes):
        raise broken(0, BreakReason.HEAD_INVALID, "a field of the signed head has the wrong type")
    if key_id != public_key.key_id:
        raise broken(count, BreakReason.FOREIGN_KEY, f"the head was not signed by key {public_key.key_id}")
    head = Head(count=count, record_sha256=digest)
    if not public_key.verify(signature, head.to_bytes()):
        raise broken(count, BreakReason.HEAD_INVALID, f"key {public_key.key_id} did not sign this head")
    return SignedHead(head=head, key_id=key_id, signature=signature)


def broken(sequence: object, reason: BreakReason, explanation: str) -> ChainBroken:
    """Return the error that names a bad record."""
    number = sequence if isinstance(sequence, int) else -1
    return ChainBroken(
        f"the chain is broken at record {number}: {reason.value}; {explanation}",
        hint="keep the file as evidence and compare it with a copy; records before this one are intact",
        details={"sequence": number, "reason": reason.value},
    )


def _check_next(row: StoredRow, reached: Head, public_key: PublicKey) -> Record:
    """Check a row against the one before it."""
    if row.sequence != reached.count:
        first_bad = reached.count if isinstance(row.sequence, int) and row.sequence > reached.count else row.sequence
        raise broken(first_bad, BreakReason.MISSING, f"the next record stored is {row.sequence}")
    if _is_digest(row.previous_sha256) and row.previous_sha256 != reached.record_sha256:
        raise _displaced(row, public_key)
    return check_row(row, public_key)


def _displaced(row: StoredRow, public_key: PublicKey) -> ChainBroken:
    """Return why a record does not follow the one before it: a genuine one of another place says so itself."""
    try:
        check_row(row, public_key)
    except ChainBroken as error:
        if error.details["reason"] == BreakReason.REORDERED:
            return error
    return broken(row.sequence, BreakReason.BROKEN_LINK, "it does not name the record before it")


def _check_end(reached: Head, stored: StoredHead | None, public_key: PublicKey, expected: Head | None) -> None:
    if stored is None:
        raise broken(reached.count, BreakReason.HEAD_MISSING, "the chain has no signed head")
    head = check_head(stored, public_key).head
    if head.count > reached.count:
        raise broken(reached.count, BreakReason.TRUNCATED, f"the head counts {head.count} records")
    if head != reached:
        raise broken(max(reached.count - 1, 0), BreakReason.BEYOND_HEAD, f"the head counts {head.count} records")
    if expected is not None and expected.count > reached.count:
        raise broken(reached.count, BreakReason.ROLLED_BACK, f"the noted head counts {expected.count} records")


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not value.strip("0123456789abcdef")
