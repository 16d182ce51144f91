"""Writing a file or a directory as a tar stream, on either side of the wall, and the bounds of both directions.

Owns the way from a tree to a stream; `unpacking` owns the way back. The tree may change while it is read, by whoever
may write to it, so links are never followed and every step goes from a descriptor to the next name. A stream holds one
entry at its top, a file or a directory, whose name is that of the source. Standard library only; used on the host and,
as part of the guest set, in a sandbox.

Source: ustar of POSIX.1-1988 with the GNU extensions for long names and large sizes.
"""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import posixpath
import stat
import tarfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cloister.isolation.process import syscalls

DEPTH_MAX: Final = 100
PIECE_BYTES: Final = 128 * 1024
DIRECTORY_FLAGS: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
OPEN_FLAGS: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
FORMAT: Final[Any] = {"format": tarfile.GNU_FORMAT, "encoding": "utf-8", "errors": "surrogateescape"}


class CopyRefused(Exception):
    """What is to be copied, or where to, is not as it must be.

    Args:
        reason: What is wrong, for a person.
        path: Where.
    """

    def __init__(self, reason: str, path: str = "") -> None:
        super().__init__(f"{path!r}: {reason}" if path else reason)
        self.reason = reason
        self.path = path


class Source(Protocol):
    """Bytes in order."""

    def read(self, size: int) -> bytes:
        """Return up to that many bytes; none at the end."""


class Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes) -> object:
        """Take all of it."""


@dataclass(slots=True, kw_only=True)
class Bounds:
    """How much one copy may be.

    Attributes:
        content_bytes: Of all files together.
        entries_count: Files, directories and links.
    """

    content_bytes: int
    entries_count: int


@dataclass(slots=True)
class Copied:
    """What was copied so far.

    Attributes:
        bounds: How much it may be.
        content_bytes: Of all files together.
        entries_count: Files, directories and links.
        sha256: Of a file its content's; of a directory that of its list: for each entry in order a line of JSON with
            name below the top, kind, and digest of the content or target of the link.
    """

    bounds: Bounds
    content_bytes: int = 0
    entries_count: int = 0
    sha256: str = ""
    _list: Any = field(default_factory=hashlib.sha256)

    def add(self, name: str, kind: str, fact: str) -> None:
        """Note one entry."""
        if kind == "file" and not name:
            self.sha256 = fact
            return
        self._list.update(json.dumps([name, kind, fact]).encode("ascii") + b"\n")
        self.sha256 = self._list.hexdigest()

    def count(self, path: str) -> None:
        """Count an entry.

        Raises:
            CopyRefused: There are too many.
        """
        self.entries_count += 1
        if self.entries_count > self.bounds.entries_count:
            raise CopyRefused(f"more than {self.bounds.entries_count} files and directories", path)

    def grow(self, size: int, path: str) -> None:
        """Count content.

        Raises:
            CopyRefused: It is too much.
        """
        self.content_bytes += size
        if self.content_bytes > self.bounds.content_bytes:
            raise CopyRefused(f"more than {self.bounds.content_bytes} bytes", path)


def open_directory(path: str, foreign: Sequence[str] = ()) -> int:
    """Return a descriptor of a directory of the host or, in a sandbox, of the sandbox.

    Args:
        path: Which one. Links on the way to it are followed, but none below a foreign path.
        foreign: Paths where hostile code may write, without links. It could have put a link there that leads anywhere.

    Raises:
        CopyRefused: There is a link on the way that may not be followed.
        OSError: It cannot be opened.
    """
    parts = (path or ".").split("/")
    for count in range(1, len(parts) + 1):
        start = os.path.realpath("/".join(parts[:count]) or "/")
        if any(start == each or start.startswith(f"{each}/") for each in foreign):
            return _open_plainly("/".join([start, *parts[count:]]))
    return os.open(path or ".", DIRECTORY_FLAGS)


def _open_plainly(path: str) -> int:
    try:
        return syscalls.openat2(syscalls.AT_FDCWD, path, DIRECTORY_FLAGS, syscalls.RESOLVE_NO_SYMLINKS)
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        raise CopyRefused(
            "a symbolic link is on the way, below a path that the session may write to; name the place it leads to",
            path,
        ) from error


