"""Control groups in a machine: one for each execution, which bound it, measure it and end it.

Owns their files. Version 2 of the hierarchy, with memory, cpu, pids and io where the kernel has them. Runs in the
machine only. Part of the guest set: standard library only.

Source: Documentation/admin-guide/cgroup-v2.rst of Linux 6.1.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import Final

from cloister.isolation.microvm.guest import kernel
from cloister.limits import ResourceLimits

ROOT: Final = "/sys/fs/cgroup"
CONTROLLERS: Final = ("memory", "pids", "cpu", "io")
NEEDED: Final = ("memory", "pids", "cpu")
"""Without them nothing would bound an execution, so the agent does not start."""
PROCESSES_SLACK: Final = 3
"""One more than allowed is let in, so that the excess is seen; and the processes that begin and lead an execution."""
USAGE: Final = ("cpu_user_us", "cpu_system_us", "memory_peak_bytes", "io_read_bytes", "io_write_bytes")
"""What is measured of an execution."""
END_TIMEOUT_S: Final = 3.0
REMOVE_TIMEOUT_S: Final = 0.5
PAUSE_S: Final = 0.001


def prepare() -> None:
    """Mount the hierarchy and switch on what there is of the controllers."""
    kernel.mount("cgroup2", ROOT, "cgroup2", kernel.NO_SET_ID | kernel.NO_DEVICES | kernel.NO_EXECUTION)
    with open(f"{ROOT}/cgroup.controllers", encoding="ascii") as file:  # noqa: PTH123 - the guest imports little
        found = file.read().split()
    for name in CONTROLLERS:
        if name in found or name in NEEDED:
            _write(f"{ROOT}/cgroup.subtree_control", f"+{name}")


class Group:
    """The group of one execution.

    Args:
        name: No other one has it.
    """

    def __init__(self, name: str) -> None:
        self._path = f"{ROOT}/{name}"
        self._before: dict[str, int] = {}
        os.mkdir(self._path)  # noqa: PTH102

    def bound(self, limits: ResourceLimits) -> None:
        """Set its limits; the private directory is memory, too."""
        self._set("memory.max", limits.memory_bytes + limits.disk_bytes)
        self._set("memory.oom.group", 1)
        self._set("pids.max", limits.processes_count + PROCESSES_SLACK)

    def enter(self, pid: int) -> None:
        """Put a process and all it will start into it; 0 for the caller."""
        _write(f"{self._path}/cgroup.procs", str(pid))

    def cpu_us(self) -> int:
        """Return the processor time of all that ran in it since it is counted."""
        return self._cpu().get("usage_usec", 0)

    def count_from_here(self) -> None:
        """Count no processor time of before."""
        self._before = self._table("cpu.stat")

    def _cpu(self) -> dict[str, int]:
        return {key: value - self._before.get(key, 0) for key, value in self._table("cpu.stat").items()}

    def reached(self) -> str | None:
        """Return the limit that something in it has run into; None when nothing has."""
        if self._table("memory.events").get("oom_kill", 0):
            return "memory_bytes"
        if self._table("pids.events").get("max", 0):
            return "processes_count"
        return None

    def usage(self) -> dict[str, int | None]:
        """Return what it has used; None where the kernel does not say."""
        cpu = self._cpu()
        return {
            "cpu_user_us": cpu.get("user_usec"),
            "cpu_system_us": cpu.get("system_usec"),
            "memory_peak_bytes": self._number("memory.peak"),
            "io_read_bytes": self._transferred("rbytes"),
            "io_write_bytes": self._transferred("wbytes"),
        }

    def transferred_bytes(self) -> int | None:
        """Return what it has read from drives and written to them; None when the kernel does not count that."""
        read, written = self._transferred("rbytes"), self._transferred("wbytes")
        return None if read is None or written is None else read + written

    def _transferred(self, name: str) -> int | None:
        """Return what it has read from drives, or written; None when the kernel does not count that."""
        try:
            with open(f"{self._path}/io.stat", encoding="ascii") as file:  # noqa: PTH123
                words = (word.partition("=") for line in file for word in line.split()[1:])
                return sum(int(value) for key, _, value in words if key == name)
        except FileNotFoundError:
            return None

    def end(self) -> bool:
        """Kill all that is in it; return whether nothing is left."""
        _write(f"{self._path}/cgroup.kill", "1")
        deadline_s = time.monotonic() + END_TIMEOUT_S
        while self._table("cgroup.events").get("populated", 0):
            if time.monotonic() > deadline_s:
                return False
            time.sleep(PAUSE_S)
        return True

    def remove(self) -> None:
        """Remove it. When something is still in it that does not end, it stays, bounded, and the console tells."""
        deadline_s = time.monotonic() + REMOVE_TIMEOUT_S
        while True:
            try:
                os.rmdir(self._path)  # noqa: PTH106
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
                if time.monotonic() > deadline_s:
                    print(f"cloister: {self._path} stays: {error}", file=sys.stderr, flush=True)  # noqa: T201
                    return
                time.sleep(PAUSE_S)
            else:
                return

    def _set(self, name: str, value: int) -> None:
        _write(f"{self._path}/{name}", str(value))

    def _table(self, name: str) -> dict[str, int]:
        try:
            with open(f"{self._path}/{name}", encoding="ascii") as file:  # noqa: PTH123
                return {key: int(value) for key, value in (line.split() for line in file)}
        except FileNotFoundError:
            return {}

    def _number(self, name: str) -> int | None:
        try:
            with open(f"{self._path}/{name}", encoding="ascii") as file:  # noqa: PTH123
                return int(file.read())
        except FileNotFoundError:
            return None


def _write(path: str, text: str) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, text.encode("ascii"))
    finally:
        os.close(descriptor)
