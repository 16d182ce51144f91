"""Where chain and keys lie inside a home directory.

Owns the names of the files and the order in which they are made. Several processes may open one home at once.
"""

from __future__ import annotations

import fcntl
import os
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloister.audit.chain import CausalChain
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.store import ChainStore
from cloister.audit.succession import finish
from cloister.clock import Clock
from cloister.errors import AuditError, ChainBroken, KeyUnavailable


@dataclass(frozen=True, slots=True)
class AuditHome:
    """The files of a home directory.

    Attributes:
        directory: The home.
    """

    directory: Path

    @property
    def chain_path(self) -> Path:
        """The chain."""
        return self.directory / "chain.sqlite3"

    @property
    def key_path(self) -> Path:
        """The private key, readable to its owner only."""
        return self.directory / "keys" / "chain.key"

    @property
    def public_key_path(self) -> Path:
        """The public key, for auditors."""
        return self.directory / "keys" / "chain.pub"

    def guardian(self) -> PublicKey:
        """Return the key that approvals of guardians are verified with.

        Raises:
            KeyUnavailable: There is none, or it cannot be used.
        """
        path = self.directory / "keys" / "guardian.pub"
        if not os.path.lexists(path):
            raise KeyUnavailable(
                f"the home has no guardian: there is no {path}",
                hint="have the guardian put the public half of their key there: "
                f"openssl pkey -in guardian.key -pubout -out {shlex.quote(str(path))}",
            )
        return PublicKey.load(path)

    @property
    def successor_key_path(self) -> Path:
        """The private key that is about to take the place of `key_path`."""
        return self.directory / "keys" / "chain.next.key"

    @property
    def anchor_path(self) -> Path:
        """The newest head of the chain that was noted beside the key."""
        return self.directory / "keys" / "chain.seen"

    def retired_key_path(self, key_id: str) -> Path:
        """The public key of a key that was rotated."""
        return self.directory / "keys" / f"chain-{key_id}.pub"

    def load_signer(self, key_id: str) -> Signer:
        """Return the signer with a key id, also while it is about to take its place.

        Raises:
            KeyUnavailable: When neither key has it.
        """
        for path in (self.successor_key_path, self.key_path):
            if path.exists() and (signer := Signer.load(path)).key_id == key_id:
                return signer
        raise KeyUnavailable(
            f"the key {key_id}, to which the chain was rotated, is not in {self.key_path.parent}",
            hint="restore the key",
        )


def default_home() -> Path:
    """Return where chain and keys live: `$CLOISTER_HOME`, else `cloister` below the user's state directory.

    Source: XDG Base Directory Specification 0.8 for `$XDG_STATE_HOME` and its default `~/.local/state`.
    """
    chosen = os.environ.get("CLOISTER_HOME")
    if chosen:
        return Path(chosen)
    state = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(state).expanduser() / "cloister"


def open_chain(directory: Path, clock: Clock) -> CausalChain:
    """Open the chain of a home directory; directory, key and chain are made on first use.

    Args:
        directory: The home; made with mode 0700.
        clock: Says when things happen.

    Raises:
        KeyUnavailable: When the key cannot be used, or is gone although there is a chain signed with it.
        ChainBroken: When the end of the chain was tampered with, another key signed it, or it is gone although there
            is its key.
        AuditError: `audit.store` when the file cannot be opened or is not a chain.
    """
    with locked(directory):
        return open_locked(AuditHome(directory), clock)


def open_locked(home: AuditHome, clock: Clock) -> CausalChain:
    """Do what `open_chain` does, for a caller that holds the lock of the home; raises the same.

    A home is made in an order that can be taken up again wherever it was left, by a full disk for example: an empty
    chain, which no key has signed yet, then the key, then the head that it signs.
    """
    _require_pair(home)
    finish(home)
    store = ChainStore.open(home.chain_path)
    try:
        signer = Signer.open(home.key_path)
        return CausalChain(store, signer, clock, reload=home.load_signer, anchor_path=home.anchor_path)
    except BaseException:
        store.close()
        raise


def _require_pair(home: AuditHome) -> None:
    """Refuse a key without its chain and a chain without its key: one of them was taken away."""
    has_chain, has_key = home.chain_path.exists(), home.key_path.exists()
    if has_chain and not has_key and not is_unbegun(home):
        raise KeyUnavailable(
            f"the signing key {home.key_path} is missing, but there is a chain",
            hint="restore the key, or choose another home directory; a new key cannot continue an old chain",
        )
    if has_key and not has_chain:
        raise ChainBroken(
            f"the chain {home.chain_path} is missing, but there is its signing key",
            details={"sequence": 0, "reason": "truncated"},
            hint="restore the chain; to start a new one, choose another home directory or move the keys away",
        )


def is_unbegun(home: AuditHome) -> bool:
    """Return whether the making of a home was cut off before it had a key: nothing was ever signed there."""
    if home.key_path.parent.exists() and any(home.key_path.parent.glob("chain*")):
        return False
    store = ChainStore.open_readonly(home.chain_path)
    try:
        return store.head() is None and store.last() is None
    finally:
        store.close()


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Make the home when it is missing, and keep other processes out of it while key and chain are made."""
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise AuditError(
            f"cannot use the home directory {directory}: {error.strerror}",
            code="audit.store",
            hint="choose another one with --home or CLOISTER_HOME",
        ) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
