"""The connections of one sandbox, made by the launcher before the first process is cloned.

Owns which there are and who gets which end. Standard library only; part of the guest set.
"""

from __future__ import annotations

import _socket  # its pairs are not asked about by the kernel once more, as those of `socket` are
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """Both ends of everything that leads into one sandbox.

    Attributes:
        control: The launcher's end towards the host.
        report: The launcher's end towards the first process.
        host: Descriptors for the host: control, order, standard output and error, channel of a guest.
        inside: Descriptors for the first process: report, order, standard output and error, channel of a guest. They
            are made here, so that it finds them made.
    """

    control: socket.SocketType
    report: socket.SocketType
    host: tuple[int, ...]
    inside: tuple[int, ...]

    def close_all(self) -> None:
        """Close what nobody was given."""
        self.close_own()
        close((*self.host, *self.inside))

    def close_own(self) -> None:
        """Close what would have stayed with the launcher."""
        self.control.close()
        self.report.close()


def make(*, has_channel: bool) -> Connections:
    """Return the connections of a new sandbox.

    Raises:
        OSError: Too many files are open. Nothing is left open then.
    """
    opened: list[int] = []
    try:
        control, control_host = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.append(control_host.detach())
        report, report_inside = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened.append(report_inside.detach())
        order = _socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        opened += (end.detach() for end in order)
        for _ in range(2):
            opened += os.pipe2(os.O_CLOEXEC)
        if has_channel:
            opened += (end.detach() for end in _socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM))
    except OSError:
        close(opened)
        raise
    host, inside, order_host, order_inside, stdout, stdout_inside, stderr, stderr_inside, *channel = opened
    return Connections(
        control=control,
        report=report,
        host=(host, order_host, stdout, stderr, *channel[:1]),
        inside=(inside, order_inside, stdout_inside, stderr_inside, *channel[1:]),
    )


def close(descriptors: Sequence[int]) -> None:
    """Close them all."""
    for descriptor in descriptors:
        os.close(descriptor)
