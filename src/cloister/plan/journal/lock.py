"""Who drives a run now: one process at a time, and nobody once that process has ended.

Owns locks on one file of a home, a byte for each run, which the kernel lets go of however their holder ends. So a run
that is `running` in the journal and not locked was interrupted.

Source: fcntl(2), open file description locks.
"""

from __future__ import annotations

import errno
import fcntl
import os
import struct
from pathlib import Path
from typing import Final, Self

from cloister.canonical import sha256_hex
from cloister.errors import JournalError, quoted

_LOCK: Final = "hhqqi4x"
"""`struct flock` of 64-bit Linux: type, whence, start, length, process. Source: asm-generic/fcntl.h."""


class RunLock:
    """The right to drive a run, until it is released or this process ends."""

    __slots__ = ("_descriptor",)

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    @classmethod
    def take(cls, path: Path, run_id: str, *, waits: bool = False) -> Self:
        """Take the lock of a run.

        Args:
            path: The lock file of the home; made when missing.
            run_id: The run, or what else one at a time does something with.
            waits: Whether to wait for somebody who has it, in place of refusing; for what is done in a moment.

        Raises:
            JournalError: `journal.busy`: another process or thread drives it. `journal.store`: there can be no lock.
        """
        descriptor = _opened(path)
        try:
            order = fcntl.F_OFD_SETLKW if waits else fcntl.F_OFD_SETLK
            fcntl.fcntl(descriptor, order, _request(fcntl.F_WRLCK, run_id))
        except OSError as error:
            os.close(descriptor)
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                raise JournalError(
                    f"the run {quoted(run_id)} is being run right now",
                    code="journal.busy",
                    hint="wait until it ends, or end the process that runs it",
                ) from error
            raise JournalError(f"cannot lock {path}: {error.strerror}") from error
        except BaseException:  # an interrupt, while it waited
            os.close(descriptor)
            raise
        return cls(descriptor)

    def release(self) -> None:
        """Let go of it. Idempotent."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


def is_driven(path: Path, run_id: str) -> bool:
    """Return whether somebody drives a run now.

    Raises:
        JournalError: `journal.store`: that cannot be found out.
    """
    descriptor = _opened(path)
    try:
        found = fcntl.fcntl(descriptor, fcntl.F_OFD_GETLK, _request(fcntl.F_WRLCK, run_id))
    except OSError as error:
        raise JournalError(f"cannot look at the locks of {path}: {error.strerror}") from error
    finally:
        os.close(descriptor)
    return bool(struct.unpack(_LOCK, found)[0] != fcntl.F_UNLCK)


def _opened(path: Path) -> int:
    try:
        return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        raise JournalError(f"cannot open {path}: {error.strerror}", hint="check who may write there") from error


def _request(kind: int, run_id: str) -> bytes:
    return struct.pack(_LOCK, kind, os.SEEK_SET, int(sha256_hex(run_id.encode())[:15], 16), 1, 0)
