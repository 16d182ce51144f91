"""The parts of a container image on the disk, by name: the files of a directory, or the members of an archive.

Owns finding a part by its name inside the image, reading it within its size, and holding it to the digest it is named
by. What a part means is `oci`'s. Names come from the image and never leave it.
"""

from __future__ import annotations

import hashlib
import json
import os
import posixpath
import re
import stat
from pathlib import Path
from typing import Any, Final

from cloister.errors import InputError, quoted
from cloister.isolation.microvm.image.compression import PIECE_BYTES
from cloister.isolation.microvm.image.tar import EntryKind, TarReader

DOCUMENT_BYTES_MAX: Final = 4 * 1024 * 1024
MEMBERS_MAX: Final = 4096
_NAME: Final = re.compile(r"[A-Za-z0-9._-]+(/[A-Za-z0-9._-]+){0,3}")


def wrong(path: Path, reason: str) -> InputError:
    """Return the error for something that is no usable container image."""
    return InputError(
        f"{quoted(str(path))} cannot be used as a container image: {reason}",
        code="input.oci",
        hint="export it again, for example with `skopeo copy … oci:DIR` or `docker save`",
    )


class Part:
    """One part, open for reading once. Its digest is taken of what is read, so that nothing can change in between.

    Attributes:
        size: Bytes.
    """

    def __init__(self, path: Path, descriptor: int, place: tuple[int, int], *, is_owner: bool) -> None:
        self._path = path
        self._descriptor = descriptor
        self._position, self.size = place
        self._end = self._position + self.size
        self._is_owner = is_owner
        self._digest = hashlib.sha256()

    def close(self) -> None:
        """Close what was opened for this part alone."""
        if self._is_owner:
            os.close(self._descriptor)

    def read(self, size: int = -1, /) -> bytes:
        """Return up to that many bytes; none at the end."""
        left = self._end - self._position
        piece = os.pread(self._descriptor, min(left if size < 0 else size, left, PIECE_BYTES), self._position)
        self._position += len(piece)
        self._digest.update(piece)
        return piece

    def finish(self) -> str:
        """Read what is left, and return the SHA-256 of all of it."""
        while self.read(PIECE_BYTES):
            pass
        return self._digest.hexdigest()

    def require(self, sha256: str) -> None:
        """Read what is left, and refuse the part when its digest is another one.

        Raises:
            InputError: `input.oci`.
        """
        found = self.finish()
        if found != sha256:
            raise InputError(
                f"a part of {quoted(str(self._path))} does not have the digest {sha256[:16]}… that it is named by",
                code="input.oci",
                details={"expected_sha256": sha256, "found_sha256": found},
                hint="it was damaged or altered; fetch the image again",
            )


class Parts:
    """The parts of an image. Leaving its context closes all of them.

    Args:
        path: A directory, or an uncompressed tar archive.

    Raises:
        InputError: `input.oci`: it is neither, or cannot be read; `input.archive`: the archive is damaged.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._opened: list[Part] = []
        self._members: dict[str, tuple[int, int]] | None = None
        self._archive_fd = -1
        try:
            mode = path.stat().st_mode
            if stat.S_ISREG(mode):
                self._archive_fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise wrong(path, f"it cannot be read ({error.strerror})") from error
        if not stat.S_ISDIR(mode) and self._archive_fd < 0:
            raise wrong(path, "it is neither a directory nor a file")

    def __enter__(self) -> Parts:
        return self

    def __exit__(self, *exception: object) -> None:
        for part in self._opened:
            part.close()
        if self._archive_fd >= 0:
            os.close(self._archive_fd)

    def find(self, name: str) -> Part | None:
        """Open a part; None when there is none of that name."""
        if not _NAME.fullmatch(name) or {"..", "."} & set(name.split("/")):
            raise wrong(self.path, f"it names a part {quoted(name)}")
        part = self._of_directory(name) if self._archive_fd < 0 else self._of_archive(name)
        if part is not None:
            self._opened.append(part)
        return part

    def required(self, name: str) -> Part:
        """Open a part that must be there."""
        part = self.find(name)
        if part is None:
            raise wrong(self.path, f"its part {quoted(name)} is missing")
        return part

    def data(self, part: Part) -> Any:
        """Return what a JSON part says."""
        if part.size > DOCUMENT_BYTES_MAX:
            raise wrong(self.path, f"a part that describes others has more than {DOCUMENT_BYTES_MAX} bytes")
        pieces = []
        while piece := part.read(PIECE_BYTES):
            pieces.append(piece)
        try:
            return json.loads(b"".join(pieces))
        except (ValueError, RecursionError) as error:
            raise wrong(self.path, "a part that describes others is no JSON") from error

    def _of_directory(self, name: str) -> Part | None:
        try:
            descriptor = os.open(self.path / name, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except FileNotFoundError:
            return None
        except OSError as error:
            raise wrong(self.path, f"its part {quoted(name)} cannot be read ({error.strerror})") from error
        facts = os.fstat(descriptor)
        if not stat.S_ISREG(facts.st_mode):
            os.close(descriptor)
            return None
        return Part(self.path, descriptor, (0, facts.st_size), is_owner=True)

    def _of_archive(self, name: str) -> Part | None:
        if self._members is None:
            self._members = self._index()
        place = self._members.get(name)
        return Part(self.path, self._archive_fd, place, is_owner=False) if place else None

    def _index(self) -> dict[str, tuple[int, int]]:
        """Return where each member of the archive lies. One that is linked to another lies where that one does."""
        found: dict[str, tuple[int, int]] = {}
        links: dict[str, str] = {}
        with self.path.open("rb") as file:
            for count, entry in enumerate(TarReader(file, f"the archive {quoted(self.path.name)}")):
                if count >= MEMBERS_MAX:
                    raise wrong(self.path, f"it has more than {MEMBERS_MAX} members")
                name = posixpath.normpath(entry.name)
                if entry.kind is EntryKind.FILE:
                    found[name] = (file.tell(), entry.size)
                elif entry.kind is EntryKind.SYMBOLIC_LINK:
                    links[name] = posixpath.normpath(posixpath.join(posixpath.dirname(name), entry.target))
        return found | {name: found[target] for name, target in links.items() if target in found}
