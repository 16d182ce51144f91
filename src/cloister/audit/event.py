"""What a causal chain holds: events, the records that seal them, and the head that counts them.

Owns the shape of each, the bytes that are hashed and signed, and reading them back. The bytes of a record are stored
and checked as they were written and never encoded again. Bodies are plain data and come from the runtime; a stored
record may come from an attacker and is read only after its signature was checked.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from cloister.canonical import Plain, encode

RECORD_DOMAIN: Final = b"cloister/record/v1\n"
HEAD_DOMAIN: Final = b"cloister/head/v1\n"
GENESIS_SHA256: Final = "0" * 64
"""What the first record names as its predecessor."""
EVENT_BYTES_MAX: Final = 1024 * 1024
"""Largest encoded event; an append beyond it fails and verification refuses to read one."""


class EventType(StrEnum):
    """What happened."""

    RUN_STARTED = "run.started"
    RUN_COMPLETED = "run.completed"
    RUN_FAILED = "run.failed"
    RUN_REFUSED = "run.refused"
    CALL_INTENT = "call.intent"
    CALL_OUTCOME = "call.outcome"
    HINT_APPLIED = "hint.applied"
    STEP_STARTED = "step.started"
    STEP_ENDED = "step.ended"
    SESSION_STARTED = "session.started"
    SESSION_ENDED = "session.ended"
    ATTESTATION_MEASURED = "attestation.measured"
    ATTESTATION_REFUSED = "attestation.refused"
    COPY_INTENT = "copy.intent"
    COPY_OUTCOME = "copy.outcome"


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One thing that happened in a run.

    Attributes:
        sequence: Position in the chain, from 0.
        run_id: The run it belongs to.
        event_type: What happened.
        at: When, as RFC 3339 text in UTC, by the clock of the recording process.
        capability_id: The capability concerned, or None.
        parent: Sequence of the event this one answers or belongs to, or None.
        body: Further facts as plain data without floating point.
    """

    sequence: int
    run_id: str
    event_type: EventType
    at: str
    capability_id: str | None = None
    parent: int | None = None
    body: Mapping[str, Plain] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """Return the canonical bytes that are stored and hashed.

        Raises:
            InternalError: When the body is not plain data.
        """
        return encode(
            {
                "sequence": self.sequence,
                "run_id": self.run_id,
                "event_type": self.event_type.value,
                "at": self.at,
                "capability_id": self.capability_id,
                "parent": self.parent,
                "body": self.body,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Event:
        """Read an event back.

        Raises:
            ValueError: When the bytes are not the encoding of an event.
        """
        try:
            plain: Any = json.loads(data)
        except RecursionError as error:
            raise ValueError("nested too deeply") from error
        if not isinstance(plain, dict) or plain.keys() != _SHAPE.keys():
            raise ValueError("not the fields of an event")
        for name, types in _SHAPE.items():
            if type(plain[name]) not in types:
                raise ValueError(f"field {name} is a {type(plain[name]).__name__}")
        return cls(**plain | {"event_type": EventType(plain["event_type"])})


_SHAPE: Final[Mapping[str, tuple[type, ...]]] = {
    "sequence": (int,),
    "run_id": (str,),
    "event_type": (str,),
    "at": (str,),
    "capability_id": (str, type(None)),
    "parent": (int, type(None)),
    "body": (dict,),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """An event sealed into the chain.

    Attributes:
        event: What happened.
        event_bytes: The canonical bytes of the event, as they are stored.
        previous_sha256: `record_sha256` of the record before, or 64 zeros.
        record_sha256: Digest over the previous digest and the event's bytes.
        signature: Ed25519 signature over the 32 bytes of `record_sha256`.
        key_id: Which key signed.
    """

    event: Event
    event_bytes: bytes = field(repr=False)
    previous_sha256: str
    record_sha256: str
    signature: bytes = field(repr=False)
    key_id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain ends. Note one elsewhere to be able to tell later that nothing before it was cut off or rewritten.

    Attributes:
        count: Number of records.
        record_sha256: Digest of the last one, or 64 zeros when there is none.
    """

    count: int
    record_sha256: str

    def to_bytes(self) -> bytes:
        """Return the bytes that are signed."""
        return HEAD_DOMAIN + f"{self.count}\n{self.record_sha256}\n".encode("ascii")


GENESIS: Final = Head(count=0, record_sha256=GENESIS_SHA256)


@dataclass(frozen=True, slots=True, kw_only=True)
class SignedHead:
    """A head as it is stored.

    Attributes:
        head: Where the chain ends.
        key_id: Which key signed.
        signature: Ed25519 signature over `Head.to_bytes`.
    """

    head: Head
    key_id: str
    signature: bytes = field(repr=False)


def record_sha256(previous_sha256: str, event_bytes: bytes) -> str:
    """Return the digest that links an event to everything before it.

    The previous digest has a fixed length and the domain line keeps these digests apart from all others of the project.
    """
    return hashlib.sha256(RECORD_DOMAIN + bytes.fromhex(previous_sha256) + event_bytes).hexdigest()
