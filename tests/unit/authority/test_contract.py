"""Contracts: closed words, contradictions refused, estimates from arguments; and those of the built-in capabilities."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from cloister.authority.capability import CapabilitySpec, Parameter, ParameterType
from cloister.authority.contract import (
    CONSUMES_NOTHING,
    Contract,
    Determinism,
    Feature,
    Idempotency,
    Impact,
    Resources,
    Risk,
)
from cloister.capabilities.catalog import builtin_catalog
from cloister.capabilities.contracts import APPENDS, COMPUTES, EXECUTES, READS, READS_ON, REPLACES, SHOWS, TELLS_TIME
from cloister.errors import ConfigError

from .specs import spec

BUILTINS = sorted(builtin_catalog().registry, key=lambda each: each.id)

WORDS = {
    Risk.CRITICAL: "payment billing charge transfer refund delete remove destroy drop truncate",
    Risk.HIGH: "exec shell system admin root",
    Risk.MEDIUM: "write create update modify edit",
}
"""CCOS system reference, section 6.5."""
FAMILIES = {"system"}
"""Words that name a family here and not an act: `ccos.system.current-time` only reads a clock."""


def floor(capability_id: str) -> Risk:
    """Return the tier that the reference gives an id for its words."""
    words = set(re.split(r"[.-]", capability_id)) - FAMILIES
    return max((risk for risk, listed in WORDS.items() if words & set(listed.split())), default=Risk.LOW)


@pytest.mark.parametrize("each", BUILTINS, ids=lambda each: each.id)
def test_a_builtin_declares_at_least_the_risk_its_words_suggest(each: CapabilitySpec) -> None:
    assert each.contract.risk >= floor(each.id)


def test_the_floor_is_not_low_for_all() -> None:
    assert (floor("ccos.io.delete-file"), floor("ccos.sandbox.shell"), floor("ccos.io.write-line")) == (4, 3, 2)


@pytest.mark.parametrize("each", BUILTINS, ids=lambda each: each.id)
def test_a_builtin_that_changes_the_world_asks_for_a_permission(each: CapabilitySpec) -> None:
    """And one that only computes asks for none: contract and sandbox must tell the same story."""
    if each.contract.impact is Impact.CHANGES:
        assert each.permission is not None
    if each.contract.impact is Impact.NOTHING:
        assert each.permission is None
        assert each.effects == {":compute"}


def test_a_specification_without_a_contract_cannot_be_made() -> None:
    with pytest.raises(TypeError, match="contract"):
        CapabilitySpec(id="t", summary="", returns="any", effects=frozenset({":compute"}))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    "wrong",
    [
        {"resources": replace(CONSUMES_NOTHING, egress_bytes=1)},
        {"impact": Impact.READS, "resources": replace(CONSUMES_NOTHING, storage_bytes=None)},
        {"impact": Impact.READS, "features": frozenset({Feature.MODEL})},
        {"impact": Impact.CHANGES, "storage_parameter": "content"},
    ],
    ids=" ".join,
)
def test_contradictions_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigError) as caught:
        replace(COMPUTES, **wrong)  # type: ignore[arg-type]
    assert caught.value.code == "config.contract"


def test_what_does_not_contradict_itself_is_taken() -> None:
    tokens = replace(CONSUMES_NOTHING, model_tokens_count=None)
    taken = replace(COMPUTES, impact=Impact.READS, resources=tokens, features=frozenset({Feature.MODEL}))
    assert taken.resources.model_tokens_count is None


@pytest.mark.parametrize("figure", [-1, 1.0, True, "1"])
def test_a_figure_is_a_whole_number_or_unknown(figure: object) -> None:
    with pytest.raises(ConfigError) as caught:
        Resources(egress_bytes=figure, storage_bytes=0, model_tokens_count=0, cost_microusd=0)  # type: ignore[arg-type]
    assert caught.value.code == "config.contract"
    Resources(egress_bytes=None, storage_bytes=1, model_tokens_count=0, cost_microusd=0)


def test_storage_is_named_by_a_text_parameter() -> None:
    content = Parameter(name="content", type=ParameterType.TEXT)
    assert spec(parameters=(content,), contract=REPLACES).contract.storage_parameter == "content"
    with pytest.raises(ConfigError) as caught:
        spec(parameters=(replace(content, type=ParameterType.ANY),), contract=REPLACES)
    assert caught.value.code == "config.capability"


def test_the_estimate_is_the_size_of_what_is_stored() -> None:
    assert REPLACES.estimate({"path": "/a", "content": "hé"}).storage_bytes == 3
    assert REPLACES.estimate({}).storage_bytes is None
    assert EXECUTES.estimate({"code": "x"}).storage_bytes is None
    assert COMPUTES.estimate({"content": "x"}) == CONSUMES_NOTHING


@pytest.mark.parametrize(
    ("contract", "repeated", "cached"),
    [
        (COMPUTES, True, True),
        (READS, True, True),
        (READS_ON, True, False),
        (TELLS_TIME, True, False),
        (SHOWS, True, False),
        (REPLACES, True, False),
        (APPENDS, False, False),
        (replace(COMPUTES, determinism=Determinism.RANDOM), True, False),
        (replace(APPENDS, idempotency=Idempotency.KEYED), True, False),
        (replace(APPENDS, idempotency=Idempotency.FAIL), False, False),
    ],
)
def test_what_may_be_repeated_and_cached(contract: Contract, repeated: bool, cached: bool) -> None:
    assert (contract.may_be_repeated, contract.may_be_cached) == (repeated, cached)


def test_it_is_plain_data_with_words() -> None:
    assert APPENDS.to_dict() == {
        "idempotency": "ask",
        "determinism": "external",
        "risk": "medium",
        "impact": "changes",
        "resources": {"egress_bytes": 0, "storage_bytes": None, "model_tokens_count": 0, "cost_microusd": 0},
        "features": [],
    }
