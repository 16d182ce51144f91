"""Rules that are about nothing are found; those that are about something are not."""

from __future__ import annotations

import pytest

from cloister.authority.constitution import parse_constitution
from cloister.authority.idle_rules import idle_rules
from cloister.authority.rules import parse_rules
from cloister.capabilities.catalog import builtin_catalog

REGISTRY = builtin_catalog().registry


@pytest.mark.parametrize(
    ("pattern", "argument", "said"),
    [
        ("ccos.io.*", "path", None),
        ("ccos.fs.read", "path", None),
        ("cloister.exec", "path", None),
        ("ccos.oi.*", "path", "about ccos.oi.*, and no capability here"),
        ("ccos.io.*", "pathh", 'asks for the argument "pathh", which nothing it is about has; did you mean path?'),
    ],
)
def test_a_rule_that_is_about_nothing_is_warned_of(pattern: str, argument: str, said: str | None) -> None:
    when = [{"argument": argument, "matches": "*"}]
    rule = {"id": "r", "action": "deny", "when": when}
    policy = idle_rules(parse_rules([rule | {"capability": pattern}]), REGISTRY)
    whole = parse_constitution({"version": 1, "rule": [rule | {"pattern": pattern, "reason": "so"}]})
    assert idle_rules(whole.rules, REGISTRY) == policy
    assert len(policy) == (said is not None)
    assert said is None or said in policy[0]
