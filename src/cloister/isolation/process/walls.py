"""The walls of one sandbox, in the order in which its first process puts them up.

Owns that order. What is the same for all sandboxes of a lane is laid out in the launcher, and built first; `complete`,
`finish`, `confine` and `limit` follow, each of them for good. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os
import resource
from dataclasses import dataclass

from cloister.isolation.process import granted, landlock, mounts, namespaces, privileges, reports, standing, syscalls
from cloister.isolation.process.batch import STANDARD_FDS, Batch, Descriptors
from cloister.isolation.process.calls import ANY, AT_ONCE, Calls, send_descriptor
from cloister.isolation.process.cgroup import v1
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.order import Order
from cloister.isolation.process.places import CONNECTION_FD, Places
from cloister.isolation.process.reports import CONTROL_GROUPS
from cloister.isolation.process.root import Root
from cloister.isolation.process.seccomp import install as seccomp
from cloister.isolation.process.seccomp.calls import Profile
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, USUAL_LIMITS, SandboxSpec
from cloister.isolation.process.standing import Facts, GroupNames, LimitsSeen, Looks, NamespaceNames
from cloister.isolation.process.steps import Failure, require, step
from cloister.limits import ResourceLimits


class Walls:
    """The walls around a sandbox: laid out once for all of a lane by the launcher, put up by each first process.

    Args:
        machine: What the launcher knows.
        lane: What the sandbox can become.
        places: Where the first process finds what leads out of it.

    Attributes:
        machine: As above.
        lane: As above.
        ends: What leads out, in the first process.
        ruleset: What Landlock will allow.
        proc_fd: The directory of the sandbox's /proc, whether it is mounted inside or not.
        facts: What /proc says of the first process.
    """

    def __init__(self, machine: Machine, lane: Lane, places: Places) -> None:
        self.machine = machine
        self.lane = lane
        self.ends = places.ends
        self._has_terminals = False
        self._clocks = syscalls.memory(len(namespaces.offsets_text(machine.clock_offsets or {})) + 1)
        free = Descriptors((CONNECTION_FD, *places.numbers))
        self._arrival = self._lay_arrival(Batch(free), places).end()
        self._identity = self._lay_identity(Batch(free)).end()
        self._building = Batch(free)
        self._building.step("landlock")
        self.ruleset = landlock.Ruleset(machine.landlock_abi if machine.has(Mechanism.LANDLOCK) else 0, self._building)
        self._building.step("root file system")
        self._root = Root(self._building, self.ruleset, machine.without)
        self.proc_fd = self._lay_proc(self._building)
        self.facts = Facts.open(self._building, self.proc_fd)
        self._lay_privileges(self._building)
        self._building.end()
        self._handing = self._lay_handing(Batch(free)).end()
        self._usual = self._lay_usual(free.copy()) if lane is Lane.PROGRAM else None
        self._finishing = self._lay_finish(Batch(free)).end()
        self._confining = Batch(free)
        self._looks = self._lay_confining(self._confining, self.facts)
        self._confining.end()
        self._filtering = Batch(free)
        self._lay_filter(self._filtering)
        self._limiting = Batch(free)
        self._usual_limits = self._lay_limits(self._limiting, USUAL_LIMITS)
        self._root.calls = self.ruleset.calls = AT_ONCE  # what follows differs from one sandbox to the next

    def _lay_arrival(self, calls: Batch, places: Places) -> Batch:
        """Leave behind what is the launcher's, and enter the control group: with one thread it is cheap."""
        calls.step("descriptors")
        most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
        # Room for the building, also when the launcher was short of open files at the moment of the clone
        calls.make("prlimit64", 0, resource.RLIMIT_NOFILE, privileges.LIMIT.pack(most, most), None)
        if self.machine.has(Mechanism.CLOSED_DESCRIPTORS):
            calls.close(CONNECTION_FD)
            calls.make("close_range", places.numbers.stop, syscalls.LAST_FD, 0)
        calls.step(CONTROL_GROUPS)
        for descriptor in places.entrances:
            if self.machine.has(Mechanism.CONTROL_GROUP):
                calls.make("write", descriptor, b"0", 1, answer=1, about=v1.ENTRANCE)
            calls.close(descriptor)
        self._process_fd = namespaces.open_process(calls)
        self._groups = GroupNames(calls, self._process_fd)
        calls.step("namespaces")
        self._made_first = NamespaceNames(calls, self._process_fd, self.machine, standing.MADE_FIRST)
        return calls

    def _lay_identity(self, calls: Batch) -> Batch:
        machine = self.machine
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
        mount_fd = mounts.make_proc(calls, is_private=self.machine.has(Mechanism.PRIVATE_PROC))
        if self.machine.host_view is not None:
            calls.step("system files")
            self._root.add_system(self.machine.host_view, mount_fd)
        calls.step("proc file system")
        # The mount's own descriptor can be attached only
        directory_fd = calls.open("openat", mount_fd, ".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        calls.close(mount_fd)
        return directory_fd

    def _lay_privileges(self, calls: Batch) -> None:
        calls.step("privileges")
        if self.machine.has(Mechanism.NO_TERMINAL):
            calls.make("setsid", answer=ANY)
        privileges.narrow(calls, self.machine.last_capability, self.machine.without)
        privileges.step_back(calls)

    def _lay_usual(self, free: Descriptors) -> _Usual:
        """Lay out all the rest for a program that is shown nothing of the host's and has the usual limits."""
        streams = (free.take(), self.ends.stdout_fd, self.ends.stderr_fd)  # the first one comes with the order
        free.give(self.ends.order.fileno())
        calls = Batch(free)
        calls.step("private directory")
        self._root.calls = self.ruleset.calls = calls
        self._root.add_private_directory(USUAL_LIMITS)
        self._lay_finish(calls)
        calls.step("streams")
        for number, stream in enumerate(streams):
            calls.make("dup3", stream, number, 0, answer=number)
            calls.close(stream)
        calls.make("chdir", DEFAULT_DIRECTORY)
        looks = self._lay_confining(calls, self.facts)
        limits = self._lay_limits(calls, USUAL_LIMITS)
        self._lay_filter(calls)
        return _Usual(calls.end(), looks, limits, {*STANDARD_FDS, *self.ends.descriptors})

    def _lay_finish(self, calls: Batch) -> Batch:
        calls.step("root switch")
        self._root.calls = calls
        self._root.finish()
        return calls

    def _lay_handing(self, calls: Batch) -> Batch:
        calls.step("proc file system")
        send_descriptor(calls, self.ends.report.fileno(), reports.to_bytes({"private_bytes": 0}), self.proc_fd)
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
        has_looks = self.machine.has(Mechanism.STANDING)
        self._clocks.value = clocks
        self._arrival.run()
        if has_looks:
            require(self._groups.fault(group, groups_count) or self._made_first.fault())
        self._identity.run()
        if has_looks:
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
            send_descriptor(AT_ONCE, self.ends.report.fileno(), message, self.proc_fd)
            os.close(self.proc_fd)

    def complete_usual(self, wanted: Order) -> bool:
        """Do all that follows in one go when nothing is special about what is to run; return whether that was so."""
        spec = wanted.spec
        if self._usual is None or wanted.file_fd is not None or not _is_usual(spec):
            return False
        self._usual.batch.run()
        if spec.working_directory != DEFAULT_DIRECTORY:
            enter(spec.working_directory)
        if self.machine.has(Mechanism.STANDING):
            require(self._usual.looks.fault(self._usual.descriptors) or self._usual.limits.fault())
            require(standing.quota_fault(USUAL_LIMITS))
        self.facts.close()
        return True

    def complete(self, spec: SandboxSpec) -> None:
        """Build what is this sandbox's own, and finish."""
        if not spec.is_guest:
            with step("private directory"):
                self._root.add_runtime(spec.runtime)
                if spec.script is not None:
                    self._root.add_script(spec.script)
                self._root.add_private_directory(spec.limits)
                self._has_terminals = spec.session is not None and spec.session.has_terminals
                if self._has_terminals:
                    self._root.add_terminals()
        with step("granted paths"):
            granted.add_to(self._root, spec.grants, can_execute=not spec.is_guest)
        self.finish("/" if spec.is_guest else spec.working_directory)

    def complete_for_scripts(self) -> int:
        """Build what every script without grants sees, and finish; return where the script itself is to be written."""
        with step("private directory"):
            self._root.add_runtime(self.machine.runtime)
            script_fd = self._root.add_script_to_come()
            self._root.add_private_directory(USUAL_LIMITS)
        self.finish(DEFAULT_DIRECTORY)
        return script_fd

    def finish(self, directory: str) -> None:
        """Make what was built the only thing there is.

        Args:
            directory: Where the payload starts.
        """
        self._finishing.run()
        enter(directory)

    def _lay_confining(self, calls: Calls, facts: Facts) -> Looks:
        """Give up, for good, all that was needed for building, and look whether it is so."""
        calls.step("privileges")
        privileges.drop(calls, self.machine.without)
        has_looks = self.machine.has(Mechanism.STANDING)
        if has_looks:
            standing.look_at_privileges(calls)
        calls.step("landlock")
        self.ruleset.calls = calls
        self.ruleset.enforce()
        calls.step("standing")
        return Looks(calls if has_looks else Batch(Descriptors()), self.machine, facts, is_guest=self.lane.is_guest)

    def _lay_filter(self, calls: Calls) -> None:
        calls.step("system call filter")
        if self.machine.has(Mechanism.SECCOMP):
            seccomp.install(Profile.GUESTS if self.lane.is_guest else Profile.PROGRAMS, calls)
        if self.machine.has(Mechanism.STANDING):
            standing.look_at_filter(calls)

    def confine(self, descriptors: set[int]) -> None:
        """Confine the first process, and see that it is so.

        Args:
            descriptors: Which files it may have open, the standard ones and those of `facts` aside.
        """
        self._confining.run()
        if self.machine.has(Mechanism.STANDING):
            require(self._looks.fault({*STANDARD_FDS, *descriptors}, has_terminals=self._has_terminals))
        self.facts.close()
        self._filtering.run()

    def confine_other(self, facts: Facts, descriptors: set[int]) -> None:
        """Confine another process of the sandbox just so.

        Args:
            facts: What /proc says of it; closed here.
            descriptors: As above.
        """
        with step("standing"):
            looks = self._lay_confining(AT_ONCE, facts)
            if self.machine.has(Mechanism.STANDING):
                require(looks.fault({*STANDARD_FDS, *descriptors}, is_first=False))
            facts.close()
        with step("system call filter"):
            self._lay_filter(AT_ONCE)

    def _lay_limits(self, calls: Calls, limits: ResourceLimits) -> LimitsSeen:
        """Set limits, and look whether they are."""
        calls.step("resource limits")
        has_limits = self.machine.has(Mechanism.RESOURCE_LIMITS)
        table = privileges.limit_resources(limits, calls if has_limits else Batch(Descriptors()))
        return LimitsSeen(calls, table)

    def limit(self, spec: SandboxSpec) -> None:
        """Set the limits of one run, and see that they are."""
        with step("resource limits"):
            seen = self._usual_limits
            if spec.limits is USUAL_LIMITS:
                self._limiting.run()
            else:
                seen = self._lay_limits(AT_ONCE, spec.limits)
            if self.machine.has(Mechanism.STANDING):
                require(seen.fault())
                require(None if spec.is_guest else standing.quota_fault(spec.limits))


@dataclass(frozen=True, slots=True)
class _Usual:
    """What is made ready for most programs.

    Attributes:
        batch: The calls.
        looks: What is seen by them of the process.
        limits: What is seen by them of its limits.
        descriptors: What may be open then, those of the looks aside.
    """

    batch: Batch
    looks: Looks
    limits: LimitsSeen
    descriptors: set[int]


def _is_usual(spec: SandboxSpec) -> bool:
    has_own = spec.grants or spec.runtime or spec.script is not None or spec.session is not None
    return not has_own and spec.limits is USUAL_LIMITS


def enter(directory: str) -> None:
    """Change to the directory in which the payload starts.

    Raises:
        Failure: It is not there.
    """
    try:
        os.chdir(directory)
    except OSError as error:
        raise Failure(reports.failure("directory", path=directory, errno=error.errno)) from None
