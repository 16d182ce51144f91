"""Proofs that can be handed over: that a record is in the chain, that the chain contains what it was before.

Owns their JSON form, making them from a reader and checking them with nothing but a public key. A proof that is checked
may come from anybody; its size is bounded, and nothing in it is believed before the signature and the path hold.
"""

from __future__ import annotations

import binascii
import json
from base64 import b64decode, b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from cloister.audit.checkpoint import Checkpoint, CheckpointKind, read_checkpoint
from cloister.audit.event import EVENT_BYTES_MAX, Event, Head
from cloister.audit.merkle import (
    HASH_BYTES,
    PATH_COUNT_MAX,
    consistency_path,
    inclusion_path,
    is_consistent,
    leaf_hash,
    root_of_inclusion,
)
from cloister.audit.reader import ChainReader
from cloister.audit.signer import PublicKey
from cloister.canonical import Plain
from cloister.errors import AuditError, InputError, quoted

FORMAT: Final = "cloister/proof/v1"
PROOF_BYTES_MAX: Final = 2 * EVENT_BYTES_MAX
_SIZE_MAX: Final = 2**63 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ProvenFact:
    """What a proof proves.

    Attributes:
        head: Of the chain, as the signed checkpoint has it.
        origin: Name of the chain.
        key_id: Who signed.
        index: The record that is in the chain; None for a proof of consistency.
        leaf_sha256: Digest of that record; None likewise.
        event: The record, where the proof has it; None otherwise.
        first: The earlier head that the chain continues; None for a proof of inclusion.
    """

    head: Head
    origin: str
    key_id: str
    index: int | None = None
    leaf_sha256: str | None = None
    event: Event | None = None
    first: Head | None = None


def inclusion(reader: ChainReader, sequence: int) -> dict[str, Plain]:
    """Return the proof of inclusion of a record: its position, the size of the tree, and the path to its root.

    This part depends on the record alone; `prove_record` makes the document with checkpoint and event.

    Raises:
        AuditError: `audit.record` when there is no such record.
        ChainBroken: When what is stored is not proven.

    Cost: logarithmic in the records.
    """
    reader.require_sequence(sequence)
    path = inclusion_path(sequence, reader.head.count, reader.tree.node)
    return {"index": sequence, "size": reader.head.count, "path": _text(b"".join(path))}


def prove_record(reader: ChainReader, sequence: int, *, with_event: bool = True) -> dict[str, Plain]:
    """Return the document that proves that a record is in the chain.

    Args:
        reader: Of the chain.
        sequence: The record.
        with_event: Whether the document holds the record itself, and not its digest alone.

    Raises:
        AuditError: `audit.record` when there is no such record.
        ChainBroken: When what is stored is not proven.
    """
    record = reader.record(sequence)
    document: dict[str, Plain] = {
        "format": FORMAT,
        "kind": "inclusion",
        **inclusion(reader, sequence),
        "leaf": _text(record.leaf),
        "root": _text(reader.head.root),
        "checkpoint": reader.note.decode("utf-8"),
    }
    return document | ({"event": record.event_bytes.decode("ascii")} if with_event else {})


def prove_consistency(reader: ChainReader, first_count: int) -> dict[str, Plain]:
    """Return the document that proves that the chain continues what it was when it had fewer records.

    Args:
        reader: Of the chain.
        first_count: So many records it had.

    Raises:
        AuditError: `audit.record` when it has fewer.
        ChainBroken: When what is stored is not proven.
    """
    if first_count:
        reader.require_sequence(first_count - 1)
    count = reader.head.count
    path = consistency_path(first_count, count, reader.tree.node) if 0 < first_count < count else ()
    return {
        "format": FORMAT,
        "kind": "consistency",
        "first": first_count,
        "first_root": _text(reader.tree.root_at(first_count)),
        "size": count,
        "path": _text(b"".join(path)),
        "root": _text(reader.head.root),
        "checkpoint": reader.note.decode("utf-8"),
    }


def verify_proof(data: bytes, key: PublicKey) -> ProvenFact:
    """Check a proof with nothing but a public key.

    Args:
        data: The JSON document.
        key: The key that signs the chain, obtained on another way than the proof.

    Raises:
        InputError: `input.proof` when it is not a proof of this format.
        AuditError: `audit.proof` when it proves nothing.
    """
    document = _Document.read(data)
    checkpoint = _signed(document, key)
    root = document.hash("root")
    if checkpoint.head.root != root or checkpoint.head.count != document.number("size"):
        raise _refused("it was made for another tree than the signed one")
    if document.text("kind") == "inclusion":
        return _included(document, checkpoint, key)
    if document.text("kind") == "consistency":
        return _continued(document, checkpoint, key)
    raise _malformed(f"it is of the kind {quoted(document.text('kind'))}")


