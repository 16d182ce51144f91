"""Drives as files in memory that nobody can change.

Owns the copies. Cloud Hypervisor opens what it is handed over once more by its path in /proc, and inside its walls that
is refused for a file of the host's file systems; for a file in memory it is not. One copy serves all machines.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from typing import Final

from cloister.errors import LaunchError
from cloister.isolation.microvm import memory

COPIES_MAX: Final = 4


class SealedCopies:
    """The copies of one driver."""

    def __init__(self) -> None:
        self._copies: OrderedDict[tuple[int, ...], int] = OrderedDict()
        self._lock = threading.Lock()

    def of(self, descriptor: int) -> int:
        """Return a sealed file with the content of another one; the caller closes it.

        Args:
            descriptor: A file; one that was changed since is copied anew.

        Raises:
            LaunchError: `provider.machine`: there is no memory for it.
        """
        if _is_sealed(descriptor):
            return os.dup(descriptor)
        facts = os.fstat(descriptor)
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_ctime_ns)
        with self._lock:
            if key not in self._copies:
                self._copies[key] = _copied(descriptor)
            self._copies.move_to_end(key)
            result = os.dup(self._copies[key])
            while len(self._copies) > COPIES_MAX:
                os.close(self._copies.popitem(last=False)[1])
            return result

    def close(self) -> None:
        """Give the memory back. Idempotent."""
        with self._lock:
            while self._copies:
                os.close(self._copies.popitem()[1])


def _copied(descriptor: int) -> int:
    copy = memory.new_file("drive")
    try:
        memory.copy(descriptor, copy)
        memory.seal(copy)
    except OSError as error:
        os.close(copy)
        raise LaunchError(f"a drive cannot be copied to memory: {error.strerror}", code="provider.machine") from error
    return copy


def _is_sealed(descriptor: int) -> bool:
    try:
        return memory.is_sealed(descriptor)
    except OSError:  # no file in memory
        return False
