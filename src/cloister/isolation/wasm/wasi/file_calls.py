"""The functions of WASI that take a descriptor.

Owns the way between numbers in a guest's memory and what is behind a descriptor.
"""

from __future__ import annotations

import errno
import fcntl
import os
from typing import Final

from cloister.isolation.wasm.store import GuestMemory
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.abi import refusal
from cloister.isolation.wasm.wasi.descriptors import Descriptors, OpenDirectory, OpenFile
from cloister.isolation.wasm.wasi.listing import entries_of
from cloister.isolation.wasm.wasi.namespace import facts_of
from cloister.isolation.wasm.wasi.paths import chosen_times
from cloister.isolation.wasm.wasi.streams import Input, Output
from cloister.isolation.wasm.wasi.times import Times
from cloister.limits import MIB, ResourceLimits

_WORD: Final = 2**64 - 1
OFFSET_MAX: Final = 2**63 - 1
"""Of a file. Source: `off_t`, 64 bits with a sign."""


class FileCalls:
    """These functions for one guest.

    Args:
        descriptors: Its table.
        times: Say what is now, for the times of files.
        limits: How long a listing may be.
    """

    def __init__(self, *, descriptors: Descriptors, times: Times, limits: ResourceLimits) -> None:
        self._descriptors = descriptors
        self._times = times
        self._limits = limits

    def fd_advise(self, _: GuestMemory, number: int, *__: int) -> None:
        """Take advice on how a file is going to be read, and do nothing with it."""
        self._descriptors.file(number)

    def fd_allocate(self, _: GuestMemory, number: int, offset: int, length: int) -> None:
        """Make a file at least so large."""
        self._descriptors.file(number).allocate(offset_of(offset), offset_of(length))

    def fd_close(self, _: GuestMemory, number: int) -> None:
        """Close a descriptor."""
        self._descriptors.close_one(number)

    def fd_datasync(self, _: GuestMemory, number: int) -> None:
        """Make the data of a file durable."""
        os.fdatasync(self._descriptors.file(number).descriptor)

    def fd_sync(self, _: GuestMemory, number: int) -> None:
        """Make a file or directory durable."""
        found = self._descriptors[number]
        if isinstance(found, OpenFile):
            os.fsync(found.descriptor)
        elif isinstance(found, OpenDirectory):
            sync_directory(found)

    def fd_fdstat_get(self, memory: GuestMemory, number: int, result_at: int) -> None:
        """Tell what a descriptor is."""
        found = self._descriptors[number]
        if isinstance(found, OpenFile):
            facts = (abi.file_type(os.fstat(found.descriptor).st_mode), found.flags, found.rights, 0)
        elif isinstance(found, OpenDirectory):
            facts = (abi.DIRECTORY, 0, found.rights, abi.RIGHTS_ALL)
        else:
            facts = (abi.CHARACTER_DEVICE, 0, abi.RIGHT_READ if isinstance(found, Input) else abi.RIGHT_WRITE, 0)
        memory.write(result_at, abi.FDSTAT.pack(*facts))

    def fd_fdstat_set_flags(self, _: GuestMemory, number: int, flags: int) -> None:
        """Make a file one that is appended to, or no more."""
        file = self._descriptors.file(number)
        if flags & ~(abi.APPEND | abi.NONBLOCK):
            raise refusal(errno.ENOTSUP)
        kernel = fcntl.fcntl(file.descriptor, fcntl.F_GETFL) & ~os.O_APPEND
        fcntl.fcntl(file.descriptor, fcntl.F_SETFL, kernel | (os.O_APPEND if flags & abi.APPEND else 0))
        file.flags = flags

    def fd_fdstat_set_rights(self, _: GuestMemory, number: int, *__: int) -> None:
        """Refuse: what a descriptor may do is decided when it is opened."""
        self._descriptors[number]
        raise refusal(errno.ENOTSUP)

    def fd_filestat_get(self, memory: GuestMemory, number: int, result_at: int) -> None:
        """Tell about a file."""
        found = self._descriptors[number]
        if isinstance(found, OpenFile):
            put_facts(memory, result_at, os.fstat(found.descriptor))
        elif isinstance(found, OpenDirectory):
            put_facts(memory, result_at, facts_of(found.spot))
        else:
            memory.write(result_at, abi.FILESTAT.pack(0, 0, abi.CHARACTER_DEVICE, 1, 0, 0, 0, 0))

    def fd_filestat_set_size(self, _: GuestMemory, number: int, size: int) -> None:
        """Make a file that large."""
        file = self._descriptors.file(number)
        file.require_writable()
        file.traffic.require_size(offset_of(size))
        os.ftruncate(file.descriptor, size)

    def fd_filestat_set_times(self, _: GuestMemory, number: int, access: int, change: int, which: int) -> None:
        """Set when a file was read and changed."""
        file = self._descriptors.file(number)
        file.require_writable()
        times = chosen_times(os.fstat(file.descriptor), asked_times(self._times, access, change, which))
        os.utime(file.descriptor, ns=times)

    def fd_prestat_get(self, memory: GuestMemory, number: int, result_at: int) -> None:
        """Tell how long the name is of a directory that was there from the start."""
        memory.write(result_at, abi.PRESTAT.pack(0, len(self._preopened(number))))

    def fd_prestat_dir_name(self, memory: GuestMemory, number: int, place: int, length: int) -> None:
        """Give that name."""
        name = self._preopened(number)
        if length < len(name):
            raise refusal(errno.ENAMETOOLONG)
        memory.write(place, name)

    def _preopened(self, number: int) -> bytes:
        found = self._descriptors[number]
        if not isinstance(found, OpenDirectory) or found.name is None:
            raise refusal(errno.EBADF)
        return found.name

    def fd_read(self, memory: GuestMemory, number: int, vectors_at: int, count: int, result_at: int) -> None:
        """Read."""
        found = self._descriptors[number]
        memory.write_int(result_at, self._read(memory, found, vectors_at, count, None), 4)

    def fd_pread(
        self, memory: GuestMemory, number: int, vectors_at: int, count: int, offset: int, result_at: int
    ) -> None:
        """Read at an offset."""
        found = self._descriptors.file(number)
        memory.write_int(result_at, self._read(memory, found, vectors_at, count, offset_of(offset)), 4)

    @staticmethod
    def _read(memory: GuestMemory, found: object, vectors_at: int, count: int, offset: int | None) -> int:
        vectors = _vectors(memory, vectors_at, count)
        wanted = sum(length for _, length in vectors)
        for place, length in vectors:
            memory.require(place, length)
        if isinstance(found, Input):
            data = found.read(min(wanted, MIB))
        elif isinstance(found, OpenFile):
            data = found.read(wanted, offset)
        else:
            raise refusal(errno.EISDIR if isinstance(found, OpenDirectory) else errno.EBADF)
        rest = data
        for place, length in vectors:
            memory.write(place, rest[:length])
            rest = rest[length:]
        return len(data)

    def fd_write(self, memory: GuestMemory, number: int, vectors_at: int, count: int, result_at: int) -> None:
        """Write."""
        found = self._descriptors[number]
        if isinstance(found, Input):
            raise refusal(errno.EBADF)
        if isinstance(found, OpenDirectory):
            raise refusal(errno.EISDIR)
        data = _gathered(memory, vectors_at, count)
        memory.require(result_at, 4)
        written = found.write(data) if isinstance(found, Output) else found.write(data, None)
        memory.write_int(result_at, written, 4)

    def fd_pwrite(
        self, memory: GuestMemory, number: int, vectors_at: int, count: int, offset: int, result_at: int
    ) -> None:
        """Write at an offset."""
        found = self._descriptors.file(number)
        memory.write_int(result_at, found.write(_gathered(memory, vectors_at, count), offset_of(offset)), 4)

    def fd_readdir(
        self, memory: GuestMemory, number: int, place: int, length: int, cookie: int, result_at: int
    ) -> None:
        """List a directory."""
        entries = entries_of(self._descriptors, number, cookie, self._limits)
        packed = bytearray()
        for position in range(cookie, len(entries)):
            inode, kind, name = entries[position]
            packed += abi.DIRENT.pack(position + 1, inode, len(name), kind) + name
            if len(packed) >= length:
                break
        memory.write(place, bytes(packed[:length]))
        memory.write_int(result_at, min(len(packed), length), 4)

    def fd_renumber(self, _: GuestMemory, number: int, to: int) -> None:
        """Give a descriptor the number of another."""
        self._descriptors.move(number, to)

    def fd_seek(self, memory: GuestMemory, number: int, offset: int, whence: int, result_at: int) -> None:
        """Go to another place in a file."""
        file = self._descriptors.file(number)
        if whence > 2:
            raise refusal(errno.EINVAL)
        signed = offset - 2**64 if offset > OFFSET_MAX else offset
        memory.write_int(result_at, os.lseek(file.descriptor, signed, whence), 8)

    def fd_tell(self, memory: GuestMemory, number: int, result_at: int) -> None:
        """Tell where a file stands."""
        memory.write_int(result_at, os.lseek(self._descriptors.file(number).descriptor, 0, os.SEEK_CUR), 8)


