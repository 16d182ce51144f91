"""A Python interpreter that waits, as process 2 of its sandbox, for the script it will run.

Owns its fork and what process 1 tells it. It is forked before anyone waits for it, made to look fresh, and starts when
process 1 has finished the walls; then it confines itself just as process 1 does. Standard library only; part of the
guest set.
"""

from __future__ import annotations

import array
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process import reports, script, syscalls
from cloister.isolation.process.descriptors import sealed
from cloister.isolation.process.lanes import ORDER_INLINE_BYTES
from cloister.isolation.process.reports import REPORT_BYTES_MAX, Report
from cloister.isolation.process.spec import SandboxSpec

STREAMS: Final = 3
CONNECTION_FD: Final = 3
Confine = Callable[[bytes, list[int]], SandboxSpec | Report]
"""Takes the order as it came and the standard streams; returns what was ordered, or why the process is not confined."""


@dataclass(frozen=True, slots=True)
class WaitingInterpreter:
    """The process, as process 1 knows it.

    Attributes:
        pid: Its process id.
        connection: To it; it closes its end before the script starts.
    """

    pid: int
    connection: socket.socket

    @property
    def descriptors(self) -> set[int]:
        """What process 1 has open because of it."""
        return {self.connection.fileno()}

    def start(self, order: bytes, streams: list[int]) -> None:
        """Have it run a script.

        Args:
            order: The specification, as it came.
            streams: Standard input, output and error.
        """
        descriptors = list(streams)
        if len(order) > ORDER_INLINE_BYTES:
            descriptors.append(sealed(order))
            order = b"file"
        self.connection.sendmsg([order], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))])
        for descriptor in descriptors[STREAMS:]:
            os.close(descriptor)

    def failure(self) -> Report | None:
        """Return why it could not start, once it has ended; None when it did start."""
        self.connection.setblocking(False)
        try:
            data = self.connection.recv(REPORT_BYTES_MAX)
        except BlockingIOError:
            return None
        return reports.from_bytes(data) if data else None


def fork(confine: Confine, kept_fd: int | None) -> WaitingInterpreter:
    """Fork it.

    Args:
        confine: Confines the process, once the order is there.
        kept_fd: A descriptor of process 1 that `confine` needs; None for none.

    Raises:
        OSError: There can be no process or socket.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            _wait(theirs.detach(), confine, kept_fd)
        finally:
            os._exit(1)
    theirs.close()
    return WaitingInterpreter(pid, ours)


def _wait(connection_fd: int, confine: Confine, kept_fd: int | None) -> None:
    """Wait for the order and carry it out. Of what process 1 has open, only the connection and that one is kept."""
    if connection_fd != CONNECTION_FD:
        os.dup2(connection_fd, CONNECTION_FD, inheritable=False)
    first = CONNECTION_FD + 1
    if kept_fd is not None:
        syscalls.close_range(first, kept_fd - 1)
        first = kept_fd + 1
    syscalls.close_range(first, syscalls.LAST_FD)
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, CONNECTION_FD)
    script.look_fresh()
    space = socket.CMSG_SPACE((STREAMS + 1) * array.array("i").itemsize)
    order, ancillary, _, _ = connection.recvmsg(ORDER_INLINE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for _, _, rights in ancillary:
        descriptors.frombytes(rights)
    if not descriptors:
        return  # process 1 could not finish the walls
    if len(descriptors) > STREAMS:
        order = os.pread(descriptors[STREAMS], os.fstat(descriptors[STREAMS]).st_size, 0)
        os.close(descriptors[STREAMS])
    confined = confine(order, list(descriptors[:STREAMS]))
    if isinstance(confined, SandboxSpec):
        connection.close()
        script.run(confined)
    connection.send(reports.to_bytes(confined))
