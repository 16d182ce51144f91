"""Reading and writing the small files by which control groups are seen and set.

Owns their general forms: a number, a table of names and numbers, a word. Runs in the launcher; once, for entering, in
the first process of a sandbox. Standard library only; part of the guest set.

Source: Documentation/admin-guide/cgroup-v2.rst, "Interface Files"; cgroups(7).
"""

from __future__ import annotations

import errno
import os
from typing import Final

READ_BYTES: Final = 64 * 1024
_GONE: Final = frozenset({errno.ENOENT, errno.ENODEV})


class GroupRefused(OSError):
    """A control group that should hold a sandbox could not be made, set or entered; `filename` is the file."""


def read(path: str) -> str | None:
    """Return what a file says; None when there is no such file, or its group was removed.

    Raises:
        OSError: It is there and may not be read, or no descriptor is free.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        return os.read(descriptor, READ_BYTES).decode("ascii", "replace")
    except OSError as error:
        if error.errno in _GONE:
            return None
        raise
    finally:
        os.close(descriptor)


def number(path: str) -> int | None:
    """Return the number a file holds; None when there is no such file or it holds none, say `max`."""
    text = (read(path) or "").strip()
    return int(text) if text.isdecimal() else None


def words(path: str) -> frozenset[str]:
    """Return the words a file holds, or the process ids; none when there is no such file."""
    return frozenset((read(path) or "").split())


def table(text: str | None) -> dict[str, int]:
    """Return the numbers by name of a file with a name and a number on each line."""
    rows = (line.split() for line in (text or "").splitlines())
    return {row[0]: int(row[1]) for row in rows if len(row) == 2 and row[1].isdecimal()}


def write(path: str, value: int | str) -> None:
    """Write a value.

    Raises:
        GroupRefused: The kernel does not take it, or there is no such file.
    """
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            os.write(descriptor, str(value).encode("ascii"))
        finally:
            os.close(descriptor)
    except OSError as error:
        raise GroupRefused(error.errno, error.strerror, path) from None
