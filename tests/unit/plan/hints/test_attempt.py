"""Deadlines of attempts: they shorten what a capability has, and leave the run's own limits what they are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from cloister.authority.decision import Decision
from cloister.clock import ManualClock
from cloister.errors import GuestError, LimitExceeded
from cloister.isolation.provider import ExecutionResult, GuestOperation
from cloister.plan.hints.attempt import Deadline, TimedSandbox, TimedState

WORK = GuestOperation(name="nothing", arguments={})


@dataclass
class TableSandbox:
    """A sandbox that notes the time it was given, and does what a test says."""

    act: Callable[[int | None], None] = lambda _: None
    given_ms: list[int | None] = field(default_factory=list)
    decisions: list[Any] = field(default_factory=list)

    def under(self, decision: Decision) -> TableSandbox:
        self.decisions.append(decision)
        return self

    def execute(self, workload: Any, *, wall_ms: int | None = None, **_: Any) -> ExecutionResult:
        self.given_ms.append(wall_ms)
        self.act(wall_ms)
        return cast("ExecutionResult", workload)


@dataclass
class TableState:
    """A run that has this much time left."""

    left_ms: int = 1_000
    shown: list[str] = field(default_factory=list)
    handles: dict[int, object] = field(default_factory=dict)

    def console(self, text: str) -> None:
        self.shown.append(text)

    def time_left_ms(self) -> int:
        if self.left_ms < 1:
            raise exceeded(30_000)
        return self.left_ms


def exceeded(allowed: int, limit: str = "wall_ms") -> LimitExceeded:
    return LimitExceeded("too long", limit=limit, allowed=allowed, unit="ms")


def raising(error: Exception) -> Callable[[int | None], None]:
    def act(_: int | None) -> None:
        raise error

    return act


def test_executions_get_what_the_attempt_has_left() -> None:
    clock, inner = ManualClock(), TableSandbox()
    sandbox = TimedSandbox(inner, Deadline(clock, 100))
    sandbox.execute(WORK)
    clock.advance_ms(30)
    sandbox.execute(WORK, wall_ms=500)
    sandbox.execute(WORK, wall_ms=20)
    assert inner.given_ms == [100, 70, 20]


def test_an_execution_that_meets_the_deadline_is_a_failure_that_can_be_caught() -> None:
    sandbox = TimedSandbox(TableSandbox(act=raising(exceeded(100))), Deadline(ManualClock(), 100))
    with pytest.raises(GuestError, match="longer than the 100 ms") as caught:
        sandbox.execute(WORK)
    assert (caught.value.code, caught.value.kind) == ("guest.timeout", "ResourceError")


@pytest.mark.parametrize("error", [exceeded(60), exceeded(100, "cpu_ms")], ids=["other time", "other limit"])
def test_a_limit_of_the_run_stays_one(error: LimitExceeded) -> None:
    sandbox = TimedSandbox(TableSandbox(act=raising(error)), Deadline(ManualClock(), 100))
    with pytest.raises(LimitExceeded) as caught:
        sandbox.execute(WORK)
    assert caught.value is error


def test_so_does_a_limit_that_the_call_itself_asked_for() -> None:
    sandbox = TimedSandbox(TableSandbox(act=raising(exceeded(100))), Deadline(ManualClock(), 100))
    with pytest.raises(LimitExceeded):
        sandbox.execute(WORK, wall_ms=100)


def test_nothing_is_executed_after_the_deadline() -> None:
    clock, inner = ManualClock(), TableSandbox()
    sandbox = TimedSandbox(inner, Deadline(clock, 100)).under(cast("Decision", "earlier"))
    clock.advance_ms(100)
    with pytest.raises(GuestError) as caught:
        sandbox.execute(WORK)
    assert caught.value.code == "guest.timeout"
    assert (inner.given_ms, inner.decisions) == ([], ["earlier"])


def test_a_capability_that_waits_sees_the_nearer_end() -> None:
    clock, run = ManualClock(), TableState(left_ms=80)
    state = TimedState(run, Deadline(clock, 100))
    assert state.time_left_ms() == 80
    clock.advance_ms(60)
    assert state.time_left_ms() == 40
    clock.advance_ms(40)
    with pytest.raises(GuestError) as late:
        state.time_left_ms()
    assert late.value.code == "guest.timeout"
    run.left_ms = 0
    with pytest.raises(LimitExceeded):
        state.time_left_ms()


def test_everything_else_of_the_run_is_the_run() -> None:
    run = TableState()
    state = TimedState(run, Deadline(ManualClock(), 100))
    state.console("shown")
    state.handles[1] = "open"
    assert (run.shown, run.handles) == (["shown"], {1: "open"})
