"""`cloister approvals`, and the question at the terminal."""

from __future__ import annotations

import os
import pwd
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pexpect
import pytest
from tests.integration.conftest import Outcome
from tests.integration.dying import grants, killed

from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.verify import verify_chain
from cloister.errors import ApprovalRequired
from cloister.plan.constitution_file import sign_constitution
from cloister.runtime import Runtime

Command = Callable[..., Outcome]
Plan = Callable[[str], Path]
COMMAND = str(Path(sys.executable).with_name("cloister"))
QUESTION = "approve this call? [y/N] "
LOGIN = pwd.getpwuid(os.getuid()).pw_name
TEXT = """
(do
  (call :ccos.io.println "begun")
  (step "make"
    (try (call :ccos.io.mkdir "{place}/a")
      (catch :SecurityViolation e "refused"))))
"""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    found = tmp_path / "place"
    found.mkdir()
    return found


@pytest.fixture
def interrupted(home: Path, place: Path, plan: Plan) -> str:
    """A run that was killed in the middle of making a directory."""
    return killed(home, plan(TEXT.format(place=place)), grants(place), provider="process")


@pytest.fixture
def asked(home: Path, interrupted: str) -> str:
    """The approval that it waits for."""
    with Runtime.open(home) as runtime, pytest.raises(ApprovalRequired) as caught:
        runtime.resume(interrupted)
    return str(caught.value.details["approval_id"])


def state(cloister: Command, approval: str) -> Any:
    return cloister("approvals", "show", approval, "--json").data["approval"]["state"]


def test_what_waits_is_listed(cloister: Command, asked: str, interrupted: str) -> None:
    listed = cloister("approvals", "list")
    heads, row = listed.out.splitlines()
    assert heads.split() == ["APPROVAL", "STATE", "RUN", "UNTIL", "CAPABILITY", "WHY"]
    assert row.split()[:3] == [asked, "pending", interrupted]
    assert "ccos.io.mkdir" in row
    (data,) = cloister("approvals", "list", "--json").data["approvals"]
    assert (data["approval_id"], data["rule"], data["number"]) == (asked, "contract:ccos.io.mkdir", 1)


def test_what_was_decided_is_listed_when_asked_for(cloister: Command, asked: str) -> None:
    cloister("approvals", "deny", asked, "--no-resume")
    assert cloister("approvals", "list").out == ""
    assert cloister("approvals", "list", "--json").data["approvals"] == []
    (data,) = cloister("approvals", "list", "--all", "--json").data["approvals"]
    assert (data["state"], data["decision"]["granted"]) == ("denied", False)


def test_one_is_shown(cloister: Command, asked: str, interrupted: str, place: Path, tmp_path: Path) -> None:
    shown = cloister("approvals", "show", asked).out
    for text in (
        asked, "pending", "ccos.io.mkdir (call 1)", f'"{place}/a"', "make", str(tmp_path / "plan.rtfs"), interrupted,
        "contract:ccos.io.mkdir", "it may have been done already", "until ",
    ):  # fmt: skip
        assert text in shown
    assert "decided by" not in shown
    cloister("approvals", "deny", asked, "--by", "ada", "--reason", "too late", "--no-resume")
    assert "decided by  ada: too late (record " in cloister("approvals", "show", asked).out


def test_approving_lets_the_run_go_on(cloister: Command, asked: str, home: Path, place: Path) -> None:
    approved = cloister("approvals", "approve", asked)
    assert (approved.status, approved.out) == (0, "true\n")
    assert approved.err.startswith(f"granted: {asked}\n")
    assert (place / "a").is_dir()
    with Runtime.open(home) as runtime:
        (approval,) = runtime.approvals()
    assert approval.decision is not None
    assert approval.decision.by == LOGIN
    home_of = AuditHome(home)
    verify_chain(home_of.chain_path, PublicKey.load(home_of.public_key_path))


