"""`cloister runs`: what became of runs, letting them go on, ending them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from tests.integration.conftest import Outcome
from tests.integration.dying import grants, killed

from cloister.authority.context import RuntimeContext
from cloister.limits import ResourceLimits

Command = Callable[..., Outcome]
Plan = Callable[[str], Path]
TEXT = """
(do
  (call :ccos.io.println "begun")
  (step "make" (call :ccos.io.mkdir "{place}/a"))
  "done")
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


def words(line: str) -> list[str]:
    return line.split()


def only_approval(cloister: Command) -> str:
    (found,) = cloister("approvals", "list", "--json").data["approvals"]
    return str(found["approval_id"])


def test_runs_are_listed_with_their_states(cloister: Command, plan: Plan, interrupted: str) -> None:
    path = plan('(call :ccos.io.println "x")')
    assert cloister("run", path, "--allow", "ccos.io.println").status == 0
    assert cloister("run", path).status == 3
    listed = cloister("runs", "list")
    assert (listed.status, listed.err) == (0, "")
    heads, *rows = listed.out.splitlines()
    assert words(heads) == ["RUN", "STATE", "BEGAN", "PLAN", "WHY"]
    assert [words(row)[1] for row in rows] == ["interrupted", "completed", "refused"]
    assert words(rows[0])[0] == interrupted


def test_they_can_be_chosen(cloister: Command, plan: Plan, interrupted: str) -> None:
    path = plan('(call :ccos.io.println "x")')
    for _ in range(2):
        cloister("run", path, "--allow", "ccos.io.println")
    every = cloister("runs", "list", "--json").data["runs"]
    assert [each["state"] for each in every] == ["interrupted", "completed", "completed"]
    assert cloister("runs", "list", "--last", "1", "--json").data["runs"] == every[-1:]
    assert cloister("runs", "list", "--state", "interrupted", "--json").data["runs"] == every[:1]
    assert cloister("runs", "list", "--state", "completed", "--last", "1", "--json").data["runs"] == every[-1:]
    assert cloister("runs", "list", "--state", "paused").out == ""


def test_a_state_that_is_none_is_refused(cloister: Command, interrupted: str) -> None:
    refused = cloister("runs", "list", "--state", "asleep", "--json")
    assert (refused.status, refused.data["error"]["code"]) == (2, "input.run-state")
    assert "paused" in refused.data["error"]["hint"]


@pytest.mark.parametrize("command", [("runs", "list"), ("runs", "show", "run-0"), ("approvals", "list")])
def test_without_a_home_there_is_nothing_to_show(cloister: Command, home: Path, command: tuple[str, ...]) -> None:
    refused = cloister(*command, "--json")
    assert (refused.status, refused.data["error"]["code"]) == (6, "audit.absent")
    assert not home.exists()


def test_a_run_is_shown_with_its_order_steps_and_calls(cloister: Command, place: Path, interrupted: str) -> None:
    shown = cloister("runs", "show", interrupted)
    assert shown.status == 0
    lines = shown.out.splitlines()
    assert lines[0] == f"{interrupted}  interrupted"
    assert "--allow ccos.io.mkdir" in shown.out
    assert f"--write {place}" in shown.out
    assert "inputs    none" in shown.out
    said, made = next(line for line in lines if "println  " in line), next(line for line in lines if "mkdir  " in line)
    assert "call 0" in said
    assert "ok" in said
    assert "call 1" in made
    assert "not known" in made
    assert next(line for line in lines if "make" in line).startswith("  step 0")
    assert f"cloister runs resume {interrupted}" not in shown.out  # it has no error yet that would say so


def test_a_run_is_shown_as_data(cloister: Command, interrupted: str) -> None:
    run = cloister("runs", "show", interrupted, "--json").data["run"]
    assert (run["state"], run["provider"], run["inputs"]) == ("interrupted", "process", {})
    assert run["context"]["capabilities"] == ["ccos.io.mkdir", "ccos.io.println"]
    assert [(call["capability"], call["state"], call["outcome"]) for call in run["calls"]] == [
        ("ccos.io.println", "succeeded", "ok"),
        ("ccos.io.mkdir", "intended", None),
    ]
    assert [(step["name"], step["ended"]) for step in run["steps"]] == [("make", False)]


