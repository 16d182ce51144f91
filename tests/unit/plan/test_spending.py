"""A budget that is brought to where a run left it is as if each act had been charged in its turn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cloister.audit.home import open_chain
from cloister.authority.budget import NOTHING, Budget, BudgetLimits, Consumption
from cloister.authority.budgets.dimension import dimension_of
from cloister.clock import ManualClock
from cloister.plan.recorder import RunRecorder
from cloister.plan.spending import Spending, restore

LIMITS = BudgetLimits(calls_count=4, storage_bytes=100, cpu_ms=1, model_tokens_count=10)


def charged(*unmeasured: str, **amounts: int) -> dict[str, Any]:
    return {"amounts": amounts, "unmeasured": list(unmeasured)}


def extended(word: str, amount: int, approval_id: str) -> dict[str, Any]:
    return {"dimension": word, "amount": amount, "approval_id": approval_id}


def one_by_one(events: list[dict[str, Any]]) -> Budget:
    budget = Budget(LIMITS, budget_id="run-1")
    for body in events:
        if "approval_id" in body:
            budget.extend(dimension_of(body["dimension"]), body["amount"], approval_id=body["approval_id"])
            continue
        figures: dict[str, int | None] = NOTHING._asdict()
        figures |= body["amounts"] | dict.fromkeys(body["unmeasured"])
        budget.consume(Consumption(**figures | {"steps_count": 0}))
    return budget


@pytest.mark.parametrize(
    "events",
    [
        pytest.param([], id="nothing"),
        pytest.param([charged(calls_count=1, wall_us=7), charged(calls_count=2, wall_us=9, steps_count=3)], id="sums"),
        pytest.param([charged(calls_count=4), extended("calls", 2, "a"), charged(calls_count=1)], id="extended"),
        pytest.param([charged("storage_bytes", calls_count=1), charged(storage_bytes=60)], id="not measured"),
        pytest.param(
            [charged("storage_bytes"), extended("storage", 50, "a"), charged(storage_bytes=60)], id="made up for"
        ),
        pytest.param(
            [charged("storage_bytes"), extended("storage", 5, "a"), charged("storage_bytes", "steps_count")], id="again"
        ),
        pytest.param([charged(wall_us=2**63 - 1), charged(wall_us=2**63 - 1)], id="more than a record holds"),
    ],
)
def test_a_restored_budget(tmp_path: Path, events: list[dict[str, Any]]) -> None:
    clock = ManualClock()
    with open_chain(tmp_path, clock) as chain:
        spending = Spending(budget=Budget(LIMITS, budget_id="run-1"), recorder=RunRecorder(chain, "run-1"), clock=clock)
        restore(spending, events)
    assert spending.budget.to_dict() == one_by_one(events).to_dict()
    assert spending.budget.exhausted == one_by_one(events).exhausted


def test_a_charge_of_something_unknown_is_not_passed_over(tmp_path: Path) -> None:
    clock = ManualClock()
    with open_chain(tmp_path, clock) as chain:
        spending = Spending(budget=Budget(LIMITS, budget_id="run-1"), recorder=RunRecorder(chain, "run-1"), clock=clock)
        with pytest.raises(KeyError):
            restore(spending, [charged(other_count=1)])
