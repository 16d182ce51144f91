"""What a VMM's process uses, as the host's kernel counts it.

Owns finding the process and reading its figures. What cannot be read is None.

Source: proc_pid_stat(5), proc_pid_smaps(5) on smaps_rollup, proc_pid_status(5).
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Final

from cloister.isolation.microvm.vmm import VmmUsage

_TICK_US: Final = 1_000_000 // os.sysconf("SC_CLK_TCK")
_KIB: Final = 1024


def of(pid: int | None, *, owns_shared: bool = False) -> VmmUsage:
    """Measure a process; nothing is known of one that has ended or was not found.

    Args:
        pid: Which one.
        owns_shared: Whether shared memory that it maps is its own alone: that of a machine that can be saved. Else it
            is a snapshot that others map, too, or could: what was not changed of it is not counted, though the kernel
            calls it private while there is one machine.
    """
    if pid is None:
        return VmmUsage()
    directory = Path("/proc") / str(pid)
    user, system = _cpu(directory)
    status, rollup = _read(directory / "status"), _read(directory / "smaps_rollup")
    own, shared = _bytes(rollup, "Anonymous"), _bytes(rollup, "Pss_Shmem") if owns_shared else 0
    return VmmUsage(
        cpu_user_us=user,
        cpu_system_us=system,
        resident_bytes=_bytes(status, "VmRSS"),
        private_bytes=None if own is None or shared is None else own + shared,
        peak_bytes=_bytes(status, "VmHWM"),
    )


def of_processors(pid: int | None) -> VmmUsage:
    """Measure the processor time of a process, and nothing else: its memory takes many times as long to count."""
    if pid is None:
        return VmmUsage()
    user, system = _cpu(Path("/proc") / str(pid))
    return VmmUsage(cpu_user_us=user, cpu_system_us=system)


def find(ancestor_pid: int, mark: str) -> int | None:
    """Return the process that has a mark among its arguments, two generations below another; None when there is none.

    Args:
        ancestor_pid: The launcher: its children are first processes of sandboxes, and theirs are programs.
        mark: A whole argument.
    """
    word = b"\0" + mark.encode() + b"\0"
    for first in children(ancestor_pid):
        for program in children(first):
            if word in _read(Path("/proc") / str(program) / "cmdline"):
                return program
    return None


def children(pid: int) -> list[int]:
    """Return the processes that a process with one thread has started and not reaped."""
    return [int(word) for word in _read(Path("/proc") / str(pid) / "task" / str(pid) / "children").split()]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended, or may not be looked into: then it is not known
        return b""


def _cpu(directory: Path) -> tuple[int | None, int | None]:
    fields = _read(directory / "stat").rpartition(b") ")[2].split()
    if len(fields) < 13:
        return None, None
    return int(fields[11]) * _TICK_US, int(fields[12]) * _TICK_US


def _bytes(table: bytes, name: str) -> int | None:
    found = re.search(rb"^%s:\s+(\d+) kB$" % name.encode("ascii"), table, re.MULTILINE)
    return int(found[1]) * _KIB if found else None
