"""`cloister exec`: what a command sees, what it gives back, and its limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

Cloister = Callable[..., Any]


def test_output_and_status_pass_through(cloister: Cloister) -> None:
    done = cloister("exec", "--", "sh", "-c", "echo out; echo err >&2; exit 7")
    assert (done.status, done.out, done.err) == (7, "out\n", "err\n")


def test_granted_path_is_visible_and_its_neighbour_is_not(cloister: Cloister, tmp_path: Path) -> None:
    for name in ("mine", "mine2"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "f").write_text(name, encoding="utf-8")
    seen = cloister("exec", "--read", tmp_path / "mine", "--", "cat", tmp_path / "mine" / "f")
    assert (seen.status, seen.out) == (0, "mine")
    hidden = cloister("exec", "--read", tmp_path / "mine", "--", "cat", tmp_path / "mine2" / "f")
    assert hidden.status == 1
    assert "No such file" in hidden.err


def test_read_grant_does_not_let_write_but_write_grant_does(cloister: Cloister, tmp_path: Path) -> None:
    target = tmp_path / "data"
    target.mkdir()
    write = ["--", "sh", "-c", f"echo x > {target}/new"]
    assert cloister("exec", "--read", target, *write).status != 0
    assert not (target / "new").exists()
    assert cloister("exec", "--write", target, *write).status == 0
    assert (target / "new").read_text(encoding="utf-8") == "x\n"


def test_standard_input_is_passed_only_when_asked(cloister: Cloister) -> None:
    assert cloister("exec", "-i", "--", "cat", stdin="hello").out == "hello"
    assert cloister("exec", "--", "cat", stdin="hello").out == ""


def test_environment_holds_only_what_is_granted(cloister: Cloister) -> None:
    done = cloister("exec", "--env", "GREETING=hi", "--", "env")
    names = {line.partition("=")[0] for line in done.out.splitlines()}
    assert "GREETING" in names
    assert "CLOISTER_HOME" not in names
    assert names <= {"GREETING", "PATH", "HOME", "LANG", "TZ", "TMPDIR", "PWD", "USER", "LOGNAME", "SHLVL", "_"}


def test_unknown_program_is_named_with_the_grant(cloister: Cloister) -> None:
    done = cloister("exec", "--", "no-such-program")
    assert done.status == 5
    assert "no-such-program" in done.err
    assert "--read" in done.err


def test_starts_in_the_current_directory_when_it_is_granted(cloister: Cloister, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    assert cloister("exec", "--read", here, "--", "pwd", cwd=here).out == f"{here.resolve()}\n"
    assert cloister("exec", "--", "pwd", cwd=here).out == "/tmp\n"


def test_deadline_ends_the_whole_tree(cloister: Cloister) -> None:
    done = cloister("exec", "--timeout", "300ms", "--", "sh", "-c", "(setsid sleep 600 &) ; sleep 600")
    assert done.status == 4
    assert "error[limit.wall]" in done.err


def test_json_result_holds_binary_output_in_base64(cloister: Cloister) -> None:
    done = cloister("exec", "--json", "--", "printf", r"\377\376")
    assert done.data["stdout_base64"] == "//4="
    assert done.data["exit_status"] == 0
