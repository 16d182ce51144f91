"""What a VMM writes while it runs: its console, its log, its metrics.

Owns pipes that are read without waiting and whose end alone is kept. What is written faster than it is read is lost,
which VMMs do themselves, for they never wait for a reader; so a machine that floods its console costs a bounded amount.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from typing import Final

KEPT_BYTES: Final = 64 * 1024
TAKEN_BYTES_MAX: Final = 1024 * 1024
"""Read at one call at most: a writer that is as fast as the reader must not keep it."""
_F_SETPIPE_SZ: Final = 1031
"""include/uapi/linux/fcntl.h"""


class Spout:
    """The read end of a pipe.

    Args:
        descriptor: The read end, which now is this object's.
        kept_bytes: How much of the end is kept.
    """

    def __init__(self, descriptor: int, kept_bytes: int = KEPT_BYTES) -> None:
        self._descriptor, self._kept_bytes = descriptor, kept_bytes
        self._kept = bytearray()
        os.set_blocking(descriptor, False)
        with contextlib.suppress(OSError):  # the usual size does, too; users may have used up theirs
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, kept_bytes)

    @classmethod
    def fifo(cls, directory_fd: int, name: str, *, owner: int, kept_bytes: int = KEPT_BYTES) -> Spout:
        """Make a named pipe that one user may write to, and return its read end.

        Args:
            directory_fd: Where; nobody else writes to that directory yet.
            name: Its name there.
            owner: The user's id, and the group's.
            kept_bytes: How much of the end is kept.
        """
        os.mkfifo(name, 0o600, dir_fd=directory_fd)
        descriptor = os.open(name, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
        if not stat.S_ISFIFO(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise FileExistsError(f"{name} is no named pipe")
        os.fchown(descriptor, owner, owner)
        return cls(descriptor, kept_bytes)

    def drain(self) -> bytes:
        """Return the end of all that was written so far."""
        taken = 0
        while self._descriptor >= 0 and taken < TAKEN_BYTES_MAX:
            try:
                part = os.read(self._descriptor, 64 * 1024)
            except BlockingIOError:
                break
            if not part:
                break
            taken += len(part)
            self._kept += part
            del self._kept[: -self._kept_bytes]
        return bytes(self._kept)

    def text(self, chars_max: int = 4000) -> str:
        """Return the end as text for a message, without control characters but line breaks."""
        return shown(self.drain().decode("utf-8", "replace")[-chars_max:])

    def close(self) -> None:
        """Read what is left, and close it. Idempotent."""
        self.drain()
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def shown(text: str) -> str:
    """Return what something wrote as people may see it: control characters but line breaks replaced."""
    text = text.replace("\r\n", "\n")
    return "".join(char if char.isprintable() or char == "\n" else "\N{REPLACEMENT CHARACTER}" for char in text)
