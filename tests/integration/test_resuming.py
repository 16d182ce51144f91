"""Runs that lost their process go on, once, as what they were; whatever was changed meanwhile is refused."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from tests.integration.crashing import Story, effects, go
from tests.integration.dying import MAKES, grants, killed

from cloister.audit.event import EventType
from cloister.audit.home import open_chain
from cloister.authority.context import RuntimeContext
from cloister.clock import ManualClock, SystemClock
from cloister.errors import (
    ApprovalRequired,
    AuditError,
    CapabilityDenied,
    CloisterError,
    DeniedError,
    InputError,
    JournalError,
    LimitExceeded,
    PlanError,
    ProviderError,
)
from cloister.limits import ResourceLimits
from cloister.plan.approvals.approver import ApprovalAnswer
from cloister.plan.approvals.desk import Approval
from cloister.plan.approvals.request import ApprovalState
from cloister.plan.journal.entries import RunState
from cloister.plan.journal.lock import RunLock
from cloister.plan.observer import SilentObserver
from cloister.plan.resuming import Resumption, resume_run
from cloister.runtime import Runtime


@dataclass(frozen=True)
class Killed:
    """A run that was killed in the middle of its second call."""

    home: Path
    place: Path
    plan: Path
    run_id: str

    @property
    def journal(self) -> Path:
        return self.home / "runs.sqlite3"

    def tamper(self, statement: str, *values: Any) -> int:
        """Change the journal; return how many rows were."""
        with closing(sqlite3.connect(self.journal, isolation_level=None)) as connection:
            return connection.execute(statement, values).rowcount

    def resume(self, **how: Any) -> Any:
        with Runtime.open(self.home) as runtime:
            return runtime.resume(self.run_id, **how).value

    def refused(self, **how: Any) -> CloisterError:
        with pytest.raises(CloisterError) as caught:
            self.resume(**how)
        return caught.value

    def ask(self) -> str:
        """Have it ask for its approval."""
        error = self.refused()
        assert isinstance(error, ApprovalRequired)
        return str(error.details["approval_id"])

    def answer(self, granted: bool) -> None:
        with Runtime.open(self.home) as runtime:
            (approval,) = [each for each in runtime.approvals() if each.state is ApprovalState.PENDING]
            runtime.decide(approval.request.approval_id, granted=granted, by="ada")

    def state(self) -> RunState:
        with Runtime.open(self.home) as runtime:
            return runtime.run_entry(self.run_id)[0].state


PLAN = """
(do
  (call :ccos.io.println "begun")
  (step "make" (call :ccos.io.mkdir "{place}/a"))
  (call :ccos.io.mkdir "{place}/b")
  "done")
