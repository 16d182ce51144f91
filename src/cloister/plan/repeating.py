"""Calls of which it is not known whether they were made, because their process ended in the middle of them.

Owns what becomes of one when its run goes on: its contract says whether it is made again, a person decides, or it
fails.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.authority.contract import Idempotency
from cloister.authority.decision import Decision
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import ProviderError
from cloister.plan.approvals.request import ApprovalKind, ApprovalNeed
from cloister.plan.journal.call_journal import CallJournal
from cloister.plan.journal.entries import CallEntry, CallState
from cloister.plan.record_facts import NO_OUTCOME_FACTS, OutcomeFacts
from cloister.plan.recorder import RunRecorder
from cloister.plan.spending import Spending


def unknown_outcome(capability_id: str) -> ProviderError:
    """Return the error of a call of which it is not known whether it was made."""
    return ProviderError(
        f"whether {capability_id} was done is not known: its process ended in the middle of it",
        code="provider.outcome-unknown",
        hint="find out whether it was done; its contract says whether it may be done again",
    )


def idempotency_of(capability_id: str, registry: CapabilityRegistry, *, may_write: bool) -> Idempotency:
    """Return what may be done about a call, by its contract and by what it was allowed.

    A capability that changes the world through files alone changes nothing when it was allowed to write none.

    Args:
        capability_id: What is called.
        registry: The contracts.
        may_write: Whether the call was allowed to write files.
    """
    spec = registry.require(capability_id)
    contract = spec.contract
    only_files = contract.resources.egress_bytes == 0 and contract.resources.cost_microusd == 0
    writes_by_access = any(access.kind.value == "write" for access in spec.access)
    if contract.idempotency is Idempotency.ASK and only_files and writes_by_access and not may_write:
        return Idempotency.RETRY
    return contract.idempotency


@dataclass(frozen=True, slots=True)
class Repetition:
    """What becomes of such calls of one run.

    Attributes:
        journal: Knows what was made in their place.
        recorder: Writes the causal chain.
        registry: The contracts.
        spending: The budget, which pays for each attempt that may have been made.
    """

    journal: CallJournal
    recorder: RunRecorder
    registry: CapabilityRegistry
    spending: Spending

    def answered_by_fallback(self, known: CallEntry) -> CallEntry | None:
        """Return the fallback that was made in the place of a call and succeeded; None when there is none."""
        answers = [each for each in self.journal.fallbacks(known.number) if each.within == known.number]
        return next((each for each in answers if each.state is CallState.SUCCEEDED), None)

    def terms(self, known: CallEntry, decision: Decision) -> tuple[ProviderError | None, tuple[ApprovalNeed, ...]]:
        """Return why a call is not made again, or what somebody has to agree to before it is."""
        if self.journal.fallbacks(known.number):
            return None, ()  # it failed, or nothing would have been called in its place; only that goes on
        idempotency = idempotency_of(decision.capability_id, self.registry, may_write=bool(decision.write_paths))
        if idempotency is Idempotency.FAIL:
            return unknown_outcome(decision.capability_id), ()
        if idempotency is not Idempotency.ASK:
            return None, ()
        need = ApprovalNeed(
            kind=ApprovalKind.REPEAT,
            rule=f"contract:{decision.capability_id}",
            reason="it may have been done already, when its process ended in the middle of it; do it again?",
            terms={"intent": known.intent},
        )
        return None, (need,)

    def note_unknown(self, known: CallEntry, decision: Decision | None, around: int) -> None:
        """Charge and record an attempt of which it is not known what became.

        Args:
            known: The call.
            decision: What it is allowed now; None when it is not decided again.
            around: The record of the step or run around it.
        """
        if not self.journal.has_outcome(known):
            error, facts = unknown_outcome(known.capability_id), self.charged(known, decision, around)
            self.recorder.call_failed(known.intent, known.capability_id, error, facts)

    def charged(self, known: CallEntry, decision: Decision | None, around: int) -> OutcomeFacts:
        """Charge such an attempt, unless that was done or it was not let through; return what there is to record."""
        intent, spec = self.journal.intent(known), self.registry.find(known.capability_id)
        if intent is None or self.journal.has_outcome(known):
            return NO_OUTCOME_FACTS
        charge = None
        if intent.is_allowed and spec is not None:
            charge = self.spending.charge_attempt(spec, decision, around).to_body()
        return OutcomeFacts(charged=charge, is_simulated=intent.is_simulated)

    def leave_fallbacks(self, number: int, around: int) -> None:
        """Record that calls which were begun in the place of one do not go on, now that it is answered."""
        for each in self.journal.fallbacks(number):
            if each.number >= self.journal.next_number and each.state is CallState.INTENDED:
                self.note_unknown(each, None, around)
