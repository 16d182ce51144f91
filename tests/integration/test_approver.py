"""`Runtime.run` with somebody who answers: the run pauses, the answer is recorded, and the run goes on."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.crashing import capability

from cloister.audit.event import EventType
from cloister.authority.context import RuntimeContext
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.capability import Invocation
from cloister.capabilities.catalog import Catalog, builtin_catalog
from cloister.capabilities.contracts import TELLS_TIME
from cloister.errors import ApprovalRequired, CapabilityDenied
from cloister.lang.program import compile_program
from cloister.lang.values import Value
from cloister.plan.approvals.approver import ApprovalAnswer
from cloister.plan.approvals.desk import Approval
from cloister.plan.approvals.request import ApprovalKind, ApprovalNeed, ApprovalRequest, ApprovalState
from cloister.plan.journal.entries import RunState
from cloister.runtime import Runtime

PLAN = '(do (call :world.ask "first") (call :ccos.system.get-env "TOKEN") (call :world.ask "second"))'
CONTEXT = RuntimeContext.controlled(capabilities=["world.ask", "ccos.system.get-env"], environment={"TOKEN": "secret"})


class Answers:
    """Gives the same answer to everything."""

    def __init__(self, granted: bool | None) -> None:
        self.granted = granted
        self.asked: list[str] = []

    def decide(self, approval: Approval) -> ApprovalAnswer | None:
        self.asked.append(approval.request.arguments)
        return None if self.granted is None else ApprovalAnswer(granted=self.granted, by="ada", reason="tested")


class World:
    """A capability that asks for an approval itself, as the rules of a home will."""

    runtime: Runtime

    def ask(self, call: Invocation) -> Value:
        run_id, _, number = call.idempotency_key.partition("/call-")
        for approval in self.runtime.approvals(run_id=run_id):
            if approval.request.number == int(number):
                return self._decided(approval)
        request = ApprovalRequest(
            approval_id=f"approval-{call.clock.random_bytes(4).hex()}",
            run_id=run_id,
            number=int(number),
            step=None,
            capability_id="world.ask",
            arguments=str(call.arguments["name"]),
            arguments_sha256="",
            need=ApprovalNeed(kind=ApprovalKind.HUMAN, rule="rule:world", reason="it asks", terms={}),
            requested_at="2026-01-01T00:00:00.000000Z",
            expires_at="9999-01-01T00:00:00.000000Z",
        )
        self.runtime._parts.desk().ask(request, 0)
        raise self._required(request)

    def _decided(self, approval: Approval) -> Value:
        if approval.state is ApprovalState.PENDING:
            raise self._required(approval.request)
        if approval.state is ApprovalState.DENIED:
            raise CapabilityDenied("it was denied", code="denied.approval")
        return "made"

    def _required(self, request: ApprovalRequest) -> ApprovalRequired:
        facts = {"approval_id": request.approval_id, "run_id": request.run_id}
        return ApprovalRequired("it needs an approval", details=facts)


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    world, builtin = World(), builtin_catalog().capabilities
    own = capability("ask", world.ask, TELLS_TIME, 1)
    capabilities = {**builtin, own.spec.id: own}
    registry = CapabilityRegistry([each.spec for each in capabilities.values()])
    with Runtime.open(tmp_path / "home", catalog=Catalog(capabilities=capabilities, registry=registry)) as opened:
        world.runtime = opened
        yield opened


def only(runtime: Runtime) -> Any:
    (run,) = runtime.runs()
    return run


def test_each_request_is_answered_and_the_run_goes_on(runtime: Runtime) -> None:
    approver = Answers(True)
    result = runtime.run(PLAN, context=CONTEXT, approver=approver)
    assert (result.value, approver.asked) == ("made", ["first", "second"])
    kinds = [record.event.event_type for record in runtime.records(result.run_id)]
    for each in (EventType.RUN_PAUSED, EventType.APPROVAL_GRANTED, EventType.RUN_RESUMED):
        assert kinds.count(each) == 2
    assert only(runtime).state is RunState.COMPLETED


def test_without_an_approver_it_waits_and_can_be_resumed_with_one(runtime: Runtime) -> None:
    with pytest.raises(ApprovalRequired):
        runtime.run(PLAN, context=CONTEXT)
    assert only(runtime).state is RunState.PAUSED
    assert runtime.resume(only(runtime).run_id, environment={"TOKEN": "secret"}, approver=Answers(True)).value == "made"


def test_without_an_answer_it_waits(runtime: Runtime) -> None:
    with pytest.raises(ApprovalRequired):
        runtime.run(PLAN, context=CONTEXT, approver=Answers(None))
    assert only(runtime).state is RunState.PAUSED


def test_a_denial_is_the_answer_of_the_call(runtime: Runtime) -> None:
    with pytest.raises(CapabilityDenied) as caught:
        runtime.run(PLAN, context=CONTEXT, approver=Answers(False))
    assert caught.value.code == "denied.approval"
    assert only(runtime).state is RunState.FAILED


def test_a_plan_without_its_text_goes_on_too(runtime: Runtime) -> None:
    program = replace(compile_program(PLAN, "plan.rtfs", []), has_text=False)
    assert runtime.run(program, context=CONTEXT, provider="wasm", approver=Answers(True)).value == "made"


def test_it_does_not_block_an_event_loop(runtime: Runtime) -> None:
    assert asyncio.run(runtime.arun(PLAN, context=CONTEXT, approver=Answers(True))).value == "made"
