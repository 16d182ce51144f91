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
import socket
import threading
from typing import Any, Final

from cloister.isolation.process import connections, lanes, reports
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.reports import Report
from cloister.isolation.process.running import Aside, RunningSandbox

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
        self._aside = Aside()

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
        self._aside.close()

    def _require_open(self) -> None:
        """Refuse to go on when another thread has closed the connection, whose number may be that of another by now."""
        if self._connection.fileno() < 0:
            raise LauncherGone

    def abandon(self) -> None:
        """Close the connection in a forked process: what was given is its parent's, who may be waiting for it."""
        self._connection.close()
        self._aside.close()

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
        return int(generation), self._running(list(descriptors), int(pid))

    def _running(self, descriptors: list[int], pid: int) -> RunningSandbox:
        pidfd = descriptors.pop() if pid else None
        control, order, stdout, stderr, *channel = descriptors
        return RunningSandbox(
            # Said, not asked: each question would be a system call
            control=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, control),
            order=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, order),
            stdout=stdout,
            stderr=stderr,
            channel=socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, channel[0]) if channel else None,
            aside=self._aside,
            is_plain=self._is_plain,
            pid=pid or None,
            pidfd=pidfd,
        )


def _report(data: bytes) -> dict[str, Any]:
    report = reports.from_bytes(data)
    if report is None:
        raise LauncherGone
    return report


def _is_over(sandbox: RunningSandbox) -> bool:
    """Return whether a waiting sandbox has ended: nothing else is ever said before it is begun."""
    poll = select.poll()
    poll.register(sandbox.control, select.POLLIN)
    return bool(poll.poll(0))
