"""A file tree that exists only as data until it is written into an image.

Owns what may be in one: files, directories and links, with permission bits but no owners, devices or set-user-id bits,
within bounds. Paths are resolved inside the tree itself, so that nothing in a hostile archive can name a place on the
host. Contents lie in one anonymous temporary file.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from cloister.errors import InputError, quoted
from cloister.isolation.microvm.image.compression import PIECE_BYTES
from cloister.limits import MIB

ENTRIES_MAX: Final = 300_000
CONTENT_BYTES_MAX: Final = 8 * 1024 * MIB
NAME_BYTES_MAX: Final = 255
PATH_BYTES_MAX: Final = 4095
DEPTH_MAX: Final = 100
LINKS_MAX: Final = 40
"""As many symbolic links as the kernel follows on one path. Source: MAXSYMLINKS, include/linux/namei.h."""
DIRECTORY_MODE: Final = 0o755
PERMISSIONS: Final = 0o777
STICKY: Final = 0o1000
SET_ID: Final = 0o6000


@dataclass(frozen=True, slots=True)
class File:
    """A file: where its content lies in the tree's store, and its permissions."""

    offset: int
    size: int
    sha256: str
    mode: int


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory and its permissions; the sticky bit may be among them."""

    mode: int = DIRECTORY_MODE


@dataclass(frozen=True, slots=True)
class Link:
    """A symbolic link. Where it leads is for whoever uses the tree."""

    target: str


Node = File | Directory | Link


class Tree:
    """A file tree. Leaving its context removes the contents.

    Attributes:
        dropped_set_ids_count: Set-user-id and set-group-id bits that were taken away.
        left_out_count: Devices and the like that were not taken in.
    """

    def __init__(self) -> None:
        self._nodes: dict[str, Node] = {"": Directory()}
        self._children: dict[str, set[str]] = {"": set()}
        self._store = tempfile.TemporaryFile()  # noqa: SIM115 - closed by the context of the tree
        self._size = 0
        self.dropped_set_ids_count = 0
        self.left_out_count = 0

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *exception: object) -> None:
        self._store.close()

    def __contains__(self, path: str) -> bool:
        return path in self._nodes

    def __len__(self) -> int:
        return len(self._nodes) - 1

    @property
    def content_bytes(self) -> int:
        """Bytes of all contents that were ever put in."""
        return self._size

    def get(self, path: str) -> Node | None:
        """Return what is at a path of the tree; links are not followed."""
        return self._nodes.get(path)

    def walk(self) -> Iterator[tuple[str, Node]]:
        """Yield everything but the root, each directory before what is in it, in the order of the paths' bytes."""
        for path in sorted(self._nodes, key=_order):
            if path:
                yield path, self._nodes[path]

    def files_below(self, path: str) -> Iterator[tuple[str, File]]:
        """Yield the files below a directory, sorted."""
        for each, node in self.walk():
            if isinstance(node, File) and each.startswith(f"{path}/"):
                yield each, node

    def content(self, file: File) -> bytes:
        """Return all of a file."""
        return b"".join(self.pieces(file))

    def pieces(self, file: File) -> Iterator[bytes]:
        """Yield a file in pieces."""
        position, end = file.offset, file.offset + file.size
        while position < end:
            piece = os.pread(self._store.fileno(), min(PIECE_BYTES, end - position), position)
            if not piece:
                raise EOFError("the store of the tree was cut off")
            position += len(piece)
            yield piece

    def add_directory(self, path: str, mode: int = DIRECTORY_MODE, *, keep_links: bool = True) -> None:
        """Put a directory in, or give one that is there these permissions.

        Args:
            path: Its name.
            mode: Its permissions.
            keep_links: Leave a link to a directory as it is, as package managers do.
        """
        place = self._place(path)
        if keep_links and isinstance(self._nodes.get(place), Link) and self._is_directory(place):
            return
        if not isinstance(self._nodes.get(place), Directory):
            self.remove(place)
        self._set(place, Directory(self._permitted(mode, PERMISSIONS | STICKY)))

    def add_link(self, path: str, target: str) -> None:
        """Put a symbolic link in, instead of what is there."""
        if not target or "\0" in target or len(os.fsencode(target)) > PATH_BYTES_MAX:
            raise _refused("a link leads to what is no path", path)
        self._replace(path, Link(target))

    def add_file(self, path: str, pieces: Iterable[bytes], mode: int = 0o644) -> File:
        """Put a file in, instead of what is there.

        Raises:
            InputError: `input.archive`: its path cannot be in a tree, or the tree has too much.
        """
        offset, digest = self._size, hashlib.sha256()
        for piece in pieces:
            if self._size + len(piece) > CONTENT_BYTES_MAX:
                raise _refused(f"the files have more than {CONTENT_BYTES_MAX} bytes together", path)
            self._store.write(piece)
            digest.update(piece)
            self._size += len(piece)
        self._store.flush()
        file = File(offset, self._size - offset, digest.hexdigest(), self._permitted(mode, PERMISSIONS))
        self._replace(path, file)
        return file

    def add_hard_link(self, path: str, target: str) -> None:
        """Put a file in that has the content of another one.

        Raises:
            InputError: `input.archive`: there is no such file.
        """
        node = self._nodes.get(self._place(target))
        if isinstance(node, Directory) or node is None:
            raise _refused("a hard link leads to no file", path)
        self._replace(path, node)

    def copy(self, path: str, source: Tree, file: File) -> None:
        """Put a file of another tree in."""
        self.add_file(path, source.pieces(file), file.mode)

    def remove(self, path: str) -> None:
        """Take away what is at a path of the tree, with all that is below it; links are not followed."""
        pending = [path]
        while pending:
            each = pending.pop()
            pending.extend(self._children.pop(each, ()))
            self._nodes.pop(each, None)
        self._children.get(_parent(path), set()).discard(path)

    def children(self, path: str) -> tuple[str, ...]:
        """Return the paths directly below a directory, sorted."""
        return tuple(sorted(self._children.get(path, ())))

    def resolved(self, path: str) -> str | None:
        """Return the path that a path leads to, links followed; None when there is nothing, or a circle."""
        try:
            place = self._resolve(path, create=False)
        except InputError:
            return None
        return place if place in self._nodes else None

    def place_of(self, path: str) -> str:
        """Return where an entry of that name lies: links in its directories are followed, a link at its end is not."""
        return self._place(path)

    def _replace(self, path: str, node: Node) -> None:
        place = self._place(path)
        if not place:
            raise _refused("the root of the tree can only be a directory", path)
        self.remove(place)
        self._set(place, node)

    def _set(self, place: str, node: Node) -> None:
        if len(self._nodes) > ENTRIES_MAX:
            raise _refused(f"there are more than {ENTRIES_MAX} files and directories", place)
        self._nodes[place] = node
        if isinstance(node, Directory):
            self._children.setdefault(place, set())
        if place:
            self._children[_parent(place)].add(place)

    def _permitted(self, mode: int, allowed: int) -> int:
        self.dropped_set_ids_count += bool(mode & SET_ID)
        return mode & allowed

    def _is_directory(self, path: str) -> bool:
        place = self.resolved(path)
        return place is not None and isinstance(self._nodes[place], Directory)

    def _place(self, path: str) -> str:
        parts = _parts(path)
        if not parts:
            return ""
        return _joined(self._resolve("/".join(parts[:-1]), create=True), parts[-1])

    def _resolve(self, path: str, *, create: bool) -> str:
        """Follow a path from the root of the tree; `..` of the root is the root, as in a process whose root it is."""
        pending, here, links_count = list(reversed(_split(path))), "", 0
        while pending:
            part = pending.pop()
            if part == "..":
                here = _parent(here)
                continue
            there = _joined(here, part)
            node = self._nodes.get(there)
            if isinstance(node, Link):
                links_count += 1
                if links_count > LINKS_MAX or len(pending) > PATH_BYTES_MAX:
                    raise _refused("links go in a circle", path)
                here = "" if node.target.startswith("/") else here
                pending.extend(reversed(_split(node.target)))
                continue
            if create and not isinstance(node, Directory):
                self._become_directory(there, node)
            here = there
        return here

    def _become_directory(self, place: str, node: Node | None) -> None:
        if node is not None:
            raise _refused("it lies below something that is no directory", place)
        if place.count("/") >= DEPTH_MAX:
            raise _refused(f"it lies more than {DEPTH_MAX} directories deep", place)
        self._set(place, Directory())


def _refused(reason: str, path: str) -> InputError:
    return InputError(f"{quoted(path)}: {reason}", code="input.archive")


def _order(path: str) -> list[bytes]:
    return os.fsencode(path).split(b"/")


def _parent(path: str) -> str:
    return path.rpartition("/")[0]


def _joined(directory: str, name: str) -> str:
    return f"{directory}/{name}" if directory else name


def _split(path: str) -> list[str]:
    return [part for part in path.split("/") if part not in {"", "."}]


def _parts(path: str) -> list[str]:
    """Return the parts of the name of an entry; one that climbs, or is too long for a file system, is refused."""
    parts = _split(path)
    too_long = len(os.fsencode(path)) > PATH_BYTES_MAX or any(len(os.fsencode(p)) > NAME_BYTES_MAX for p in parts)
    if too_long or len(parts) > DEPTH_MAX:
        raise _refused("its path is too long", path)
    if ".." in parts or "\0" in path:
        raise _refused("it names a place outside the tree", path)
    return parts
