"""Where a path really leads on this host.

Owns path resolution for authorization: the canonical path with every symbolic link followed, made absolute from the
directory the run started in. It looks at directory entries only. What is decided on the answer is enforced again when
the path is mounted, without following links, so a link that is swapped in between is refused, not followed.
"""

# ruff: noqa: PTH115, PTH118 - this is on the path of every decision, and pathlib would take most of its time

from __future__ import annotations

import errno
import os
import stat
from pathlib import Path

from cloister.authority.policy import ResolvedPath


class HostPathResolver:
    """Resolves paths of this host; implements `cloister.authority.policy.PathResolver`.

    Args:
        base: Absolute directory that relative paths start from.
    """

    def __init__(self, base: Path) -> None:
        self._base = str(base)

    def resolve(self, path: str) -> ResolvedPath:
        """Return the canonical absolute path, and what is there now.

        Raises:
            OSError: Where it leads cannot be known: links in a circle, a directory that may not be searched.
            ValueError: The text cannot be a path.
        """
        absolute = path if path.startswith("/") else os.path.join(self._base, path)
        try:
            descriptor = os.open(absolute, os.O_PATH | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return _resolve_by_parts(absolute)
        try:
            # The kernel has followed every link already; what it opened is named here (proc_pid_fd(5))
            canonical, facts = os.readlink(f"/proc/self/fd/{descriptor}"), os.fstat(descriptor)
        finally:
            os.close(descriptor)
        if not facts.st_nlink or not canonical.startswith("/"):
            return _resolve_by_parts(absolute)
        return ResolvedPath(path=canonical, exists=True, is_directory=stat.S_ISDIR(facts.st_mode))


def _resolve_by_parts(absolute: str) -> ResolvedPath:
    """Resolve a path whose last parts may not exist, by looking at one part after the other."""
    canonical = os.path.realpath(absolute)
    try:
        mode = os.lstat(canonical).st_mode
    except (FileNotFoundError, NotADirectoryError):
        return ResolvedPath(path=canonical, exists=False, is_directory=False)
    if stat.S_ISLNK(mode):
        raise OSError(errno.ELOOP, "the links lead in a circle", absolute)
    return ResolvedPath(path=canonical, exists=True, is_directory=stat.S_ISDIR(mode))
