"""The functions of WASI that take a path, as a guest calls them.

Owns the way between numbers in a guest's memory and `paths`.
"""

from __future__ import annotations

import errno
from functools import partial
from typing import Final

from cloister.isolation.wasm.store import GuestMemory, HostFunction, Imports
from cloister.isolation.wasm.wasi.abi import refusal
from cloister.isolation.wasm.wasi.answering import answered
from cloister.isolation.wasm.wasi.file_calls import asked_times, put_facts
from cloister.isolation.wasm.wasi.namespace import PATH_BYTES_MAX
from cloister.isolation.wasm.wasi.paths import Paths
from cloister.isolation.wasm.wasi.times import Times

OWN_MODULE: Final = "cloister"
ROOT: Final = 3
"""The one directory that modules of ours have."""
MASK: Final = 2**32 - 1


class PathCalls:
    """These functions for one guest.

    Args:
        paths: What it can do with paths.
        times: Say what is now, for the times of files.
    """

    def __init__(self, *, paths: Paths, times: Times) -> None:
        self._paths = paths
        self._times = times

    def path_create_directory(self, memory: GuestMemory, number: int, place: int, length: int) -> None:
        """Make a directory."""
        self._paths.make_directory(number, _path(memory, place, length))

    def path_filestat_get(
        self, memory: GuestMemory, number: int, flags: int, place: int, length: int, result_at: int
    ) -> None:
        """Tell about what a path leads to."""
        put_facts(memory, result_at, self._paths.facts(number, flags, _path(memory, place, length)))

    def path_filestat_set_times(
        self,
        memory: GuestMemory,
        number: int,
        flags: int,
        place: int,
        length: int,
        access: int,
        change: int,
        which: int,
    ) -> None:
        """Set when what a path leads to was read and changed."""
        times = asked_times(self._times, access, change, which)
        self._paths.set_times(number, flags, _path(memory, place, length), times)

    def path_link(
        self,
        memory: GuestMemory,
        number: int,
        flags: int,
        place: int,
        length: int,
        new_number: int,
        new_place: int,
        new_length: int,
    ) -> None:
        """Give a file a second name."""
        path, new_path = _path(memory, place, length), _path(memory, new_place, new_length)
        self._paths.link(number, flags, path, new_number, new_path)

    def path_open(
        self,
        memory: GuestMemory,
        number: int,
        flags: int,
        place: int,
        length: int,
        how: int,
        rights: int,
        _: int,
        descriptor_flags: int,
        result_at: int,
    ) -> None:
        """Open what a path leads to."""
        memory.require(result_at, 4)
        path = _path(memory, place, length)
        memory.write_int(result_at, self._paths.open(number, flags, path, how, rights, descriptor_flags), 4)

    def path_readlink(
        self,
        memory: GuestMemory,
        number: int,
        place: int,
        length: int,
        target_at: int,
        target_bytes: int,
        result_at: int,
    ) -> None:
        """Tell where a link leads."""
        target = self._paths.read_link(number, _path(memory, place, length))[:target_bytes]
        memory.write(target_at, target)
        memory.write_int(result_at, len(target), 4)

    def path_remove_directory(self, memory: GuestMemory, number: int, place: int, length: int) -> None:
        """Remove an empty directory."""
        self._paths.remove_directory(number, _path(memory, place, length))

    def path_rename(
        self, memory: GuestMemory, number: int, place: int, length: int, new_number: int, at: int, new_length: int
    ) -> None:
        """Give something another name."""
        path, new_path = _path(memory, place, length), _path(memory, at, new_length)
        self._paths.rename(number, path, new_number, new_path)

    def path_symlink(
        self, memory: GuestMemory, target_at: int, target_length: int, number: int, place: int, length: int
    ) -> None:
        """Make a symbolic link."""
        self._paths.make_link(_path(memory, target_at, target_length), number, _path(memory, place, length))

    def path_unlink_file(self, memory: GuestMemory, number: int, place: int, length: int) -> None:
        """Remove a file or link."""
        self._paths.unlink(number, _path(memory, place, length))


def mode_function(paths: Paths) -> Imports:
    """Return the one function that modules of ours have beside WASI, whose files have no permission bits."""

    def take_mode(memory: GuestMemory, number: int, place: int, length: int) -> None:
        paths.take_mode(number, _path(memory, place, length), ROOT)

    act = partial(answered, take_mode, (MASK, MASK, MASK))
    return {(OWN_MODULE, "take_mode"): HostFunction(parameters=("i32",) * 3, results=("i32",), act=act)}


def _path(memory: GuestMemory, place: int, length: int) -> bytes:
    if length > PATH_BYTES_MAX:
        raise refusal(errno.ENAMETOOLONG)
    return memory.read(place, length)
