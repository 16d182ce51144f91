"""A directory of capabilities as a read-only drive.

Owns reading the directory: files, directories and links that stay inside it. Equal directories give equal drives.
"""

from __future__ import annotations

import os
import posixpath
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.errors import InputError, quoted
from cloister.isolation.microvm.image.compression import PIECE_BYTES
from cloister.isolation.microvm.image.digests import file_sha256
from cloister.isolation.microvm.image.drive import DriveFormat, write_drive
from cloister.isolation.microvm.image.tree import Tree

_OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityDrive:
    """A drive that was made.

    Attributes:
        path: Its file.
        format: Its file system.
        sha256: Of the file.
        bytes: Its size.
    """

    path: Path
    format: DriveFormat
    sha256: str
    bytes: int


def build_capability_drive(directory: Path, path: Path, format_: DriveFormat = DriveFormat.EROFS) -> CapabilityDrive:
    """Write a directory into a new drive.

    Args:
        directory: What is to be on it; owners and times are not kept, of the permissions only who may execute.
        path: File of the drive; one that is there is replaced, in one step.
        format_: Its file system.

    Raises:
        InputError: `input.directory`: it cannot be read, holds something else than files, directories and links, or a
            link that leads out of it.
        ProviderUnavailable: `provider.image-tool`: the program that makes the file system is missing.
        ProviderError: `provider.image-build`: it failed.
    """
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    with Tree() as tree:
        _read(directory, tree)
        try:
            write_drive(tree, partial, format_)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
    return CapabilityDrive(path=path, format=format_, sha256=file_sha256(path), bytes=path.stat().st_size)


def _read(directory: Path, tree: Tree) -> None:
    def fail(error: OSError) -> None:
        raise error

    try:
        for top, directories, names, descriptor in os.fwalk(directory, onerror=fail, follow_symlinks=False):
            inside = "" if Path(top) == directory else Path(top).relative_to(directory).as_posix()
            directories.sort()
            for name in sorted((*directories, *names)):
                _add(tree, posixpath.join(inside, name), name, descriptor)
    except OSError as error:
        raise _refused(str(error.filename or directory), f"cannot be read ({error.strerror})") from error


def _add(tree: Tree, path: str, name: str, directory_fd: int) -> None:
    facts = os.stat(name, dir_fd=directory_fd, follow_symlinks=False)
    if stat.S_ISDIR(facts.st_mode):
        tree.add_directory(path)
    elif stat.S_ISLNK(facts.st_mode):
        target = os.readlink(name, dir_fd=directory_fd)
        end = posixpath.normpath(posixpath.join(posixpath.dirname(path), target))
        if target.startswith("/") or end == ".." or end.startswith("../"):
            raise _refused(path, "is a link that leads out of the directory")
        tree.add_link(path, target)
    elif stat.S_ISREG(facts.st_mode):
        mode = 0o755 if facts.st_mode & stat.S_IXUSR else 0o644
        tree.add_file(path, _content(name, directory_fd), mode)
    else:
        raise _refused(path, "is neither a file, a directory nor a link")


def _content(name: str, directory_fd: int) -> Iterator[bytes]:
    descriptor = os.open(name, _OPEN_FLAGS, dir_fd=directory_fd)
    with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
        while piece := file.read(PIECE_BYTES):
            yield piece


def _refused(path: str, reason: str) -> InputError:
    return InputError(f"{quoted(path)} {reason}", code="input.directory")
