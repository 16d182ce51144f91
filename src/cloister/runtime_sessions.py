"""Sandboxes that stay for several executions.

Owns that part of `Runtime`; how it is done is `plan.session`'s.
"""

from __future__ import annotations

from collections.abc import Mapping

from cloister.authority.context import RuntimeContext
from cloister.isolation.attestation import Expectations
from cloister.plan.forking import fork_session
from cloister.plan.session import IDLE_MS, LIFETIME_MS, Session, SessionTerms, open_session
from cloister.runtime_life import RuntimeLife


class RuntimeSessions(RuntimeLife):
    """The part of `Runtime` that deals with sessions."""

    def session(
        self,
        *,
        context: RuntimeContext,
        provider: str = "process",
        name: str | None = None,
        lifetime_ms: int = LIFETIME_MS,
        idle_ms: int = IDLE_MS,
        terminals: bool = False,
        working_directory: str | None = None,
        expected: Mapping[str, str] | None = None,
    ) -> Session:
        """Open a sandbox that stays for several executions; close it, or use it as a context manager.

        Args:
            context: What everything in it may do; needs the capability `cloister.exec`. `wall_ms` bounds each
                execution, `output_bytes` the output of each; all other limits are those of the session as a whole, but
                in a virtual machine `memory_bytes`, `processes_count`, `cpu_ms` and `io_bytes` bound each execution.
            provider: Name of the isolation provider.
            name: For people, in the record.
            lifetime_ms: When it ends, whatever runs in it.
            idle_ms: When it ends after its last execution.
            terminals: Whether executions may have a terminal.
            working_directory: Where executions begin, absolute, inside; its private temporary directory when left out.
            expected: As in `run`.

        Raises:
            ProviderUnavailable: `provider.no-sessions`: the provider has none.
            DeniedError, LimitExceeded, ProviderError, AuditError, AttestationError: As `run`.
        """
        self._require_open()
        terms = SessionTerms(
            name=name,
            lifetime_ms=lifetime_ms,
            idle_ms=idle_ms,
            has_terminals=terminals,
            working_directory=working_directory,
        )
        opened = open_session(
            self._parts,
            context=context,
            provider=self._providers.create(provider),
            terms=terms,
            expected=Expectations.parse(expected or {}),
        )
        self._sessions.add(opened)
        return opened

    def fork(self, session: Session, count: int) -> tuple[Session, ...]:
        """Make sessions that go on where an idle one is, each in a virtual machine of its own; that one goes on, too.

        Args:
            session: Of a provider of virtual machines by QEMU, with no `write` grant, and no fork itself.
            count: How many.

        Raises:
            InputError: `input.fork`: it cannot be forked.
            ProviderError, AuditError: As `session`.
        """
        self._require_open()
        forks = fork_session(session, count)
        self._sessions.update(forks)
        return forks
