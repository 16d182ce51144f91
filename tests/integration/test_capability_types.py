"""A capability that breaks its promise: the plan never sees what it returned."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import cloister
from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.authority.context import RuntimeContext
from cloister.authority.registry import CapabilityRegistry
from cloister.capabilities.capability import Capability
from cloister.capabilities.catalog import Catalog
from cloister.capabilities.contracts import COMPUTES
from cloister.errors import GuestError

ECHO = Capability(
    spec=CapabilitySpec(
        id="test.age",
        summary="Return what it is given as an age.",
        parameters=(Parameter(name="person", type=ParameterType.MAP, schema="[:map [:age :any]]"),),
        returns="the age",
        result="[:and :int [:>= 0]]",
        effects=frozenset({":compute"}),
        contract=COMPUTES,
    ),
    run=lambda call: next(iter(call.arguments["person"].values())),
)
CONTEXT = RuntimeContext.controlled(capabilities=("test.age",))


@pytest.fixture
def runtime(tmp_path: Path) -> Iterator[cloister.Runtime]:
    catalog = Catalog(capabilities={"test.age": ECHO}, registry=CapabilityRegistry([ECHO.spec]))
    with cloister.Runtime.open(tmp_path / "home", catalog=catalog) as opened:
        yield opened


def test_a_result_of_the_right_type_is_passed_on(runtime: cloister.Runtime) -> None:
    assert runtime.run("(call :test.age {:age 5})", context=CONTEXT, provider="mock").value == 5


def test_a_result_of_the_wrong_type_is_an_error(runtime: cloister.Runtime) -> None:
    with pytest.raises(GuestError) as caught:
        runtime.run("(call :test.age {:age -5})", context=CONTEXT, provider="mock")
    assert (caught.value.code, caught.value.kind) == ("guest.result", "TypeValidationError")
    assert "the result of test.age: expected [:>= 0], got -5 (integer)" in caught.value.message


def test_a_plan_can_catch_it(runtime: cloister.Runtime) -> None:
    plan = '(try (call :test.age {:age "x"}) (catch :TypeValidationError e "caught"))'
    assert runtime.run(plan, context=CONTEXT, provider="mock").value == "caught"


def test_literal_arguments_are_compared_before_the_run(runtime: cloister.Runtime) -> None:
    plan = '(do (call :test.age {:age 1}) (call :test.age {:name "Ada"}))'
    with pytest.raises(GuestError, match=r"person: at .age: expected :any, got nothing") as caught:
        runtime.run(plan, context=CONTEXT, provider="mock")
    assert caught.value.span is not None
