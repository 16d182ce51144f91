"""`cloister explain` beside `cloister run`: what it approves begins, and what it refuses does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]

GRANTED = "Every place is granted"
READ = ("--allow", "ccos.io.read-file", "--read", "reports")
PROFILED = '(with-security-profile {{{profile}}} (call :ccos.io.read-file "{path}/reports/may.txt"))'


@pytest.fixture
def report(tmp_path: Path) -> Path:
    (tmp_path / "reports").mkdir()
    (tmp_path / "reports" / "may.txt").write_text("May", encoding="utf-8")
    return tmp_path / "reports"


@pytest.mark.parametrize(
    ("profile", "missing", "grants"),
    [
        (":capabilities [:ccos.io.read-file :ccos.io.write-file]", "ccos.io.write-file", "--allow ccos.io.write-file"),
        (':read ["/"] :write ["/etc"]', "the write path /etc", "--write /etc"),
        (':env ["LANG"]', "the variable LANG", "--env LANG"),
        (':hosts ["GET api.example.com"]', "the host GET api.example.com", "--connect 'GET api.example.com'"),
        (":limits {:steps-count 99000000000}", "steps_count", "--limit steps-count=99000000000"),
    ],
)
def test_a_profile_that_declares_more_than_is_granted_is_told_with_what_grants_it(
    cloister: Cloister, plan: Plan, report: Path, profile: str, missing: str, grants: str
) -> None:
    path = plan(PROFILED.format(profile=profile, path=report.parent))
    told = cloister("explain", path, *READ)
    assert (told.status, GRANTED in told.out) == (0, False)
    assert "missing  with-security-profile" in told.out
    assert missing in told.out
    data = cloister("explain", path, *READ, "--json").data
    assert data["parts"][0]["code"] == "denied.profile-wider"
    assert data["parts"][0]["span"]["line"] == 1
    assert grants in data["needed"]
    assert cloister("run", path, *READ).status == 3


@pytest.mark.parametrize(
    ("profile", "code"),
    [
        (":capabilities [:ccos.io.read-file :ccos.io.raed-file]", "denied.profile-wider"),
        (":features [:gpu]", "denied.profile-wider"),
        (":capabilities []", "denied.profile-needs"),
        (":read []", "denied.profile-needs"),
    ],
)
def test_a_profile_that_no_grant_fits_is_refused_whatever_is_granted(
    cloister: Cloister, plan: Plan, report: Path, profile: str, code: str
) -> None:
    path = plan(PROFILED.format(profile=profile, path=report.parent))
    for grants in (READ, ()):
        told = cloister("explain", path, *grants)
        assert (told.status, GRANTED in told.out, "cloister run" in told.out) == (3, False, False)
        assert "refused  with-security-profile" in told.out
        data = cloister("explain", path, *grants, "--json").data
        assert (data["ok"], data["refused"], data["error"]["code"]) == (False, True, code)
    assert cloister("run", path, *READ).status == 3


def test_a_profile_that_fits_is_granted_and_runs(cloister: Cloister, plan: Plan, report: Path) -> None:
    profile = f':capabilities [:ccos.io.read-file] :read ["{report}"] :limits {{:wall-ms 20000}} :isolation :process'
    path = plan(PROFILED.format(profile=profile, path=report.parent))
    told = cloister("explain", path, *READ)
    assert (told.status, GRANTED in told.out) == (0, True)
    assert "must isolate at least at the level process." in told.out
    data = cloister("explain", path, *READ, "--json").data
    assert (data["ok"], data["refused"], data["parts"], data["needed"]) == (True, False, [], [])
    assert (cloister("run", path, *READ).status, cloister("run", path, *READ).out) == (0, '"May"\n')


def test_the_command_that_it_proposes_for_a_profile_is_admitted(cloister: Cloister, plan: Plan, report: Path) -> None:
    text = PROFILED.format(profile=":capabilities [:ccos.io.read-file :ccos.math.add]", path=report.parent)
    path = plan(text)
    needed = cloister("explain", path, "--json").data["needed"]
    assert "--allow ccos.math.add" in needed
    assert cloister("run", path, *(word for grant in needed for word in grant.split(" "))).out == '"May"\n'


def test_a_profile_of_a_plan_without_calls_is_told_too(cloister: Cloister, plan: Plan) -> None:
    wide = cloister("explain", plan("(with-security-profile {:capabilities [:ccos.echoo]} 1)"))
    assert (wide.status, "ccos.echoo" in wide.out) == (3, True)
    fitting = cloister("explain", plan("(with-security-profile {:capabilities []} 1)"))
    assert (fitting.status, "it only computes" in fitting.out) == (0, True)
    assert "refused" not in fitting.out


def test_how_a_policy_wants_steps_isolated_is_told(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text('[isolation]\nsteps = ["inherit"]\n', encoding="utf-8")
    path = plan("(step-parallel 1 2)")
    told = cloister("explain", path, "--policy", policy).out
    assert "refused  isolation of a step" in told
    assert "Every place is granted" not in told
    assert cloister("run", path, "--policy", policy).status == 3
    assert "refused" not in cloister("explain", plan('(step "one" 1)'), "--policy", policy).out


def test_the_home_is_closed_to_a_plan_as_in_a_run(cloister: Cloister, plan: Plan, home: Path, tmp_path: Path) -> None:
    home.mkdir(mode=0o700)
    grants = ("--allow", "ccos.io.read-file", "--read", tmp_path)
    told = cloister("explain", plan(f'(call :ccos.io.read-file "{home}/keys/chain.key")'), *grants)
    assert ("refused  ccos.io.read-file" in told.out, GRANTED in told.out) == (True, False)
    assert GRANTED in cloister("explain", plan(f'(call :ccos.io.read-file "{tmp_path}/f")'), *grants).out


def test_a_mode_that_refuses_is_told_beside_the_missing_grants(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    path = plan(f'(call :ccos.io.write-file "{tmp_path}/a" "x")')
    told = cloister("explain", path, "--mode", "safe-only")
    assert ("refused  ccos.io.write-file" in told.out, "cloister run" in told.out) == (True, False)
    assert 'capability "ccos.io.write-file" is not granted' in told.out
    assert "the mode safe-only takes only low" in told.out
    assert f"missing besides:\n\n  --allow ccos.io.write-file --write {tmp_path}/a\n" in told.out
    data = cloister("explain", path, "--mode", "safe-only", "--json").data
    assert (data["refused"], data["effects"][0]["governance"]["verdict"]) == (True, "refuse")
    full = cloister("explain", path)
    assert ("missing  ccos.io.write-file" in full.out, "Still needed:\n\n  cloister run" in full.out) == (True, True)


def test_a_constitution_that_denies_is_told_beside_the_missing_grants(
    cloister: Cloister, plan: Plan, home: Path, tmp_path: Path
) -> None:
    home.mkdir(mode=0o700)
    rule = '[[rule]]\nid = "no-writes"\npattern = "ccos.io.write-*"\naction = "deny"\nreason = "it is kept"\n'
    (home / "constitution.toml").write_text("version = 1\n" + rule, encoding="utf-8")
    cloister("constitution", "sign", home / "constitution.toml")
    told = cloister("explain", plan(f'(call :ccos.io.write-file "{tmp_path}/a" "x")'))
    assert ("refused  ccos.io.write-file" in told.out, "cloister run" in told.out) == (True, False)
    assert "rule no-writes of the constitution forbids it: it is kept" in told.out
    read = cloister("explain", plan(f'(call :ccos.io.read-file "{tmp_path}/a")'))
    assert ("missing  ccos.io.read-file" in read.out, "cloister run" in read.out) == (True, True)


def test_a_place_that_no_grant_opens_is_told_beside_the_missing_capability(cloister: Cloister, plan: Plan) -> None:
    told = cloister("explain", plan('(call :ccos.io.read-file "/proc/1/mem")')).out
    assert ("refused  ccos.io.read-file" in told, "cloister run" in told) == (True, False)
    assert "lies in a tree of the kernel" in told