"""
Begun = Callable[..., Killed]


@pytest.fixture
def begun(tmp_path: Path) -> Begun:
    def begin(text: str = PLAN, *, acts: bool = False, clock: ManualClock | None = None, **how: Any) -> Killed:
        place, plan, home = tmp_path / "place", tmp_path / "plan.rtfs", tmp_path / "home"
        place.mkdir()
        plan.write_text(text.format(place=place), encoding="utf-8")
        how = {"provider": "process", **how}  # the mock provider makes no directories
        run_id = killed(home, plan, how.pop("context", grants(place)), acts=acts, clock=clock, **how)
        return Killed(home, place, plan, run_id)

    return begin


class Says:
    """Gives the same answer to everything."""

    def __init__(self, granted: bool | None) -> None:
        self.granted = granted
        self.asked: list[Approval] = []

    def decide(self, approval: Approval) -> ApprovalAnswer | None:
        self.asked.append(approval)
        return None if self.granted is None else ApprovalAnswer(granted=self.granted, by="ada")


def test_a_call_that_may_have_been_made_is_asked_about(begun: Begun) -> None:
    run = begun()
    assert run.state() is RunState.INTERRUPTED
    run.ask()
    assert run.state() is RunState.PAUSED
    assert not (run.place / "a").exists()
    run.answer(granted=True)
    assert run.resume() == "done"
    assert run.state() is RunState.COMPLETED
    assert sorted(each.name for each in run.place.iterdir()) == ["a", "b"]


@pytest.mark.parametrize("provider", ["mock", "process"])
def test_a_denied_call_is_what_the_plan_failed_with(begun: Begun, provider: str) -> None:
    run = begun(provider=provider)
    run.ask()
    run.answer(granted=False)
    error = run.refused()
    assert (type(error), error.code) == (CapabilityDenied, "denied.approval")
    assert run.state() is RunState.FAILED
    assert (type(run.refused()), run.refused().code) == (InputError, "input.run-ended")
    assert list(run.place.iterdir()) == []


def test_a_plan_may_catch_a_denial_and_goes_on_with_it(begun: Begun) -> None:
    text = '(do (try (call :ccos.io.mkdir "{place}/a") (catch :SecurityViolation e "refused")))'
    run = begun(text)
    approver = Says(False)
    assert run.resume(approver=approver) == "refused"
    assert [each.request.capability_id for each in approver.asked] == [MAKES]
    with Runtime.open(run.home) as runtime:
        (call,) = runtime.run_entry(run.run_id)[1]
    assert (call.state.value, call.answer["code"]) == ("failed", "denied.approval")


def test_a_denial_is_fed_back_like_any_answer(begun: Begun) -> None:
    text = """(do (try (call :ccos.io.mkdir "{place}/a") (catch :SecurityViolation e "refused"))
                  (call :ccos.io.mkdir "{place}/b"))"""
    run = begun(text)
    run.ask()
    run.answer(granted=False)
    with Runtime.open(run.home) as runtime:
        (run.place / "b").touch()  # it fails, and the run is over
        with pytest.raises(CloisterError):
            runtime.resume(run.run_id)
        denials = [each for each in runtime.records(run.run_id) if "denied.approval" in str(each.event.body)]
    assert [each.event.event_type for each in denials] == [EventType.CALL_INTENT, EventType.CALL_OUTCOME]


def test_an_approver_answers_while_the_run_waits(begun: Begun) -> None:
    run = begun()
    approver = Says(True)
    assert run.resume(approver=approver) == "done"
    assert [each.request.step for each in approver.asked] == ["make"]


def test_an_approver_without_an_answer_leaves_it_paused(begun: Begun) -> None:
    run = begun()
    assert isinstance(run.refused(approver=Says(None)), ApprovalRequired)
    assert run.state() is RunState.PAUSED


def test_what_was_made_and_told_is_not_made_again(begun: Begun) -> None:
    run = begun(acts=True)
    assert (run.place / "a").exists()
    error = run.refused(approver=Says(True))  # doing it again was approved, and there is one now
    assert error.code.startswith("guest.")
    assert run.state() is RunState.FAILED


def test_two_cannot_let_it_go_on_at_once(begun: Begun) -> None:
    run = begun()
    lock = RunLock.take(run.home / "runs.lock", run.run_id)
    try:
        assert run.state() is RunState.RUNNING
        error = run.refused()
        assert (type(error), error.code) == (JournalError, "journal.busy")
        with Runtime.open(run.home) as runtime, pytest.raises(JournalError) as caught:
            runtime.abort(run.run_id)
        assert caught.value.code == "journal.busy"
    finally:
        lock.release()
    assert run.state() is RunState.INTERRUPTED
    assert run.resume(approver=Says(True)) == "done"


def test_whoever_is_asked_may_look_at_the_run(begun: Begun) -> None:
    """The run is paused and nobody drives it while somebody thinks, so another process may go on with it."""
    run = begun()

    class GoesElsewhere(Says):
        def decide(self, approval: Approval) -> ApprovalAnswer | None:
            assert run.state() is RunState.PAUSED
            run.answer(granted=True)
            assert run.resume() == "done"
            return super().decide(approval)

    error = run.refused(approver=GoesElsewhere(True))
    assert (type(error), error.code) == (InputError, "input.run-ended")
    assert sorted(each.name for each in run.place.iterdir()) == ["a", "b"]


ALTERED = [
    ("runs", "order_json = CAST(replace(CAST(order_json AS TEXT), 'begun', 'begum') AS BLOB)", "journal.order"),
    ("runs", "order_json = CAST(replace(CAST(order_json AS TEXT), '.println', '.print') AS BLOB)", "journal.order"),
    ("runs", "provider = 'mock'", "journal.altered"),
    ("runs", "plan = 'other.rtfs'", "journal.altered"),
    ("runs", "started = 1", "journal.altered"),
    ("runs", "state = 'granted'", "journal.damaged"),
    ("calls", "capability_id = 'ccos.io.print' WHERE number = 0", "journal.diverged"),
    ("calls", "arguments_sha256 = 'ab' WHERE number = 0", "journal.altered"),
    ("calls", "intent = 0 WHERE number = 0", "journal.altered"),
    ("calls", "intent = intent + 100 WHERE number = 1", "journal.altered"),
    ("calls", "answer_json = CAST('1' AS BLOB) WHERE number = 0", "journal.altered"),
    ("calls", "memo_json = CAST('1' AS BLOB) WHERE number = 0", "journal.altered"),
    ("calls", "state = 'failed' WHERE number = 0", "journal.altered"),
    ("calls", "number = 7 WHERE number = 0", "journal.altered"),
    ("calls", "state = 'intended' WHERE number = 0", "journal.behind"),
    ("calls", "within = 0 WHERE number = 1", "journal.altered"),
    ("runs", "aborts_at = 0, undoes_from = 0", "journal.altered"),
    ("runs", "aborts_at = 900, undoes_from = 900", "journal.altered"),
    ("calls", "state = 'done' WHERE number = 0", "journal.damaged"),
]


@pytest.mark.parametrize(("table", "change", "code"), ALTERED, ids=[each[1] for each in ALTERED])
def test_an_altered_row_is_refused_and_nothing_is_made(begun: Begun, table: str, change: str, code: str) -> None:
    run = begun()
    assert run.tamper(f"UPDATE {table} SET {change}") == 1
    error = run.refused()
    assert (type(error), error.code) == (JournalError, code)
    assert list(run.place.iterdir()) == []


MANY = """
(let [add (fn [sum n]
            (let [more (step "add" (call :ccos.math.add sum n))]
              (if (= (mod n 40) 7)
                (try (call :ccos.io.read-file (str "/nowhere" n)) (catch _ _ (+ more 1000)))
                more)))
      sum (reduce add 0 (range 200))]
  (call :ccos.io.mkdir "{place}/a")
  (call :ccos.math.add sum 1))
