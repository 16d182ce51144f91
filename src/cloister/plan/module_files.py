"""Modules from files.

Owns how a module's name becomes a file below one of the directories it is looked for in, and what may be read there:
regular files reached without symbolic links, bounded, UTF-8. Names and texts come from plans and are not trusted; the
directories are named by whoever runs the plan. No other place is ever looked at: neither the working directory nor the
environment adds one.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Final

from cloister.audit.regular_file import open_regular
from cloister.errors import PlanError, quoted
from cloister.lang.modules import Missing
from cloister.lang.source import Source
from cloister.plan.texts import PLAN_BYTES_MAX, decoded_plan

SUFFIX: Final = ".rtfs"
LISTED_MAX: Final = 200
"""Files of a directory that are looked at to suggest a name."""

_DIRECTORY: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
# Not blocking, because the file may turn out to be a pipe that nobody writes to


class ModuleFiles:
    """The modules below some directories; implements `cloister.lang.modules.ModuleLoader`.

    Args:
        directories: Where they are looked for, in this order. A module `a.b` is the file `a/b.rtfs` below one of them.
    """

    def __init__(self, directories: Sequence[Path]) -> None:
        self._directories = tuple(dict.fromkeys(directories))

    def find(self, name: str) -> Source | Missing:
        """Return the text of a module.

        Raises:
            PlanError: `plan.unreadable`, `plan.size` or `plan.encoding`: there is something of that name, but it is no
                file that may be read.
        """
        *folders, last = name.split(".")
        path = Path(*folders, last + SUFFIX)
        similar: list[str] = []
        for directory in self._directories:
            shown = str(directory / path)
            try:
                with _opened(directory, folders) as folder:
                    data = _read(folder, last + SUFFIX)
                    if data is not None:
                        return Source(shown, decoded_plan(data, shown))
                    similar += _modules(folder, folders)
            except FileNotFoundError:
                continue
            except OSError as error:
                raise _unreadable(shown, error.strerror or "it cannot be opened") from error
        return Missing(tuple(str(directory / path) for directory in self._directories), tuple(similar))


@contextmanager
def _opened(directory: Path, folders: Sequence[str]) -> Iterator[int]:
    """Open the folder a module lies in, one step after the other so that no step follows a link out of it."""
    descriptor = os.open(directory, _DIRECTORY)
    try:
        for folder in folders:
            inner = _inside(descriptor, folder)
            os.close(descriptor)
            descriptor = inner
        yield descriptor
    finally:
        os.close(descriptor)


def _inside(descriptor: int, folder: str) -> int:
    try:
        return os.open(folder, _DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
    except NotADirectoryError:
        if stat.S_ISLNK(os.lstat(folder, dir_fd=descriptor).st_mode):
            raise OSError(errno.ELOOP, "a symbolic link is in the way") from None
        raise FileNotFoundError(folder) from None  # a file of that name says nothing about modules


def _read(folder: int, file_name: str) -> bytes | None:
    try:
        file = open_regular(file_name, follows=False, dir_fd=folder)
    except FileNotFoundError:
        return None
    with file:
        return file.read(PLAN_BYTES_MAX + 1)


def _modules(folder: int, folders: Sequence[str]) -> Iterator[str]:
    with os.scandir(folder) as entries:
        for entry in islice(entries, LISTED_MAX):
            if entry.name.endswith(SUFFIX):
                yield ".".join((*folders, entry.name.removesuffix(SUFFIX)))


def _unreadable(shown: str, why: str) -> PlanError:
    return PlanError(
        f"cannot read module {quoted(shown)}: {why}",
        code="plan.unreadable",
        hint="a module is a regular file that no symbolic link below its directory leads to",
    )
