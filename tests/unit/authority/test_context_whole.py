"""What a context is made of beyond grants: contradictions, parents, exposure, parameters, and its form as data."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext, SecurityLevel
from cloister.authority.exposure import ContextExposure
from cloister.authority.level import IsolationLevel, StepIsolation
from cloister.authority.rules import parse_rules
from cloister.canonical import encode
from cloister.errors import ConfigError
from cloister.limits import ResourceLimits

RULE = {"id": "r", "capability": "ccos.io.*", "action": "deny", "when": [{"argument": "size", "at-most": 0.5}]}
FULL: dict[str, Any] = {
    "capabilities": ["ccos.io.read-file", "ccos.network.*"],
    "deny": ["ccos.io.delete-*"],
    "allow_effects": [":filesystem", ":network"],
    "deny_effects": [":ai"],
    "rules": parse_rules([RULE]),
    "read": ["/srv"],
    "write": ["/out"],
    "connect": ["GET *.example.com:8443", "10.0.0.0/8:*"],
    "deny_hosts": ["b.example.com"],
    "environment": {"TOKEN": "secret-value"},
    "limits": ResourceLimits(wall_ms=5),
    "minimum_isolation": IsolationLevel.PROCESS,
    "step_isolation": [StepIsolation.INHERIT],
    "allow_computed": True,
    "expose": ContextExposure(prefixes=frozenset({"ccos.ai."})),
    "parameters": {"depth": 3, "tags": ["a", {"b": None}]},
}


def refused(code: str, make: Any) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        make()
    assert caught.value.code == code
    return caught.value


# --- contradictions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "grants",
    [
        {"capabilities": ["a.b"], "deny": ["a.b"]},
        {"capabilities": ["a.*"], "deny": ["a.*"]},
        {"allow_effects": [":net"], "deny_effects": [":network"]},
        {"connect": ["a.b"], "deny_hosts": ["a.b"]},
        {"connect": ["GET a.b:99"], "deny_hosts": ["a.b"]},
    ],
)
def test_the_very_same_thing_granted_and_denied_is_refused(grants: dict[str, Any]) -> None:
    refused("config.contradiction", lambda: RuntimeContext.controlled(**grants))


@pytest.mark.parametrize(
    "grants",
    [
        {"capabilities": ["a.*"], "deny": ["a.b"]},
        {"capabilities": ["a.b"], "deny": ["a.*"]},
        {"connect": ["*.b"], "deny_hosts": ["a.b"]},
        {"connect": ["a.b"], "deny_hosts": ["PUT a.b"]},
    ],
)
def test_a_denial_inside_or_around_a_grant_is_none(grants: dict[str, Any]) -> None:
    assert RuntimeContext.controlled(**grants)


def test_rules_that_contradict_each_other_are_refused() -> None:
    both = [RULE, RULE | {"id": "s", "action": "allow"}]
    assert '"r" and "s"' in refused("config.contradiction", lambda: parse_rules(both)).message
    never = RULE | {"when": [{"argument": "x", "equals": 1}, {"argument": "x", "equals": 2}]}
    refused("config.condition", lambda: parse_rules([never]))
    assert parse_rules([RULE, RULE | {"id": "s", "action": "allow", "when": []}])


@pytest.mark.parametrize(
    "rule",
    [
        "r",
        {},
        {"id": "r", "capability": "a.b"},
        {"id": "r", "capability": "a.b", "action": "permit"},
        {"id": "", "capability": "a.b", "action": "deny"},
        {"id": "a b", "capability": "a.b", "action": "deny"},
        {"id": "r", "action": "deny"},
        {"id": "r", "capability": "a.b", "action": "deny", "unless": []},
    ],
)
def test_a_rule_that_makes_no_sense_is_refused(rule: Any) -> None:
    refused("config.rule", lambda: parse_rules([rule]))


def test_two_rules_of_one_id_are_refused() -> None:
    refused("config.rule", lambda: parse_rules([RULE, RULE | {"capability": "x.y"}]))
    assert len(parse_rules([RULE, RULE | {"capability": "x.y", "id": "s"}])) == 2


@pytest.mark.parametrize("capability_id", ["*", "**", "cloister.*", "a b*", "cloister.e*"])
def test_a_pattern_that_would_grant_everything_or_nothing_is_refused(capability_id: str) -> None:
    refused("config.pattern", lambda: RuntimeContext.controlled(capabilities=[capability_id]))
    refused("config.pattern", lambda: RuntimeContext(level=SecurityLevel.CONTROLLED, patterns=frozenset({"*"})))


def test_a_pure_context_grants_nothing_and_may_be_denied_things() -> None:
    refused("config.context", lambda: RuntimeContext(patterns=frozenset({"a.*"})))
    assert RuntimeContext.pure().narrow(deny=["a.*"]).denied == {"a.*"}


# --- narrowing ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("held", "asked", "kept"),
    [
        (["a.*"], ["a.b"], ["a.b"]),
        (["a.*"], ["a.b.*"], ["a.b.*"]),
        (["a.b.*"], ["a.*"], ["a.b.*"]),
        (["a.b"], ["a.*"], ["a.b"]),
        (["a.*"], ["b.*"], []),
        (["a.*"], ["*.b"], []),
        (["a.*", "b.c"], ["*.c", "a.x"], ["a.x", "b.c"]),
    ],
)
def test_patterns_are_intersected(held: list[str], asked: list[str], kept: list[str]) -> None:
    small = RuntimeContext.controlled(capabilities=held).narrow(capabilities=asked)
    assert sorted(small.capabilities | small.patterns) == kept


def test_denials_add_up_and_take_the_same_grant_away() -> None:
    context = RuntimeContext.controlled(capabilities=["a.b", "c.*"], deny=["x.*"], connect=["a.b", "c.d"])
    small = context.narrow(deny=["a.b"], deny_hosts=["a.b"], deny_effects=[":ai"])
    assert (small.capabilities, small.denied) == (frozenset(), {"x.*", "a.b"})
    assert [str(rule) for rule in small.hosts] == ["c.d"]
    assert small.denied_effects == {":ai"}


def test_a_second_layer_of_rules_is_asked_too() -> None:
    first = parse_rules(
        [{"id": "a", "capability": "x.*", "action": "allow", "when": [{"argument": "n", "at-most": 5}]}]
    )
    second = parse_rules([{"id": "b", "capability": "x.*", "action": "allow", "when": []}])
    context = RuntimeContext.controlled(capabilities=["x.*"], rules=first)
    assert context.narrow(rules=second).rules == (first, second)
    assert context.narrow(rules=second).narrow(rules=second).rules == (first, second)


def test_a_child_names_its_parent() -> None:
    parent = RuntimeContext.controlled(**FULL)
    child = parent.child(capabilities=["ccos.io.read-file"], read=["/srv/a"], connect=["GET a.example.com:8443"])
    assert child.parent_id == parent.context_id
    assert child.child().parent_id == child.context_id
    assert child.capabilities == {"ccos.io.read-file"}


@pytest.mark.parametrize(
    ("asked", "excess"),
    [
        ({"capabilities": ["ccos.io.write-file"]}, "capability ccos.io.write-file"),
        ({"capabilities": ["ccos.*"]}, "capability ccos.*"),
        ({"read": ["/etc"]}, "reading of /etc"),
        ({"write": ["/srv"]}, "writing of /srv"),
        ({"connect": ["GET a.example.com"]}, "host GET a.example.com"),
        ({"connect": ["*.example.com:8443"]}, "host *.example.com:8443"),
        ({"environment": ["HOME"]}, "variable HOME"),
        ({"allow_effects": [":process"]}, "effect :process"),
        ({"limits": ResourceLimits()}, "limit wall_ms of 30000"),
        ({"minimum_isolation": IsolationLevel.NONE}, "isolation none"),
        ({"step_isolation": [StepIsolation.SANDBOXED]}, "step isolation sandboxed"),
        ({"parameters": ["width"]}, "cross-plan parameter width"),
    ],
)
def test_a_child_wider_than_its_parent_is_refused(asked: dict[str, Any], excess: str) -> None:
    parent = RuntimeContext.controlled(**FULL)
    error = refused("config.wider", lambda: parent.child(**asked))
    assert error.message == f"a child context asks for {excess}, which its parent does not have"
    assert parent.narrow(**asked).parent_id == ""


def test_computed_ids_and_exposure_cannot_be_gained() -> None:
    parent = RuntimeContext.controlled()
    refused("config.wider", lambda: parent.child(allow_computed=True))
    refused("config.wider", lambda: parent.child(expose=FULL["expose"]))
    assert parent.narrow(expose=FULL["expose"]).exposures == ()


# --- exposure -------------------------------------------------------------------------------------------------------


def test_nobody_is_told_about_a_run_unless_it_is_exposed() -> None:
    assert not RuntimeContext.controlled().is_context_exposure_allowed_for("ccos.ai.ask")
    assert not RuntimeContext.unsafe_everything().is_context_exposure_allowed_for("ccos.ai.ask")


@pytest.mark.parametrize(
    ("capability_id", "tags", "told"),
    [
        ("ccos.ai.ask", [], True),
        ("ccos.user.ask", [], True),
        ("ccos.user.asked", [], False),
        ("x.ccos.ai.ask", [], False),
        ("other", ["trusted"], True),
        ("other", ["trust"], False),
    ],
)
def test_those_are_told_who_are_listed(capability_id: str, tags: list[str], told: bool) -> None:
    expose = ContextExposure(
        capabilities=frozenset({"ccos.user.ask"}), prefixes=frozenset({"ccos.ai."}), tags=frozenset({"trusted"})
    )
    context = RuntimeContext.controlled(expose=expose)
    assert context.is_context_exposure_allowed_for(capability_id, tags) is told
    smaller = context.narrow(expose=ContextExposure(prefixes=frozenset({"ccos."})))
    assert smaller.is_context_exposure_allowed_for(capability_id, tags) is (told and capability_id != "other")


@pytest.mark.parametrize("data", [{}, {"prefixes": [""]}, {"prefixes": "ccos."}, {"names": ["a"]}, {"tags": [1]}, "a"])
def test_an_exposure_to_everybody_or_nobody_is_refused(data: Any) -> None:
    refused("config.context", lambda: ContextExposure.from_dict(data))


# --- parameters -----------------------------------------------------------------------------------------------------


def test_cross_plan_parameters_are_carried_and_cannot_be_changed_from_outside() -> None:
    context = RuntimeContext.controlled(parameters=FULL["parameters"])
    context.parameters["tags"].append("x")
    assert context.parameters == {"depth": 3, "tags": ["a", {"b": None}]}
    assert context.narrow(parameters=["depth"]).parameters == {"depth": 3}


NESTED: list[Any] = []
for _ in range(40):
    NESTED = [NESTED]


@pytest.mark.parametrize(
    "parameters",
    [
        {"": 1},
        {"a b": 1},
        {"a": 1.5},
        {"a": math.nan},
        {"a": {1: 2}},
        {"a": 2**70},
        {"a": {1, 2}},
        {"a": NESTED},
        {"a": "x" * 70_000},
        {f"a{number}": 1 for number in range(65)},
    ],
)
def test_parameters_that_are_no_plain_data_or_too_large_are_refused(parameters: Any) -> None:
    refused("config.parameters", lambda: RuntimeContext.controlled(parameters=parameters))


# --- data -----------------------------------------------------------------------------------------------------------


def test_a_context_comes_back_from_its_data() -> None:
    context = RuntimeContext.controlled(**FULL).child(deny=["x.*"])
    data = json.loads(encode(context.to_dict()))
    assert RuntimeContext.from_dict(data, {"TOKEN": "secret-value"}) == context
    assert RuntimeContext.from_dict(data, {"TOKEN": "another"}).sha256 == context.sha256
    assert "secret-value" not in json.dumps(data) + repr(context)


def test_the_digest_covers_every_part() -> None:
    digests = {RuntimeContext.controlled(**FULL).sha256}
    for name in FULL:
        digests.add(RuntimeContext.controlled(**{key: value for key, value in FULL.items() if key != name}).sha256)
    assert len(digests) == len(FULL) + 1


def test_values_of_variables_are_compared_under_a_key() -> None:
    key = b"k" * 32
    one, other = (RuntimeContext.controlled(environment={"A": value}) for value in ("1", "2"))
    assert one.sha256 == other.sha256
    assert one.variables_sha256(key) != other.variables_sha256(key)
    assert one.variables_sha256(key) == RuntimeContext.controlled(environment={"A": "1"}).variables_sha256(key)
    assert one.variables_sha256(key) != one.variables_sha256(b"l" * 32)


def test_other_variables_than_were_named_are_refused() -> None:
    data = RuntimeContext.controlled(environment={"A": "1"}).to_dict()
    for environment in ({}, {"A": "1", "B": "2"}, {"B": "1"}):
        refused("config.environment", lambda environment=environment: RuntimeContext.from_dict(data, environment))
    assert RuntimeContext.from_dict(data, {"A": "2"}).environment == (("A", "2"),)


@pytest.mark.parametrize(
    "change",
    [
        {"level": "full"},
        {"level": None},
        {"capabilities": "a.b"},
        {"capabilities": None},
        {"limits": {"wall_ms": 1, "wishes": 2}},
        {"limits": 3},
        {"minimum_isolation": "weak"},
        {"allow_computed": 1},
        {"patterns": "a.*"},
        {"hosts": [{"host": "a.b"}]},
        {"hosts": "a.b"},
        {"step_isolation": ["alone"]},
        {"more": 1},
        {"environment": "A"},
    ],
)
def test_data_of_another_form_is_no_context(change: dict[str, Any]) -> None:
    data = RuntimeContext.controlled(capabilities=["a.b"]).to_dict()
    refused("config.context", lambda: RuntimeContext.from_dict(data | change))
    assert RuntimeContext.from_dict(data)


@pytest.mark.parametrize("name", ["level", "capabilities", "environment", "limits", "allow_computed"])
def test_data_that_lacks_a_part_is_no_context(name: str) -> None:
    data = RuntimeContext.controlled().to_dict()
    del data[name]
    refused("config.context", lambda: RuntimeContext.from_dict(data))


def test_a_misspelt_restriction_is_refused_and_not_dropped() -> None:
    with pytest.raises(TypeError, match="deny_hosts"):
        RuntimeContext.controlled(capabilities=["ccos.echo"], denied=["ccos.echo"])  # type: ignore[call-arg]
    assert RuntimeContext.controlled(capabilities=["ccos.*"], deny=["ccos.echo"]).denied
