"""The numbers and layouts of WASI preview 1.

Owns tables, no behaviour. Source: WASI repository, `phases/snapshot/witx/wasi_snapshot_preview1.witx` and
`typenames.witx` of that snapshot.
"""

from __future__ import annotations

import errno
import stat
import struct
from collections.abc import Mapping
from typing import Final

MODULE: Final = "wasi_snapshot_preview1"

_ERRORS: Final = (
    "SUCCESS E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EAFNOSUPPORT EAGAIN EALREADY EBADF EBADMSG EBUSY ECANCELED ECHILD "
    "ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDESTADDRREQ EDOM EDQUOT EEXIST EFAULT EFBIG EHOSTUNREACH EIDRM "
    "EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR ELOOP EMFILE EMLINK EMSGSIZE EMULTIHOP ENAMETOOLONG ENETDOWN "
    "ENETRESET ENETUNREACH ENFILE ENOBUFS ENODEV ENOENT ENOEXEC ENOLCK ENOLINK ENOMEM ENOMSG ENOPROTOOPT ENOSPC "
    "ENOSYS ENOTCONN ENOTDIR ENOTEMPTY ENOTRECOVERABLE ENOTSOCK ENOTSUP ENOTTY ENXIO EOVERFLOW EOWNERDEAD EPERM EPIPE "
    "EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EROFS ESPIPE ESRCH ESTALE ETIMEDOUT ETXTBSY EXDEV"
)
NOT_CAPABLE: Final = 76
"""What has no name in other systems: it lies outside what was granted."""

TO_WASI: Final[Mapping[int, int]] = {
    getattr(errno, name): number for number, name in enumerate(_ERRORS.split()) if hasattr(errno, name)
}
"""The kernel's number of an error to WASI's."""
FROM_WASI: Final[Mapping[int, int]] = {**{ours: theirs for theirs, ours in TO_WASI.items()}, NOT_CAPABLE: errno.EPERM}

FILE_TYPES: Final[Mapping[int, int]] = {
    stat.S_IFBLK: 1, stat.S_IFCHR: 2, stat.S_IFDIR: 3, stat.S_IFREG: 4, stat.S_IFSOCK: 6, stat.S_IFLNK: 7,
}  # fmt: skip
UNKNOWN_TYPE: Final = 0
CHARACTER_DEVICE, DIRECTORY, FILE, LINK = 2, 3, 4, 7

RIGHT_READ: Final = 1 << 1
RIGHT_WRITE: Final = 1 << 6
RIGHTS_ALL: Final = (1 << 30) - 1
RIGHTS_MUTABLE: Final = sum(1 << bit for bit in (0, 4, 6, 8, 9, 10, 11, 12, 16, 17, 19, 20, 22, 23, 24, 25, 26))
"""Everything that changes files or directories."""

FOLLOW: Final = 1
"""Lookup flag."""
CREATE, ONLY_DIRECTORY, EXCLUSIVE, TRUNCATE = 1, 2, 4, 8
"""Flags of `path_open`."""
APPEND, DATA_SYNC, NONBLOCK, READ_SYNC, SYNC = 1, 2, 4, 8, 16
"""Flags of a descriptor."""
SET_ATIME, SET_ATIME_NOW, SET_MTIME, SET_MTIME_NOW = 1, 2, 4, 8

REALTIME, MONOTONIC, PROCESS_TIME, THREAD_TIME = range(4)
EVENT_CLOCK, EVENT_READ, EVENT_WRITE = range(3)
ABSOLUTE: Final = 1
"""Flag of a clock subscription."""

FILESTAT: Final = struct.Struct("<QQB7xQQQQQ")
"""Device, inode, type, links, size, and the times of access, change of data and change of status in nanoseconds."""
FDSTAT: Final = struct.Struct("<BxH4xQQ")
"""Type, flags, rights, and rights of what is opened through it."""
DIRENT: Final = struct.Struct("<QQIB3x")
"""Cookie of the next, inode, length of the name that follows, type."""
PRESTAT: Final = struct.Struct("<B3xI")
SUBSCRIPTION: Final = struct.Struct("<QB7xI4xQQH6x")
"""User data, kind; for clocks the clock, time, precision and flags. Of descriptors the number is where the clock is."""
EVENT: Final = struct.Struct("<QHB5xQH6x")
"""User data, error, kind, bytes ready, flags."""
VECTOR: Final = struct.Struct("<II")
VECTORS_MAX: Final = 1_024


class Refused(Exception):
    """An answer of WASI other than success.

    Attributes:
        number: WASI's number.
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def refusal(kernel_number: int) -> Refused:
    """Return the refusal for an error of the kernel's."""
    return Refused(TO_WASI.get(kernel_number, TO_WASI[errno.EIO]))


def file_type(mode: int) -> int:
    """Return WASI's number for what a file is."""
    return FILE_TYPES.get(stat.S_IFMT(mode), UNKNOWN_TYPE)
