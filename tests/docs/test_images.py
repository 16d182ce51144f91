"""`docs/images.md`: its commands and its program print what the page says."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.test_cli import expectation

PAGE = Path("docs/images.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PRINTED,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
CONSOLE = "".join(re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL))


@pytest.fixture
def environment(vm_home: Path, tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    shutil.copytree(vm_home, home, symlinks=True)
    return os.environ | {"CLOISTER_HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}


def test_program_prints_what_the_page_says(environment: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert (done.stderr, done.stdout) == ("", PRINTED)


def test_commands_print_what_the_page_says(environment: dict[str, str], tmp_path: Path) -> None:
    parts = re.split(r"^\$ ", CONSOLE, flags=re.MULTILINE)[1:]
    assert len(parts) >= 5
    for part in parts:
        command, _, printed = part.partition("\n")
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, env=environment, text=True, timeout=90, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert expectation(printed).fullmatch(done.stdout), f"$ {command}\n{done.stdout}"
