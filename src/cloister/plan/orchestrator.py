"""The host's side of a running plan: every call is authorized, recorded, executed, recorded.

Owns the order in which that happens. The order is the security property: a decision before anything else, an intent
record before the act, an outcome record after it, whether it was allowed or denied.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cloister.capabilities.capability import Invocation
from cloister.errors import CloisterError, GuestError, InputError, LimitExceeded
from cloister.interrupts import admitted, held
from cloister.lang.transport import decode, encode
from cloister.plan.hints.attempt import Deadline, TimedSandbox, TimedState
from cloister.plan.hints.calls import HintedCalls
from cloister.plan.hints.reading import hinted_call
from cloister.plan.recorder import recorded
from cloister.plan.sandbox import DecidedSandbox, SandboxPort, total

if TYPE_CHECKING:
    from cloister.authority.authorizer import Decision, SecurityAuthorizer
    from cloister.authority.context import RuntimeContext
    from cloister.capabilities.catalog import Catalog
    from cloister.clock import Clock
    from cloister.isolation.provider import Usage, WireValue
    from cloister.lang.values import Value
    from cloister.plan.observer import RunObserver
    from cloister.plan.recorder import RunRecorder


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of a run, as it was decided and ended.

    Attributes:
        capability_id: Canonical identifier.
        allowed: The decision.
        reason: The rule that decided, as a code.
        error_code: How it failed, or None when it succeeded.
        usage: What its sandboxes used; None when it ran none.
        sequence: Position of its intent record in the causal chain.
    """

    capability_id: str
    allowed: bool
    reason: str
    error_code: str | None
    usage: Usage | None
    sequence: int


@dataclass(slots=True)
class _OpenStep:
    name: str
    started_ns: int
    sequence: int


