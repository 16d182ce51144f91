"""A Python interpreter that waits, as process 2 of its sandbox, for the script it will run.

Owns its fork and what process 1 tells it. It is forked before anyone waits for it, made to look fresh, and starts when
process 1 has finished the walls; then it confines itself just as process 1 does. Standard library only; part of the
guest set.
"""

from __future__ import annotations

import array
import contextlib
import os
import socket
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process import reports, script
from cloister.isolation.process.lanes import ORDER_INLINE_BYTES
from cloister.isolation.process.order import Order, keep_only
from cloister.isolation.process.reports import REPORT_BYTES_MAX, Report

STREAMS: Final = 3
FINISHED: Final = b"finished"
Confine = Callable[[int], Report | None]
"""Confines the process by the walls that process 1 has finished; takes the descriptor of the connection to that one,
and returns why it could not be done, or None."""
Ready = Callable[[Order], Report | None]
"""Makes the last things ready for an order; returns why it could not be done, or None."""


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

    def finished(self) -> None:
        """Say that the walls are finished."""
        self._say(FINISHED, [])

    def start(self, order: Order) -> None:
        """Have it run a script."""
        self._say(order.data, order.descriptors)

    def _say(self, message: bytes, descriptors: list[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        with contextlib.suppress(ConnectionError):  # it has ended, and has said why
            self.connection.sendmsg([message], rights)

    def failure(self) -> Report | None:
        """Return why it could not start, once it has ended; None when it did start."""
        self.connection.setblocking(False)
        try:
            data = self.connection.recv(REPORT_BYTES_MAX)
        except BlockingIOError:
            return None
        return reports.from_bytes(data) if data else None


def fork(confine: Confine, ready: Ready, kept_fd: int | None) -> WaitingInterpreter:
    """Fork it.

    Args:
        confine: Called when the walls are finished.
        ready: Called when the order is there.
        kept_fd: A descriptor of process 1 that `confine` needs; None for none.

    Raises:
        OSError: There can be no process or socket.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        try:
            keep_only((theirs.fileno(),) if kept_fd is None else (theirs.fileno(), kept_fd))
            script.look_fresh()
            _live(theirs, confine, ready)
        finally:
            os._exit(1)
    theirs.close()
    return WaitingInterpreter(pid, ours)


def _live(connection: socket.socket, confine: Confine, ready: Ready) -> None:
    """Be confined, wait for the order, and carry it out. It returns only when that cannot be done."""
    if connection.recv(len(FINISHED)) != FINISHED:
        return  # process 1 could not finish the walls
    failure = confine(connection.fileno())
    if failure is None:
        order = _await_order(connection)
        if order is None:
            return
        failure = ready(order)
        if failure is None:
            connection.close()
            script.run(order.spec)
    connection.send(reports.to_bytes(failure))


def _await_order(connection: socket.socket) -> Order | None:
    space = socket.CMSG_SPACE((STREAMS + 1) * array.array("i").itemsize)
    data, ancillary, _, _ = connection.recvmsg(ORDER_INLINE_BYTES, space, socket.MSG_CMSG_CLOEXEC)
    descriptors = array.array("i")
    for _, _, rights in ancillary:
        descriptors.frombytes(rights)
    if not descriptors:
        return None
    return Order.read(data, list(descriptors[:STREAMS]), descriptors[STREAMS:])
