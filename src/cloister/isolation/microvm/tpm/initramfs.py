"""What a guest will find of itself, read out of the archive it is booted from.

Owns finding the agent's files in an initramfs and their digest, so that the host knows what a machine must measure
without booting it. The archive is the one that is booted, in memory; its digest was compared with the manifest before.

Source: "initramfs buffer format" (Documentation/driver-api/early-userspace/buffer-format.rst of Linux 6.1), `newc`.
"""

from __future__ import annotations

import hashlib
import mmap
import os
import stat
from collections.abc import Iterator
from typing import Final

from cloister.errors import AttestationError
from cloister.isolation.microvm.tpm.log import tree_sha256

AGENT_ROOT: Final = b"cloister/"
"""Where the agent lies in the archive."""
_MAGIC: Final = b"070701"
_HEADER_BYTES: Final = 110
"""Magic, and thirteen numbers of eight hexadecimal digits."""
_MODE, _SIZE, _NAME_BYTES = 1, 6, 11
_TRAILER: Final = b"TRAILER!!!"
_NAME_BYTES_MAX: Final = 4096


def agent_tree_sha256(descriptor: int, root: bytes = AGENT_ROOT) -> str:
    """Return `log.directory_sha256` of the agent's directory, as it will be when the kernel has unpacked the archive.

    Args:
        descriptor: The archive, not compressed.
        root: The directory, with `/` at its end.

    Raises:
        AttestationError: `attestation.format`: it is no such archive, or has no agent, or the same file twice.

    Cost:
        Linear in the entries of the archive and the size of the agent.
    """
    if os.fstat(descriptor).st_size == 0:
        raise _malformed("it is empty")
    found: dict[str, bytes] = {}
    with mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ) as archive:
        for name, start, end in _files(archive):
            if name.startswith(root):
                below = os.fsdecode(name.removeprefix(root))
                if below in found:
                    raise _malformed("it has a file of the agent twice")
                found[below] = hashlib.sha256(archive[start:end]).digest()
    if not found:
        raise _malformed("there is no agent in it")
    return tree_sha256(found.items()).hex()


def _files(archive: mmap.mmap) -> Iterator[tuple[bytes, int, int]]:
    """Yield name, begin and end of each regular file."""
    at = 0
    while True:
        header = archive[at : at + _HEADER_BYTES]
        if len(header) != _HEADER_BYTES or not header.startswith(_MAGIC):
            raise _malformed(f"there is no entry at byte {at}")
        numbers = [_number(header[6 + 8 * index : 14 + 8 * index]) for index in range(13)]
        name_end = at + _HEADER_BYTES + numbers[_NAME_BYTES]
        start = _aligned(name_end)
        end = start + numbers[_SIZE]
        if not 2 <= numbers[_NAME_BYTES] <= _NAME_BYTES_MAX or end > len(archive):
            raise _malformed(f"the entry at byte {at} is longer than the archive")
        name = archive[at + _HEADER_BYTES : name_end - 1]
        if name == _TRAILER:
            return
        if stat.S_ISREG(numbers[_MODE]):
            yield name, start, end
        at = _aligned(end)


def _number(digits: bytes) -> int:
    if digits.strip(b"0123456789abcdefABCDEF"):
        raise _malformed("a number in it is none")
    return int(digits, 16)


def _aligned(offset: int) -> int:
    return offset + -offset % 4


def _malformed(what: str) -> AttestationError:
    return AttestationError(
        f"the initramfs cannot be measured: {what}",
        code="attestation.format",
        hint="build the image again: cloister image build --kind vm",
    )
