"""What is appended in one transaction: requests that met, the records made of them, and the signatures over them.

Owns the order of the work: everything that does not depend on the position in the chain is encoded by the caller's
thread before the write lock is taken; inside it a record costs a digest, its place in the tree and a row. Neither reads
the chain nor decides whether it may be extended; that is `chain`.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloister.audit.checkpoint import INTERVAL_COUNT, CheckpointKind, sign_checkpoint
from cloister.audit.event import EVENT_BYTES_MAX, Draft, Event, EventType, Head, Record, complete, encode_rest
from cloister.audit.merkle import Frontier, leaf_hash
from cloister.audit.row import columns_of
from cloister.audit.signer import Signer
from cloister.audit.store import ChainStore
from cloister.audit.tree import is_stored
from cloister.errors import AppendFailed, CloisterError

_ROOM_BYTES = 100
"""Upper bound of what time and sequence add to an encoded event."""


class Request:
    """Drafts of one caller that are to be appended together.

    Args:
        drafts: In order.
        durable: Whether the caller waits for the disk.

    Raises:
        InternalError: When a body is not plain data.
        AppendFailed: When an event is too large, or names a parent in its group that does not come before it.
    """

    __slots__ = ("_staged", "drafts", "durable", "encoded", "error", "is_done", "records")

    def __init__(self, drafts: Sequence[Draft], *, durable: bool) -> None:
        self.drafts = drafts
        self.durable = durable
        self.encoded = [self._encode(number, draft) for number, draft in enumerate(drafts)]
        self.records: tuple[Record, ...] = ()
        self.error: CloisterError | None = None
        self.is_done = False
        self._staged: tuple[Record, ...] = ()

    def _encode(self, number: int, draft: Draft) -> bytes | None:
        """Return the bytes without time and sequence; None when the parent's sequence must be known first."""
        if draft.parent_in_group is not None and not 0 <= draft.parent_in_group < number:
            raise AppendFailed(f"draft {draft.parent_in_group} of the group does not come before draft {number}")
        rest = encode_rest(draft, draft.parent)
        if len(rest) > EVENT_BYTES_MAX - _ROOM_BYTES:
            raise AppendFailed(f"the event has {len(rest)} bytes; about {EVENT_BYTES_MAX} are allowed")
        return rest if draft.parent_in_group is None else None

    def stage(self, records: tuple[Record, ...]) -> None:
        """Keep the records until the transaction ended."""
        self._staged = records

    def succeed(self) -> None:
        """The transaction ended: what was staged is recorded."""
        if not self.is_done:
            self.records, self.is_done = self._staged, True

    def fail(self, error: CloisterError) -> None:
        """Nothing of it was recorded."""
        if not self.is_done:
            self.error, self.is_done = error, True


class Batch:
    """The rows and signatures of one transaction.

    Args:
        frontier: Where the tree ends; it is copied.
        origin: Name of the chain.
        signer: Signs.
        at: The time of every record of this transaction.
        successor: Signs the head in place of the signer, when its key hands over.
    """

    def __init__(
        self, frontier: Frontier, origin: str, signer: Signer, at: str, successor: Signer | None = None
    ) -> None:
        self.frontier = frontier.copy()
        self.rows: list[tuple[object, ...]] = []
        self.last_leaf: bytes | None = None
        self._nodes: list[tuple[int, int, bytes]] = []
        self._interior: list[Head] = []
        self._origin = origin
        self._signer = signer
        self._at = at
        self._head_signer = successor or signer

    def add(self, request: Request) -> None:
        """Give a request's drafts their places; one with a parent that is no earlier record fails by itself."""
        start = self.frontier.size
        for number, draft in enumerate(request.drafts):
            if draft.parent is not None and not 0 <= draft.parent < start + number:
                wrong = f"parent {draft.parent} is not an earlier record than {start + number}"
                request.fail(AppendFailed(wrong))
                return
        pairs = zip(request.drafts, request.encoded, strict=True)
        request.stage(tuple([self._seal(draft, rest, start) for draft, rest in pairs]))

    def _seal(self, draft: Draft, rest: bytes | None, start: int) -> Record:
        sequence = self.frontier.size
        parent = draft.parent if draft.parent_in_group is None else start + draft.parent_in_group
        data = complete(encode_rest(draft, parent) if rest is None else rest, self._at, sequence)
        event = Event(
            sequence=sequence,
            run_id=draft.run_id,
            event_type=draft.event_type,
            at=self._at,
            capability_id=draft.capability_id,
            parent=parent,
            provenance=draft.provenance,
            body=draft.body,
        )
        self.last_leaf = leaf = leaf_hash(data)
        self._nodes += [node for node in self.frontier.extend((leaf,)) if is_stored(node[0])]
        self.rows.append((*columns_of(event), leaf, data))
        if self.frontier.size % INTERVAL_COUNT == 0 or draft.event_type is EventType.KEY_ROTATED:
            self._interior.append(self._head())
        return Record(event=event, event_bytes=data, leaf=leaf)

    def _head(self) -> Head:
        return Head(count=self.frontier.size, root_sha256=self.frontier.root().hex())

    def write(self, store: ChainStore) -> tuple[bytes, Head]:
        """Write everything, inside the caller's transaction; return the new head, signed and plain."""
        head = self._head()
        store.insert(self.rows)
        if self._nodes:
            store.insert_nodes(self._nodes)
        for interior in self._interior:
            note = sign_checkpoint(interior, CheckpointKind.INTERIOR, self._origin, self._signer)
            store.insert_checkpoint(interior.count, note)
        note = sign_checkpoint(head, CheckpointKind.HEAD, self._origin, self._head_signer)
        store.put_head(note)
        return note, head
