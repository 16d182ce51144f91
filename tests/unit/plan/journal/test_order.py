"""What a run was ordered to do: it is complete, its digest covers all of it, and secrets are not in it."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.canonical import sha256_hex
from cloister.errors import JournalError, PlanError
from cloister.lang.modules import GivenModules
from cloister.lang.program import Program, compile_program
from cloister.lang.source import ModuleText, Source
from cloister.limits import ResourceLimits
from cloister.plan.journal.order import RunOrder, environment_sha256, program_of
from cloister.plan.journal.store import packed

PROGRAM = compile_program("(+ n 1)", "plan.rtfs", ["n"])
CONTEXT = RuntimeContext.controlled(capabilities=["ccos.io.println"], environment={"TOKEN": "secret-value"})
ORDER = RunOrder(program=PROGRAM, inputs={"n": 1}, context=CONTEXT, provider="mock", salt=b"\1" * 16)


def kept(order: RunOrder) -> dict[str, Any]:
    """Return an order as it comes out of the journal."""
    return deepcopy(order.to_dict())


def test_a_plan_comes_back() -> None:
    program = program_of(kept(ORDER), None)
    assert (program.sha256, program.name, sorted(program.inputs)) == (PROGRAM.sha256, "plan.rtfs", ["n"])


def test_its_modules_come_back() -> None:
    text = "(module tools (:exports [twice]) (defn twice [x] (* 2 x)))"
    texts = GivenModules([ModuleText("tools", Source("tools.rtfs", text))])
    program = compile_program("(import tools) (tools/twice 4)", "plan.rtfs", [], texts)
    assert [each.name for each in program.modules] == ["tools"]
    assert program_of(kept(replace(ORDER, program=program)), None).sha256 == program.sha256


def test_values_of_variables_are_not_kept() -> None:
    assert b"secret-value" not in packed(ORDER.to_dict())
    assert b"TOKEN" in packed(ORDER.to_dict())


def test_variables_are_compared_with_a_salt() -> None:
    digest = ORDER.to_dict()["environment"]["sha256"]
    assert digest == environment_sha256((("TOKEN", "secret-value"),), ORDER.salt)
    assert digest != environment_sha256((("TOKEN", "other"),), ORDER.salt)
    assert digest != environment_sha256((("TOKEN", "secret-value"),), b"\2" * 16)


def test_the_digest_is_that_of_what_is_kept() -> None:
    assert ORDER.sha256 == sha256_hex(packed(kept(ORDER)))


@pytest.mark.parametrize(
    "change",
    [
        {"program": compile_program("(+ n 2)", "plan.rtfs", ["n"])},
        {"program": compile_program("(+ n 1)", "other.rtfs", ["n"])},
        {"inputs": {"n": 2}},
        {"context": RuntimeContext.controlled(capabilities=["ccos.io.print"], environment={"TOKEN": "secret-value"})},
        {"context": replace(CONTEXT, environment=(("TOKEN", "other"),))},
        {"context": replace(CONTEXT, limits=ResourceLimits(wall_ms=1))},
        {"provider": "process"},
        {"expected": {"kernel": "sha256:00"}},
        {"policies": {"constitution": "00"}},
        {"salt": b"\2" * 16},
    ],
    ids=lambda change: next(iter(change)),
)
def test_the_digest_covers_everything(change: dict[str, Any]) -> None:
    assert replace(ORDER, **change).sha256 != ORDER.sha256


def test_another_plan_is_refused_and_the_same_taken() -> None:
    assert program_of(kept(ORDER), PROGRAM) is PROGRAM
    with pytest.raises(PlanError) as caught:
        program_of(kept(ORDER), compile_program("(+ n 2)", "plan.rtfs", ["n"]))
    assert caught.value.code == "plan.changed"


def test_a_text_that_was_altered_is_another_plan() -> None:
    order = kept(ORDER)
    order["plan"]["text"] = "(+ n 2)"
    with pytest.raises(PlanError) as caught:
        program_of(order, None)
    assert caught.value.code == "plan.changed"


def test_a_plan_without_its_text_has_to_be_given() -> None:
    without: Program = replace(PROGRAM, has_text=False)
    order = kept(replace(ORDER, program=without))
    assert order["plan"]["text"] is None
    with pytest.raises(PlanError) as caught:
        program_of(order, None)
    assert caught.value.code == "plan.needed"
    assert program_of(order, without) is without


@pytest.mark.parametrize(
    "plan",
    [None, [], {}, {"name": "p"}, "text", {"name": "p", "sha256": "", "text": "1", "modules": [[]], "inputs": []},
     {"name": "p", "sha256": "", "text": "1", "modules": 1, "inputs": []},
     {"name": "p", "sha256": "", "text": 1, "modules": [], "inputs": []}],
)  # fmt: skip
def test_an_order_without_a_plan_is_damage(plan: object) -> None:
    with pytest.raises(JournalError) as caught:
        program_of({"plan": plan}, None)
    assert caught.value.code == "journal.damaged"
