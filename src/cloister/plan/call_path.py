"""The way of one call: numbered, decided, governed, noted, made, noted.

Owns the order in which that happens. The order is the security property: what the journal knows is fed back and not
made again; a decision stands before anything else; an intent before the act, in the chain and then in the journal; and
the outcome after it, in the journal and then in the chain. Capability, arguments and everything else about a call come
from a guest and are hostile.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Protocol

from cloister.errors import CapabilityDenied, CloisterError, GuestError
from cloister.isolation.wire_errors import REPLY_CLASSES, reply_error
from cloister.lang.transport import decode
from cloister.plan.call_act import CallAct, HintsInForce
from cloister.plan.call_records import CallRecord, recalled_record
from cloister.plan.governor import Occasion, Ruling, denied_by_error
from cloister.plan.journal.call_journal import recalled_error
from cloister.plan.journal.entries import CallState
from cloister.plan.record_facts import NO_OUTCOME_FACTS, IntentFacts, OutcomeFacts, shown_arguments, wire_digest
from cloister.plan.recorder import recorded
from cloister.plan.repeating import Repetition
from cloister.plan.sandbox import total

if TYPE_CHECKING:
    from cloister.authority.authorizer import Decision
    from cloister.authority.budget import Reservation
    from cloister.capabilities.capability import RunState
    from cloister.isolation.provider import Usage, WireValue
    from cloister.plan.approvals.request import ApprovalNeed
    from cloister.plan.governor import Governor
    from cloister.plan.journal.call_journal import CallJournal, PendingCall
    from cloister.plan.journal.entries import CallEntry
    from cloister.plan.observer import RunObserver
    from cloister.plan.profiling import ProfilesInForce
    from cloister.plan.recorder import RunRecorder
    from cloister.plan.sandbox import DecidedSandbox
    from cloister.plan.spending import Spending


STEP: Final = "cloister.step"
"""What approvals name in the place of a capability when more steps are asked for."""


class Around(Protocol):
    """What stands around a call: the steps and the state of its run."""

    hints: dict[str, WireValue]
    """The execution hints in force."""

    @property
    def around(self) -> int:
        """The record of the innermost open step, or of the run."""

    @property
    def step(self) -> str | None:
        """The name of the innermost open step."""

    @property
    def step_id(self) -> str | None:
        """The identifier of the innermost open step."""

    @property
    def profile(self) -> ProfilesInForce:
        """What the open steps may do."""

    @property
    def is_undoing(self) -> bool:
        """Whether a step is being undone."""

    @property
    def undo_of(self) -> str | None:
        """The name of the step that is being undone."""

    @property
    def state(self) -> RunState:
        """What lasts from call to call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class _Made:
    """A call while it is made."""

    call: PendingCall
    ruling: Ruling
    intent: int
    held: Reservation
    sandbox: DecidedSandbox