def test_grants_are_shown_as_the_options_they_were(cloister: Command, home: Path, place: Path, plan: Plan) -> None:
    context = RuntimeContext.controlled(
        capabilities=["ccos.io.mkdir", "ccos.io.println"],
        read=["/usr/share/a b"],
        write=[str(place)],
        environment={"TOKEN": "secret-value"},
        limits=ResourceLimits(wall_ms=9_000),
    )
    text = f'(do (call :ccos.io.mkdir "{place}/a") n)'
    run_id = killed(home, plan(text), context, provider="process", inputs={"n": [1, "two"]})
    shown = cloister("runs", "show", run_id).out
    assert "--read '/usr/share/a b'" in shown
    assert "--env TOKEN" in shown
    assert "secret-value" not in shown
    assert "--limit wall-ms=9000" in shown
    assert 'n=[1, "two"]' in shown


def test_denials_and_the_mode_are_shown_as_options_too(cloister: Command, plan: Plan) -> None:
    path = plan('(call :ccos.io.println "x")')
    given = ("--allow", "ccos.io.*", "--deny", "ccos.io.delete-file", "--deny-effect", ":network")
    run_id = cloister("run", path, *given, "--mode", "safe-only", "--json").data["run_id"]
    shown = cloister("runs", "show", run_id).out
    for text in ("--allow 'ccos.io.*'", "--deny ccos.io.delete-file", "--deny-effect :network", "mode      safe-only"):
        assert text in shown
    assert cloister("runs", "show", run_id, "--json").data["run"]["terms"]["mode"] == "safe-only"


