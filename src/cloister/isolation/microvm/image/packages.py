"""What a package is to an image, and reading the files out of one.

Owns the record of a package and its format on disk. Its maintainer scripts are never looked at, let alone run.

Source: deb(5) of dpkg 1.21, deb-control(5); ar(5).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

from cloister.errors import InputError, quoted
from cloister.isolation.microvm.image.compression import Decoded
from cloister.isolation.microvm.image.tar import EntryKind, TarReader
from cloister.isolation.microvm.image.tree import CONTENT_BYTES_MAX, Tree

_AR_MAGIC: Final = b"!<arch>\n"
_AR_HEADER_BYTES: Final = 60
_MEMBERS_MAX: Final = 16
_DATA: Final = re.compile(rb"data\.tar(\.[a-z0-9]+)?/?")

Wanted = Callable[[str], bool]


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Package:
    """One package that an image is made of, exactly.

    Attributes:
        name: Its name.
        version: Its version.
        architecture: What it was built for; `all` for any.
        sha256: Digest of the package's file, or of the host's file for what came from the host.
    """

    name: str
    version: str
    architecture: str
    sha256: str


def unpack(path: Path, tree: Tree, wanted: Wanted) -> int:
    """Put the files of a package into a tree.

    Args:
        path: The `.deb` file.
        tree: Where to.
        wanted: Says for a path, without a slash at its beginning, whether to take it.

    Returns:
        How many files and links were taken.

    Raises:
        InputError: `input.archive`: it is no package, damaged, or names a place outside the tree.
        ProviderUnavailable: `provider.image-tool`: the program that decompresses it is missing.
    """
    what = f"the package {quoted(path.name)}"
    with path.open("rb") as file:
        member = _data_member(file, what)
        with Decoded(member, what, CONTENT_BYTES_MAX) as stream:  # type: ignore[arg-type]
            return _take(TarReader(stream, what), tree, wanted)


def _take(reader: TarReader, tree: Tree, wanted: Wanted) -> int:
    taken_count = 0
    for entry in reader:
        path = entry.name.removeprefix("./").rstrip("/")
        if not path or not wanted(path):
            continue
        taken_count += entry.kind is not EntryKind.DIRECTORY
        if entry.kind is EntryKind.DIRECTORY:
            tree.add_directory(path, entry.mode)
        elif entry.kind is EntryKind.SYMBOLIC_LINK:
            tree.add_link(path, entry.target)
        elif entry.kind is EntryKind.HARD_LINK:
            tree.add_hard_link(path, entry.target.removeprefix("./"))
        elif entry.kind is EntryKind.FILE:
            tree.add_file(path, reader.content(), entry.mode)
        else:
            tree.left_out_count += 1
    return taken_count


class _Member:
    """A part of a file, as a stream."""

    def __init__(self, file: IO[bytes], size: int) -> None:
        self._file = file
        self._left = size

    def read(self, size: int = -1, /) -> bytes:
        piece = self._file.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(piece)
        return piece


def _data_member(file: IO[bytes], what: str) -> _Member:
    """Return the member of the ar archive that holds the files."""
    if file.read(len(_AR_MAGIC)) != _AR_MAGIC:
        raise InputError(f"{what} is no package", code="input.archive")
    for _ in range(_MEMBERS_MAX):
        header = file.read(_AR_HEADER_BYTES)
        digits = header[48:58].strip()
        if len(header) != _AR_HEADER_BYTES or header[58:] != b"`\n" or not digits.isdigit():
            break
        size = int(digits)
        if _DATA.fullmatch(header[:16].strip()):
            return _Member(file, size)
        file.seek(size + size % 2, 1)
    raise InputError(f"{what} holds no files, or is cut off", code="input.archive")