def _included(document: _Document, checkpoint: Checkpoint, key: PublicKey) -> ProvenFact:
    index, leaf, head = document.number("index"), document.hash("leaf"), checkpoint.head
    if root_of_inclusion(index, head.count, leaf, document.path()) != head.root:
        raise _refused(f"its path does not lead from record {index} to the signed root")
    event = None
    if document.has("event"):
        data = document.text("event").encode("utf-8")
        if leaf_hash(data) != leaf:
            raise _refused("the record in it is not the one whose digest is proven")
        try:
            event = Event.from_bytes(data)
        except ValueError as error:
            raise _refused(f"the record in it cannot be read: {error}") from error
        if event.sequence != index:
            raise _refused(f"the record in it was written as record {event.sequence}")
    return ProvenFact(
        head=head,
        origin=checkpoint.origin,
        key_id=key.key_id,
        index=index,
        leaf_sha256=leaf.hex(),
        event=event,
    )


def _continued(document: _Document, checkpoint: Checkpoint, key: PublicKey) -> ProvenFact:
    first, first_root, head = document.number("first"), document.hash("first_root"), checkpoint.head
    if not is_consistent(first, head.count, first_root, head.root, document.path()):
        raise _refused(f"the signed chain does not continue the one of {first} records")
    earlier = Head(count=first, root_sha256=first_root.hex())
    return ProvenFact(head=head, origin=checkpoint.origin, key_id=key.key_id, first=earlier)


def _signed(document: _Document, key: PublicKey) -> Checkpoint:
    try:
        checkpoint = read_checkpoint(document.text("checkpoint").encode("utf-8"))
    except ValueError as error:
        raise _malformed(f"its checkpoint is not one: {error}") from error
    if checkpoint.kind is not CheckpointKind.HEAD or not checkpoint.is_signed_by(key):
        raise _refused(f"key {key.key_id} did not sign its checkpoint as a head")
    return checkpoint


@dataclass(frozen=True, slots=True)
class _Document:
    """The members of a proof that was read; each is checked when it is asked for."""

    members: Mapping[str, Any]

    @classmethod
    def read(cls, data: bytes) -> _Document:
        if len(data) > PROOF_BYTES_MAX:
            raise _malformed(f"it has more than {PROOF_BYTES_MAX} bytes")
        try:
            members = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise _malformed("it is not JSON") from error
        if not isinstance(members, dict) or members.get("format") != FORMAT:
            raise _malformed(f"its format is not {FORMAT}")
        return cls(members)

    def has(self, name: str) -> bool:
        return name in self.members

    def text(self, name: str) -> str:
        value = self.members.get(name)
        if not isinstance(value, str):
            raise _malformed(f"it has no text named {name}")
        return value

    def number(self, name: str) -> int:
        value = self.members.get(name)
        if type(value) is not int or not 0 <= value <= _SIZE_MAX:
            raise _malformed(f"it has no number named {name}")
        return value

    def decoded(self, name: str) -> bytes:
        try:
            return b64decode(self.text(name).encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError) as error:
            raise _malformed(f"its {name} is not base64") from error

    def hash(self, name: str) -> bytes:
        value = self.decoded(name)
        if len(value) != HASH_BYTES:
            raise _malformed(f"its {name} has not {HASH_BYTES} bytes")
        return value

    def path(self) -> Sequence[bytes]:
        joined = self.decoded("path")
        if len(joined) % HASH_BYTES or len(joined) > PATH_COUNT_MAX * HASH_BYTES:
            raise _malformed("its path is not a list of hashes")
        return [joined[start : start + HASH_BYTES] for start in range(0, len(joined), HASH_BYTES)]


def _text(data: bytes) -> str:
    return b64encode(data).decode("ascii")


def _malformed(why: str) -> InputError:
    return InputError(
        f"this is not a proof: {why}", code="input.proof", hint="use what `cloister audit prove --json` prints"
    )


def _refused(why: str) -> AuditError:
    return AuditError(
        f"the proof does not hold: {why}",
        code="audit.proof",
        hint="ask for another one, and for the key on another way than the proof",
    )
