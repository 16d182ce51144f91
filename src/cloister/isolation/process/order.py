"""What is told to a sandbox that waits: which payload, and where its standard streams are.

Owns the reading of it, and the descriptors that lead out of a sandbox. Standard library only; part of the guest set.
"""

from __future__ import annotations

import array
import marshal
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloister.isolation.process import syscalls
from cloister.isolation.process.lanes import ORDER_FDS_MAX, ORDER_INLINE_BYTES
from cloister.isolation.process.spec import SandboxSpec

if TYPE_CHECKING:
    from cloister.isolation.wire_messages import Message

IN_FILE: Final = b"file"
"""Stands for an order that is in a file."""
FIRST_FD: Final = 3
"""After the standard ones."""
_SPACE: Final = socket.CMSG_SPACE(ORDER_FDS_MAX * array.array("i").itemsize)
_CLOSED_AT_EXEC: Final = int(socket.MSG_CMSG_CLOEXEC)


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be run, and the descriptors that came with it.

    Attributes:
        spec: What is to be run.
        start: For a guest its start message; None for programs.
        data: The message it came in.
        streams: Standard input, output and error; none when they are in place already.
        file_fd: The file it is in, when it did not fit the message; else None.
        handed: What the program is handed over beside its streams.
    """

    spec: SandboxSpec
    start: Message | None
    data: bytes
    streams: list[int]
    file_fd: int | None
    handed: tuple[int, ...] = ()

    @staticmethod
    def encode(spec: SandboxSpec, start: Message | None = None) -> bytes:
        """Return what `read` reads.

        Args:
            spec: What is to be run.
            start: For a guest its start message, as it came out of a JSON parser.
        """
        return marshal.dumps((spec.to_bytes(), start))

    @classmethod
    def read(cls, data: bytes, streams: list[int], more: Sequence[int]) -> Order:
        """Read what came.

        Args:
            data: The message.
            streams: Standard input, output and error; none when they are in place already.
            more: Other descriptors that came with it: the file it is in, when it is in one, after what is handed over.
        """
        handed, file_fd = (more[:-1], more[-1]) if data == IN_FILE else (more, None)
        text = data if file_fd is None else os.pread(file_fd, os.fstat(file_fd).st_size, 0)
        spec, start = marshal.loads(text)  # noqa: S302 - it comes from our own host
        return cls(SandboxSpec.from_bytes(spec), start, data, streams, file_fd, tuple(handed))

    @property
    def descriptors(self) -> list[int]:
        """All that came with it, in the order in which it is sent."""
        return [*self.streams, *self.handed, *(() if self.file_fd is None else (self.file_fd,))]

    def take_streams(self) -> None:
        """Put the streams where every program has them."""
        for number, descriptor in enumerate(self.streams):
            os.dup2(descriptor, number)
            os.close(descriptor)
        if self.file_fd is not None:
            os.close(self.file_fd)


@dataclass(slots=True, kw_only=True)
class Ends:
    """What leads out of a sandbox.

    Attributes:
        report: To the launcher.
        order: From the host; it is closed with the order.
        stdout_fd: Standard output of the payload.
        stderr_fd: Standard error of the payload.
        channel_fd: Of a guest, to the host; None for programs.
        is_spare: Whether nobody waits for the sandbox yet.
    """

    report: socket.SocketType
    order: socket.SocketType
    stdout_fd: int
    stderr_fd: int
    channel_fd: int | None
    is_spare: bool = False

    @property
    def descriptors(self) -> set[int]:
        """What stays open once the order was taken."""
        return {self.report.fileno(), *(() if self.channel_fd is None else (self.channel_fd,))}

    def take_streams(self) -> None:
        """Put the output streams where every program has them, before the order comes; its input is the launcher's."""
        for number, descriptor in ((1, self.stdout_fd), (2, self.stderr_fd)):
            os.dup2(descriptor, number)
            os.close(descriptor)

    def await_order(self, *, has_streams: bool = False) -> Order:
        """Wait for what to run. The process ends here when the host needs it no more.

        Args:
            has_streams: Whether the streams are in place already; else standard input comes with the order.
        """
        data, ancillary, _, _ = self.order.recvmsg(ORDER_INLINE_BYTES, _SPACE, _CLOSED_AT_EXEC)
        descriptors = array.array("i")
        for _, _, rights in ancillary:
            descriptors.frombytes(rights)
        if not data or not (has_streams or descriptors):
            os._exit(0)
        streams = [] if has_streams else [descriptors.pop(0), self.stdout_fd, self.stderr_fd]
        self.order.close()
        return Order.read(data, streams, descriptors)


def keep_only(kept: Iterable[int]) -> None:
    """Close every descriptor of the calling process above the standard ones but those."""
    first = FIRST_FD
    for descriptor in sorted(kept):
        if descriptor > first:
            syscalls.close_range(first, descriptor - 1)
        first = descriptor + 1
    syscalls.close_range(first, syscalls.LAST_FD)
