"""What a guest sees of the host's files: granted places at their targets, and no way out of them.

Owns the walk along a path. It goes one name at a time from an open directory, never follows a link by the kernel, and
takes `..` back over the directories that it came through, so no link and no rename on the host leads it anywhere else
than below what was granted. Paths and links are a guest's or anybody's. What is opened here leads to a place only
(O_PATH): nothing can be read or written through it.

Links are followed inside what the guest sees, as a kernel would: an absolute one from the root of that.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from cloister.errors import PathDenied, quoted
from cloister.isolation.process.grants import grants_for
from cloister.isolation.process.spec import Grant
from cloister.isolation.provider import Mount
from cloister.isolation.wasm.wasi.abi import NOT_CAPABLE, Refused, refusal

LINKS_MAX: Final = 40
"""Source: MAXSYMLINKS, include/linux/namei.h."""
PATH_BYTES_MAX: Final = 4_095
DEPTH_MAX: Final = 128
"""Directories on the way of one path: each is open until the walk ends."""

_NO_TIMES: Final = {"st_atime_ns": 0, "st_mtime_ns": 0, "st_ctime_ns": 0}
_PLACE: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(slots=True)
class Node:
    """A name in the tree of targets: a granted place, or a directory that is there only to hold some.

    Attributes:
        children: By name.
        grant: What was granted here, or None.
        descriptor: Of the granted place; -1 when there is none.
        holder: Of the directory that holds a granted file on the host, and the file's name there.
    """

    children: dict[bytes, Node] = field(default_factory=dict)
    grant: Grant | None = None
    descriptor: int = -1
    holder: tuple[int, bytes] | None = None


@dataclass(frozen=True, slots=True)
class Spot:
    """A place on the way of a path.

    Attributes:
        descriptor: Of the host's file or directory, for as long as its walk; -1 where there is none behind it.
        node: Where it is in the tree of targets; None below a granted directory.
        grant: What it was reached through; None in a directory that only holds granted places.
    """

    descriptor: int
    node: Node | None
    grant: Grant | None

    @property
    def is_writable(self) -> bool:
        """Whether things may be changed there."""
        return self.grant is not None and self.grant.is_writable

    def require_writable(self) -> None:
        """Go on only where things may be changed.

        Raises:
            Refused: EROFS.
        """
        if not self.is_writable:
            raise refusal(errno.EROFS)

    def require_free(self, name: bytes) -> None:
        """Go on only when nothing was granted under that name: it can be neither removed nor moved.

        Raises:
            Refused: EBUSY.
        """
        if self.node is not None and name in self.node.children:
            raise refusal(errno.EBUSY)


class Namespace:
    """The granted places of one execution. Close it after use.

    Args:
        mounts: What was granted; checked by the authority before.

    Raises:
        PathDenied: A mount names what cannot be shown, or what was replaced since it was permitted.
    """

    def __init__(self, mounts: Iterable[Mount]) -> None:
        self._open = ExitStack()
        self.root = Node()
        try:
            for grant in grants_for(mounts, has_private_directory=False):
                self._place(grant)
        except BaseException:
            self._open.close()
            raise

    def __enter__(self) -> Namespace:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close what is open. Idempotent."""
        self._open.close()

    def top(self) -> Spot:
        """Return the root of what the guest sees."""
        return spot_of(self.root)

    def _place(self, grant: Grant) -> None:
        node = self.root
        for name in _names(os.fsencode(grant.target)):
            node = node.children.setdefault(name, Node())
        *above, last = _names(os.fsencode(grant.source))
        with ExitStack() as passed:
            try:
                holder = os.open("/", _PLACE | os.O_DIRECTORY)
                passed.callback(os.close, holder)
                for name in above:
                    holder = os.open(name, _PLACE | os.O_DIRECTORY, dir_fd=holder)
                    passed.callback(os.close, holder)
                node.descriptor = self._kept(os.open(last, _PLACE, dir_fd=holder))
                node.holder = None if grant.is_directory else (self._kept(os.dup(holder)), last)
            except OSError as error:
                raise _changed(grant, error.strerror) from error
        if not is_same(os.fstat(node.descriptor), grant):
            raise _changed(grant, "it was replaced")
        node.grant = grant

    def _kept(self, descriptor: int) -> int:
        self._open.callback(os.close, descriptor)
        return descriptor

    def walk(self, start: Spot, path: bytes, opened: ExitStack, *, follows: bool) -> tuple[Spot, bytes]:
        """Go along a path up to its last name.

        Args:
            start: The directory that it starts from; nothing above it is reached by `..`.
            path: As the guest gave it.
            opened: Closes what the way goes through.
            follows: Whether a link at the end is followed.

        Returns:
            The directory that holds the last name, and that name; `.` when the path leads to the directory itself.

        Raises:
            Refused: ENOENT, ENOTDIR, ELOOP, ENAMETOOLONG, or not capable: it leads above its start.
        """
        _require_path(path)
        way, pending, links_count = [start], _parts(path), 0
        while pending:
            name = pending.pop()
            if name == b".":
                continue
            if name == b"..":
                self._step_back(way)
                continue
            target = link_at(way[-1], name)
            if target is not None and (pending or follows):
                links_count += 1
                if links_count > LINKS_MAX:
                    raise refusal(errno.ELOOP)
                pending += _parts(target)
                way = [self.top()] if target.startswith(b"/") else way
            elif not pending:
                return way[-1], name
            elif len(way) >= DEPTH_MAX or len(pending) > PATH_BYTES_MAX:
                raise refusal(errno.ENAMETOOLONG)
            else:
                way.append(enter(way[-1], name, opened, is_directory=True))
        return way[-1], b"."

    def _step_back(self, way: list[Spot]) -> None:
        if len(way) > 1:
            way.pop()
        elif way[0].node is not self.root:
            raise Refused(NOT_CAPABLE)


