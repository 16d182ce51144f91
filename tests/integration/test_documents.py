"""What the README prints is what happens."""

from __future__ import annotations

import importlib.metadata
import re
import shlex
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from wasmtime import wat2wasm

README = Path("README.md").read_text(encoding="utf-8")
Cloister = Callable[..., Any]


def fenced(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_python_example_prints_what_the_readme_says(home: Path, tmp_path: Path) -> None:
    example, promised = fenced("python")[0], fenced("text")[0]
    script = tmp_path / "example.py"
    script.write_text(example, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", script],
        env={"CLOISTER_HOME": str(home), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == promised


def test_console_examples_print_what_the_readme_says(cloister: Cloister) -> None:
    shown_once = [block for block in fenced("console") if block.count("$ cloister") == 1]
    assert shown_once
    for shown in shown_once:
        command, _, promised = shown.partition("\n")
        done = cloister(*shlex.split(command.removeprefix("$ cloister ")))
        assert done.out + done.err == promised


def test_a_governed_run_is_as_the_readme_says(
    cloister: Cloister, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run waits for an approval, goes on with it, and its undo is there; names of runs and times differ."""
    monkeypatch.chdir(tmp_path)
    (block,) = fenced("clojure")
    Path("note.rtfs").write_text(block, encoding="utf-8")
    (shown,) = [each for each in fenced("console") if each.count("$ cloister") > 1]
    approval_id = ""
    for command, *promised in (each.splitlines() for each in shown.split("$ cloister ")[1:]):
        done = cloister(*(word.replace("$APPROVAL", approval_id) for word in shlex.split(command)))
        for line in promised:
            pattern = re.escape(line).replace("…", ".*")
            assert re.search(rf"^{pattern}$", done.out + done.err, re.MULTILINE), (line, done)
        approval_id = next(iter(re.findall(r"approval-[0-9a-f]{16}", done.err)), "")
    assert Path("note.txt").read_text(encoding="utf-8") == "looked at it"
    explained = cloister("explain", "note.rtfs", "--allow", "ccos.io.*", "--write", ".", "--mode", "require-approval")
    assert explained.out.count("an approval is needed") == 2


def shell_commands() -> list[str]:
    """Return every command of the shell blocks, continuation lines joined."""
    return [line for block in fenced("sh") for line in block.replace("\\\n", " ").splitlines() if line]


def test_every_shell_command_is_one_that_is_run_here() -> None:
    assert [command.split()[0] for command in shell_commands()] == ["make", ".", "cloister"]


def test_make_targets_do_what_the_readme_says() -> None:
    for target, last in (("demo", "examples/demo.py"), ("test", "-m pytest")):
        assert f"make {target}" in README
        # Only shown: the demo has a test of its own, and this is the other one
        done = subprocess.run(
            ["make", "--dry-run", "--no-print-directory", target, "PYTEST_ARGS="],
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.rstrip().endswith(last)


def test_the_environment_that_make_fills_gives_the_command() -> None:
    activate = next(command for command in shell_commands() if command.startswith(". "))
    assert activate == ". .venv/bin/activate"
    here = activate.replace(".venv", shlex.quote(sys.prefix))
    script = f"{here} && command -v cloister && cloister --version"
    done = subprocess.run(
        ["sh", "-c", script], env={"PATH": "/usr/bin:/bin"}, capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines() == [str(Path(sys.prefix) / "bin" / "cloister"), f"cloister {cloister_version()}"]


def cloister_version() -> str:
    return importlib.metadata.version("cloister")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A directory with the examples, apart from the record."""
    place = tmp_path / "here"
    place.mkdir()
    (place / "examples").symlink_to(Path("examples").absolute())
    return place


def test_the_long_example_writes_its_report(cloister: Cloister, here: Path) -> None:
    example = next(command for command in shell_commands() if command.startswith("cloister run"))
    if not Path("/usr/lib/python3.11").is_dir():
        example = example.replace("/usr/lib/python3.11", sysconfig.get_path("stdlib"))
    done = cloister(*shlex.split(example)[1:], cwd=here)
    assert done.status == 0, done.err
    assert re.fullmatch(r"\{:modules \d+ :lines \d+ :functions \d+\}\n", done.out)
    assert "step write the report: ok" in done.err
    report = (here / "report.md").read_text(encoding="utf-8")
    assert report.startswith("# The Python standard library on this machine\n")


MEANT = {
    "PLAN…": "examples/hello.rtfs",
    "PLAN": "examples/hello.rtfs",
    "NAME": "who",
    "FILE…": "examples/hello.rtfs",
    "FILE": "examples/primes.lua",
    "[NAME]": "reduce",
    "[ID]": "ccos.echo",
    "EXPR": "'(+ 1 2)'",
    "CMD…": "true",
}
"""What the placeholders of the table stand for."""


def test_every_row_of_the_table_is_a_command_that_works(cloister: Cloister, here: Path) -> None:
    rows = re.findall(r"^\| `cloister (.+?)` \|", README, re.MULTILINE)
    assert len(rows) >= 8
    (here / "FILE.wasm").write_bytes(wat2wasm('(module (func (export "_start")))'))
    for row in rows:
        words = [MEANT.get(word, word) for word in row.split()]
        inputs = ["--input", "who=Ada"] if words[0] == "run" else []
        done = cloister(*shlex.split(" ".join(words)), *inputs, cwd=here)
        if row == "attest show":  # nothing was measured yet, which it says
            assert (done.status, "error[attestation.absent]" in done.err) == (7, True), done.err
        else:
            assert done.status == 0, f"{row}: {done.err}"


def test_every_command_in_the_table_exists(cloister: Cloister) -> None:
    listed = set(re.findall(r"`cloister (\w+)", README)) - {"run"}
    assert listed >= {"explain", "check", "eval", "exec", "capabilities", "doctor", "audit"}
    help_text = cloister("--help").out
    for command in listed:
        assert re.search(rf"^\W*{command}\b", help_text, re.MULTILINE), command
