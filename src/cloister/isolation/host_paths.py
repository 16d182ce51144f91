"""Where a path really leads on this host.

Owns path resolution for authorization: the canonical path with links followed, made absolute from the directory the
run started in. It looks at directory entries only. What is decided on the answer is enforced again when the path is
mounted, without following links, so a link that is swapped in between is refused, not followed.
"""

# ruff: noqa: PTH115, PTH118 - this is on the path of every decision, and pathlib would take most of its time

from __future__ import annotations

import errno
import os
import posixpath
import stat
from collections.abc import Collection
from pathlib import Path
from typing import Final

from cloister.authority.policy import ResolvedPath, covering_root, is_canonical, is_kernel_path, is_within
from cloister.isolation.process.syscalls import AT_FDCWD, RESOLVE_NO_SYMLINKS, openat2

LINKS_MAX: Final = 40
"""Links followed before a circle is assumed. Source: MAXSYMLINKS, include/linux/namei.h."""
_LOOKING: Final = os.O_PATH | os.O_CLOEXEC


class HostPathResolver:
    """Resolves paths of this host; implements `cloister.authority.policy.PathResolver`.

    Args:
        base: Absolute directory that relative paths start from.
    """

    def __init__(self, base: Path) -> None:
        self._base = str(base)

    def resolve(self, path: str, roots: Collection[str]) -> ResolvedPath:
        """Return the canonical absolute path, and what is there now; see `PathResolver.resolve`.

        Raises:
            OSError: Where it leads cannot be known: links in a circle, a directory that may not be searched.
            ValueError: The text cannot be a path.
        """
        asked = path if is_canonical(path) else posixpath.normpath(os.path.join(self._base, path))
        try:
            # The kernel says in one call whether something is there, with no link on the way (openat2(2))
            descriptor = openat2(AT_FDCWD, asked, _LOOKING, RESOLVE_NO_SYMLINKS)
        except OSError:
            return _Walk(asked, roots).result()
        try:
            mode = os.fstat(descriptor).st_mode
        finally:
            os.close(descriptor)
        return ResolvedPath(asked=asked, path=asked, exists=True, is_directory=stat.S_ISDIR(mode))


class _Walk:
    """Resolves one path part by part, where links or missing parts are on the way.

    Args:
        asked: Absolute, without `..`.
        roots: What is granted.
    """

    def __init__(self, asked: str, roots: Collection[str]) -> None:
        self._asked = asked
        self._roots = roots
        self._reached = "/"
        self._left = asked.strip("/").split("/")[::-1] if asked != "/" else []
        self._links_count = 0
        self._is_careful = False
        self._mode = stat.S_IFDIR

    def result(self) -> ResolvedPath:
        """Follow the path to its end, or to where it may not be looked at."""
        while self._left:
            part = self._left.pop()
            if part == "..":
                self._reached = posixpath.dirname(self._reached)
                continue
            place = posixpath.join(self._reached, part)
            if self._is_careful and not self._may_look_at(place):
                return self._ended_at(place, exists=False)
            try:
                self._mode = os.lstat(place).st_mode
            except (FileNotFoundError, NotADirectoryError):
                return self._ended_at(place, exists=False)
            if stat.S_ISLNK(self._mode):
                self._follow(place)
            else:
                self._reached = place
        return self._ended_at(self._reached, exists=True)

    def _may_look_at(self, place: str) -> bool:
        if is_kernel_path(place):
            return False
        return covering_root(place, self._roots) is not None or any(is_within(root, place) for root in self._roots)

    def _follow(self, link: str) -> None:
        self._links_count += 1
        if self._links_count > LINKS_MAX:
            raise OSError(errno.ELOOP, "the links lead in a circle", self._asked)
        # Whoever may write inside the roots may have made this link, to learn from the answer what lies elsewhere
        self._is_careful = self._is_careful or covering_root(link, self._roots) is not None
        target = os.readlink(link)
        if target.startswith("/"):
            self._reached = "/"
        self._left.extend(part for part in target.split("/")[::-1] if part not in {"", "."})

    def _ended_at(self, place: str, *, exists: bool) -> ResolvedPath:
        rest = "/".join(self._left[::-1])
        path = posixpath.normpath(posixpath.join(place, rest))
        return ResolvedPath(
            asked=self._asked, path=path, exists=exists, is_directory=exists and stat.S_ISDIR(self._mode)
        )
