"""The descriptors of a guest.

Owns the table of them with its bound, what can be done with each kind, and the counts of what passes: a file that is
written stays within `file_bytes`, all that is read and written within `io_bytes`. The host's descriptors behind them
are of regular files and directories only, opened by `paths`.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import Final, TypeAlias

from cloister.errors import LimitExceeded
from cloister.isolation.wasm.wasi.abi import APPEND, RIGHT_READ, RIGHTS_ALL, RIGHTS_MUTABLE, refusal
from cloister.isolation.wasm.wasi.namespace import Spot
from cloister.isolation.wasm.wasi.streams import Input, Output
from cloister.limits import MIB, ResourceLimits

PIECE_BYTES_MAX: Final = MIB
"""Of one read or write; a guest that wants more asks again, and its deadline is looked at between."""
NUMBER_MAX: Final = 2**31 - 1


class Traffic:
    """How much passed between a guest and files.

    Args:
        limits: How much may.
    """

    def __init__(self, limits: ResourceLimits) -> None:
        self._limits = limits
        self.read_bytes = 0
        self.written_bytes = 0

    def count(self, *, read: int = 0, written: int = 0) -> None:
        """Add to it.

        Raises:
            LimitExceeded: `limit.io`.
        """
        self.read_bytes += read
        self.written_bytes += written
        used = self.read_bytes + self.written_bytes
        if used > self._limits.io_bytes:
            raise LimitExceeded(
                f"the program was ended: it read and wrote more than {self._limits.io_bytes} bytes of files",
                limit="io_bytes",
                allowed=self._limits.io_bytes,
                used=used,
                unit="bytes",
                hint="do less at once, or raise the limit io_bytes",
            )

    def require_size(self, size: int) -> None:
        """Accept the size that a file is about to have.

        Raises:
            LimitExceeded: `limit.file`.
        """
        if size > self._limits.file_bytes:
            raise LimitExceeded(
                f"the program was ended: it wrote a file of more than {self._limits.file_bytes} bytes",
                limit="file_bytes",
                allowed=self._limits.file_bytes,
                used=size,
                unit="bytes",
                hint="write less, or raise the limit file_bytes",
            )


@dataclass(slots=True)
class OpenFile:
    """A regular file.

    Attributes:
        descriptor: The host's.
        is_readable: Whether it was opened for that.
        is_writable: Whether it was opened for that.
        flags: WASI's.
        traffic: Counts what passes.
    """

    descriptor: int
    is_readable: bool
    is_writable: bool
    flags: int
    traffic: Traffic

    @property
    def rights(self) -> int:
        """What may be done with it, in WASI's bits."""
        rights = RIGHTS_ALL & ~RIGHTS_MUTABLE & ~RIGHT_READ
        return rights | (RIGHT_READ if self.is_readable else 0) | (RIGHTS_MUTABLE if self.is_writable else 0)

    def read(self, count: int, offset: int | None) -> bytes:
        """Return bytes from an offset, or from where it stands.

        Raises:
            Refused: EBADF: it was not opened for reading.
        """
        if not self.is_readable:
            raise refusal(errno.EBADF)
        wanted = min(count, PIECE_BYTES_MAX)
        data = os.read(self.descriptor, wanted) if offset is None else os.pread(self.descriptor, wanted, offset)
        self.traffic.count(read=len(data))
        return data

    def write(self, data: bytes, offset: int | None) -> int:
        """Write bytes at an offset, or where it stands; return how many were written.

        Raises:
            Refused: EBADF: it was not opened for writing.
            LimitExceeded: `limit.file`, `limit.io`.
        """
        self.require_writable()
        data = data[:PIECE_BYTES_MAX]
        self.traffic.require_size(self._end_of(len(data), offset))
        self.traffic.count(written=len(data))
        return os.write(self.descriptor, data) if offset is None else os.pwrite(self.descriptor, data, offset)

    def allocate(self, offset: int, length: int) -> None:
        """Make it at least as large as that, with room on the disk, which counts as written.

        Raises:
            Refused: EBADF: it was not opened for writing.
            LimitExceeded: `limit.file`, `limit.io`.
        """
        self.require_writable()
        self.traffic.require_size(offset + length)
        self.traffic.count(written=length)
        os.posix_fallocate(self.descriptor, offset, length)

    def _end_of(self, count: int, offset: int | None) -> int:
        """Return where a write would end."""
        if self.flags & APPEND:  # whatever the offset: so does Linux, see pwrite(2)
            return os.fstat(self.descriptor).st_size + count
        if offset is not None:
            return offset + count
        return os.lseek(self.descriptor, 0, os.SEEK_CUR) + count

    def require_writable(self) -> None:
        """Go on only when it was opened for writing.

        Raises:
            Refused: EBADF.
        """
        if not self.is_writable:
            raise refusal(errno.EBADF)


