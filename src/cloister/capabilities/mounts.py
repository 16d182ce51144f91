"""Which host paths a file operation must see.

Owns the rules from a resolved path to mounts; looks at the host's directory entries (`lstat`) but never at content.
"""

from __future__ import annotations

import os
import posixpath
from collections.abc import Collection
from pathlib import PurePosixPath

from cloister.authority.policy import covering_root
from cloister.errors import GuestError, quoted
from cloister.isolation.provider import Mount, MountMode


def read_mounts(path: str) -> tuple[Mount, ...]:
    """Return the mount that shows one resolved path read-only; none when it does not exist."""
    return (Mount(source=path, target=path),) if os.path.lexists(path) else ()


def entry_mounts(path: str, granted: Collection[str]) -> tuple[Mount, ...]:
    """Return the writable mount of the directory that holds, or will hold, the entry.

    When several parents are missing it is the nearest one that exists, so that they can be made; but only inside the
    grants, because a directory above them is not the plan's to change.

    Args:
        path: A resolved path that may be written.
        granted: Roots of everything that may be written.

    Raises:
        GuestError: `IoError`, code `guest.io`, when no such directory exists.
    """
    for parent in map(str, PurePosixPath(path).parents):
        if os.path.isdir(parent):  # noqa: PTH112 - resolved already
            if parent == posixpath.dirname(path) or covering_root(parent, granted) is not None:
                return (Mount(source=parent, target=parent, mode=MountMode.READ_WRITE),)
            break
    raise GuestError(
        f'cannot write "{quoted(path)}": ENOENT (the directory that would hold it does not exist)',
        kind="IoError",
        code="guest.io",
        hint="make it before the run, or grant a directory that exists",
        details={"errno": "ENOENT", "path": quoted(path, 1_000)},
    )


def tree_mounts(read_paths: tuple[str, ...], write_paths: tuple[str, ...]) -> tuple[Mount, ...]:
    """Return mounts that show whole trees to a script: written ones read-write, the others read-only."""
    writable = tuple(Mount(source=path, target=path, mode=MountMode.READ_WRITE) for path in dict.fromkeys(write_paths))
    readable = (Mount(source=path, target=path) for path in dict.fromkeys(read_paths) if path not in write_paths)
    return (*readable, *writable)
