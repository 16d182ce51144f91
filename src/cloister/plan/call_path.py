"""The way of one call: numbered, decided, governed, noted, made, noted.

Owns the order in which that happens. The order is the security property: what the journal knows is fed back and not
made again; a decision stands before anything else; an intent before the act, in the chain and then in the journal; and
the outcome after it, in the journal and then in the chain. Capability, arguments and everything else about a call come
from a guest and are hostile.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from cloister.authority.contract import Idempotency
from cloister.capabilities.capability import Invocation, RunState
from cloister.errors import CapabilityDenied, CloisterError, GuestError, InputError, ProviderError
from cloister.interrupts import admitted
from cloister.isolation.wire_errors import REPLY_CLASSES
from cloister.lang.transport import decode, encode
from cloister.plan.approvals.request import ApprovalKind, ApprovalNeed
from cloister.plan.journal.call_journal import CallJournal, PendingCall, recalled_error
from cloister.plan.journal.entries import CallEntry, CallState
from cloister.plan.recorder import recorded, shown_arguments, wire_digest
from cloister.plan.sandbox import DecidedSandbox, SandboxPort, total

if TYPE_CHECKING:
    from cloister.authority.authorizer import Decision, SecurityAuthorizer
    from cloister.authority.context import RuntimeContext
    from cloister.capabilities.capability import Capability
    from cloister.capabilities.catalog import Catalog
    from cloister.clock import Clock
    from cloister.isolation.provider import Usage, WireValue
    from cloister.lang.values import Value
    from cloister.plan.approvals.run_approvals import RunApprovals
    from cloister.plan.observer import RunObserver
    from cloister.plan.recorder import RunRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of a run, as it was decided and ended.

    Attributes:
        capability_id: Canonical identifier; as the plan wrote it when the call was recalled.
        allowed: The decision.
        reason: The rule that decided, as a code.
        error_code: How it failed, or None when it succeeded.
        usage: What its sandboxes used; None when it ran none.
        sequence: Position of its intent record in the causal chain.
        is_recalled: Whether it was made before this process, and its answer taken from the journal.
    """

    capability_id: str
    allowed: bool
    reason: str
    error_code: str | None
    usage: Usage | None
    sequence: int
    is_recalled: bool = False


class Surroundings(Protocol):
    """What stands around a call: the steps and the state of its run."""

    @property
    def around(self) -> int:
        """The record of the innermost open step, or of the run."""

    @property
    def step(self) -> str | None:
        """The name of the innermost open step."""

    @property
    def hints(self) -> dict[str, WireValue]:
        """The execution hints in force."""

    @property
    def state(self) -> RunState:
        """What lasts from call to call."""


