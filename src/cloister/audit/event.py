"""What a causal chain holds: events, the records that seal them, and the head that counts them.

Owns the shape of each, the bytes that are hashed, and reading them back. The bytes of a record are stored and checked
as they were written and never encoded again. Bodies are plain data and come from the runtime; a stored record may come
from an attacker and is believed only when a signed head covers it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Final

from cloister.audit.event_type import EventType as EventType  # noqa: PLC0414 - others have it from here
from cloister.canonical import Plain, encode

EVENT_BYTES_MAX: Final = 1024 * 1024
"""Largest encoded event; an append beyond it fails and verification refuses to read one."""
EMPTY_ROOT_SHA256: Final = hashlib.sha256(b"").hexdigest()
"""Root of a tree without leaves (RFC 9162, section 2.1.1)."""
NO_BODY: Final[Mapping[str, Plain]] = {}


@dataclass(frozen=True, slots=True, kw_only=True)
class Provenance:
    """For whom and under what something happened, as far as it is known; None is left out of the record.

    Attributes:
        plan_id: The plan it is part of.
        intent_id: The intent it serves.
        session_id: The session it happened in.
        step_id: The step it happened in.
        agent_id: The agent that wanted it.
        constitutional_rule_id: The rule of the constitution that decided about it.
        delegation_decision_id: The decision that delegated it.
        capability_attestation_id: The attestation of the capability concerned.
    """

    plan_id: str | None = None
    intent_id: str | None = None
    session_id: str | None = None
    step_id: str | None = None
    agent_id: str | None = None
    constitutional_rule_id: str | None = None
    delegation_decision_id: str | None = None
    capability_attestation_id: str | None = None

    def to_dict(self) -> dict[str, Plain]:
        """Return what is known."""
        return {name: value for name in PROVENANCE_NAMES if (value := getattr(self, name)) is not None}


PROVENANCE_NAMES: Final = tuple(each.name for each in fields(Provenance))
NO_PROVENANCE: Final = Provenance()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """An event that is to be appended; the chain gives it its sequence and its time.

    Attributes:
        event_type: What happened.
        run_id: The run it belongs to.
        body: Further facts: plain data without floating point, no secrets.
        capability_id: The capability concerned, or None.
        parent: Sequence of an earlier record of which this is a part or the outcome, or None.
        parent_in_group: In place of `parent`: the position of an earlier draft among those appended together, from 0.
        provenance: For whom and under what.
    """

    event_type: EventType
    run_id: str
    body: Mapping[str, Plain] = field(default_factory=dict)
    capability_id: str | None = None
    parent: int | None = None
    parent_in_group: int | None = None
    provenance: Provenance = NO_PROVENANCE


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
        provenance: For whom and under what.
        body: Further facts as plain data without floating point.
    """

    sequence: int
    run_id: str
    event_type: EventType
    at: str
    capability_id: str | None = None
    parent: int | None = None
    provenance: Provenance = NO_PROVENANCE
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
                "provenance": self.provenance.to_dict(),
                "body": self.body,
            }
        )

    @classmethod
    def from_bytes(cls, data: bytes) -> Event:
        """Read an event back.

        Raises:
            ValueError: When the bytes are not the encoding of an event.
        """
        return cls.of_fields(read_fields(data))

    @classmethod
    def of_fields(cls, plain: Mapping[str, Any]) -> Event:
        """Return the event with the fields that `read_fields` gave."""
        provenance = plain["provenance"]
        return cls(
            sequence=plain["sequence"],
            run_id=plain["run_id"],
            event_type=_TYPES[plain["event_type"]],
            at=plain["at"],
            capability_id=plain["capability_id"],
            parent=plain["parent"],
            provenance=Provenance(**provenance) if provenance else NO_PROVENANCE,
            body=plain["body"],
        )


def read_fields(data: bytes) -> dict[str, Any]:
    """Read the fields of an event as plain data, with the types they must have; for whoever needs no `Event`.

    Raises:
        ValueError: When the bytes are not the encoding of an event.
    """
    try:
        text = data.decode("ascii")
        plain, end = _DECODER.raw_decode(text)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error
    if end != len(text) or not isinstance(plain, dict) or plain.keys() != _SHAPE.keys():
        raise ValueError("not the fields of an event")
    for name, types in _SHAPE.items():
        if type(plain[name]) not in types:
            raise ValueError(f"field {name} is a {type(plain[name]).__name__}")
    if plain["event_type"] not in _TYPES:
        raise ValueError("not a known type of event")
    provenance = plain["provenance"]
    if provenance and not (
        provenance.keys() <= _PROVENANCE_SET and all(type(value) is str for value in provenance.values())
    ):
        raise ValueError("not the fields of a provenance")
    return plain


_DECODER: Final = json.JSONDecoder()
"""Made once, and told that the text is ASCII: looking for the encoding takes as long as reading a short event."""
_TYPES: Final = {each.value: each for each in EventType}
_SHAPE: Final[Mapping[str, tuple[type, ...]]] = {
    "sequence": (int,),
    "run_id": (str,),
    "event_type": (str,),
    "at": (str,),
    "capability_id": (str, type(None)),
    "parent": (int, type(None)),
    "provenance": (dict,),
    "body": (dict,),
}
_PROVENANCE_SET: Final = frozenset(PROVENANCE_NAMES)


def encode_rest(draft: Draft, parent: int | None) -> bytes:
    """Return the canonical bytes of all fields but the time and the sequence, to be completed by `complete`.

    In canonical order the time is the first field and the sequence the last. So most of the work is done before the
    sequence is known, outside the write lock.

    Raises:
        InternalError: When the body is not plain data.
    """
    return encode(
        {
            "body": draft.body,
            "capability_id": draft.capability_id,
            "event_type": draft.event_type.value,
            "parent": parent,
            "provenance": draft.provenance.to_dict(),
            "run_id": draft.run_id,
        }
    )


def complete(rest: bytes, at: str, sequence: int) -> bytes:
    """Return the bytes that `Event.to_bytes` gives for these fields."""
    return b'{"at":"%b",%b,"sequence":%d}' % (at.encode("ascii"), rest[1:-1], sequence)


@dataclass(frozen=True, kw_only=True)
class Record:
    """An event sealed into the chain.

    Attributes:
        event: What happened.
        event_bytes: The canonical bytes of the event, as they are stored.
        leaf: Its leaf in the tree: 32 bytes.
    """

    event: Event
    event_bytes: bytes = field(repr=False)
    leaf: bytes = field(repr=False)

    @cached_property
    def record_sha256(self) -> str:
        """The leaf as hexadecimal digits: the digest that names this record."""
        return self.leaf.hex()


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """Where a chain ends. Note one elsewhere to be able to tell later that nothing before it was cut off or rewritten.

    Attributes:
        count: Number of records.
        root_sha256: Root of the tree over them, 64 hexadecimal digits.
    """

    count: int
    root_sha256: str

    @property
    def root(self) -> bytes:
        """The root as 32 bytes."""
        return bytes.fromhex(self.root_sha256)


GENESIS: Final = Head(count=0, root_sha256=EMPTY_ROOT_SHA256)
