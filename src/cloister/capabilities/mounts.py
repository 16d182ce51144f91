"""Which host paths a file operation must see.

Owns the rules from a resolved path to mounts; looks at the host's directory entries (`lstat`) but never at content.
"""

from __future__ import annotations

import os
from pathlib import PurePosixPath

from cloister.isolation.provider import Mount, MountMode


def read_mounts(path: str) -> tuple[Mount, ...]:
    """Return the mount that shows one resolved path read-only; none when it does not exist."""
    return (Mount(source=path, target=path),) if os.path.lexists(path) else ()


def entry_mounts(path: str) -> tuple[Mount, ...]:
    """Return the writable mount of the directory that holds, or will hold, the entry; none when it does not exist.

    For a path several of whose parents are missing this is the nearest parent that exists, so that they can be made.
    """
    for parent in PurePosixPath(path).parents:
        if os.path.lexists(parent):
            return (Mount(source=str(parent), target=str(parent), mode=MountMode.READ_WRITE),)
    return ()


def tree_mounts(read_paths: tuple[str, ...], write_paths: tuple[str, ...]) -> tuple[Mount, ...]:
    """Return mounts that show whole trees to a script: written ones read-write, the others read-only."""
    writable = tuple(Mount(source=path, target=path, mode=MountMode.READ_WRITE) for path in dict.fromkeys(write_paths))
    readable = (Mount(source=path, target=path) for path in dict.fromkeys(read_paths) if path not in write_paths)
    return (*readable, *writable)
