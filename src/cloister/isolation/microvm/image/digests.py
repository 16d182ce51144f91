"""SHA-256 of files, by descriptor or by path."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from cloister.isolation.microvm.image.compression import PIECE_BYTES


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's content as 64 lower-case hexadecimal digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def descriptor_sha256(descriptor: int, size: int) -> str:
    """Return the SHA-256 of the first bytes of an open file; its position stays where it is.

    Args:
        descriptor: Of the file, open for reading.
        size: How many bytes; fewer are hashed when the file ends before.
    """
    digest, position = hashlib.sha256(), 0
    while position < size and (piece := os.pread(descriptor, min(PIECE_BYTES, size - position), position)):
        digest.update(piece)
        position += len(piece)
    return digest.hexdigest()
