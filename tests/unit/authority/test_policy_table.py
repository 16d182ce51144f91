"""A policy decides alike in our form and in Cedar's: one table has policies in both, with calls and their answers."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Reason
from cloister.authority.document import parse_document
from cloister.lang.values import Keyword, Map

from .specs import TableResolver, authorizer

TABLE = tomllib.loads((Path(__file__).parent / "policy_table.toml").read_text(encoding="utf-8"))["policies"]
CALLS = [
    pytest.param(policy, call, id=f"{policy['name']}: {call['id']} {call['arguments']}")
    for policy in TABLE
    for call in policy["calls"]
]


def asked() -> SecurityAuthorizer:
    return authorizer(TableResolver({"/srv/data/link": "/srv/secret/key"}))


def arguments(call: dict[str, Any]) -> list[Any]:
    return [
        Map({Keyword(key): value for key, value in item.items()}) if isinstance(item, dict) else item
        for item in call["arguments"]
    ]


def ours(policy: dict[str, Any]) -> RuntimeContext:
    document = parse_document(tomllib.loads(policy["ours"]))
    return RuntimeContext.controlled(
        capabilities=document.capabilities,
        deny=document.denied,
        allow_effects=document.allowed_effects,
        deny_effects=document.denied_effects,
        rules=document.rules,
        read=document.read,
        write=document.write,
        connect=document.hosts,
        deny_hosts=document.denied_hosts,
    )


@pytest.mark.parametrize(("policy", "call"), CALLS)
def test_our_form_decides_so(policy: dict[str, Any], call: dict[str, Any]) -> None:
    assert asked().authorize(ours(policy), call["id"], arguments(call)).allowed is call["allowed"]


@pytest.mark.parametrize(("policy", "call"), CALLS)
def test_cedar_decides_so(policy: dict[str, Any], call: dict[str, Any]) -> None:
    context = RuntimeContext.unsafe_everything().narrow(cedar=policy["cedar"])
    decision = asked().authorize(context, call["id"], arguments(call))
    assert decision.allowed is call["allowed"]
    if not decision.allowed:
        assert decision.reason in {Reason.CEDAR, Reason.HOST_FORM}


@pytest.mark.parametrize(("policy", "call"), CALLS)
def test_both_together_decide_so(policy: dict[str, Any], call: dict[str, Any]) -> None:
    context = ours(policy).narrow(cedar=policy["cedar"])
    assert asked().authorize(context, call["id"], arguments(call)).allowed is call["allowed"]


def test_the_table_has_both_answers_for_most_policies() -> None:
    mixed = [policy for policy in TABLE if len({call["allowed"] for call in policy["calls"]}) == 2]
    assert len(mixed) >= len(TABLE) - 1
