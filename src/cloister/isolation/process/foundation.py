"""The foundation of a sandbox: all that is the same for every one of its lane, whatever will run in it.

Owns what is built before anyone says what to run, and the looks at it: the control group, the namespaces, who the user
is, the file systems and what programs see of the host's, and the end of gaining privileges. It is laid out once in the
zygote, and built by each first process. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os
import resource

from cloister.isolation.process import landlock, mounts, namespaces, privileges, reports, standing, syscalls
from cloister.isolation.process.batch import Batch, Descriptors
from cloister.isolation.process.calls import ANY, AT_ONCE, send_descriptor
from cloister.isolation.process.cgroup import v1
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.places import CONNECTION_FD, Places
from cloister.isolation.process.reports import CONTROL_GROUPS
from cloister.isolation.process.root import Root
from cloister.isolation.process.standing import Facts, GroupNames, NamespaceNames
from cloister.isolation.process.steps import require, step


class Foundation:
    """It, laid out.

    Args:
        machine: What the launcher knows.
        places: Where the first process finds what leads out of it.

    Attributes:
        ruleset: What Landlock will allow.
        root: The root under construction.
        proc_fd: The directory of the sandbox's /proc, whether it is mounted inside or not.
        facts: What /proc says of the first process.
        free: Which descriptors are open once it is built and its /proc was handed over.
    """

    def __init__(self, machine: Machine, places: Places) -> None:
        self._machine = machine
        self._has_looks = machine.has(Mechanism.STANDING)
        self._report_fd = places.ends.report.fileno()
        self._clocks = syscalls.memory(len(namespaces.offsets_text(machine.clock_offsets or {})) + 1)
        self.free = Descriptors((CONNECTION_FD, *places.numbers))
        self._arrival = self._lay_arrival(Batch(self.free), places).end()
        self._identity = self._lay_identity(Batch(self.free)).end()
        self._building = Batch(self.free)
        self._building.step("landlock")
        self.ruleset = landlock.Ruleset(machine.landlock_abi if machine.has(Mechanism.LANDLOCK) else 0, self._building)
        self._building.step("root file system")
        self.root = Root(self._building, self.ruleset, machine.without)
        self.proc_fd = self._lay_proc(self._building)
        self.facts = Facts.open(self._building, self.proc_fd)
        self._lay_privileges(self._building)
        self._building.end()
        self._handing = self._lay_handing(Batch(self.free)).end()

    def _lay_arrival(self, calls: Batch, places: Places) -> Batch:
        """Leave behind what is the launcher's, and enter the control group: with one thread it is cheap."""
        calls.step("descriptors")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # Room for the building, also when the launcher was short of open files at the moment of the clone
        calls.make("prlimit64", 0, resource.RLIMIT_NOFILE, privileges.LIMIT.pack(most, most), None)
        if self._machine.has(Mechanism.CLOSED_DESCRIPTORS):
            calls.close(CONNECTION_FD)
            calls.make("close_range", places.numbers.stop, syscalls.LAST_FD, 0)
        calls.step(CONTROL_GROUPS)
        for descriptor in places.entrances:
            if self._machine.has(Mechanism.CONTROL_GROUP):
                calls.make("write", descriptor, b"0", 1, answer=1, about=v1.ENTRANCE)
            calls.close(descriptor)
        self._process_fd = namespaces.open_process(calls)
        self._groups = GroupNames(calls, self._process_fd)
        calls.step("namespaces")
        self._made_first = NamespaceNames(calls, self._process_fd, self._machine, standing.MADE_FIRST)
        return calls

    def _lay_identity(self, calls: Batch) -> Batch:
        machine = self._machine
        calls.step("namespaces")
        if machine.has(Mechanism.PARENT_DEATH):
            privileges.die_with_parent(calls)
        privileges.set_dumpable(calls, True)
        if machine.has(Mechanism.OOM_SCORE):
            privileges.volunteer_for_oom(calls, self._process_fd)
        if machine.has(Mechanism.CGROUP_NAMESPACE):
            namespaces.hide_groups(calls)
        is_fixed = machine.has(Mechanism.FIXED_IDENTITY)
        namespaces.settle(calls, self._process_fd, machine.user_id, machine.group_id, is_fixed=is_fixed)
        if machine.clock_offsets is not None and machine.has(Mechanism.TIME_NAMESPACE):
            namespaces.make_clocks(calls)
            namespaces.set_clocks(calls, self._process_fd, self._clocks)
            namespaces.enter_clocks(calls, self._process_fd)
        namespaces.set_bounds(calls)
        self._made_later = NamespaceNames(calls, self._process_fd, machine, standing.MADE_LATER)
        calls.close(self._process_fd)
        return calls

    def _lay_proc(self, calls: Batch) -> int:
        """Make the sandbox's /proc, show it to programs, and return a descriptor of it that can be listed."""
        calls.step("proc file system")
        mount_fd = mounts.make_proc(calls, is_private=self._machine.has(Mechanism.PRIVATE_PROC))
        if self._machine.host_view is not None:
            calls.step("system files")
            self.root.add_system(self._machine.host_view, mount_fd)
        calls.step("proc file system")
        # The mount's own descriptor can be attached only
        directory_fd = calls.open("openat", mount_fd, ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        calls.close(mount_fd)
        return directory_fd

    def _lay_privileges(self, calls: Batch) -> None:
        calls.step("privileges")
        if self._machine.has(Mechanism.NO_TERMINAL):
            calls.make("setsid", answer=ANY)
        privileges.narrow(calls, self._machine.last_capability, self._machine.without)
        privileges.step_back(calls)

    def _lay_handing(self, calls: Batch) -> Batch:
        calls.step("proc file system")
        send_descriptor(calls, self._report_fd, reports.to_bytes({"private_bytes": 0}), self.proc_fd)
        calls.close(self.proc_fd)
        return calls

    def build(self, group: bytes, groups_count: int, clocks: bytes) -> None:
        """Put up what is the same for all sandboxes of the lane.

        Args:
            group: What its control group is called at the end, in each hierarchy.
            groups_count: How many these are.
            clocks: What sets its clocks; see `namespaces.offsets_text`.

        Raises:
            Failure: Something cannot be put up.
        """
        self._clocks.value = clocks
        self._arrival.run()
        if self._has_looks:
            require(self._groups.fault(group, groups_count) or self._made_first.fault())
        self._identity.run()
        if self._has_looks:
            require(self._made_later.fault())
        self._building.run()

    def hand_over_proc(self, private_bytes: int) -> None:
        """Give the launcher its view of this sandbox's processes, which it measures and counts.

        Args:
            private_bytes: What the sandbox holds for itself while it waits; 0 when that is not known.
        """
        if private_bytes == 0:
            self._handing.run()
            return
        with step("proc file system"):
            message = reports.to_bytes({"private_bytes": private_bytes})
            send_descriptor(AT_ONCE, self._report_fd, message, self.proc_fd)
            os.close(self.proc_fd)
