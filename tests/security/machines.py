"""What the tests of virtual machines share: a provider over a home with an image, and a look at what it leaves."""

from __future__ import annotations

import os
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.processes import descendants_of
from tests.security.conftest import Bench

from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.microvm.config import MachineConfig
from cloister.isolation.microvm.pool import PoolBounds
from cloister.isolation.microvm.provider import MicroVMProvider
from cloister.isolation.provider import ExecutionResult

PYTHON = "/usr/bin/python3"
CONFIG = MachineConfig(memory_mib=512, pool=PoolBounds(size_max=1))
"""One size for all limits, so that one snapshot serves all tests."""


class Machines(Bench):
    """A provider of machines and short ways to run things in it."""

    def __init__(self, home: Path, config: MachineConfig = CONFIG) -> None:
        self._issuer = TokenIssuer(bytes(range(32)), SystemClock())
        self.verifier = self._issuer.verifier()
        self.provider = MicroVMProvider(self.verifier, home, config=config)  # type: ignore[assignment]
        self._count = 0

    def code(self, source: str, *words: str, **facts: object) -> ExecutionResult:
        """Run Python code as a program."""
        return self.program(PYTHON, "-c", source, *words, **facts)


def machine_pids() -> list[int]:
    """Return the processes that run machines for this one."""
    found = []
    for pid in descendants_of(os.getpid()):
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            continue
        if b"\0-name\0machine-" in command:
            found.append(pid)
    return found


def signal_all(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        os.kill(pid, number)


def wait_until(holds: Callable[[], bool], timeout_s: float = 10.0) -> bool:
    """Look until something holds; return whether it does."""
    deadline_s = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline_s:
        time.sleep(0.02)
    return holds()


def copied_home(home: Path, to: Path) -> Path:
    """Return a copy of a home with image and key, and without snapshots."""
    to.mkdir(mode=0o700)
    for name in ("images", "keys"):
        shutil.copytree(home / name, to / name)
    return to
