"""The command as a user runs it: a real process, a home of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

COMMAND = Path(sys.executable).with_name("cloister")


@dataclass(frozen=True)
class Outcome:
    status: int
    out: str
    err: str

    @property
    def data(self) -> Any:
        return json.loads(self.out)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def cloister(home: Path, tmp_path: Path) -> Callable[..., Outcome]:
    def run(*arguments: str | Path, stdin: str | None = None, cwd: Path = tmp_path) -> Outcome:
        done = subprocess.run(
            [COMMAND, *map(str, arguments)],
            env=os.environ | {"CLOISTER_HOME": str(home), "COLUMNS": "100"},
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            timeout=90,
            check=False,
        )
        return Outcome(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def plan(tmp_path: Path) -> Callable[[str], Path]:
    def write(text: str) -> Path:
        path = tmp_path / "plan.rtfs"
        path.write_text(text, encoding="utf-8")
        return path

    return write


@pytest.fixture
def ram() -> Iterator[Path]:
    """A directory in memory where there is one: for tests of killed processes, which the disk need not outlast."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if os.access(memory, os.W_OK) else None) as place:
        yield Path(place)
