"""The approvals of the run that goes on.

Owns whether a call that needs a decision has one, and what happens when it has none: the request is recorded, and the
run pauses. Decisions come from the signed chain; they hold until they expire, by the clock or by any record that was
made since, of whatever run, so that turning the clock back revives nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from cloister.audit.event import EventType, Record
from cloister.canonical import encode
from cloister.clock import Clock, timestamp
from cloister.errors import ApprovalRequired, CapabilityDenied, quoted
from cloister.plan.approvals.request import ApprovalDecision, ApprovalKind, ApprovalNeed, ApprovalRequest
from cloister.plan.journal.call_journal import PendingCall

APPROVAL_ID_BYTES: Final = 8
EXPIRES_AFTER_MS: Final = 24 * 60 * 60 * 1000
"""How long a request stands when nobody says otherwise."""


@dataclass(slots=True)
class RecordedApprovals:
    """Requests and decisions of one run, from its records; the first decision about a request counts."""

    requests: dict[str, ApprovalRequest] = field(default_factory=dict)
    decisions: dict[str, ApprovalDecision] = field(default_factory=dict)
    expired: set[str] = field(default_factory=set)
    sequences: dict[str, int] = field(default_factory=dict)
    newest_at: str = ""

    @classmethod
    def read(cls, records: Iterable[Record]) -> RecordedApprovals:
        """Collect them from the records of one run, each of which was checked."""
        found = cls()
        for record in records:
            found.note(record)
        return found

    def note(self, record: Record) -> None:
        """Take in one record, in the order of the chain."""
        event = record.event
        self.newest_at = max(self.newest_at, event.at)
        match event.event_type:
            case EventType.APPROVAL_REQUESTED:
                request = ApprovalRequest.from_body(event.run_id, event.capability_id, event.body)
                self.requests[request.approval_id] = request
                self.sequences[request.approval_id] = event.sequence
            case EventType.APPROVAL_GRANTED | EventType.APPROVAL_DENIED:
                granted = event.event_type is EventType.APPROVAL_GRANTED
                decision = ApprovalDecision.from_body(event.sequence, granted, event.body)
                self.decisions.setdefault(decision.approval_id, decision)
            case EventType.APPROVAL_EXPIRED:
                self.expired.add(str(event.body.get("approval_id")))


class RunApprovals:
    """Finds decisions for the calls of one run, and asks for those that are missing.

    Args:
        run_id: The run.
        clock: Says when a request expires, and makes identifiers.
        recorded: What was asked and decided before.
        ask: Records a request, and lists it; what of it was done before is not done again.
        expire: Records that one expired.
        is_expired: Says whether one can neither be decided nor used any more; given its record, too.
        verify: Says whether a guardian's signature over these bytes is genuine.
        expires_after_ms: How long new requests stand.
    """

    def __init__(
        self,
        run_id: str,
        clock: Clock,
        recorded: RecordedApprovals,
        *,
        ask: Callable[[ApprovalRequest], None],
        expire: Callable[[ApprovalRequest], None],
        is_expired: Callable[[ApprovalRequest, int], bool],
        verify: Callable[[bytes, bytes], bool],
        expires_after_ms: int = EXPIRES_AFTER_MS,
    ) -> None:
        self._run_id = run_id
        self._clock = clock
        self._recorded = recorded
        self._ask = ask
        self._expire = expire
        self._is_expired = is_expired
        self._verify = verify
        self._expires_after_ms = expires_after_ms

    def require(
        self,
        call: PendingCall,
        capability_id: str,
        step: str | None,
        arguments: str,
        need: ApprovalNeed,
        *,
        undo_of: str | None = None,
    ) -> str:
        """Return the approval that a call has.

        Args:
            call: The call.
            capability_id: Its canonical identifier.
            step: Name of the innermost step around it.
            arguments: Its arguments as text.
            need: Why it needs one.
            undo_of: Name of the step that is being undone, or None.

        Raises:
            ApprovalRequired: Nobody decided yet; the run pauses.
            CapabilityDenied: `denied.approval`: it was denied. `denied.approval-expired`: nobody decided in time.
        """
        for request in self._recorded.requests.values():
            is_for = request.is_for(call.number, capability_id, call.arguments_sha256, step, undo_of)
            if is_for and request.need.is_same(need):
                return self._decided(request)
        request = self._new(call, capability_id, step, arguments, need, undo_of=undo_of)
        self._ask(request)
        raise _required(request)

    def _decided(self, request: ApprovalRequest) -> str:
        decision = self._recorded.decisions.get(request.approval_id)
        if decision is not None and not decision.granted:
            raise CapabilityDenied(
                f"{quoted(decision.by)} denied {request.capability_id}: {decision.reason or 'no reason was given'}",
                code="denied.approval",
                hint=f"`cloister approvals show {request.approval_id}` shows what was asked",
            )
        is_noted = request.approval_id in self._recorded.expired
        if is_noted or self._is_expired(request, self._recorded.sequences[request.approval_id]):
            if not is_noted:
                self._expire(request)
            raise CapabilityDenied(
                f"{request.capability_id} needed an approval, which was not given or not used by {request.expires_at}",
                code="denied.approval-expired",
                hint="run the plan again and approve it in time",
            )
        if decision is None:
            self._ask(request)  # its process may have ended before it was listed
            raise _required(request)
        if request.need.kind is ApprovalKind.GUARDIAN and not self._is_signed(request, decision):
            raise CapabilityDenied(
                f"the approval {request.approval_id} is not signed with the guardian's key",
                code="denied.approval",
                hint="approve it with --key and the guardian's key",
            )
        return request.approval_id

    def _is_signed(self, request: ApprovalRequest, decision: ApprovalDecision) -> bool:
        if decision.signature is None:
            return False
        return self._verify(bytes.fromhex(decision.signature), encode(request.binding()))

    def _new(
        self,
        call: PendingCall,
        capability_id: str,
        step: str | None,
        arguments: str,
        need: ApprovalNeed,
        *,
        undo_of: str | None,
    ) -> ApprovalRequest:
        now = self._clock.now()
        if self._recorded.newest_at > timestamp(now):  # the clock was turned back; it must not have expired already
            now = datetime.fromisoformat(self._recorded.newest_at)
        return ApprovalRequest(
            approval_id=f"approval-{self._clock.random_bytes(APPROVAL_ID_BYTES).hex()}",
            run_id=self._run_id,
            number=call.number,
            step=step,
            capability_id=capability_id,
            arguments=arguments,
            arguments_sha256=call.arguments_sha256,
            need=need,
            requested_at=timestamp(now),
            expires_at=timestamp(now + timedelta(milliseconds=self._expires_after_ms)),
            undo_of=undo_of,
        )


def _required(request: ApprovalRequest) -> ApprovalRequired:
    key = " --key FILE" if request.need.kind is ApprovalKind.GUARDIAN else ""
    return ApprovalRequired(
        f"{request.capability_id} needs an approval: {request.in_words()}",
        hint=f"`cloister approvals approve {request.approval_id}{key}` lets {request.run_id} go on",
        details={"approval_id": request.approval_id, "run_id": request.run_id, "expires_at": request.expires_at},
    )
