"""Groups of version 1: one directory for each hierarchy.

Owns which files of version 1 say and set what. Its controllers, as far as they are used here, keep a group under the
bounds of the one above it. The `blkio` controller is not used: it does not bind a group by the throttles of the one
above, charges what is written through the page cache to no group, and in recent kernels (seen with 6.18) counts nothing
at all on a device without a throttle. Standard library only; part of the guest set.

Source: Documentation/admin-guide/cgroup-v1/memory.rst, cpuacct.rst, pids.rst and blkio-controller.rst;
`blk_should_throtl` in block/blk-throttle.h.
"""

from __future__ import annotations

import os
from typing import Final

from cloister.isolation.process.cgroup import files
from cloister.isolation.process.cgroup.hierarchy import Standing
from cloister.isolation.process.cgroup.reading import Reading
from cloister.isolation.process.processor_time import CpuTime, divided

CONTROLLERS: Final = {"memory": "memory", "cpu": "cpuacct", "pids": "pids"}
"""The controller of each resource that one is used for."""
ENTRANCE: Final = "tasks"
"""Whoever writes 0 here enters; unlike cgroup.procs it moves one thread, and takes no lock of the whole machine."""


def hindrance(resource: str, standing: Standing) -> str | None:
    """Return why a resource cannot be bounded by a group of version 1; None when it can.

    Args:
        resource: One of `RESOURCES`.
        standing: Where the launcher stands.
    """
    controller = CONTROLLERS.get(resource)
    if controller is None:
        return "version 1 does not count what a group reads and writes"
    own = standing.v1.get(controller)
    if own is None:
        return f"the controller {controller} of version 1 is not mounted here"
    if "cpuset" in standing.v1_companions[controller]:
        return f"{controller} shares its hierarchy with cpuset, whose new groups nothing can enter"
    if not os.access(own, os.W_OK, effective_ids=True):
        return f"{own} may not be written by this user"
    # Without it a group below is not under the bounds of this one, and would be a way out of them
    if resource == "memory" and files.number(f"{own}/memory.use_hierarchy") == 0:
        return f"{own}/memory.use_hierarchy is 0"
    return None


def set_up(path: str, resources: frozenset[str]) -> dict[str, str]:
    """Prepare a launcher's group for those below it: what is over their limit of memory is not swapped out.

    Returns:
        By resource, why groups below it cannot bound it.
    """
    if "memory" not in resources:
        return {}
    try:
        files.write(f"{path}/memory.swappiness", 0)  # groups below take it over when they are made
    except files.GroupRefused as error:
        return {"memory": f"{error.filename}: {error.strerror}"}
    return {}


class Branch:
    """The directory of a group in one hierarchy.

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
            files.write(f"{self.path}/memory.limit_in_bytes", memory_max_bytes)
        if "pids" in self.resources:
            files.write(f"{self.path}/pids.max", processes_max)

    def look(self, reading: Reading) -> None:
        """Fill in what changes while it runs."""
        if "cpu" in self.resources:
            reading.cpu_us = self.cpu_us()
        self.look_beside_cpu(reading)

    def look_beside_cpu(self, reading: Reading) -> None:
        """Fill in the rest of it."""
        # Where it was never at its limit there is nothing more to ask
        if "memory" in self.resources and files.number(f"{self.path}/memory.failcnt"):
            killed_count = files.table(files.read(f"{self.path}/memory.oom_control")).get("oom_kill", 0)
            reading.is_out_of_memory = killed_count > 0

    def cpu_us(self) -> int | None:
        """Return the same as `cpu` as one number."""
        cpu_ns = files.number(f"{self.path}/cpuacct.usage") if "cpu" in self.resources else None
        return None if cpu_ns is None else cpu_ns // 1000

    def cpu(self) -> CpuTime | None:
        """Return the processor time of all processes there ever were in it; None when it does not count that."""
        if "cpu" not in self.resources:
            return None
        # What is part of another is read first
        rows = [row.split() for row in (files.read(f"{self.path}/cpuacct.usage_all") or "").splitlines()[1:]]
        exact_ns = files.number(f"{self.path}/cpuacct.usage")
        if not rows or exact_ns is None:
            return None
        user_ns, system_ns = (sum(int(row[column]) for row in rows) for column in (1, 2))
        return divided(exact_ns, user_ns, user_ns + system_ns)

    def charged_bytes(self) -> int | None:
        """Return how much memory is charged to it now; None when it does not count memory."""
        return files.number(f"{self.path}/memory.usage_in_bytes") if "memory" in self.resources else None

    def peak_bytes(self) -> int | None:
        """Return the most memory that was charged to it at once; None when it does not count memory."""
        return files.number(f"{self.path}/memory.max_usage_in_bytes") if "memory" in self.resources else None
