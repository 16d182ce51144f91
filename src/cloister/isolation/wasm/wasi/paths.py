"""The functions of WASI that take a path.

Owns what they do, each relative to a directory the guest has. Where a path leads is `namespace`'s; here every act
is on one name in one open directory, without following a link. Nothing but regular files and directories is opened: the
rest (pipes, sockets, devices) leads out of a sandbox, or waits.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final

from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.abi import refusal
from cloister.isolation.wasm.wasi.descriptors import Descriptors, OpenDirectory, OpenFile, Traffic
from cloister.isolation.wasm.wasi.namespace import Namespace, Spot, enter, facts_of, link_at

FILE_MODE: Final = 0o666
DIRECTORY_MODE: Final = 0o777
_OPEN: Final = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY


class Paths:
    """What a guest can do with paths.

    Args:
        namespace: What it sees.
        descriptors: Its table.
        traffic: Counts what passes.
    """

    def __init__(self, namespace: Namespace, descriptors: Descriptors, traffic: Traffic) -> None:
        self._namespace = namespace
        self._descriptors = descriptors
        self._traffic = traffic

    @contextmanager
    def _found(self, number: int, path: bytes, *, follows: bool) -> Iterator[tuple[Spot, bytes, ExitStack]]:
        """Go along a path from a directory of the guest: what holds the last name, and that name."""
        start = self._descriptors.directory(number).spot
        with ExitStack() as opened:
            holder, name = self._namespace.walk(start, path, opened, follows=follows)
            yield holder, name, opened

    @contextmanager
    def _changing(self, number: int, path: bytes) -> Iterator[tuple[Spot, bytes]]:
        """As `_found`, where a name is going to be made, changed or removed; it may be no granted place itself."""
        with self._found(number, path.rstrip(b"/") or path, follows=False) as (holder, name, _):
            if name == b".":
                raise refusal(errno.EBUSY if holder.node is not None else errno.EINVAL)
            holder.require_free(name)
            holder.require_writable()
            yield holder, name

    def facts(self, number: int, flags: int, path: bytes) -> os.stat_result:
        """Return what the host says of a path."""
        with self._found(number, path, follows=bool(flags & abi.FOLLOW)) as (holder, name, opened):
            return facts_of(enter(holder, name, opened))

    def open(self, number: int, flags: int, path: bytes, how: int, rights: int, descriptor_flags: int) -> int:
        """Open a file or directory; return the guest's number of it.

        Args:
            number: The directory that the path starts from.
            flags: Whether a link at its end is followed.
            path: Which.
            how: `CREATE` and its like.
            rights: What is wanted; only reading and writing decide something.
            descriptor_flags: `APPEND` and its like.
        """
        self._descriptors.require_room()
        with self._found(number, path, follows=bool(flags & abi.FOLLOW)) as (holder, name, opened):
            try:
                spot = enter(holder, name, opened)
            except abi.Refused as error:
                if error.number != abi.TO_WASI[errno.ENOENT] or not how & abi.CREATE:
                    raise
                return self._created(holder, name, rights, descriptor_flags, is_directory=path.endswith(b"/"))
            if how & abi.CREATE and how & abi.EXCLUSIVE:
                raise refusal(errno.EEXIST)
            mode = facts_of(spot).st_mode
            if stat.S_ISDIR(mode):
                return self._opened_directory(spot, how, rights)
            _require_file(mode, how)
            return self._opened_file(holder, name, spot, how, rights, descriptor_flags)

    def _opened_directory(self, spot: Spot, how: int, rights: int) -> int:
        if how & (abi.TRUNCATE | abi.CREATE) or (rights & abi.RIGHT_WRITE and not how & abi.ONLY_DIRECTORY):
            raise refusal(errno.EISDIR)
        owns = spot.descriptor >= 0
        held = Spot(os.dup(spot.descriptor) if owns else -1, spot.node, spot.grant)
        return self._descriptors.add(OpenDirectory(held, owns))

    def _opened_file(self, holder: Spot, name: bytes, spot: Spot, how: int, rights: int, flags: int) -> int:
        writes = bool(rights & abi.RIGHT_WRITE) or bool(how & abi.TRUNCATE)
        if writes:
            spot.require_writable()
        reads = bool(rights & abi.RIGHT_READ) or not writes
        descriptor = open_file(holder, name, spot, _access(reads, writes) | _kernel_flags(flags))
        try:
            if how & abi.TRUNCATE:
                os.ftruncate(descriptor, 0)
        except BaseException:
            os.close(descriptor)
            raise
        return self._descriptors.add(OpenFile(descriptor, reads, writes, flags, self._traffic))

    def _created(self, holder: Spot, name: bytes, rights: int, flags: int, *, is_directory: bool) -> int:
        holder.require_writable()
        if is_directory:
            raise refusal(errno.EISDIR)
        reads = bool(rights & abi.RIGHT_READ)
        access = _access(reads, writes=True) | os.O_CREAT | os.O_EXCL
        descriptor = os.open(name, _OPEN | access | _kernel_flags(flags), FILE_MODE, dir_fd=holder.descriptor)
        return self._descriptors.add(OpenFile(descriptor, reads, bool(rights & abi.RIGHT_WRITE), flags, self._traffic))

    def take_mode(self, number: int, path: bytes, of_directory: int) -> None:
        """Give an open file the permission bits of what a path leads to. WASI has no such function."""
        file = self._descriptors.file(number)
        file.require_writable()
        os.fchmod(file.descriptor, stat.S_IMODE(self.facts(of_directory, abi.FOLLOW, path).st_mode) & 0o777)

    def make_directory(self, number: int, path: bytes) -> None:
        """Make a directory."""
        with self._found(number, path.rstrip(b"/") or path, follows=False) as (holder, name, opened):
            try:
                enter(holder, name, opened)
            except abi.Refused as error:
                if error.number != abi.TO_WASI[errno.ENOENT]:
                    raise
            else:
                raise refusal(errno.EEXIST)
            holder.require_writable()
            os.mkdir(name, DIRECTORY_MODE, dir_fd=holder.descriptor)

    def remove_directory(self, number: int, path: bytes) -> None:
        """Remove an empty directory."""
        with self._changing(number, path) as (holder, name):
            os.rmdir(name, dir_fd=holder.descriptor)

    def unlink(self, number: int, path: bytes) -> None:
        """Remove a file or link."""
        with self._changing(number, path) as (holder, name):
            os.unlink(name, dir_fd=holder.descriptor)

    def rename(self, number: int, path: bytes, new_number: int, new_path: bytes) -> None:
        """Give something another name, replacing what has it."""
        with self._changing(number, path) as (holder, name), self._changing(new_number, new_path) as (to, new_name):
            _require_one_grant(holder, to)
            os.rename(name, new_name, src_dir_fd=holder.descriptor, dst_dir_fd=to.descriptor)

    def link(self, number: int, flags: int, path: bytes, new_number: int, new_path: bytes) -> None:
        """Give a file a second name. Not across grants: it could be written through the one and not the other."""
        if flags & abi.FOLLOW:
            raise refusal(errno.EINVAL)
        with (
            self._found(number, path, follows=False) as (holder, name, _),
            self._changing(new_number, new_path) as (
                to,
                new_name,
            ),
        ):
            holder.require_free(name)
            _require_one_grant(holder, to)
            os.link(name, new_name, src_dir_fd=holder.descriptor, dst_dir_fd=to.descriptor, follow_symlinks=False)

    def make_link(self, target: bytes, number: int, path: bytes) -> None:
        """Make a symbolic link. Not an absolute one: it would lead somewhere else for whoever has the host's view."""
        if not target or b"\0" in target:
            raise refusal(errno.EINVAL)
        if target.startswith(b"/"):
            raise abi.Refused(abi.NOT_CAPABLE)
        with self._changing(number, path) as (holder, name):
            os.symlink(target, name, dir_fd=holder.descriptor)

    def read_link(self, number: int, path: bytes) -> bytes:
        """Return where a link leads."""
        with self._found(number, path, follows=False) as (holder, name, opened):
            target = link_at(holder, name)
            if target is None:
                enter(holder, name, opened)
                raise refusal(errno.EINVAL)
            return target

    def set_times(self, number: int, flags: int, path: bytes, times: tuple[int | None, int | None]) -> None:
        """Set when a file was read and changed; None for what stays."""
        with self._found(number, path, follows=bool(flags & abi.FOLLOW)) as (holder, name, opened):
            spot = enter(holder, name, opened)
            spot.require_writable()
            held = spot.node is not None and spot.node.grant is not None
            if held or name == b".":
                raise refusal(errno.EBUSY if held else errno.EINVAL)
            facts = os.fstat(spot.descriptor)
            os.utime(name, ns=chosen_times(facts, times), dir_fd=holder.descriptor, follow_symlinks=False)


