"""Whatever is asked, used and approved, in whatever order: budgets hold."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.property.exploring import examples

from cloister.authority.budget import (
    Budget,
    BudgetLimits,
    BudgetRules,
    BudgetSpent,
    BudgetWarned,
    Consumption,
    Dimension,
    Exhaustion,
)
from cloister.errors import BudgetExhausted, InputError

AMOUNTS = st.integers(0, 20)
UNKNOWN = st.none() | AMOUNTS
BOUNDS = st.none() | st.integers(0, 30)
DIMENSIONS = st.sampled_from(list(Dimension))


def consumptions(amounts: Any) -> Any:
    return st.builds(Consumption, **{each.used_field: amounts for each in Dimension})


LIMITS = st.builds(BudgetLimits, **{each.limit_field: BOUNDS for each in Dimension})
RULES = st.builds(BudgetRules, **{each.value: st.sampled_from(list(Exhaustion)) for each in Dimension})
STRICT = st.builds(
    BudgetRules, **{each.value: st.sampled_from([Exhaustion.HARD_STOP, Exhaustion.APPROVAL]) for each in Dimension}
)
ACTS = st.lists(st.tuples(consumptions(UNKNOWN), consumptions(UNKNOWN)), max_size=30)


def allowed_to(act: Callable[[], object]) -> bool:
    try:
        act()
    except BudgetExhausted:
        return False
    return True


@examples()
@given(LIMITS, STRICT, ACTS)
def test_no_more_is_used_than_allowed_but_for_what_the_last_act_went_beyond_its_estimate(
    limits: BudgetLimits, rules: BudgetRules, acts: list[tuple[Consumption, Consumption]]
) -> None:
    budget = Budget(limits, rules, budget_id="r")
    for estimate, measured in acts:
        before = dict(budget.used)
        if not allowed_to(lambda estimate=estimate: budget.require(estimate)):
            continue
        budget.consume(measured, estimate)
        for dimension in Dimension:
            bound, asked, used = limits.amount(dimension), estimate.figure(dimension), measured.figure(dimension)
            if bound is None or used is None:
                assert bound is None or budget.used[dimension] == before[dimension] + (asked or 0)
                continue
            overshoot = max(0, used - asked) if asked is not None else used
            assert budget.used[dimension] <= max(bound, before[dimension]) + overshoot
            if asked != 0:
                assert before[dimension] <= bound


@examples()
@given(LIMITS, RULES, st.lists(consumptions(AMOUNTS), max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_what_is_used_does_not_matter(
    limits: BudgetLimits, rules: BudgetRules, used: list[Consumption], random: Any
) -> None:
    shuffled = list(used)
    random.shuffle(shuffled)
    budgets = []
    for order in (used, shuffled):
        budget = Budget(limits, rules, budget_id="r")
        warned = sorted(
            (event.dimension.value, event.percent)
            for each in order
            for event in budget.consume(each)
            if isinstance(event, BudgetWarned)
        )
        budgets.append((budget.to_dict(), warned))
    assert budgets[0] == budgets[1]


@examples()
@given(LIMITS, RULES, st.lists(consumptions(UNKNOWN), max_size=30))
def test_each_warning_and_each_end_is_told_once_and_when_it_is_due(
    limits: BudgetLimits, rules: BudgetRules, used: list[Consumption]
) -> None:
    budget = Budget(limits, rules, budget_id="r")
    events = [event for each in used for event in budget.consume(each)]
    warned = [(event.dimension, event.percent) for event in events if isinstance(event, BudgetWarned)]
    spent = [event.dimension for event in events if isinstance(event, BudgetSpent)]
    due = {
        (dimension, percent)
        for dimension in Dimension
        for percent in (50, 80)
        if (bound := limits.amount(dimension)) is not None
        and budget.used[dimension] > 0
        and budget.used[dimension] * 100 >= bound * percent
    }
    assert len(warned) == len(set(warned))
    assert set(warned) == due
    assert len(spent) == len(set(spent))
    assert set(spent) | {each for each in Dimension if limits.amount(each) == 0} >= budget.exhausted


@examples()
@given(LIMITS, STRICT, LIMITS, RULES, st.lists(st.tuples(st.booleans(), consumptions(AMOUNTS)), max_size=30))
def test_a_child_never_has_more_than_its_parent(
    limits: BudgetLimits,
    strict: BudgetRules,
    own: BudgetLimits,
    rules: BudgetRules,
    acts: list[tuple[bool, Consumption]],
) -> None:
    parent = Budget(limits, strict, budget_id="p")
    child = parent.child(own, rules, budget_id="c")
    for is_child, amount in acts:
        spender = child if is_child else parent
        if allowed_to(lambda spender=spender, amount=amount: spender.require(amount)):
            spender.consume(amount)
        for dimension in Dimension:
            around, inside = parent.remaining(dimension), child.remaining(dimension)
            assert around is None or (inside is not None and inside <= around)
            bound = limits.amount(dimension)
            assert bound is None or parent.used[dimension] <= bound
            assert child.used[dimension] <= parent.used[dimension]


@examples()
@given(
    LIMITS,
    st.lists(st.tuples(DIMENSIONS, st.integers(-2, 9), st.sampled_from(["", "a", "b", "c", "d"])), max_size=20),
)
def test_a_bound_rises_by_an_approval_alone_and_by_each_once(
    limits: BudgetLimits, extensions: list[tuple[Dimension, int, str]]
) -> None:
    budget = Budget(limits, budget_id="r")
    bounds = {each: limits.amount(each) for each in Dimension}
    used: set[str] = set()
    for dimension, amount, approval_id in extensions:
        bound = bounds[dimension]
        try:
            budget.extend(dimension, amount, approval_id=approval_id)
        except InputError:
            assert bound is None or amount < 1 or approval_id in {"", *used}
            continue
        assert bound is not None
        assert approval_id not in used
        used.add(approval_id)
        bounds[dimension] = bound + amount
        budget.consume(Consumption.exactly(calls_count=1))
    assert {each: budget.allowed(each) for each in Dimension} == bounds


@examples()
@given(LIMITS, RULES, st.lists(consumptions(UNKNOWN), max_size=10), consumptions(UNKNOWN))
def test_a_budget_that_was_written_down_goes_on_as_it_would_have(
    limits: BudgetLimits, rules: BudgetRules, used: list[Consumption], last: Consumption
) -> None:
    budget = Budget(limits, rules, budget_id="r")
    for each in used:
        budget.consume(each)
    again = Budget.from_dict(budget.to_dict())
    assert again.shortfalls(last) == budget.shortfalls(last)
    assert again.consume(last) == budget.consume(last)
    assert again.to_dict() == budget.to_dict()
