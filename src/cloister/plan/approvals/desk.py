"""Where approvals are listed and decided, by whatever process.

Owns the way of a decision: what is asked is read from the signed chain, and the answer is signed into it before the
journal's list says so. Two who decide at once take turns, and the second is told that it was decided.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloister.audit.chain import CausalChain
from cloister.audit.event import EventType
from cloister.audit.query import RecordQuery
from cloister.audit.signer import Signer
from cloister.canonical import Plain, encode
from cloister.clock import Clock, timestamp
from cloister.errors import InputError, quoted
from cloister.plan.approvals.request import (
    ApprovalDecision,
    ApprovalKind,
    ApprovalRequest,
    ApprovalState,
    shortened,
)
from cloister.plan.approvals.run_approvals import RecordedApprovals
from cloister.plan.journal.entries import RunState
from cloister.plan.journal.lock import RunLock
from cloister.plan.journal.store import RunStore

_ROWS: Final = (
    "SELECT a.approval_id, a.run_id, r.state, r.aborts_at, r.waits_for FROM approvals a "
    "LEFT JOIN runs r ON r.run_id = a.run_id "
)
_GOES_ON: Final = frozenset(each.value for each in RunState if each.can_resume or each is RunState.RUNNING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Approval:
    """A request, and how it stands with it.

    Attributes:
        request: What was asked.
        state: How it stands.
        decision: What was answered, or None.
        requested: Sequence of the request's record.
    """

    request: ApprovalRequest
    state: ApprovalState
    decision: ApprovalDecision | None
    requested: int


class ApprovalDesk:
    """The approvals of a home.

    Args:
        store: The journal, which lists them.
        chain: Where they are recorded.
        clock: Says when they expire.
        verify: Says whether a guardian's signature over these bytes is genuine.
    """

    def __init__(
        self, store: RunStore, chain: CausalChain, clock: Clock, verify: Callable[[bytes, bytes], bool]
    ) -> None:
        self._store = store
        self._chain = chain
        self._clock = clock
        self._verify = verify

    def ask(self, request: ApprovalRequest, parent: int) -> None:
        """Record a request, then list it; one that is recorded already is listed again if it is not.

        Args:
            request: What is asked.
            parent: The record of the step or run that asks.
        """
        recorded = RecordedApprovals.read(self._chain.records(request.run_id))
        sequence = recorded.sequences.get(request.approval_id)
        if sequence is None:
            record = self._chain.append(
                EventType.APPROVAL_REQUESTED,
                run_id=request.run_id,
                capability_id=request.capability_id,
                parent=parent,
                body=request.to_body(),
            )
            sequence = record.event.sequence
        statement = (
            "INSERT INTO approvals (approval_id, run_id, number, state, requested) VALUES (?, ?, ?, 'pending', ?) "
            "ON CONFLICT DO NOTHING"
        )
        values = (request.approval_id, request.run_id, request.number, sequence)
        self._store.file.write(statement, values, durable=True)

    def is_expired(self, request: ApprovalRequest, requested: int) -> bool:
        """Return whether a request can neither be decided nor used any more: by the clock, or by any record since.

        The clock may have been turned back; then a record of whatever run tells that the time was over. Records before
        the request tell nothing, for it was made by the clock of its time.

        Args:
            request: The request.
            requested: Sequence of its record.

        Cost: linear in the records since, without reading them.
        """
        if timestamp(self._clock.now()) >= request.expires_at:
            return True
        later = RecordQuery(from_sequence=requested, since=request.expires_at, newest_count=1)
        return bool(list(self._chain.select(later)))

    def expire(self, request: ApprovalRequest) -> None:
        """Record that nobody decided in time."""
        recorded = RecordedApprovals.read(self._chain.records(request.run_id))
        record = self._chain.append(
            EventType.APPROVAL_EXPIRED,
            run_id=request.run_id,
            capability_id=request.capability_id,
            parent=recorded.sequences.get(request.approval_id),
            body={"approval_id": request.approval_id},
        )
        self._note(request.approval_id, ApprovalState.EXPIRED, record.event.sequence)

    def approvals(self, *, run_id: str | None = None) -> list[Approval]:
        """Return all requests, or those of one run, the oldest first."""
        where, values = ("", ()) if run_id is None else ("WHERE a.run_id = ? ", (run_id,))
        rows = self._store.file.read(f"{_ROWS}{where}ORDER BY a.requested", values)
        recorded: dict[str, RecordedApprovals] = {}
        for _, each, *_ in rows:
            if each not in recorded:
                recorded[each] = RecordedApprovals.read(self._chain.records(each))
        return [
            self._approval(recorded[each], approval_id, is_over=_is_over(approval_id, *run))
            for approval_id, each, *run in rows
            if approval_id in recorded[each].requests
        ]

    def approval(self, approval_id: str) -> Approval:
        """Return one request.

        Raises:
            InputError: `input.approval`: there is none of that name.
        """
        rows = self._store.file.read(f"{_ROWS}WHERE a.approval_id = ?", (approval_id,))
        if rows:
            _, run_id, *run = rows[0]
            recorded = RecordedApprovals.read(self._chain.records(run_id))
            if approval_id in recorded.requests:
                return self._approval(recorded, approval_id, is_over=_is_over(approval_id, *run))
        raise InputError(
            f"there is no approval {quoted(approval_id)}",
            code="input.approval",
            hint="`cloister approvals list` shows them",
        )

    def decide(
        self, approval_id: str, *, granted: bool, by: str, reason: str = "", guardian: Signer | None = None
    ) -> Approval:
        """Decide a request, and sign the decision into the chain.

        Args:
            approval_id: The request.
            granted: The answer.
            by: Who answers.
            reason: Why.
            guardian: The guardian's key, which approvals of that kind need.

        Raises:
            InputError: `input.approval`: there is none. `input.approval-decided`: it was decided, or it expired.
                `input.approval-guardian`: it needs the guardian's key, and another one or none was given.
                `input.run-ended`: its run ended, so that nothing would come of it.
            KeyUnavailable: The home has no key to verify a guardian with.
        """
        lock = RunLock.take(self._store.path.with_suffix(".lock"), approval_id, waits=True)
        try:
            found = self.approval(approval_id)
            self._require_open(found)
            request = found.request
            kind = EventType.APPROVAL_GRANTED if granted else EventType.APPROVAL_DENIED
            signature = None if guardian is None else guardian.sign(encode(request.binding()))
            if granted and request.need.kind is ApprovalKind.GUARDIAN:
                self._require_guardian(request, signature)  # first: what is recorded stays, and would lose the run
            body: dict[str, Plain] = {
                "approval_id": approval_id,
                "number": request.number,
                "arguments_sha256": request.arguments_sha256,
                "by": shortened(by),
                "reason": shortened(reason),
                "signature": None if signature is None else signature.hex(),
            }
            record = self._chain.append(
                kind, run_id=request.run_id, capability_id=request.capability_id, parent=found.requested, body=body
            )
            state = ApprovalState.GRANTED if granted else ApprovalState.DENIED
            self._note(approval_id, state, record.event.sequence)
            return self.approval(approval_id)
        finally:
            lock.release()

    def _require_guardian(self, request: ApprovalRequest, signature: bytes | None) -> None:
        """Refuse what the run would not take for the guardian's word."""
        if signature is None:
            raise InputError(
                f"the approval {request.approval_id} is for the guardian to give",
                code="input.approval-guardian",
                hint="sign it with the guardian's key: --key FILE",
            )
        if not self._verify(signature, encode(request.binding())):
            raise InputError(
                f"the approval {request.approval_id} is for the guardian to give, and this is another key",
                code="input.approval-guardian",
                hint="sign it with the private key that keys/guardian.pub of the home belongs to: --key FILE",
            )

    def _require_open(self, found: Approval) -> None:
        request = found.request
        if found.state is ApprovalState.WITHDRAWN:
            run = self._store.run(request.run_id)
            was_aborted = run.state.value in _GOES_ON
            raise InputError(
                f"the run {request.run_id} is {'being aborted' if was_aborted else run.state.value}; "
                f"nothing is left to decide about its call {request.number}",
                code="input.run-ended",
                hint=f"`cloister runs show {request.run_id}` says how it stands with it",
            )
        if found.state is not ApprovalState.PENDING:
            raise InputError(
                f"the approval {request.approval_id} is {found.state.value} already",
                code="input.approval-decided",
                hint=f"`cloister approvals show {request.approval_id}` says by whom; "
                f"`cloister runs resume {request.run_id}` lets its run go on",
            )

    def _approval(self, recorded: RecordedApprovals, approval_id: str, *, is_over: bool) -> Approval:
        request, decision = recorded.requests[approval_id], recorded.decisions.get(approval_id)
        if decision is not None:
            state = ApprovalState.GRANTED if decision.granted else ApprovalState.DENIED
        elif approval_id in recorded.expired:
            state = ApprovalState.EXPIRED
        elif is_over:
            state = ApprovalState.WITHDRAWN
        elif self.is_expired(request, recorded.sequences[approval_id]):
            state = ApprovalState.EXPIRED
        else:
            state = ApprovalState.PENDING
        return Approval(request=request, state=state, decision=decision, requested=recorded.sequences[approval_id])

    def _note(self, approval_id: str, state: ApprovalState, decided: int) -> None:
        statement = "UPDATE approvals SET state = ?, decided = ? WHERE approval_id = ?"
        self._store.file.write(statement, (state.value, decided, approval_id), durable=True)


def _is_over(approval_id: str, state: object, aborts_at: object, waits_for: object) -> bool:
    """Return whether the call that asks is not made any more, as the journal has its run; a decision would be in vain.

    Args:
        approval_id: What was asked.
        state: How it stands with the run; None when the journal does not have it.
        aborts_at: Where it is ended; None when nobody aborted it.
        waits_for: What it waits for, or None.
    """
    # One that was aborted may wait for an undo; the call in whose place it ended is not made
    return state not in _GOES_ON or (aborts_at is not None and waits_for not in {None, approval_id})