def test_hosts_are_shown_in_the_words_they_were_granted_with(cloister: Command, plan: Plan, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[deny]\nhosts = ["bad.example.com"]\n', encoding="utf-8")
    given = ("--connect", "GET api.example.com:8443", "--policy", policy)
    run_id = cloister("run", plan("1"), *given, "--json").data["run_id"]
    shown = cloister("runs", "show", run_id).out
    assert "--connect 'GET api.example.com:8443'" in shown
    assert "denied host: 'bad.example.com:*'" in shown
    assert "{" not in shown


def test_grants_are_shown_from_the_signed_record(cloister: Command, home: Path, interrupted: str) -> None:
    before = cloister("runs", "show", interrupted)
    assert (before.err, "--allow ccos.io.mkdir" in before.out) == ("", True)
    with closing(sqlite3.connect(home / "runs.sqlite3", isolation_level=None)) as connection:
        change = "order_json = CAST(replace(CAST(order_json AS TEXT), 'ccos.io.mkdir\"', 'ccos.io.less\"') AS BLOB)"
        assert connection.execute(f"UPDATE runs SET {change}").rowcount == 1
    after = cloister("runs", "show", interrupted)
    assert after.out == before.out
    assert after.err.startswith("warning: the journal holds another order")
    data = cloister("runs", "show", interrupted, "--json").data["run"]
    assert (data["order_agrees"], data["context"]["capabilities"]) == (False, ["ccos.io.mkdir", "ccos.io.println"])


def test_what_a_plan_wrote_cannot_draw_on_a_terminal(cloister: Command, home: Path, place: Path, plan: Plan) -> None:
    text = f'(step "a\x1b]0;title\x07\nb" (call :ccos.io.mkdir "{place}/\x1b[2Jx"))'
    run_id = killed(home, plan(text), grants(place), provider="process")
    cloister("runs", "resume", run_id)
    approval = only_approval(cloister)
    for command in (("runs", "show", run_id), ("runs", "list"), ("approvals", "list"), ("approvals", "show", approval)):
        shown = cloister(*command)
        assert shown.status == 0
        assert not any(char in shown.out for char in "\x1b\x07"), command


def test_a_resumed_run_prints_what_a_run_prints(cloister: Command, interrupted: str, place: Path) -> None:
    waits = cloister("runs", "resume", interrupted)
    assert waits.status == 3
    approval = only_approval(cloister)
    assert "error[approval.required]" in waits.err
    assert f"cloister approvals approve {approval}" in waits.err
    assert cloister("approvals", "approve", approval, "--no-resume").status == 0
    went_on = cloister("runs", "resume", interrupted)
    assert (went_on.status, went_on.out) == (0, '"done"\n')
    assert f"{interrupted}: 2 calls" in went_on.err
    assert (place / "a").is_dir()


def test_its_result_as_data_says_which_calls_were_recalled(cloister: Command, interrupted: str) -> None:
    cloister("runs", "resume", interrupted)
    cloister("approvals", "approve", only_approval(cloister), "--no-resume")
    data = cloister("runs", "resume", interrupted, "--json").data
    assert (data["ok"], data["value"], data["run_id"]) == (True, "done", interrupted)
    assert [(call["capability"], call["recalled"]) for call in data["calls"]] == [
        ("ccos.io.println", True),
        ("ccos.io.mkdir", False),
    ]


def test_an_error_is_one_object_with_its_details(cloister: Command, interrupted: str) -> None:
    data = cloister("runs", "resume", interrupted, "--json").data
    assert (data["ok"], data["error"]["code"]) == (False, "approval.required")
    assert data["error"]["details"]["run_id"] == interrupted
    assert data["error"]["details"]["approval_id"] == only_approval(cloister)


def test_a_paused_run_says_what_it_waits_for(cloister: Command, interrupted: str) -> None:
    cloister("runs", "resume", interrupted)
    approval = only_approval(cloister)
    assert words(cloister("runs", "list").out.splitlines()[1])[-1] == approval
    shown = cloister("runs", "show", interrupted).out
    assert f"waits for {approval}" in shown
    assert f"`cloister approvals show {approval}`" in shown


@pytest.mark.parametrize(("command", "state"), [("approve", "granted"), ("deny", "denied")])
def test_a_paused_run_whose_approval_was_decided_says_so_and_how_it_goes_on(
    cloister: Command, interrupted: str, command: str, state: str
) -> None:
    cloister("runs", "resume", interrupted)
    approval = only_approval(cloister)
    assert cloister("runs", "list", "--json").data["runs"][0]["approval_state"] == "pending"
    cloister("approvals", command, approval, "--no-resume")
    row = cloister("runs", "list").out.splitlines()[1]
    assert row.endswith(f"{approval} {state}: `cloister runs resume` lets it go on")
    shown = cloister("runs", "show", interrupted).out
    assert f"  approval  {approval} {state}\n" in shown
    assert f"help: `cloister runs resume {interrupted}` lets it go on" in shown
    assert "waits for" not in shown
    run = cloister("runs", "show", interrupted, "--json").data["run"]
    assert (run["state"], run["waits_for"], run["approval_state"]) == ("paused", approval, state)


TWICE = '(do (call :ccos.io.println "a") (call :ccos.io.println "b"))'
LONG = "(loop [n 0] (if (= n 5000) n (recur (+ n 1))))"


@pytest.mark.parametrize(
    ("text", "given", "larger"),
    [
        (TWICE, ("--budget", "calls=1"), ("--budget", "calls=2")),
        (LONG, ("--limit", "steps-count=1000"), ("--limit", "steps-count=100000")),
    ],
    ids=["budget", "steps"],
)
def test_a_stopped_run_that_would_stop_again_names_what_helps(
    cloister: Command, plan: Plan, text: str, given: tuple[str, str], larger: tuple[str, str]
) -> None:
    path = plan(text)
    cloister("run", path, "--allow", "ccos.io.println", *given)
    (run,) = cloister("runs", "list", "--json").data["runs"]
    shown = cloister("runs", "show", run["run_id"]).out
    assert run["state"] == "stopped"
    assert cloister("runs", "resume", run["run_id"]).status == 4  # the same again
    assert "runs resume" not in shown
    assert f"begin a new run with {given[0]} {given[1].partition('=')[0]}=" in shown
    assert f"`cloister runs abort {run['run_id']}` ends this one" in shown
    assert cloister("run", path, "--allow", "ccos.io.println", *larger).status == 0


def test_a_stopped_run_that_can_go_on_says_how(cloister: Command, plan: Plan) -> None:
    path = plan("(do (loop [n 0] (if (= n 100000000) n (recur (+ n 1)))))")
    cloister("run", path, "--limit", "wall-ms=300", "--limit", "steps-count=1000000000")
    (run,) = cloister("runs", "list", "--json").data["runs"]
    assert (run["state"], run["error"]["code"]) == ("stopped", "limit.wall")
    assert f"`cloister runs resume {run['run_id']}` lets it go on" in cloister("runs", "show", run["run_id"]).out


def test_another_plan_is_refused_and_the_same_taken(
    cloister: Command, plan: Plan, tmp_path: Path, interrupted: str
) -> None:
    other = tmp_path / "other.rtfs"
    other.write_text("1", encoding="utf-8")
    refused = cloister("runs", "resume", interrupted, "--plan", other, "--json")
    assert (refused.status, refused.data["error"]["code"]) == (2, "plan.changed")
    same = cloister("runs", "resume", interrupted, "--plan", tmp_path / "plan.rtfs", "--json")
    assert same.data["error"]["code"] == "approval.required"


def test_variables_are_given_again(cloister: Command, home: Path, place: Path, plan: Plan) -> None:
    context = RuntimeContext.controlled(
        capabilities=["ccos.io.mkdir"], write=[str(place)], environment={"TOKEN": "secret"}
    )
    run_id = killed(home, plan(f'(call :ccos.io.mkdir "{place}/a")'), context, provider="process")
    for given in ((), ("--env", "TOKEN=other"), ("--env", "OTHER=secret")):
        refused = cloister("runs", "resume", run_id, *given, "--json")
        assert (refused.status, refused.data["error"]["code"]) == (2, "plan.environment-changed")
        assert "--env TOKEN" in refused.data["error"]["hint"]
    waits = cloister("runs", "resume", run_id, "--env", "TOKEN=secret", "--json")
    assert waits.data["error"]["code"] == "approval.required"
    approved = cloister("approvals", "approve", only_approval(cloister), "--env", "TOKEN=secret")
    assert (approved.status, approved.out) == (0, "true\n")


def test_an_aborted_run_is_over(cloister: Command, interrupted: str, place: Path) -> None:
    ended = cloister("runs", "abort", interrupted)
    assert (ended.status, ended.out) == (0, f"{interrupted}: aborted\n")
    assert list(place.iterdir()) == []
    again = cloister("runs", "resume", interrupted, "--json")
    assert (again.status, again.data["error"]["code"]) == (2, "input.run-ended")
    shown = cloister("runs", "show", interrupted)
    assert "aborted   before call 1" in shown.out


def test_aborting_as_data(cloister: Command, interrupted: str) -> None:
    data = cloister("runs", "abort", interrupted, "--json").data
    assert (data["ok"], data["run"]["state"], data["undo_failed"]) == (True, "aborted", [])


UNDOING = """
(do
  (step "half" :undo (fn [] {undo}) nil)
  (step "whole" :undo (fn [] nil) nil)
  (step "make" (call :ccos.io.mkdir "{place}/a")))
"""


@pytest.mark.parametrize(("undo", "status"), [('(throw "it stays")', 1), ("nil", 0)])
def test_an_abort_that_could_not_undo_says_what_and_fails(
    cloister: Command, home: Path, place: Path, plan: Plan, undo: str, status: int
) -> None:
    text = UNDOING.format(undo=undo, place=place)
    run_id = killed(home, plan(text), grants(place), provider="process")
    ended = cloister("runs", "abort", run_id)
    assert (ended.status, ended.out) == (status, f"{run_id}: aborted\n")
    assert ("not undone: half (guest.thrown)" in ended.err) is bool(status)
    assert ("not undone" in cloister("runs", "show", run_id).out) is bool(status)
    again = killed(home, plan(text), grants(place), provider="process")
    data = cloister("runs", "abort", again, "--json")
    assert (data.status, data.data["ok"], data.data["run"]["state"]) == (status, not status, "aborted")
    assert [each["step"] for each in data.data["undo_failed"]] == ["half"] * bool(status)
    assert data.data.get("error", {}).get("code") == ("guest.undo" if status else None)


@pytest.mark.parametrize("command", ["show", "resume", "abort"])
def test_one_that_is_not_there_is_refused(cloister: Command, interrupted: str, command: str) -> None:
    refused = cloister("runs", command, "run-\x1b[2J", "--json")
    assert (refused.status, refused.data["error"]["code"]) == (2, "input.run")
    assert "\x1b" not in refused.out


def test_a_damaged_journal_is_an_error(cloister: Command, home: Path, interrupted: str) -> None:
    with closing(sqlite3.connect(home / "runs.sqlite3", isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET order_json = CAST('[' AS BLOB)")
    for command in (("runs", "list"), ("runs", "show", interrupted), ("runs", "resume", interrupted)):
        refused = cloister(*command, "--json")
        assert (refused.status, refused.data["error"]["code"]) == (6, "journal.damaged")


def test_a_planted_trigger_is_refused(cloister: Command, home: Path, interrupted: str) -> None:
    with closing(sqlite3.connect(home / "runs.sqlite3", isolation_level=None)) as connection:
        connection.execute("CREATE TRIGGER t AFTER UPDATE ON runs BEGIN DELETE FROM calls; END")
    refused = cloister("runs", "list")
    assert refused.status == 6
    assert refused.err.startswith("error[journal.store]: ")
    assert "Traceback" not in refused.err


def test_an_order_of_another_shape_is_shown_as_far_as_it_goes(cloister: Command, home: Path, interrupted: str) -> None:
    order: Any = b'{"plan": 1, "context": {"capabilities": 3, "limits": [], "other\\u001b": "x"}, "inputs": []}'
    with closing(sqlite3.connect(home / "runs.sqlite3", isolation_level=None)) as connection:
        connection.execute("UPDATE runs SET order_json = ?", (order,))
    shown = cloister("runs", "show", interrupted)
    assert shown.status == 0
    assert "\x1b" not in shown.out
    assert cloister("runs", "resume", interrupted, "--json").data["error"]["code"] == "journal.order"
