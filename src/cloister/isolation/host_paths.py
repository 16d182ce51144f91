"""Where a path really leads on this host.

Owns path resolution for authorization: the canonical path with every symbolic link followed, made absolute from the
directory the run started in. It looks at directory entries only. What is decided on the answer is enforced again when
the path is mounted, without following links, so a link that is swapped in between is refused, not followed.
"""

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
        canonical = os.path.realpath(os.path.join(self._base, path))  # noqa: PTH118 - pathlib would be ten times slower
        try:
            mode = os.lstat(canonical).st_mode
        except (FileNotFoundError, NotADirectoryError):
            return ResolvedPath(path=canonical, exists=False, is_directory=False)
        if stat.S_ISLNK(mode):
            raise OSError(errno.ELOOP, "the links lead in a circle", path)
        return ResolvedPath(path=canonical, exists=True, is_directory=stat.S_ISDIR(mode))
