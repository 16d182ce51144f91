"""Watching one sandbox from outside until nothing of it is left.

Owns the deadline, the measuring of memory, processes and processor time, and the record of how the sandbox ended. What
the sandbox's first process reports is taken as hostile: it may only describe the end of its own payload. Runs in the
launcher. Standard library only; part of the guest set.

The figures come from the sandbox's own /proc, opened by its first process before the payload ran and held here, so that
no control group is needed. Source: proc_pid_stat(5), fields counted from 1.
"""

from __future__ import annotations

import array
import contextlib
import json
import os
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.limits import ResourceLimits

REPORT_BYTES_MAX: Final = 16 * 1024
CHECK_FIRST_S: Final = 0.002
CHECK_NEAR_S: Final = 0.002
CHECK_FAR_S: Final = 0.020
PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
TICK_MS: Final = 1000 // os.sysconf("SC_CLK_TCK")

STAT_CPU_USER: Final = 14
STAT_CPU_SYSTEM: Final = 15
STAT_THREADS: Final = 20
STAT_RSS: Final = 24
_AFTER_NAME: Final = 3
"""The field after the name, which is the second and may itself hold spaces and parentheses."""


@dataclass(slots=True, kw_only=True)
class Sample:
    """What all processes of a sandbox use at one moment; processor time is that of the busiest one.

    Memory is the sum of the resident sizes, which counts a shared page once for each process that has it; when that is
    over the limit it is refined to the sum of the proportional sizes, which counts it once.
    """

    memory_bytes: int = 0
    processes_count: int = 0
    cpu_ms: int = 0
    is_refined: bool = False