@dataclass(slots=True, kw_only=True)
class CallPath:
    """Makes the calls of one run.

    Attributes:
        context: What the run may do.
        catalog: What can be called.
        authorizer: Decides.
        port: The way into sandboxes.
        recorder: Writes the causal chain.
        journal: Numbers the calls, and knows those that were made before.
        approvals: Knows what a person decided.
        clock: Time.
        observer: Watches.
        around: What stands around the calls.
        records: What was called so far.
        last_error: What the last call that failed was answered with.
    """

    context: RuntimeContext
    catalog: Catalog
    authorizer: SecurityAuthorizer
    port: SandboxPort
    recorder: RunRecorder
    journal: CallJournal
    approvals: RunApprovals
    clock: Clock
    observer: RunObserver
    around: Surroundings
    records: list[CallRecord] = field(default_factory=list)
    last_error: CloisterError | None = None

    def take(self, capability_id: str, arguments: list[WireValue]) -> WireValue:
        """Make a call, or answer it as it was answered before."""
        digest, _ = wire_digest(arguments)
        call = self.journal.numbered(capability_id, digest)
        known = self.journal.known(call)
        if known is not None and known.state is not CallState.INTENDED:
            return self._recall(known, arguments)
        self.port.require_time_ms()
        return self._decide(call, known, arguments)

    def _decide(self, call: PendingCall, known: CallEntry | None, arguments: list[WireValue]) -> WireValue:
        values = [decode(argument) for argument in arguments]
        try:
            decision = self.authorizer.authorize(self.context, call.capability_id, values)
        except GuestError as error:
            intent = self.recorder.malformed_intent(call.capability_id, arguments, self.around.around)
            self.journal.intended(call, intent, durable=False)
            self._note_failure(call, call.capability_id, intent, error, durable=False)
            raise
        if known is not None and decision.allowed:
            self._require_repeatable(call, known, decision, arguments)
        durable = decision.allowed and not self._is_repeatable(decision)
        intent = self.recorder.call_intent(decision, arguments, self.around.around, self.around.hints)
        self.journal.intended(call, intent, durable=durable)
        return self._make(call, decision, intent, durable=durable)

    def _make(self, call: PendingCall, decision: Decision, intent: int, *, durable: bool) -> WireValue:
        sandbox = DecidedSandbox(self.port, decision)
        with recorded(lambda error: self._fail(call, decision, intent, error, sandbox, durable=durable)):
            decision.require()
            self.observer.call_started(decision.capability_id)
            self.around.state.memo = None
            result = encode(self._perform(call, decision, sandbox), self.context.limits)
        usage, memo = total(sandbox.usages), self.around.state.memo

        def record() -> int:
            last = self.recorder.call_succeeded(intent, decision.capability_id, result, usage, memo=memo)
            return last.event.sequence

        self.journal.answered(call, result, memo, record, durable=durable)
        self._note(decision, intent, None, usage)
        return result

    def _perform(self, call: PendingCall, decision: Decision, sandbox: DecidedSandbox) -> Value:
        capability = self._capability(decision)
        try:
            with admitted():
                value = capability.run(self._invocation(call, decision, sandbox))
            return capability.spec.check_result(value)
        except InputError as error:
            # What a script printed or a plan passed may not be data RTFS knows; to the plan that is a failed call.
            raise GuestError(error.message, kind="TypeError", code=error.code, hint=error.hint) from error

    def _invocation(self, call: PendingCall, decision: Decision, sandbox: DecidedSandbox) -> Invocation:
        return Invocation(
            arguments=decision.arguments,
            decision=decision,
            context=self.context,
            sandbox=sandbox,
            state=self.around.state,
            clock=self.clock,
            idempotency_key=f"{self.journal.run_id}/call-{call.number}",
        )

    def _capability(self, decision: Decision) -> Capability:
        return self.catalog.capabilities[decision.capability_id]

    def _is_repeatable(self, decision: Decision) -> bool:
        return self._capability(decision).spec.contract.idempotency is Idempotency.RETRY

    def _require_repeatable(
        self, call: PendingCall, known: CallEntry, decision: Decision, arguments: list[WireValue]
    ) -> None:
        """Refuse to make a call again that may have been made, unless its contract or a person allows it.

        Raises:
            ProviderError: `provider.outcome-unknown`: it is never made again.
            ApprovalRequired, CapabilityDenied: A person has to decide, or decided against it.
        """
        unknown = ProviderError(
            f"whether {decision.capability_id} was done is not known: its process ended in the middle of it",
            code="provider.outcome-unknown",
            hint="find out whether it was done; its contract says that it is not made again",
        )
        match self._capability(decision).spec.contract.idempotency:
            case Idempotency.FAIL:
                self._note_failure(call, decision.capability_id, known.intent, unknown, durable=True)
                raise unknown
            case Idempotency.ASK:
                need = ApprovalNeed(
                    kind=ApprovalKind.REPEAT,
                    rule=f"contract:{decision.capability_id}",
                    reason="it may have been done already, when its process ended in the middle of it; do it again?",
                    terms={"intent": known.intent},
                )
                try:
                    self.approvals.require(
                        call, decision.capability_id, self.around.step, shown_arguments(arguments), need
                    )
                except CapabilityDenied as error:
                    self._note_failure(call, decision.capability_id, known.intent, error, durable=True)
                    raise
        self.recorder.call_failed(known.intent, decision.capability_id, unknown)

    def _recall(self, known: CallEntry, arguments: list[WireValue]) -> WireValue:
        """Answer a call as it was answered before."""
        failed = recalled_error(known) if known.state is CallState.FAILED else None
        self._restore(known, arguments)
        record = CallRecord(
            capability_id=known.capability_id,
            allowed=failed is None or not failed.code.startswith("denied."),
            reason="recalled",
            error_code=failed.code if failed else None,
            usage=None,
            sequence=known.intent,
            is_recalled=True,
        )
        self.records.append(record)
        if failed is not None:
            self.last_error = failed
            raise failed
        return known.answer

    def _restore(self, known: CallEntry, arguments: list[WireValue]) -> None:
        """Let a capability that keeps state know that it was called; decided anew, for paths may lead elsewhere now.

        Raises:
            DeniedError: What was granted then is not granted now.
        """
        spec = self.catalog.registry.find(known.capability_id)
        if spec is None or known.memo is None:
            return
        restore = self.catalog.capabilities[spec.id].restore
        if restore is not None:
            values = [decode(argument) for argument in arguments]
            decision = self.authorizer.require(self.context, known.capability_id, values)
            restore(self.around.state, decision, decode(known.answer), known.memo)

    def _fail(
        self,
        call: PendingCall,
        decision: Decision,
        intent: int,
        error: CloisterError,
        sandbox: DecidedSandbox,
        *,
        durable: bool,
    ) -> None:
        self._note_failure(call, decision.capability_id, intent, error, durable=durable)
        self._note(decision, intent, error.code, total(sandbox.usages))

    def _note_failure(
        self, call: PendingCall, capability_id: str, intent: int, error: CloisterError, *, durable: bool
    ) -> None:
        def record() -> int:
            return self.recorder.call_failed(intent, capability_id, error).event.sequence

        if isinstance(error, REPLY_CLASSES):
            self.last_error = error
            self.journal.answered(call, error, None, record, durable=durable)
        else:
            record()  # the plan gets no answer: whether it was done is not known when the run goes on

    def _note(self, decision: Decision, intent: int, error_code: str | None, usage: Usage | None) -> None:
        self.records.append(
            CallRecord(
                capability_id=decision.capability_id,
                allowed=decision.allowed,
                reason=decision.reason.value,
                error_code=error_code,
                usage=usage,
                sequence=intent,
            )
        )
        self.observer.call_ended(decision.capability_id, error_code)
