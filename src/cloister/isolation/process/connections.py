"""The connections of one sandbox, made by the launcher before it clones the first process.

Owns which there are and who gets which end. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass

from cloister.isolation.process.order import Ends


@dataclass(frozen=True, slots=True, kw_only=True)
class Connections:
    """Both ends of everything that leads into one sandbox.

    Attributes:
        control: The launcher's end towards the host.
        report: The launcher's end towards the first process.
        host: Descriptors for the host: control, order, standard output and error, channel of a guest.
        inside: The ends of the first process. They are made here, so that it finds them made.
    """

    control: socket.socket
    report: socket.socket
    host: tuple[int, ...]
    inside: Ends

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
        for kind in (socket.SOCK_SEQPACKET,) * 3 + (socket.SOCK_STREAM,) * has_channel:
            opened += [end.detach() for end in socket.socketpair(socket.AF_UNIX, kind)]
        for _ in range(2):
            opened += os.pipe2(os.O_CLOEXEC)
    except OSError:
        close(opened)
        raise
    control, control_host, report, report_inside, order_host, order_inside, *channel = opened[:-4]
    stdout, stdout_inside, stderr, stderr_inside = opened[-4:]
    return Connections(
        control=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, control),
        report=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, report),
        host=(control_host, order_host, stdout, stderr, *channel[:1]),
        inside=Ends(
            report=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, report_inside),
            order=socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, order_inside),
            stdout_fd=stdout_inside,
            stderr_fd=stderr_inside,
            channel_fd=channel[1] if channel else None,
        ),
    )


def close(descriptors: list[int] | tuple[int, ...]) -> None:
    """Close them all."""
    for descriptor in descriptors:
        os.close(descriptor)
