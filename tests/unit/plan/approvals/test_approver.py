"""Somebody is asked while the run waits, and it goes on with each answer."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.plan.approvals.desks import CALL, Office, office

from cloister.errors import ApprovalRequired, CapabilityDenied, GuestError, InputError
from cloister.isolation.provider import Usage
from cloister.plan.approvals.approver import ApprovalAnswer, run_with
from cloister.plan.approvals.desk import Approval
from cloister.plan.approvals.request import ApprovalState
from cloister.plan.result import RunResult

RESULT = RunResult(
    value=1, value_text="1", run_id="run-1", plan_sha256="", provider="mock", usage=Usage(), calls=(), steps_count=0,
    chain_sequence=0, chain_sha256="", attestation=None,
)  # fmt: skip


class Answers:
    """Gives prepared answers, and keeps what it was asked."""

    def __init__(self, *answers: bool | None) -> None:
        self.left = list(answers)
        self.asked: list[Approval] = []

    def decide(self, approval: Approval) -> ApprovalAnswer | None:
        self.asked.append(approval)
        granted = self.left.pop(0)
        return None if granted is None else ApprovalAnswer(granted=granted, by="ada")


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path / "home") as opened:
        yield opened


def run(desk: Office, approver: Answers | None, calls_count: int = 2) -> tuple[RunResult, list[str]]:
    """Run something whose calls all need an approval; return its result and which runs were resumed."""
    resumed: list[str] = []

    def attempt() -> RunResult:
        for number in range(calls_count):
            desk.require(call=replace(CALL, number=number))
        return RESULT

    def resume(run_id: str) -> RunResult:
        resumed.append(run_id)
        return attempt()

    return run_with(approver, attempt, resume, lambda: desk.desk), resumed


def test_each_call_is_asked_about_and_the_run_goes_on(desk: Office) -> None:
    approver = Answers(True, True)
    assert run(desk, approver) == (RESULT, ["run-1", "run-1"])
    assert [each.request.number for each in approver.asked] == [0, 1]
    assert {each.state for each in approver.asked} == {ApprovalState.PENDING}
    assert [each.state for each in desk.desk.approvals()] == [ApprovalState.GRANTED] * 2


def test_without_an_approver_it_waits(desk: Office) -> None:
    with pytest.raises(ApprovalRequired) as caught:
        run(desk, None)
    assert caught.value.code == "approval.required"
    assert [each.state for each in desk.desk.approvals()] == [ApprovalState.PENDING]


def test_without_an_answer_it_waits(desk: Office) -> None:
    with pytest.raises(ApprovalRequired):
        run(desk, Answers(True, None))
    assert [each.state for each in desk.desk.approvals()] == [ApprovalState.GRANTED, ApprovalState.PENDING]


def test_a_denial_reaches_the_run(desk: Office) -> None:
    with pytest.raises(CapabilityDenied) as caught:
        run(desk, Answers(False))
    assert caught.value.code == "denied.approval"


def test_somebody_elses_decision_counts_when_it_is_first(desk: Office) -> None:
    class Slow(Answers):
        def decide(self, approval: Approval) -> ApprovalAnswer | None:
            desk.desk.decide(approval.request.approval_id, granted=True, by="bob")
            return super().decide(approval)

    assert run(desk, Slow(False), calls_count=1)[0] is RESULT
    (approval,) = desk.desk.approvals()
    assert approval.decision is not None
    assert approval.decision.by == "bob"


def test_what_cannot_be_decided_so_is_told(desk: Office) -> None:
    class Careless(Answers):
        def decide(self, approval: Approval) -> ApprovalAnswer | None:
            raise InputError("no key", code="input.approval-guardian")

    with pytest.raises(InputError) as caught:
        run(desk, Careless())
    assert caught.value.code == "input.approval-guardian"


def test_other_errors_pass_through(desk: Office) -> None:
    def fail() -> RunResult:
        raise GuestError("no", code="guest.world")

    with pytest.raises(GuestError):
        run_with(Answers(), fail, lambda run_id: RESULT, lambda: desk.desk)
