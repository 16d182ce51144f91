"""Rules are passed over in groups; what a group says is what its rules say."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.rules import Moment, RuleSet, parse_rules, rules_about
from cloister.lang.effects import UNKNOWN

NAMES = frozenset({"a.b"})


def found(action: str, *conditions: list[dict[str, Any]]) -> RuleSet:
    data = [
        {"id": f"r{number}", "capability": "a.*", "action": action, "when": when}
        for number, when in enumerate(conditions)
    ]
    about = rules_about(parse_rules(data), NAMES)
    assert about is not None
    return about


def under(*roots: str) -> list[dict[str, Any]]:
    return [{"argument": "path", "under": list(roots)}]


def ids(rules: RuleSet, path: Any, moment: Moment = Moment.CALL) -> list[str]:
    return [rule.id for rule in rules.refusal({"path": path}, moment)]


def test_a_rule_behind_an_open_gate_decides() -> None:
    allowing = found("allow", under("/a"), under("/b"))
    assert ids(allowing, "/a/x") == []
    assert ids(allowing, "/b/x") == []
    assert ids(allowing, "/c/x") == ["r0", "r1"]
    denying = found("deny", under("/a"), under("/b"))
    assert ids(denying, "/b/x") == ["r1"]
    assert ids(denying, "/c/x") == []


def test_several_values_that_only_two_rules_together_take_are_refused() -> None:
    allowing = found("allow", under("/a"), under("/b"))
    assert ids(allowing, ("/a/x", "/b/x")) == ["r0", "r1"]
    assert ids(allowing, ("/b/x", "/b/y")) == []
    denying = found("deny", under("/a"), under("/b"))
    assert ids(denying, ("/a/x", "/c")) == ["r0"]
    assert ids(denying, ("/c", "/d")) == []


def test_what_only_the_run_knows_opens_the_gate_before_it_alone() -> None:
    allowing, denying = found("allow", under("/a"), under("/b")), found("deny", under("/a"), under("/b"))
    assert ids(allowing, UNKNOWN, Moment.BEFORE_RUN) == []
    assert ids(denying, UNKNOWN, Moment.BEFORE_RUN) == []
    assert ids(allowing, UNKNOWN) == ["r0", "r1"]
    assert ids(denying, UNKNOWN) == ["r0"]
    assert [rule.id for rule in denying.open_rules({"path": UNKNOWN})] == ["r0", "r1"]


@pytest.mark.parametrize("count", [1, 2, 11, 100, 101, 250])
@pytest.mark.parametrize("further", [[], [{"argument": "size", "at-most": 9}]])
def test_every_one_of_many_rules_is_found(count: int, further: list[dict[str, Any]]) -> None:
    conditions = [under(f"/a{number}") + further for number in range(count)]
    for path in ("/a0/x", f"/a{count - 1}/x"):
        arguments = {"path": path, "size": 3}
        assert found("allow", *conditions).refusal(arguments, Moment.CALL) == ()
        denied = found("deny", *conditions).refusal(arguments, Moment.CALL)
        assert [rule.conditions[0].value for rule in denied] == [(path.removesuffix("/x"),)]
    assert len(found("allow", *conditions).refusal({"path": "/b", "size": 3}, Moment.CALL)) == count
    if further:
        assert len(found("allow", *conditions).refusal({"path": "/a0/x", "size": 10}, Moment.CALL)) == count


def test_rules_about_other_capabilities_are_not_asked() -> None:
    data = [{"id": "r", "capability": "x.*", "action": "deny", "when": []}]
    assert rules_about(parse_rules(data), NAMES) is None
