"""Process 1 of a sandbox that stays: it starts executions until its connection closes.

Owns taking orders from the host and knowing which process below is whose. The payload has the same user but cannot
trace, signal or read process 1. Each execution hangs below a warden (`warden`); a child of process 1 that is no warden
has outlived one, and is ended at once. When that fails, the session ends, and the kernel with it all that is left.
Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import contextlib
import os
import select
import signal
import socket
from typing import Final

from cloister.isolation.process import reports, subtree, warden
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.session.orders import (
    ENDED_IDLE,
    ENDED_UNCONTROLLED,
    ORDER,
    ORDER_FDS_MAX,
    ORDER_FDS_MIN,
    READY,
    Order,
)

_WAKEUP_BYTES: Final = 4096


def serve(channel: socket.socket, spec: SandboxSpec) -> None:
    """Carry out orders until the host closes the connection or none came for too long.

    Args:
        channel: Packets from the host; each is an order with its descriptors.
        spec: Of this sandbox.
    """
    last_words = _Server(channel, spec).run()
    with contextlib.suppress(OSError):  # the host is gone
        channel.send(last_words)


class _Server:
    def __init__(self, channel: socket.socket, spec: SandboxSpec) -> None:
        self._channel = channel
        self._idle_ms = spec.session.idle_ms if spec.session is not None else 0
        self._environment = spec.full_environment()
        self._wardens: dict[int, int] = {}
        """Each with a copy of its connection: it closes last, when nothing of the execution is left."""
        self._woken, write_end = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        signal.set_wakeup_fd(write_end, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, warden.woken)

    def run(self) -> bytes:
        poll = select.poll()
        poll.register(self._channel, select.POLLIN)
        poll.register(self._woken, select.POLLIN)
        self._channel.send(READY)
        while True:
            ready = {descriptor for descriptor, _ in poll.poll(None if self._wardens else self._idle_ms)}
            if not ready and not self._wardens:
                return ENDED_IDLE
            if self._woken in ready and not self._tidy():
                return ENDED_UNCONTROLLED
            if self._channel.fileno() in ready and not self._take_order():
                return b""

    def _take_order(self) -> bool:
        """Start what the host asks for; return False when it asks for nothing more."""
        space = socket.CMSG_SPACE(ORDER_FDS_MAX * array.array("i").itemsize)
        message, ancillary, flags, _ = self._channel.recvmsg(len(ORDER), space, socket.MSG_CMSG_CLOEXEC)
        descriptors = array.array("i")
        for _, _, rights in ancillary:
            descriptors.frombytes(rights)
        try:
            if message != ORDER:
                return False
            if len(descriptors) >= ORDER_FDS_MIN and not flags & socket.MSG_CTRUNC:
                self._start(list(descriptors))
        finally:
            for each in descriptors:
                os.close(each)
        return True

    def _start(self, descriptors: list[int]) -> None:
        order_fd, *rest = descriptors
        order = Order.from_bytes(os.pread(order_fd, os.fstat(order_fd).st_size, 0))
        try:
            pid = os.fork()
        except OSError as error:
            _refuse(rest[0], error)
            return
        if pid == 0:
            warden.run(order, rest, self._environment | order.environment)
        self._wardens[pid] = os.dup(rest[0])

    def _tidy(self) -> bool:
        """Take note of wardens that ended; return False when something one of them left cannot be ended."""
        with contextlib.suppress(BlockingIOError):
            os.read(self._woken, _WAKEUP_BYTES)
        is_clean, finished = True, []
        with contextlib.suppress(ChildProcessError):
            while (ended := os.waitpid(-1, os.WNOHANG))[0] != 0:
                if ended[0] in self._wardens:
                    finished.append(self._wardens.pop(ended[0]))
                    is_clean = is_clean and ended[1] == 0
        is_clean = is_clean or subtree.end_children(spared=self._wardens)
        for report_fd in finished:
            os.close(report_fd)
        return is_clean


def _refuse(report_fd: int, error: OSError) -> None:
    with (
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, os.dup(report_fd)) as report,
        contextlib.suppress(OSError),
    ):
        report.send(reports.to_bytes(reports.failure("mechanism", step="start", errno=error.errno, detail=str(error))))
