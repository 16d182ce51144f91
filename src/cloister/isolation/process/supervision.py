"""Watching one sandbox from outside until nothing of it is left.

Owns the deadline, what is done about each measurement, and the record of how the sandbox ended. What
the sandbox's first process reports is taken as hostile: it may only describe the end of its own payload. Runs in the
launcher. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import errno
import json
import os
import resource
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.isolation.process import reports
from cloister.isolation.process.cgroup import Group
from cloister.isolation.process.measuring import Meter, Sample
from cloister.isolation.process.reports import REPORT_BYTES_MAX, Report
from cloister.limits import ResourceLimits

SUPERVISION: Final = "supervision"
"""The step that is named when a sandbox could not be watched."""
CHECK_FIRST_S: Final = 0.002
CHECK_NEAR_S: Final = 0.002
CHECK_FAR_S: Final = 0.020


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
        group: Its control group, removed with it; None when there is none.
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
    group: Group | None = None
    next_check_s: float = 0.0
    killed_for: tuple[str, int] | None = None
    _is_killed: bool = False
    _meter: Meter | None = None
    _interval_s: float = CHECK_FIRST_S
    _reported: Report = field(default_factory=dict)
    _failure: Report | None = None

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
            data, ancillary, flags, _ = self.report.recvmsg(
                REPORT_BYTES_MAX, socket.CMSG_SPACE(array.array("i").itemsize), socket.MSG_CMSG_CLOEXEC
            )
        except ConnectionError:
            return False
        if flags & socket.MSG_CTRUNC and self._meter is None:
            raise OSError(errno.EMFILE, "its /proc could not be received")  # unseen, it would have no limits
        for _, _, rights in ancillary:
            descriptors = array.array("i")
            descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
            self._take_proc(list(descriptors))
        if not data:
            return False
        message = reports.from_bytes(data)
        if message is None or (message and self._reported):
            self.kill()  # its first process was taken over; nothing it says counts
            return False
        self._reported |= message
        return True

    def _take_proc(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            if self._meter is None:
                self._meter = Meter(descriptor, self.limits, self.is_guest)
            else:
                os.close(descriptor)

    def check(self, now_s: float) -> None:
        """Measure it, kill it when it is over a limit, and decide when to look again."""
        if now_s >= self.deadline_s:
            self.kill("wall_ms", round((now_s - self.started_s) * 1000))
        if self._is_killed or self._meter is None:
            self.next_check_s = min(self.deadline_s, now_s + CHECK_NEAR_S) if not self._is_killed else float("inf")
            return
        sample = self._meter.sample()
        if sample.memory_bytes > self.limits.memory_bytes:
            self._meter.refine(sample)
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

    def fail(self, error: Exception) -> None:
        """Kill it because it cannot be watched any more, and say why in its record."""
        code = error.errno if isinstance(error, OSError) else 0
        self._failure = reports.failure("mechanism", step=SUPERVISION, errno=code, detail=str(error))
        self.kill()
        self.next_check_s = float("inf")

    def finish(self) -> None:
        """Reap it, tell the host how it ended, and give back everything it held here."""
        self._is_killed = True  # its pidfd is closed here; the number may soon be that of another
        try:
            self._take_last_reports()
            _, status, used = os.wait4(self.pid, 0)
            with contextlib.suppress(OSError):  # the host is gone, which is why it was killed
                self.control.send(json.dumps(self._record(status, used)).encode("ascii"))
        finally:
            self.control.close()
            self.report.close()
            os.close(self.pidfd)
            if self._meter is not None:
                self._meter.close()
            if self.group is not None:
                self.group.remove()

    def _take_last_reports(self) -> None:
        """Take what is still in the socket; it ends when the sandbox does."""
        self.report.setblocking(False)
        try:
            while self.take_report():
                pass
        except BlockingIOError:
            return
        except Exception as error:  # noqa: BLE001 - whatever it was, the end is told
            self.fail(error)

    def _record(self, status: int, used: resource.struct_rusage) -> dict[str, Any]:
        reported = self._failure or self._reported
        return {
            "status": status if self.is_guest else reported.pop("status", None),
            "killed_for": self.killed_for,
            "reported": reported,
            "wall_us": round((time.monotonic() - self.started_s) * 1e6),
            "cpu_user_us": round(used.ru_utime * 1e6),
            "cpu_system_us": round(used.ru_stime * 1e6),
            "memory_peak_bytes": used.ru_maxrss * 1024,
        }