"""


def test_many_calls_are_fed_back_in_order_with_those_that_failed(begun: Begun, tmp_path: Path) -> None:
    """More than are told ahead at a time, and some that cannot be."""
    more = ("ccos.math.add", "ccos.io.read-file")
    run = begun(MANY, context=grants(tmp_path / "place", *more))
    with Runtime.open(run.home) as runtime:
        result = runtime.resume(run.run_id, approver=Says(True))
    assert result.value == sum(range(200)) + 5 * 1000 + 1
    assert [call.is_recalled for call in result.calls] == [True] * 205 + [False] * 2
    assert [call.error_code for call in result.calls if call.error_code] == ["denied.path"] * 5


@pytest.mark.parametrize("number", [0, 150])
def test_another_call_among_many_ends_it(begun: Begun, tmp_path: Path, number: int) -> None:
    more = ("ccos.math.add", "ccos.io.read-file")
    run = begun(MANY, context=grants(tmp_path / "place", *more))
    assert run.tamper("UPDATE calls SET capability_id = 'ccos.math.subtract' WHERE number = ?", number) == 1
    assert run.refused().code == "journal.diverged"
    assert list(run.place.iterdir()) == []


class Warmed:
    """Stands for a provider that is asked for twice: to begin early, and to run the plan, which it never does."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    def __call__(self, name: str) -> Any:
        self.heard.append(name)
        if len(self.heard) > 2:
            raise ProviderError("this is as far as it goes", code="provider.unavailable")
        return self

    def warm_up(self) -> None:
        self.heard.append("warm up")
        raise ProviderError("it does not matter yet", code="provider.unavailable")


