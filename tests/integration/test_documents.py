"""What the README prints is what happens."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

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
    (shown,) = fenced("console")
    command, _, promised = shown.partition("\n")
    done = cloister(*shlex.split(command.removeprefix("$ cloister ")))
    assert done.out + done.err == promised


def test_every_command_in_the_table_exists(cloister: Cloister) -> None:
    listed = set(re.findall(r"`cloister (\w+)", README)) - {"run"}
    assert listed >= {"explain", "check", "eval", "exec", "doctor", "audit"}
    help_text = cloister("--help").out
    for command in listed:
        assert re.search(rf"^\W*{command}\b", help_text, re.MULTILINE), command
