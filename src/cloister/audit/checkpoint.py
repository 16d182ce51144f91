"""Signed statements about the tree: its size and its root at one moment.

Owns their text, their signature, and reading them. Two kinds are kept apart by a line of the signed text, so that one
cannot stand for the other: the *head* says where the chain ends and is replaced by the next; an *interior* checkpoint
says what the chain contained on its way and stays. Without that line, whoever cuts off the end of a chain could put an
old checkpoint in the place of the head. Notes that are read may come from anybody.

Source: C2SP signed-note (https://c2sp.org/signed-note) and tlog-checkpoint (https://c2sp.org/tlog-checkpoint), as of
2025: Ed25519 has the signature type 0x01, and the key id is the beginning of a SHA-256 over name, type and key.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, field
from enum import Enum
from hashlib import sha256
from typing import Final

from cloister.audit.breaks import BreakReason, broken
from cloister.audit.event import Head
from cloister.audit.signer import PublicKey, Signer

ORIGIN_PREFIX: Final = "cloister/chain/"
INTERVAL_COUNT: Final = 128
"""After every so many records an interior checkpoint is kept: a rewritten record can be pinned that closely. Smaller
would cost a signature of some 30 µs for fewer records; each is verified, which takes some 100 µs."""
NOTE_BYTES_MAX: Final = 4096
_SIGNATURE_TYPE_ED25519: Final = b"\x01"
_KEY_HASH_BYTES: Final = 4
_TEXT: Final = re.compile(r"([^\s+]+)\n(0|[1-9][0-9]{0,18})\n([A-Za-z0-9+/]{43}=)\n(interior\n)?")
_SIGNATURE: Final = re.compile("\u2014 ([^\\s+]+) ([A-Za-z0-9+/]{91}=)\n")


class CheckpointKind(Enum):
    """What a checkpoint says."""

    HEAD = ""
    """The chain ends here."""
    INTERIOR = "interior\n"
    """The chain contains this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkpoint:
    """A note that was read; nothing in it is believed before its signature was checked.

    Attributes:
        origin: Names the chain.
        head: Size and root.
        kind: What it says.
        text: The signed bytes.
        key_hash: Says which key is to be tried: 4 bytes.
        signature: 64 bytes.
    """

    origin: str
    head: Head
    kind: CheckpointKind
    text: bytes = field(repr=False)
    key_hash: bytes
    signature: bytes = field(repr=False)

    def is_signed_by(self, key: PublicKey) -> bool:
        """Return whether this key signed it."""
        return self.key_hash == _key_hash(self.origin, key) and key.verify(self.signature, self.text)


def origin_of(first_key: PublicKey) -> str:
    """Return the name of the chain that begins with a key; it keeps it when the key is rotated."""
    return ORIGIN_PREFIX + first_key.key_id


def sign_checkpoint(head: Head, kind: CheckpointKind, origin: str, signer: Signer) -> bytes:
    """Return the signed note of a size and root."""
    root = b64encode(head.root).decode("ascii")
    text = f"{origin}\n{head.count}\n{root}\n{kind.value}".encode("ascii")
    signature = b64encode(_key_hash(origin, signer.public_key) + signer.sign(text)).decode("ascii")
    return text + f"\n\u2014 {origin} {signature}\n".encode()


def read_checkpoint(note: object) -> Checkpoint:
    """Read a note with one signature.

    Raises:
        ValueError: When it has not exactly the form of one.
    """
    if not isinstance(note, bytes) or len(note) > NOTE_BYTES_MAX:
        raise ValueError("not the bytes of a note")
    text, separator, signed = note.decode("utf-8").partition("\n\n")
    lines, line = _TEXT.fullmatch(text + "\n"), _SIGNATURE.fullmatch(signed)
    if not separator or lines is None or line is None:
        raise ValueError("not the lines of a signed checkpoint")
    if line[1] != lines[1]:
        raise ValueError("the signature has another name than the chain")
    root, signature = _decoded(lines[3]), _decoded(line[2])
    return Checkpoint(
        origin=lines[1],
        head=Head(count=int(lines[2]), root_sha256=root.hex()),
        kind=CheckpointKind.INTERIOR if lines[4] else CheckpointKind.HEAD,
        text=lines[0].encode("utf-8"),
        key_hash=signature[:_KEY_HASH_BYTES],
        signature=signature[_KEY_HASH_BYTES:],
    )


def checked_head(note: object, key: PublicKey, origin: str | None = None) -> Checkpoint:
    """Check a note that stands for the head of a chain: form, kind, and signature.

    Raises:
        ChainBroken: Naming the size it claims, or 0 when it claims none.
    """
    if note is None:
        raise broken(0, BreakReason.HEAD_MISSING, "the chain has no signed head")
    try:
        checkpoint = read_checkpoint(note)
    except ValueError as error:
        raise broken(0, BreakReason.HEAD_INVALID, str(error)) from error
    count = checkpoint.head.count
    if checkpoint.kind is not CheckpointKind.HEAD:
        raise broken(count, BreakReason.HEAD_INVALID, "it is a checkpoint from the way, not the end", proven_count=0)
    if checkpoint.key_hash != _key_hash(checkpoint.origin, key):
        raise broken(count, BreakReason.FOREIGN_KEY, f"the head was not signed by key {key.key_id}", proven_count=0)
    if not checkpoint.is_signed_by(key) or origin not in {None, checkpoint.origin}:
        raise broken(count, BreakReason.HEAD_INVALID, f"key {key.key_id} did not sign this head", proven_count=0)
    return checkpoint


def checked_interior(note: object, size: int, key: PublicKey, origin: str) -> Head:
    """Check a kept checkpoint: form, kind, size, and signature.

    Raises:
        ValueError: Saying what is wrong.
    """
    checkpoint = read_checkpoint(note)
    if checkpoint.kind is not CheckpointKind.INTERIOR or checkpoint.head.count != size:
        raise ValueError("it was made for another place")
    if checkpoint.origin != origin or not checkpoint.is_signed_by(key):
        raise ValueError(f"key {key.key_id} did not sign it")
    return checkpoint.head


def _key_hash(name: str, key: PublicKey) -> bytes:
    return sha256(name.encode("utf-8") + b"\n" + _SIGNATURE_TYPE_ED25519 + key.raw).digest()[:_KEY_HASH_BYTES]


def _decoded(text: str) -> bytes:
    data = b64decode(text, validate=True)
    if b64encode(data).decode("ascii") != text:
        raise ValueError("base64 with stray bits")  # otherwise one signature could be written in several ways
    return data
