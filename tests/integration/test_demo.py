"""`make demo`, as the README promises it: four scenes, each ending as it should."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def test_demo_runs_refuses_verifies_and_finds_the_forgery(tmp_path: Path) -> None:
    root = Path.cwd()
    (tmp_path / "examples").symlink_to(root / "examples")
    done = subprocess.run(
        [sys.executable, "examples/demo.py"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=110
    )
    assert done.returncode == 0, done.stdout + done.stderr
    report = (tmp_path / "demo-output" / "reports" / "report.md").read_text(encoding="utf-8")
    assert "# The Python standard library on this machine" in report
    assert "top-level modules" in report
    assert "grant it with --allow ccos.io.write-file" in done.stderr
    assert "(exit status 3, as it should be)" in done.stdout
    assert "(exit status 6, as it should be)" in done.stdout
    assert "record " in done.stderr
