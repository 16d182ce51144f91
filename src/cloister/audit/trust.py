"""From a public key to a head that is believed, over every rotation of the key between them.

Owns the line of keys: which key signs checkpoints of which size. A `key.rotated` record hands over to the next key; the
interior checkpoint that ends with that record is signed by the old key; the head that does, and everything after, by
the new one. Whoever trusts any key of the line can follow it to its end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloister.audit.breaks import BreakReason, broken
from cloister.audit.checkpoint import Checkpoint, checked_head, checked_interior, origin_of, read_checkpoint
from cloister.audit.event import Event, EventType
from cloister.audit.merkle import leaf_hash
from cloister.audit.query import RecordQuery
from cloister.audit.row import StoredRow
from cloister.audit.signer import PublicKey
from cloister.audit.store import ChainStore
from cloister.audit.tree import Tree
from cloister.errors import KeyUnavailable

ROTATIONS: Final = RecordQuery(event_types=frozenset({EventType.KEY_ROTATED}))
_RAW_HEX_CHARS: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotation:
    """A hand-over as a record claims it.

    Attributes:
        sequence: Of the record.
        event_bytes: Of the record.
        old: The key before.
        new: The key after.
    """

    sequence: int
    event_bytes: bytes
    old: PublicKey
    new: PublicKey

    @property
    def size(self) -> int:
        """The size of the tree that ends with the record."""
        return self.sequence + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyLine:
    """The keys of a chain in their order, as its records claim.

    Attributes:
        first: The key it began with.
        rotations: The hand-overs.
        trusted: The key the reader trusts, one of the line.
    """

    first: PublicKey
    rotations: tuple[Rotation, ...]
    trusted: PublicKey

    @property
    def origin(self) -> str:
        """The name of the chain in its checkpoints."""
        return origin_of(self.first)

    @property
    def last(self) -> PublicKey:
        """The key that signs next."""
        return self.rotations[-1].new if self.rotations else self.first

    def key_of_interior(self, size: int) -> PublicKey:
        """Return the key that signs the interior checkpoint of a size: the one that ends with a rotation, the old."""
        key = self.first
        for rotation in self.rotations:
            if size <= rotation.size:
                break
            key = rotation.new
        return key

    def key_of_head(self, size: int) -> PublicKey:
        """Return the key that signs the head of a size: the one that ends with a rotation, the new.

        Otherwise a line that ends with the trusted key could be made up without it: it would have signed nothing.
        """
        return self.key_of_interior(size + 1)

    def trusted_rotations(self) -> Sequence[Rotation]:
        """Return the hand-overs after the trusted key; those before it are covered by what it signed."""
        after = [rotation.old.raw for rotation in self.rotations]
        start = after.index(self.trusted.raw) if self.trusted.raw in after else len(after)
        return self.rotations[start:]


def read_rotation(event: Event, event_bytes: bytes) -> Rotation:
    """Read what a `key.rotated` record says.

    Raises:
        ValueError: When it does not say it.
    """
    keys = []
    for name in ("previous_public_key", "public_key"):
        text = event.body.get(name)
        if not isinstance(text, str) or len(text) != _RAW_HEX_CHARS:
            raise ValueError(f"{name} is not a public key")
        try:
            keys.append(PublicKey(bytes.fromhex(text)))
        except KeyUnavailable as error:
            raise ValueError(f"{name} is not a public key") from error
    return Rotation(sequence=event.sequence, event_bytes=event_bytes, old=keys[0], new=keys[1])


def key_line(store: ChainStore, trusted: PublicKey) -> KeyLine:
    """Read the line of keys that the records claim; nothing of it is proven yet.

    Raises:
        ChainBroken: When the claims make no line, or the trusted key is not in it.
    """
    rotations: list[Rotation] = []
    for row in store.rows(ROTATIONS):
        try:
            rotations.append(_claimed(row, rotations[-1].new if rotations else None))
        except ValueError as error:
            wrong = f"not a rotation of the key: {error}"
            raise broken(row.sequence, BreakReason.UNDECODABLE, wrong, proven_count=0) from error
    first = rotations[0].old if rotations else trusted
    line = KeyLine(first=first, rotations=tuple(rotations), trusted=trusted)
    if trusted.raw not in {first.raw, *(rotation.new.raw for rotation in rotations)}:
        raise broken(0, BreakReason.FOREIGN_KEY, f"the key {trusted.key_id} never signed this chain")
    return line


def _claimed(row: StoredRow, old: PublicKey | None) -> Rotation:
    event = Event.from_bytes(row.event if isinstance(row.event, bytes) else b"")
    if event.sequence != row.sequence or event.event_type is not EventType.KEY_ROTATED:
        raise ValueError("it is another record")
    rotation = read_rotation(event, row.event)
    if old is not None and rotation.old.raw != old.raw:
        raise ValueError("it does not follow the rotation before it")
    return rotation


def head_of(store: ChainStore, line: KeyLine) -> Checkpoint:
    """Return the head, signed by the key of the line that its size demands.

    Raises:
        ChainBroken: When it is missing or wrong.
    """
    note = store.head()
    try:
        size = read_size(note)
    except ValueError as error:
        raise broken(0, BreakReason.HEAD_INVALID, str(error)) from error
    return checked_head(note, line.key_of_head(size), line.origin)


def read_size(note: object) -> int:
    """Return the size a note claims, 0 for none.

    Raises:
        ValueError: When it is not a note.
    """
    return 0 if note is None else read_checkpoint(note).head.count


def trusted_tree(store: ChainStore, trusted: PublicKey) -> tuple[Tree, KeyLine]:
    """Return the tree of a chain under a head that the trusted key, or one it was followed by, signed.

    Not every record is looked at; that is `verify`.

    Raises:
        ChainBroken: When the head, the right edge of the tree, or a hand-over of the key is wrong.

    Cost: logarithmic in the records, linear in the rotations.
    """
    line = key_line(store, trusted)
    tree = Tree(store.hashes, head_of(store, line).head)
    for rotation in line.trusted_rotations():
        _check_rotation(store, tree, line, rotation)
    return tree, line


def _check_rotation(store: ChainStore, tree: Tree, line: KeyLine, rotation: Rotation) -> None:
    if rotation.size > tree.head.count:
        raise broken(rotation.sequence, BreakReason.BEYOND_HEAD, "the head does not cover it")
    try:
        signed = checked_interior(store.checkpoint(rotation.size), rotation.size, rotation.old, line.origin)
    except ValueError as error:
        raise broken(
            rotation.sequence, BreakReason.CHECKPOINT_INVALID, f"the old key did not hand over: {error}", proven_count=0
        ) from error
    if signed.root != tree.root_at(rotation.size):
        raise broken(
            rotation.sequence, BreakReason.UNPROVEN, "the old key handed over in another chain", proven_count=0
        )
    if leaf_hash(rotation.event_bytes) != tree.leaf(rotation.sequence):
        raise broken(rotation.sequence, BreakReason.HASH_MISMATCH, "its content was changed", proven_count=0)
