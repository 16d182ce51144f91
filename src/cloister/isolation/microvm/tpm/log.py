"""What of a machine is measured into which register of its TPM, and what the registers are then.

Owns the table and the arithmetic. Standard library only: the guest uses it too.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from typing import Final

from cloister.isolation.microvm.tpm.wire import DIGEST_BYTES

PCR_OF: Final[Mapping[str, int]] = {"command-line": 8, "agent": 9, "policy": 11, "rootfs": 12, "capabilities": 13}
"""Register by part. 8 to 15 belong to the operating system (TCG PC Client Platform Firmware Profile 1.05, 3.3.4), and
cannot be set back but by a reset of the TPM. Linux measures into 10 by itself."""
PCRS: Final = tuple(sorted(PCR_OF.values()))
"""What a quote is about."""

DRIVES: Final = ("rootfs", "capabilities")
"""The parts that are block devices."""
_READ_BYTES: Final = 1024 * 1024


def replayed(measurements: Iterable[tuple[int, bytes]]) -> dict[int, bytes]:
    """Return the values of `PCRS` after measurements, from a reset on.

    Args:
        measurements: Register and digest, in order.

    Source: TPM 2.0 part 1, 17.2: a register becomes the digest of what it was and what is measured.
    """
    values = dict.fromkeys(PCRS, bytes(DIGEST_BYTES))
    for pcr, digest in measurements:
        if pcr in values:
            values[pcr] = hashlib.sha256(values[pcr] + digest).digest()
    return values


def pcr_sha256(values: Mapping[int, bytes]) -> bytes:
    """Return what a quote says of values: the digest of all of them in rising order (TPM 2.0 part 3, 18.4)."""
    return hashlib.sha256(b"".join(values[pcr] for pcr in sorted(values))).digest()


def file_sha256(path: str) -> bytes:
    """Return the digest of a file or block device, read to its end."""
    digest = hashlib.sha256()
    with open(path, "rb", buffering=0) as file:  # noqa: PTH123 - the guest does not load pathlib
        while piece := file.read(_READ_BYTES):
            digest.update(piece)
    return digest.digest()


def tree_sha256(files: Iterable[tuple[str, bytes]]) -> bytes:
    """Return the digest of files with their names: SHA-256 over a line `SHA256  NAME` for each, sorted by name.

    Args:
        files: Name below the root, with `/` between, and SHA-256 of the content.
    """
    lines = (f"{digest.hex()}  {name}\n" for name, digest in sorted(files))
    return hashlib.sha256("".join(lines).encode("utf-8", "surrogateescape")).digest()


def directory_sha256(root: str) -> bytes:
    """Return `tree_sha256` of the regular files below a directory; links are not followed.

    Raises:
        OSError: Something in it cannot be read.
    """
    found: list[tuple[str, bytes]] = []
    pending = [root]
    while pending:
        with os.scandir(pending.pop()) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    pending.append(entry.path)
                elif entry.is_file(follow_symlinks=False):
                    found.append((entry.path[len(root) :].lstrip("/"), file_sha256(entry.path)))
    return tree_sha256(found)
