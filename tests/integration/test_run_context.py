"""What a run may know of itself, what it hands to the next plan, and how its steps may be isolated."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.audit.event import Provenance
from cloister.authority.context import RuntimeContext
from cloister.authority.exposure import ContextExposure
from cloister.authority.level import StepIsolation
from cloister.errors import CapabilityDenied, GuestError
from cloister.plan.journal.entries import RunState
from cloister.plan.terms import RunTerms
from cloister.runtime import Runtime

SNAPSHOT = "ccos.context.snapshot"
SET = "ccos.context.set"


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[Runtime]:
    with Runtime.open(tmp_path / "home") as opened:
        yield opened


def exposed(**more: object) -> RuntimeContext:
    exposure = ContextExposure(capabilities=frozenset({SNAPSHOT}))
    return RuntimeContext.controlled(capabilities=[SNAPSHOT, SET], expose=exposure, **more)  # type: ignore[arg-type]


def test_a_run_knows_of_itself_what_is_exposed(runtime: Runtime) -> None:
    terms = RunTerms(provenance=Provenance(intent_id="intent-1", plan_id="plan-1"))
    plan = '(step "look" (call :ccos.context.set "seen" 1) (call :ccos.context.snapshot))'
    result = runtime.run(plan, context=exposed(), provider="mock", terms=terms)
    told = {key.name: value for key, value in result.value.items()}
    assert told.pop("run_id") == result.run_id
    assert len(told.pop("inputs_sha256")) == 64
    assert told == {"plan_id": "plan-1", "intent_id": "intent-1", "step": "look", "parameters": {"seen": 1}}


def test_nothing_is_told_without_an_exposure(runtime: Runtime) -> None:
    context = RuntimeContext.controlled(capabilities=[SNAPSHOT])
    with pytest.raises(CapabilityDenied) as caught:
        runtime.run("(call :ccos.context.snapshot)", context=context, provider="mock")
    assert caught.value.code == "denied.exposure"


@pytest.mark.parametrize(
    ("options", "keys"),
    [(':context-keys ["step"]', {"step"}), (":expose-context true", {"run_id", "plan_id", "intent_id", "step"})],
)
def test_a_step_can_take_away(runtime: Runtime, options: str, keys: set[str]) -> None:
    plan = f'(step "look" {options} (call :ccos.context.snapshot))'
    value = runtime.run(plan, context=exposed(), provider="mock").value
    assert keys <= {key.name for key in value}
    with pytest.raises(CapabilityDenied):
        runtime.run(
            '(step "look" :expose-context false (call :ccos.context.snapshot))', context=exposed(), provider="mock"
        )


def test_what_a_plan_keeps_is_an_input_of_the_next(runtime: Runtime) -> None:
    context = RuntimeContext.controlled(capabilities=[SET])
    first = runtime.run('(context/set "total" {"sum" 3})', context=context, provider="mock")
    assert first.parameters == {"total": {"sum": 3}}
    carried = RuntimeContext.controlled(capabilities=[SET], parameters=first.parameters)
    assert runtime.run('(get total "sum")', context=carried, provider="mock").value == 3
    assert runtime.run("total", context=carried, provider="mock", inputs={"total": 4}).value == 4


@pytest.mark.parametrize("call", ['"no name" 1', '"f" 1.5', '"big" (reduce str "" (repeat 70000 "x"))'])
def test_what_cannot_be_kept_is_refused(runtime: Runtime, call: str) -> None:
    with pytest.raises(GuestError) as caught:
        runtime.run(f"(context/set {call})", context=RuntimeContext.controlled(capabilities=[SET]), provider="mock")
    assert caught.value.code == "guest.parameter"


def test_what_was_kept_is_there_again_in_a_resumed_run(runtime: Runtime, tmp_path: Path) -> None:
    terms = RunTerms(mode=_asking())
    context = RuntimeContext.controlled(capabilities=[SET, "ccos.io.mkdir"], write=[tmp_path])
    plan = f'(do (context/set "a" 1) (call :ccos.io.mkdir "{tmp_path}/made"))'
    with pytest.raises(Exception, match="approval"):
        runtime.run(plan, context=context, terms=terms)
    (paused,) = runtime.runs()
    assert paused.state is RunState.PAUSED
    (waiting,) = runtime.approvals()
    runtime.decide(waiting.request.approval_id, granted=True, by="ada")
    assert runtime.resume(paused.run_id).parameters == {"a": 1}


def _asking() -> object:
    from cloister.authority.mode import ExecutionMode  # noqa: PLC0415

    return ExecutionMode.REQUIRE_APPROVAL


@pytest.mark.parametrize(
    ("plan", "way"),
    [('(step "a" 1)', StepIsolation.INHERIT), ("(step-parallel 1 2)", StepIsolation.ISOLATED)],
)
def test_steps_are_isolated_in_the_ways_that_are_allowed(runtime: Runtime, plan: str, way: StepIsolation) -> None:
    others = [each for each in StepIsolation if each is not way]
    assert runtime.run(plan, context=RuntimeContext.controlled(step_isolation=[way]), provider="mock").value is not None
    with pytest.raises(CapabilityDenied) as caught:
        runtime.run(plan, context=RuntimeContext.controlled(step_isolation=others), provider="mock")
    assert (caught.value.code, caught.value.span is not None) == ("denied.step-isolation", True)
