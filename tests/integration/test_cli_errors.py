"""What a person reads when something fails: everything that is known, and an option that can be typed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Cloister = Callable[..., Any]
Plan = Callable[[str], Path]


def test_failed_script_shows_the_end_of_its_standard_error(cloister: Cloister, plan: Plan) -> None:
    text = plan(r'(call :ccos.sandbox.python "def inner():\n    return [][3]\ninner()")')
    done = cloister("run", text, "--allow", "ccos.sandbox.python")
    assert done.status == 1
    assert "   | Traceback (most recent call last):\n" in done.err
    assert "in inner\n" in done.err
    assert "   | IndexError: list index out of range\n" in done.err
    assert "the details hold" not in done.err


def test_script_cannot_draw_on_the_terminal_through_its_error(cloister: Cloister, plan: Plan) -> None:
    text = plan(r"""(call :ccos.sandbox.shell "printf '\\033]0;owned\\007' >&2; exit 1")""")
    done = cloister("run", text, "--allow", "ccos.sandbox.shell")
    assert done.status == 1
    assert "owned" in done.err
    assert "\x1b" not in done.err


def test_every_compile_error_is_shown_with_its_caret(cloister: Cloister, plan: Plan) -> None:
    done = cloister("check", plan("(foo 1)\n(bar 2)\n(redcue + [1])"))
    assert done.status == 2
    for line, word in ((1, "foo"), (2, "bar"), (3, "redcue")):
        assert f'unknown name "{word}"' in done.err
        assert f"plan.rtfs:{line}:2\n" in done.err
    assert done.err.count("^^^\n") == 3


def test_every_refusal_is_shown_with_its_caret(cloister: Cloister, plan: Plan) -> None:
    done = cloister("run", plan("(do (call :ccos.echo 1)\n    (call :ccos.math.add 1 2))"))
    assert done.status == 3
    assert done.err.count("error[denied.capability]") == 2
    assert done.err.count("^^^\n") == 2
    assert "--allow ccos.math.add" in done.err


def test_reached_limit_names_an_option_that_helps(cloister: Cloister) -> None:
    command = ["eval", "(count (range 3000000))"]
    refused = cloister(*command)
    assert refused.status == 4
    options = re.search(r"raise the limit with (--limit value-bytes=\S+)$", refused.err, re.MULTILINE)
    assert options is not None
    assert cloister(*command, *shlex.split(options[1])).out == "3000000\n"


def test_reached_time_and_memory_name_their_options(cloister: Cloister) -> None:
    late = cloister("exec", "--timeout", "200ms", "--", "sleep", "600")
    assert "raise the limit with --timeout" in late.err
    assert "wall_ms" not in late.err
    data = cloister("exec", "--json", "--timeout", "200ms", "--", "sleep", "600").data
    assert "raise the limit with --timeout" in data["error"]["hint"]


@pytest.mark.parametrize("command", [("run", "{plan}"), ("exec", "--", "true"), ("eval", "1")])
def test_every_limit_can_be_set_where_things_run(cloister: Cloister, plan: Plan, command: tuple[str, ...]) -> None:
    name, *rest = (word.format(plan=plan("1")) for word in command)
    assert cloister(name, "--limit", "output-bytes=1MiB", "--limit", "steps_count=1000", *rest).status == 0
    refused = cloister(name, "--limit", "output-byte=1MiB", *rest)
    assert refused.status == 2
    assert "did you mean output-bytes?" in refused.err


def test_limit_bites(cloister: Cloister) -> None:
    command = ["exec", "--limit", "output-bytes=10", "--", "echo", "0123456789"]
    refused = cloister(*command)
    assert refused.status == 4
    assert "--limit output-bytes=20" in refused.err
    assert cloister(*command[:2], "output-bytes=11", *command[3:]).status == 0


def test_help_says_that_a_bare_number_is_seconds(cloister: Cloister) -> None:
    assert "a bare number is seconds" in " ".join(cloister("run", "--help").out.split())


@pytest.mark.parametrize(
    "words", [["ls", "-la", "/"], ["grep", "-i", "x"], ["ls", "--json"], ["git", "log", "--", "-x"]]
)
def test_options_of_a_command_go_after_two_dashes(cloister: Cloister, words: list[str]) -> None:
    done = cloister("exec", *words)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error[input.argv]: ")
    assert "go after --" in done.err
    assert f"cloister exec -- {' '.join(words)}" in done.err


def test_command_without_options_needs_no_dashes(cloister: Cloister) -> None:
    assert cloister("exec", "ls", "-d", "/").status == 2
    assert cloister("exec", "--", "ls", "-d", "/").out == "/\n"
    assert cloister("exec", "echo", "x").out == "x\n"


def test_help_says_that_input_is_read_only_when_asked(cloister: Cloister) -> None:
    assert "otherwise none is read" in " ".join(cloister("exec", "--help").out.split())