@pytest.mark.parametrize("is_altered", [True, False])
def test_a_provider_begins_only_once_its_order_is_proven(begun: Begun, *, is_altered: bool) -> None:
    run, provider = begun(), Warmed()
    if is_altered:
        run.tamper("UPDATE runs SET order_json = CAST(replace(CAST(order_json AS TEXT), 'process', 'mock') AS BLOB)")
    resumption = Resumption(run_id=run.run_id, provider=provider, observer=SilentObserver(), environment={})
    with Runtime.open(run.home) as runtime, pytest.raises(CloisterError) as caught:
        resume_run(runtime._parts, resumption)
    assert caught.value.code == ("journal.order" if is_altered else "provider.unavailable")
    assert provider.heard == ([] if is_altered else ["process", "warm up", "process"])


@pytest.mark.parametrize(
    "change",
    ["outcome = 99 WHERE number = 0", "outcome = NULL WHERE number = 0"],
)
def test_what_the_chain_knows_better_does_no_harm(begun: Begun, change: str) -> None:
    run = begun()
    assert run.tamper(f"UPDATE calls SET {change}") == 1
    assert run.resume(approver=Says(True)) == "done"


def test_what_a_limit_ended_twice_goes_on(tmp_path: Path) -> None:
    home, world = tmp_path / "home", tmp_path / "world"
    plan = Story(plan='(do (call :world.charge "a" 1) (call :world.overrun "b" 1))')
    for _ in range(3):
        assert go(home, world, -1, "mock", plan).code == "limit.wall"
    assert go(home, world, -1, "mock", replace(plan, aborts=True)).value == "aborted"
    assert effects(world) == [["charge", "a", 1, ANY]]


def test_a_deleted_call_is_missed(begun: Begun) -> None:
    run = begun()
    run.ask()
    run.answer(granted=True)
    (run.place / "b").mkdir()
    assert run.refused().code.startswith("guest.")  # the second directory is there, and the run has failed
    run.tamper("UPDATE runs SET state = 'stopped'")
    assert run.tamper("DELETE FROM calls WHERE number = 1") == 1
    assert run.refused().code == "journal.altered"
    run.tamper("DELETE FROM calls WHERE number = 2")
    error = run.refused()
    assert (type(error), error.code) == (JournalError, "journal.behind")


def test_an_older_copy_of_the_journal_is_found_out(begun: Begun, tmp_path: Path) -> None:
    run = begun()
    run.ask()
    shutil.copy(run.journal, tmp_path / "older")
    run.answer(granted=True)
    (run.place / "b").mkdir()
    run.refused()
    for name in run.home.glob("runs.sqlite3-*"):
        name.unlink()
    shutil.copy(tmp_path / "older", run.journal)
    error = run.refused()
    assert (type(error), error.code) == (JournalError, "journal.behind")
    assert sorted(each.name for each in run.place.iterdir()) == ["a", "b"]


def test_the_journal_of_another_home_is_refused(begun: Begun, tmp_path: Path) -> None:
    run = begun()
    other = tmp_path / "other"
    with Runtime.open(other):
        pass
    for name in other.glob("runs.sqlite3*"):
        name.unlink()
    shutil.copy(run.journal, other / "runs.sqlite3")
    with pytest.raises(JournalError) as caught:
        Runtime.open(other)
    assert caught.value.code == "journal.ahead"
    with open_chain(other, SystemClock()) as chain:
        for _ in range(9):
            chain.append(EventType.RUN_STARTED, run_id="run-00")
    with Runtime.open(other) as runtime, pytest.raises(JournalError) as caught:
        runtime.resume(run.run_id)
    assert caught.value.code == "journal.order"
    assert run.resume(approver=Says(True)) == "done"


