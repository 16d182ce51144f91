"""Records of budgets, and what a call is charged."""

from __future__ import annotations

from cloister.authority.budget import Budget, BudgetLimits, Consumption, Dimension
from cloister.canonical import encode
from cloister.isolation.provider import Usage
from cloister.plan.budget_records import BudgetRecords
from cloister.plan.metering import call_consumption, call_estimate


def test_a_budget_from_its_beginning_to_its_extension() -> None:
    budget = Budget(BudgetLimits(calls_count=2), budget_id="run-1")
    events = [budget.allocated]
    events += budget.consume(Consumption.exactly(calls_count=1))
    events += budget.consume(Consumption.exactly(calls_count=1, cost_microusd=None))
    events.append(budget.extend(Dimension.CALLS, 3, approval_id="approval-1"))
    records = BudgetRecords().of(events)
    assert [record.event_type for record in records] == [
        "budget.allocated",
        "budget.consumed",
        "budget.warned",
        "budget.consumed",
        "budget.warned",
        "budget.exhausted",
        "budget.exhausted",
        "budget.extended",
    ]
    assert records[0].body == {
        "budget_id": "run-1",
        "parent_id": None,
        "limits": budget.limits.to_dict(),
        "rules": budget.rules.to_dict(),
    }
    assert records[3].body == {
        "budget_id": "run-1",
        "amounts": {"calls_count": 1},
        "totals": {"calls_count": 2},
        "estimated": [],
        "unmeasured": ["cost_microusd"],
    }
    bound = {"budget_id": "run-1", "dimension": "calls", "unit": "count"}
    assert records[4].body == bound | {"allowed": 2, "used": 2, "percent": 80}
    assert records[5].body == bound | {"allowed": 2, "used": 2, "policy": "hard-stop"}
    assert records[6].body["used"] is None
    assert records[7].body == bound | {"allowed": 5, "amount": 3, "approval_id": "approval-1"}
    for record in records:
        encode(record.body)  # the chain takes plain data alone


def test_a_child_names_its_parent_and_foreign_text_is_cleaned() -> None:
    parent = Budget(budget_id="run\x1b[1m")
    (record,) = BudgetRecords().of([parent.child(BudgetLimits(), budget_id="c").allocated])
    assert record.body["parent_id"] == "run\N{REPLACEMENT CHARACTER}[1m"


MEASURED = Usage(cpu_user_us=2, cpu_system_us=3, io_write_bytes=7)


def test_a_call_is_charged_what_was_measured() -> None:
    assert call_consumption(
        MEASURED, may_write=True, wall_us=9, egress_bytes=0, model_tokens_count=4, cost_microusd=1
    ) == Consumption.exactly(calls_count=1, wall_us=9, cpu_us=5, storage_bytes=7, model_tokens_count=4, cost_microusd=1)


def test_what_no_sandbox_did_used_none_of_it() -> None:
    used = call_consumption(None, may_write=True, wall_us=9)
    assert (used.cpu_us, used.storage_bytes) == (0, 0)
    assert (used.egress_bytes, used.model_tokens_count, used.cost_microusd) == (None, None, None)


def test_what_was_not_measured_is_unknown_unless_it_cannot_have_been() -> None:
    used = call_consumption(Usage(cpu_user_us=2), may_write=True, wall_us=9)
    assert (used.cpu_us, used.storage_bytes) == (None, None)
    assert call_consumption(Usage(), may_write=False, wall_us=9).storage_bytes == 0
    assert call_consumption(MEASURED, may_write=False, wall_us=9).storage_bytes == 7


def test_an_estimate_knows_what_a_contract_says_and_what_cannot_be() -> None:
    estimate = call_estimate(may_write=True, egress_bytes=5)
    assert (estimate.calls_count, estimate.steps_count, estimate.egress_bytes) == (1, 0, 5)
    assert (estimate.storage_bytes, estimate.cpu_us, estimate.wall_us, estimate.cost_microusd) == (None,) * 4
    assert call_estimate(may_write=True, storage_bytes=3).storage_bytes == 3
    assert call_estimate(may_write=False, storage_bytes=3).storage_bytes == 0
