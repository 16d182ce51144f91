"""A sandbox that the host uses: its ends of the connections, and how it ends.

Owns telling the launcher that a sandbox is used, ending a guest that has given its result, and when connections are
closed that are of no use any more.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time
from collections import deque
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from cloister.isolation.process import descriptors, lanes, measuring
from cloister.isolation.process.processor_time import NO_TIME, CpuTime, cpu_of

END_TIMEOUT_S: Final = 5.0
ASIDE_MAX: Final = 12
"""Connections that may lie aside: of four guests that ended at the same time."""


class Aside:
    """Connections that are of no use any more, to be closed when that makes nobody wait. For several threads.

    At each that is closed the kernel may wake up a worker on this processor. When that one is through, it may be the
    guest that was just killed that goes on, taking its memory apart, and not this process: a millisecond or two. Seen
    in traces of the scheduler; probably its collector of sockets in flight (net/unix/garbage.c, `unix_schedule_gc`).
    """

    def __init__(self) -> None:
        self._connections: deque[socket.socket] = deque()
        self._is_closed = False

    def put(self, *connections: socket.socket) -> None:
        """Take connections that nobody uses; all are closed at once after `close`, or when they become too many."""
        self._connections.extend(connections)
        if self._is_closed or len(self._connections) > ASIDE_MAX:
            self.clear()

    def clear(self) -> None:
        """Close what is there."""
        with contextlib.suppress(IndexError):  # another thread may have taken the last
            while True:
                self._connections.pop().close()

    def close(self) -> None:
        """Close what is there, and from now on what comes."""
        self._is_closed = True
        self.clear()


@dataclass(slots=True, kw_only=True)
class RunningSandbox:
    """The host's ends of one sandbox. Leaving its context ends the sandbox and closes them.

    Attributes:
        control: Closing it kills the sandbox; the record of its end arrives on it.
        order: What is to run is told on it, once; then it is closed.
        stdout: Read end.
        stderr: Read end.
        channel: Connection to a forked guest; None for programs.
        aside: Where connections go that are of no use any more.
        is_plain: Whether a guest in it has nothing of the host's that it would have to give back first.
        pid: Its first process; None when that was not made yet when it was taken.
        pidfd: Descriptor of that process, or None.
        is_over: Whether it has ended, and how is known.
    """

    control: socket.socket
    order: socket.socket
    stdout: int
    stderr: int
    channel: socket.socket | None
    aside: Aside
    is_plain: bool = False
    pid: int | None = None
    pidfd: int | None = None
    is_over: bool = False
    _begun_s: float = 0.0
    _cpu_before: CpuTime = NO_TIME
    _status_fd: int | None = None
    _is_ended_here: bool = False

    def begin(self, limits: bytes) -> None:
        """Tell the launcher that it is used from now on, within limits.

        Raises:
            ConnectionError: It was just withdrawn.
        """
        self._begun_s = time.monotonic()
        if self.pid is not None:
            with contextlib.suppress(OSError):  # it has failed meanwhile, and the record will say why
                self._cpu_before = cpu_of(self.pid)
        self.control.send(limits)

    def prepare_conclusion(self) -> None:
        """Do, while the guest works, what would take time later: open what its figures are read from, and tidy up."""
        if self.is_plain and self.pid is not None:
            with contextlib.suppress(OSError):  # it has ended by itself, and the record will say why
                self._status_fd = os.open(f"/proc/{self.pid}/status", os.O_RDONLY | os.O_CLOEXEC)
        self.aside.clear()

    def kill(self) -> None:
        """Have everything of the sandbox killed; its record still arrives."""
        with contextlib.suppress(OSError):  # the launcher is gone, and the sandbox with it
            self.control.shutdown(socket.SHUT_WR)

    def conclude(self) -> dict[str, Any] | None:
        """End a guest that has given its result.

        A guest is one process. From the signal on it runs no more code of its own, so the figures taken just before are
        final, and there is nothing to wait for.

        Returns:
            The record of its end; None when the launcher will send it.
        """
        if self.pid is None or self.pidfd is None or self._status_fd is None:
            self._have_concluded()
            return None
        try:
            cpu, peak_bytes = cpu_of(self.pid), measuring.peak_bytes_in(self._status_fd)
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except OSError:  # it has ended by itself, or it cannot be measured from here
            self._have_concluded()
            return None
        self.is_over = self._is_ended_here = True
        return {
            "status": 0,
            "wall_us": round((time.monotonic() - self._begun_s) * 1e6),
            "cpu_user_us": max(0, cpu.user_us - self._cpu_before.user_us),
            "cpu_system_us": max(0, cpu.system_us - self._cpu_before.system_us),
            "memory_peak_bytes": peak_bytes,
        }

    def _have_concluded(self) -> None:
        """Have the launcher end it; a guest for plans would wait for that to its deadline."""
        with contextlib.suppress(OSError):  # it has ended
            self.control.send(lanes.DONE)

    def close(self) -> None:
        """Close every end; the connections of one that was ended from here while the next guest works."""
        self.aside.put(self.control, self.order, *([] if self.channel is None else [self.channel]))
        if not self._is_ended_here:
            self.aside.clear()
        for descriptor in (self.stdout, self.stderr, self.pidfd, self._status_fd):
            if descriptor is not None:
                os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not self.is_over:
                self.kill()
                # The launcher closes its end last; that it is gone or stuck the next request will notice
                descriptors.await_end(self.control, END_TIMEOUT_S)
        finally:
            self.close()
