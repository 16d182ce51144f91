"""`eval`, `check`, `explain`, `doctor` and the help texts."""

from __future__ import annotations

import subprocess
import sys
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


@pytest.mark.parametrize("command", ["explain", "compile"])
def test_what_a_plan_calls_cannot_draw_on_the_terminal(cloister: Cloister, plan: Plan, command: str) -> None:
    path = plan('(call "\x1b[1A\x1b[2K\rno\u202ene" "\x07") (call :ccos.math.add 1)')
    done = cloister(command, path)
    assert done.out.replace("\n", "").isprintable()
    assert "[1A" in done.out
    assert "ccos.math.add 1\n" in done.out


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
    assert all(item["holds"] for item in process["evidence"])
    assert {item["place"] for item in process["evidence"]} == {"plan", "operation", "program", "script", "python"}
    assert {"Landlock", "time namespaces", "lane plan"} <= {item["name"] for item in process["facilities"]}
    others = {item["provider"]: item["available"] for item in data["providers"]}
    assert others["gvisor"] is False
    assert others["microvm"] is False  # this home has no image
    assert cloister("doctor").status == 0


@pytest.mark.parametrize(
    "command", ["run", "eval", "exec", "check", "explain", "repl", "doc", "lsp", "doctor", "audit", "capabilities"]
)
def test_every_command_has_help(cloister: Cloister, command: str) -> None:
    done = cloister(command, "--help")
    assert done.status == 0
    assert "Usage: cloister " + command in done.out


def test_doctor_fits_a_narrow_terminal_and_groups_by_mechanism(cloister: Cloister) -> None:
    lines = cloister("doctor").out.splitlines()
    assert max(map(len, lines)) <= 80
    heads: dict[str, list[str]] = {}
    for line in lines:
        if not line.startswith(" "):
            provider = line.partition(":")[0]
        elif line.startswith("  holds"):
            heads.setdefault(provider, []).append(line[11:].partition(":")[0])
    for provider, found in heads.items():
        assert len(found) == len(set(found)), provider
    assert {"network namespace", "Landlock", "system call filter", "supervisor"} <= set(heads["process"])


def test_doctor_needs_no_home_and_makes_none(cloister: Cloister, home: Path) -> None:
    assert cloister("doctor").status == 0
    assert not home.exists()
    home.write_text("not a directory", encoding="utf-8")
    assert cloister("doctor").status == 0


def test_doctor_says_that_the_mock_isolates_nothing(cloister: Cloister) -> None:
    shown = cloister("doctor").out
    assert "mock: available, isolates nothing\n" in shown
    assert "process: available, level process\n" in shown
    assert "BROKEN" not in shown


@pytest.mark.parametrize(("word", "status"), [("--version", 0), ("no-such-command", 2)])
def test_the_package_can_be_run_as_the_command(word: str, status: int) -> None:
    by_name = subprocess.run([sys.executable, "-m", "cloister", word], capture_output=True, text=True, check=False)
    script = Path(sys.executable).with_name("cloister")
    by_script = subprocess.run([script, word], capture_output=True, text=True, check=False)
    assert (by_name.returncode, by_name.stdout) == (by_script.returncode, by_script.stdout)
    assert by_name.returncode == status


def test_explain_names_what_no_grant_can_help(cloister: Cloister, plan: Plan) -> None:
    unknown = cloister("explain", plan('(call :ccos.io.read-fil "/srv/x")'), "--allow", "ccos.io.read-file")
    assert unknown.status == 3
    assert "did you mean ccos.io.read-file?" in unknown.out
    assert "Every place is granted" not in unknown.out
    misshapen = cloister("explain", plan('(call :ccos.io.read-file "/srv/x" 2 3)'), "--allow", "ccos.io.read-file")
    assert misshapen.status == 1
    assert "call it as ccos.io.read-file path" in misshapen.out
    assert "Every place is granted" not in misshapen.out


