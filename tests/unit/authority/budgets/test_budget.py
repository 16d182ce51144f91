"""The meter: what is let through, what is charged, what is recorded, and who may extend it."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from cloister.authority.budget import (
    NOTHING,
    Budget,
    BudgetConsumed,
    BudgetExtended,
    BudgetLimits,
    BudgetRules,
    BudgetSpent,
    BudgetWarned,
    Consumption,
    Dimension,
    Exhaustion,
    Shortfall,
)
from cloister.errors import BudgetExhausted, ConfigError, InputError, InternalError

CALL = Consumption.exactly(calls_count=1)


def budget(rules: BudgetRules | None = None, **bounds: int) -> Budget:
    limits = dict.fromkeys(BudgetLimits().to_dict()) | bounds
    return Budget(BudgetLimits(**limits), rules, budget_id="run-1")


def refused(act: Any) -> BudgetExhausted:
    with pytest.raises(BudgetExhausted) as caught:
        act()
    return caught.value


def test_the_defaults_are_those_of_the_reference() -> None:
    assert BudgetLimits().to_dict() == {
        "steps_count": 1_000,
        "wall_ms": 60_000,
        "calls_count": None,
        "egress_bytes": 10 * 1024 * 1024,
        "storage_bytes": 50 * 1024 * 1024,
        "cpu_ms": None,
        "model_tokens_count": 100_000,
        "cost_microusd": 500_000,
    }
    rules = BudgetRules().to_dict()
    assert {name for name, rule in rules.items() if rule == "approval"} == {"tokens", "cost"}
    assert {name for name, rule in rules.items() if rule == "hard-stop"} == set(rules) - {"tokens", "cost"}


@pytest.mark.parametrize("dimension", list(Dimension))
def test_every_dimension_has_a_bound_that_holds(dimension: Dimension) -> None:
    bounded = budget(**{dimension.limit_field: 2})
    whole = 2 * dimension.scale
    bounded.require(Consumption.exactly(**{dimension.used_field: whole}))
    bounded.consume(Consumption.exactly(**{dimension.used_field: whole}))
    bounded.require(NOTHING)
    error = refused(lambda: bounded.require(Consumption.exactly(**{dimension.used_field: 1})))
    assert (error.code, error.exit_status) == (f"budget.{dimension.value}", 4)
    assert (error.dimension, error.allowed, error.used, error.asked) == (dimension.value, whole, whole, 1)
    assert (error.policy, error.unit) == (BudgetRules().of(dimension).value, dimension.unit)
    assert bounded.exhausted == {dimension}
    assert (bounded.remaining(dimension), bounded.allowed(dimension)) == (0, whole)


def test_what_is_spent_stops_only_acts_that_need_it() -> None:
    bounded = budget(egress_bytes=0, calls_count=1)
    bounded.require(CALL)
    assert refused(lambda: bounded.require(Consumption.exactly(egress_bytes=1))).code == "budget.egress"
    assert refused(lambda: bounded.require(Consumption.exactly(egress_bytes=None))).code == "budget.egress"


def test_an_act_of_unknown_size_passes_while_anything_is_left() -> None:
    bounded = budget(egress_bytes=10)
    unknown = Consumption.exactly(egress_bytes=None)
    bounded.require(unknown)
    bounded.consume(Consumption.exactly(egress_bytes=9))
    bounded.require(unknown)
    bounded.consume(Consumption.exactly(egress_bytes=5))  # what the last one turned out to use
    assert bounded.used[Dimension.EGRESS] == 14
    assert refused(lambda: bounded.require(unknown)).asked is None


def test_a_hard_stop_goes_before_an_approval_and_a_warning_stops_nothing() -> None:
    rules = BudgetRules(calls=Exhaustion.WARN, cost=Exhaustion.APPROVAL, egress=Exhaustion.HARD_STOP)
    bounded = budget(rules, calls_count=0, cost_microusd=0, egress_bytes=0)
    bounded.require(CALL)
    both = Consumption.exactly(calls_count=1, cost_microusd=1, egress_bytes=1)
    assert refused(lambda: bounded.require(both)).dimension == "egress"
    asking = refused(lambda: bounded.require(Consumption.exactly(cost_microusd=1)))
    assert (asking.dimension, asking.policy) == ("cost", "approval")
    assert [short.rule for short in bounded.shortfalls(both)] == [
        Exhaustion.WARN, Exhaustion.HARD_STOP, Exhaustion.APPROVAL
    ]  # fmt: skip


def test_a_shortfall_says_what_is_missing() -> None:
    bounded = budget(cost_microusd=10)
    bounded.consume(Consumption.exactly(cost_microusd=4))
    (short,) = bounded.shortfalls(Consumption.exactly(cost_microusd=9))
    assert short == Shortfall(
        budget_id="run-1", dimension=Dimension.COST, allowed=10, used=4, asked=9, rule=Exhaustion.APPROVAL
    )
    assert short.missing == 3
    assert bounded.shortfalls(Consumption.exactly(cost_microusd=6)) == ()


def warnings(events: tuple[Any, ...]) -> list[tuple[str, int]]:
    return [(event.dimension.value, event.percent) for event in events if isinstance(event, BudgetWarned)]


def test_warnings_come_once_at_half_and_at_four_fifths() -> None:
    bounded = budget(calls_count=10)
    seen = [warnings(bounded.consume(CALL)) for _ in range(12)]
    assert seen[4] == [("calls", 50)]
    assert seen[7] == [("calls", 80)]
    assert sum(map(len, seen)) == 2


def test_one_act_that_passes_both_warns_of_both() -> None:
    events = budget(cost_microusd=10).consume(Consumption.exactly(cost_microusd=11))
    assert warnings(events) == [("cost", 50), ("cost", 80)]
    assert [type(event) for event in events] == [BudgetConsumed, BudgetWarned, BudgetWarned, BudgetSpent]


def test_the_end_of_a_bound_is_told_once() -> None:
    bounded = budget(calls_count=2)
    told = [event for _ in range(4) for event in bounded.consume(CALL) if isinstance(event, BudgetSpent)]
    assert told == [
        BudgetSpent(budget_id="run-1", dimension=Dimension.CALLS, used=2, allowed=2, rule=Exhaustion.HARD_STOP)
    ]


def test_nothing_used_is_nothing_to_record() -> None:
    assert budget(calls_count=0).consume(NOTHING) == ()


def test_what_was_charged_is_told_with_its_totals() -> None:
    bounded = budget(calls_count=100)
    bounded.consume(CALL)
    (event,) = bounded.consume(Consumption.exactly(calls_count=1, egress_bytes=7))
    assert isinstance(event, BudgetConsumed)
    assert event.amounts == {Dimension.CALLS: 1, Dimension.EGRESS: 7}
    assert event.totals == {Dimension.CALLS: 2, Dimension.EGRESS: 7}
    assert (event.estimated, event.unmeasured) == ((), ())


def test_what_was_not_measured_is_charged_as_expected() -> None:
    bounded = budget(cpu_ms=10)
    (event, *_) = bounded.consume(
        Consumption.exactly(cpu_us=None, calls_count=1), Consumption.exactly(cpu_us=2_000, calls_count=5)
    )
    assert isinstance(event, BudgetConsumed)
    assert event.amounts == {Dimension.CPU: 2_000, Dimension.CALLS: 1}
    assert (event.estimated, event.unmeasured) == ((Dimension.CPU,), ())


def test_what_nobody_knows_closes_a_bound_until_a_person_extends_it() -> None:
    bounded = budget(cpu_ms=10)
    unknown = Consumption.exactly(cpu_us=None)
    consumed, spent = bounded.consume(unknown)
    assert isinstance(consumed, BudgetConsumed)
    assert (consumed.amounts, consumed.unmeasured) == ({}, (Dimension.CPU,))
    assert isinstance(spent, BudgetSpent)
    assert (spent.used, spent.allowed) == (None, 10_000)
    error = refused(lambda: bounded.require(Consumption.exactly(cpu_us=1)))
    assert (error.code, error.used) == ("budget.cpu", None)
    assert (bounded.remaining(Dimension.CPU), bounded.exhausted) == (0, {Dimension.CPU})
    assert bounded.child(BudgetLimits(), budget_id="c").allowed(Dimension.CPU) == 0
    bounded.require(CALL)
    (again,) = bounded.consume(unknown)
    assert isinstance(again, BudgetConsumed)
    bounded.extend(Dimension.CPU, 1, approval_id="a-1")
    bounded.require(Consumption.exactly(cpu_us=10_001))


def test_what_nobody_knows_and_nothing_bounds_is_told_and_closes_nothing() -> None:
    unbounded = budget()
    (event,) = unbounded.consume(Consumption.exactly(cost_microusd=None))
    assert isinstance(event, BudgetConsumed)
    assert event.unmeasured == (Dimension.COST,)
    unbounded.require(Consumption.exactly(cost_microusd=10**12))


def test_an_approval_extends_a_bound_once() -> None:
    bounded = budget(calls_count=1)
    bounded.consume(CALL)
    event = bounded.extend(Dimension.CALLS, 2, approval_id="approval-7")
    assert event == BudgetExtended(
        budget_id="run-1", dimension=Dimension.CALLS, amount=2, allowed=3, approval_id="approval-7"
    )
    bounded.require(Consumption.exactly(calls_count=2))
    with pytest.raises(InputError) as caught:
        bounded.extend(Dimension.CALLS, 2, approval_id="approval-7")
    assert caught.value.code == "input.budget"
    refused(lambda: bounded.require(Consumption.exactly(calls_count=3)))


@pytest.mark.parametrize(
    ("dimension", "amount", "approval_id"),
    [
        (Dimension.CALLS, 1, ""),
        (Dimension.CALLS, 1, None),
        (Dimension.CALLS, 1, "x" * 201),
        (Dimension.CALLS, 0, "a"),
        (Dimension.CALLS, -1, "a"),
        (Dimension.CALLS, True, "a"),
        (Dimension.CALLS, 2**63 - 1, "a"),
        (Dimension.EGRESS, 1, "a"),
    ],
)
def test_nothing_else_extends_one(dimension: Dimension, amount: int, approval_id: Any) -> None:
    bounded = budget(calls_count=1)
    with pytest.raises(InputError) as caught:
        bounded.extend(dimension, amount, approval_id=approval_id)
    assert caught.value.code == "input.budget"
    assert bounded.allowed(Dimension.CALLS) == 1
    bounded.extend(Dimension.CALLS, 1, approval_id="a")


def test_warnings_are_given_again_of_an_extended_bound() -> None:
    bounded = budget(calls_count=10)
    bounded.consume(Consumption.exactly(calls_count=10))
    bounded.extend(Dimension.CALLS, 5, approval_id="a")  # 10 of 15: half is behind, four fifths are ahead
    assert warnings(bounded.consume(CALL)) == []
    events = bounded.consume(Consumption.exactly(calls_count=4))
    assert warnings(events) == [("calls", 80)]
    assert isinstance(events[-1], BudgetSpent)


def test_a_child_is_bounded_by_what_is_left_and_charges_its_parent() -> None:
    parent = budget(calls_count=10, egress_bytes=5)
    parent.consume(Consumption.exactly(calls_count=4))
    child = parent.child(BudgetLimits(calls_count=100, cost_microusd=7), budget_id="step-1")
    assert (child.allowed(Dimension.CALLS), child.allowed(Dimension.EGRESS)) == (6, 5)
    assert child.allowed(Dimension.COST) == 7
    assert child.allocated.parent_id == "run-1"
    events = child.consume(Consumption.exactly(calls_count=5))
    assert [event.budget_id for event in events if isinstance(event, BudgetConsumed)] == ["step-1", "run-1"]
    assert (parent.used[Dimension.CALLS], child.used[Dimension.CALLS]) == (9, 5)
    parent.consume(CALL)  # a sibling's: the child has one of its own left, and its parent none
    assert child.remaining(Dimension.CALLS) == 0
    short = child.shortfalls(CALL)
    assert [each.budget_id for each in short] == ["run-1"]
    refused(lambda: child.require(CALL))


def test_a_child_has_its_parents_rules_and_cannot_soften_them() -> None:
    parent = budget(calls_count=1)
    child = parent.child(BudgetLimits(), BudgetRules(calls=Exhaustion.WARN), budget_id="c")
    child.consume(CALL)
    assert refused(lambda: child.require(CALL)).policy == "hard-stop"
    softer = budget(BudgetRules(calls=Exhaustion.WARN), calls_count=1).child(BudgetLimits(), budget_id="c")
    softer.consume(CALL)
    softer.require(CALL)


def test_a_child_is_extended_within_its_parent_only() -> None:
    parent = budget(calls_count=3)
    child = parent.child(BudgetLimits(calls_count=1), budget_id="c")
    with pytest.raises(InputError):
        child.extend(Dimension.CALLS, 3, approval_id="a")
    child.extend(Dimension.CALLS, 2, approval_id="a")
    child.require(Consumption.exactly(calls_count=3))


def test_bounds_of_time_are_clamped_to_whole_milliseconds() -> None:
    parent = budget(wall_ms=2)
    parent.consume(Consumption.exactly(wall_us=1))
    assert parent.child(BudgetLimits(wall_ms=2), budget_id="c").allowed(Dimension.WALL) == 1_000


def test_a_reservation_is_held_until_it_is_settled_or_released() -> None:
    bounded = budget(calls_count=2)
    first, second = bounded.reserve(CALL), bounded.reserve(CALL)
    error = refused(lambda: bounded.require(CALL))
    assert (error.used, error.asked, error.allowed) == (2, 1, 2)
    second.release()
    second.release()
    bounded.require(CALL)
    first.settle(CALL)
    assert (bounded.used[Dimension.CALLS], bounded.remaining(Dimension.CALLS)) == (1, 1)
    for over in (first, second):
        with pytest.raises(InternalError):
            over.settle(CALL)
    with bounded.reserve(CALL):
        assert bounded.remaining(Dimension.CALLS) == 0
    assert bounded.remaining(Dimension.CALLS) == 1


def test_what_a_settled_act_did_not_measure_is_charged_as_it_was_held() -> None:
    bounded = budget(cost_microusd=10)
    bounded.reserve(Consumption.exactly(cost_microusd=6)).settle(Consumption.exactly(cost_microusd=None))
    assert bounded.used[Dimension.COST] == 6


def test_threads_together_are_let_through_no_more_often_than_allowed() -> None:
    parent = budget(calls_count=50)
    children = [parent.child(BudgetLimits(calls_count=50), budget_id=f"c-{number}") for number in range(8)]
    start, done = threading.Barrier(8), []

    def spend(child: Budget) -> None:
        start.wait()
        for _ in range(20):
            try:
                child.reserve(CALL).settle(CALL)
            except BudgetExhausted:
                return
            done.append(1)

    threads = [threading.Thread(target=spend, args=(child,)) for child in children]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(done) == parent.used[Dimension.CALLS] == 50


def test_another_process_goes_on_where_one_stopped() -> None:
    first = budget(calls_count=10, cpu_ms=5)
    first.consume(Consumption.exactly(calls_count=6, cpu_us=None))
    first.extend(Dimension.CALLS, 1, approval_id="a")
    second = Budget.from_dict(first.to_dict())
    assert second.to_dict() == first.to_dict()
    assert warnings(second.consume(CALL)) == []
    refused(lambda: second.require(Consumption.exactly(cpu_us=1)))
    with pytest.raises(InputError):
        second.extend(Dimension.CALLS, 1, approval_id="a")
    parent = budget(calls_count=1)
    joined = Budget.from_dict(first.to_dict(), parent=parent)
    joined.consume(CALL)
    assert parent.used[Dimension.CALLS] == 1
    refused(lambda: joined.require(CALL))


def broken(**changes: Any) -> list[dict[str, Any]]:
    whole = budget(calls_count=10).to_dict()
    account = whole["accounts"]["calls"]
    return [
        whole | {"form": 2},
        whole | {"budget_id": 1},
        whole | {"approvals": [1]},
        whole | {"approvals": "abc"},
        whole | {"limits": {}},
        whole | {"limits": None},
        whole | {"rules": whole["rules"] | {"calls": "never"}},
        whole | {"rules": {}},
        whole | {"more": 1},
        whole | {"accounts": {}},
        *(
            whole | {"accounts": whole["accounts"] | {"calls": wrong}}
            for wrong in (
                None,
                {},
                account | {"used": -1},
                account | {"used": 1.0},
                account | {"allowed": "9"},
                account | {"allowed": 2**63},
                account | {"warned_percent": 60},
                account | {"warned_percent": False},
                account | {"is_spent": 1},
                account | {"held": 0},
            )
        ),
    ]


@pytest.mark.parametrize("data", [None, [], {}, *broken()])
def test_what_is_not_a_state_is_refused(data: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        Budget.from_dict(data)
    assert caught.value.code == "config.budget"


@pytest.mark.parametrize("value", [-1, 1.5, True, "1", 2**63])
def test_bounds_and_figures_are_whole_numbers(value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        BudgetLimits(calls_count=value)
    assert caught.value.code == "config.budget"
    with pytest.raises(InternalError):
        Consumption(calls_count=value)


def test_counting_ends_at_the_largest_number_of_a_record() -> None:
    bounded = budget(calls_count=2**63 - 1)
    most = Consumption.exactly(calls_count=2**63 - 1)
    bounded.consume(most)
    bounded.consume(most)
    assert bounded.used[Dimension.CALLS] == 2**63 - 1
    refused(lambda: bounded.require(CALL))


def test_unlimited_bounds_nothing_and_counts() -> None:
    unbounded = Budget(BudgetLimits.unlimited(), budget_id="r")
    unbounded.require(Consumption.exactly(calls_count=10**15))
    unbounded.consume(CALL)
    assert (unbounded.used[Dimension.CALLS], unbounded.exhausted) == (1, frozenset())
    assert repr(unbounded) == "Budget(r, spent: nothing)"
