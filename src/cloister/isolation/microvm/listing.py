"""What is in a host's file or directory, name by name, with the digest of every file.

Owns the look, within bounds. It follows no link, and goes from a descriptor to the next name.
"""

from __future__ import annotations

import hashlib
import os
import posixpath
import stat
from dataclasses import dataclass

from cloister.isolation.copying.archive import DIRECTORY_FLAGS, OPEN_FLAGS, Bounds, CopyRefused


@dataclass(frozen=True, slots=True)
class Entry:
    """A file, directory or link below the top.

    Attributes:
        kind: `file`, `directory` or `link`.
        fact: Digest of a file's content, target of a link; nothing for a directory.
        is_executable: Of a file, whether its owner may execute it.
        identity: What tells whether the very same is there: device, inode, time of change, size. Not compared.
    """

    kind: str
    fact: str
    is_executable: bool
    identity: tuple[int, ...]

    def is_alike(self, other: Entry | None) -> bool:
        """Whether both have the same content."""
        return other is not None and (self.kind, self.fact, self.is_executable) == (
            other.kind, other.fact, other.is_executable,
        )  # fmt: skip


Listing = dict[str, Entry]


def is_directory(entry: Entry | None) -> bool:
    """Whether there is one and it is a directory."""
    return entry is not None and entry.kind == "directory"


def identity_of(facts: os.stat_result) -> tuple[int, ...]:
    """Return what tells whether the very same is there; see `Entry`."""
    return facts.st_dev, facts.st_ino, facts.st_mtime_ns, facts.st_size


def unbounded() -> Bounds:
    """Return bounds for what is not copied."""
    return Bounds(content_bytes=1 << 62, entries_count=1 << 62)


def listed(path: str, bounds: Bounds, skipped: str = "") -> Listing:
    """List a file, or a directory with all below it, following no link.

    Args:
        path: Of it, canonical.
        bounds: How much it may be.
        skipped: Entries of this name are left out.

    Raises:
        CopyRefused: It is more than that, or something in it is neither a file, a directory nor a link.
        OSError: It cannot be read.
    """
    found: Listing = {}
    parent, name = posixpath.split(path)
    parent_fd = os.open(parent or "/", DIRECTORY_FLAGS)
    try:
        _list_below(parent_fd, name, "", found, [bounds.content_bytes, bounds.entries_count], skipped)
    finally:
        os.close(parent_fd)
    return found


def _list_below(  # noqa: PLR0917 - the state of one walk
    parent_fd: int, name: str, path: str, found: Listing, room: list[int], skipped: str
) -> None:
    facts = os.lstat(name, dir_fd=parent_fd)
    identity = identity_of(facts)
    room[1] -= 1
    room[0] -= facts.st_size if stat.S_ISREG(facts.st_mode) else 0
    if min(room) < 0:
        raise CopyRefused("it is more than may be copied", path)
    if stat.S_ISLNK(facts.st_mode):
        found[path] = Entry("link", os.readlink(name, dir_fd=parent_fd), False, identity)
        return
    if not (stat.S_ISREG(facts.st_mode) or stat.S_ISDIR(facts.st_mode)):
        raise CopyRefused("it is neither a file, a directory nor a link", path)
    descriptor = os.open(name, OPEN_FLAGS, dir_fd=parent_fd)
    try:
        if stat.S_ISDIR(facts.st_mode):
            found[path] = Entry("directory", "", False, identity)
            for each in sorted(os.listdir(descriptor)):  # noqa: PTH208 - by descriptor
                if each != skipped:
                    _list_below(descriptor, each, posixpath.join(path, each), found, room, skipped)
        else:
            with open(os.dup(descriptor), "rb") as file:  # noqa: PTH123 - a descriptor
                digest = hashlib.file_digest(file, "sha256").hexdigest()
            found[path] = Entry("file", digest, bool(facts.st_mode & 0o100), identity)
    finally:
        os.close(descriptor)