@dataclass(slots=True, kw_only=True, eq=False)
class Sandbox:
    """One running sandbox.

    Attributes:
        pid: Its first process, as the launcher sees it.
        pidfd: Descriptor of that process.
        control: Connection to the host; its end is an order to kill, and the record goes out on it.
        report: Connection to the first process.
        limits: Bounds.
        is_guest: Whether its first process is the payload itself.
        started_s: Monotonic time of the request.
        next_check_s: Monotonic time of the next look at it.
        killed_for: The limit it was killed for with the measured figure; None while it lives or ends by itself.
    """

    pid: int
    pidfd: int
    control: socket.socket
    report: socket.socket
    limits: ResourceLimits
    is_guest: bool
    started_s: float
    next_check_s: float = 0.0
    killed_for: tuple[str, int] | None = None
    _is_killed: bool = False
    _proc_fd: int = -1
    _interval_s: float = CHECK_FIRST_S
    _reported: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.next_check_s = self.started_s + self._interval_s

    @property
    def deadline_s(self) -> float:
        """Monotonic time when it must have ended."""
        return self.started_s + self.limits.wall_ms / 1000

    def kill(self, limit: str | None = None, used: int = 0) -> None:
        """Kill its first process, and with it every process of its pid namespace, however it was detached."""
        if self._is_killed:
            return
        self._is_killed = True
        if limit is not None:
            self.killed_for = (limit, used)
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)

    def take_report(self) -> bool:
        """Read one message of the first process; return False when there will be no more."""
        try:
            data, ancillary, _, _ = self.report.recvmsg(REPORT_BYTES_MAX, socket.CMSG_SPACE(array.array("i").itemsize))
        except ConnectionError:
            return False
        for _, _, rights in ancillary:
            descriptors = array.array("i")
            descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
            self._take_proc(list(descriptors))
        if not data:
            return False
        try:
            self._reported |= json.loads(data)
        except (ValueError, TypeError):
            self.kill()  # its first process was taken over; nothing it says counts
            return False
        return True

    def _take_proc(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            if self._proc_fd < 0:
                self._proc_fd = descriptor
            else:
                os.close(descriptor)

    def check(self, now_s: float) -> None:
        """Measure it, kill it when it is over a limit, and decide when to look again."""
        if now_s >= self.deadline_s:
            self.kill("wall_ms", round((now_s - self.started_s) * 1000))
        if self._is_killed or self._proc_fd < 0:
            self.next_check_s = min(self.deadline_s, now_s + CHECK_NEAR_S) if not self._is_killed else float("inf")
            return
        sample = self._measure()
        if sample.memory_bytes > self.limits.memory_bytes:
            sample.memory_bytes = self._proportional_memory()
            sample.is_refined = True
        for limit in ("processes_count", "memory_bytes", "cpu_ms"):
            used = getattr(sample, limit)
            if used > getattr(self.limits, limit):
                self.kill(limit, used)
        self._plan_next(now_s, sample)

    def _plan_next(self, now_s: float, sample: Sample) -> None:
        limits = self.limits
        if sample.is_refined:
            # It shares much, so every look at it is a long one; others wait for that
            self._interval_s = CHECK_FAR_S
            self.next_check_s = min(now_s + self._interval_s, self.deadline_s)
            return
        is_near = sample.memory_bytes * 3 > limits.memory_bytes or sample.processes_count * 2 > limits.processes_count
        self._interval_s = CHECK_NEAR_S if is_near else min(self._interval_s * 1.5, CHECK_FAR_S)
        self.next_check_s = min(now_s + self._interval_s, self.deadline_s)

    def _measure(self) -> Sample:
        sample = Sample()
        names = [name for name in os.listdir(self._proc_fd) if name.isdecimal()]  # noqa: PTH208 - a descriptor
        payload = names if self.is_guest else [name for name in names if name != "1"]
        if len(payload) > self.limits.processes_count:
            sample.processes_count = len(payload)
            return sample  # a fork bomb: every further moment of looking makes it larger
        for name in payload:
            fields = self._stat(name)
            if fields is None:
                continue
            sample.memory_bytes += int(fields[STAT_RSS - _AFTER_NAME]) * PAGE_BYTES
            sample.processes_count += int(fields[STAT_THREADS - _AFTER_NAME])
            ticks = int(fields[STAT_CPU_USER - _AFTER_NAME]) + int(fields[STAT_CPU_SYSTEM - _AFTER_NAME])
            sample.cpu_ms = max(sample.cpu_ms, ticks * TICK_MS)
        return sample

    def _proportional_memory(self) -> int:
        """Return the memory of all processes with shared pages counted once.

        A process that does not let itself be looked into counts with everything resident.
        Source: proc_pid_smaps(5); smaps_rollup since Linux 4.14.
        """
        total = 0
        for name in (name for name in os.listdir(self._proc_fd) if name.isdecimal()):  # noqa: PTH208 - a descriptor
            if name == "1" and not self.is_guest:
                continue
            text = self._read(f"{name}/smaps_rollup")
            share = next((line for line in (text or b"").splitlines() if line.startswith(b"Pss:")), None)
            if share is not None:
                total += int(share.split()[1]) * 1024
                continue
            fields = self._stat(name)
            total += int(fields[STAT_RSS - _AFTER_NAME]) * PAGE_BYTES if fields else 0
        return total

    def _stat(self, name: str) -> list[bytes] | None:
        text = self._read(f"{name}/stat")
        return text[text.rindex(b")") + 2 :].split(b" ") if text else None

    def _read(self, name: str) -> bytes | None:
        """Return a file of the sandbox's /proc; None when its process has ended or may not be looked into."""
        try:
            descriptor = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._proc_fd)
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            return None
        try:
            return os.read(descriptor, 4096)
        except (ProcessLookupError, PermissionError):
            return None
        finally:
            os.close(descriptor)

    def finish(self) -> None:
        """Reap it, tell the host how it ended, and give back everything it held here."""
        # Whatever was reported is still in the socket; it ends when the sandbox does
        self.report.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while self.take_report():
                pass
        _, status, used = os.wait4(self.pid, 0)
        record = {
            "status": self._reported.pop("status", None) if not self.is_guest else status,
            "killed_for": self.killed_for,
            "reported": self._reported,
            "wall_us": round((time.monotonic() - self.started_s) * 1e6),
            "cpu_user_us": round(used.ru_utime * 1e6),
            "cpu_system_us": round(used.ru_stime * 1e6),
            "memory_peak_bytes": used.ru_maxrss * 1024,
        }
        with contextlib.suppress(OSError):  # the host is gone, which is why it was killed
            self.control.send(json.dumps(record).encode("ascii"))
        self.control.close()
        self.report.close()
        for descriptor in (self.pidfd, self._proc_fd):
            if descriptor >= 0:
                os.close(descriptor)
