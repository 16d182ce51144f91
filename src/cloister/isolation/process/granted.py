"""Granted host paths in the file system of a sandbox.

Owns how they are opened, compared and mounted. A source is opened without following a single symbolic link and compared
with what the host saw, so nothing swapped in between can be mounted; the opened object itself is copied, never its
path. Each gets its rule of Landlock. Runs in the first process. Standard library only; part of the guest set.

Source: openat2(2), open_tree(2).
"""

from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from typing import Final

from cloister.isolation.process import mounts, syscalls
from cloister.isolation.process.calls import AT_ONCE
from cloister.isolation.process.landlock import Place
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.mounts import MOUNT_ATTR_RDONLY, PLAIN
from cloister.isolation.process.root import Root
from cloister.isolation.process.spec import Grant
from cloister.isolation.process.steps import GrantRefused

KERNEL_FILESYSTEMS: Final = frozenset(
    {"proc", "sysfs", "devtmpfs", "devpts", "cgroup", "cgroup2", "debugfs", "tracefs", "securityfs", "bpf", "mqueue"}
)
"""File systems that show the kernel or other processes; none may come in below a granted directory."""

_PLACES: Final = {
    (False, False): Place.READ,
    (False, True): Place.READ_EXECUTE,
    (True, False): Place.WRITE,
    (True, True): Place.WRITE_EXECUTE,
}
"""What a grant allows: by whether it is writable, and whether programs may be executed."""


def add_to(root: Root, granted: Sequence[Grant], *, can_execute: bool) -> None:
    """Add granted host paths, outer ones first.

    Args:
        root: Under construction.
        granted: The paths.
        can_execute: Whether programs there may be executed.

    Raises:
        GrantRefused: When one is not what the host saw, or has no place inside.
    """
    if not granted:
        return
    _refuse_kernel_mounts([grant.source for grant in granted])
    own_devices = root.own_devices()
    for grant in sorted(granted, key=lambda grant: grant.target.count("/")):
        _add(root, grant, own_devices, can_execute)


def _add(root: Root, grant: Grant, own_devices: set[int], can_execute: bool) -> None:
    try:
        source_fd = _open_source(grant.source, follows=Mechanism.SAFE_BINDS in root.without)
    except OSError as error:
        raise GrantRefused(grant.source, _source_reason(error), error.errno or 0) from error
    try:
        seen = os.fstat(source_fd)
        if (seen.st_dev, seen.st_ino) != (grant.device, grant.inode):
            raise GrantRefused(grant.source, "it was replaced by something else after it was granted")
        _make_target(root, grant, own_devices)
        # All submounts come along, because the kernel lets no one look under them
        tree_fd = mounts.copy_of(AT_ONCE, source_fd, "", syscalls.AT_EMPTY_PATH | syscalls.AT_RECURSIVE)
        attributes = PLAIN if grant.is_writable else PLAIN | MOUNT_ATTR_RDONLY
        mounts.attach_copy(AT_ONCE, tree_fd, root.fd, grant.target[1:], attributes)
        place = _PLACES[grant.is_writable, can_execute]
        root.ruleset.allow(source_fd, place, is_directory=grant.is_directory)
    finally:
        os.close(source_fd)


def _make_target(root: Root, grant: Grant, own_devices: set[int]) -> None:
    """Make the place for a grant in the sandbox's own file systems, never in a granted directory of the host."""
    parts = grant.target[1:].split("/")
    for depth in range(1, len(parts) + 1):
        path = "/".join(parts[:depth])
        is_file = depth == len(parts) and not grant.is_directory
        if _is_there(root, path, grant):
            continue
        if os.stat(path.rpartition("/")[0] or ".", dir_fd=root.fd).st_dev not in own_devices:
            raise GrantRefused(grant.target, "its place lies in another granted directory and is missing there")
        root.make_file(path) if is_file else os.mkdir(path, 0o755, dir_fd=root.fd)


def _is_there(root: Root, path: str, grant: Grant) -> bool:
    resolve = syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS | syscalls.RESOLVE_BENEATH
    try:
        found = syscalls.openat2(root.fd, path, os.O_PATH | os.O_CLOEXEC, resolve)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise GrantRefused(grant.target, "its place inside is behind a symbolic link or a file") from error
    os.close(found)
    return True


def _open_source(path: str, *, follows: bool) -> int:
    resolve = 0 if follows else syscalls.RESOLVE_NO_SYMLINKS | syscalls.RESOLVE_NO_MAGICLINKS
    return syscalls.openat2(syscalls.AT_FDCWD, path, os.O_PATH | os.O_CLOEXEC, resolve)


def _source_reason(error: OSError) -> str:
    if error.errno == errno.ELOOP:
        return "a symbolic link is in its place"
    return f"it cannot be opened ({os.strerror(error.errno or 0)})"


def _refuse_kernel_mounts(sources: list[str]) -> None:
    """Refuse sources that have the host's /proc or the like below them; those would come in with the rest.

    Source: proc_pid_mountinfo(5): field 5 is the mount point, octal escapes in it; the type follows the lone hyphen.
    """
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
        for line in table:
            fields = line.split(" ")
            if fields[fields.index("-") + 1] not in KERNEL_FILESYSTEMS:
                continue
            for source in sources:
                if fields[4].startswith(source.replace(" ", "\\040") + "/"):
                    raise GrantRefused(source, f"{fields[4]} below it shows the host's kernel or processes")