def test_another_plan_is_refused_and_the_same_taken(begun: Begun) -> None:
    run = begun()
    assert run.resume(plan=run.plan, approver=Says(True)) == "done"


def test_an_edited_plan_is_refused(begun: Begun) -> None:
    run = begun()
    run.plan.write_text('"done"', encoding="utf-8")
    error = run.refused(plan=run.plan)
    assert (type(error), error.code) == (PlanError, "plan.changed")
    assert run.resume(approver=Says(True)) == "done"  # as it was


def test_other_grants_are_refused_and_the_same_taken(begun: Begun) -> None:
    run = begun()
    error = run.refused(context=grants(run.place, "ccos.math.add"))
    assert (type(error), error.code) == (PlanError, "plan.context-changed")
    assert run.resume(context=grants(run.place), approver=Says(True)) == "done"


@pytest.mark.parametrize("environment", [None, {}, {"TOKEN": "other"}, {"TOKEN": "secret", "MORE": "x"}, {"MORE": "x"}])
def test_other_variables_are_refused(begun: Begun, tmp_path: Path, environment: dict[str, str] | None) -> None:
    place = tmp_path / "place"
    context = RuntimeContext.controlled(
        capabilities=[MAKES, "ccos.io.println"], write=[str(place)], environment={"TOKEN": "secret"}
    )
    run = begun(context=context)
    error = run.refused(environment=environment)
    assert (type(error), error.code) == (PlanError, "plan.environment-changed")
    assert "secret" not in str(error.to_dict())
    assert "--env TOKEN" in str(error.hint)
    assert run.resume(environment={"TOKEN": "secret"}, approver=Says(True)) == "done"


def test_one_that_is_not_there_is_unknown(begun: Begun) -> None:
    run = begun()
    with Runtime.open(run.home) as runtime:
        for attempt in (runtime.resume, runtime.abort, runtime.run_entry):
            with pytest.raises(InputError) as caught:
                attempt("run-0")
            assert caught.value.code == "input.run"


def test_one_that_completed_is_not_run_again(begun: Begun) -> None:
    run = begun()
    run.resume(approver=Says(True))
    error = run.refused()
    assert (type(error), error.code) == (InputError, "input.run-ended")
    run.tamper("UPDATE runs SET state = 'stopped'")
    assert run.resume() == "done"  # its calls are fed back, and nothing is made
    with Runtime.open(run.home) as runtime:
        kinds = [each.event.event_type for each in runtime.records(run.run_id)]
    assert kinds.count(EventType.RUN_COMPLETED) == 1


def test_one_that_was_refused_is_not_run_whatever_the_journal_says(tmp_path: Path) -> None:
    with Runtime.open(tmp_path / "home") as runtime:
        with pytest.raises(DeniedError):
            runtime.run('(call :ccos.io.println "x")', context=RuntimeContext.pure(), provider="mock")
        (run,) = runtime.runs()
    run_of = Killed(tmp_path / "home", tmp_path, tmp_path, run.run_id)
    assert run_of.state() is RunState.REFUSED
    run_of.tamper("UPDATE runs SET state = 'stopped'")
    error = run_of.refused()
    assert (type(error), error.code) == (InputError, "input.run-ended")
    assert run_of.state() is RunState.REFUSED


def test_an_aborted_one_stays_so_whatever_the_journal_says(begun: Begun) -> None:
    run = begun()
    with Runtime.open(run.home) as runtime:
        entry = runtime.abort(run.run_id)
    assert (entry.state, entry.error and entry.error["code"]) == (RunState.ABORTED, "run.aborted")
    assert list(run.place.iterdir()) == []
    error = run.refused()
    assert (type(error), error.code) == (InputError, "input.run-ended")
    run.tamper("UPDATE runs SET state = 'stopped', aborts_at = NULL, undoes_from = NULL")
    error = run.refused()
    assert (type(error), error.code) == (JournalError, "journal.altered")


