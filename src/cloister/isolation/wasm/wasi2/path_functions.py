"""Paths of components: the functions of `wasi:filesystem` that take one.

Owns the way between their words and `paths`, which modules use, too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from cloister.isolation.wasm.components.values import Case, Handle
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi2.files import METHOD, Files, Numbered, identity, text_of, told_facts
from cloister.isolation.wasm.wasi2.handles import Handles
from cloister.isolation.wasm.wasi2.refusals import coded
from cloister.isolation.wasm.wasi2.surroundings import Surroundings

_HOW: Final = {
    "create": abi.CREATE, "directory": abi.ONLY_DIRECTORY, "exclusive": abi.EXCLUSIVE, "truncate": abi.TRUNCATE,
}  # fmt: skip
_RIGHTS: Final = {"read": abi.RIGHT_READ, "write": abi.RIGHT_WRITE}
_SYNC: Final = {
    "file-integrity-sync": abi.SYNC, "data-integrity-sync": abi.DATA_SYNC, "requested-write-sync": abi.READ_SYNC,
}  # fmt: skip


class PathFunctions:
    """These functions for one guest.

    Args:
        around: What it has.
        handles: Its handles.
        files: Its other functions of files.
    """

    def __init__(self, around: Surroundings, handles: Handles, files: Files) -> None:
        self._paths = around.paths
        self._handles = handles
        self._files = files

    def functions(self) -> Mapping[str, Callable[..., Any]]:
        """Return them by name."""
        return {
            f"{METHOD}open-at": self.open_at,
            f"{METHOD}stat-at": self.stat_at,
            f"{METHOD}set-times-at": self.set_times_at,
            f"{METHOD}create-directory-at": self.create_directory_at,
            f"{METHOD}remove-directory-at": self.remove_directory_at,
            f"{METHOD}unlink-file-at": self.unlink_file_at,
            f"{METHOD}rename-at": self.rename_at,
            f"{METHOD}link-at": self.link_at,
            f"{METHOD}symlink-at": self.symlink_at,
            f"{METHOD}readlink-at": self.readlink_at,
            f"{METHOD}metadata-hash-at": self.metadata_hash_at,
        }

    @coded
    def open_at(
        self, handle: Handle, lookup: tuple[str, ...], path: str, how: tuple[str, ...], flags: tuple[str, ...]
    ) -> Handle:
        """Open what a path leads to."""
        number = self._paths.open(
            self._files.number_of(handle),
            _lookup(lookup),
            _bytes(path),
            _bits(how, _HOW),
            _bits(flags, _RIGHTS),
            _bits(flags, _SYNC),
        )
        return self._handles.add("descriptor", Numbered(number))

    @coded
    def stat_at(self, handle: Handle, lookup: tuple[str, ...], path: str) -> dict[str, object]:
        """Tell about what a path leads to."""
        return told_facts(self._paths.facts(self._files.number_of(handle), _lookup(lookup), _bytes(path)))

    @coded
    def set_times_at(self, handle: Handle, lookup: tuple[str, ...], path: str, access: Case, change: Case) -> None:
        """Set when what a path leads to was read and changed."""
        times = self._files.asked_times(access, change)
        self._paths.set_times(self._files.number_of(handle), _lookup(lookup), _bytes(path), times)

    @coded
    def create_directory_at(self, handle: Handle, path: str) -> None:
        """Make a directory."""
        self._paths.make_directory(self._files.number_of(handle), _bytes(path))

    @coded
    def remove_directory_at(self, handle: Handle, path: str) -> None:
        """Remove an empty directory."""
        self._paths.remove_directory(self._files.number_of(handle), _bytes(path))

    @coded
    def unlink_file_at(self, handle: Handle, path: str) -> None:
        """Remove a file or link."""
        self._paths.unlink(self._files.number_of(handle), _bytes(path))

    @coded
    def rename_at(self, handle: Handle, path: str, new_handle: Handle, new_path: str) -> None:
        """Give something another name."""
        numbers = self._files.number_of(handle), self._files.number_of(new_handle)
        self._paths.rename(numbers[0], _bytes(path), numbers[1], _bytes(new_path))

    @coded
    def link_at(self, handle: Handle, lookup: tuple[str, ...], path: str, new_handle: Handle, new_path: str) -> None:
        """Give a file a second name."""
        numbers = self._files.number_of(handle), self._files.number_of(new_handle)
        self._paths.link(numbers[0], _lookup(lookup), _bytes(path), numbers[1], _bytes(new_path))

    @coded
    def symlink_at(self, handle: Handle, target: str, path: str) -> None:
        """Make a symbolic link."""
        self._paths.make_link(_bytes(target), self._files.number_of(handle), _bytes(path))

    @coded
    def readlink_at(self, handle: Handle, path: str) -> str:
        """Tell where a link leads."""
        return text_of(self._paths.read_link(self._files.number_of(handle), _bytes(path)))

    @coded
    def metadata_hash_at(self, handle: Handle, lookup: tuple[str, ...], path: str) -> dict[str, int]:
        """Return what tells what a path leads to apart from others."""
        return identity(self._paths.facts(self._files.number_of(handle), _lookup(lookup), _bytes(path)))


def _bits(names: Iterable[str], table: Mapping[str, int]) -> int:
    return sum(table.get(name, 0) for name in names)


def _lookup(names: tuple[str, ...]) -> int:
    return abi.FOLLOW if "symlink-follow" in names else 0


def _bytes(path: str) -> bytes:
    return path.encode("utf-8")
