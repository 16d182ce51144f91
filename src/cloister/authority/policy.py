"""Pure path rules: what lies inside what.

Owns the comparison of canonical paths by component. A canonical path is absolute, has no `.`, `..`, doubled or trailing
slash and no NUL; symbolic links were followed by whoever made it. Must not look at the file system (a `PathResolver` of
another package does): the same text always gives the same answer. What is not canonical is never inside anything, so
that a mistake elsewhere refuses.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Final, Protocol

from cloister.errors import ConfigError, quoted

KERNEL_ROOTS: Final = ("/proc", "/sys", "/dev")
"""Trees that are doors into the kernel and other processes, not files. No grant opens them."""
_KERNEL_PREFIXES: Final = tuple(root + "/" for root in KERNEL_ROOTS)


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedPath:
    """Where a path leads.

    Attributes:
        asked: The path that was asked for, absolute and without `..`, links not followed.
        path: Canonical path with every link followed; the parts that do not exist yet are kept as they are.
        exists: Whether there is something at that place.
        is_directory: Whether that something is a directory.
    """

    asked: str
    path: str
    exists: bool
    is_directory: bool


class PathResolver(Protocol):
    """The authority's only view of the file system."""

    def resolve(self, path: str, roots: Collection[str]) -> ResolvedPath:
        """Return where a path leads.

        `..` is taken out of the text before any link is followed. A link that lies inside the roots may have been made
        by the code that is being confined, so what it leads to is looked at only as far as that lies inside the roots
        or on the way to one: the answer must not tell anything about the rest of the file system.

        Args:
            path: Text of a plan: not empty, without NUL, otherwise anything. A relative path starts where the run did.
            roots: Canonical paths of what is granted.

        Raises:
            OSError: When the links on it cannot be followed; the call is then refused.
        """


def is_canonical(path: str) -> bool:
    """Return whether the text is an absolute path without `.`, `..`, doubled or trailing slashes and NUL."""
    # Searches for what may not be there take a fraction of the time of normalising and comparing, on every decision
    if not path.startswith("/") or "//" in path or "\0" in path or path.endswith("/"):
        return path == "/"
    return "/." not in path or not (path.endswith(("/.", "/..")) or "/./" in path or "/../" in path)


def covering_root(path: str, roots: Iterable[str]) -> str | None:
    """Return the first of the roots that is the path or one of its ancestors, or None.

    Args:
        path: A canonical path; anything else is covered by nothing.
        roots: Canonical paths.
    """
    for root in roots:
        # The slash makes this a comparison of components: /tmpfoo is not below /tmp
        if path == root or path.startswith(root + "/") or root == "/":
            return root if is_canonical(path) else None
    return None


def uncovered(paths: Iterable[str], roots: Collection[str]) -> str | None:
    """Return the first path that no root covers, or None when all are covered."""
    return next((path for path in paths if covering_root(path, roots) is None), None)


def is_within(path: str, root: str) -> bool:
    """Return whether a canonical path is a canonical root or lies below it, by components.

    Args:
        path: The path in question, links already followed.
        root: The granted path, links already followed.
    """
    return is_canonical(root) and covering_root(path, (root,)) is not None


def touches(path: str, protected: Iterable[str]) -> bool:
    """Return whether a canonical path lies in one of the protected trees, or holds one of them."""
    return any(is_within(path, tree) or is_within(tree, path) for tree in protected)


def is_kernel_path(path: str) -> bool:
    """Return whether a path lies in `/proc`, `/sys` or `/dev`."""
    return path.startswith(_KERNEL_PREFIXES) or path in KERNEL_ROOTS


def intersect_roots(left: Iterable[str], right: Iterable[str]) -> tuple[str, ...]:
    """Return the roots of what lies in both sets of trees, sorted, without roots inside others.

    Cost: the product of both lengths.
    """
    rights = tuple(right)
    found = set()
    for mine in left:
        for theirs in rights:
            if is_within(mine, theirs):
                found.add(mine)
            elif is_within(theirs, mine):
                found.add(theirs)
    return outermost(found)


def outermost(roots: Iterable[str]) -> tuple[str, ...]:
    """Return the roots without those that lie inside another one, sorted.

    Cost: quadratic in the number of roots.
    """
    unique = sorted(set(roots))
    return tuple(root for root in unique if not any(other != root and is_within(root, other) for other in unique))


def granted_path(path: str) -> str:
    """Check a path that is to be granted and return it in canonical form.

    Doubled, trailing and `.` parts are dropped, which never changes what a path names. Links are not followed here: a
    grant must name the place itself, and one that goes through a link covers nothing.

    Raises:
        ConfigError: `config.path` when it is empty, relative, climbs with `..`, holds NUL, or lies in a kernel tree.
    """
    shown = quoted(path)
    hint = "grant an absolute path with its links followed, for example --read /srv/data"
    if not path or "\0" in path:
        raise ConfigError(f'path grant "{shown}" is empty or holds a NUL character', code="config.path", hint=hint)
    if not path.startswith("/"):
        raise ConfigError(f'path grant "{shown}" is relative', code="config.path", hint=hint)
    if ".." in path.split("/"):
        # Only the file system knows where `..` leads behind a link, and nothing here may ask it
        raise ConfigError(f'path grant "{shown}" climbs with ".."', code="config.path", hint=hint)
    canonical = "/" + posixpath.normpath(path).lstrip("/")
    if is_kernel_path(canonical):
        raise ConfigError(
            f'path grant "{shown}" lies in a tree of the kernel ({", ".join(KERNEL_ROOTS)})',
            code="config.path",
            hint="sandboxes have their own /proc and /dev; grant the ordinary files that are needed",
        )
    return canonical
