"""The generated parts of the pages are what `make docs` writes."""

from __future__ import annotations

import subprocess
import sys


def test_pages_are_what_the_script_writes() -> None:
    command = [sys.executable, "scripts/write_docs.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.stdout, done.stderr, done.returncode) == ("", "", 0)
