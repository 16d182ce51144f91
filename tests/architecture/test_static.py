"""What `make check` checks beside the tests, so that `make test`, which CI runs, holds it too."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

PLACES = [place for place in ("src", "tests", "benchmarks", "examples", "scripts", "fuzz") if Path(place).is_dir()]
CHECKS = {
    "format": ["ruff", "format", "--check", *PLACES],
    "lint": ["ruff", "check", *PLACES],
    "types": ["mypy"],
}


@pytest.mark.parametrize("check", CHECKS)
def test_static_check_passes(check: str) -> None:
    program, *arguments = CHECKS[check]
    done = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
