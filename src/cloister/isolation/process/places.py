"""Under which numbers the first process of a sandbox finds what leads out of it: the same ones in every sandbox.

Owns these numbers. The zygote has nothing else open, so what comes with a request takes the lowest ones, in the order
in which it was sent. Standard library only; part of the guest set.
"""

from __future__ import annotations

import _socket  # what these objects do is done in C alone, which copies fewer pages in each sandbox
import socket
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process.order import FIRST_FD, Ends

CONNECTION_FD: Final = FIRST_FD
"""Of the zygote, to the launcher."""
ENDS_FD: Final = CONNECTION_FD + 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """The numbers of one kind of sandbox.

    Attributes:
        ends: What leads out.
        entrances: The ways into its control groups.
    """

    ends: Ends
    entrances: range

    @property
    def numbers(self) -> range:
        """All of them."""
        return range(ENDS_FD, self.entrances.stop)


def received(*, has_channel: bool, entrances_count: int) -> Places:
    """Return the numbers of what has just been received: report, order, output, error, channel of a guest, ways in.

    The objects in `ends` are made here once; all that they hold is their number, under which every later sandbox has
    its own.

    Args:
        has_channel: Whether a guest is to be made.
        entrances_count: How many ways in there are.

    Raises:
        OSError: It was not received.
    """
    report, order, stdout_fd, stderr_fd, *channel = range(ENDS_FD, ENDS_FD + 4 + has_channel)
    ends = Ends(
        report=_socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, report),
        order=_socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET, 0, order),
        stdout_fd=stdout_fd,
        stderr_fd=stderr_fd,
        channel_fd=channel[0] if channel else None,
    )
    first = ENDS_FD + 4 + has_channel
    return Places(ends=ends, entrances=range(first, first + entrances_count))