def test_denying_lets_it_go_on_too(cloister: Command, asked: str, place: Path) -> None:
    denied = cloister("approvals", "deny", asked, "--by", "ada", "--reason", "no")
    assert (denied.status, denied.out) == (0, '"refused"\n')
    assert list(place.iterdir()) == []


def test_deciding_as_data_is_one_object(cloister: Command, asked: str, interrupted: str) -> None:
    data = cloister("approvals", "approve", asked, "--by", "ada", "--json").data
    assert (data["ok"], data["run_id"], data["value"]) == (True, interrupted, True)
    assert (data["approval"]["state"], data["approval"]["decision"]["by"]) == ("granted", "ada")


def test_deciding_alone_leaves_the_run(cloister: Command, asked: str, interrupted: str, place: Path) -> None:
    data = cloister("approvals", "approve", asked, "--no-resume", "--json").data
    assert data["approval"]["state"] == "granted"
    assert list(place.iterdir()) == []
    assert cloister("runs", "resume", interrupted).out == "true\n"


def test_a_second_decision_is_refused(cloister: Command, asked: str) -> None:
    cloister("approvals", "deny", asked, "--no-resume")
    refused = cloister("approvals", "approve", asked, "--no-resume", "--json")
    assert (refused.status, refused.data["error"]["code"]) == (2, "input.approval-decided")
    assert state(cloister, asked) == "denied"


@pytest.mark.parametrize("command", ["show", "approve", "deny"])
def test_one_that_is_not_there_is_refused(cloister: Command, asked: str, command: str) -> None:
    refused = cloister("approvals", command, "approval-0", "--json")
    assert (refused.status, refused.data["error"]["code"]) == (2, "input.approval")


def test_a_key_that_cannot_be_read_decides_nothing(cloister: Command, asked: str, tmp_path: Path) -> None:
    refused = cloister("approvals", "approve", asked, "--key", tmp_path / "none.key", "--json")
    assert (refused.status, refused.data["error"]["code"]) == (7, "attestation.key")
    assert state(cloister, asked) == "pending"


@pytest.mark.parametrize("command", ["approve", "deny"])
def test_what_an_aborted_run_asked_is_withdrawn(cloister: Command, home: Path, asked: str, command: str) -> None:
    run_id = cloister("approvals", "show", asked, "--json").data["approval"]["run_id"]
    assert cloister("runs", "abort", run_id).status == 0
    assert cloister("approvals", "list").out == ""
    assert completions(home, "approvals approve approval-") == set()
    refused = cloister("approvals", command, asked)
    assert (refused.status, "error[input.run-ended]" in refused.err) == (2, True)
    assert f"the run {run_id} is aborted" in refused.err
    assert "granted" not in refused.err
    (data,) = cloister("approvals", "list", "--all", "--json").data["approvals"]
    assert (data["state"], data["decision"]) == ("withdrawn", None)


