"""What every run of a runtime shares.

Owns nothing but the record of it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.audit.chain import CausalChain
from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.token import TokenIssuer
from cloister.capabilities.catalog import Catalog
from cloister.clock import Clock
from cloister.plan.approvals.desk import ApprovalDesk
from cloister.plan.constitution_file import HomeConstitution
from cloister.plan.journal.lock import RunLock, is_driven
from cloister.plan.journal.store import RunStore

RUN_ID_BYTES = 8


@dataclass(frozen=True, slots=True)
class Journal:
    """The journal of a home, with the locks of its runs.

    Attributes:
        store: What is in it.
    """

    store: RunStore

    def drive(self, run_id: str) -> RunLock:
        """Take the right to drive a run; see `RunLock.take`."""
        return RunLock.take(self._lock_path, run_id)

    def is_driven(self, run_id: str) -> bool:
        """Return whether somebody drives a run now."""
        return is_driven(self._lock_path, run_id)

    @property
    def _lock_path(self) -> Path:
        return self.store.path.with_suffix(".lock")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What every run of a runtime shares.

    Attributes:
        chain: Where runs are recorded.
        clock: Time and randomness.
        catalog: What plans can call.
        authorizer: Decides.
        issuer: Makes permission tokens.
        journal: What runs leave behind so that they can go on.
        verify_guardian: Says whether a guardian's signature over bytes is genuine.
        constitution: The rules above every grant.
    """

    chain: CausalChain
    clock: Clock
    catalog: Catalog
    authorizer: SecurityAuthorizer
    issuer: TokenIssuer
    journal: Journal
    verify_guardian: Callable[[bytes, bytes], bool]
    constitution: HomeConstitution

    def new_run_id(self) -> str:
        """Return an identifier for one run."""
        return f"run-{self.clock.random_bytes(RUN_ID_BYTES).hex()}"

    @property
    def policies(self) -> dict[str, Any]:
        """Digests of what decides beside context and terms, by what it is."""
        return {"constitution": self.constitution.constitution.sha256}

    def desk(self) -> ApprovalDesk:
        """Return where approvals are listed and decided."""
        return ApprovalDesk(self.journal.store, self.chain, self.clock, self.verify_guardian)
