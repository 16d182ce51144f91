"""Files in memory that hold the memory of machines and what they are booted from.

Owns making, copying, sealing and measuring them. A sealed file cannot be changed by anybody, whatever descriptor of it
they hold, so what was measured stays what it was.

Source: memfd_create(2), fcntl(2) on file sealing, lseek(2) on SEEK_DATA.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from cloister.limits import MIB

SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE
PIECE_BYTES: Final = 4 * MIB
"""What is hashed by one thread at a time."""
_THREADS: Final = 4
_ZEROS: Final = memoryview(bytes(PIECE_BYTES))


def new_file(name: str, size_bytes: int = 0) -> int:
    """Return a descriptor of a new file of zeros that can be sealed; the caller closes it."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(descriptor, size_bytes)
    return descriptor


def seal(descriptor: int) -> None:
    """Keep everybody from changing a file from now on.

    Raises:
        OSError: Somebody has it mapped for writing (EBUSY).
    """
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, SEALS)


def is_sealed(descriptor: int) -> bool:
    """Return whether nobody can change a file."""
    return fcntl.fcntl(descriptor, fcntl.F_GET_SEALS) & SEALS == SEALS


def read_only(descriptor: int) -> int:
    """Return another descriptor of a file, for reading, at its beginning."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_RDONLY | os.O_CLOEXEC)


def write_only(descriptor: int) -> int:
    """Return another descriptor of a file, for writing, at its beginning."""
    return os.open(f"/proc/self/fd/{descriptor}", os.O_WRONLY | os.O_CLOEXEC)


def extents(descriptor: int) -> Iterator[tuple[int, int]]:
    """Yield where a file has data: begin and end of each stretch, in bytes. All else reads as zeros."""
    end = 0
    while True:
        try:
            begin = os.lseek(descriptor, end, os.SEEK_DATA)
        except OSError as error:
            if error.errno == errno.ENXIO:
                return
            raise
        end = os.lseek(descriptor, begin, os.SEEK_HOLE)
        yield begin, end


def copy(source: int, target: int) -> None:
    """Make a file as another one is, with holes where it has holes.

    Args:
        source: What is copied.
        target: An empty file.

    Raises:
        OSError: No room is left.
    """
    os.ftruncate(target, os.fstat(source).st_size)
    reading = read_only(source)
    try:
        for begin, end in extents(reading):
            _copy_stretch(reading, target, begin, end)
    finally:
        os.close(reading)


def _copy_stretch(source: int, target: int, begin: int, end: int) -> None:
    os.lseek(target, begin, os.SEEK_SET)
    while begin < end:
        count = os.sendfile(target, source, begin, end - begin)
        if count == 0:
            raise OSError(errno.EIO, "a file became shorter while it was copied")
        begin += count


def digest(descriptor: int) -> str:
    """Return what identifies a file with holes: SHA-256, as hexadecimal digits.

    It covers the size and, for each piece of PIECE_BYTES that is not all zeros, its number and the SHA-256 of its
    bytes; whether zeros are kept or a hole is up to the file system. Pieces are hashed side by side.
    """
    size = os.fstat(descriptor).st_size
    reading = read_only(descriptor)
    try:
        pieces = sorted(
            {n for begin, end in extents(reading) for n in range(begin // PIECE_BYTES, -(-end // PIECE_BYTES))}
        )
        with ThreadPoolExecutor(_THREADS) as pool:
            hashes = pool.map(lambda n: _piece(reading, n), pieces)
            whole = hashlib.sha256(f"cloister memory {size}\n".encode("ascii"))
            for number, one in zip(pieces, hashes, strict=True):
                if one is not None:
                    whole.update(b"%d " % number + one)
    finally:
        os.close(reading)
    return whole.hexdigest()


def _piece(descriptor: int, number: int) -> bytes | None:
    data = os.pread(descriptor, PIECE_BYTES, number * PIECE_BYTES)
    return None if data == _ZEROS[: len(data)] else hashlib.sha256(data).digest()
