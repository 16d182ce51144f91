"""Deciding a call by the grants, and making it.

Owns what stands between an authorized call and the capability: the sandbox with its tokens, the invocation, hints, and
what a resumed run brings back of capabilities that keep state. Records nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloister.authority.contract import Idempotency
from cloister.authority.stand_in import stand_in
from cloister.capabilities.capability import Invocation, RunState
from cloister.errors import GuestError, InputError, ProviderUnavailable
from cloister.interrupts import admitted
from cloister.lang.transport import decode, encode
from cloister.plan.hints.attempt import Deadline, TimedSandbox, TimedState
from cloister.plan.hints.calls import HintedCalls
from cloister.plan.hints.reading import hinted_call
from cloister.plan.repeating import idempotency_of
from cloister.plan.sandbox import DecidedSandbox, SandboxPort

if TYPE_CHECKING:
    from cloister.authority.authorizer import Decision, SecurityAuthorizer
    from cloister.authority.capability import CapabilitySpec
    from cloister.authority.context import RuntimeContext
    from cloister.authority.level import IsolationLevel
    from cloister.canonical import Plain
    from cloister.capabilities.catalog import Catalog
    from cloister.clock import Clock
    from cloister.isolation.provider import WireValue
    from cloister.lang.values import Value
    from cloister.limits import ResourceLimits
    from cloister.plan.journal.call_journal import PendingCall
    from cloister.plan.journal.entries import CallEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class HintsInForce:
    """How a call is to be made.

    Attributes:
        arguments: As the guest sent them.
        hints: Likewise, by name.
        has_failed: Whether it failed in a process that ended while something was called in its place.
        may_spend: Holds what another attempt uses; returns False when the budget does not cover it.
    """

    arguments: list[WireValue]
    hints: Mapping[str, WireValue]
    has_failed: bool = False
    may_spend: Callable[[], bool]


@dataclass(slots=True, kw_only=True)
class CallAct:
    """Decides and makes the calls of one run.

    Attributes:
        context: What the run may do.
        catalog: What can be called.
        authorizer: Decides.
        port: The way into sandboxes.
        state: What lasts from call to call.
        clock: Time.
        facts: What there is to know of the run.
        exposes: Returns what of it the open steps let calls know.
    """

    context: RuntimeContext
    catalog: Catalog
    authorizer: SecurityAuthorizer
    port: SandboxPort
    state: RunState
    clock: Clock
    facts: Mapping[str, Any]
    exposes: Callable[[Mapping[str, Any]], Mapping[str, Any] | None]
    _hinted: HintedCalls = field(init=False)

    def __post_init__(self) -> None:
        """Make what lasts from hinted call to hinted call."""
        self._hinted = HintedCalls(
            clock=self.clock, wall_ms=self.context.limits.wall_ms, time_left_ms=self.port.require_time_ms
        )

    def authorize(self, capability_id: str, values: Sequence[Value]) -> Decision:
        """Decide a call by the grants."""
        return self.authorizer.authorize(self.context, capability_id, values)

    def spec(self, decision: Decision) -> CapabilitySpec:
        """Return the specification of what is called."""
        return self.catalog.capabilities[decision.capability_id].spec

    def is_repeatable(self, decision: Decision) -> bool:
        """Return whether making a call twice is the same as making it once."""
        may_write = bool(decision.write_paths)
        return idempotency_of(decision.capability_id, self.catalog.registry, may_write=may_write) is Idempotency.RETRY

    def stand_in(self, decision: Decision) -> WireValue:
        """Return a made-up result of the right type."""
        return encode(stand_in(self.spec(decision)), self.context.limits)

    def sandbox(
        self, decision: Decision, call: PendingCall, step_id: str | None, bounds: tuple[ResourceLimits, IsolationLevel]
    ) -> DecidedSandbox:
        """Return the way into sandboxes for one call, within the bounds of its step."""
        return DecidedSandbox(
            self.port, decision, step_id=step_id, arguments_sha256=call.arguments_sha256, bounds=bounds
        )

    def perform(
        self,
        call: PendingCall,
        sandbox: DecidedSandbox,
        given: HintsInForce,
        other: Callable[[str, list[WireValue] | None], WireValue],
        applied: Callable[[Mapping[str, Plain]], object],
    ) -> WireValue:
        """Make a call the way its hints say.

        Args:
            call: The call.
            sandbox: For it, under the decision that allows it.
            given: Its arguments and hints.
            other: Makes a fallback the whole way.
            applied: Told what hints did.

        Raises:
            CloisterError: What the capability raised.
        """
        hinted = hinted_call(
            self.catalog.registry, sandbox.decision.capability_id, given.arguments, given.hints, given.may_spend
        )

        def attempt(deadline: Deadline | None) -> WireValue:
            if given.has_failed:
                raise _failed_before(sandbox.decision.capability_id)
            return encode(self._run(call, sandbox, deadline), self.context.limits)

        def fall_back(capability_id: str, values: tuple[Value, ...] | None) -> WireValue:
            return other(capability_id, None if values is None else [encode(each) for each in values])

        return self._hinted.perform(hinted, attempt, fall_back, applied)

    def _run(self, call: PendingCall, sandbox: DecidedSandbox, deadline: Deadline | None) -> Value:
        decision = sandbox.decision
        capability = self.catalog.capabilities[decision.capability_id]
        invocation = Invocation(
            arguments=decision.arguments,
            decision=decision,
            context=self.context,
            sandbox=sandbox if deadline is None else TimedSandbox(sandbox, deadline),
            state=self.state if deadline is None else TimedState(self.state, deadline),
            clock=self.clock,
            idempotency_key=f"{self.port.run_id}/call-{call.number}",
            exposed=self._exposed(decision),
        )
        try:
            with admitted():
                value = capability.run(invocation)
            return capability.spec.check_result(value)
        except InputError as error:
            # What a script printed or a plan passed may not be data RTFS knows; to the plan that is a failed call.
            raise GuestError(error.message, kind="TypeError", code=error.code, hint=error.hint) from error

    def _exposed(self, decision: Decision) -> Mapping[str, Any] | None:
        """Return what a capability may know of the run: what the context and the open steps let it know."""
        tags = self.spec(decision).effects
        if not self.context.is_context_exposure_allowed_for(decision.capability_id, tags):
            return None
        return self.exposes(self.facts)

    def restore(self, known: CallEntry, arguments: list[WireValue], state: RunState) -> None:
        """Let a capability that keeps state know that it was called; decided anew, for paths may lead elsewhere now.

        Raises:
            DeniedError: What was granted then is not granted now.
        """
        spec = self.catalog.registry.find(known.capability_id)
        if spec is None or known.memo is None:
            return
        capability = self.catalog.capabilities[spec.id]
        if capability.restore is not None:
            decision = self.authorizer.require(
                self.context, known.capability_id, [decode(argument) for argument in arguments]
            )
            capability.restore(state, decision, decode(known.answer), known.memo)


def _failed_before(capability_id: str) -> ProviderUnavailable:
    """Return the failure of a call whose fallback was begun; of the class that is not tried again."""
    return ProviderUnavailable(f"{capability_id} failed before its process ended; its fallback goes on")
