"""Removing groups, those of launchers that were killed included.

Owns the names of launchers' groups, by which they are found again. A group with a process in it cannot be removed, so
nothing that lives is ever harmed. Runs in the launcher and in the host. Standard library only; part of the guest set.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from typing import Final

from cloister.isolation.process.cgroup import v2
from cloister.isolation.process.cgroup.group import Act
from cloister.isolation.process.cgroup.hierarchy import Standing, look

PREFIX: Final = "cloister-"
"""Before the process id of the launcher."""
BUSY_WAIT_S: Final = 0.002
BUSY_WAITS_MAX: Final = 500


def remove_of(launcher_pid: int) -> None:
    """Remove the groups of a launcher that was killed, from the process that started it."""
    with contextlib.suppress(OSError):  # without /proc there are none
        standing = look()
        remove_trees(groups_of(launcher_pid, standing), os.rmdir)
        for base in _bases(standing):
            v2.give_back(base)


def groups_of(launcher_pid: int, standing: Standing) -> list[str]:
    """Return the directories of a launcher's groups.

    Args:
        launcher_pid: The launcher.
        standing: Where the process stands that started it.
    """
    own = {*standing.v1.values(), *_bases(standing)}
    paths = [f"{directory}/{PREFIX}{launcher_pid}" for directory in own]
    return [path for path in paths if os.path.isdir(path)]  # noqa: PTH112


def _bases(standing: Standing) -> list[str]:
    return [] if standing.v2 is None else [standing.v2.removesuffix(f"/{v2.LEAF}")]


def remove_stale(own: str, remove: Act) -> None:
    """Remove what launchers left that were killed, they and their hosts."""
    stale = []
    with contextlib.suppress(OSError):
        for name in os.listdir(own):  # noqa: PTH208 - the launcher imports little
            pid = name.removeprefix(PREFIX)
            if name == pid or not pid.isdecimal():
                continue
            is_gone = not os.path.exists(f"/proc/{pid}")  # noqa: PTH110
            if is_gone or int(pid) == os.getpid():  # the number was another's before
                stale.append(f"{own}/{name}")
    for path in stale:
        _is_removed(path, remove)


def remove_trees(paths: list[str], remove: Act) -> None:
    """Remove the groups of launchers and all below them, waiting a moment for processes that are still ending."""
    for _ in range(BUSY_WAITS_MAX):
        paths = [path for path in paths if not _is_removed(path, remove)]
        if not paths:
            return
        time.sleep(BUSY_WAIT_S)  # version 1 has no event for a group that becomes empty


def _is_removed(path: str, remove: Act) -> bool:
    """Remove one group and those below it; return False when a process is still in it."""
    try:
        below = [f"{path}/{name}" for name in os.listdir(path) if name.isdecimal()]  # noqa: PTH208
        for each in (*below, path):
            remove(each)
    except FileNotFoundError:
        return True
    except OSError as error:
        return error.errno != errno.EBUSY  # anything else will not change by waiting
    return True
