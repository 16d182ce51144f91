"""Taking over the files into which a VMM saved a machine.

Owns their way from a directory the VMM may write to into the caller's descriptors. A VMM that was taken over may have
put anything there: sizes are checked, and more than the machine's memory is never read.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from cloister.errors import LaunchError
from cloister.isolation.microvm.vmm import STATE_BYTES_MAX
from cloister.limits import MIB

BLOCK_BYTES: Final = 64 * 1024
PART_BYTES: Final = 4 * MIB


def hand_over(open_file: Callable[[str], int], targets: Mapping[str, int], *, memory: str, memory_bytes: int) -> None:
    """Copy saved files into empty files of the caller.

    Args:
        open_file: Opens one of them for reading; the descriptor is closed here.
        targets: Descriptors of the caller by name.
        memory: Which of the names is the memory.
        memory_bytes: Its size.

    Raises:
        LaunchError: `provider.snapshot`: a file is missing, has a wrong size, or there is no space.
    """
    for name, target in targets.items():
        try:
            source = open_file(name)
            try:
                _check(name, os.fstat(source).st_size, memory_bytes if name == memory else None)
                copy_filled(source, target)
            finally:
                os.close(source)
        except OSError as error:
            raise LaunchError(
                f"the machine cannot be saved: {error.strerror or error}",
                code="provider.snapshot",
                details={"file": name, "memory_bytes": memory_bytes},
            ) from error


def copy_filled(source: int, target: int) -> None:
    """Copy a file from its beginning into an empty one; blocks of zeros become holes, which take no space.

    Raises:
        OSError: No space.
    """
    size = os.fstat(source).st_size
    os.ftruncate(target, size)
    nothing = bytes(BLOCK_BYTES)
    position = 0
    while position < size:
        part = memoryview(os.pread(source, min(PART_BYTES, size - position), position))
        if not part:
            raise OSError("the file became shorter")
        for start in range(0, len(part), BLOCK_BYTES):
            block = part[start : start + BLOCK_BYTES]
            if block != nothing[: len(block)]:
                write(target, block, position + start)
        position += len(part)


def write(target: int, block: memoryview, position: int) -> None:
    """Write all of some bytes at a position.

    Raises:
        OSError: No space.
    """
    while block:
        count = os.pwrite(target, block, position)
        block, position = block[count:], position + count


def _check(name: str, size: int, wanted: int | None) -> None:
    if (size != wanted) if wanted is not None else not 0 < size <= STATE_BYTES_MAX:
        raise LaunchError(
            f"the VMM saved {size:,} bytes as {name}, not what the machine has",
            code="provider.snapshot",
            details={"file": name, "bytes": size},
        )
