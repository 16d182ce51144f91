"""Where chain and keys lie inside a home directory.

Owns the names of the files and the order in which they are made. Several processes may open one home at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from cloister.audit.chain import CausalChain
from cloister.audit.signer import Signer
from cloister.audit.store import ChainStore
from cloister.clock import Clock
from cloister.errors import AuditError, KeyUnavailable


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


def open_chain(directory: Path, clock: Clock) -> CausalChain:
    """Open the chain of a home directory; directory, key and chain are made on first use.

    Args:
        directory: The home; made with mode 0700.
        clock: Says when things happen.

    Raises:
        KeyUnavailable: When the key cannot be used, or is gone although there is a chain signed with it.
        ChainBroken: When the end of the chain was tampered with, or another key signed it.
        AuditError: `audit.store` when the file cannot be opened or is not a chain.
    """
    home = AuditHome(directory)
    if home.chain_path.exists() and not home.key_path.exists():
        raise KeyUnavailable(
            f"the signing key {home.key_path} is missing, but there is a chain",
            hint="restore the key, or choose another home directory; a new key cannot continue an old chain",
        )
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise AuditError(
            f"cannot make the home directory {directory}: {error.strerror}",
            code="audit.store",
            hint="choose another one with --home or CLOISTER_HOME",
        ) from error
    signer = Signer.open(home.key_path)
    store = ChainStore.open(home.chain_path)
    try:
        return CausalChain(store, signer, clock)
    except BaseException:
        store.close()
        raise
