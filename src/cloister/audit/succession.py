"""The files of a rotation: putting the new key in the place of the old one, and finishing what a crash left half done.

Owns steps 3 to 5 of `rotation`, each of which can be done again. The caller holds the lock of the home.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cloister.audit.signer import PublicKey, Signer, place_file, replace_file, sync_directory
from cloister.audit.store import ChainStore
from cloister.audit.trust import trusted_tree
from cloister.errors import KeyUnavailable

if TYPE_CHECKING:
    from cloister.audit.home import AuditHome


def finish(home: AuditHome) -> None:
    """Finish a rotation that was interrupted, or take it back when the chain does not know of it.

    Raises:
        ChainBroken: When the chain's end is not as it must be.
        AuditError: `audit.store` when the chain cannot be read.
        KeyUnavailable: When a key cannot be read, or the files cannot be changed.
    """
    if not os.path.lexists(home.successor_key_path):
        return
    successor = Signer.load(home.successor_key_path)
    if _is_recorded(home, successor.public_key):
        install(home, successor)
    else:
        home.successor_key_path.unlink()


def install(home: AuditHome, successor: Signer) -> None:
    """Put the new key, which lies beside the old one, in its place.

    Raises:
        KeyUnavailable: When the files cannot be changed.
    """
    old = Signer.load(home.key_path)
    try:
        retired = home.retired_key_path(old.key_id)
        if not retired.exists():
            place_file(retired, old.public_key.to_pem(), mode=0o644)
        replace_file(home.public_key_path, successor.public_key.to_pem(), mode=0o644)
        os.replace(home.successor_key_path, home.key_path)  # noqa: PTH105 - text paths
        sync_directory(home.key_path.parent)
    except OSError as error:
        raise KeyUnavailable(f"cannot put the new key in its place: {error.strerror}") from error


def _is_recorded(home: AuditHome, key: PublicKey) -> bool:
    if not home.chain_path.exists():
        return False
    store = ChainStore.open_readonly(home.chain_path)
    try:
        with store.snapshot():
            _, line = trusted_tree(store, Signer.load(home.key_path).public_key)
            return line.last.raw == key.raw
    finally:
        store.close()
