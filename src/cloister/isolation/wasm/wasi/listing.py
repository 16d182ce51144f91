"""What a directory of a guest holds.

Owns the listing that one reading of a directory sees, whatever changes meanwhile, and its bound. Names are bytes that
anybody may have chosen.
"""

from __future__ import annotations

import os
from typing import Final

from cloister.errors import LimitExceeded
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.descriptors import Descriptors
from cloister.isolation.wasm.wasi.namespace import Node, Spot
from cloister.limits import ResourceLimits

_ENTRY_BYTES: Final = 80
"""About what an entry takes beside its name, as in the listings of a guest."""
_READ: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC


def entries_of(
    descriptors: Descriptors, number: int, cookie: int, limits: ResourceLimits
) -> list[tuple[int, int, bytes]]:
    """Return inode, type and name of everything in a directory, `.` and `..` first.

    Args:
        descriptors: The guest's.
        number: Which of them.
        cookie: Where the guest goes on; 0 begins anew.
        limits: How much one value may have, and so all listings that are under way.

    Raises:
        Refused: EBADF, ENOTDIR.
        LimitExceeded: `limit.value`: it holds too much, or with the others it does.
        OSError: The host does not let it be read.
    """
    directory = descriptors.directory(number)
    if directory.entries is None or cookie == 0:
        directory.entries, directory.entries_bytes = None, 0
        before = descriptors.entries_bytes
        directory.entries, used = _read(directory.spot, before, limits)
        directory.entries_bytes = used - before
    return directory.entries


def _read(spot: Spot, used: int, limits: ResourceLimits) -> tuple[list[tuple[int, int, bytes]], int]:
    """Return what is there, and how much is used then."""
    found = {b".": (0, abi.DIRECTORY), b"..": (0, abi.DIRECTORY)}
    if spot.descriptor >= 0:
        descriptor = os.open(".", _READ, dir_fd=spot.descriptor)
        try:
            with os.scandir(descriptor) as entries:
                for entry in entries:
                    name = os.fsencode(entry.name)
                    used += len(name) + _ENTRY_BYTES
                    if used > limits.value_bytes:
                        raise _too_long(used, limits)
                    found[name] = (entry.inode(), _type(entry))
        finally:
            os.close(descriptor)
    for name, node in (spot.node.children if spot.node is not None else {}).items():
        found[name] = _granted(node)
    return [(inode, kind, name) for name, (inode, kind) in found.items()], used


def _type(entry: os.DirEntry[str]) -> int:
    if entry.is_symlink():
        return abi.LINK
    if entry.is_dir(follow_symlinks=False):
        return abi.DIRECTORY
    return abi.FILE if entry.is_file(follow_symlinks=False) else abi.UNKNOWN_TYPE


def _granted(node: Node) -> tuple[int, int]:
    is_file = node.grant is not None and not node.grant.is_directory
    return (node.grant.inode if node.grant is not None else 0, abi.FILE if is_file else abi.DIRECTORY)


def _too_long(used: int, limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        f"the listings of directories that are under way have more than {used} bytes; one value may have "
        f"{limits.value_bytes}",
        limit="value_bytes",
        allowed=limits.value_bytes,
        used=used,
        unit="bytes",
        hint="list smaller directories, and close each before the next, or raise the limit value_bytes",
    )
