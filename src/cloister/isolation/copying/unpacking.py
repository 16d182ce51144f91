"""Making a file or a directory out of a tar stream, on either side of the wall.

Owns what may come out of a stream: one new entry and nothing outside it, within bounds, and under its name only when
all of it is there. The stream is hostile on the host, the destination is in a sandbox. `tarfile` reads the format only:
its own extraction goes by path, so that a link that appears in between would be followed; here every step goes from a
descriptor to the next name. Standard library only; used on the host and, as part of the guest set, in a sandbox.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import posixpath
import shutil
import stat
import tarfile
from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from cloister.isolation.copying.archive import (
    DEPTH_MAX,
    FORMAT,
    OPEN_FLAGS,
    PIECE_BYTES,
    Bounds,
    Copied,
    CopyRefused,
    Source,
    below,
    open_directory,
    pack,
)

HEADER_BYTES_MAX: Final = 1024 * 1024
"""Largest single read: a header that says it is longer is not believed."""
NAME_BYTES_MAX: Final = 64 * 1024
"""More than `DEPTH_MAX` names of the longest kind."""
LONG_NAMES_MAX: Final = 2
"""Before one entry: its name, and the target of a link."""
_LONG: Final = frozenset({tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK})
_PLAIN: Final = frozenset({tarfile.REGTYPE, tarfile.AREGTYPE, tarfile.DIRTYPE, tarfile.SYMTYPE})
MayLeave: TypeAlias = Callable[[str, str], bool]
END_BLOCK: Final = bytes(tarfile.BLOCKSIZE)
"""What an archive ends with; without it what came may be the beginning only."""


class Unpacking:
    """A stream on its way to becoming a file or a directory. Leaving its context removes what was not committed.

    Args:
        path: Where to. A directory that exists gets the entry under the name it has in the stream, if there is none;
            a file that exists is replaced by a file; anything else must not exist, and its parent must.
        bounds: How much it may be.
        foreign: Paths below which no link is followed on the way; see `archive.open_directory`.
        may_leave: Asked of each link that leads out of the copied directory, with its name below the top and its
            target, whether it may be made.
    """

    def __init__(
        self, path: str, bounds: Bounds, foreign: Sequence[str] = (), *, may_leave: MayLeave | None = None
    ) -> None:
        self._may_leave = may_leave
        self._path = path
        self._foreign = foreign
        self._copied = Copied(bounds)
        self._parent_fd = -1
        self._name = ""
        self._partial = f".cloister-{os.getpid()}.partial"
        self._is_made = False

    def __enter__(self) -> Unpacking:
        return self

    def __exit__(self, *exception: object) -> None:
        if self._parent_fd < 0:
            return
        try:
            if self._is_made:
                self._remove_partial()
        finally:
            os.close(self._parent_fd)

    def _remove_partial(self) -> None:
        if stat.S_ISDIR(os.lstat(self._partial, dir_fd=self._parent_fd).st_mode):
            shutil.rmtree(self._partial, dir_fd=self._parent_fd)
        else:
            os.unlink(self._partial, dir_fd=self._parent_fd)

    def read(self, source: Source) -> Copied:
        """Read the whole stream into a temporary entry beside the destination.

        Raises:
            CopyRefused: The stream is none, holds what must not be made, or is too much; or the destination is not as
                it must be.
            OSError: Something cannot be made.
        """
        try:
            forward = _Forward(source)
            with tarfile.open(mode="r:", fileobj=forward, tarinfo=_Header, **FORMAT) as stream:  # type: ignore[call-overload]
                while (entry := stream.next()) is not None:
                    stream.members.clear()
                    self._make(stream, entry)
        except (tarfile.TarError, ValueError, RecursionError, OverflowError, EOFError) as error:
            raise CopyRefused(f"the stream is no proper archive ({type(error).__name__})") from error
        if self._copied.entries_count == 0 or forward.last_read != END_BLOCK:
            raise CopyRefused("the stream ends too early")
        return self._copied

    def commit(self) -> None:
        """Give the entry its name.

        Raises:
            CopyRefused: Something is there by now.
            OSError: It cannot be renamed.
        """
        is_directory = stat.S_ISDIR(os.lstat(self._partial, dir_fd=self._parent_fd).st_mode)
        self._require_free(is_directory=is_directory)
        os.rename(self._partial, self._name, src_dir_fd=self._parent_fd, dst_dir_fd=self._parent_fd)
        self._is_made = False

    def _make(self, stream: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        name = entry.name.rstrip("/")
        self._copied.count(name)
        parts = name.split("/")
        if len(parts) > DEPTH_MAX or any(part in {"", ".", ".."} or "\0" in part for part in parts):
            raise CopyRefused("the archive names a place that it may not", name)
        if self._copied.entries_count == 1:
            self._choose(parts, entry)
        elif len(parts) == 1 or parts[0] != self._top:
            raise CopyRefused("the archive has more than one entry at its top", name)
        parent_fd = self._open_parent(parts)
        last = self._partial if len(parts) == 1 else parts[-1]
        try:
            self._make_entry(stream, entry, parent_fd, last)
        finally:
            os.close(parent_fd)

    def _choose(self, parts: list[str], entry: tarfile.TarInfo) -> None:
        """Decide where the entry goes, by what is there now."""
        self._top = parts[0]
        if len(parts) != 1 or not (entry.isdir() or _is_file(entry)):
            raise CopyRefused("the archive does not begin with a file or a directory", entry.name)
        self._is_named = not os.path.isdir(self._path)  # noqa: PTH112 - the guest set imports little
        place = self._path if self._is_named else posixpath.join(self._path, parts[0])
        parent, self._name = posixpath.split(place.rstrip("/"))
        if self._name in {"", ".", ".."}:
            raise CopyRefused("it has no name of its own", self._path)
        self._parent_fd = open_directory(parent or "/", self._foreign)
        self._require_free(is_directory=entry.isdir())

    def _require_free(self, *, is_directory: bool) -> None:
        try:
            mode = os.lstat(self._name, dir_fd=self._parent_fd).st_mode
        except FileNotFoundError:
            return
        if stat.S_ISREG(mode) and self._is_named and not is_directory:
            return
        raise CopyRefused("it exists; only a file that is named as the destination is replaced, by a file", self._name)

    def _open_parent(self, parts: list[str]) -> int:
        descriptor = os.dup(self._parent_fd)
        for part in ([self._partial, *parts[1:]])[: len(parts) - 1]:
            try:
                next_fd = os.open(part, OPEN_FLAGS | os.O_DIRECTORY, dir_fd=descriptor)
            except OSError as error:
                raise CopyRefused(
                    f"its place is not in a directory ({os.strerror(error.errno or 0)})", "/".join(parts)
                ) from error
            finally:
                os.close(descriptor)
            descriptor = next_fd
        return descriptor

    def _make_entry(self, stream: tarfile.TarFile, entry: tarfile.TarInfo, parent_fd: int, last: str) -> None:
        inside = below(entry.name.rstrip("/"))
        if entry.isdir():
            os.mkdir(last, 0o755, dir_fd=parent_fd)
            self._is_made = True
            self._copied.add(inside, "directory", "")
        elif entry.issym():
            self._require_allowed(entry, inside)
            os.symlink(entry.linkname, last, dir_fd=parent_fd)
            self._copied.add(inside, "link", entry.linkname)
        elif _is_file(entry):
            self._copied.add(inside, "file", self._make_file(stream, entry, parent_fd, last))
        else:
            raise CopyRefused("the archive holds something else than files, directories and links", entry.name)

    def _require_allowed(self, entry: tarfile.TarInfo, inside: str) -> None:
        if leads_out(inside, entry.linkname) and (
            self._may_leave is None or not self._may_leave(inside, entry.linkname) or "\0" in entry.linkname
        ):
            raise CopyRefused("it is a link that leads out of the copied directory", entry.name)

    def _make_file(self, stream: tarfile.TarFile, entry: tarfile.TarInfo, parent_fd: int, last: str) -> str:
        mode = 0o755 if entry.mode & 0o100 else 0o644
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
        digest, left = hashlib.sha256(), entry.size
        self._copied.grow(max(left, 0), entry.name)
        content = stream.extractfile(entry)
        with open(os.open(last, flags, mode, dir_fd=parent_fd), "wb") as file:  # noqa: PTH123 - by descriptor
            self._is_made = True
            while left > 0:
                piece = content.read(min(left, PIECE_BYTES)) if content is not None else b""
                if not piece:
                    raise CopyRefused("the stream ends within it", entry.name)
                left -= len(piece)
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()


def _is_file(entry: tarfile.TarInfo) -> bool:
    return entry.type in (tarfile.REGTYPE, tarfile.AREGTYPE) and not entry.issparse()


def leads_out(name: str, target: str) -> bool:
    """Return whether a link leads out of the copied directory.

    It may go up from its own directory, which is none behind a link, as far as the top; the top has another name after
    the copy, so coming back by name would lead elsewhere. After a name it may not go up any more: the name may be that
    of another link, and what is above its end is not what is above the name.

    Args:
        name: Its own, below the top.
        target: What it says.
    """
    parts = [part for part in target.split("/") if part not in {"", "."}]
    ups = next((count for count, part in enumerate(parts) if part != ".."), len(parts))
    return posixpath.isabs(target) or ups > name.count("/") or ".." in parts[ups:] or "\0" in target


class _Header(tarfile.TarInfo):
    """A header that is followed by no other header but the GNU ones for long names, of which there can be two.

    `tarfile` reads headers of other kinds one inside the other, and keeps all that they say; a stream of nothing else
    would take memory and time without an entry that is counted.
    """

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        """Go on by the type of the header. Source: "may be overridden by subclasses", tarfile.py of CPython."""
        stream: _Forward = archive.fileobj  # type: ignore[assignment]
        if self.type in _LONG:
            stream.names_count += 1
            if self.size > NAME_BYTES_MAX or stream.names_count > LONG_NAMES_MAX:
                raise CopyRefused("the archive has a name that is too long, or one for no entry")
        elif self.type in _PLAIN:
            stream.names_count = 0
        else:
            raise CopyRefused("the archive holds something else than files, directories and links", self.name)
        member: tarfile.TarInfo = super()._proc_member(archive)  # type: ignore[misc]
        return member


class _Forward:
    """What `tarfile` wants of a file, over bytes that come once: it only ever goes forward."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._position = 0
        self.last_read = b""
        self.names_count = 0

    def tell(self) -> int:
        return self._position

    def seek(self, position: int) -> int:
        while self._position < position:
            if not self.read(min(position - self._position, PIECE_BYTES)):
                break
        return self._position

    def read(self, size: int) -> bytes:
        if not 0 <= size <= HEADER_BYTES_MAX:
            raise CopyRefused("the archive has a header that is too large")
        pieces = []
        while size > 0 and (piece := self._source.read(size)):
            pieces.append(piece)
            size -= len(piece)
            self._position += len(piece)
        self.last_read = b"".join(pieces)
        return self.last_read


class _Descriptor:
    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self, size: int) -> bytes:
        return os.read(self._descriptor, size)

    def write(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self._descriptor, view) :]


def serve(path: str, bounds: Bounds, *, is_reading: bool, may_leave: MayLeave | None = None) -> int:
    """Pack a path to standard output, or unpack standard input to it, in a sandbox.

    Args:
        path: Which one.
        bounds: How much it may be.
        is_reading: Whether it is unpacked.
        may_leave: As for `Unpacking`.

    Returns:
        Exit status. When it is not 0, standard error has the reason.
    """
    try:
        if is_reading:
            with Unpacking(path, bounds, may_leave=may_leave) as unpacking:
                unpacking.read(_Descriptor(0))
                unpacking.commit()
        else:
            pack(path, _Descriptor(1), bounds)
    except (CopyRefused, OSError) as error:
        words = str(error) if isinstance(error, CopyRefused) else f"{path!r}: {os.strerror(error.errno or errno.EIO)}"
        with contextlib.suppress(OSError):
            os.write(2, words.encode("utf-8", "backslashreplace"))
        return 1
    return 0
