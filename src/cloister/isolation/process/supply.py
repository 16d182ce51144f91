"""The host's end of a lane: it takes the next waiting sandbox, or asks for one.

Owns the messages with the launcher and the question whether what waits is still good: alive, and made after the host's
mounts changed last. Several threads may take at once.
"""

from __future__ import annotations

import array
import contextlib
import errno
import os
import select
import signal
import socket
import threading
import time
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final, Self

from cloister.isolation.process import connections, lanes, measuring, reports
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.processor_time import NO_TIME, CpuTime, cpu_of
from cloister.isolation.process.reports import Report

END_TIMEOUT_S: Final = 5.0

_RIGHTS_BYTES: Final = socket.CMSG_SPACE(lanes.HOST_FDS_MAX * array.array("i").itemsize)
# As numbers: each operation on two flags of an enumeration makes a third
_CLOSE_ON_EXEC: Final = int(socket.MSG_CMSG_CLOEXEC)
_AT_ONCE: Final = int(socket.MSG_DONTWAIT)
_CUT: Final = int(socket.MSG_CTRUNC)


class LauncherGone(Exception):
    """The other end is closed."""


class Refused(Exception):
    """The launcher could not even begin to make a sandbox.

    Args:
        report: Why, as the launcher reports it.
    """

    def __init__(self, report: Report) -> None:
        super().__init__(report)
        self.report = report


class MountTable:
    """Whether the mounts of this process have changed since it was asked last.

    Source: proc_pid_mountinfo(5): a change makes the open file readable with POLLPRI once.
    """

    def __init__(self) -> None:
        self._file = open("/proc/self/mountinfo", "rb")  # noqa: PTH123, SIM115 - open until it is closed
        self._poll = select.poll()
        self._poll.register(self._file, select.POLLPRI)

    def has_changed(self) -> bool:
        """Return whether there was a change."""
        return bool(self._poll.poll(0))

    def close(self) -> None:
        """Close the file."""
        self._file.close()


