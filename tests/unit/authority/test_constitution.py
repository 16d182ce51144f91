"""Constitutions: the strictest rule wins, conditions count against the call, bad ones are refused when they load."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.authority.constitution import (
    BUILTIN_RULES,
    Action,
    Constitution,
    Rule,
    Ruling,
    builtin_constitution,
    parse_constitution,
)
from cloister.authority.pattern import CapabilityPattern
from cloister.errors import ConfigError
from cloister.lang.effects import UNKNOWN

ETC = [{"argument": "path", "under": ["/etc"]}]


def rule(name: str = "one", pattern: str = "ccos.io.*", action: str = "deny", **more: Any) -> dict[str, Any]:
    return {"id": name, "pattern": pattern, "action": action, "reason": "it is a test", **more}


def constitution(*rules: dict[str, Any], version: int = 1) -> Constitution:
    return parse_constitution({"version": version, "rule": list(rules)})


@pytest.mark.parametrize(
    ("capability_id", "action", "rule_id"),
    [
        ("cli.config.set", Action.REQUIRE_HUMAN_APPROVAL, "builtin.configuration"),
        ("ccos.cli.config.set", Action.REQUIRE_HUMAN_APPROVAL, "builtin.configuration"),
        ("cli.discovery.search", Action.ALLOW, "builtin.discovery"),
        ("cli.approval.approve", Action.REQUIRE_HUMAN_APPROVAL, "builtin.approval"),
        ("cli.approval.list", Action.ALLOW, None),
        ("acme.launch-nukes.now", Action.DENY, "builtin.weapons"),
        ("ccos.io.read-file", Action.ALLOW, None),
    ],
)
def test_the_builtin_rules_are_those_of_the_reference(capability_id: str, action: Action, rule_id: str | None) -> None:
    found = builtin_constitution().decide(capability_id, {})
    assert (found.action, found.rule_id) == (action, rule_id)


def test_the_builtin_rules_hold_whatever_a_file_adds() -> None:
    added = constitution(rule(pattern="*", action="allow"))
    assert added.rules[: len(BUILTIN_RULES)] == BUILTIN_RULES
    assert added.decide("launch-nukes", {}).action is Action.DENY
    assert Constitution(version=1, rules=()).rules == BUILTIN_RULES


def test_of_several_rules_the_strictest_wins_wherever_it_stands() -> None:
    patterns = ["ccos.io.*", "ccos.*", "*", "*.print"]
    rules = [rule(action.label, pattern, action.label) for action, pattern in zip(Action, patterns, strict=True)]
    for order in (rules, rules[::-1]):
        assert constitution(*order).decide("ccos.io.print", {}).rule_id == "deny"


def test_of_equally_strict_rules_the_first_is_named() -> None:
    found = constitution(rule("first", "ccos.*"), rule("second", "ccos.io.*")).decide("ccos.io.print", {})
    assert found == Ruling(action=Action.DENY, rule_id="first", reason="it is a test")


def test_a_rule_about_an_alias_is_about_the_capability() -> None:
    written = constitution(rule(pattern="ccos.fs.*"))
    names = {"ccos.io.write-file", "ccos.fs.write"}
    assert written.decide("ccos.io.write-file", {}, names=names).action is Action.DENY
    other = constitution(rule(pattern="ccos.fx.*"))
    assert other.decide("ccos.io.write-file", {}, names=names).action is Action.ALLOW


def test_conditions_narrow_a_rule_and_what_they_cannot_judge_counts_against_the_call() -> None:
    written = constitution(rule(when=ETC))
    assert written.decide("ccos.io.read-file", {"path": "/etc/passwd"}).action is Action.DENY
    assert written.decide("ccos.io.read-file", {"path": "/srv/a"}).action is Action.ALLOW
    assert written.decide("ccos.io.print", {}).action is Action.DENY
    assert written.decide("ccos.io.read-file", {"path": UNKNOWN}).action is Action.DENY


def test_before_the_run_only_what_is_certain_is_said() -> None:
    written = constitution(rule(when=ETC))
    assert written.decide("ccos.io.read-file", {"path": UNKNOWN}, certainly=True).action is Action.ALLOW
    assert written.decide("ccos.io.read-file", {"path": "/etc/a"}, certainly=True).action is Action.DENY


def test_an_allowing_rule_is_named_only_when_it_holds_for_certain() -> None:
    written = constitution(rule(action="allow", when=ETC))
    assert written.decide("ccos.io.read-file", {"path": "/etc/a"}).rule_id == "one"
    assert written.decide("ccos.io.read-file", {}).rule_id is None
    assert written.decide("ccos.io.read-file", {"path": UNKNOWN}).rule_id is None


@pytest.mark.parametrize(
    ("data", "code", "words"),
    [
        ({}, "config.constitution", "version"),
        ({"version": 0}, "config.constitution", "from 1"),
        ({"version": True}, "config.constitution", "from 1"),
        ({"version": 1.0}, "config.constitution", "from 1"),
        ({"version": 1, "rules": []}, "config.constitution", 'no "rules"'),
        ({"version": 1, "rule": {}}, "config.constitution", "list"),
        ({"version": 1, "rule": [{}]}, "config.constitution", "no id"),
        ({"version": 1, "rule": [rule() | {"unless": []}]}, "config.constitution", '"unless"'),
        ({"version": 1, "rule": [{"id": "a", "pattern": "*"}]}, "config.constitution", "needs pattern, action"),
        ({"version": 1, "rule": [rule(action="forbid")]}, "config.constitution", '"forbid"'),
        ({"version": 1, "rule": [rule("builtin.weapons", action="allow")]}, "config.constitution", "is kept"),
        ({"version": 1, "rule": [rule("a b")]}, "config.constitution", "cannot be the id"),
        ({"version": 1, "rule": [rule(reason="")]}, "config.constitution", "no reason"),
        ({"version": 1, "rule": [rule(reason="a\x1b[2J")]}, "config.constitution", "cannot be shown"),
        ({"version": 1, "rule": [rule(), rule(pattern="x.*")]}, "config.constitution", "two rules"),
        ({"version": 1, "rule": [rule(), rule("two", action="allow")]}, "config.constitution", "contradict each other"),
        ({"version": 1, "rule": [rule(pattern="a b")]}, "config.pattern", "no pattern"),
        ({"version": 1, "rule": [rule(when="x")]}, "config.condition", "conditions of rule one"),
        ({"version": 1, "rule": [rule(when=[{"argument": "a", "likes": 1}])]}, "config.condition", "no operator"),
    ],
)
def test_a_bad_constitution_is_refused_as_a_whole(data: dict[str, Any], code: str, words: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(words)) as caught:
        parse_constitution(data)
    assert caught.value.code == code


def test_the_good_twin_is_taken() -> None:
    assert len(constitution(rule(when=ETC), rule("two", action="allow")).rules) == len(BUILTIN_RULES) + 2


def test_the_digest_covers_everything_a_rule_says() -> None:
    base = rule(when=[{"argument": "n", "at-most": 1}])
    changes: list[dict[str, Any]] = [
        {"id": "other"},
        {"pattern": "ccos.*"},
        {"action": "allow"},
        {"reason": "another"},
        {"when": []},
        {"when": [{"argument": "n", "at-most": 1.5}]},
        {"when": [{"argument": "n", "at-least": 1}]},
        {"when": [{"argument": "m", "at-most": 1}]},
        {"when": [{"argument": "n", "equals": "1"}]},
    ]
    made = [constitution(base), constitution(base, version=2), *(constitution(base | change) for change in changes)]
    assert len({each.sha256 for each in made}) == len(made)
    assert constitution(base).sha256 == made[0].sha256


IDS = st.sampled_from(["ccos.io.read-file", "ccos.io.print", "a.b", "launch-nukes"])
RULES = st.lists(
    st.tuples(st.sampled_from(["*", "ccos.*", "ccos.io.*", "*.b", "a.b"]), st.sampled_from(list(Action))), max_size=6
)


@given(rules=RULES, capability_id=IDS)
def test_adding_a_rule_never_makes_a_ruling_milder(rules: list[tuple[str, Action]], capability_id: str) -> None:
    made = tuple(
        Rule(id=f"r{number}", pattern=CapabilityPattern(pattern), action=action, reason="r")
        for number, (pattern, action) in enumerate(dict(rules).items())
    )
    last = Action.ALLOW
    for count in range(len(made) + 1):
        action = Constitution(version=1, rules=made[:count]).decide(capability_id, {}).action
        assert action >= last
        last = action
