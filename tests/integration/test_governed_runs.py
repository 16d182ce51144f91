"""Runs through the real runtime under a signed constitution, modes, step profiles, undo and fallbacks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Outcome
from tests.integration.governing import EVERYTHING, FILES, Ended, Home, rule

from cloister.audit.event import EventType
from cloister.audit.signer import Signer
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.mode import ExecutionMode
from cloister.errors import ApprovalRequired, CapabilityDenied, CloisterError, ProfileDenied, SignatureInvalid
from cloister.plan.approvals.approver import ApprovalAnswer
from cloister.plan.approvals.desk import Approval
from cloister.plan.journal.entries import RunState
from cloister.plan.terms import RunTerms


def outcome(ended: Ended) -> tuple[type[CloisterError] | None, str | None]:
    return (None if ended.error is None else type(ended.error)), ended.code


# The constitution


def test_a_rule_that_denies_lets_nothing_of_the_plan_begin(ram: Path) -> None:
    home = Home(ram / "home", rule("no-sending", "deny", "world.send"))
    refused = home.run('(do (call :world.put 1) (call :world.send "x"))')
    assert outcome(refused) == (CapabilityDenied, "denied.constitution")
    assert (refused.state, home.world.done) == (RunState.REFUSED, [])
    assert home.run("(call :world.put 1)").value == 1


def test_a_rule_about_arguments_denies_the_call_that_has_them(ram: Path) -> None:
    home = Home(ram / "home", rule("no-evil", "deny", "world.send", '{ argument = "what", equals = "evil" }'))
    plan = "(do (call :world.put 1) (call :world.send (str begun end)))"
    refused = home.run(plan, inputs={"begun": "ev", "end": "il"})
    assert outcome(refused) == (CapabilityDenied, "denied.constitution")
    assert home.world.done == [("put", 1)]
    assert home.run(plan, inputs={"begun": "mo", "end": "ral"}).value == "moral"
    assert home.world.done == [("put", 1), ("put", 1), ("send", "moral")]


def test_a_denial_of_the_constitution_can_be_caught_and_is_recorded_with_its_rule(ram: Path) -> None:
    home = Home(ram / "home", rule("no-evil", "deny", "world.send", '{ argument = "what", equals = "evil" }'))
    ended = home.run('(try (call :world.send (str "ev" "il")) (catch :SecurityViolation e "caught"))')
    assert (ended.value, home.world.done) == ("caught", [])
    (intent,) = ended.bodies(EventType.CALL_INTENT)
    assert (intent["decision"], intent["reason"]) == ("deny", "denied.constitution")


def test_a_constitution_that_was_changed_after_it_was_signed_opens_nothing(ram: Path) -> None:
    home = Home(ram / "home", rule("no-sending", "deny", "world.send"))
    place = home.directory / "constitution.toml"
    signed = place.read_text(encoding="utf-8")
    place.write_text(signed.replace("world.send", "world.none"), encoding="utf-8")
    with pytest.raises(SignatureInvalid) as caught:
        home.run("(call :world.put 1)")
    assert caught.value.code == "attestation.signature"
    place.write_text(signed, encoding="utf-8")
    assert home.run("(call :world.put 1)").value == 1


def test_a_person_agrees_to_exactly_this_call_and_the_run_goes_on(ram: Path) -> None:
    home = Home(ram / "home", rule("signing", "require-human-approval", "world.send"))
    waits = home.run('(do (call :world.put 1) (step "send" (call :world.send "x")))')
    assert outcome(waits) == (ApprovalRequired, "approval.required")
    assert (waits.state, home.world.done) == (RunState.PAUSED, [("put", 1)])
    asked = home.pending().request
    assert (asked.capability_id, asked.step, asked.arguments, asked.need.rule) == (
        "world.send",
        "send",
        '"x"',
        "signing",
    )
    home.decide()
    went = home.resume(waits.run_id)
    assert (went.value, home.world.done) == ("x", [("put", 1), ("send", "x")])
    (sent,) = [body for body in went.bodies(EventType.CALL_INTENT) if "approvals" in body]
    assert sent["approvals"] == [asked.approval_id]


def test_a_guardian_agrees_with_the_key_of_the_home_and_with_no_other(ram: Path) -> None:
    home = Home(ram / "home", rule("guarded", "require-guardian-approval", "world.send"))
    guardian, other = home.guardian(), Signer.create(ram / "other.key")
    waits = home.run('(call :world.send "x")')
    with pytest.raises(CloisterError) as caught:
        home.decide()
    assert caught.value.code == "input.approval-guardian"
    with pytest.raises(CloisterError) as caught:
        home.decide(guardian=other)
    assert caught.value.code == "input.approval-guardian"
    assert home.resume(waits.run_id).code == "approval.required"  # it is as it was, and the right key still decides
    assert home.world.done == []
    home.decide(guardian=guardian)
    assert home.resume(waits.run_id).value == "x"


# Modes


def test_a_dry_run_touches_nothing_and_its_record_says_that_it_was_made_up(ram: Path) -> None:
    home = Home(ram / "home", rule("signing", "require-human-approval", "world.send"))
    plan = '(do (call :world.look 1) (call :world.put 2) (call :world.send 3) (call :world.delete 4) "end")'
    dry = home.run(plan, terms=RunTerms(mode=ExecutionMode.DRY_RUN))
    assert (dry.value, home.world.done) == ("end", [("look", 1)])
    for kind in (EventType.CALL_INTENT, EventType.CALL_OUTCOME):
        assert [body.get("simulated", False) for body in dry.bodies(kind)] == [False, True, True, True]
    assert dry.bodies(EventType.RUN_STARTED)[0]["mode"] == "dry-run"


def test_a_dry_run_undoes_and_falls_back_without_touching_anything_either(ram: Path) -> None:
    home = Home(ram / "home")
    plan = """(do (step "a" :undo (fn [] (call :world.delete 1)) (call :world.put 1))
                  ^{:runtime.learning.fallback {:capability :world.send}} (call :world.fail 2))"""
    dry = home.run(plan, terms=RunTerms(mode=ExecutionMode.DRY_RUN))
    assert (dry.code, home.world.done) == (None, [("fail", 2)])
    failing = home.run(plan[:-1] + " (call :world.fail 3))", terms=RunTerms(mode=ExecutionMode.DRY_RUN))
    assert failing.code == "guest.world"
    assert [body["name"] for body in failing.bodies(EventType.COMPENSATION_ENDED)] == ["a"]
    assert {entry[0] for entry in home.world.done} == {"fail"}


def test_safe_only_takes_what_is_of_low_risk(ram: Path) -> None:
    home = Home(ram / "home")
    safe = RunTerms(mode=ExecutionMode.SAFE_ONLY)
    refused = home.run("(do (call :world.look 1) (call :world.put 2))", terms=safe)
    assert outcome(refused) == (CapabilityDenied, "denied.mode")
    assert home.world.done == []
    assert home.run("(call :world.look 1)", terms=safe).value == 1


def test_require_approval_asks_before_everything_else(ram: Path) -> None:
    home = Home(ram / "home")
    asks = RunTerms(mode=ExecutionMode.REQUIRE_APPROVAL)
    waits = home.run("(do (call :world.look 1) (call :world.put 2) (call :world.put 2))", terms=asks)
    for count in (1, 2):  # each call for itself, though they are alike
        assert (waits.code, len(home.world.done)) == ("approval.required", count)
        home.decide()
        waits = home.resume(waits.run_id)
    assert (waits.value, home.world.done) == (2, [("look", 1), ("put", 2), ("put", 2)])


# Profiles of steps


COMPUTED = RuntimeContext.controlled(capabilities=EVERYTHING, allow_computed=True)


def test_a_call_of_what_its_part_does_not_declare_is_denied_though_it_was_granted(ram: Path) -> None:
    home = Home(ram / "home")
    plan = """(do (defn act [id] (call id 1))
                  (act (str "world." which))
                  (try (with-security-profile {:capabilities [:world.look]} (act (str "world." which)))
                    (catch :SecurityViolation e "denied")))"""
    refused = home.run(plan, COMPUTED, inputs={"which": "put"})
    assert outcome(refused) == (ProfileDenied, "denied.profile-needs")  # a computed name may be any
    assert home.world.done == []


def test_a_place_that_its_part_does_not_declare_is_denied_though_it_was_granted(ram: Path) -> None:
    home = Home(ram / "home")
    plan = '(with-security-profile {:write ["/srv/a"]} (call :ccos.io.write-file place "x"))'
    files = RuntimeContext.controlled(capabilities=FILES, write=["/srv/a", "/srv/b"])
    denied = home.run(plan, files, inputs={"place": "/srv/b/f"})
    assert outcome(denied) == (ProfileDenied, "denied.profile-needs")  # the input is known before the run
    computed = plan.replace("place", '(str place "/f")')
    denied = home.run(computed, files, inputs={"place": "/srv/b"})
    assert outcome(denied) == (ProfileDenied, "denied.profile")
    assert home.world.done == []
    assert home.run(computed, files, inputs={"place": "/srv/a"}).error is None
    assert home.run(computed.replace('"/srv/a"', '"/srv/b"'), files, inputs={"place": "/srv/b"}).error is None


def test_a_step_inside_a_narrowed_part_has_no_more_than_it(ram: Path) -> None:
    home = Home(ram / "home")
    plan = """(with-security-profile {:write ["/srv/a"]}
                (step "inner" (call :ccos.io.write-file (str place "/f") "x")))"""
    files = RuntimeContext.controlled(capabilities=FILES, write=["/srv"])
    denied = home.run(plan, files, inputs={"place": "/srv/b"})
    assert outcome(denied) == (ProfileDenied, "denied.profile")
    assert home.world.done == []
    assert home.run(plan, files, inputs={"place": "/srv/a"}).error is None


@pytest.mark.parametrize(
    ("plan", "code", "place"),
    [
        ('(do\n (with-security-profile {:capabilities [:world.look]} (call :world.put 1)))', "denied.profile-needs", 2),
        ('(do 1\n 2\n (with-security-profile {:read ["/etc"]} 1))', "denied.profile-wider", 3),
    ],
)  # fmt: skip
def test_admission_says_where_a_profile_does_not_fit(ram: Path, plan: str, code: str, place: int) -> None:
    home = Home(ram / "home")
    refused = home.run(plan)
    assert outcome(refused) == (ProfileDenied, code)
    assert refused.error is not None
    assert refused.error.span is not None
    assert refused.error.span.line == place
    assert (refused.state, home.world.done) == (RunState.REFUSED, [])


def test_a_profile_demands_an_isolation_that_the_provider_has(ram: Path) -> None:
    home = Home(ram / "home")
    refused = home.run("(with-security-profile {:isolation :machine} (call :world.put 1))", provider="process")
    assert outcome(refused) == (ProfileDenied, "denied.profile-isolation")
    assert (refused.state, home.world.done) == (RunState.REFUSED, [])
    level = f":{IsolationLevel.PROCESS_REDUCED.label}"
    allowed = home.run(f"(with-security-profile {{:isolation {level}}} (call :world.put 1))", provider="process")
    assert (allowed.value, home.world.done) == (1, [("put", 1)])


# Undo


BOOKED = """(do (step "a" :undo (fn [r] (call :world.delete r)) (call :world.put "a"))
              (step "b" :undo (fn [r] (call :world.delete r)) (call :world.put "b"))
              {last})"""


def test_what_was_done_is_undone_last_first_when_the_plan_fails(ram: Path) -> None:
    home = Home(ram / "home")
    failed = home.run(BOOKED.format(last="(call :world.fail 1)"))
    assert (failed.code, failed.state) == ("guest.world", RunState.FAILED)
    assert home.world.done == [("put", "a"), ("put", "b"), ("fail", 1), ("delete", "b"), ("delete", "a")]
    assert home.run(BOOKED.format(last='"kept"')).value == "kept"


def test_an_aborted_run_is_undone_last_first(ram: Path) -> None:
    home = Home(ram / "home", rule("signing", "require-human-approval", "world.send"))
    waits = home.run(BOOKED.format(last="(call :world.send 1)"))
    aborted = home.abort(waits.run_id)
    assert aborted.state is RunState.ABORTED
    assert home.world.done == [("put", "a"), ("put", "b"), ("delete", "b"), ("delete", "a")]
    assert home.resume(waits.run_id).code == "input.run-ended"
    assert len(home.world.done) == 4


def test_a_failed_undo_does_not_stop_the_others_and_is_shown(ram: Path, cloister: Callable[..., Outcome]) -> None:
    home = Home(ram / "home")
    plan = BOOKED.replace(
        '(call :world.delete r)) (call :world.put "b")', '(call :world.fail r)) (call :world.put "b")'
    )
    failed = home.run(plan.format(last="(call :world.fail 1)"))
    assert failed.error is not None
    assert failed.error.details["undo_failed"][0]["step"] == "b"
    assert home.world.done[-2:] == [("fail", "b"), ("delete", "a")]
    assert [body["name"] for body in failed.bodies(EventType.COMPENSATION_FAILED)] == ["b"]
    shown = cloister("runs", "show", failed.run_id, "--home", home.directory)
    assert shown.status == 0
    assert "undo" in shown.out
    assert "guest.world" in shown.out


def test_an_undo_waits_for_its_approval_and_goes_on(ram: Path) -> None:
    home = Home(ram / "home", rule("careful", "require-human-approval", "world.delete"))
    waits = home.run(BOOKED.format(last="(call :world.fail 1)"))
    for count in (0, 1):
        assert (waits.code, waits.state) == ("approval.required", RunState.PAUSED)
        assert [entry for entry in home.world.done if entry[0] == "delete"] == [("delete", "b")][:count]
        home.decide()
        waits = home.resume(waits.run_id)
    assert (waits.code, waits.state) == ("guest.world", RunState.FAILED)
    assert home.world.done == [("put", "a"), ("put", "b"), ("fail", 1), ("delete", "b"), ("delete", "a")]


def test_an_undo_may_do_no_more_than_its_step(ram: Path) -> None:
    home = Home(ram / "home")
    plan = """(do (with-security-profile {:capabilities [:ccos.io.write-file] :write ["/srv/a"]}
                    (step "a" :undo (fn [] (call :ccos.io.write-file (str undone "/f") ""))
                      (call :ccos.io.write-file "/srv/a/f" "x")))
                  (call :world.fail 1))"""
    context = RuntimeContext.controlled(capabilities=[*FILES, "world.fail"], write=["/srv"])
    failed = home.run(plan, context, inputs={"undone": "/srv/b"})
    assert failed.error is not None
    assert failed.error.details["undo_failed"][0]["code"] == "denied.profile"
    assert home.world.done == [("ccos.io.write-file", "/srv/a/f", "x"), ("fail", 1)]
    failed = home.run(plan, context, inputs={"undone": "/srv/a"})
    assert failed.error is not None
    assert "undo_failed" not in failed.error.details
    assert home.world.done[-1] == ("ccos.io.write-file", "/srv/a/f", "")


# Fallbacks


FALLS = '(step "s" ^{{:runtime.learning.fallback {{:capability :world.{other} :args ["b"]}}}} (call :world.fail "a"))'


def test_a_fallback_is_governed_like_any_call(ram: Path) -> None:
    home = Home(
        ram / "home", rule("no-sending", "deny", "world.send") + rule("ask", "require-human-approval", "world.put")
    )
    assert home.run(FALLS.format(other="send")).code == "denied.constitution"
    assert home.world.done == []
    waits = home.run(FALLS.format(other="put"))
    assert (waits.code, home.world.done) == ("approval.required", [("fail", "a")])
    home.decide()
    assert home.resume(waits.run_id).value == "b"
    assert home.world.done[-1] == ("put", "b")
    assert home.world.done.count(("put", "b")) == 1


def test_a_fallback_that_was_not_granted_is_refused(ram: Path) -> None:
    home = Home(ram / "home")
    few = RuntimeContext.controlled(capabilities=["world.fail"])
    assert home.run(FALLS.format(other="put"), few).code == "denied.capability"
    assert home.world.done == []
    assert home.run(FALLS.format(other="put")).value == "b"


# One of all in a sandbox of its own


class Agrees:
    """Grants everything."""

    def decide(self, approval: Approval) -> ApprovalAnswer:
        return ApprovalAnswer(granted=True, by="ada")


def test_the_same_with_the_plan_in_a_process_of_its_own(ram: Path) -> None:
    home = Home(ram / "home", rule("signing", "require-human-approval", "world.send"))
    how: dict[str, Any] = {"provider": "process", "approver": Agrees()}
    failed = home.run(BOOKED.format(last='(do (call :world.send "x") (call :world.fail 1))'), **how)
    assert (failed.code, failed.state) == ("guest.world", RunState.FAILED)
    assert home.world.done == [
        ("put", "a"), ("put", "b"), ("send", "x"), ("fail", 1), ("delete", "b"), ("delete", "a"),
    ]  # fmt: skip


def test_an_approval_is_for_the_place_that_a_path_leads_to(tmp_path: Path) -> None:
    """What is approved must not become something else by a link that another run changed meanwhile."""
    home = Home(tmp_path / "home", rule("writing", "require-human-approval", "ccos.io.write-file"))
    grant = tmp_path / "grant"
    for name in ("shown", "meant"):
        (grant / name).mkdir(parents=True)
    (grant / "here").symlink_to("shown")
    context = RuntimeContext.controlled(capabilities=FILES, write=[str(grant)])
    waits = home.run(f'(call :ccos.io.write-file "{grant}/here/x" "y")', context)
    assert home.pending().request.need.terms == {"writes": [f"{grant}/shown/x"]}
    home.decide()
    (grant / "here").unlink()
    (grant / "here").symlink_to("meant")
    assert (home.resume(waits.run_id).code, home.world.done) == ("approval.required", [])
    assert home.pending().request.need.terms == {"writes": [f"{grant}/meant/x"]}
    (grant / "here").unlink()
    (grant / "here").symlink_to("shown")
    assert home.resume(waits.run_id).error is None
    assert [name for name, *_ in home.world.done] == ["ccos.io.write-file"]