def test_explain_says_granted_only_when_all_is(cloister: Cloister, plan: Plan) -> None:
    path = plan('(call :ccos.io.println "x")')
    granted = cloister("explain", path, "--allow", "ccos.io.println")
    assert (granted.status, "Every place is granted" in granted.out) == (0, True)
    missing = cloister("explain", path)
    assert (missing.status, "Every place is granted" in missing.out) == (0, False)
    assert "grant it with --allow ccos.io.println" in missing.out
    kernel = cloister("explain", plan('(call :ccos.io.read-file "/proc/1/mem")'), "--allow", "ccos.io.read-file")
    assert "Every place is granted" not in kernel.out


def test_explain_takes_the_value_of_an_input(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    (tmp_path / "f").write_text("x", encoding="utf-8")
    path = plan("(call :ccos.io.read-file file)")
    assert f"--read {tmp_path}/f" in cloister("explain", path, "--input", f"file={tmp_path}/f").out
    assert "--read" not in cloister("explain", "--json", path, "--input", "file").data["needed"]


def test_explain_json_has_the_error_that_decides_the_status(cloister: Cloister, plan: Plan) -> None:
    done = cloister("explain", "--json", plan('(call :ccos.io.read-fil "/srv/x")'))
    assert done.status == 3
    assert (done.data["ok"], done.data["error"]["code"]) == (False, "denied.unknown-capability")
    assert done.data["error"]["span"]["line"] == 1
    assert cloister("explain", "--json", plan("(call :ccos.echo 1)")).data["ok"] is True


def test_check_refuses_calls_that_cannot_succeed(cloister: Cloister, plan: Plan) -> None:
    unknown = cloister("check", plan('(call :ccos.io.read-fil "x")'))
    assert unknown.status == 2
    assert "did you mean ccos.io.read-file?" in unknown.err
    misshapen = cloister("check", plan('(call :ccos.io.read-file "x" 1 2)'))
    assert misshapen.status == 2
    assert "call it as ccos.io.read-file path" in misshapen.err
    assert cloister("check", plan('(call :ccos.io.read-file "x")')).status == 0


def test_the_command_loads_nothing_heavy_before_it_is_needed() -> None:
    check = """
import sys
import cloister.cli.main
heavy = ("pygments", "prompt_toolkit", "pygls", "lsprotocol", "cloister.lang.resolver", "cloister.runtime")
print(sorted(set(heavy) & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


GOVERNED = {
    "full": None,
    "dry-run": "the mode dry-run makes up a result and does nothing",
    "safe-only": "was refused: it is of medium risk, and the mode safe-only takes only low",
    "require-approval": "an approval is needed: the mode require-approval asks before anything of medium risk",
}


@pytest.mark.parametrize("mode", GOVERNED)
def test_explain_says_what_a_mode_does(cloister: Cloister, plan: Plan, tmp_path: Path, mode: str) -> None:
    path = plan(f'(call :ccos.io.write-file "{tmp_path}/a" "x")')
    grants = ("--allow", "ccos.io.write-file", "--write", tmp_path, "--mode", mode)
    told, data = cloister("explain", path, *grants).out, cloister("explain", path, *grants, "--json").data
    line = GOVERNED[mode]
    assert (line is None) or line in told
    assert ("refused" in told, "Every place is granted" in told) == (mode == "safe-only", mode != "safe-only")
    assert ("help: run it in the mode" in told, "Not every place" in told) == (mode == "safe-only", mode == "safe-only")
    verdicts = {"full": "perform", "dry-run": "simulate", "safe-only": "refuse", "require-approval": "ask-human"}
    assert data["effects"][0]["governance"]["verdict"] == verdicts[mode]
    assert data["effects"][0]["governance"]["risk"] == "medium"


def test_a_run_says_what_was_made_up(cloister: Cloister, plan: Plan, tmp_path: Path) -> None:
    path = plan(f'(do (call :ccos.io.write-file "{tmp_path}/a" "x") (call :ccos.math.add 1 2))')
    grants = ("--allow", "ccos.io.write-file", "--allow", "ccos.math.add", "--write", tmp_path)
    dry = cloister("run", path, *grants, "--mode", "dry-run")
    assert "2 calls (1 made up, nothing done)" in dry.err
    assert not (tmp_path / "a").exists()
    real = cloister("run", path, *grants, "--json")
    assert [each["simulated"] for each in real.data["calls"]] == [False, False]
    assert (tmp_path / "a").exists()
