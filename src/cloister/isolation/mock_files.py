"""The file operations of the guest over a tree in memory, for the mock provider.

Owns a tree of files and what one execution sees of it: what lies below its mounts. Answers and refusals are those of
the real operations in `isolation.guest`.
"""

from __future__ import annotations

import base64
import errno
import os
import posixpath
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from cloister.authority.policy import is_within
from cloister.isolation.guest.files import (
    content_of,
    content_of_base64,
    require_readable_size,
    require_writable_size,
    text_of,
)
from cloister.isolation.guest.io_errors import io_errors
from cloister.isolation.provider import Mount, MountMode
from cloister.limits import ResourceLimits


def _refusal(number: int) -> OSError:
    return OSError(number, os.strerror(number))


class MemoryTree:
    """Files and directories by absolute path. A directory exists when it was made or something is below it.

    Args:
        files: Content by path.
    """

    def __init__(self, files: Mapping[str, bytes]) -> None:
        self.files: dict[str, bytes] = {}
        self.directories: set[str] = {"/"}
        for path, content in files.items():
            self.make_directory(posixpath.dirname(path))
            self.files[path] = content

    def __repr__(self) -> str:
        return f"MemoryTree({len(self.files)} files, {len(self.directories)} directories)"

    def make_directory(self, path: str) -> None:
        """Make a directory and those above it."""
        while path not in self.directories:
            self.directories.add(path)
            path = posixpath.dirname(path)

    def children(self, path: str) -> list[str]:
        """Return the paths directly below a directory, sorted by name."""
        below = (each for each in (*self.files, *self.directories) if each != "/" and posixpath.dirname(each) == path)
        return sorted(below)

    def remove(self, path: str) -> None:
        """Remove a file, or a directory with everything below it."""
        self.files = {each: content for each, content in self.files.items() if not is_within(each, path)}
        self.directories = {each for each in self.directories if not is_within(each, path)}


class MemoryView:
    """What one execution sees: the mounted parts of a tree under their targets.

    Args:
        tree: The tree that stands for the host's files; writing through a writable mount changes it.
        mounts: Of the execution.
    """

    def __init__(self, tree: MemoryTree, mounts: Sequence[Mount]) -> None:
        self._tree = tree
        self._mounts = sorted(mounts, key=lambda mount: len(mount.target), reverse=True)

    def place_of(self, path: str, *, writing: bool) -> str:
        """Return the path in the tree that a path of the execution leads to.

        Raises:
            OSError: ENOENT when it is not visible; EROFS when it is to be written and is visible for reading only.
        """
        normal = posixpath.normpath(posixpath.join("/", path))
        for mount in self._mounts:
            if is_within(normal, mount.target):
                if writing and mount.mode is MountMode.READ_ONLY:
                    raise _refusal(errno.EROFS)
                return posixpath.normpath(mount.source + normal[len(mount.target.rstrip("/")) :])
        raise _refusal(errno.ENOENT)

    def exists(self, path: str) -> bool:
        """Tell whether a path leads to something that is visible."""
        try:
            place = self.place_of(path, writing=False)
        except FileNotFoundError:
            return False
        return place in self._tree.files or place in self._tree.directories

    def read(self, path: str, limits: ResourceLimits) -> bytes:
        """Return a file's content, when it is not larger than one value may be."""
        tree, place = self._tree, self.place_of(path, writing=False)
        if place in tree.directories:
            raise _refusal(errno.EISDIR)
        if place not in tree.files:
            raise _refusal(errno.ENOENT)
        content = tree.files[place]
        require_readable_size(path, len(content), limits)
        return content

    def write(self, path: str, content: bytes, limits: ResourceLimits) -> dict[str, int]:
        """Replace or create a file."""
        require_writable_size(path, len(content), limits)
        tree, place = self._tree, self.place_of(path, writing=True)
        if place in tree.directories:
            raise _refusal(errno.EISDIR)
        self._require_parent(tree, place)
        tree.files[place] = content
        return {"bytes": len(content)}

    def delete(self, path: str, *, recursive: bool) -> bool:
        """Delete a file, an empty directory, or a whole directory when `recursive`."""
        tree, place = self._tree, self.place_of(path, writing=True)
        if place not in tree.files and place not in tree.directories:
            raise _refusal(errno.ENOENT)
        if not recursive and tree.children(place):
            raise _refusal(errno.ENOTEMPTY)
        tree.remove(place)
        return True

    def make_directory(self, path: str, *, parents: bool) -> bool:
        """Make a directory; with `parents` those above it too."""
        tree, place = self._tree, self.place_of(path, writing=True)
        if place in tree.files or (place in tree.directories and not parents):
            raise _refusal(errno.EEXIST)
        if not parents:
            self._require_parent(tree, place)
        tree.make_directory(place)
        return True

    def list(self, path: str) -> list[dict[str, Any]]:
        """Return what is in a directory, as the real operation shows it."""
        tree, place = self._tree, self.place_of(path, writing=False)
        if place in tree.files:
            raise _refusal(errno.ENOTDIR)
        if place not in tree.directories:
            raise _refusal(errno.ENOENT)
        return [_described(tree, child, path) for child in tree.children(place)]

    @staticmethod
    def _require_parent(tree: MemoryTree, place: str) -> None:
        parent = posixpath.dirname(place)
        if parent not in tree.directories:
            raise _refusal(errno.ENOTDIR if parent in tree.files else errno.ENOENT)


def _described(tree: MemoryTree, place: str, listed_path: str) -> dict[str, Any]:
    name = posixpath.basename(place)
    return {
        "name": name,
        "path": posixpath.join(listed_path, name),
        "is_dir": place in tree.directories,
        "is_file": place in tree.files,
        "size": len(tree.files.get(place, b"")),
    }


_Act = Callable[[MemoryView, Mapping[str, Any], ResourceLimits], Any]

_ACTS: Final[Mapping[str, tuple[str, _Act]]] = {
    "file_exists": ("look at", lambda view, given, _: view.exists(given["path"])),
    "read_file": ("read", lambda view, given, limits: text_of(view.read(given["path"], limits), given["path"])),
    "read_file_base64": (
        "read",
        lambda view, given, limits: base64.b64encode(view.read(given["path"], limits)).decode("ascii"),
    ),
    "write_file": ("write", lambda view, given, limits: view.write(given["path"], content_of(given), limits)),
    "write_file_base64": (
        "write",
        lambda view, given, limits: view.write(given["path"], content_of_base64(given), limits),
    ),
    "delete_file": (
        "delete",
        lambda view, given, _: view.delete(given["path"], recursive=given.get("recursive", False)),
    ),
    "make_directory": (
        "make directory",
        lambda view, given, _: view.make_directory(given["path"], parents=given.get("recursive", False)),
    ),
    "list_directory": ("list", lambda view, given, _: view.list(given["path"])),
}

FILE_OPERATIONS: Final = frozenset(_ACTS)
"""The operations that `run_file_operation` knows."""


def run_file_operation(view: MemoryView, name: str, arguments: Mapping[str, Any], limits: ResourceLimits) -> Any:
    """Do one operation of `FILE_OPERATIONS`, with arguments that have its shape.

    Raises:
        GuestError: `IoError`, as the real operation.
        LimitExceeded: As the real operation.
    """
    what, act = _ACTS[name]
    with io_errors(what, arguments["path"], limits):
        return act(view, arguments, limits)