@dataclass(slots=True, kw_only=True)
class CallPath:
    """Makes the calls of one run.

    Attributes:
        act: Decides calls by the grants, and makes them.
        governor: Rules on what the grants allow.
        spending: The budget.
        recorder: Writes the causal chain.
        journal: Numbers the calls, and knows those that were made before.
        observer: Watches.
        around: What stands around the calls.
        records: What was called so far.
        last_error: What the last call that failed was answered with.
    """

    act: CallAct
    governor: Governor
    spending: Spending
    recorder: RunRecorder
    journal: CallJournal
    observer: RunObserver
    around: Around
    records: list[CallRecord] = field(default_factory=list)
    last_error: CloisterError | None = None

    def take(self, capability_id: str, arguments: list[WireValue], within: int | None = None) -> WireValue:
        """Make a call, or answer it as it was answered before.

        Args:
            capability_id: As the plan wrote it.
            arguments: Its arguments.
            within: The call whose fallback it is, or None.
        """
        digest, _ = wire_digest(arguments)
        call = self.journal.numbered(capability_id, digest, within)
        known = self.journal.known(call)
        if known is not None and known.state is not CallState.INTENDED:
            return self._recall(known, arguments)
        self.act.port.require_time_ms()
        self.journal.require_room(is_undoing=self.around.is_undoing)
        return self._decide(call, None, arguments) if known is None else self._again(call, known, arguments)

    def step_approved(self, name: str, need: ApprovalNeed) -> str:
        """Return the approval that the beginning of a step has: as that of a call which stands in its place."""
        digest, _ = wire_digest([name])
        place = self.journal.numbered(STEP, digest)
        return self.governor.approvals.require(place, STEP, self.around.step, shown_arguments([name]), need)

    def _again(self, call: PendingCall, known: CallEntry, arguments: list[WireValue]) -> WireValue:
        """Decide a call of which it is not known whether it was made, and leave the numbers of its fallbacks alone."""
        is_answered = True
        try:
            return self._decide(call, known, arguments)
        except CloisterError as error:
            is_answered = isinstance(error, REPLY_CLASSES)
            raise
        finally:
            if is_answered:
                self._repetition.leave_fallbacks(call.number, self.around.around)
            self.journal.skip_fallbacks(call.number)

    @property
    def _repetition(self) -> Repetition:
        return Repetition(self.journal, self.recorder, self.act.catalog.registry, self.spending)

    def _decide(self, call: PendingCall, known: CallEntry | None, arguments: list[WireValue]) -> WireValue:
        try:
            decision = self.act.authorize(call.capability_id, [decode(argument) for argument in arguments])
        except GuestError as error:
            place = IntentFacts(number=call.number, within=call.within)
            intent = self.recorder.malformed_intent(call.capability_id, arguments, self.around.around, place)
            self.journal.intended(call, intent, durable=False)
            self._note_failure(call, call.capability_id, intent, error)
            raise
        if not decision.allowed:
            return self._refuse(call, Ruling(decision=decision), arguments)
        repetition = self._repetition
        needs: tuple[ApprovalNeed, ...] = ()
        if known is not None:
            answer = repetition.answered_by_fallback(known)
            if answer is not None:
                return self._adopt(call, known, answer)
            refusal, needs = repetition.terms(known, decision)
            if refusal is not None:
                facts = repetition.charged(known, decision, self.around.around)
                self._note_failure(call, decision.capability_id, known.intent, refusal, facts)
                raise refusal
        ruling = self.governor.rule(decision, self._occasion(call, arguments), needs)
        if known is not None:
            repetition.note_unknown(known, decision, self.around.around)
        if not ruling.decision.allowed:
            return self._refuse(call, ruling, arguments)
        return self._go(call, ruling, arguments)

    def _occasion(self, call: PendingCall, arguments: list[WireValue]) -> Occasion:
        return Occasion(
            call=call,
            step=self.around.step,
            profile=self.around.profile,
            shown=lambda: shown_arguments(arguments),
            undo_of=self.around.undo_of,
        )

    def _refuse(self, call: PendingCall, ruling: Ruling, arguments: list[WireValue]) -> WireValue:
        """Record a denial, answer with it, and raise it."""
        decision = ruling.decision
        error = decision.error()
        intent = self._intent(call, ruling, arguments)
        self.journal.intended(call, intent, durable=False)
        self._note_failure(call, decision.capability_id, intent, error)
        self._note(decision, intent, error.code, None)
        raise error

    def _intent(self, call: PendingCall, ruling: Ruling, arguments: list[WireValue]) -> int:
        facts = IntentFacts(
            hints=self.around.hints,
            step_id=self.around.step_id,
            rule_id=ruling.rule_id,
            approval_ids=ruling.approval_ids,
            is_simulated=ruling.is_simulated,
            number=call.number,
            within=call.within,
        )
        return self.recorder.call_intent(ruling.decision, arguments, self.around.around, facts)

    def _go(self, call: PendingCall, ruling: Ruling, arguments: list[WireValue]) -> WireValue:
        decision = ruling.decision
        spec = self.act.spec(decision)

        def approve(need: ApprovalNeed) -> str:
            return self.governor.approved(decision, self._occasion(call, arguments), need)

        try:
            held = self.spending.hold(decision, spec, None if self.around.is_undoing else approve, self.around.around)
        except CapabilityDenied as error:
            return self._refuse(call, Ruling(decision=denied_by_error(decision, error)), arguments)
        with held:
            intent = self._intent(call, ruling, arguments)
            self.journal.intended(call, intent, durable=not self.act.is_repeatable(decision))
            sandbox = self.act.sandbox(decision, call, self.around.step_id, self.around.profile.bounds())
            made = _Made(call=call, ruling=ruling, intent=intent, held=held, sandbox=sandbox)
            return self._make(made, arguments)

    def _make(self, made: _Made, arguments: list[WireValue]) -> WireValue:
        decision = made.ruling.decision
        with recorded(lambda error: self._fail(made, error)):
            self.observer.call_started(decision.capability_id)
            self.around.state.memo = None
            result = self._result(made, arguments)
        usage, memo = total(made.sandbox.usages), self.around.state.memo
        charge, events = self.spending.settle(made.held, decision, self.act.spec(decision), usage)
        facts = OutcomeFacts(memo=memo, charged=charge.to_body(), is_simulated=made.ruling.is_simulated)

        def record() -> int:
            done = self.recorder.call_succeeded(made.intent, decision.capability_id, result, usage, facts)
            return done.event.sequence

        self.journal.answered(made.call, result, memo, record, durable=not self.act.is_repeatable(decision))
        self.spending.note(events, self.around.around)
        self._note(decision, made.intent, None, usage, is_simulated=made.ruling.is_simulated)
        return result

    def _result(self, made: _Made, arguments: list[WireValue]) -> WireValue:
        decision = made.ruling.decision
        if made.ruling.is_simulated:
            return self.act.stand_in(decision)
        return self.act.perform(
            made.call,
            made.sandbox,
            HintsInForce(
                arguments=arguments,
                hints=self.around.hints,
                has_failed=bool(self.journal.fallbacks(made.call.number)),
                may_spend=lambda: self.spending.hold_again(made.held),
            ),
            lambda other, given: self._fall_back(made.call, other, arguments if given is None else given),
            lambda facts: self.recorder.hint_applied(made.intent, decision.capability_id, facts),
        )

    def _fall_back(self, call: PendingCall, capability_id: str, arguments: list[WireValue]) -> WireValue:
        """Make a call the whole way, without the hints of the one in whose place it is made."""
        hints, self.around.hints = self.around.hints, {}
        try:
            return self.take(capability_id, arguments, within=call.number)
        finally:
            self.around.hints = hints

    def _adopt(self, call: PendingCall, known: CallEntry, answer: CallEntry) -> WireValue:
        """Answer a call with what its fallback came to, before the process ended that was about to."""
        self.journal.skip_to(answer.number + 1)
        charge = self.spending.charge_unmeasured(self.act.catalog.registry.require(known.capability_id))

        def record() -> int:
            facts = OutcomeFacts(memo=answer.memo, charged=charge.to_body())
            done = self.recorder.call_succeeded(known.intent, known.capability_id, answer.answer, None, facts)
            return done.event.sequence

        self.journal.answered(call, answer.answer, answer.memo, record, durable=True)
        self.records.append(recalled_record(known, None))
        return answer.answer

    def _recall(self, known: CallEntry, arguments: list[WireValue]) -> WireValue:
        """Answer a call as it was answered before; what was called in its place has been made, too."""
        self.journal.skip_fallbacks(known.number)
        failed = recalled_error(known) if known.state is CallState.FAILED else None
        self.act.restore(known, arguments, self.around.state)
        self.records.append(recalled_record(known, failed))
        if failed is not None:
            self.last_error = failed
            raise failed
        return known.answer

    def _fail(self, made: _Made, error: CloisterError) -> None:
        decision, usage = made.ruling.decision, total(made.sandbox.usages)
        charge, events = self.spending.settle(made.held, decision, self.act.spec(decision), usage)
        facts = OutcomeFacts(charged=charge.to_body(), is_simulated=made.ruling.is_simulated)
        self._note_failure(made.call, decision.capability_id, made.intent, error, facts)
        self.spending.note(events, self.around.around)
        self._note(decision, made.intent, error.code, usage)

    def _note_failure(
        self,
        call: PendingCall,
        capability_id: str,
        intent: int,
        error: CloisterError,
        facts: OutcomeFacts = NO_OUTCOME_FACTS,
    ) -> None:
        is_answered = isinstance(error, REPLY_CLASSES)
        facts = replace(facts, answer=reply_error(error)) if is_answered else facts

        def record() -> int:
            return self.recorder.call_failed(intent, capability_id, error, facts).event.sequence

        if is_answered:
            self.last_error = error
            self.journal.answered(call, error, None, record, durable=False)
        else:
            record()  # the plan gets no answer: whether it was done is not known when the run goes on

    def _note(
        self,
        decision: Decision,
        intent: int,
        error_code: str | None,
        usage: Usage | None,
        *,
        is_simulated: bool = False,
    ) -> None:
        self.records.append(
            CallRecord(
                capability_id=decision.capability_id,
                allowed=decision.allowed,
                reason=decision.reason.value,
                error_code=error_code,
                usage=usage,
                sequence=intent,
                is_simulated=is_simulated,
            )
        )
        self.observer.call_ended(decision.capability_id, error_code)
