"""Making several sessions out of one: each goes on where that one is, in a machine of its own.

Owns the sequence: issue a permission for each fork, record it, and fork. A fork can do what its session could, and no
more: it is under the very decision that was made for that.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from cloister.capabilities.mounts import tree_mounts
from cloister.errors import CloisterError, InputError
from cloister.interrupts import admitted, held
from cloister.isolation.session_provider import ForkableSession, SessionContext
from cloister.plan.command import EXEC_CAPABILITY
from cloister.plan.recorder import recorded
from cloister.plan.session import Session
from cloister.plan.session_recorder import SessionRecorder

FORKS_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class _Fork:
    """One before it is made."""

    run_id: str
    recorder: SessionRecorder
    context: SessionContext


@held()
def fork_session(session: Session, count: int) -> tuple[Session, ...]:
    """Fork a session; see `Runtime.fork` for arguments and errors."""
    if isinstance(count, bool) or not isinstance(count, int) or not 1 <= count <= FORKS_MAX:
        raise InputError(
            f"a session is forked into 1 to {FORKS_MAX} others, not {count!r}", code="input.fork", hint="fork it again"
        )
    forks = [_begun(session) for _ in range(count)]

    def fail(error: CloisterError) -> None:
        for fork in forks:
            fork.recorder.session_failed(error)

    with recorded(fail):
        sandbox = session.opened.sandbox
        if not isinstance(sandbox, ForkableSession):
            raise InputError(
                f"sessions of the provider {session.provider} cannot be forked",
                code="input.fork",
                hint="open the session with the provider microvm",
            )
        with admitted():
            made = sandbox.fork([fork.context for fork in forks])
    return tuple(
        Session(replace(session.opened, sandbox=each), run_id=fork.run_id, recorder=fork.recorder)
        for fork, each in zip(forks, made, strict=True)
    )


def _begun(session: Session) -> _Fork:
    """Record that a fork begins, and issue its permission."""
    opened, terms = session.opened, session.terms
    run_id = opened.parts.new_run_id()
    recorder = SessionRecorder(opened.parts.chain, run_id)
    recorder.session_started(
        opened.decision,
        {
            "session": terms.name,
            "provider": opened.provider,
            "forked_from": session.run_id,
            "context": opened.context.to_dict(),
            "lifetime_ms": terms.lifetime_ms,
            "idle_ms": terms.idle_ms,
            "has_terminals": terms.has_terminals,
        },
    )
    decision = opened.decision
    context = SessionContext(
        execution_id=run_id,
        capability_id=EXEC_CAPABILITY,
        token=opened.parts.issuer.issue(decision, execution_id=run_id),
        limits=replace(opened.context.limits, wall_ms=terms.lifetime_ms),
        mounts=tree_mounts(decision.read_paths, decision.write_paths),
        environment=dict(opened.context.environment),
        working_directory=terms.working_directory,
        idle_ms=terms.idle_ms,
        has_terminals=terms.has_terminals,
    )
    return _Fork(run_id=run_id, recorder=recorder, context=context)
