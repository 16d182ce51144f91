"""`eval`, `check`, `explain`, `doctor` and the help texts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]


def test_eval_prints_rtfs_text(cloister: Cloister) -> None:
    assert cloister("eval", '{:a [1 2.5 "x"]}').out == '{:a [1 2.5 "x"]}\n'


def test_eval_cannot_call(cloister: Cloister) -> None:
    done = cloister("eval", "(call :ccos.math.add 1 2)")
    assert done.status == 3
    assert "error[denied." in done.err


def test_misspelt_name_gets_a_caret_and_a_suggestion(cloister: Cloister) -> None:
    done = cloister("eval", "(redcue + [1 2])")
    assert done.status == 2
    assert "<eval>:1:2" in done.err
    assert "| (redcue + [1 2])\n   |  ^^^^^^" in done.err
    assert "reduce" in done.err


def test_check_names_every_bad_plan_and_passes_the_good(cloister: Cloister, tmp_path: Path) -> None:
    good, bad = tmp_path / "good.rtfs", tmp_path / "bad.rtfs"
    good.write_text("(+ 1 2)", encoding="utf-8")
    bad.write_text("(+ 1", encoding="utf-8")
    done = cloister("check", good, bad)
    assert done.status == 2
    assert f"{good}: ok" in done.out
    assert f"{bad}:1:1" in done.err
    assert cloister("check", good).status == 0


def test_explain_lists_effects_and_missing_grants(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x", encoding="utf-8")
    path = plan(f'(call :ccos.io.read-file "{tmp_path}/f")')
    done = cloister("explain", path)
    assert done.status == 0
    assert f"--allow ccos.io.read-file --read {tmp_path}/f" in done.out
    granted = cloister("explain", path, "--allow", "ccos.io.read-file", "--read", tmp_path)
    assert "missing" not in granted.out
    assert "granted  ccos.io.read-file" in granted.out


def test_explained_grants_are_enough_to_run(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x", encoding="utf-8")
    path = plan(f'(call :ccos.io.read-file "{tmp_path}/f")')
    needed = cloister("explain", "--json", path).data["needed"]
    flags = [word for grant in needed for word in grant.split(" ")]
    assert cloister("run", path, *flags).out == '"x"\n'


def test_doctor_shows_evidence_for_the_process_provider(cloister: Cloister) -> None:
    data = cloister("doctor", "--json").data
    process = next(item for item in data["providers"] if item["provider"] == "process")
    assert process["available"] is True
    assert len(process["evidence"]) >= 8
    assert all(item["holds"] for item in process["evidence"])
    others = {item["provider"]: item["available"] for item in data["providers"]}
    assert others["firecracker"] is False
    assert cloister("doctor").status == 0


@pytest.mark.parametrize("command", ["run", "eval", "exec", "check", "explain", "doctor", "audit"])
def test_every_command_has_help(cloister: Cloister, command: str) -> None:
    done = cloister(command, "--help")
    assert done.status == 0
    assert "Usage: cloister " + command in done.out
