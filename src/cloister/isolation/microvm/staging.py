"""Files that jailed VMMs read, each copied once and linked into every jail.

Owns one directory that only root can change. A jailed VMM takes paths and no descriptors, and what was measured is a
sealed file in memory; so its bytes are copied here, and the copy, which the VMM's user may read and nobody write, is
what a jail gets a second name for. Machines that are restored from one snapshot map the same file, so its pages are in
memory once.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Final

from cloister.errors import LaunchError
from cloister.isolation.microvm import memory

ENTRIES_MAX: Final = 16
READABLE: Final = 0o444


class Stage:
    """The directory.

    Args:
        directory: It exists, is empty, and lies on the same file system as the jails.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._entries: OrderedDict[tuple[int, ...], tuple[Path, int]] = OrderedDict()
        self._lock = threading.Lock()
        self._count = 0

    def link(self, descriptor: int, directory_fd: int, name: str) -> None:
        """Give the content of a descriptor a name in a jail.

        Args:
            descriptor: A file; one that was changed since is copied anew.
            directory_fd: The jail's root.
            name: The name there; it does not exist yet.

        Raises:
            LaunchError: `provider.machine`: there is no space for the copy.
        """
        with self._lock:
            path = self._staged(descriptor)
            os.link(path, name, dst_dir_fd=directory_fd, follow_symlinks=False)

    def close(self) -> None:
        """Remove all copies; what is linked in a jail stays there."""
        with self._lock:
            while self._entries:
                self._drop(next(iter(self._entries)))

    def _staged(self, descriptor: int) -> Path:
        facts = os.fstat(descriptor)
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_ctime_ns)
        known = self._entries.get(key)
        if known is None:
            while len(self._entries) >= ENTRIES_MAX:
                self._drop(next(iter(self._entries)))
            # The duplicate keeps the file, so that its number cannot become another's while the copy goes by it
            known = (self._copy(descriptor, facts.st_size), os.dup(descriptor))
            self._entries[key] = known
        self._entries.move_to_end(key)
        return known[0]

    def _copy(self, descriptor: int, size: int) -> Path:
        self._count += 1
        path = self._directory / str(self._count)
        target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        try:
            memory.copy(descriptor, target)
            os.fchmod(target, READABLE)
        except OSError as error:
            path.unlink()
            raise LaunchError(
                f"a file for the machine cannot be copied to {self._directory}: {error.strerror}",
                code="provider.machine",
                hint=f"the file system of {self._directory} needs {size:,} bytes" if is_full(error) else None,
            ) from error
        finally:
            os.close(target)
        return path

    def _drop(self, key: tuple[int, ...]) -> None:
        path, duplicate = self._entries.pop(key)
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
        os.close(duplicate)


def is_full(error: OSError) -> bool:
    """Return whether an error is about space."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
