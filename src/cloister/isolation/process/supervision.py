"""Watching one sandbox from outside until nothing of it is left.

Owns the deadline, what is done about each measurement, and when the host is told of the end. What the sandbox's first
process reports is taken as hostile: it may only describe the end of its own payload. Runs in the launcher. Standard
library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import errno
import functools
import json
import os
import resource
import select
import signal
import socket
import time
from dataclasses import dataclass, field
from typing import Final

from cloister.isolation.process import measuring, records, reports, totals
from cloister.isolation.process.cgroup.files import GroupRefused
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.lanes import DONE, MESSAGE_BYTES_MAX, Lane
from cloister.isolation.process.measuring import Meter, Sample
from cloister.isolation.process.processor_time import NO_TIME, CpuTime, cpu_of
from cloister.isolation.process.reports import REPORT_BYTES_MAX, Report
from cloister.isolation.process.schedule import Schedule
from cloister.isolation.process.totals import Totals
from cloister.limits import ResourceLimits

SUPERVISION: Final = "supervision"
"""The step that is named when a sandbox could not be watched."""
INFINITE_S: Final = float("inf")
_NO_LIMITS_YET: Final = ResourceLimits()


@functools.lru_cache(maxsize=64)
def _limits(data: bytes) -> ResourceLimits:
    return ResourceLimits(**json.loads(data))


@dataclass(slots=True, kw_only=True, eq=False)
class Sandbox:
    """One running sandbox.

    Attributes:
        pid: Its first process, as the launcher sees it.
        pidfd: Descriptor of that process.
        control: Connection to the host; its end is an order to kill, and the record goes out on it.
        report: Connection to the first process.
        lane: Which kind it is.
        group: Its control group, removed with it.
        is_spare: Whether it was made before anyone asked for it.
        limits: Bounds, once it is used.
        started_s: Monotonic time when it was begun to be used; None while it waits.
        private_bytes: How much memory it holds for itself while it waits; 0 when that is not known.
        next_check_s: Monotonic time of the next look at it.
        killed_for: The limit it was killed for with the measured figure; None while it lives or ends by itself.
    """

    pid: int
    pidfd: int
    control: socket.SocketType
    report: socket.SocketType
    lane: Lane
    group: Group
    is_spare: bool = False
    limits: ResourceLimits = _NO_LIMITS_YET
    started_s: float | None = None
    private_bytes: int = 0
    next_check_s: float = INFINITE_S
    killed_for: tuple[str, int | None] | None = None
    _is_killed: bool = False
    _is_deaf: bool = False
    _limits_unread: bytes = b""
    _proc: int | None = None
    _cpu_before: CpuTime = NO_TIME
    _cpu_before_us: int = 0
    _meter: Meter | None = None
    _schedule: Schedule = field(default_factory=Schedule)
    _reported: Report = field(default_factory=dict)
    _failure: Report | None = None

    @property
    def deadline_s(self) -> float:
        """Monotonic time when it must have ended; infinite while it waits."""
        return INFINITE_S if self.started_s is None else self.started_s + self.limits.wall_ms / 1000

    @property
    def is_waiting(self) -> bool:
        """Whether it was neither begun nor ended yet."""
        return self.started_s is None and not self._is_killed

    @property
    def is_complete(self) -> bool:
        """Whether its building is over, or as far as it goes without an order."""
        return self._proc is not None or self._is_killed

    @property
    def is_answered(self) -> bool:
        """Whether the host was told how it ended."""
        return self.control.fileno() < 0

    def begin(self, limits: bytes) -> None:
        """Note that it is used from now on, within limits, as JSON.

        A pure plan can start no process, and most have ended before the first look at them. So that they need not wait
        for it, their limits are read then.
        """
        self.started_s = time.monotonic()
        self._cpu_before = cpu_of(self.pid)
        self._cpu_before_us = self._cpu_before.total_us
        if self.lane in (Lane.SCRIPT, Lane.PYTHON):  # the interpreter waits in a process of its own
            self._cpu_before_us = self.group.cpu_us() or self._cpu_before_us
        self._limits_unread = limits
        if self.lane is not Lane.PLAN:
            self._read_limits()
            if self.group.is_bounding:
                self._schedule.be_bounded()
        self._plan_first(self.started_s)

    def _plan_first(self, now_s: float) -> None:
        """Look for the first time once there is something to look at, and some time has passed."""
        if self._proc is None and not self._limits_unread:
            self.next_check_s = self.deadline_s
        else:
            self._plan_next(now_s)

    def _plan_next(self, now_s: float) -> None:
        self.next_check_s = min(now_s + self._schedule.interval_s, self.deadline_s)

    def _read_limits(self) -> None:
        self.limits, self._limits_unread = _limits(self._limits_unread), b""
        try:
            self.group.limit(self.limits)
        except GroupRefused as error:
            if error.errno != errno.EBUSY:
                raise
            # Version 1 sets no limit below what is held already: it was ordered and quick before this was heard of
            self.kill("memory_bytes", self.group.charged_bytes())

    def hear(self) -> bool:
        """Read one message of the host; return False when there will be no more."""
        try:
            message = self.control.recv(MESSAGE_BYTES_MAX)
        except ConnectionError:
            message = b""
        if not message and not self._is_deaf:
            self.kill()
        elif message == DONE:
            self.conclude()
        elif message:
            self.begin(message)
        return bool(message)

    def withdraw(self) -> None:
        """End it if it still waits. A host that takes it at this moment finds that it can order nothing any more."""
        self._is_deaf = True
        self.control.shutdown(socket.SHUT_RD)
        if not self.hear():
            self.kill()

    def conclude(self) -> None:
        """End a guest that has given its result, and answer at once; it is reaped later.

        A guest is one process. From the signal on it runs no more code of its own, so its figures are final.
        """
        if self._is_killed:
            return
        self.kill()
        if self._proc is None:
            return  # it was faster than its own report; the answer comes when it is reaped
        measured = totals.of_single(self.group, self.pid, self._proc)
        if not self._limits_unread:
            self._judge_end(measured)
        self._answer(0, measured)

    def kill(self, limit: str | None = None, used: int | None = None) -> None:
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
        if flags & socket.MSG_CTRUNC and self._proc is None:
            raise OSError(errno.EMFILE, "its /proc could not be received")  # unseen, it would have no limits
        has_proc = self._proc is not None
        for _, _, rights in ancillary:
            descriptors = array.array("i")
            descriptors.frombytes(rights[: len(rights) - len(rights) % descriptors.itemsize])
            self._take_proc(list(descriptors))
        if not data:
            return False
        message = reports.from_bytes(data)
        if not has_proc and message is not None and message.keys() == reports.COMPLETED.keys():
            self.private_bytes = message.pop("private_bytes")
        if message is None or "private_bytes" in message or (message and self._reported):
            self.kill()  # its first process was taken over; nothing it says counts
            return False
        self._reported |= message
        if message.get("status") == 0 and not self.is_answered:
            self._conclude_program()
        return True

    def _conclude_program(self) -> None:
        """Answer at once when a payload has ended well and nothing of it is left; its first process is reaped later.

        That one is killed. From the signal on it forks no more, so what its /proc does not show will never be there,
        and the figures are final. A payload that has failed is not answered for early, because only the reaping tells
        how large its largest process was, which may be why.
        """
        if self._is_killed or self._proc is None or self._limits_unread:
            return
        with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        if not measuring.is_alone(self._proc):
            return  # it goes down with its first process
        measured = totals.of_finished(self.group, self._meter, self._proc)
        if measured is not None:
            self._is_killed = True
            self._judge_end(measured)
            self._answer(0, measured)

    def _take_proc(self, descriptors: list[int]) -> None:
        for descriptor in descriptors:
            if self._proc is not None:
                os.close(descriptor)
                continue
            self._proc = descriptor
            if self.started_s is not None and not self._is_killed:
                self._plan_first(time.monotonic())

    def check(self, now_s: float) -> None:
        """Measure it, kill it when it is over a limit, and decide when to look again."""
        if self._limits_unread:
            self._read_limits()
        if self._meter is None and self._proc is not None:
            self._meter = Meter(self._proc, self.limits, self.lane.is_guest, self.group, self._cpu_before_us)
        if now_s >= self.deadline_s:
            self.kill("wall_ms", round((now_s - self.deadline_s) * 1000) + self.limits.wall_ms)
        if self._is_killed or self._meter is None:
            self.next_check_s = INFINITE_S if self._is_killed else self.deadline_s
            return
        sample = self._meter.sample()
        if sample.is_out_of_memory:
            self.kill("memory_bytes", self.group.peak_bytes())
        if sample.memory_bytes > self.limits.memory_bytes:
            self._look_closer(self._meter, sample)
        for limit in ("processes_count", "memory_bytes", "cpu_ms", "io_bytes"):
            used = getattr(sample, limit)
            if used > getattr(self.limits, limit):
                self.kill(limit, used)
        self._schedule.go_on(sample, self.limits)
        self._plan_next(now_s)

    def _look_closer(self, meter: Meter, sample: Sample) -> None:
        """Count shared memory once: as the control group does, or by a look that takes its time."""
        charged_bytes = self.group.charged_bytes() if self.group is not None else None
        if charged_bytes is not None and charged_bytes <= self.limits.memory_bytes:
            sample.memory_bytes = charged_bytes  # all of it is in there, and more
            return
        began_s = time.monotonic()
        meter.refine(sample)
        self._schedule.closer_look_s = time.monotonic() - began_s

    def fail(self, error: Exception) -> None:
        """Kill it because it cannot be watched any more, and say why in its record."""
        code = error.errno if isinstance(error, OSError) else 0
        self._failure = reports.failure("mechanism", step=SUPERVISION, errno=code, detail=str(error))
        self.kill()
        self.next_check_s = INFINITE_S

    def finish(self) -> None:
        """Reap it, tell the host how it ended, and give back everything it held here."""
        was_killed = self._is_killed
        self._is_killed = True  # its pidfd is closed here; the number may soon be that of another
        try:
            is_awaited = not self.is_answered and self._has_host()
            if is_awaited:
                self._take_last_reports()
            _, status, used = os.wait4(self.pid, 0)
            if is_awaited:
                measured = self._measure_last(used)
                if measured is not None and not was_killed:
                    self._judge_end(measured)
                self._answer(status, measured)
        finally:
            self.control.close()
            self.report.close()
            os.close(self.pidfd)
            if self._proc is not None:
                os.close(self._proc)
            self.group.remove()

    def _has_host(self) -> bool:
        """Whether there is still somebody to read the record; a host that has ordered a kill may wait for it."""
        poll = select.poll()
        poll.register(self.control, 0)  # POLLHUP is told unasked
        return not poll.poll(0)

    def _measure_last(self, used: resource.struct_rusage) -> Totals | None:
        try:
            return totals.of_ended(self.group, self._meter, used)
        except Exception as error:  # noqa: BLE001 - whatever it was, the end is told
            self.fail(error)
            return None

    def _judge_end(self, measured: Totals) -> None:
        """Hold against its limits what it did after the last look at it."""
        self.killed_for = records.passed_by(measured, self.limits, self._cpu_before_us) or self.killed_for

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

    def _answer(self, status: int, measured: Totals | None) -> None:
        """Tell the host how it ended, and close the connection."""
        reported = self._failure or self._reported
        record = records.record(
            status=status if self.lane.is_guest else reported.pop("status", None),
            killed_for=self.killed_for,
            reported=reported,
            wall_s=0.0 if self.started_s is None else time.monotonic() - self.started_s,
            measured=measured,
            cpu_before=self._cpu_before,
        )
        with contextlib.suppress(OSError):  # the host is gone, which is why it was killed
            self.control.send(records.to_bytes(record))
        self.control.close()
