"""Budgets and approvals of runs through the real runtime: what stops, what warns, what is asked, and for which call."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.integration.governing import EVERYTHING, Ended, Home, rule

from cloister.audit.event import EventType
from cloister.authority.budget import BudgetLimits, BudgetRules, Dimension, Exhaustion
from cloister.authority.budgets.dimension import amount_words
from cloister.authority.context import RuntimeContext
from cloister.clock import ManualClock
from cloister.errors import ApprovalRequired, BudgetExhausted, CapabilityDenied, JournalError
from cloister.plan.journal.entries import RunState
from cloister.plan.terms import RunTerms

SIGNED = rule("signing", "require-human-approval", "world.send")
PLAN = '(do (call :world.put 1) (step "send" (call :world.send "x")))'

# A plan whose third act goes beyond the bound, by dimension
ACTS = "(do {} {} {})"
SPENDS = '(call :world.spend "x")'
DIMENSIONS: dict[str, tuple[str, dict[str, int]]] = {
    "calls": (SPENDS, {"calls_count": 2}),
    "egress": (SPENDS, {"egress_bytes": 120}),
    "tokens": (SPENDS, {"model_tokens_count": 120}),
    "cost": (SPENDS, {"cost_microusd": 120}),
    "wall": ("(call :world.wait 100)", {"wall_ms": 200}),
    "storage": ('(call :world.store "x")', {"storage_bytes": 120}),
}


def spend(home: Home, dimension: str, rule_of: Exhaustion) -> Ended:
    act, bound = DIMENSIONS[dimension]
    rules = BudgetRules(**{dimension: rule_of})
    terms = RunTerms(budget=BudgetLimits(**bound), exhaustion=rules)
    return home.run(ACTS.format(act, act, act), terms=terms)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_a_spent_budget_stops_the_run(ram: Path, dimension: str) -> None:
    home = Home(ram / "home")
    stopped = spend(home, dimension, Exhaustion.HARD_STOP)
    assert (type(stopped.error), stopped.code) == (BudgetExhausted, f"budget.{dimension}")
    assert len(home.world.done) == 2
    again = home.resume(stopped.run_id)  # what was spent before is not there again
    assert (again.code, len(home.world.done)) == (f"budget.{dimension}", 2)


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_it_only_warns_where_that_is_the_rule(ram: Path, dimension: str) -> None:
    home = Home(ram / "home")
    went = spend(home, dimension, Exhaustion.WARN)
    assert went.error is None
    assert len(home.world.done) == 3
    assert dimension in {body["dimension"] for body in went.bodies(EventType.BUDGET_WARNED)}
    assert [body["dimension"] for body in went.bodies(EventType.BUDGET_EXHAUSTED)] == [dimension]


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_it_asks_once_and_goes_on_with_what_was_agreed(ram: Path, dimension: str) -> None:
    home = Home(ram / "home")
    waits = spend(home, dimension, Exhaustion.APPROVAL)
    assert (type(waits.error), waits.state, len(home.world.done)) == (ApprovalRequired, RunState.PAUSED, 2)
    asked = home.pending().request
    assert (asked.need.rule, asked.need.terms["dimension"]) == (f"budget:{dimension}", dimension)
    assert home.resume(waits.run_id).code == "approval.required"  # nobody answered yet, and it is not asked twice
    home.decide()
    went = home.resume(waits.run_id)
    assert (went.error, len(home.world.done)) == (None, 3)
    (extended,) = went.bodies(EventType.BUDGET_EXTENDED)
    assert (extended["dimension"], extended["amount"]) == (dimension, asked.need.terms["amount"])
    assert extended["approval_id"] == asked.approval_id
    by, to = (amount_words(Dimension(dimension), extended[name]) for name in ("amount", "allowed"))
    assert asked.need.reason.startswith(f"it raises the {dimension} budget by {by} to {to}; ")


@pytest.mark.parametrize("dimension", DIMENSIONS)
def test_undoing_has_as_much_again_of_each_and_no_more(ram: Path, dimension: str) -> None:
    home = Home(ram / "home")
    act, bound = DIMENSIONS[dimension]
    plan = f'(do (step "a" :undo (fn [] (dotimes [_ 9] {act})) 1) (/ 1 0))'
    ended = home.run(plan, terms=RunTerms(budget=BudgetLimits(**bound)))
    assert (ended.state, len(home.world.done)) == (RunState.FAILED, 4)
    (failed,) = ended.bodies(EventType.COMPENSATION_FAILED)
    assert failed["error"] == f"budget.{dimension}"


def test_what_an_undo_used_without_anybody_knowing_how_much_is_the_last_of_its_kind(ram: Path) -> None:
    home = Home(ram / "home")
    plan = """(do (step "a" :undo (fn [] (dotimes [_ 9] (call :world.tell "x"))) (call :world.tell "x")) (/ 1 0))"""
    home.run(plan, terms=RunTerms(budget=BudgetLimits(egress_bytes=120)))
    assert len(home.world.done) == 2  # that of the step stands in the way of none


@pytest.mark.parametrize("dimension", ["egress", "tokens", "cost"])
def test_each_attempt_at_a_call_is_charged(ram: Path, dimension: str) -> None:
    home = Home(ram / "home")
    plan = '^{:runtime.learning.retry {:max-retries 5 :backoff-ms 1}} (call :world.lose "x")'
    _, bound = DIMENSIONS[dimension]
    (used,) = bound
    rules = BudgetRules(**{dimension: Exhaustion.HARD_STOP})
    stopped = home.run(plan, terms=RunTerms(budget=BudgetLimits(**bound), exhaustion=rules))
    assert (stopped.code, len(home.world.done)) == ("guest.world", 2)
    assert [body["skipped"] for body in stopped.bodies(EventType.HINT_APPLIED)] == [{"retry": "budget"}]
    (ended,) = stopped.bodies(EventType.RUN_FAILED)
    assert (ended["spent"][used], ended["spent"]["calls_count"]) == (120, 1)
    free = home.run(plan, terms=RunTerms(budget=BudgetLimits(**{used: None})))
    (ended,) = free.bodies(EventType.RUN_FAILED)
    assert (ended["spent"][used], len(home.world.done)) == (360, 8)


def test_attempts_in_an_undo_have_as_much_again(ram: Path) -> None:
    home = Home(ram / "home")
    lose = '^{:runtime.learning.retry {:max-retries 5 :backoff-ms 1}} (call :world.lose "x")'
    home.run(f'(do (step "a" :undo (fn [] {lose}) 1) (/ 1 0))', terms=RunTerms(budget=BudgetLimits(cost_microusd=120)))
    assert len(home.world.done) == 4


def test_more_that_was_not_agreed_to_is_a_denial(ram: Path) -> None:
    home = Home(ram / "home")
    waits = spend(home, "calls", Exhaustion.APPROVAL)
    home.decide(granted=False)
    denied = home.resume(waits.run_id)
    assert (type(denied.error), denied.code, len(home.world.done)) == (CapabilityDenied, "denied.approval", 2)


def test_steps_that_are_spent_stop_the_run(ram: Path) -> None:
    home = Home(ram / "home")
    terms = RunTerms(budget=BudgetLimits(steps_count=1))
    plan = '(do (step "a" (call :world.put 1)) (step "b" (call :world.put 2)))'
    assert home.run(plan, terms=terms).code == "budget.steps"
    assert home.world.done == [("put", 1)]
    warned = RunTerms(budget=BudgetLimits(steps_count=1), exhaustion=BudgetRules(steps=Exhaustion.WARN))
    assert home.run(plan, terms=warned).error is None


def test_more_steps_are_asked_for_and_may_be_refused(ram: Path) -> None:
    home = Home(ram / "home")
    terms = RunTerms(budget=BudgetLimits(steps_count=1), exhaustion=BudgetRules(steps=Exhaustion.APPROVAL))
    plan = '(do (step "a" (call :world.put 1)) (step "b" (step "c" (call :world.put 2))))'
    waits = home.run(plan, terms=terms)
    assert (waits.code, home.pending().request.arguments) == ("approval.required", '"b"')
    home.decide()
    waits = home.resume(waits.run_id)
    assert (waits.code, home.pending().request.step) == ("approval.required", "b")
    home.decide()
    assert home.resume(waits.run_id).value == 2
    refused = home.run(plan, terms=terms)
    home.decide(granted=False)
    refused = home.resume(refused.run_id)
    assert (refused.code, refused.state) == ("denied.approval", RunState.STOPPED)
    assert home.abort(refused.run_id).state is RunState.ABORTED
    assert home.world.done == [("put", 1), ("put", 2), ("put", 1)]


def test_steps_that_are_spent_do_not_keep_what_was_done_from_being_undone(ram: Path) -> None:
    home = Home(ram / "home")
    plan = '(do (step "a" :undo (fn [] (call :world.delete 1)) (call :world.put 1)) (step "b" (call :world.put 2)))'
    terms = RunTerms(budget=BudgetLimits(steps_count=1), exhaustion=BudgetRules(steps=Exhaustion.APPROVAL))
    stopped = home.run(plan, terms=terms)
    home.decide(granted=False)
    assert home.resume(stopped.run_id).state is RunState.STOPPED
    assert home.abort(stopped.run_id).state is RunState.ABORTED
    assert home.world.done == [("put", 1), ("delete", 1)]


@pytest.mark.parametrize("provider", ["mock", "process", "wasm"])
@pytest.mark.parametrize("last", ["2", '(try (step "c" 2) (catch e 3))', "(call :world.put 2)"])
def test_steps_that_are_spent_have_what_was_done_undone(ram: Path, provider: str, last: str) -> None:
    """Whatever the step that is refused would have done, and also when it is inside another."""
    home = Home(ram / "home")
    undo = '(fn [] (step "inside an undo" (call :world.delete 1)))'
    plan = f'(do (step "a" :undo {undo} (call :world.put 1)) (step "b" (step "in b" {last})))'
    failed = home.run(plan, terms=RunTerms(budget=BudgetLimits(steps_count=2)), provider=provider)
    assert (failed.code, failed.state) == ("budget.steps", RunState.FAILED)
    assert home.world.done == [("put", 1), ("delete", 1)]
    assert [body["name"] for body in failed.bodies(EventType.STEP_STARTED)] == ["a", "b", "inside an undo"]
    assert len(failed.bodies(EventType.COMPENSATION_ENDED)) == 1
    assert home.run(plan, terms=RunTerms(budget=BudgetLimits(steps_count=4)), provider=provider).error is None


@pytest.mark.parametrize("provider", ["mock", "process", "wasm"])
@pytest.mark.parametrize(("count", "steps"), [(2, 4), (5, 4)], ids=["as many again", "more"])
def test_steps_of_an_undo_are_bounded(ram: Path, provider: str, count: int, steps: int) -> None:
    home = Home(ram / "home")
    undo = f'(fn [] (dotimes [n {count}] (step "back" (call :world.delete n))))'
    plan = f'(do (step "a" :undo {undo} (call :world.put 1)) (step "b" 2) (/ 1 0))'
    failed = home.run(plan, terms=RunTerms(budget=BudgetLimits(steps_count=2)), provider=provider)
    assert failed.code == "guest.division"
    assert len(failed.bodies(EventType.STEP_STARTED)) == steps
    assert home.world.done == [("put", 1), ("delete", 0), ("delete", 1)]
    told = [body["error"] for body in failed.bodies(EventType.COMPENSATION_FAILED)]
    assert told == ([] if count == 2 else ["budget.steps"])


def test_processor_time_that_nobody_measured_does_not_keep_a_run_from_going_on(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(f"(do (call :world.wait 20) {PLAN})", terms=RunTerms(budget=BudgetLimits(cpu_ms=10_000)))
    assert waits.bodies(EventType.RUN_PAUSED)[0]["spent"]["cpu_us"] == 20_000  # no less than it can have been
    home.decide()
    assert home.resume(waits.run_id).value == "x"


def test_a_budget_is_restored_in_the_order_it_was_spent_and_extended(ram: Path) -> None:
    home = Home(ram / "home", rule("signing", "require-human-approval", "world.send"))
    terms = RunTerms(budget=BudgetLimits(calls_count=2), exhaustion=BudgetRules(calls=Exhaustion.APPROVAL))
    plan = "(do {} (call :world.send 9) {})".format(" ".join(["(call :world.put 1)"] * 3), "(call :world.put 2)")
    waits = home.run(plan, terms=terms)
    kinds = []
    while waits.code == "approval.required":
        kinds.append(home.pending().request.need.kind.value)
        home.decide()
        waits = home.resume(waits.run_id)
    assert kinds == ["budget", "human", "budget"]
    assert waits.error is None
    assert [entry[0] for entry in home.world.done] == ["put", "put", "put", "send", "put"]
    assert waits.bodies(EventType.RUN_COMPLETED)[0]["spent"]["calls_count"] == 5
    assert [body["allowed"] for body in waits.bodies(EventType.BUDGET_EXTENDED)] == [4, 6]


# Approvals are for exactly one call


def tamper(home: Home, change: str) -> None:
    with closing(sqlite3.connect(home.directory / "runs.sqlite3", isolation_level=None)) as connection:
        assert connection.execute(change).rowcount == 1


@pytest.mark.parametrize(
    ("was", "now"),
    [
        ('(call :world.send \\"x\\")', '(call :world.send \\"y\\")'),
        ('(step \\"send\\"', '(step \\"sent\\"'),
        ("(call :world.put 1)", "(call :world.put 2)"),
    ],
    ids=["other arguments", "another step", "another call before it"],
)
def test_an_approval_does_not_hold_for_an_altered_plan(ram: Path, was: str, now: str) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN)
    home.decide()
    put = f"order_json = CAST(replace(CAST(order_json AS TEXT), '{was}', '{now}') AS BLOB)"
    tamper(home, f"UPDATE runs SET {put}")
    refused = home.resume(waits.run_id)
    assert (type(refused.error), refused.code) == (JournalError, "journal.order")
    assert home.world.done == [("put", 1)]
    tamper(home, f"UPDATE runs SET order_json = CAST(replace(CAST(order_json AS TEXT), '{now}', '{was}') AS BLOB)")
    assert home.resume(waits.run_id).value == "x"


@pytest.mark.parametrize("other", ['(step "send" (call :world.send "y"))', '(step "other" (call :world.send "x"))'])
def test_an_approval_of_one_run_is_none_for_another(ram: Path, other: str) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN)
    home.decide()
    assert home.run(f"(do (call :world.put 1) {other})").code == "approval.required"
    assert home.run(PLAN).code == "approval.required"
    assert ("send", "x") not in home.world.done
    assert home.resume(waits.run_id).value == "x"


def test_a_plan_that_chooses_another_call_by_the_time_is_refused_and_not_approved(ram: Path) -> None:
    """A plan can see what a call gave, and that is fed back; so the call that is approved is the one that was asked."""
    home = Home(ram / "home", SIGNED)
    plan = "(let [now (call :ccos.system.current-timestamp-ms)] (call :world.send now))"
    context = RuntimeContext.controlled(capabilities=[*EVERYTHING, "ccos.system.current-timestamp-ms"])
    waits = home.run(plan, context)
    asked = home.pending().request.arguments
    home.decide()
    home.clock.advance_ms(60_000)
    went = home.resume(waits.run_id)
    assert str(went.value) == asked
    assert [str(entry[1]) for entry in home.world.done] == [asked]


def test_an_approval_that_is_not_used_in_time_is_over(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    for waited_ms, code in ((60_000, "denied.approval-expired"), (59_999, None)):
        waits = home.run(PLAN, terms=RunTerms(approvals_expire_ms=60_000))
        home.decide()
        home.clock.advance_ms(waited_ms)
        assert home.resume(waits.run_id).code == code
    assert home.world.done == [("put", 1), ("put", 1), ("send", "x")]


def test_an_approval_that_expired_while_it_was_asked_stays_so_with_the_clock_turned_back(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN, terms=RunTerms(approvals_expire_ms=60_000))
    home.clock.advance_ms(120_000)
    with home.open() as runtime:
        (asked,) = runtime.approvals()
    assert asked.state.value == "expired"
    expired = home.resume(waits.run_id)
    assert expired.code == "denied.approval-expired"
    back = home.resume(waits.run_id, ManualClock(datetime(2025, 1, 1, tzinfo=UTC)))
    assert (back.code, home.world.done) == ("input.run-ended", [("put", 1)])


@pytest.mark.parametrize(("waited_ms", "code"), [(60_000, "denied.approval-expired"), (59_999, None)])
def test_a_record_of_another_run_ends_an_approval_before_the_clock_is_turned_back(
    ram: Path, waited_ms: int, code: str | None
) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN, terms=RunTerms(approvals_expire_ms=60_000))
    home.decide()
    early = ManualClock(home.clock.now())
    home.clock.advance_ms(waited_ms)
    assert home.run("1").value == 1
    assert home.resume(waits.run_id, early).code == code
    assert (("send", "x") in home.world.done) is (code is None)


def test_a_request_that_is_listed_is_expired_by_a_record_of_another_run(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    home.run(PLAN, terms=RunTerms(approvals_expire_ms=60_000))
    early = ManualClock(home.clock.now())
    home.clock.advance_ms(60_000)
    for state in ("pending", "expired"):
        with home.open(early) as runtime:
            (asked,) = runtime.approvals()
        assert asked.state.value == state
        home.run("1")


def test_a_clock_that_was_ahead_before_does_not_end_a_new_request(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN)
    ahead = ManualClock(datetime(2099, 1, 1, tzinfo=UTC))
    ahead.random_bytes(1)  # or its run would have the name of that one
    with home.open(ahead) as runtime:
        runtime.run("1", provider="mock", context=RuntimeContext.pure())
    assert home.resume(waits.run_id).code == "denied.approval-expired"
    with home.open() as runtime, pytest.raises(ApprovalRequired) as caught:
        runtime.run(PLAN, provider="mock", context=RuntimeContext.controlled(capabilities=EVERYTHING))
    with home.open() as runtime:
        runtime.decide(str(caught.value.details["approval_id"]), granted=True, by="ada")
    assert home.resume(str(caught.value.details["run_id"])).value == "x"


def test_a_clock_that_is_turned_back_lengthens_no_approval(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN, terms=RunTerms(approvals_expire_ms=60_000))
    early = ManualClock(datetime(2025, 6, 1, tzinfo=UTC))
    assert home.resume(waits.run_id, early).code == "approval.required"
    home.decide(clock=early)
    home.clock.advance_ms(60_000)
    assert home.resume(waits.run_id).code == "denied.approval-expired"
    assert home.world.done == [("put", 1)]
