"""The file tree of a payload drive, out of packages.

Owns what of a package is for programs and what is for people only. The payload is what a user's programs and scripts
see as their root; kernel and agent never come from it, so it may hold a shell.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from cloister.isolation.microvm.image.apt import Apt
from cloister.isolation.microvm.image.debian import lay_links, python_version
from cloister.isolation.microvm.image.packages import Package, unpack
from cloister.isolation.microvm.image.tree import Tree

MOUNT_POINTS: Final = {
    "capabilities": 0o755, "dev": 0o755, "proc": 0o755, "run": 0o755, "sys": 0o755, "tmp": 0o1777, "work": 0o755,
}  # fmt: skip
"""Directories every payload has, because a read-only drive cannot be given them later."""
_FOR_PEOPLE: Final = (
    "usr/share/doc/", "usr/share/man/", "usr/share/info/", "usr/share/locale/", "usr/share/lintian/", "usr/share/bug/",
    "usr/share/doc-base/", "boot/",
)  # fmt: skip


def add_mount_points(tree: Tree) -> None:
    """Add the directories that a machine mounts things at; what is there stays."""
    for path, mode in MOUNT_POINTS.items():
        if tree.resolved(path) is None:
            tree.add_directory(path, mode)


def fill(tree: Tree, apt: Apt, names: Sequence[str]) -> tuple[Package, ...]:
    """Put packages with all they depend on, and Python, into an empty tree.

    Args:
        tree: Where to.
        apt: Where packages come from.
        names: Packages to begin with.

    Returns:
        All packages that were put in, sorted.

    Raises:
        InputError: `input.package`: there is no such package; `input.archive`: one is damaged.
        ProviderError: `provider.image-fetch`: one cannot be fetched.
    """
    python = python_version(apt)
    offers = apt.closure((*names, f"python{python}-minimal", f"libpython{python}-stdlib"))
    paths = apt.fetch(offers)
    lay_links(tree)
    for offer in offers:
        unpack(paths[offer.package.name], tree, lambda path: not path.startswith(_FOR_PEOPLE))
    if "usr/bin/python3" not in tree:
        tree.add_link("usr/bin/python3", f"python{python}")
    if "usr/bin/dash" in tree and "usr/bin/sh" not in tree:
        tree.add_link("usr/bin/sh", "dash")  # a maintainer script of dash would have laid it
    add_mount_points(tree)
    return tuple(sorted(offer.package for offer in offers))
