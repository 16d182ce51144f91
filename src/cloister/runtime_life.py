"""What a runtime is made of, and its life: how it is opened, what it keeps, and how it ends.

Owns the providers and the causal chain. What can be run in it is `runtime`'s.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from cloister.audit.chain import CausalChain, close_after
from cloister.audit.event import Record
from cloister.audit.home import AuditHome, default_home, open_chain
from cloister.authority.token import TokenIssuer
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.clock import Clock, SystemClock
from cloister.errors import InputError
from cloister.isolation.factory import ProviderFactory, Surroundings
from cloister.isolation.monitoring import MonitoringStats
from cloister.isolation.provider import ProbeReport
from cloister.plan.attesting import QuotedMachine, quote_machine
from cloister.plan.host_authorizer import make_authorizer
from cloister.plan.journal.store import RunStore
from cloister.plan.parts import Journal, RunParts
from cloister.plan.ruling_constitution import ruling_constitution
from cloister.plan.session import Session

if TYPE_CHECKING:
    from cloister.isolation.microvm.config import MachineConfig

TOKEN_KEY_BYTES: Final = 32
JOURNAL_FILE: Final = "runs.sqlite3"


class RuntimeLife:
    """The part of `Runtime` that runs nothing.

    Args:
        chain: Where runs are recorded.
        home: The directory of the chain and its keys; no grant opens it.
        clock: Time and randomness.
        catalog: What plans can call.
        machines: What virtual machines are.
        journal: What runs leave behind, which this closes; that of the home when left out.
    """

    def __init__(
        self,
        chain: CausalChain,
        *,
        home: Path,
        clock: Clock,
        catalog: Catalog,
        machines: MachineConfig | None = None,
        journal: RunStore | None = None,
    ) -> None:
        # First what can fail: nothing is to be closed then
        constitution = ruling_constitution(home, chain.select)
        journal = journal or RunStore.open(home / JOURNAL_FILE)
        journal.require_not_ahead(chain.head().count)
        issuer = TokenIssuer(clock.random_bytes(TOKEN_KEY_BYTES), clock)
        self._home = home
        self._process = os.getpid()
        self._is_open = True
        self._sessions: set[Session] = set()
        self._providers = ProviderFactory(issuer.verifier(), Surroundings(home=home, clock=clock, machines=machines))
        self._parts = RunParts(
            chain=chain,
            clock=clock,
            catalog=catalog,
            authorizer=make_authorizer(catalog, protected=(os.path.realpath(home),)),
            issuer=issuer,
            journal=Journal(journal),
            constitution=constitution,
            verify_guardian=lambda signature, message: AuditHome(home).guardian().verify(signature, message),
        )

    @classmethod
    def open(
        cls,
        home: str | Path | None = None,
        *,
        clock: Clock | None = None,
        catalog: Catalog | None = None,
        machines: MachineConfig | None = None,
    ) -> Self:
        """Open the runtime whose chain and keys live in a directory; they are made when missing.

        Args:
            home: The directory; `default_home()` when left out.
            clock: Time and randomness; the system's when left out.
            catalog: What plans can call; the built-in capabilities when left out.
            machines: What the virtual machines of the microVM provider are; see `MachineConfig` for what holds when it
                is left out.

        Raises:
            AuditError: The chain there is not one of ours, or cannot be opened.
            JournalError: `journal.store`: the journal there is not one of ours, or cannot be opened.
            KeyUnavailable: Its signing key cannot be read, or others can read it.
        """
        clock = clock or SystemClock()
        directory = Path(home) if home is not None else default_home()
        chain = open_chain(directory, clock)
        try:
            return cls(chain, home=directory, clock=clock, catalog=catalog or builtin_catalog(), machines=machines)
        except BaseException as error:
            close_after(chain.close, error)
            raise

    def records(self, run_id: str | None = None) -> Iterator[Record]:
        """Yield the records of the causal chain in order, each proven by its signed head.

        Args:
            run_id: Only those of one run; None for all.

        Raises:
            ChainBroken: At the first record that was changed.
        """
        self._require_open()
        return self._parts.chain.records(run_id)

    def quote(self, *, provider: str, nonce: bytes) -> QuotedMachine:
        """Boot a measured machine and have its TPM state what it is; see `cloister.plan.attesting.quote_machine`."""
        self._require_open()
        return quote_machine(self._parts, self._providers.create(provider), nonce)

    def probe(self) -> tuple[ProbeReport, ...]:
        """Probe every provider: what works here, with the evidence."""
        return self._providers.probe_all()

    def monitoring(self) -> tuple[MonitoringStats, ...]:
        """Measure the machines that this runtime has now, by provider; nothing for providers without machines."""
        self._require_open()
        return self._providers.monitoring()

    def close(self) -> None:
        """End the sessions and the providers' processes, and close the chain. Idempotent.

        Raises:
            AuditError: `audit.anchor`: the newest head of the chain could not be noted. All is closed.
        """
        self._is_open = False
        while self._sessions:
            self._sessions.pop().close()
        self._providers.close()
        self._parts.journal.store.close()
        self._parts.chain.close()

    def _require_open(self) -> None:
        if not self._is_open:
            raise InputError("this runtime is closed", code="input.closed", hint="open another one with Runtime.open")
        if self._process != os.getpid():
            raise InputError(
                "this runtime belongs to the process this one was forked from",
                code="input.forked",
                hint="open one with Runtime.open in each process",
            )

    def __repr__(self) -> str:
        return f"Runtime({str(self._home)!r}, {'open' if self._is_open else 'closed'})"

    def __del__(self) -> None:
        if getattr(self, "_is_open", False) and self._process == os.getpid():
            warnings.warn(f"{self!r} was not closed; use it in a with statement", ResourceWarning, stacklevel=2)
            self.close()

    def __enter__(self) -> Self:
        self._require_open()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        close_after(self.close, error)
