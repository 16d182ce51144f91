"""`cloister exec`: what a command sees, what it gives back, and its limits."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str, str], Path]:
    def write(name: str, text: str) -> Path:
        path = tmp_path / name
        path.write_text(text, encoding="utf-8")
        return path

    return write


Write = Callable[[str, str], Path]


def test_script_gets_its_words_and_its_status_and_output_pass_through(cloister: Cloister, script: Write) -> None:
    path = script("a", "import sys; print(sys.argv[1:]); print('err', file=sys.stderr); sys.exit(7)")
    done = cloister("exec", "--lang", "python", path, "one", "two words")
    assert (done.status, done.out, done.err) == (7, "['one', 'two words']\n", "err\n")


@pytest.mark.parametrize(
    ("name", "text", "out"),
    [
        ("a.py", "print(6 * 7)", "42\n"),
        ("a.js", "console.log(6 * 7)", "42\n"),
        ("a.sh", "echo $((6 * 7))", "42\n"),
        ("a.rb", "puts 6 * 7", "42\n"),
        ("a.lua", "print(6 * 7)", "42\n"),
        ("a", "#!/usr/bin/env -S perl -l\nprint 6 * 7", "42\n"),
        ("a", "puts 6 * 7", "42\n"),
    ],
)
def test_language_is_found_out(cloister: Cloister, script: Write, name: str, text: str, out: str) -> None:
    done = cloister("exec", "--lang", "auto", script(name, text))
    assert (done.status, done.out) == (0, out), done.err


def test_language_that_nothing_tells_must_be_named(cloister: Cloister, script: Write) -> None:
    path = script("a", "1 + 1")
    done = cloister("exec", "--lang", "auto", path)
    assert done.status == 2
    assert "error[input.language]" in done.err
    assert "--lang" in done.err
    assert cloister("exec", "--lang", "python", path).status == 0


def test_unknown_language_is_refused_with_the_nearest(cloister: Cloister, script: Write) -> None:
    path = script("a.py", "print(1)")
    done = cloister("exec", "--lang", "pyton", path)
    assert (done.status, 'did you mean "python"?' in done.err) == (2, True)
    assert cloister("exec", "--lang", "python", path).out == "1\n"


def test_plan_is_sent_to_run(cloister: Cloister, script: Write) -> None:
    path = script("sum.rtfs", "(+ 1 2)")
    for lang in ("rtfs", "auto"):
        done = cloister("exec", "--lang", lang, path)
        assert (done.status, "error[input.language-rtfs]" in done.err, "cloister run" in done.err) == (2, True, True)
    assert cloister("run", path).out == "3\n"


def test_script_may_come_on_standard_input(cloister: Cloister) -> None:
    assert cloister("exec", "--lang", "ruby", "-", "word", stdin="puts ARGV").out == "word\n"
    assert cloister("exec", "--lang", "auto", "-", stdin="#!/bin/sh\necho $0").out == "/script\n"


def test_script_on_standard_input_leaves_none_for_it(cloister: Cloister, script: Write) -> None:
    text = "import sys; print(len(sys.stdin.read()))"
    done = cloister("exec", "--lang", "python", "--stdin", "-", stdin=text)
    assert (done.status, "error[input.stdin]" in done.err) == (2, True)
    assert cloister("exec", "--lang", "python", "--stdin", script("a", text), stdin="hello").out == "5\n"
    assert cloister("exec", "--lang", "python", script("a", text), stdin="hello").out == "0\n"


def test_options_of_a_script_go_after_the_dashes(cloister: Cloister, script: Write) -> None:
    path = script("a.sh", "echo $1")
    done = cloister("exec", "--lang", "auto", path, "--read")
    assert (done.status, f"cloister exec --lang auto -- {path} --read" in done.err) == (2, True)
    assert cloister("exec", "--lang", "auto", "--", path, "--read").out == "--read\n"


def test_script_is_read_here_but_sees_only_what_is_granted(cloister: Cloister, script: Write, tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    path = script("place/a.sh", f"ls {place}")
    refused = cloister("exec", "--lang", "auto", path)
    assert (refused.status != 0, refused.out) == (True, "")
    granted = cloister("exec", "--read", place, "--lang", "auto", path)
    assert (granted.status, granted.out) == (0, "a.sh\n")


def test_missing_script_is_named(cloister: Cloister, script: Write) -> None:
    done = cloister("exec", "--lang", "shell", "none.sh")
    assert (done.status, 'error[input.script]: cannot read the script "none.sh"' in done.err) == (2, True)
    script("none.sh", "true")
    assert cloister("exec", "--lang", "shell", "none.sh").status == 0


def test_json_result_of_a_script(cloister: Cloister, script: Write) -> None:
    done = cloister("exec", "--json", "--lang", "auto", script("a", "#!/usr/bin/perl\nprint 1; exit 3"))
    facts = {name: done.data[name] for name in ("ok", "language", "exit_status", "stdout", "stderr")}
    assert (done.status, facts) == (
        3,
        {"ok": True, "language": "/usr/bin/perl", "exit_status": 3, "stdout": "1", "stderr": ""},
    )


@pytest.mark.parametrize("way", [["--", "sh", "-c"], ["--lang", "shell"]], ids=["command", "script"])
def test_signal_gives_the_status_that_shells_give(cloister: Cloister, script: Write, way: list[str]) -> None:
    text = "kill -{} $$; exit 0"

    def run(signal: str, *options: str) -> Any:
        killing = text.replace("{}", signal)
        return cloister("exec", *options, *way, killing if way[0] == "--" else script("a", killing))

    killed = run("SEGV")
    assert (killed.status, "killed by SIGSEGV" in killed.err) == (139, True)
    told = run("TERM", "--json")
    assert (told.status, told.data["error"]["details"]["signal"]) == (143, "SIGTERM")
    assert run("0").status == 0
