"""`docs/sessions.md`: its program and its commands print what the page says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

PAGE = Path("docs/sessions.md").read_text(encoding="utf-8")
(PROGRAM,) = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
(PRINTED,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
(CONSOLE,) = re.findall(r"```console\n(.*?)```", PAGE, re.DOTALL)


def test_program_prints_what_the_page_says() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM], capture_output=True, text=True, timeout=90, check=False
    )
    assert (done.stderr, done.stdout) == ("", PRINTED)


def test_commands_print_what_the_page_says(tmp_path: Path) -> None:
    place = tmp_path / "place"
    place.mkdir()
    (place / "names").write_text("bob\nada\n", encoding="ascii")
    environment = os.environ | {
        "CLOISTER_HOME": str(tmp_path / "home"),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
    }
    parts = re.split(r"^\$ ", CONSOLE, flags=re.MULTILINE)[1:]
    assert len(parts) >= 6
    for part in parts:
        command, _, printed = part.partition("\n")
        done = subprocess.run(
            command, shell=True, cwd=place, env=environment, text=True, timeout=90, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        assert done.stdout == printed, command
