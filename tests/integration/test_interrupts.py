"""An interrupt at any record of a run ends the run, and its record is complete."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from cloister import Runtime, RuntimeContext
from cloister.audit.event import EventType, Record
from cloister.clock import SystemClock
from cloister.interrupts import admitted, held, interrupt
from cloister.plan.journal.entries import RunState

PLAN = '(step "one" (do (call :ccos.math.add 1 2) (step "two" (call :ccos.system.current-time))))'
ENDS = {EventType.RUN_COMPLETED, EventType.RUN_FAILED, EventType.RUN_REFUSED}


class InterruptingClock(SystemClock):
    """Sends the process an interrupt when it is asked for the time for the `at`-th time: in the middle of a record."""

    def __init__(self, at: int) -> None:
        self.left = at

    def now(self) -> datetime:
        self.left -= 1
        if self.left == 0:
            signal.raise_signal(signal.SIGINT)
        return super().now()


def ran(home: Path, at: int, run: Callable[[Runtime], object]) -> tuple[bool, bool, list[Record]]:
    """Run with an interrupt; say whether it came and was raised, and return the records."""
    clock = InterruptingClock(at)
    with Runtime.open(home, clock=clock) as runtime:
        was_raised = False
        try:
            run(runtime)
        except KeyboardInterrupt:
            was_raised = True
        return clock.left <= 0, was_raised, list(runtime.records())


def assert_complete(records: list[Record]) -> None:
    types = [record.event.event_type for record in records]
    assert types.count(EventType.CALL_INTENT) == types.count(EventType.CALL_OUTCOME)
    open_count = types.count(EventType.STEP_STARTED) - types.count(EventType.STEP_ENDED)
    # A plan that was interrupted can go on: the steps it was in end then, see `assert_goes_on`
    assert open_count == 0 or (0 < open_count <= PLAN.count("(step ") and types[-1] is EventType.RUN_FAILED)
    assert types[-1] in ENDS


def assert_goes_on(home: Path) -> None:
    """Demand that a plan that was interrupted goes on to its end, and that all its steps end."""
    with Runtime.open(home) as runtime:
        stopped = [run for run in runtime.runs() if run.state.can_resume]
        open_ones = [run for run in runtime.runs() if run.state not in {RunState.COMPLETED, RunState.REFUSED}]
        assert stopped == open_ones
        assert {run.state for run in stopped} <= {RunState.STOPPED}  # and not one that was left as it was
        for run in stopped:
            assert runtime.resume(run.run_id).value is not None
            types = [record.event.event_type for record in runtime.records(run.run_id)]
            assert types.count(EventType.CALL_INTENT) == types.count(EventType.CALL_OUTCOME)
            assert types.count(EventType.STEP_STARTED) == types.count(EventType.STEP_ENDED)
            assert types[-1] is EventType.RUN_COMPLETED


@pytest.mark.parametrize(
    "run",
    [
        pytest.param(
            lambda runtime: runtime.run(
                PLAN,
                context=RuntimeContext.controlled(capabilities=["ccos.math.add", "ccos.system.current-time"]),
                provider="mock",
            ),
            id="a plan",
        ),
        pytest.param(
            lambda runtime: runtime.execute(
                ["/bin/true"], context=RuntimeContext.controlled(capabilities=["cloister.exec"])
            ),
            id="a command",
        ),
    ],
)
def test_interrupt_in_any_record_leaves_a_complete_record(tmp_path: Path, run: Callable[[Runtime], object]) -> None:
    at, came, ends = 1, True, set()
    while came:
        came, was_raised, records = ran(tmp_path / f"home{at}", at, run)
        assert was_raised is came
        assert_complete(records)
        assert_goes_on(tmp_path / f"home{at}")
        ends.add(records[-1].event.event_type)
        at += 1
    assert ends == {EventType.RUN_FAILED, EventType.RUN_COMPLETED}
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_interrupt_is_raised_at_once_when_nothing_holds_it() -> None:
    with pytest.raises(KeyboardInterrupt):
        interrupt()
    with held(), admitted(), pytest.raises(KeyboardInterrupt):
        interrupt()


def test_held_interrupt_is_raised_where_interrupts_are_let_in_again() -> None:
    reached = []

    @held()
    def run() -> None:
        interrupt()
        reached.append("after it")
        with admitted():
            reached.append("inside")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert reached == ["after it"]


def test_held_interrupt_is_raised_at_the_end_of_the_outermost_block() -> None:
    reached = []

    @held()
    def run() -> None:
        with held():
            interrupt()
        reached.append("outer")

    with pytest.raises(KeyboardInterrupt):
        run()
    assert reached == ["outer"]


def test_another_thread_holds_nothing() -> None:
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with held():
            entered.set()
            leave.wait(10)

    thread = threading.Thread(target=hold)
    thread.start()
    try:
        assert entered.wait(10)
        with pytest.raises(KeyboardInterrupt):
            interrupt()
    finally:
        leave.set()
        thread.join()
