"""Schemas of parameters and results: what a capability takes and gives, as types of the language."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.capabilities.contracts import COMPUTES
from cloister.errors import ConfigError, GuestError
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map

PATHS = Parameter(name="paths", type=ParameterType.VECTOR, schema="[:vector :string]")
OPTIONS = Parameter(name="options", type=ParameterType.MAP, schema="[:map [:depth :int?]]", required=False)


def spec(result: str = ":any", *parameters: Parameter, **more: Any) -> CapabilitySpec:
    return CapabilitySpec(
        id="t.find", summary="Find.", parameters=parameters, returns="what is found", result=result,
        effects=frozenset({":compute"}), contract=COMPUTES, **more,
    )  # fmt: skip


def test_arguments_are_checked_against_the_schema() -> None:
    found = spec(":any", PATHS, OPTIONS)
    depth = Keyword("depth")
    assert found.bind([("a", "b"), Map({depth: 1})]) == {"paths": ("a", "b"), "options": Map({depth: 1})}
    with pytest.raises(GuestError, match=r"paths: at \[1\]: expected :string, got 5") as caught:
        found.bind([("a", 5)])
    assert caught.value.kind == "TypeError"
    with pytest.raises(GuestError, match=r"options: at \.depth"):
        found.bind([("a",), Map({depth: "x"})])


def test_before_the_run_only_what_is_certain_is_refused() -> None:
    found = spec(":any", PATHS, OPTIONS)
    found.bind([(UNKNOWN, "a")], partly=True)
    found.bind([("a",), Map({Keyword("depth"): UNKNOWN})], partly=True)
    with pytest.raises(GuestError, match="paths"):
        found.bind([("a", 5)], partly=True)
    with pytest.raises(GuestError, match="options"):
        found.bind([UNKNOWN, Map({Keyword("depth"): "x"})], partly=True)


def test_results_are_checked() -> None:
    found = spec("[:vector [:map [:name :string]]]")
    value = (Map({Keyword("name"): "a"}),)
    assert found.check_result(value) is value
    with pytest.raises(GuestError, match=r"the result of t.find: at \[0\].name: expected :string") as caught:
        found.check_result((Map(),))
    assert (caught.value.code, caught.value.kind) == ("guest.result", "TypeValidationError")


def test_a_question_mark_takes_nil() -> None:
    found = spec("[:vector :string]?")
    assert found.check_result(None) is None
    with pytest.raises(GuestError):
        found.check_result(5)


@pytest.mark.parametrize("schema", [":wrod", "{:a :int}", "[:vector", ""])
def test_what_is_no_type_is_refused(schema: str) -> None:
    with pytest.raises(ConfigError) as caught:
        spec(schema)
    assert caught.value.code == "config.capability"
    if schema:
        with pytest.raises(ConfigError):
            Parameter(name="x", type=ParameterType.ANY, schema=schema)
