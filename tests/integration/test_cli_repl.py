"""`cloister repl` as it is typed to, on a terminal, and as other programs talk to it, through a pipe."""

from __future__ import annotations

import os
import re
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pexpect
import pytest

COMMAND = str(Path(sys.executable).with_name("cloister"))
Cloister = Callable[..., Any]
Plan = Callable[[str], Path]
ESCAPES = re.compile(r"\x1b(?:\[[0-9;?]*[A-Za-z]|[=>]|\][^\x07]*\x07)")


class Terminal:
    """A person at the prompt."""

    def __init__(self, home: Path, *options: str) -> None:
        environment = os.environ | {"CLOISTER_HOME": str(home), "TERM": "xterm-256color"}
        self.child = pexpect.spawn(
            COMMAND, ["repl", *options], env=environment, dimensions=(40, 100), timeout=60, encoding="utf-8"
        )
        self.prompt(1)

    def prompt(self, number: int) -> str:
        """Wait for the prompt of that number and return what was shown before it."""
        self.child.expect_exact(f"rtfs[{number}]> ")
        return ESCAPES.sub("", self.child.before or "")

    def type(self, line: str, then: int | None = None) -> str:
        """Type a line; with the number of the next prompt, return what is shown until that."""
        self.child.send(line + "\r")
        return self.prompt(then) if then is not None else ""

    def leave(self) -> int:
        self.child.send("\x04")
        self.child.expect(pexpect.EOF)
        self.child.close()
        return int(self.child.exitstatus if self.child.exitstatus is not None else -1)


@pytest.fixture
def terminal(home: Path) -> Iterator[Terminal]:
    shown = Terminal(home)
    yield shown
    shown.child.close(force=True)


def test_inputs_are_answered_and_definitions_stay(terminal: Terminal) -> None:
    assert "30\r\n" in terminal.type("(def x (* 5 6))", 2)
    assert "defined double" in terminal.type("(defn double [n] (* 2 n))", 3)
    assert "60\r\n" in terminal.type("(double x)", 4)
    assert terminal.leave() == 0


def test_a_form_that_is_open_goes_on_in_the_next_line(terminal: Terminal) -> None:
    terminal.type("(defn area [w h]")
    terminal.type("(* w")
    terminal.type("h))", 2)
    assert "6\r\n" in terminal.type("(area 2 3)", 3)


def test_errors_show_the_place_and_leave_the_conversation_going(terminal: Terminal) -> None:
    shown = terminal.type("(+ 1 (redcue + []))", 2)
    assert "did you mean" in shown
    assert "--> <input 1>:1:7" in shown
    assert "^^^^^^" in shown
    assert "2\r\n" in terminal.type("(+ 1 1)", 3)


def test_results_and_input_have_colours(terminal: Terminal) -> None:
    terminal.child.send('(str "a" 1)')
    terminal.child.expect(r"\x1b\[0;32m\"a\"")
    terminal.child.send("\r")
    terminal.child.expect_exact('\x1b[32m"a1"\x1b[0m')
    terminal.prompt(2)


def test_names_are_completed(terminal: Terminal) -> None:
    terminal.type("(defn unmistakable [] 42)", 2)
    terminal.child.send("(unmist\t")
    terminal.child.expect_exact("unmistakable")
    assert "42\r\n" in terminal.type(")", 3)
    terminal.child.send("(call :ccos.data.pars\t")
    terminal.child.expect_exact("ccos.data.parse-json")
    assert "denied.pure" in terminal.type(' "1")', 4)


def test_documentation_of_names(terminal: Terminal) -> None:
    assert "Combine all elements" in terminal.type("(doc reduce)", 2)
    assert "(reduce f init? coll)" in terminal.type(",doc reduce", 3)
    terminal.type('(defn f "Says f." [x] x)', 4)
    assert "Says f." in terminal.type("(doc f)", 5)


def test_interrupt_ends_the_evaluation_and_not_the_conversation(home: Path) -> None:
    terminal = Terminal(home, "--limit", "steps-count=1000000000000")
    terminal.type("(def x 1)", 2)
    terminal.child.send("(loop [] (recur))\r")
    terminal.child.expect_exact("\x1b[?2004l")  # the prompt has given the terminal back
    time.sleep(1)  # the interrupt is for the run, which shows nothing by which to know that it began
    terminal.child.send("\x03")
    assert "interrupted" in terminal.prompt(3)
    assert "1\r\n" in terminal.type("x", 4)
    assert terminal.leave() == 0


def test_interrupt_drops_what_was_typed(terminal: Terminal) -> None:
    terminal.child.send("(+ 1")
    terminal.child.send("\x03")
    terminal.child.expect_exact("\r\n")
    assert "2\r\n" in terminal.type("(+ 1 1)", 2)


def test_a_signal_to_end_ends_it(terminal: Terminal) -> None:
    terminal.type("1", 2)
    terminal.child.kill(signal.SIGTERM)
    terminal.child.expect(pexpect.EOF)
    terminal.child.close()
    assert terminal.child.exitstatus == 128 + signal.SIGTERM


def test_history_is_kept_for_the_owner_only(home: Path) -> None:
    first = Terminal(home)
    first.type("(+ 40 2)", 2)
    assert first.leave() == 0
    (kept,) = home.glob("repl-history")
    assert stat.S_IMODE(kept.stat().st_mode) == 0o600
    second = Terminal(home)
    second.child.send("\x1b[A")
    second.child.send("\r")
    assert "42\r\n" in second.prompt(2)
    second.leave()


def test_history_can_be_declined(home: Path) -> None:
    shown = Terminal(home, "--no-history")
    shown.type("(+ 40 2)", 2)
    assert shown.leave() == 0
    assert not home.exists()


