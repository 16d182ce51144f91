"""The image that all tests of virtual machines share: built once, by the command that users type."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def machine_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a home with an image of virtual machines, and with the snapshots that runs leave."""
    home = tmp_path_factory.mktemp("machines") / "home"
    cloister = Path(sys.executable).with_name("cloister")
    done = subprocess.run(
        [cloister, "image", "build", "--kind", "vm"],
        env=os.environ | {"CLOISTER_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return home
