"""Opening files that others may have put something else in the place of.

Owns that one act, for files of a home and for those that are named on the command line. A pipe that nobody writes to
would be waited for without end, and a device has no end; both are refused before anything is read.
"""

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path
from typing import BinaryIO


def open_regular(path: str | Path, *, follows: bool = True, dir_fd: int | None = None) -> BinaryIO:
    """Open a regular file for reading; the check is made on the opened file, so it cannot be exchanged in between.

    Args:
        path: The file.
        follows: Whether it may be a symbolic link to one.
        dir_fd: The directory that a relative path starts from; None for the working directory.

    Raises:
        OSError: It cannot be opened, or is something else.
    """
    flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (0 if follows else os.O_NOFOLLOW)
    descriptor = os.open(path, flags, dir_fd=dir_fd)
    try:
        _require(os.fstat(descriptor))
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def require_regular(path: Path) -> None:
    """Accept a path before somebody else opens it, who would wait; what it is may change until then.

    Raises:
        OSError: It leads nowhere, or to something else than a regular file.
    """
    _require(path.stat())


def _require(facts: os.stat_result) -> None:
    if stat.S_ISDIR(facts.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if not stat.S_ISREG(facts.st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
