"""Budgets as they are typed, and the option that a spent budget names."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.budget import Budget, BudgetLimits, BudgetRules, Consumption, Dimension, Exhaustion
from cloister.cli.budget import (
    amount_text,
    parse_budget,
    parse_rules,
    proposed_budgets,
    proposed_rules,
    with_budget_option,
)
from cloister.errors import BudgetExhausted, ConfigError
from cloister.limits import MIB


def test_nothing_given_is_the_defaults() -> None:
    assert parse_budget(None) == parse_budget([]) == BudgetLimits()
    assert parse_rules(None) == parse_rules([]) == BudgetRules()


@pytest.mark.parametrize(
    ("item", "field", "value"),
    [
        ("calls=100", "calls_count", 100),
        ("steps=0", "steps_count", 0),
        ("cost=0.50", "cost_microusd", 500_000),
        ("cost=2", "cost_microusd", 2_000_000),
        ("cost=0.000001", "cost_microusd", 1),
        ("egress=10MiB", "egress_bytes", 10 * MIB),
        ("storage=1KB", "storage_bytes", 1_000),
        ("storage=17", "storage_bytes", 17),
        ("wall=2m", "wall_ms", 120_000),
        ("wall=90", "wall_ms", 90_000),
        ("cpu=500ms", "cpu_ms", 500),
        ("tokens=unlimited", "model_tokens_count", None),
        ("cost=unlimited", "cost_microusd", None),
    ],
)
def test_amounts_have_the_unit_of_their_word(item: str, field: str, value: int | None) -> None:
    others = BudgetLimits().to_dict()
    assert parse_budget([item]).to_dict() == others | {field: value}


def test_rules_are_given_by_word() -> None:
    rules = parse_rules(["calls=approval", "cost=hard-stop", "egress=warn"])
    assert rules == BudgetRules(calls=Exhaustion.APPROVAL, cost=Exhaustion.HARD_STOP, egress=Exhaustion.WARN)


@pytest.mark.parametrize(
    ("item", "hint"),
    [
        ("call=1", "did you mean calls?"),
        ("zzz=1", "the budgets are steps, wall, calls"),
        ("calls", "--budget calls=100"),
        ("calls=", "--budget calls=100"),
        ("calls=-1", "--budget calls=100"),
        ("calls=1s", "--budget calls=100"),
        ("calls=1.5", "--budget calls=100"),
        ("egress=1s", "--budget egress=10MiB"),
        ("wall=1MiB", "--budget wall=60s"),
        ("cost=0.0000001", "--budget cost=0.50"),
        ("cost=1e3", "--budget cost=0.50"),
        ("cost=.5", "--budget cost=0.50"),
        ("calls=Unlimited", "calls=unlimited"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_what_can(item: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_budget([item])
    assert caught.value.code == "config.budget"
    assert hint in str(caught.value.hint)


@pytest.mark.parametrize(
    ("items", "hint"),
    [
        (["calls=approve"], "did you mean approval?"),
        (["calls=zzz"], "it is one of hard-stop, approval, warn"),
        (["calls"], "--on-exhaustion calls=approval"),
        (["call=warn"], "did you mean calls?"),
        (["calls=warn", "calls=warn"], "give it once"),
    ],
)
def test_what_cannot_follow_is_refused_with_what_can(items: list[str], hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_rules(items)
    assert caught.value.code == "config.budget"
    assert hint in str(caught.value.hint)


def test_a_budget_is_given_once() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_budget(["calls=1", "calls=1"])
    assert caught.value.hint == "give it once"


def spent(dimension: Dimension, bound: int, asked: int | None) -> BudgetExhausted:
    budget = Budget(BudgetLimits(**{dimension.limit_field: bound}), budget_id="r")
    budget.consume(Consumption.exactly(**{dimension.used_field: bound * dimension.scale}))
    with pytest.raises(BudgetExhausted) as caught:
        budget.require(Consumption.exactly(**{dimension.used_field: asked}))
    return caught.value


@pytest.mark.parametrize("dimension", list(Dimension))
@pytest.mark.parametrize("bound", [0, 1, 7, 1_000])
@pytest.mark.parametrize("asked", [None, 1, 1_234_567])
def test_the_proposed_amount_can_be_typed_and_is_enough(dimension: Dimension, bound: int, asked: int | None) -> None:
    error = spent(dimension, bound, asked)
    hint = with_budget_option(error.to_dict())["hint"]
    limits = parse_budget([hint.rsplit("--budget ", 1)[1]])
    enough = limits.amount(dimension)
    assert enough is not None
    assert enough > bound * dimension.scale
    assert enough >= bound * dimension.scale + (asked or 0)


@pytest.mark.parametrize("error", [{"code": "x"}, {"hint": "h", "details": {"dimension": "calls"}}, {"details": None}])
def test_other_errors_stay_as_they_are(error: dict[str, Any]) -> None:
    assert with_budget_option(error) == error


@pytest.mark.parametrize(
    ("dimension", "amount", "text"),
    [
        (Dimension.WALL, 60_000_000, "60s"),
        (Dimension.WALL, 1, "1ms"),
        (Dimension.COST, 500_000, "0.50"),
        (Dimension.COST, 1, "0.01"),
        (Dimension.EGRESS, 10 * MIB, "10MiB"),
        (Dimension.CALLS, 3, "3"),
    ],
)
def test_amounts_are_written_as_they_are_typed(dimension: Dimension, amount: int, text: str) -> None:
    assert amount_text(dimension, amount) == text


def test_the_shell_proposes_what_can_be_typed() -> None:
    assert proposed_budgets("c") == ["calls=", "cpu=", "cost="]
    assert proposed_rules("cost=") == ["cost=hard-stop", "cost=approval", "cost=warn"]
    for pair in proposed_rules(""):
        parse_rules([pair])