def asked_times(times: Times, access: int, change: int, which: int) -> tuple[int | None, int | None]:
    """Return the times a guest wants a file to have; None for what stays."""
    now = times.now_ns(abi.REALTIME)
    return (
        now if which & abi.SET_ATIME_NOW else offset_of(access) if which & abi.SET_ATIME else None,
        now if which & abi.SET_MTIME_NOW else offset_of(change) if which & abi.SET_MTIME else None,
    )


def put_facts(memory: GuestMemory, result_at: int, facts: os.stat_result) -> None:
    """Tell about a file. Its device and inode tell files apart; nothing else of the host is in them."""
    memory.write(
        result_at,
        abi.FILESTAT.pack(
            facts.st_dev & _WORD,
            facts.st_ino,
            abi.file_type(facts.st_mode),
            facts.st_nlink,
            facts.st_size,
            max(0, facts.st_atime_ns),
            max(0, facts.st_mtime_ns),
            max(0, facts.st_ctime_ns),
        ),
    )


def offset_of(number: int) -> int:
    """Accept a place in a file, or a time.

    Raises:
        Refused: EINVAL: it is none.
    """
    if number > OFFSET_MAX:
        raise refusal(errno.EINVAL)
    return number


def sync_directory(directory: OpenDirectory) -> None:
    """Make a directory durable; one that only holds granted places has nothing to lose."""
    if directory.spot.descriptor < 0:
        return
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory.spot.descriptor)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _vectors(memory: GuestMemory, place: int, count: int) -> list[tuple[int, int]]:
    if count > abi.VECTORS_MAX:
        raise refusal(errno.EINVAL)
    return list(abi.VECTOR.iter_unpack(memory.read(place, count * abi.VECTOR.size)))


def _gathered(memory: GuestMemory, place: int, count: int) -> bytes:
    """Return what is to be written, as much of it as is written at once."""
    pieces, left = [], MIB
    for start, length in _vectors(memory, place, count):
        memory.require(start, length)
        pieces.append(memory.read(start, min(length, left)))
        left -= len(pieces[-1])
    return b"".join(pieces)