@pytest.mark.parametrize("provider", ["mock", "process"])
def test_one_that_reaches_its_limit_before_its_next_call_can_be_aborted(tmp_path: Path, provider: str) -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.io.println"], limits=ResourceLimits(steps_count=10_000))
    plan = '(do (call :ccos.io.println "once") (loop [n 0] (recur (+ n 1))))'
    with Runtime.open(tmp_path / "home") as runtime:
        with pytest.raises(LimitExceeded):
            runtime.run(plan, context=context, provider=provider)
        (run,) = runtime.runs()
        assert run.state is RunState.STOPPED
        with pytest.raises(LimitExceeded):
            runtime.resume(run.run_id)
        assert runtime.run_entry(run.run_id)[0].state is RunState.STOPPED
        assert runtime.abort(run.run_id).state is RunState.ABORTED
        kinds = [record.event.event_type for record in runtime.records(run.run_id)]
    assert kinds[-1] is EventType.RUN_ABORTED


def test_the_call_of_which_nobody_knows_is_the_last_when_it_is_aborted(begun: Begun) -> None:
    run = begun('(do (call :ccos.io.println "a") (+ 1 1))', capability_id="ccos.io.println", acts=True)
    with Runtime.open(run.home) as runtime:
        assert runtime.abort(run.run_id).state is RunState.ABORTED  # it is not known whether its call was made


def test_a_clock_that_jumps_ahead_ends_what_was_not_decided(begun: Begun) -> None:
    run = begun(clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC)))
    with (
        Runtime.open(run.home, clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as runtime,
        pytest.raises(ApprovalRequired),
    ):
        runtime.resume(run.run_id)
    with (
        Runtime.open(run.home, clock=ManualClock(datetime(2026, 3, 1, tzinfo=UTC))) as runtime,
        pytest.raises(CapabilityDenied) as caught,
    ):
        runtime.resume(run.run_id)
    assert caught.value.code == "denied.approval-expired"
    assert run.state() is RunState.FAILED
    assert list(run.place.iterdir()) == []


def test_a_clock_that_jumps_back_does_not_stop_a_run(begun: Begun) -> None:
    run = begun(clock=ManualClock(datetime(2026, 3, 1, tzinfo=UTC)))
    with Runtime.open(run.home, clock=ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as runtime:
        assert runtime.resume(run.run_id, approver=Says(True)).value == "done"


def test_a_chain_that_was_changed_stops_it(begun: Begun) -> None:
    run = begun()
    with closing(sqlite3.connect(run.home / "chain.sqlite3", isolation_level=None)) as connection:
        name, column = next(
            (table, each[1])
            for (table,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            for each in connection.execute(f"PRAGMA table_info({table})")
            if each[1] == "event"
        )
        connection.execute(
            f"UPDATE {name} SET {column} = CAST(replace(CAST({column} AS TEXT), 'allow', 'admit') AS BLOB)"
        )
    error = run.refused()
    assert isinstance(error, AuditError)
    assert list(run.place.iterdir()) == []


@pytest.mark.parametrize(("writes", "code"), [(False, "limit.steps"), (True, "journal.behind")])
def test_what_does_not_wait_for_the_disk_is_what_may_be_lost(tmp_path: Path, writes: bool, code: str) -> None:
    """A script that may write nothing may be run again, though the contract of scripts says that a person decides."""
    place, shell = tmp_path / "place", "ccos.sandbox.shell"
    place.mkdir()
    limits = ResourceLimits(steps_count=10_000)
    context = RuntimeContext.controlled(capabilities=[shell], write=[str(place)], limits=limits)
    written = f'"{place}"' if writes else ""
    plan = f'(do (call :{shell} "echo done" nil [] [{written}]) (loop [n 0] (recur (+ n 1))))'
    home = tmp_path / "home"
    with Runtime.open(home) as runtime:
        with pytest.raises(LimitExceeded):
            runtime.run(plan, context=context, provider="process")
        (entry,) = runtime.runs()
    run = Killed(home, place, tmp_path / "plan", entry.run_id)
    assert run.tamper("DELETE FROM calls WHERE number = 0") == 1
    assert run.refused().code == code