@dataclass(slots=True)
class OpenDirectory:
    """A directory.

    Attributes:
        spot: Where it is; its descriptor stays open as long as this, unless it is a granted place itself.
        owns: Whether the descriptor is closed with it.
        name: What the guest knows it by from the start; None for one that it opened itself.
        entries: What was in it when its listing was begun: cookie by cookie inode, type and name.
        entries_bytes: About how much memory that takes.
    """

    spot: Spot
    owns: bool
    name: bytes | None = None
    entries: list[tuple[int, int, bytes]] | None = None
    entries_bytes: int = 0

    @property
    def rights(self) -> int:
        """What may be done in it, in WASI's bits."""
        return RIGHTS_ALL if self.spot.is_writable else RIGHTS_ALL & ~RIGHTS_MUTABLE


Descriptor: TypeAlias = Input | Output | OpenFile | OpenDirectory


class Descriptors:
    """The table of one guest. Close it after use.

    Args:
        limits: How many there may be.
    """

    def __init__(self, limits: ResourceLimits) -> None:
        self._count_max = limits.open_files_count
        self._table: dict[int, Descriptor] = {}

    def __getitem__(self, number: int) -> Descriptor:
        try:
            return self._table[number]
        except KeyError:
            raise refusal(errno.EBADF) from None

    @property
    def entries_bytes(self) -> int:
        """How much memory the listings take that are under way."""
        return sum(each.entries_bytes for each in self._table.values() if isinstance(each, OpenDirectory))

    def require_room(self) -> None:
        """Go on only when there may be another one.

        Raises:
            Refused: EMFILE.
        """
        if len(self._table) >= self._count_max:
            raise refusal(errno.EMFILE)

    def add(self, opened: Descriptor) -> int:
        """Put one in the table under the lowest free number, and return that."""
        number = 0
        while number in self._table:
            number += 1
        self._table[number] = opened
        return number

    def file(self, number: int) -> OpenFile:
        """Return a file.

        Raises:
            Refused: EBADF: there is none of that number; EISDIR: it is a directory; ESPIPE: it is a stream.
        """
        found = self[number]
        if isinstance(found, OpenFile):
            return found
        raise refusal(errno.EISDIR if isinstance(found, OpenDirectory) else errno.ESPIPE)

    def directory(self, number: int) -> OpenDirectory:
        """Return a directory.

        Raises:
            Refused: EBADF: there is none of that number; ENOTDIR: it is something else.
        """
        found = self[number]
        if isinstance(found, OpenDirectory):
            return found
        raise refusal(errno.ENOTDIR)

    def preopened(self) -> list[OpenDirectory]:
        """Return the directories that the guest knows by a name from the start."""
        return [each for each in self._table.values() if isinstance(each, OpenDirectory) and each.name is not None]

    def close_one(self, number: int) -> None:
        """Close one.

        Raises:
            Refused: EBADF.
        """
        opened = self[number]
        del self._table[number]
        _close(opened)

    def move(self, number: int, to: int) -> None:
        """Give one the number of another, which is closed.

        Raises:
            Refused: EBADF: one of them is not there.
        """
        moved, replaced = self[number], self[to]
        if number != to:
            del self._table[number]
            self._table[to] = moved
            _close(replaced)

    def close(self) -> None:
        """Close all. Idempotent."""
        while self._table:
            _close(self._table.popitem()[1])


def _close(opened: Descriptor) -> None:
    if isinstance(opened, OpenFile):
        os.close(opened.descriptor)
        opened.descriptor = -1  # a stream of a component may still have it, and another file gets the number
    elif isinstance(opened, OpenDirectory) and opened.owns and opened.spot.descriptor >= 0:
        os.close(opened.spot.descriptor)