def completions(home: Path, words: str) -> set[str]:
    environment = os.environ | {
        "CLOISTER_HOME": str(home),
        "_CLOISTER_COMPLETE": "complete_bash",
        "COMP_WORDS": f"cloister {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    child = pexpect.run(COMMAND, env=environment, timeout=60)
    return set(child.decode().split())


def test_identifiers_complete(home: Path, cloister: Command, asked: str, interrupted: str) -> None:
    assert completions(home, "runs show run-") == {interrupted}
    assert completions(home, "approvals approve approval-") == {asked}
    assert completions(home, "runs list --state pau") == {"paused"}
    cloister("approvals", "deny", asked, "--no-resume")
    assert completions(home, "approvals approve approval-") == set()


def test_without_a_journal_nothing_completes_and_nothing_is_made(home: Path) -> None:
    assert completions(home, "runs show run-") == set()
    assert not home.exists()


# At the terminal


def spawned(home: Path, *arguments: str) -> pexpect.spawn:
    environment = os.environ | {"CLOISTER_HOME": str(home), "TERM": "xterm-256color"}
    return pexpect.spawn(COMMAND, list(arguments), env=environment, dimensions=(40, 200), timeout=60, encoding="utf-8")


def finished(child: pexpect.spawn) -> tuple[str, int | None]:
    """Return what was shown from here on, and the exit status."""
    shown = child.read()
    child.close()
    return shown, child.exitstatus


def test_the_question_says_what_is_asked(home: Path, interrupted: str, place: Path, tmp_path: Path) -> None:
    child = spawned(home, "runs", "resume", interrupted)
    child.expect_exact(QUESTION)
    for text in (
        "ccos.io.mkdir (call 1)", f'"{place}/a"', "make", str(tmp_path / "plan.rtfs"), "contract:ccos.io.mkdir",
        "it may have been done already", "until ",
    ):  # fmt: skip
        assert text in child.before
    child.sendline("y")
    shown, status = finished(child)
    assert (status, "true" in shown) == (0, True)
    assert (place / "a").is_dir()


@pytest.mark.parametrize("answer", ["n", "NO", ""])
def test_no_denies(home: Path, cloister: Command, interrupted: str, place: Path, answer: str) -> None:
    child = spawned(home, "runs", "resume", interrupted)
    child.expect_exact(QUESTION)
    child.sendline(answer)
    shown, status = finished(child)
    assert (status, '"refused"' in shown) == (0, True)
    assert list(place.iterdir()) == []
    (data,) = cloister("approvals", "list", "--all", "--json").data["approvals"]
    assert (data["state"], data["decision"]["by"]) == ("denied", LOGIN)


def test_what_is_no_answer_is_asked_again(home: Path, interrupted: str) -> None:
    child = spawned(home, "runs", "resume", interrupted)
    child.expect_exact(QUESTION)
    child.sendline("perhaps")
    child.expect_exact(QUESTION)
    child.sendline("yes")
    assert finished(child)[1] == 0


@pytest.mark.parametrize("key", ["d", "c"])
def test_leaving_leaves_it_paused(home: Path, cloister: Command, interrupted: str, place: Path, key: str) -> None:
    child = spawned(home, "runs", "resume", interrupted)
    child.expect_exact(QUESTION)
    child.sendcontrol(key)
    shown, status = finished(child)
    assert status == 3
    assert "error[approval.required]" in shown.replace("\x1b[31m\x1b[1m", "")
    assert "cloister approvals approve approval-" in shown
    assert cloister("runs", "list", "--json").data["runs"][0]["state"] == "paused"
    assert list(place.iterdir()) == []


def test_with_json_nobody_is_asked(home: Path, interrupted: str) -> None:
    shown, status = finished(spawned(home, "runs", "resume", interrupted, "--json"))
    assert (status, QUESTION in shown, "approval.required" in shown) == (3, False, True)


def test_without_standard_input_nobody_is_asked(cloister: Command, interrupted: str) -> None:
    waits = cloister("runs", "resume", interrupted, stdin="y\n")
    assert (waits.status, QUESTION in waits.err) == (3, False)


def test_what_a_plan_wrote_cannot_draw_in_the_question(home: Path, place: Path, plan: Plan) -> None:
    text = f'(step "a\x1b]0;title\x07b" (call :ccos.io.mkdir "{place}/\u202ea\x1b[2J"))'
    run_id = killed(home, plan(text), grants(place), provider="process")
    child = spawned(home, "runs", "resume", run_id)
    child.expect_exact(QUESTION)
    shown = child.before
    child.sendcontrol("d")
    finished(child)
    assert not any(text in shown for text in ("\x1b]0;", "\x1b[2J", "\u202e"))


TWO = """
(do
  (call :ccos.io.println "begun")
  (step "first" (call :ccos.io.mkdir "{place}/a"))
  (step "second" (call :ccos.io.mkdir "{place}/b"))
  "done")
"""


def ordered(plan: Plan, place: Path) -> tuple[str, ...]:
    """Return the words that run a plan, two calls of which need an approval."""
    path = str(plan(TWO.format(place=place)))
    grants = ("--allow", "ccos.io.println", "--allow", "ccos.io.mkdir", "--write", str(place))
    return ("run", path, *grants, "--mode", "require-approval")


def test_a_run_at_the_terminal_asks_about_each_call(home: Path, place: Path, plan: Plan) -> None:
    child = spawned(home, *ordered(plan, place))
    for name in ("a", "b"):
        child.expect_exact(QUESTION)
        assert f'"{place}/{name}"' in child.before
        assert not (place / name).exists()
        child.sendline("y")
    shown, status = finished(child)
    assert (status, '"done"' in shown) == (0, True)
    assert sorted(each.name for each in place.iterdir()) == ["a", "b"]


def test_a_call_that_is_denied_at_the_terminal_is_not_made(home: Path, place: Path, plan: Plan) -> None:
    child = spawned(home, *ordered(plan, place))
    child.expect_exact(QUESTION)
    child.sendline("y")
    child.expect_exact(QUESTION)
    child.sendline("n")
    shown, status = finished(child)
    assert (status, "denied.approval" in shown) == (3, True)
    assert [each.name for each in place.iterdir()] == ["a"]


def test_a_run_without_a_terminal_waits(cloister: Command, place: Path, plan: Plan) -> None:
    words = ordered(plan, place)
    waits = cloister(*words)
    assert (waits.status, waits.out) == (3, "begun\n")
    assert "cloister approvals approve approval-" in waits.err
    error = cloister(*words, "--json").data["error"]
    assert (error["code"], sorted(error["details"])) == ("approval.required", ["approval_id", "expires_at", "run_id"])
    assert list(place.iterdir()) == []


def test_approving_leads_to_the_next_question(cloister: Command, place: Path, plan: Plan) -> None:
    cloister(*ordered(plan, place))
    for name in ("a", "b"):
        (asked,) = cloister("approvals", "list", "--json").data["approvals"]
        assert asked["arguments"] == f'"{place}/{name}"'
        last = cloister("approvals", "approve", asked["approval_id"])
    assert (last.status, last.out) == (0, '"done"\n')


def test_keys_from_before_the_question_are_no_answer(home: Path, place: Path, plan: Plan) -> None:
    child = spawned(home, *ordered(plan, place))
    child.sendline("y")  # long before the plan has come to its first call
    child.expect_exact(QUESTION)
    child.sendline("n")
    shown, status = finished(child)
    assert (status, "denied.approval" in shown) == (3, True)
    assert list(place.iterdir()) == []


def test_keys_behind_what_is_no_answer_are_none_to_the_question_that_follows(
    home: Path, interrupted: str, place: Path
) -> None:
    child = spawned(home, "runs", "resume", interrupted)
    child.expect_exact(QUESTION)
    child.send("maybe\ny\n")
    child.expect_exact(QUESTION)
    child.sendline("n")
    shown, status = finished(child)
    assert (status, '"refused"' in shown) == (0, True)
    assert list(place.iterdir()) == []


def test_arguments_that_are_cut_are_said_to_be(cloister: Command, plan: Plan, place: Path) -> None:
    """What a person does not see is approved with the rest, for the approval is bound to a digest of all."""
    for length, is_cut in ((10, False), (5_000, True)):
        path = plan(f'(call :ccos.io.write-file "{place}/a" "{"x" * length}")')
        grants = ("--allow", "ccos.io.write-file", "--write", place)
        asked = cloister("run", path, *grants, "--mode", "require-approval", "--json").data["error"]
        shown = cloister("approvals", "show", asked["details"]["approval_id"])
        assert ("longer than what is shown" in shown.out) is is_cut


# What is said of it

SPENDS = """
(do
  (call :ccos.io.println "a") (call :ccos.io.println "b") (call :ccos.io.println "c") (call :ccos.io.println "d"))
"""


def test_a_budget_is_said_to_be_raised_by_how_much(home: Path, cloister: Command, plan: Plan) -> None:
    words = ("--allow", "ccos.io.println", "--budget", "calls=3", "--on-exhaustion", "calls=approval")
    waits = cloister("run", plan(SPENDS), *words)
    assert (waits.status, "it raises the calls budget by 3 to 6" in waits.err) == (3, True)
    (asked,) = cloister("approvals", "list", "--json").data["approvals"]
    for shown in (("list",), ("show", asked["approval_id"])):
        assert "it raises the calls budget by 3 to 6; 3 of 3 used, 1 more needed" in cloister("approvals", *shown).out
    child = spawned(home, "runs", "resume", asked["run_id"])
    child.expect_exact(QUESTION)
    assert "it raises the calls budget by 3 to 6" in child.before
    child.sendline("y")
    assert finished(child)[1] == 0
    with Runtime.open(home) as runtime:
        (raised,) = [
            record.event.body for record in runtime.records() if record.event.event_type.value == "budget.extended"
        ]
    assert (raised["amount"], raised["allowed"]) == (3, 6)


UNDOES = """
(do
  (step "make" :undo (fn [] (call :ccos.io.delete-file "{place}/a")) (call :ccos.io.write-file "{place}/a" "x"))
  (throw "it fails"))
"""


def test_a_call_of_an_undo_is_said_to_be_one(home: Path, cloister: Command, plan: Plan, place: Path) -> None:
    grants = ("--allow", "ccos.io.delete-file", "--allow", "ccos.io.write-file", "--write", place)
    path = plan(UNDOES.format(place=place))
    first = cloister("run", path, *grants, "--mode", "require-approval", "--json").data["error"]["details"]
    assert "undo of" not in cloister("approvals", "show", first["approval_id"]).out
    assert "undo of" not in cloister("approvals", "list").out
    second = cloister("approvals", "approve", first["approval_id"], "--json").data["error"]
    assert second["code"] == "approval.required"
    shown = cloister("approvals", "show", second["details"]["approval_id"]).out
    assert "  undo of     step make\n" in shown
    assert "it is part of the undo of step make; " in cloister("approvals", "list").out
    child = spawned(home, "runs", "resume", first["run_id"])
    child.expect_exact(QUESTION)
    assert "undo of     step make" in child.before
    child.sendline("y")
    assert (finished(child)[1], list(place.iterdir())) == (1, [])


# The guardian's

GUARDED = """
version = 1
[[rule]]
id = "guarded"
pattern = "ccos.io.mkdir"
action = "require-guardian-approval"
reason = "it is grave"
"""


def guarded(cloister: Command, home: Path, place: Path, plan: Plan) -> str:
    """Return an approval that only the guardian gives."""
    home.mkdir(mode=0o700)
    rules = home / "constitution.toml"
    rules.write_text(GUARDED, encoding="utf-8")
    sign_constitution(rules, home)
    path = plan(f'(call :ccos.io.mkdir "{place}/a")')
    waits = cloister("run", path, "--allow", "ccos.io.mkdir", "--write", place, "--json")
    return str(waits.data["error"]["details"]["approval_id"])


def test_the_guardians_key_approves_and_no_other(
    cloister: Command, home: Path, place: Path, plan: Plan, tmp_path: Path
) -> None:
    approval = guarded(cloister, home, place, plan)
    guardian, _ = (Signer.create(tmp_path / f"{name}.key") for name in ("guardian", "other"))
    public = home / "keys" / "guardian.pub"
    absent = cloister("approvals", "approve", approval, "--key", tmp_path / "guardian.key")
    assert (absent.status, "error[attestation.key]" in absent.err) == (7, True)
    assert f"openssl pkey -in guardian.key -pubout -out {public}" in absent.err
    assert state(cloister, approval) == "pending"
    public.write_bytes(guardian.public_key.to_pem())
    refused = cloister("approvals", "approve", approval, "--key", tmp_path / "other.key", "--json")
    assert (refused.status, refused.data["error"]["code"]) == (2, "input.approval-guardian")
    assert state(cloister, approval) == "pending"
    given = cloister("approvals", "approve", approval, "--key", tmp_path / "guardian.key")
    assert (given.status, (place / "a").is_dir()) == (0, True)
