"""Control groups that bound the processes of sandboxes, where the launcher may make them.

Owns one group below the launcher's own for each launcher, and one below that for each sandbox. They are a backstop
behind the supervisor, and the only one for root, whom RLIMIT_NPROC does not count. Best effort: where no group can be
made, nothing changes. Runs in the launcher. Standard library only; part of the guest set.

Only the pids controller of version 1 is used. A group of ours is always below the one the launcher was put in, never
beside it, so that a sandbox stays under every bound that was set from outside. For the same reason version 2 is not
used: it lets no group with processes of its own, such as the launcher's, pass a controller on.

Source: Documentation/admin-guide/cgroup-v1/cgroups.rst and pids.rst; cgroups(7).
"""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import Final

HIERARCHY: Final = "/sys/fs/cgroup/pids"
PREFIX: Final = "cloister-"


class Group:
    """The group of one sandbox.

    Args:
        path: Its directory.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def admit(self, pid: int) -> None:
        """Put a process in; all that it starts from then on is in it too."""
        _write(f"{self._path}/cgroup.procs", pid)

    def limit(self, processes_count: int) -> None:
        """Let there be so many processes and threads at once; the kernel refuses more with EAGAIN."""
        _write(f"{self._path}/pids.max", processes_count)

    def remove(self) -> None:
        """Remove it. It must be empty; one that is not stays until a later launcher starts."""
        _remove(self._path)


class Groups:
    """The groups of one launcher.

    Args:
        own: Directory of the group this process is in; None for no groups.
    """

    def __init__(self, own: str | None) -> None:
        self._numbers = itertools.count(1)
        self._path: str | None = None
        if own is None:
            return
        _remove_stale(own)
        path = f"{own}/{PREFIX}{os.getpid()}"
        with contextlib.suppress(OSError):  # not ours to make, as for any ordinary user
            os.mkdir(path, 0o755)  # noqa: PTH102 - the launcher imports little
            self._path = path

    def new(self, pid: int) -> Group | None:
        """Return a group with one process in it; None when there can be none."""
        if self._path is None:
            return None
        path = f"{self._path}/{next(self._numbers)}"
        try:
            os.mkdir(path, 0o755)  # noqa: PTH102
        except OSError:
            return None
        group = Group(path)
        try:
            group.admit(pid)
        except OSError:
            group.remove()
            return None
        return group

    def close(self) -> None:
        """Remove what is empty."""
        if self._path is not None:
            _remove_tree(self._path)
            self._path = None


def own_group() -> str | None:
    """Return the directory of this process's group of the pids controller; None when there is none."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as table:  # noqa: PTH123
            paths = [path for _, controllers, path in (line.rstrip("\n").split(":", 2) for line in table)
                     if controllers == "pids"]  # fmt: skip
    except OSError:
        return None
    # In a namespace of groups a path can begin above what is mounted; that one is not ours to find
    if not paths or ".." in paths[0].split("/"):
        return None
    path = (HIERARCHY + paths[0]).rstrip("/")
    return path if os.path.exists(f"{path}/cgroup.procs") else None  # noqa: PTH110


def _remove_stale(own: str) -> None:
    """Remove what launchers left that were killed."""
    with contextlib.suppress(OSError):
        for name in os.listdir(own):  # noqa: PTH208
            pid = name.removeprefix(PREFIX)
            if name == pid or not pid.isdecimal():
                continue
            is_gone = not os.path.exists(f"/proc/{pid}")  # noqa: PTH110
            if is_gone or int(pid) == os.getpid():  # the number was another's before
                _remove_tree(f"{own}/{name}")


def _remove_tree(path: str) -> None:
    with contextlib.suppress(OSError):
        for name in os.listdir(path):  # noqa: PTH208
            if name.isdecimal():
                _remove(f"{path}/{name}")
    _remove(path)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):  # a process is still in it
        os.rmdir(path)  # noqa: PTH106


def _write(path: str, value: int) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, str(value).encode())
    finally:
        os.close(descriptor)
