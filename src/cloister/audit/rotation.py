"""Rotation of the signing key of a home directory.

Owns the order of the steps, so that a crash between any two of them leaves a chain that can be used:

1. The new private key is on the disk, as `keys/chain.next.key`.
2. The chain has the record of the rotation under a checkpoint of the old key, and a head of the new one.
3. The old public key is kept as `keys/chain-ID.pub`.
4. `keys/chain.pub` is the new public key.
5. `keys/chain.next.key` takes the place of `keys/chain.key`; the old private key is gone.

Whoever opens the home next looks whether step 2 was reached: if so, the rest is done, otherwise the new key is removed.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.audit.home import AuditHome, locked, open_locked
from cloister.audit.signer import Signer
from cloister.audit.succession import install
from cloister.clock import Clock
from cloister.errors import AuditError


@dataclass(frozen=True, slots=True, kw_only=True)
class RotatedKey:
    """A rotation that was carried out.

    Attributes:
        sequence: Its record.
        old_key_id: The key that handed over.
        key_id: The key that signs now.
    """

    sequence: int
    old_key_id: str
    key_id: str


def rotate_key(home: AuditHome, clock: Clock, *, run_id: str) -> RotatedKey:
    """Make a new signing key and hand the chain of a home over to it.

    Args:
        home: There must be a chain.
        clock: Says when.
        run_id: Names the act in the record.

    Raises:
        AuditError: `audit.absent` when there is no chain; otherwise as opening a chain.
        AppendFailed: When the rotation cannot be recorded; the old key goes on.
        KeyUnavailable: When a key cannot be read or made.
    """
    if not home.chain_path.exists():
        raise AuditError(f"there is no causal chain in {home.directory}", code="audit.absent")
    with locked(home.directory), open_locked(home, clock) as chain:
        old_key_id = chain.key_id
        successor = Signer.create(home.successor_key_path)
        record = chain.rotate(successor, run_id=run_id)
        install(home, successor)
    return RotatedKey(sequence=record.event.sequence, old_key_id=old_key_id, key_id=successor.key_id)
