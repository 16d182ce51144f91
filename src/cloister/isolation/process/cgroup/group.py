"""The control group of one sandbox.

Owns its hard limits, the ways into it, and reading it, in whatever hierarchies it has a directory. Runs in the
launcher. Standard library only; part of the guest set.

Source: cgroups(7); clone(2), CLONE_INTO_CGROUP.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final, TypeAlias

from cloister.isolation.process.cgroup import v1, v2
from cloister.isolation.process.cgroup.reading import Reading
from cloister.isolation.process.privileges import processes_max
from cloister.isolation.process.processor_time import CpuTime
from cloister.limits import MIB, ResourceLimits

MEMORY_SLACK_BYTES: Final = 64 * MIB
"""For the kernel's memory of as many processes as there may be, and for the building of the sandbox."""

Branch: TypeAlias = v1.Branch | v2.Branch
Act: TypeAlias = Callable[[str], None]


def memory_max_bytes(limits: ResourceLimits) -> int:
    """Return the hard limit of memory: what is allowed, a full private directory, and some more.

    The supervisor judges `memory_bytes`, by what the processes hold. The group is charged for more than that, and is
    there for what comes between two looks.
    """
    return limits.memory_bytes + limits.disk_bytes + MEMORY_SLACK_BYTES


class Group:
    """The group of one sandbox: a directory in each hierarchy, or none at all.

    Args:
        remove: Removes a directory.
    """

    def __init__(self, remove: Act = os.rmdir) -> None:
        self._remove = remove
        self._branches: list[Branch] = []
        self._bounded: frozenset[str] = frozenset()
        self._limited = (0, 0)
        self.entrances: tuple[int, ...] = ()
        self.into = -1

    @property
    def paths(self) -> tuple[str, ...]:
        """Its directories."""
        return tuple(branch.path for branch in self._branches)

    @property
    def is_bounding(self) -> bool:
        """Whether the kernel bounds memory and processes of it, whoever looks."""
        return self._bounded.issuperset(("memory", "pids"))

    @property
    def name(self) -> bytes:
        """What it is called at the end, in each hierarchy: the launcher's name and its number."""
        return os.fsencode("/" + "/".join(self._branches[0].path.rsplit("/", 2)[1:])) if self._branches else b""

    def add(self, branch: Branch) -> None:
        """Add a directory, and open the way in: a descriptor in `entrances` for version 1, in `into` for version 2."""
        self._branches.append(branch)
        self._bounded |= branch.resources
        if isinstance(branch, v1.Branch):
            self.entrances += (os.open(f"{branch.path}/{v1.ENTRANCE}", os.O_WRONLY | os.O_CLOEXEC),)
        else:
            self.into = os.open(branch.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def limit(self, limits: ResourceLimits) -> None:
        """Set its hard limits, unless they are set so already.

        Raises:
            GroupRefused: The kernel does not take one.
        """
        wanted = memory_max_bytes(limits), processes_max(limits)
        if wanted != self._limited:
            for branch in self._branches:
                branch.limit(*wanted)
            self._limited = wanted

    def look(self) -> Reading:
        """Return what changes while it runs."""
        reading = Reading()
        for branch in self._branches:
            branch.look(reading)
        return reading

    def charged_bytes(self) -> int | None:
        """Return how much memory is charged to it now; None when it does not count memory."""
        figures = (branch.charged_bytes() for branch in self._branches)
        return next((figure for figure in figures if figure is not None), None)

    def peak_bytes(self) -> int | None:
        """Return the most memory that was charged to it at once; None when it does not count memory."""
        figures = (branch.peak_bytes() for branch in self._branches)
        return next((figure for figure in figures if figure is not None), None)

    def cpu(self) -> CpuTime | None:
        """Return the processor time of all processes there ever were in it; None when it does not count that."""
        figures = (branch.cpu() for branch in self._branches)
        return next((figure for figure in figures if figure is not None), None)

    def cpu_us(self) -> int | None:
        """Return the same as one number."""
        figures = (branch.cpu_us() for branch in self._branches)
        return next((figure for figure in figures if figure is not None), None)

    def total(self) -> Reading:
        """Return everything it has counted."""
        reading = self.look()
        reading.memory_peak_bytes = self.peak_bytes()
        return reading

    def total_and_cpu(self) -> tuple[Reading, CpuTime | None]:
        """Return the same with the processor time in its parts; None for them when it does not count that."""
        reading = Reading()
        for branch in self._branches:
            branch.look_beside_cpu(reading)
        reading.memory_peak_bytes = self.peak_bytes()
        cpu = self.cpu()
        reading.cpu_us = None if cpu is None else cpu.total_us
        return reading, cpu

    def close_entrances(self) -> None:
        """Close what the first process entered through, on the launcher's side."""
        for descriptor in (*self.entrances, self.into):
            if descriptor >= 0:
                os.close(descriptor)
        self.entrances, self.into = (), -1

    def remove(self) -> None:
        """Remove it, now or, while a process in it is still ending, a little later."""
        self.close_entrances()
        for branch in self._branches:
            self._remove(branch.path)
