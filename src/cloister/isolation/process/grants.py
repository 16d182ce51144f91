"""From mounts that were permitted to grants that the launcher can verify.

Owns the refusal of sources and targets that no permission can make safe, and the record of what the host saw at each
source. Paths were made canonical by the authority; they are checked again here because this is where they are used.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable

from cloister.authority.policy import is_canonical, is_kernel_path
from cloister.errors import PathDenied, quoted
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SCRIPT_PATH, Grant
from cloister.isolation.provider import Mount, MountMode


def grants_for(mounts: Iterable[Mount], *, has_private_directory: bool = True) -> tuple[Grant, ...]:
    """Return the grants for mounts, in their order.

    Args:
        mounts: What was permitted.
        has_private_directory: Whether the sandbox has a /tmp of its own, as all but those of guests have.

    Raises:
        PathDenied: `denied.path-kernel` for the root, /proc, /sys, /dev and all below; `denied.path-form` for paths
            that are not canonical; `denied.path-link` for a symbolic link; `denied.path-kind` for what is neither a
            file nor a directory; `denied.path-missing` for what does not exist; `denied.path-private` for a place that
            is the sandbox's own.
    """
    granted = tuple(_grant(mount) for mount in mounts)
    if has_private_directory and any(grant.target == DEFAULT_DIRECTORY for grant in granted):
        raise PathDenied(
            f"{DEFAULT_DIRECTORY} cannot be granted as a whole: every sandbox has one of its own there",
            code="denied.path-private",
            hint="grant what is needed below it, or copy it elsewhere first",
        )
    return granted


def _grant(mount: Mount) -> Grant:
    for role, path in (("source", mount.source), ("target", mount.target)):
        _refuse_unsafe(role, path)
    try:
        seen = os.lstat(mount.source)
    except OSError as error:
        raise PathDenied(
            f'the granted path "{quoted(mount.source)}" cannot be shown to a sandbox: {error.strerror}',
            code="denied.path-missing",
            hint="create it first, or grant the directory that will hold it",
        ) from error
    if stat.S_ISLNK(seen.st_mode):
        raise PathDenied(
            f'the granted path "{quoted(mount.source)}" is a symbolic link',
            code="denied.path-link",
            hint="grant the path it leads to",
        )
    if not (stat.S_ISDIR(seen.st_mode) or stat.S_ISREG(seen.st_mode)):
        raise PathDenied(
            f'the granted path "{quoted(mount.source)}" is neither a file nor a directory',
            code="denied.path-kind",
            hint="sockets, pipes and devices lead out of a sandbox and cannot be granted",
        )
    return Grant(
        source=mount.source,
        target=mount.target,
        is_writable=mount.mode is MountMode.READ_WRITE,
        is_directory=stat.S_ISDIR(seen.st_mode),
        device=seen.st_dev,
        inode=seen.st_ino,
    )


def _refuse_unsafe(role: str, path: str) -> None:
    if not is_canonical(path):
        raise PathDenied(
            f'the {role} of a mount, "{quoted(path)}", is not an absolute path without `.`, `..` and doubled slashes',
            code="denied.path-form",
            hint="resolve the path first",
        )
    if path == "/" or is_kernel_path(path) or (role == "target" and path == SCRIPT_PATH):
        raise PathDenied(
            f'"{quoted(path)}" cannot be the {role} of a mount: it would open the kernel or the whole host',
            code="denied.path-kernel",
            hint="grant the directory below it that is really needed",
        )