@dataclass(slots=True, kw_only=True)
class RunningSandbox:
    """The host's ends of one sandbox. Leaving its context ends the sandbox and closes them.

    Attributes:
        control: Closing it kills the sandbox; the record of its end arrives on it.
        order: What is to run is told on it, once; then it is closed.
        stdout: Read end.
        stderr: Read end.
        channel: Connection to a forked guest; None for programs.
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
    is_plain: bool = False
    pid: int | None = None
    pidfd: int | None = None
    is_over: bool = False
    _begun_s: float = 0.0
    _cpu_before: CpuTime = NO_TIME
    _status_fd: int | None = None

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
        """Open, while the guest works, what its figures will be read from when it has given its result."""
        if self.is_plain and self.pid is not None:
            with contextlib.suppress(OSError):  # it has ended by itself, and the record will say why
                self._status_fd = os.open(f"/proc/{self.pid}/status", os.O_RDONLY | os.O_CLOEXEC)

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
        self.is_over = True
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
        """Close every end."""
        self.control.close()
        self.order.close()
        os.close(self.stdout)
        os.close(self.stderr)
        if self.channel is not None:
            self.channel.close()
        for descriptor in (self.pidfd, self._status_fd):
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
                self._await_end()
        finally:
            self.close()

    def _await_end(self) -> None:
        """Wait until the sandbox has ended: the launcher closes its end of the connection last."""
        self.control.settimeout(END_TIMEOUT_S)
        with contextlib.suppress(OSError):  # the launcher is gone or stuck, which the next request will notice
            while self.control.recv(lanes.MESSAGE_BYTES_MAX):
                pass


class Supply:
    """One lane.

    Args:
        connection: To the launcher.
        lane: Which one.
    """

    def __init__(self, connection: socket.socket, lane: Lane) -> None:
        self._connection = connection
        self._is_plain = lane is Lane.PLAN
        self._lock = threading.Lock()
        self._generation = 0

    def await_word(self, word: bytes, timeout_s: float) -> str | None:
        """Wait for the launcher's first word; return None when it is the one expected, else what came in its place."""
        self._connection.settimeout(timeout_s)
        try:
            data = self._connection.recv(len(word))
        except OSError as error:
            return str(error)
        self._connection.settimeout(None)
        return None if data == word else "it ended at once"

    def renew(self) -> None:
        """Have all that wait thrown away.

        Raises:
            LauncherGone: It has ended.
        """
        with self._lock:
            self._require_open()
            self._generation += 1
            self._say(lanes.RENEW + str(self._generation).encode())

    def take(self) -> RunningSandbox:
        """Return a sandbox that waits, or the one that is made now. The caller closes it.

        Raises:
            LauncherGone: It has ended.
            Refused: None can be made.
            OSError: Too many files are open here.
        """
        # One at a time, to the end: what one thread asked for must not be taken by another that did not ask
        with self._lock:
            self._require_open()
            while (found := self._next_waiting()) is not None:
                if found[0] >= self._generation and not _is_over(found[1]):
                    return found[1]
                found[1].close()
            while True:
                self._say(lanes.MAKE)
                generation, sandbox = self._receive()
                if generation >= self._generation:
                    return sandbox
                sandbox.close()

    def close(self) -> None:
        """Close the connection, and what was given and not taken. A thread that waits on it finds the launcher gone."""
        with contextlib.suppress(OSError):  # the launcher is gone, and everybody knows
            self._connection.shutdown(socket.SHUT_RDWR)
        with self._lock:
            with contextlib.suppress(OSError, LauncherGone):
                while (found := self._next_waiting()) is not None:
                    found[1].close()
            self._connection.close()

    def _require_open(self) -> None:
        """Refuse to go on when another thread has closed the connection, whose number may be that of another by now."""
        if self._connection.fileno() < 0:
            raise LauncherGone

    def abandon(self) -> None:
        """Close the connection in a forked process: what was given is its parent's, who may be waiting for it."""
        self._connection.close()

    def _say(self, message: bytes) -> None:
        try:
            self._connection.send(message)
        except ConnectionError as error:
            raise LauncherGone from error

    def _next_waiting(self) -> tuple[int, RunningSandbox] | None:
        """Return the next sandbox that waits with its generation; None when there is none."""
        while True:
            try:
                return self._receive(_AT_ONCE)
            except BlockingIOError:
                return None
            except Refused:
                continue  # the answer to somebody who took one that had come meanwhile

    def _receive(self, flags: int = 0) -> tuple[int, RunningSandbox]:
        try:
            message, ancillary, received, _ = self._connection.recvmsg(
                lanes.MESSAGE_BYTES_MAX, _RIGHTS_BYTES, flags | _CLOSE_ON_EXEC
            )
        except ConnectionError as error:
            raise LauncherGone from error
        descriptors = array.array("i")
        for _, _, rights in ancillary:
            descriptors.frombytes(rights)
        if not message:
            raise LauncherGone
        if message.startswith(lanes.REFUSED):
            raise Refused(_report(message[len(lanes.REFUSED) :]))
        if received & _CUT:
            connections.close(tuple(descriptors))
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        generation, pid = message[len(lanes.SANDBOX) :].split()
        return int(generation), _running(list(descriptors), int(pid), is_plain=self._is_plain)


def _report(data: bytes) -> dict[str, Any]:
    report = reports.from_bytes(data)
    if report is None:
        raise LauncherGone
    return report


def _running(descriptors: list[int], pid: int, *, is_plain: bool) -> RunningSandbox:
    pidfd = descriptors.pop() if pid else None
    control, order, stdout, stderr, *channel = descriptors
    return RunningSandbox(
        # Said, not asked: each question would be a system call
        control=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, control),
        order=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, order),
        stdout=stdout,
        stderr=stderr,
        channel=socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, channel[0]) if channel else None,
        is_plain=is_plain,
        pid=pid or None,
        pidfd=pidfd,
    )


def _is_over(sandbox: RunningSandbox) -> bool:
    """Return whether a waiting sandbox has ended: nothing else is ever said before it is begun."""
    poll = select.poll()
    poll.register(sandbox.control, select.POLLIN)
    return bool(poll.poll(0))