@dataclass(slots=True, kw_only=True)
class PlanRun:
    """One run of one plan; the provider calls it back as its `HostCalls`.

    Attributes:
        context: What the run may do.
        catalog: What can be called.
        authorizer: Decides.
        port: The way into sandboxes.
        recorder: Writes the causal chain.
        clock: Time.
        observer: Watches.
        started: Sequence number of the run's first record.
        calls: What was called so far.
        handles: Open files of the run.
        steps_count: How many steps were entered.
        printed_bytes: How much the plan printed.
    """

    context: RuntimeContext
    catalog: Catalog
    authorizer: SecurityAuthorizer
    port: SandboxPort
    recorder: RunRecorder
    clock: Clock
    observer: RunObserver
    started: int
    calls: list[CallRecord] = field(default_factory=list)
    handles: dict[int, object] = field(default_factory=dict)
    steps_count: int = 0
    printed_bytes: int = 0
    _open_steps: list[_OpenStep] = field(default_factory=list)
    _hints: dict[str, WireValue] = field(default_factory=dict)
    _hinted: HintedCalls = field(init=False)

    def __post_init__(self) -> None:
        """Make what lasts from hinted call to hinted call."""
        self._hinted = HintedCalls(
            clock=self.clock, wall_ms=self.context.limits.wall_ms, time_left_ms=self.port.require_time_ms
        )

    def console(self, text: str) -> None:
        """Show a printed line to the observer, within the limit of the whole run."""
        self.printed_bytes += len(text.encode()) + 1
        allowed = self.context.limits.output_bytes
        if self.printed_bytes > allowed:
            raise LimitExceeded(
                f"the plan printed more than {allowed} bytes",
                limit="output_bytes",
                allowed=allowed,
                used=self.printed_bytes,
                unit="bytes",
                hint="print less, or write it to a file",
            )
        self.observer.printed(text)

    def time_left_ms(self) -> int:
        """Return how long the run may still take; see `RunState.time_left_ms`."""
        return self.port.require_time_ms()

    @held()
    def call(self, capability_id: str, arguments: list[WireValue]) -> WireValue:
        """Authorize, record and execute one capability call."""
        self.port.require_time_ms()
        values = [decode(argument) for argument in arguments]
        try:
            decision = self.authorizer.authorize(self.context, capability_id, values)
        except GuestError as error:
            intent = self.recorder.malformed_intent(capability_id, arguments, self._around)
            self.recorder.call_failed(intent, capability_id, error)
            raise
        intent = self.recorder.call_intent(decision, arguments, self._around, self._hints)
        sandbox = DecidedSandbox(self.port, decision)
        with recorded(lambda error: self._fail_call(decision, intent, error, sandbox)):
            decision.require()
            self.observer.call_started(decision.capability_id)
            result = self._perform_hinted(decision, arguments, intent, sandbox)
        usage = total(sandbox.usages)
        self.recorder.call_succeeded(intent, decision.capability_id, result, usage)
        self._note(decision, intent, None, usage)
        return result

    def _fail_call(self, decision: Decision, intent: int, error: CloisterError, sandbox: DecidedSandbox) -> None:
        self.recorder.call_failed(intent, decision.capability_id, error)
        self._note(decision, intent, error.code, total(sandbox.usages))

    def _perform_hinted(
        self, decision: Decision, arguments: list[WireValue], intent: int, sandbox: DecidedSandbox
    ) -> WireValue:
        call = hinted_call(self.catalog.registry, decision.capability_id, arguments, self._hints)
        key = f"{self.port.run_id}/{intent}"  # of all attempts; a fallback has an intent of its own
        return self._hinted.perform(
            call,
            lambda deadline: encode(self._perform(decision, sandbox, key, deadline), self.context.limits),
            lambda other, given: self._fall_back(
                other, arguments if given is None else [encode(each) for each in given]
            ),
            lambda facts: self.recorder.hint_applied(intent, call.capability_id, facts),
        )

    def _fall_back(self, capability_id: str, arguments: list[WireValue]) -> WireValue:
        """Make a call the whole way, without the hints of the one it stands for."""
        hints, self._hints = self._hints, {}
        try:
            return self.call(capability_id, arguments)
        finally:
            self._hints = hints

    def _perform(self, decision: Decision, sandbox: DecidedSandbox, key: str, deadline: Deadline | None) -> Value:
        capability = self.catalog.capabilities[decision.capability_id]
        invocation = Invocation(
            arguments=decision.arguments,
            decision=decision,
            context=self.context,
            sandbox=sandbox if deadline is None else TimedSandbox(sandbox, deadline),
            state=self if deadline is None else TimedState(self, deadline),
            clock=self.clock,
            idempotency_key=key,
        )
        try:
            with admitted():
                value = capability.run(invocation)
            return capability.spec.check_result(value)
        except InputError as error:
            # What a script printed or a plan passed may not be data RTFS knows; to the plan that is a failed call.
            raise GuestError(error.message, kind="TypeError", code=error.code, hint=error.hint) from error

    def _note(self, decision: Decision, intent: int, error_code: str | None, usage: Usage | None) -> None:
        self.calls.append(
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

    @property
    def _around(self) -> int:
        """The record of the innermost open step, or of the run."""
        return self._open_steps[-1].sequence if self._open_steps else self.started

    def hints_changed(self, hints: dict[str, WireValue]) -> None:
        """Record these hints with the calls from here on."""
        self._hints = hints

    @held()
    def step_started(self, name: str, options: dict[str, bool | str | list[str]]) -> None:
        """Record and show that a step was entered."""
        sequence = self.recorder.step_started(name, self._around, options)
        self.observer.step_started(name, len(self._open_steps))
        self._open_steps.append(_OpenStep(name, self.clock.monotonic_ns(), sequence))
        self.steps_count += 1

    @held()
    def step_ended(self, name: str, error_code: str | None) -> None:
        """Record and show that the innermost open step ended."""
        if not self._open_steps or self._open_steps[-1].name != name:
            raise GuestError(f"the guest ended step {name!r}, which is not the innermost open one", code="guest.step")
        step = self._open_steps.pop()
        self.recorder.step_ended(name, step.sequence, error_code)
        elapsed_us = (self.clock.monotonic_ns() - step.started_ns) // 1000
        self.observer.step_ended(name, len(self._open_steps), error_code, elapsed_us)

    def fail(self, error: CloisterError) -> None:
        """Record the end of a run that raised; the steps it left open are ended first, from the innermost."""
        while self._open_steps:
            self.step_ended(self._open_steps[-1].name, error.code)
        self.recorder.run_failed(self.started, error)