def spot_of(node: Node) -> Spot:
    """Return the place that a node of the tree stands for."""
    return Spot(node.descriptor, node, node.grant)


def enter(spot: Spot, name: bytes, opened: ExitStack, *, is_directory: bool = False) -> Spot:
    """Return what a directory holds under a name, without following a link.

    Args:
        spot: The directory.
        name: One name, or `.` for the directory itself.
        opened: Closes it.
        is_directory: Whether nothing else will do.

    Raises:
        Refused: Whatever the kernel says.
    """
    if name == b".":
        return spot
    node = spot.node.children.get(name) if spot.node is not None else None
    if node is not None and node.grant is not None:
        if is_directory and not node.grant.is_directory:
            raise refusal(errno.ENOTDIR)
        return spot_of(node)
    if spot.descriptor >= 0:
        try:
            descriptor = os.open(name, _PLACE | (os.O_DIRECTORY if is_directory else 0), dir_fd=spot.descriptor)
        except FileNotFoundError:
            if node is None:
                raise refusal(errno.ENOENT) from None
        except OSError as error:
            raise refusal(error.errno or errno.EIO) from error
        else:
            opened.callback(os.close, descriptor)
            return Spot(descriptor, node, spot.grant)
    if node is None:
        raise refusal(errno.ENOENT)
    return Spot(-1, node, None)


def link_at(spot: Spot, name: bytes) -> bytes | None:
    """Return where a link leads that a directory holds under a name; None when there is no link of that name."""
    if spot.descriptor < 0 or (spot.node is not None and name in spot.node.children):
        return None
    try:
        return os.readlink(name, dir_fd=spot.descriptor)
    except OSError:  # whatever it is, or is not: the next step finds out
        return None


def facts_of(spot: Spot) -> os.stat_result:
    """Return what the host says of a place; a directory that only holds granted places looks like an empty one."""
    if spot.descriptor >= 0:
        return os.fstat(spot.descriptor)
    return os.stat_result((stat.S_IFDIR | 0o555, 0, 0, 2, 0, 0, 0, 0, 0, 0), _NO_TIMES)


def is_same(facts: os.stat_result, grant: Grant) -> bool:
    """Say whether a file is the one that was granted."""
    return (facts.st_dev, facts.st_ino) == (grant.device, grant.inode)


def _require_path(path: bytes) -> None:
    if not path:
        raise refusal(errno.ENOENT)
    if len(path) > PATH_BYTES_MAX:
        raise refusal(errno.ENAMETOOLONG)
    if b"\0" in path:
        raise refusal(errno.EINVAL)
    if path.startswith(b"/"):
        raise Refused(NOT_CAPABLE)


def _names(path: bytes) -> list[bytes]:
    return [name for name in path.split(b"/") if name]


def _parts(path: bytes) -> list[bytes]:
    """Return the names of a path, the first one last; a slash at its end says that it is a directory."""
    names = _names(path)
    return [b".", *reversed(names)] if path.endswith(b"/") else names[::-1]


def _changed(grant: Grant, reason: str | None) -> PathDenied:
    return PathDenied(
        f'the granted path "{quoted(grant.source)}" was refused: {reason}',
        code="denied.path-changed",
        hint="grant the path that is there now; a path that changes while it is used is not followed",
    )
