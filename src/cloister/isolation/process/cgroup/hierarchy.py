"""Where a process stands in the control groups of the machine.

Owns reading /proc/self/cgroup and /proc/self/mountinfo, and the words for what bounds a resource. Changes nothing.
Both files are the kernel's, but the names in them are chosen by whoever made the groups. Standard library only; part of
the guest set.

Source: cgroups(7), "/proc files"; proc_pid_mountinfo(5); Documentation/admin-guide/cgroup-v1/cgroups.rst.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

RESOURCES: Final = ("memory", "cpu", "pids", "io")
"""What groups are used for: a hard limit of memory and of processes, counters of processor time and storage."""
UNIFIED: Final = ""
"""The controllers of version 2 in the second field of /proc/self/cgroup."""


class Mechanism(StrEnum):
    """What bounds or counts a resource of a sandbox."""

    V2 = "v2"
    V1 = "v1"
    SUPERVISED = "supervised"
    """The supervisor alone, which looks at each process every few milliseconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """What bounds one resource, and why it is not more.

    Attributes:
        resource: One of `RESOURCES`.
        mechanism: What bounds it.
        reason: Why no group does; empty when one does.
        remedy: The command or step that would give it a group; None when there is none or none is needed.
    """

    resource: str
    mechanism: Mechanism
    reason: str = ""
    remedy: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """The groups one process is in, as directories.

    Attributes:
        v1: By controller of version 1.
        v1_companions: The controllers of version 1 that share a hierarchy, by each of them.
        v2: In the unified hierarchy; None when that is not mounted where this process could use it.
    """

    v1: dict[str, str] = field(default_factory=dict)
    v1_companions: dict[str, frozenset[str]] = field(default_factory=dict)
    v2: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mount:
    """One mount of control groups, as mountinfo has it."""

    root: str
    place: str
    is_unified: bool
    options: frozenset[str]


def look() -> Standing:
    """Return where this process stands; nowhere on a kernel without control groups."""
    texts = []
    for name in ("cgroup", "mountinfo"):
        try:
            with open(f"/proc/self/{name}", encoding="utf-8", errors="surrogateescape") as table:  # noqa: PTH123
                texts.append(table.read())
        except FileNotFoundError:
            return Standing()
    return standing(*texts)


def standing(groups: str, mounts: str) -> Standing:
    """Return where a process stands.

    A group counts only when it lies below the root of a mount: in a container, or a namespace of groups, the path can
    be one that is not to be seen there.

    Args:
        groups: Text of its /proc/self/cgroup.
        mounts: Text of its /proc/self/mountinfo.
    """
    mounted = [mount for line in mounts.splitlines() for mount in _group_mounts(line)]
    v1: dict[str, str] = {}
    companions: dict[str, frozenset[str]] = {}
    unified = None
    for line in groups.splitlines():
        _, names, path = line.split(":", 2)
        controllers = frozenset(names.split(","))
        fitting = (
            mount for mount in mounted
            if (mount.is_unified if names == UNIFIED else not mount.is_unified and controllers <= mount.options)
        )  # fmt: skip
        directory = next((found for mount in fitting if (found := _directory(mount, path)) is not None), None)
        if directory is None:
            continue
        if names == UNIFIED:
            unified = directory
            continue
        for name in controllers:
            v1[name], companions[name] = directory, controllers
    return Standing(v1=v1, v1_companions=companions, v2=unified)


def _group_mounts(line: str) -> list[_Mount]:
    """Return the mount of one line when it is one of control groups."""
    before, _, after = line.partition(" - ")
    facts, kind = before.split(" "), after.split(" ")
    if kind[0] not in ("cgroup", "cgroup2"):
        return []
    return [
        _Mount(
            root=_unescaped(facts[3]),
            place=_unescaped(facts[4]),
            is_unified=kind[0] == "cgroup2",
            options=frozenset(kind[2].split(",")),
        )
    ]


def _unescaped(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), text)


def _directory(mount: _Mount, path: str) -> str | None:
    if ".." in path.split("/") or ".." in mount.root.split("/"):
        return None
    root = mount.root.rstrip("/")
    if path != mount.root and not path.startswith(f"{root}/"):
        return None
    return f"{mount.place}{path.removeprefix(root)}".rstrip("/")