def open_file(holder: Spot, name: bytes, spot: Spot, flags: int) -> int:
    """Open the regular file that was found under a name, and return the descriptor.

    Args:
        holder: The directory it was found in.
        name: Its name there.
        spot: What was found.
        flags: The kernel's, beside those that keep it from following a link, or from waiting.

    Raises:
        Refused: ESTALE: something else has that name meanwhile.
        OSError: The kernel does not let it be opened.
    """
    directory = holder.descriptor
    if spot.node is not None and spot.node.holder is not None:
        directory, name = spot.node.holder
    descriptor = os.open(name, _OPEN | flags, dir_fd=directory)
    try:
        _require_same(os.fstat(descriptor), os.fstat(spot.descriptor))
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def chosen_times(facts: os.stat_result, times: tuple[int | None, int | None]) -> tuple[int, int]:
    """Return the times to set, those that stay among them."""
    access, change = times
    return (facts.st_atime_ns if access is None else access, facts.st_mtime_ns if change is None else change)


def _access(reads: bool, writes: bool) -> int:
    return os.O_RDWR if reads and writes else os.O_WRONLY if writes else os.O_RDONLY


def _kernel_flags(flags: int) -> int:
    synchronous = os.O_SYNC if flags & (abi.SYNC | abi.READ_SYNC) else os.O_DSYNC if flags & abi.DATA_SYNC else 0
    return synchronous | (os.O_APPEND if flags & abi.APPEND else 0)


def _require_same(facts: os.stat_result, expected: os.stat_result) -> None:
    if not os.path.samestat(facts, expected):
        raise refusal(errno.ESTALE)  # something else has that name meanwhile


def _require_file(mode: int, how: int) -> None:
    if how & abi.ONLY_DIRECTORY:
        raise refusal(errno.ENOTDIR)
    if stat.S_ISLNK(mode):
        raise refusal(errno.ELOOP)
    if not stat.S_ISREG(mode):
        raise refusal(errno.EACCES)


def _require_one_grant(one: Spot, other: Spot) -> None:
    if one.grant is not other.grant:
        raise refusal(errno.EXDEV)
