"""Grants and denials of the command line and of a policy, as `run`, `exec`, `check` and `explain` take them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]

POLICY = """
[allow]
capabilities = ["ccos.io.*"]
read = ["."]
[deny]
capabilities = ["ccos.io.list-*"]
effects = [":process"]
[[rules]]
id = "texts"
capability = "ccos.io.read-file"
action = "allow"
when = [{ argument = "path", matches = "*.txt" }]
"""


@pytest.fixture
def policy(tmp_path: Path) -> Path:
    (tmp_path / "a.txt").write_text("text", encoding="utf-8")
    (tmp_path / "a.md").write_text("mark", encoding="utf-8")
    path = tmp_path / "policy.toml"
    path.write_text(POLICY, encoding="utf-8")
    return path


def test_a_rule_decides_while_the_plan_runs(cloister: Cloister, plan: Plan, policy: Path) -> None:
    text = '(let [end (fn [] "{}")] (call :ccos.io.read-file (str "{}/a" (end))))'
    allowed = cloister("run", plan(text.format(".txt", policy.parent)), "--policy", policy)
    assert (allowed.status, allowed.out) == (0, '"text"\n')
    refused = cloister("run", plan(text.format(".md", policy.parent)), "--policy", policy)
    assert refused.status == 3
    assert 'error[denied.rule]: no rule that allows "ccos.io.read-file" holds for this call ("texts")' in refused.err


def test_explain_says_which_rule_would_refuse_and_which_will_decide(
    cloister: Cloister, plan: Plan, policy: Path
) -> None:
    path = plan(f'[(call :ccos.io.read-file "{policy.parent}/a.md") (call :ccos.io.read-file (str "a" ".txt"))]')
    shown = cloister("explain", path, "--policy", policy)
    assert 'no rule that allows "ccos.io.read-file" holds for this call ("texts")' in shown.out
    assert "rules that will decide at the call: texts" in shown.out
    known, open_ = cloister("explain", "--json", path, "--policy", policy).data["effects"]
    assert (known["reason"], known["rules"], known["open_rules"]) == ("denied.rule", ["texts"], [])
    assert (open_["allowed"], open_["rules"], open_["open_rules"]) == (True, [], ["texts"])


def test_explain_proposes_a_command_with_the_policy(cloister: Cloister, plan: Plan, policy: Path) -> None:
    shown = cloister("explain", plan("(call :ccos.math.add 1 2)"), "--policy", policy)
    assert f"--policy {policy} --allow ccos.math.add\n" in shown.out
    done = cloister("explain", plan("(call :ccos.math.add 1 2)"), "--policy", policy, "--allow", "ccos.math.add")
    assert "Every place is granted" in done.out


def test_check_finds_what_a_policy_refuses(cloister: Cloister, plan: Plan, policy: Path) -> None:
    path = plan(f'(call :ccos.io.list-dir "{policy.parent}")')
    assert cloister("check", path).status == 0
    done = cloister("check", "--policy", policy, path)
    assert done.status == 2
    assert 'error[denied.pattern]: capability "ccos.io.list-dir" is denied by the pattern "ccos.io.list-*"' in done.err


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (["--allow", "ccos.*"], None),
        (["--allow", "ccos.*", "--deny", "ccos.fs.*"], "denied.pattern"),
        (["--allow", "ccos.*", "--deny-effect", "fs"], "denied.effect"),
        (["--allow", "ccos.*", "--allow-effect", ":network"], "denied.effect"),
        (["--allow", "ccos.*", "--allow-effect", ":network", "--allow-effect", ":filesystem"], None),
        (["--allow", "ccos.math.*"], "denied.capability"),
    ],
)
def test_options_grant_and_deny(
    options: list[str], reason: str | None, cloister: Cloister, plan: Plan, policy: Path
) -> None:
    path = plan(f'(call :ccos.io.read-file "{policy.parent}/a.txt")')
    (effect,) = cloister("explain", "--json", path, "--read", policy.parent, *options).data["effects"]
    assert (effect["allowed"], effect["reason"]) == (reason is None, reason or "allowed")


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--deny", "ccos.io.read-fil"], "config.capability"),
        (["--allow", "cccos.*"], "config.capability"),
        (["--allow", "ccos.fs.*"], "config.capability"),
        (["--allow", "*"], "config.pattern"),
        (["--allow-effect", "magic"], "config.effect"),
        (["--connect", "https://a.example"], "config.host"),
        (["--allow", "ccos.io.*", "--deny", "ccos.io.*"], "config.contradiction"),
        (["--policy", "missing.toml"], "config.policy"),
    ],
)
def test_a_mistaken_option_is_told(options: list[str], code: str, cloister: Cloister, plan: Plan) -> None:
    done = cloister("explain", "--json", plan("(+ 1 2)"), *options)
    assert (done.status, done.data["error"]["code"]) == (2, code)


def test_a_policy_can_refuse_a_command(cloister: Cloister, policy: Path, tmp_path: Path) -> None:
    done = cloister("exec", "--policy", policy, "--", "true")
    assert (done.status, "error[denied.effect]" in done.err) == (3, True)
    other = tmp_path / "other.toml"
    text = POLICY.replace('":process"', '":network"').replace('read = ["."]', "read = []")
    other.write_text(text, encoding="utf-8")
    assert cloister("exec", "--policy", other, "--", "true").status == 0
