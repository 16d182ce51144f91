"""What a context refuses although something grants it; every refusal has a twin that differs in the denial alone."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.level import StepIsolation
from cloister.authority.rules import parse_rules
from cloister.errors import CapabilityDenied, EgressDenied
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map

from .specs import TableResolver, authorizer

READ, WRITE, FETCH = "ccos.io.read-file", "ccos.io.write-file", "ccos.network.http-fetch"


def decide(capability_id: str, *arguments: Any, **grants: Any) -> Decision:
    context = RuntimeContext.controlled(**{"read": ["/srv"], "capabilities": ["ccos.*"]} | grants)
    return authorizer().authorize(context, capability_id, arguments)


def rules(*found: dict[str, Any]) -> dict[str, Any]:
    return {"rules": parse_rules(list(found))}


# --- patterns -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("granted", ["ccos.*", "ccos.io.*", "ccos.io.read-*", "*.read-file"])
def test_a_pattern_grants(granted: str) -> None:
    assert decide(READ, "/srv/a", capabilities=[granted]).allowed


@pytest.mark.parametrize("granted", ["ccos.network.*", "ccos.io", "ccos.io.write-*", "ccos.fs.*"])
def test_a_pattern_grants_canonical_ids_alone(granted: str) -> None:
    # ccos.fs.read is an alias of the capability: a family of names grants what is of the family, not what is called so
    decision = decide(READ, "/srv/a", capabilities=[granted])
    assert decision.reason is Reason.CAPABILITY
    assert decision.denied_grants == ("--allow ccos.io.read-file",)


def test_an_alias_in_a_family_is_not_narrowed_to_what_it_stands_for() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.fs.*"], read=["/srv"])
    small = context.narrow(capabilities=["ccos.fs.read"])
    assert authorizer().authorize(small, READ, ("/srv/a",)).reason is Reason.CAPABILITY
    named = RuntimeContext.controlled(capabilities=["ccos.fs.read"], read=["/srv"])
    assert authorizer().authorize(named.narrow(capabilities=["ccos.fs.read"]), READ, ("/srv/a",)).allowed


@pytest.mark.parametrize("denied", [READ, "ccos.io.*", "ccos.fs.read", "ccos.fs.*", "*"])
@pytest.mark.parametrize("called", [READ, "ccos.fs.read"])
def test_a_denial_wins_by_any_name(denied: str, called: str) -> None:
    decision = decide(called, "/srv/a", capabilities=[READ] if denied != READ else ["ccos.*"], deny=[denied])
    assert decision.reason is Reason.PATTERN
    assert decision.denied_grants == ()
    assert denied in str(decision.message)
    with pytest.raises(CapabilityDenied) as caught:
        decision.require()
    assert caught.value.code == "denied.pattern"
    assert decide(called, "/srv/a", capabilities=[READ], deny=["ccos.sandbox.*"]).allowed


def test_no_pattern_opens_or_closes_a_workload() -> None:
    wide = RuntimeContext.controlled(capabilities=["c*"])
    assert authorizer().authorize_workload(wide, "cloister.exec").reason is Reason.CAPABILITY
    named = RuntimeContext.controlled(capabilities=["cloister.exec"], deny=["c*", "*"])
    assert authorizer().authorize_workload(named, "cloister.exec").allowed


def test_a_workload_is_denied_by_its_name_or_its_effect() -> None:
    everything = RuntimeContext.unsafe_everything()
    assert authorizer().authorize_workload(everything, "cloister.exec").allowed
    for smaller in (everything.narrow(deny=["cloister.exec"]), everything.narrow(deny_effects=[":process"])):
        assert not authorizer().authorize_workload(smaller, "cloister.exec").allowed
    assert authorizer().authorize_workload(everything.narrow(deny_effects=[":process"]), "cloister.plan").allowed


@pytest.mark.parametrize("when", [[], [{"argument": "path", "equals": "/srv"}]])
def test_a_rule_about_a_workload_is_asked_without_arguments(when: list[dict[str, Any]]) -> None:
    def decided(pattern: str, action: str) -> Decision:
        rule = {"id": "r", "capability": pattern, "action": action, "when": when}
        return authorizer().authorize_workload(
            RuntimeContext.controlled(capabilities=["cloister.exec"], **rules(rule)), "cloister.exec"
        )

    assert decided("cloister.exec", "deny").rule_ids == ("r",)
    assert decided("cloister.exec", "allow").allowed is (not when)
    assert decided("*", "deny").allowed
    assert decided("cloister.UnsafeNative", "deny").allowed


def test_a_policy_in_cedar_is_asked_about_a_workload() -> None:
    context = RuntimeContext.controlled(capabilities=["cloister.exec"])
    permit = 'permit(principal, action, resource == Capability::"{}");'
    assert (
        authorizer().authorize_workload(context.narrow(cedar=permit.format("cloister.exec")), "cloister.exec").allowed
    )
    other = context.narrow(cedar=permit.format(READ))
    assert authorizer().authorize_workload(other, "cloister.exec").reason is Reason.CEDAR
    assert authorizer().authorize_workload(other, "cloister.plan").allowed


# --- effects --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("label", [":filesystem", "FileSystem", ":fs"])
def test_an_effect_that_is_denied_refuses(label: str) -> None:
    decision = decide(READ, "/srv/a", deny_effects=[label])
    assert decision.reason is Reason.EFFECT
    assert decision.denied_grants == ()
    error = decision.error()
    assert (type(error), error.code, error.details["operation"]) == (CapabilityDenied, "denied.effect", "effect_policy")
    assert decide(READ, "/srv/a", deny_effects=[":network"]).allowed


def test_an_effect_that_is_not_among_the_allowed_ones_refuses() -> None:
    decision = decide(READ, "/srv/a", allow_effects=[":network"])
    assert decision.reason is Reason.EFFECT
    assert decision.denied_grants == ("--allow-effect :filesystem",)
    assert decide(READ, "/srv/a", allow_effects=[":filesystem"]).allowed
    assert decide(READ, "/srv/a", allow_effects=[]).reason is Reason.EFFECT
    assert decide(READ, "/srv/a", allow_effects=None).allowed


# --- rules ----------------------------------------------------------------------------------------------------------

UNDER = {"id": "only-reports", "capability": "ccos.io.*", "action": "allow",
         "when": [{"argument": "path", "under": ["/srv/reports"]}]}  # fmt: skip
SECRET = {"id": "no-secrets", "capability": "ccos.fs.*", "action": "deny",
          "when": [{"argument": "path", "under": ["/srv/secret"]}]}  # fmt: skip


def test_one_of_the_rules_that_allow_must_hold() -> None:
    decision = decide(READ, "/srv/other/a", **rules(UNDER))
    assert decision.reason is Reason.RULE
    assert decision.rule_ids == ("only-reports",)
    assert decision.to_dict()["rule_ids"] == ["only-reports"]
    assert 'no rule that allows "ccos.io.read-file" holds' in str(decision.message)
    assert "path under /srv/reports" in str(decision.hint)
    with pytest.raises(CapabilityDenied) as caught:
        decision.require()
    assert (caught.value.code, caught.value.details["rules"]) == ("denied.rule", "only-reports")
    assert decide(READ, "/srv/reports/a", **rules(UNDER)).allowed
    assert decide(READ, "/srv/other/a", **rules(UNDER, UNDER | {"id": "too", "when": []})).allowed


def test_a_rule_that_denies_names_itself_and_matches_aliases() -> None:
    decision = decide(READ, "/srv/secret/a", **rules(SECRET))
    assert decision.rule_ids == ("no-secrets",)
    assert decision.message == 'rule "no-secrets" denies this call of "ccos.io.read-file"'
    assert decide(READ, "/srv/secrets/a", **rules(SECRET)).allowed


def test_a_rule_grants_nothing() -> None:
    assert decide(READ, "/srv/reports/a", capabilities=[], **rules(UNDER)).reason is Reason.CAPABILITY


def test_a_rule_sees_where_a_path_leads() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.*"], read=["/srv"], **rules(UNDER, SECRET))
    resolver = TableResolver({"/srv/reports/link": "/srv/secret/a", "/srv/reports/out": "/srv/other/a"})
    asked = authorizer(resolver)
    assert asked.authorize(context, READ, ("/srv/reports/link",)).rule_ids == ("no-secrets",)
    assert asked.authorize(context, READ, ("/srv/reports/out",)).rule_ids == ("only-reports",)
    assert asked.authorize(context, READ, ("/srv/x/../reports/a",)).allowed


def test_a_rule_sees_every_path_of_a_vector() -> None:
    script = {"id": "r", "capability": "ccos.sandbox.*", "action": "allow",
              "when": [{"argument": "read", "under": ["/srv/reports"]}]}  # fmt: skip
    assert decide("ccos.sandbox.python", "1", ("/srv/reports/a", "/srv/reports/b"), **rules(script)).allowed
    assert not decide("ccos.sandbox.python", "1", ("/srv/reports/a", "/srv/b"), **rules(script)).allowed
    assert not decide("ccos.sandbox.python", "1", (), **rules(script)).allowed


def test_a_missing_argument_counts_against_the_call() -> None:
    condition = [{"argument": "method", "equals": "GET"}]
    allowing = {"id": "a", "capability": FETCH, "action": "allow", "when": condition}
    denying = {"id": "d", "capability": FETCH, "action": "deny", "when": condition}
    reach = {"connect": ["example.com"]}
    assert decide(FETCH, "https://example.com", "GET", **reach, **rules(allowing)).allowed
    assert not decide(FETCH, "https://example.com", **reach, **rules(allowing)).allowed
    assert decide(FETCH, "https://example.com", "PUT", **reach, **rules(denying)).allowed
    assert not decide(FETCH, "https://example.com", **reach, **rules(denying)).allowed


def test_before_the_run_only_what_is_certain_refuses() -> None:
    context = RuntimeContext.controlled(capabilities=["ccos.*"], read=["/srv"], **rules(UNDER, SECRET))
    asked = authorizer()
    assert asked.foresee(context, READ, (UNKNOWN,)).allowed
    assert asked.foresee(context, READ, ("/srv/reports/a",)).allowed
    assert asked.foresee(context, READ, ("/srv/secret/a",)).rule_ids == ("no-secrets",)
    assert asked.foresee(context, READ, ("/srv/other",)).rule_ids == ("only-reports",)
    assert asked.foresee(context, READ, (Map({Keyword("path"): UNKNOWN}),)).allowed


def test_at_the_call_what_is_not_known_is_refused() -> None:
    context = RuntimeContext.controlled(
        capabilities=["ccos.*"],
        **rules({"id": "r", "capability": "ccos.math.*", "action": "deny",
                 "when": [{"argument": "numbers", "at-least": 5}]}),
    )  # fmt: skip
    assert authorizer().authorize(context, "ccos.math.add", (1, 2)).allowed
    assert not authorizer().authorize(context, "ccos.math.add", (1, 9)).allowed
    assert authorizer().foresee(context, "ccos.math.add", (1, UNKNOWN)).allowed


# --- network --------------------------------------------------------------------------------------------------------


def test_a_granted_host_is_reached_and_told() -> None:
    decision = decide(FETCH, "https://API.example.com/v1", connect=["api.example.com"])
    assert decision.allowed
    assert [str(place) for place in decision.hosts] == ["GET api.example.com:443"]
    assert decision.to_dict()["hosts"] == ["GET api.example.com:443"]
    assert decision.permissions == {FETCH, "ccos.network.outbound"}


@pytest.mark.parametrize(
    ("url", "method", "grant"),
    [
        ("https://other.example.com", "GET", "--connect 'GET other.example.com'"),
        ("https://api.example.com:8443", "GET", "--connect 'GET api.example.com:8443'"),
        ("https://api.example.com", "POST", "--connect 'POST api.example.com'"),
        ("https://api.example.com", Keyword("post"), "--connect 'POST api.example.com'"),
        ("http://10.0.0.1/", "GET", "--connect 'GET 10.0.0.1'"),
        ("http://[::1]:81/", "GET", "--connect 'GET [::1]:81'"),
    ],
)
def test_another_host_port_or_method_names_its_grant(url: str, method: Any, grant: str) -> None:
    decision = decide(FETCH, url, method, connect=["GET api.example.com"])
    assert decision.reason is Reason.HOST
    assert decision.denied_grants == (grant,)
    with pytest.raises(EgressDenied) as caught:
        decision.require()
    assert caught.value.code == "denied.host"
    rule = grant.removeprefix("--connect ").strip("'")
    assert decide(FETCH, url, method, connect=["GET api.example.com", rule]).allowed


def test_a_denied_host_is_refused_whatever_grants_it() -> None:
    decision = decide(FETCH, "https://b.example.com", connect=["*.example.com"], deny_hosts=["b.example.com"])
    assert decision.reason is Reason.HOST_DENIED
    assert type(decision.error()) is EgressDenied
    assert decide(FETCH, "https://a.example.com", connect=["*.example.com"], deny_hosts=["b.example.com"]).allowed


@pytest.mark.parametrize("url", ["https://user@example.com", "ftp://example.com", "https://0x7f.1", "example.com"])
def test_a_url_that_is_not_plain_is_refused_at_every_level(url: str) -> None:
    assert decide(FETCH, url, connect=["*", "0.0.0.0/0"]).reason is Reason.HOST_FORM
    everything = authorizer().authorize(RuntimeContext.unsafe_everything(), FETCH, (url,))
    assert (everything.reason, everything.error().code) == (Reason.HOST_FORM, "denied.host-form")


def test_everything_reaches_everything_but_what_is_denied() -> None:
    everything = RuntimeContext.unsafe_everything()
    for url in ("https://example.com:99", "http://localhost", "http://127.0.0.1:1", "http://[fe80::1]/"):
        assert authorizer().authorize(everything, FETCH, (url,)).allowed
    small = everything.narrow(deny_hosts=["10.0.0.0/8"])
    assert small.is_unsafe
    assert authorizer().authorize(small, FETCH, ("http://10.1.2.3/",)).reason is Reason.HOST_DENIED


def test_before_the_run_a_method_that_is_not_known_refuses_nothing_yet() -> None:
    context = RuntimeContext.controlled(capabilities=[FETCH], connect=["POST a.example"], deny_hosts=["PUT a.example"])
    asked = authorizer()
    assert asked.foresee(context, FETCH, ("https://a.example", UNKNOWN)).allowed
    assert asked.foresee(context, FETCH, (UNKNOWN, "GET")).allowed
    assert asked.foresee(context, FETCH, ("https://a.example",)).reason is Reason.HOST
    assert asked.foresee(context, FETCH, ("https://b.example", UNKNOWN)).reason is Reason.HOST
    assert asked.foresee(context, FETCH, ("https://a.example", "PUT")).reason is Reason.HOST_DENIED


# --- steps ----------------------------------------------------------------------------------------------------------


def test_a_step_is_isolated_only_in_an_allowed_way() -> None:
    context = RuntimeContext.controlled(step_isolation=[StepIsolation.INHERIT])
    assert authorizer().authorize_step(context, StepIsolation.INHERIT).allowed
    decision = authorizer().authorize_step(context, StepIsolation.SANDBOXED)
    assert decision.reason is Reason.STEP_ISOLATION
    with pytest.raises(CapabilityDenied) as caught:
        decision.require()
    assert caught.value.code == "denied.step-isolation"
    assert authorizer().authorize_step(RuntimeContext.controlled(), StepIsolation.SANDBOXED).allowed
