"""Modes and governance: the table of modes, how rules and modes are joined, denials beside their permitted twins."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.capability import Access, AccessKind, Parameter, ParameterType
from cloister.authority.constitution import Constitution, builtin_constitution, parse_constitution
from cloister.authority.context import RuntimeContext
from cloister.authority.contract import Contract, Impact, Risk
from cloister.authority.governance import Governance, settled_arguments
from cloister.authority.mode import ExecutionMode, Verdict, mode_verdict
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import CapabilityDenied
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map

from .specs import HARMLESS, PATH, TableResolver, spec

READS = replace(HARMLESS, impact=Impact.READS)
CHANGES = replace(HARMLESS, impact=Impact.CHANGES)
MODES = list(ExecutionMode)
TABLE: list[tuple[Contract, list[str]]] = [
    (READS, ["perform", "perform", "perform", "perform"]),
    (replace(READS, risk=Risk.MEDIUM), ["perform", "perform", "refuse", "ask-human"]),
    (replace(READS, risk=Risk.HIGH), ["perform", "simulate", "refuse", "ask-human"]),
    (replace(READS, risk=Risk.CRITICAL), ["perform", "simulate", "refuse", "ask-human"]),
    (CHANGES, ["perform", "simulate", "perform", "perform"]),
    (replace(CHANGES, risk=Risk.MEDIUM), ["perform", "simulate", "refuse", "ask-human"]),
    (replace(CHANGES, risk=Risk.CRITICAL), ["perform", "simulate", "refuse", "ask-human"]),
    (replace(HARMLESS, impact=Impact.RUN), ["perform", "perform", "perform", "perform"]),
]
FILE = {"permission": "ccos.io.file-access", "access": (Access(parameter="path", kind=AccessKind.WRITE),)}
PATHS = Parameter(name="paths", type=ParameterType.VECTOR, schema="[:vector :string]")
REGISTRY = CapabilityRegistry(
    [
        spec("t.look", contract=READS),
        spec("t.remove", parameters=(PATH,), contract=replace(CHANGES, risk=Risk.CRITICAL), **FILE),
        spec(
            "t.pack", parameters=(PATHS,), contract=CHANGES, permission="ccos.io.file-access",
            access=(Access(parameter="paths", kind=AccessKind.READ),),
        ),
    ],
    aliases={"t.rm": "t.remove"},
)  # fmt: skip
CONTEXT = RuntimeContext.controlled(capabilities=["t.look", "t.remove", "t.pack"], write=["/srv", "/etc"])
AUTHORIZER = SecurityAuthorizer(REGISTRY, TableResolver({"/srv/link": "/etc/passwd"}))


def rules(*tables: tuple[str, str, list[dict[str, Any]]]) -> Constitution:
    made = [
        {"id": f"r{number}", "pattern": pattern, "action": action, "reason": "a test", "when": when}
        for number, (pattern, action, when) in enumerate(tables)
    ]
    return parse_constitution({"version": 1, "rule": made})


def governance(constitution: Constitution | None = None, mode: ExecutionMode = ExecutionMode.FULL) -> Governance:
    return Governance(constitution or builtin_constitution(), mode, REGISTRY)


@pytest.mark.parametrize(("contract", "verdicts"), TABLE, ids=[f"{c.risk.label} {c.impact}" for c, _ in TABLE])
def test_the_table_of_modes(contract: Contract, verdicts: list[str]) -> None:
    assert [mode_verdict(mode, contract).value for mode in MODES] == verdicts


@pytest.mark.parametrize(
    ("action", "verdicts"),
    [
        ("allow", ["perform", "simulate", "refuse", "ask-human"]),
        ("require-human-approval", ["ask-human", "simulate", "refuse", "ask-human"]),
        ("require-guardian-approval", ["ask-guardian", "simulate", "refuse", "ask-guardian"]),
        ("deny", ["refuse", "refuse", "refuse", "refuse"]),
    ],
)
def test_rules_and_modes_are_joined_to_what_is_stricter(action: str, verdicts: list[str]) -> None:
    decision = AUTHORIZER.require(CONTEXT, "t.remove", ["/srv/a"])
    constitution = rules(("t.*", action, []))
    found = [governance(constitution, mode).decide(decision).verdict.value for mode in MODES]
    assert found == verdicts


def test_a_dry_run_still_asks_about_what_it_would_perform() -> None:
    asking = governance(rules(("t.look", "require-human-approval", [])), ExecutionMode.DRY_RUN)
    assert asking.decide(AUTHORIZER.require(CONTEXT, "t.look", [])).verdict is Verdict.ASK_HUMAN


def test_a_rule_that_denies_names_itself_and_its_reason() -> None:
    decision = AUTHORIZER.require(CONTEXT, "t.remove", ["/srv/a"])
    with pytest.raises(CapabilityDenied) as caught:
        governance(rules(("t.rm", "deny", []))).decide(decision).require()
    error = caught.value
    assert (error.code, error.kind) == ("denied.constitution", "SecurityViolation")
    assert "rule r0 of the constitution forbids it: a test" in error.message
    assert error.details["rule_id"] == "r0"
    assert governance(rules(("t.rx", "deny", []))).decide(decision).require().verdict is Verdict.PERFORM


def test_a_mode_that_refuses_names_the_risk_and_the_modes_that_take_it() -> None:
    decision = AUTHORIZER.require(CONTEXT, "t.remove", ["/srv/a"])
    with pytest.raises(CapabilityDenied, match="of critical risk, and the mode safe-only") as caught:
        governance(mode=ExecutionMode.SAFE_ONLY).decide(decision).require()
    assert caught.value.code == "denied.mode"
    assert caught.value.hint is not None
    assert "require-approval" in caught.value.hint
    assert governance(mode=ExecutionMode.FULL).decide(decision).require().verdict is Verdict.PERFORM
    harmless = AUTHORIZER.require(CONTEXT, "t.look", [])
    assert governance(mode=ExecutionMode.SAFE_ONLY).decide(harmless).require().verdict is Verdict.PERFORM


def test_rules_are_asked_about_the_place_a_path_leads_to() -> None:
    guarded = governance(rules(("t.*", "deny", [{"argument": "path", "under": ["/etc"]}])))
    through_link = AUTHORIZER.require(CONTEXT, "t.remove", ["/srv/link"])
    assert settled_arguments(through_link) == {"path": "/etc/passwd"}
    assert guarded.decide(through_link).verdict is Verdict.REFUSE
    assert guarded.decide(AUTHORIZER.require(CONTEXT, "t.remove", ["/srv/other"])).verdict is Verdict.PERFORM
    many = AUTHORIZER.require(CONTEXT, "t.pack", [("/srv/a", "/srv/link")])
    assert settled_arguments(many) == {"paths": ("/srv/a", "/etc/passwd")}


def test_before_the_run_a_certain_denial_is_seen_and_an_open_one_is_not() -> None:
    when = [{"argument": "path", "under": ["/etc"]}]
    guarded = governance(
        rules(("t.remove", "deny", when), ("t.pack", "deny", [{"argument": "paths", "under": "/etc"}]))
    )

    def foreseen(capability_id: str, *outline: Any) -> Verdict:
        return guarded.foresee(AUTHORIZER.foresee(CONTEXT, capability_id, outline), outline).verdict

    assert foreseen("t.remove", "/etc/a") is Verdict.REFUSE
    assert foreseen("t.remove", "/srv/link") is Verdict.REFUSE
    assert foreseen("t.remove", "/srv/a") is Verdict.PERFORM
    assert foreseen("t.remove", UNKNOWN) is Verdict.PERFORM
    assert foreseen("t.remove", Map({Keyword("path"): UNKNOWN})) is Verdict.PERFORM
    assert foreseen("t.pack", ("/etc/a", UNKNOWN)) is Verdict.PERFORM
    assert foreseen("t.pack", ("/etc/a",)) is Verdict.REFUSE


@pytest.mark.parametrize(("kind", "risk"), [("cloister.exec", "high"), ("cloister.UnsafeNative", "critical")])
def test_workloads_are_governed_too_and_rules_name_them_whole(kind: str, risk: str) -> None:
    context = RuntimeContext.controlled(capabilities=[kind])
    decision = AUTHORIZER.authorize_workload(context, kind).require()
    assert governance().decide(decision).verdict is Verdict.PERFORM
    assert governance(mode=ExecutionMode.SAFE_ONLY).decide(decision).verdict is Verdict.REFUSE
    assert governance(rules(("*", "deny", []))).decide(decision).verdict is Verdict.PERFORM
    named = governance(rules((kind, "deny", []))).decide(decision)
    assert (named.verdict, named.to_dict()["risk"]) == (Verdict.REFUSE, risk)


def test_a_ruling_is_plain_data_that_says_what_decided() -> None:
    decision = AUTHORIZER.require(CONTEXT, "t.remove", ["/srv/a"])
    asked = governance(rules(("t.*", "require-human-approval", [])), ExecutionMode.REQUIRE_APPROVAL).decide(decision)
    assert asked.to_dict() == {
        "verdict": "ask-human", "rule": "r0", "mode": "require-approval", "risk": "critical", "rule_id": "r0",
    }  # fmt: skip
    assert asked.question() == "rule r0 of the constitution asks for it: a test"
    by_mode = governance(rules(("t.*", "allow", [])), ExecutionMode.REQUIRE_APPROVAL).decide(decision)
    assert (by_mode.rule, by_mode.ruling.rule_id) == ("mode.require-approval", "r0")
    assert by_mode.question() == "the mode require-approval asks before anything of critical risk"
