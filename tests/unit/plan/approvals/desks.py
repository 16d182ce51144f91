"""A home with a chain, a journal and a desk, by a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from cloister.audit.chain import CausalChain
from cloister.audit.event import EventType
from cloister.audit.home import open_chain
from cloister.clock import Clock, ManualClock, timestamp
from cloister.plan.approvals.desk import ApprovalDesk
from cloister.plan.approvals.request import ApprovalKind, ApprovalNeed
from cloister.plan.approvals.run_approvals import RecordedApprovals, RunApprovals
from cloister.plan.journal.call_journal import PendingCall
from cloister.plan.journal.entries import RunEntry, RunState
from cloister.plan.journal.store import RunStore

CALL = PendingCall(number=2, capability_id="world.put", arguments_sha256="digest-2")
NEED = ApprovalNeed(kind=ApprovalKind.HUMAN, rule="rule:puts", reason="it changes the world", terms={"amount": 1})
GUARDED = ApprovalNeed(kind=ApprovalKind.GUARDIAN, rule="rule:guarded", reason="it is grave", terms={})
RUN_ID = "run-1"
STEP = "pay"
DAY_MS = 24 * 60 * 60 * 1000


@dataclass(frozen=True)
class Office:
    """A home."""

    chain: CausalChain
    store: RunStore
    clock: Clock
    desk: ApprovalDesk

    def recorded(self) -> RecordedApprovals:
        """Return what the chain says of the run."""
        return RecordedApprovals.read(self.chain.records(RUN_ID))

    def run(self, *, verify: bool = True) -> RunApprovals:
        """Return the approvals of the run as a process has them that lets it go on."""
        return RunApprovals(
            RUN_ID,
            self.clock,
            self.recorded(),
            ask=lambda request: self.desk.ask(request, 0),
            expire=self.desk.expire,
            is_expired=self.desk.is_expired,
            verify=lambda signature, message: verify,
        )

    def require(
        self,
        *,
        call: PendingCall = CALL,
        step: str | None = STEP,
        need: ApprovalNeed = NEED,
        undo_of: str | None = None,
    ) -> str:
        """Ask for a call as a resumed run does."""
        return self.run().require(call, call.capability_id, step, '"a" 1', need, undo_of=undo_of)


@contextmanager
def office(
    home: Path, clock: Clock | None = None, *, verify: Callable[[bytes, bytes], bool] = lambda signature, message: True
) -> Iterator[Office]:
    """Open a home in which a run began; `verify` says whether a signature is the guardian's."""
    clock = clock or ManualClock()
    with open_chain(home, clock) as chain, closing(RunStore.open(home / "runs.sqlite3")) as store:
        if not any(chain.records(RUN_ID)):
            started = chain.append(EventType.RUN_STARTED, run_id=RUN_ID).event.sequence
            at = timestamp(clock.now())
            store.begin_run(
                RunEntry(
                    run_id=RUN_ID, state=RunState.RUNNING, plan="plan", provider="mock", created_at=at, updated_at=at,
                    started=started, order={},
                )
            )  # fmt: skip
        yield Office(chain, store, clock, ApprovalDesk(store, chain, clock, verify))
