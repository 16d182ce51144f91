"""The control groups that bound VMMs.

Owns finding the hierarchy, the bounds, and removing a group whose processes have ended. A program of the VMM's own (the
jailer) makes the group; here it is checked that the process is really in it.

Source: Documentation/admin-guide/cgroup-v2.rst; cgroup-v1/memory.rst, pids.rst; proc_pid_cgroup(5).
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cloister.errors import ProviderUnavailable

NEEDED: Final = ("memory", "pids")
REMOVE_TRIES: Final = 200
REMOVE_PAUSE_S: Final = 0.005
_V1_FILES: Final = {"memory": "memory.limit_in_bytes", "pids": "pids.max"}
_V2_FILES: Final = {"memory": "memory.max", "pids": "pids.max"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Hierarchy:
    """Where groups of VMMs are made.

    Attributes:
        version: 1 or 2.
        mounts: By controller for version 1, under the empty name for version 2.
    """

    version: int
    mounts: Mapping[str, Path]

    def values(self, *, memory_bytes: int, processes_count: int) -> dict[str, str]:
        """Return what bounds memory and threads, by the name of the group's file."""
        files = _V2_FILES if self.version == 2 else _V1_FILES
        return {files["memory"]: str(memory_bytes), files["pids"]: str(processes_count)}

    def paths(self, parent: str, name: str = "") -> dict[str, Path]:
        """Return the directories of one group."""
        return {key: mount / parent / name for key, mount in self.mounts.items()}


def look(mounts: str | None = None) -> Hierarchy:
    """Return the hierarchy with bounds for memory and processes.

    Args:
        mounts: Text of /proc/mounts; None for this machine's.

    Raises:
        ProviderUnavailable: `provider.confinement`: there is none.
    """
    text = Path("/proc/mounts").read_text(encoding="utf-8", errors="surrogateescape") if mounts is None else mounts
    lines = [line.split(" ") for line in text.splitlines()]
    for facts in lines:
        if facts[2] == "cgroup2" and set(NEEDED) <= _controllers(place := Path(_unescaped(facts[1]))):
            return Hierarchy(version=2, mounts={"": place})
    old = {
        name: Path(_unescaped(facts[1]))
        for facts in lines
        if facts[2] == "cgroup"
        for name in set(facts[3].split(",")) & set(NEEDED)
    }
    if set(old) == set(NEEDED):
        return Hierarchy(version=1, mounts=old)
    raise ProviderUnavailable(
        "there are no control groups that bound memory and processes, which a VMM must have",
        code="provider.confinement",
        hint="mount the cgroup2 file system on /sys/fs/cgroup, with the controllers memory and pids",
    )


def memberships(pid: int) -> dict[str, str]:
    """Return the groups a process is in: paths by controller, under the empty name for version 2."""
    lines = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    found = {}
    for line in lines:
        _, controllers, path = line.split(":", 2)
        found.update(dict.fromkeys(controllers.split(","), path))
    return found


def remove(paths: Mapping[str, Path]) -> list[Path]:
    """Remove groups whose processes have ended or are about to; return those that could not be."""
    left = list(paths.values())
    for _ in range(REMOVE_TRIES):
        left = [path for path in left if not _is_removed(path)]
        if not left:
            break
        time.sleep(REMOVE_PAUSE_S)  # neither version tells when a group has become empty of dying processes
    return left


def _is_removed(path: Path) -> bool:
    try:
        path.rmdir()
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno == errno.EBUSY:
            return False
        raise
    return True


def kill(paths: Mapping[str, Path]) -> None:
    """Kill every process in groups."""
    for path in paths.values():
        with contextlib.suppress(FileNotFoundError):
            for pid in (path / "cgroup.procs").read_text(encoding="ascii").split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), 9)


def _controllers(place: Path) -> set[str]:
    try:
        return set((place / "cgroup.controllers").read_text(encoding="ascii").split())
    except OSError:
        return set()


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)