def pack(
    path: str, sink: Sink, bounds: Bounds, foreign: Sequence[str] = (), identity: tuple[int, int] | None = None
) -> Copied:
    """Write a file or a directory as a stream.

    Args:
        path: What to copy. Links on the way to it are followed, it may be none itself, and none below it is followed.
        sink: Where to.
        bounds: How much it may be.
        foreign: Paths below which no link is followed on the way either; see `open_directory`.
        identity: Device and inode it must have when it is open; None for any.

    Raises:
        CopyRefused: It is a link, holds something else than files, directories and links, or is too much.
        OSError: It cannot be read.
    """
    copied = Copied(bounds)
    parent, name = posixpath.split(path.rstrip("/") or "/")
    top_fd = open_directory(parent, foreign)
    try:
        with _writing(sink) as stream:
            if name in {"", ".", ".."}:
                raise CopyRefused("it has no name of its own", path)
            if stat.S_ISLNK(os.lstat(name, dir_fd=top_fd).st_mode):
                raise CopyRefused("it is a symbolic link; name what it leads to", path)
            _Packer(stream, copied, identity).add(top_fd, name, name, 0)
    finally:
        os.close(top_fd)
    return copied


def pack_bytes(name: str, data: bytes, sink: Sink, bounds: Bounds) -> Copied:
    """Write a file that is in memory as a stream.

    Raises:
        CopyRefused: It is too large.
    """
    copied = Copied(bounds)
    copied.count(name)
    copied.grow(len(data), name)
    entry = tarfile.TarInfo(name)
    entry.mode, entry.size = 0o644, len(data)
    with _writing(sink) as stream:
        stream.addfile(entry, io.BytesIO(data))
    copied.add("", "file", hashlib.sha256(data).hexdigest())
    return copied


def _writing(sink: Sink) -> tarfile.TarFile:
    return tarfile.open(mode="w|", fileobj=_Counted(sink), bufsize=PIECE_BYTES, **FORMAT)  # type: ignore[call-overload, no-any-return]


class _Counted:
    """What `tarfile` wants of a stream to write to."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink

    def write(self, data: bytes) -> int:
        self._sink.write(data)
        return len(data)


class _Packer:
    def __init__(self, stream: tarfile.TarFile, copied: Copied, identity: tuple[int, int] | None) -> None:
        self._stream = stream
        self._copied = copied
        self._identity = identity

    def add(self, parent_fd: int, name: str, path: str, depth: int) -> None:
        if depth > DEPTH_MAX:
            raise CopyRefused(f"directories are nested deeper than {DEPTH_MAX}", path)
        self._copied.count(path)
        mode = os.lstat(name, dir_fd=parent_fd).st_mode
        if stat.S_ISLNK(mode):
            self._add_link(os.readlink(name, dir_fd=parent_fd), path)
        elif stat.S_ISDIR(mode) or stat.S_ISREG(mode):
            descriptor = os.open(name, OPEN_FLAGS, dir_fd=parent_fd)
            try:
                self._add_opened(descriptor, path, depth)
            finally:
                os.close(descriptor)
        else:
            raise CopyRefused("it is neither a file, a directory nor a link", path)

    def _add_opened(self, descriptor: int, path: str, depth: int) -> None:
        facts = os.fstat(descriptor)
        if depth == 0 and self._identity not in {None, (facts.st_dev, facts.st_ino)}:
            raise CopyRefused("it is not what was granted any more", path)
        entry = tarfile.TarInfo(path)
        entry.mode = 0o755 if facts.st_mode & 0o100 else 0o644
        if stat.S_ISDIR(facts.st_mode):
            entry.type = tarfile.DIRTYPE
            self._stream.addfile(entry)
            self._copied.add(below(path), "directory", "")
            for each in sorted(os.listdir(descriptor)):
                self.add(descriptor, each, f"{path}/{each}", depth + 1)
        elif stat.S_ISREG(facts.st_mode):
            entry.size = facts.st_size
            self._copied.grow(entry.size, path)
            reader = _Digesting(descriptor, path)
            self._stream.addfile(entry, reader)  # type: ignore[arg-type]  # it needs `read` only
            self._copied.add(below(path), "file", reader.digest.hexdigest())
        else:
            raise CopyRefused("it was replaced by something else meanwhile", path)

    def _add_link(self, target: str, path: str) -> None:
        entry = tarfile.TarInfo(path)
        entry.type, entry.linkname = tarfile.SYMTYPE, target
        self._stream.addfile(entry)
        self._copied.add(below(path), "link", target)


class _Digesting:
    def __init__(self, descriptor: int, path: str) -> None:
        self._descriptor = descriptor
        self._path = path
        self.digest = hashlib.sha256()

    def read(self, size: int) -> bytes:
        """Return exactly so many bytes, which the header has promised already."""
        data = b""
        while len(data) < size:
            piece = os.read(self._descriptor, size - len(data))
            if not piece:
                raise CopyRefused("it became shorter while it was copied", self._path)
            data += piece
        self.digest.update(data)
        return data


def below(path: str) -> str:
    """Return the part of a name in a stream that is below its top."""
    return path.partition("/")[2]