def test_history_does_not_grow_without_end(home: Path) -> None:
    home.mkdir()
    kept = home / "repl-history"
    kept.write_text("".join(f"\n# 2026-01-01\n+(+ {n} {'1 ' * 500})\n" for n in range(3000)), encoding="utf-8")
    size = kept.stat().st_size
    shown = Terminal(home)
    shown.leave()
    assert kept.stat().st_size < size / 2
    assert kept.read_text(encoding="utf-8").startswith("\n# 2026")


def test_history_that_is_a_link_is_not_followed(home: Path, tmp_path: Path) -> None:
    home.mkdir()
    target = tmp_path / "target"
    target.write_text("unchanged", encoding="utf-8")
    (home / "repl-history").symlink_to(target)
    shown = Terminal(home)
    shown.type("1", 2)
    assert shown.leave() == 0
    assert target.read_text(encoding="utf-8") == "unchanged"


# Through a pipe


def test_a_pipe_gets_results_without_prompts(cloister: Cloister) -> None:
    done = cloister("repl", stdin='(def x 2)\n(defn f [a]\n  (* a\n x))\n(f 21)\n"a\nb"\n; nothing\n')
    assert (done.status, done.out) == (0, '2\n42\n"a\\nb"\n')
    assert done.err == "defined f\n"


def test_a_program_gets_each_answer_before_it_sends_more(home: Path) -> None:
    with subprocess.Popen(
        [COMMAND, "repl"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1,
        env=os.environ | {"CLOISTER_HOME": str(home)},
    ) as process:  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        for number in range(3):
            process.stdin.write(f"(+ {number}\n 1)\n")
            process.stdin.flush()
            assert process.stdout.readline() == f"{number + 1}\n"


def test_the_first_error_decides_the_status_and_the_rest_is_answered(cloister: Cloister) -> None:
    done = cloister("repl", stdin="(/ 1 0)\n(foo)\n(+ 1 1)\n")
    assert (done.status, done.out) == (1, "2\n")
    assert done.err.count("error[") == 2


def test_what_is_never_closed_is_told_at_the_end(cloister: Cloister) -> None:
    done = cloister("repl", stdin="(+ 1\n\n")
    assert done.status == 2
    assert "read.unclosed" in done.err


def test_many_lines_of_one_form_are_read_in_one_go(cloister: Cloister) -> None:
    lines = 5_000
    done = cloister("repl", stdin="(count [\n" + "1\n" * lines + "])\n")
    assert done.out == f"{lines}\n"


def test_commands(cloister: Cloister, plan: Plan) -> None:
    path = plan("(defn triple [n] (* 3 n))\n(triple 2)")
    done = cloister(
        "repl", stdin=f",load {path}\n(triple 3)\n,defs\n,forget triple\n,limits\n,time 5\n,help\n,quit\n1\n"
    )
    assert done.status == 0
    assert done.out.startswith("6\n9\ntriple            (defn triple [n] (* 3 n))\n")
    assert "steps-count" in done.out
    assert ",load FILE" in done.out
    assert done.out.rstrip().endswith("Ctrl-D does too")
    assert "forgot triple" in done.err
    assert "steps" in done.err


@pytest.mark.parametrize(
    ("line", "code"),
    [
        (",nope", "input.command"), (",doc", "input.command"), (",doc nope", "input.name"), (",load", "input.command"),
        (",load /no/such/file", "plan.unreadable"), (",forget nope", "input.name"), (",time", "input.command"),
    ],
)  # fmt: skip
def test_commands_that_cannot_be_followed_say_so(cloister: Cloister, line: str, code: str) -> None:
    done = cloister("repl", stdin=f"{line}\n1\n")
    assert (done.status, done.out) == (2, "1\n")
    assert f"error[{code}]" in done.err


def test_calls_are_refused_without_grants(cloister: Cloister, home: Path) -> None:
    done = cloister("repl", stdin="(call :ccos.math.add 1 2)\n")
    assert done.status == 3
    assert "error[denied.pure]" in done.err
    assert not home.exists()


def test_calls_are_isolated_and_recorded_with_grants(cloister: Cloister, tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_text("content", encoding="utf-8")
    text = f'(def text (call :ccos.io.read-file "{target}"))\n(string-length text)\n'
    text += f'(call :ccos.io.delete-file "{target}")\n'
    done = cloister("repl", "--allow", "ccos.io.read-file", "--read", tmp_path, stdin=text)
    assert done.status == 3
    assert done.out == '"content"\n7\n'
    assert "denied.capability" in done.err
    assert target.exists()
    records = cloister("audit", "show", "--json").data["records"]
    calls = [each for each in records if each["capability"] == "ccos.io.read-file"]
    assert calls
    assert len({each["run"] for each in calls}) == 1
    assert cloister("audit", "verify").status == 0


def test_bytes_that_are_no_text_are_refused(home: Path) -> None:
    done = subprocess.run(
        [COMMAND, "repl"], input=b"(+ 1 1)\n\xff\xfe\n", capture_output=True, check=False,
        env=os.environ | {"CLOISTER_HOME": str(home)},
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (2, b"2\n")
    assert b"plan.encoding" in done.stderr


def test_values_cannot_draw_on_the_terminal(home: Path) -> None:
    shown = Terminal(home)
    assert "\x1b]0;" not in shown.type(r'(str "\u{1b}]0;title\u{7}")', 2)
    shown.leave()


def test_long_results_are_cut(cloister: Cloister) -> None:
    done = cloister("repl", stdin="(range 100000)\n")
    assert len(done.out) < 30_000
    assert done.out.endswith("…\n")
