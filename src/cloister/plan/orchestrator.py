"""The host's side of a running plan: what a provider calls back.

Owns the steps that are open, the console, and where a run that somebody aborted is ended. Calls go their own way, see
`call_path`. Everything comes from a guest that may have been taken over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cloister.errors import CloisterError, GuestError, LimitExceeded, RunAborted
from cloister.interrupts import held
from cloister.plan.call_path import CallPath
from cloister.plan.call_records import CallRecord
from cloister.plan.journal.entries import CallState
from cloister.plan.profiling import ProfilesInForce

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext
    from cloister.authority.profile_stack import ProfileStack
    from cloister.clock import Clock
    from cloister.isolation.provider import WireValue
    from cloister.lang.host import OptionData
    from cloister.plan.journal.call_journal import CallJournal
    from cloister.plan.journal.entries import Abort
    from cloister.plan.observer import RunObserver
    from cloister.plan.recorder import RunRecorder
    from cloister.plan.sandbox import SandboxPort
    from cloister.plan.spending import Spending

__all__ = ["CallRecord", "PlanRun"]


@dataclass(slots=True)
class _OpenStep:
    name: str
    started_ns: int
    sequence: int
    number: int
    options: Mapping[str, OptionData] = field(default_factory=dict)


@dataclass(slots=True, kw_only=True)
class PlanRun:
    """One run of one plan; the provider calls it back as its `HostCalls`.

    Attributes:
        context: What the run may do.
        port: The way into sandboxes.
        recorder: Writes the causal chain.
        journal: Numbers calls and steps.
        clock: Time.
        observer: Watches.
        started: Sequence number of the run's first record.
        spending: The budget, which steps are charged to.
        profiles: What each step may do.
        abort: Where the run is ended, because somebody aborted it or it had ended there before; None otherwise.
        has_every_step: Whether no step is refused, so that a run that somebody aborted comes to where that is.
        handles: Open files of the run.
        parameters: Values that the run keeps for the next plan.
        memo: What the capability that is called wants to be told when the run is resumed.
        hints: The execution hints in force.
        steps_count: How many steps were entered.
        printed_bytes: How much the plan printed.
        is_undoing: Whether a step is being undone.
        undo_of: Name of that step; None while none is undone.
        has_undone: Whether a step was, or should have been.
    """

    context: RuntimeContext
    port: SandboxPort
    recorder: RunRecorder
    journal: CallJournal
    clock: Clock
    observer: RunObserver
    started: int
    spending: Spending
    profiles: ProfileStack
    abort: Abort | None = None
    has_every_step: bool = False
    handles: dict[int, object] = field(default_factory=dict)
    parameters: dict[str, Any] = field(default_factory=dict)
    memo: WireValue = None
    hints: dict[str, WireValue] = field(default_factory=dict)
    steps_count: int = 0
    printed_bytes: int = 0
    _path: CallPath | None = None
    is_undoing: bool = False
    undo_of: str | None = None
    has_undone: bool = False
    _is_aborted: bool = False
    _open_steps: list[_OpenStep] = field(default_factory=list)

    def goes_by(self, path: CallPath) -> None:
        """Say how calls are made; before the first one."""
        self._path = path

    @property
    def calls(self) -> tuple[CallRecord, ...]:
        """What was called so far."""
        return tuple(self._path.records) if self._path else ()

    def was_told(self, error: CloisterError) -> bool:
        """Return whether an error is the answer of a call: the plan would be told it again."""
        return self._path is not None and error is self._path.last_error

    @property
    def around(self) -> int:
        """The record of the innermost open step, or of the run."""
        return self._open_steps[-1].sequence if self._open_steps else self.started

    @property
    def step(self) -> str | None:
        """The name of the innermost open step."""
        return self._open_steps[-1].name if self._open_steps else None

    @property
    def step_id(self) -> str | None:
        """The identifier of the innermost open step."""
        return f"{self.port.run_id}/step-{self._open_steps[-1].number}" if self._open_steps else None

    @property
    def profile(self) -> ProfilesInForce:
        """What the open steps may do."""
        return ProfilesInForce(self.profiles)

    def exposes(self, facts: Mapping[str, Any]) -> dict[str, Any] | None:
        """Return what of the facts of the run the innermost step that says so lets calls know; None for nothing."""
        said = [step.options for step in self._open_steps]
        if next((each["expose_context"] for each in reversed(said) if "expose_context" in each), True) is False:
            return None
        keys = next((each["context_keys"] for each in reversed(said) if "context_keys" in each), None)
        whole = {**facts, "step": self.step, "parameters": dict(self.parameters)}
        return whole if not isinstance(keys, list) else {name: whole[name] for name in keys if name in whole}

    @property
    def state(self) -> PlanRun:
        """What lasts from call to call: this."""
        return self

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
        """Make one capability call, or answer it from the journal.

        Raises:
            RunAborted: The run is ended in the place of this call; once, so that what is undone can be called.
        """
        path = self._live()
        abort = self.abort
        if abort is not None and abort.at == self.journal.next_number and not (self._is_aborted or self.has_undone):
            self._is_aborted = True
            self.journal.skip_to(abort.undoes_from)
            raise RunAborted(f"the run was ended before its call {abort.at}, to be undone")
        return path.take(capability_id, arguments)

    def coming_answers(self) -> Iterator[WireValue]:
        """Yield what the next calls will be answered with from the journal, which agrees with the chain.

        It ends before a call whose answer is not certain: that failed or was not answered, in whose place the run is
        ended, or that a capability has to be told of again, which may refuse it.
        """
        for entry in self.journal.coming():
            is_place_of_end = self.abort is not None and entry.number >= self.abort.at
            if is_place_of_end or entry.state is not CallState.SUCCEEDED or entry.memo is not None:
                return
            yield entry.answer

    def _live(self) -> CallPath:
        if self._path is None:
            raise GuestError("a call came before the run began", code="guest.error")
        return self._path

    def hints_changed(self, hints: dict[str, WireValue]) -> None:
        """Record these hints with the calls from here on."""
        self.hints = hints

    @held()
    def step_started(self, name: str, options: dict[str, OptionData]) -> None:
        """Record and show that a step was entered."""
        parent = self.around
        if self.is_undoing:
            self.spending.step_of_undo(parent)
        else:
            approve = None if self.has_every_step else lambda need: self._live().step_approved(name, need)
            self.spending.step(approve, parent)  # first: a step that is refused is not one
        self.profiles.step_started(_place(options), has_undo=options.get("has_undo") is True)
        sequence = self.journal.began_step(name, lambda: self.recorder.step_started(name, parent, options))
        self.observer.step_started(name, len(self._open_steps))
        self._open_steps.append(_OpenStep(name, self.clock.monotonic_ns(), sequence, self.journal.last_step, options))
        self.steps_count += 1

    @held()
    def step_ended(self, name: str, error_code: str | None) -> None:
        """Record and show that the innermost open step ended."""
        if not self._open_steps or self._open_steps[-1].name != name:
            raise GuestError(f"the guest ended step {name!r}, which is not the innermost open one", code="guest.step")
        step = self._open_steps.pop()
        self.profiles.step_ended(is_well=error_code is None)
        if not self.journal.has_ended(step.number):
            self.recorder.step_ended(name, step.sequence, error_code)
        elapsed_us = (self.clock.monotonic_ns() - step.started_ns) // 1000
        self.observer.step_ended(name, len(self._open_steps), error_code, elapsed_us)

    @held()
    def undo_started(self, name: str, place: int) -> None:
        """Record and show that a finished step is being undone; until it is, calls belong to that."""
        self.profiles.undo_started()
        self.is_undoing = self.has_undone = True
        self.undo_of = name
        parent = self.started
        sequence = self.journal.began_step(name, lambda: self.recorder.undo_started(name, place, parent))
        self.observer.step_started(f"undo {name}", len(self._open_steps))
        self._open_steps.append(_OpenStep(name, self.clock.monotonic_ns(), sequence, self.journal.last_step))

    @held()
    def undo_ended(self, name: str, error_code: str | None) -> None:
        """Record and show that it was undone, or not."""
        step = self._open_steps.pop()
        self.profiles.undo_ended()
        self.is_undoing, self.undo_of = False, None
        if not self.journal.has_ended(step.number):
            self.recorder.undo_ended(name, step.sequence, error_code)
        elapsed_us = (self.clock.monotonic_ns() - step.started_ns) // 1000
        self.observer.step_ended(f"undo {name}", len(self._open_steps), error_code, elapsed_us)

    def leave_steps(self, error_code: str) -> None:
        """End the steps that a run left open, from the innermost; around those of an undo is the undo itself."""
        while self._open_steps:
            is_undo = self.is_undoing and len(self._open_steps) == 1
            end = self.undo_ended if is_undo else self.step_ended
            end(self._open_steps[-1].name, error_code)


def _place(options: Mapping[str, OptionData]) -> int:
    """Return which step it is; the shape of the message was checked."""
    place = options.get("place")
    return place if isinstance(place, int) else -1
