"""Groups of version 2: one directory for all controllers.

Owns which files of version 2 say and set what, and how a group is opened up for others below it. That needs a group
without processes, unless it is the root of the machine. So a launcher whose group holds its host and the host's other
children alone moves all of them one down, and back when nothing needs it any more. A group that holds anything else is
left as it is. Standard library only; part of the guest set.

Source: Documentation/admin-guide/cgroup-v2.rst, "No Internal Process Constraint", "Delegation", "Memory", "PID", "IO".
"""

from __future__ import annotations

import contextlib
import errno
import os
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process.cgroup import files
from cloister.isolation.process.cgroup.hierarchy import RESOURCES
from cloister.isolation.process.cgroup.reading import Reading
from cloister.isolation.process.processor_time import CpuTime

CONTROLLERS: Final = {"memory": "memory", "pids": "pids", "io": "io"}
"""Processor time is counted without one."""
LEAF: Final = "cloister-host"
"""The group below, which the host is moved to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """What can be had in one group, found out without changing anything.

    Attributes:
        base: Its directory.
        missing: The resources whose controllers have to be passed on to groups below it and are not yet.
        moving: The processes that have to leave it first.
        hindrances: By resource, why that cannot be bounded in a group below it.
    """

    base: str
    missing: frozenset[str]
    moving: tuple[int, ...]
    hindrances: dict[str, str]


def survey(own: str, host_pid: int, resources: frozenset[str] = frozenset(RESOURCES)) -> Survey:
    """Find out what can be had.

    Args:
        own: Directory of the group this process is in. When that is the leaf another launcher has made, the group
            above it is meant.
        host_pid: The process whose sandboxes these will be.
        resources: What a group is wanted for.
    """
    base = own.removesuffix(f"/{LEAF}")
    kind = (files.read(f"{base}/cgroup.type") or "root").strip()
    if not os.access(base, os.W_OK, effective_ids=True):
        return _nothing(base, f"{base} may not be written by this user")
    if kind not in ("root", "domain"):
        return _nothing(base, f"{base} is of the type {kind}")
    available = files.words(f"{base}/cgroup.controllers")
    wanted = {resource: name for resource, name in CONTROLLERS.items() if resource in resources}
    hindrances = {
        resource: f"{base} was not given the controller {controller}"
        for resource, controller in wanted.items()
        if controller not in available
    }
    enabled = files.words(f"{base}/cgroup.subtree_control")
    missing = frozenset(resource for resource, name in wanted.items() if name in available - enabled)
    if not missing or kind == "root":
        return Survey(base=base, missing=missing, moving=(), hindrances=hindrances)
    inside = {int(pid) for pid in files.words(f"{base}/cgroup.procs")}
    strangers = sorted(pid for pid in inside if not _belongs_to(pid, host_pid))
    if strangers:
        why = f"{base} holds processes of others ({_named(strangers)}), and so cannot pass controllers on"
        hindrances |= dict.fromkeys(missing, why)
        return Survey(base=base, missing=frozenset(), moving=(), hindrances=hindrances)
    return Survey(base=base, missing=missing, moving=tuple(sorted(inside)), hindrances=hindrances)


def _nothing(base: str, why: str) -> Survey:
    return Survey(base=base, missing=frozenset(), moving=(), hindrances=dict.fromkeys(RESOURCES, why))


def _belongs_to(pid: int, host_pid: int) -> bool:
    """Return whether a process is the host or was started by it, directly or not.

    Args:
        pid: The process; 0 stands for one that cannot be seen from here.
        host_pid: The host.
    """
    while pid not in (0, host_pid):
        text = files.read(f"/proc/{pid}/stat")
        pid = 0 if text is None else int(text[text.rindex(")") + 2 :].split(" ")[1])
    return pid == host_pid


def _named(pids: list[int]) -> str:
    named = [f"{pid} {(files.read(f'/proc/{pid}/comm') or '?').strip()}" for pid in pids[:3]]
    return ", ".join(named) + (f" and {len(pids) - 3} more" if len(pids) > 3 else "")


def open_up(found: Survey) -> dict[str, str]:
    """Have a group pass controllers on to those below it.

    Returns:
        The hindrances, those found on the way included.
    """
    hindrances = dict(found.hindrances)
    if found.moving:
        try:
            _move(found.moving, f"{found.base}/{LEAF}")
        except OSError as error:
            give_back(found.base)
            why = f"{error.filename}: {error.strerror}"
            return hindrances | dict.fromkeys(found.missing, why)
    return hindrances | _pass_on(found.base, found.missing)


def _move(pids: tuple[int, ...], leaf: str) -> None:
    with contextlib.suppress(FileExistsError):
        os.mkdir(leaf, 0o755)  # noqa: PTH102 - the launcher imports little
    for pid in pids:
        try:
            files.write(f"{leaf}/cgroup.procs", pid)
        except files.GroupRefused as error:
            if error.errno != errno.ESRCH:  # it has ended meanwhile
                raise


def _pass_on(path: str, resources: frozenset[str]) -> dict[str, str]:
    """Pass the controllers of resources on to groups below one; return why not, by resource."""
    hindrances = {}
    for resource in resources & CONTROLLERS.keys():
        try:
            files.write(f"{path}/cgroup.subtree_control", f"+{CONTROLLERS[resource]}")
        except OSError as error:
            hindrances[resource] = f"{error.filename}: {error.strerror}"
    return hindrances


def give_back(base: str) -> None:
    """Undo `open_up`, unless there is another group that may need it, of another launcher or not of ours."""
    leaf = f"{base}/{LEAF}"
    with contextlib.suppress(OSError):
        if [entry.name for entry in os.scandir(base) if entry.is_dir()] != [LEAF]:
            return
        for controller in files.words(f"{base}/cgroup.subtree_control") & set(CONTROLLERS.values()):
            files.write(f"{base}/cgroup.subtree_control", f"-{controller}")
        for pid in files.words(f"{leaf}/cgroup.procs"):
            files.write(f"{base}/cgroup.procs", pid)
        os.rmdir(leaf)  # noqa: PTH106


def set_up(path: str, resources: frozenset[str]) -> dict[str, str]:
    """Prepare a launcher's group for those below it: pass controllers on, and have none of them swapped out.

    Returns:
        By resource, why groups below it cannot bound it.
    """
    swap = f"{path}/memory.swap.max"
    try:
        if "memory" in resources and os.path.exists(swap):  # noqa: PTH110 - only where swap is counted
            files.write(swap, 0)
    except files.GroupRefused as error:
        return {"memory": f"{error.filename}: {error.strerror}"}
    return _pass_on(path, resources)


class Branch:
    """The directory of a group.

    Args:
        path: It.
        resources: What it is used for.
    """

    def __init__(self, path: str, resources: frozenset[str]) -> None:
        self.path = path
        self.resources = resources

    def limit(self, memory_max_bytes: int, processes_max: int) -> None:
        """Set its hard limits.

        Raises:
            GroupRefused: The kernel does not take one.
        """
        if "memory" in self.resources:
            files.write(f"{self.path}/memory.max", memory_max_bytes)
            files.write(f"{self.path}/memory.oom.group", 1)
        if "pids" in self.resources:
            files.write(f"{self.path}/pids.max", processes_max)

    def look(self, reading: Reading) -> None:
        """Fill in what changes while it runs."""
        if "cpu" in self.resources:
            reading.cpu_us = self.cpu_us()
        self.look_beside_cpu(reading)

    def look_beside_cpu(self, reading: Reading) -> None:
        """Fill in the rest of it."""
        if "memory" in self.resources:
            events = files.table(files.read(f"{self.path}/memory.events"))
            reading.is_out_of_memory = events.get("oom_kill", 0) > 0 and events.get("max", 0) > 0
        if "io" in self.resources:
            reading.io_read_bytes, reading.io_write_bytes = transferred(files.read(f"{self.path}/io.stat") or "")

    def cpu_us(self) -> int | None:
        """Return the same as `cpu` as one number."""
        return files.table(files.read(f"{self.path}/cpu.stat")).get("usage_usec") if "cpu" in self.resources else None

    def cpu(self) -> CpuTime | None:
        """Return the processor time of all processes there ever were in it; None when it does not count that."""
        figures = files.table(files.read(f"{self.path}/cpu.stat")) if "cpu" in self.resources else {}
        if not {"user_usec", "system_usec"} <= figures.keys():
            return None
        return CpuTime(user_us=figures["user_usec"], system_us=figures["system_usec"])

    def charged_bytes(self) -> int | None:
        """Return how much memory is charged to it now; None when it does not count memory."""
        return files.number(f"{self.path}/memory.current") if "memory" in self.resources else None

    def peak_bytes(self) -> int | None:
        """Return the most memory that was charged to it at once; None before Linux 5.19."""
        return files.number(f"{self.path}/memory.peak") if "memory" in self.resources else None


def transferred(text: str) -> tuple[int, int]:
    """Return what the busiest device has read and the busiest has written, from the text of io.stat."""
    most = {"rbytes": 0, "wbytes": 0}
    for line in text.splitlines():
        for word in line.split()[1:]:
            name, _, value = word.partition("=")
            if name in most and value.isdecimal():
                most[name] = max(most[name], int(value))
    return most["rbytes"], most["wbytes"]
