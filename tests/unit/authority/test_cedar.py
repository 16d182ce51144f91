from __future__ import annotations

import math
import subprocess
import sys
from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.rules import parse_rules
from cloister.errors import CapabilityDenied, ConfigError
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map

from .specs import authorizer

FETCH = "ccos.network.http-fetch"
EVERYTHING = RuntimeContext.unsafe_everything()
PERMIT = "permit(principal, action, resource);"


def fetch(policy: str, options: Any) -> Decision:
    context = EVERYTHING.narrow(cedar=policy)
    return authorizer().authorize(context, FETCH, ("https://a.example", "GET", Map(options)))


def test_a_refusal_says_which_policy_forbids() -> None:
    policy = PERMIT + ' @id("big") forbid(principal, action, resource) when { context.arguments.options.size > 5 };'
    decision = fetch(policy, {"size": 6})
    assert decision.reason is Reason.CEDAR
    assert "forbidden by big" in str(decision.message)
    with pytest.raises(CapabilityDenied) as caught:
        decision.require()
    assert caught.value.code == "denied.cedar"
    assert fetch(policy, {"size": 5}).allowed


def test_what_nothing_permits_is_refused() -> None:
    decision = fetch('permit(principal, action, resource == Capability::"other");', {})
    assert "nothing permits it" in str(decision.message)


def test_a_prohibition_that_cannot_be_evaluated_prohibits() -> None:
    policy = PERMIT + "forbid(principal, action, resource) when { context.arguments.options.size > 5 };"
    decision = fetch(policy, {"size": "6"})
    assert "a policy failed" in str(decision.message)
    assert not fetch(policy, {}).allowed


ASKING = PERMIT + (
    "forbid(principal, action, resource)"
    " when { context.arguments.options has size && context.arguments.options.size > 5 };"
)


@pytest.mark.parametrize(
    "options",
    [
        {"size": math.nan},
        {"size": math.inf},
        {"size": 0.00001},
        {"size": 1e300},
        {"size": lambda: 1},
        {1: 2},
        {"size": 1, Keyword("size"): 9},
        {"__entity": Map({"type": "Run", "id": "run"})},
        {"__extn": Map({"fn": "decimal", "arg": "1.0"})},
        {"a": (Map({"__expr": "1"}),)},
        {"a": (None,)},
    ],
)
def test_an_argument_that_cedar_has_no_value_for_refuses_the_call(options: dict[Any, Any]) -> None:
    decision = fetch(ASKING, options)
    assert "cannot be told to Cedar" in str(decision.message)
    assert fetch(ASKING, {"size": 1, "a": ("x", True), "b": Map({"c": None}), Keyword("d"): Keyword("e")}).allowed


@pytest.mark.parametrize(("size", "allowed"), [(5, True), (5.0, True), (6, False), (6.0, False), (6.5, False)])
def test_numbers_are_told_as_numbers(size: float, allowed: bool) -> None:
    # 6.5 is a decimal to Cedar, which is not compared with a whole number, so the prohibition fails and prohibits
    assert fetch(ASKING, {"size": size}).allowed is allowed


def test_every_policy_must_permit() -> None:
    first = EVERYTHING.narrow(cedar=PERMIT)
    second = first.narrow(cedar='permit(principal, action, resource) when { resource.id like "ccos.io.*" };')
    assert authorizer().authorize(first, FETCH, ("https://a.example",)).allowed
    assert authorizer().authorize(second, FETCH, ("https://a.example",)).reason is Reason.CEDAR
    assert len(second.cedar_policies) == 2


def test_cedar_grants_nothing() -> None:
    context = RuntimeContext.controlled(cedar=PERMIT)
    assert authorizer().authorize(context, FETCH, ("https://a.example",)).reason is Reason.CAPABILITY


def test_before_the_run_it_is_asked_only_about_what_is_known() -> None:
    context = EVERYTHING.narrow(cedar="forbid(principal, action, resource);")
    assert authorizer().foresee(context, FETCH, (UNKNOWN,)).allowed
    assert authorizer().foresee(context, FETCH, ("https://a.example",)).reason is Reason.CEDAR


def test_rules_are_told_before_cedar() -> None:
    rule = {"id": "r", "capability": "ccos.*", "action": "deny", "when": []}
    context = EVERYTHING.narrow(cedar="forbid(principal, action, resource);", rules=parse_rules([rule]))
    assert authorizer().authorize(context, FETCH, ("https://a.example",)).reason is Reason.RULE


@pytest.mark.parametrize("text", ["", "  ", "permit(", "allow everything", PERMIT * 20_000])
def test_a_policy_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EVERYTHING.narrow(cedar=text)
    assert caught.value.code == "config.cedar"
    assert "permit" in (caught.value.hint or "")


def test_the_package_is_asked_for_when_it_is_missing() -> None:
    program = (
        "import sys; sys.modules['cedarpy'] = None\n"
        "from cloister.authority.context import RuntimeContext\n"
        "assert RuntimeContext.controlled()\n"
        "from cloister.errors import ConfigError\n"
        "try: RuntimeContext.controlled(cedar='permit(principal, action, resource);')\n"
        "except ConfigError as error: print(error.code, error.hint)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout == "config.extra pip install 'cloister[cedar]'\n"
