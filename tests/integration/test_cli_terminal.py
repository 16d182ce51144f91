"""What a person at a terminal sees: the list of steps, colours, completion."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

COMMAND = str(Path(sys.executable).with_name("cloister"))
Plan = Callable[[str], Path]


def spawned(home: Path, *arguments: str) -> str:
    """Run the command on a terminal of its own and return everything it showed."""
    environment = os.environ | {"CLOISTER_HOME": str(home), "TERM": "xterm-256color"}
    child = pexpect.spawn(COMMAND, list(arguments), env=environment, dimensions=(40, 120), timeout=60)
    shown = child.read().decode()
    child.close()
    return f"{shown}\n[status {child.exitstatus}]"


def test_steps_are_a_live_list_with_marks_and_times(home: Path, plan: Plan) -> None:
    text = '(do (step "gather" 1) (try (step "break" (/ 1 0)) (catch e 2)))'
    shown = spawned(home, "run", str(plan(text)))
    assert "✓" in shown
    assert "✗" in shown
    assert "gather" in shown
    assert " ms" in shown or " µs" in shown
    assert shown.endswith("[status 0]")


def test_plan_text_cannot_draw_on_the_terminal(home: Path, plan: Plan) -> None:
    shown = spawned(home, "run", str(plan('(step "a\x1b]0;title\x07b" 1)')))
    assert "\x1b]0;" not in shown
    assert shown.endswith("[status 0]")


def test_a_path_of_a_plan_cannot_draw_in_what_explain_proposes(home: Path, plan: Plan) -> None:
    shown = spawned(home, "explain", str(plan('(call :ccos.io.read-file "/srv/a\x1b]0;title\x07b")')))
    assert "\x1b]0;" not in shown
    assert "--read '/srv/a" in shown


def test_errors_are_red_on_a_terminal_and_plain_elsewhere(home: Path, plan: Plan) -> None:
    path = str(plan("(/ 1 0)"))
    assert "\x1b[31m" in spawned(home, "run", path)
    piped = subprocess.run(
        [COMMAND, "run", path], env=os.environ | {"CLOISTER_HOME": str(home)}, capture_output=True, check=False
    )
    assert b"\x1b" not in piped.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script_is_offered(home: Path, shell: str) -> None:
    environment = os.environ | {"_CLOISTER_COMPLETE": f"source_{shell}"}
    done = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=False)
    assert "cloister" in done.stdout


def test_commands_complete(home: Path) -> None:
    environment = os.environ | {
        "_CLOISTER_COMPLETE": "complete_bash",
        "COMP_WORDS": "cloister e",
        "COMP_CWORD": "1",
    }
    done = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == {"eval", "exec", "explain"}


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("run p.rtfs --allow ccos.math.", {"ccos.math.add"}),
        ("run p.rtfs --provider fi", {"firecracker"}),
        (
            "exec --isolation ",
            {"none", "process-reduced", "process", "wasm", "user-kernel", "machine-reduced", "machine"},
        ),
        ("exec --lang ", {"auto", "python", "shell", "javascript", "ruby", "lua"}),
        ("eval --limit va", {"value-bytes=", "value-elements-count="}),
        ("capabilities ccos.string", {"ccos.string.concat"}),
    ],
)
def test_values_complete(home: Path, words: str, expected: set[str]) -> None:
    environment = os.environ | {
        "_CLOISTER_COMPLETE": "complete_bash",
        "COMP_WORDS": f"cloister {words}",
        "COMP_CWORD": str(len(words.split(" "))),
    }
    done = subprocess.run([COMMAND], env=environment, capture_output=True, text=True, check=False)
    assert set(done.stdout.split()) == expected


def test_completing_loads_nothing_that_is_not_completed() -> None:
    check = "import sys, cloister.cli.complete; print(any('catalog' in name for name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


def test_printed_lines_go_to_the_file_that_holds_the_result(home: Path, plan: Plan, tmp_path: Path) -> None:
    text = plan('(do (step "a" (call :ccos.io.println "printed")) (call :ccos.io.println "after") 2)')
    line = f"{COMMAND} run {text} --allow ccos.io.println > {tmp_path}/out"
    environment = os.environ | {"CLOISTER_HOME": str(home), "TERM": "xterm-256color"}
    shown = pexpect.run(f"sh -c '{line}'", env=environment, timeout=60).decode()
    assert (tmp_path / "out").read_text(encoding="utf-8") == "printed\nafter\n2\n"
    assert "printed" not in shown
    assert "✓" in shown


def test_printed_text_cannot_draw_on_the_terminal_but_reaches_a_pipe_unchanged(home: Path, plan: Plan) -> None:
    path = str(plan('(call :ccos.io.println "a\x1b]0;title\x07b\ttab")'))
    arguments = ["run", path, "--allow", "ccos.io.println"]
    shown = spawned(home, *arguments)
    assert "\x1b]0;" not in shown
    assert "a\\u{1b}]0;title\\u{7}b" in shown
    piped = subprocess.run(
        [COMMAND, *arguments], env=os.environ | {"CLOISTER_HOME": str(home)}, capture_output=True, check=False
    )
    assert piped.stdout.startswith(b"a\x1b]0;title\x07b\ttab\n")
