"""The walls of one sandbox, in the order in which its first process puts them up.

Owns that order. What is the same for all sandboxes of a lane is built at once; `complete`, `finish`, `confine` and
`limit` follow, each of them for good. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os

from cloister.isolation.process import landlock, mounts, namespaces, privileges, reports, standing
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.seccomp import install as seccomp
from cloister.isolation.process.seccomp.calls import Profile
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, SandboxSpec
from cloister.isolation.process.standing import Facts
from cloister.isolation.process.steps import Failure, require, step
from cloister.limits import ResourceLimits


class Walls:
    """The walls around the calling process.

    Args:
        machine: What the launcher knows.
        lane: What the sandbox can become.

    Attributes:
        proc_fd: The directory of the sandbox's /proc, whether it is mounted inside or not.

    Raises:
        Failure: One cannot be put up.
    """

    def __init__(self, machine: Machine, lane: Lane) -> None:
        self._machine = machine
        self._lane = lane
        self._has_terminals = False
        self._enter_namespaces()
        with step("landlock"):
            self.ruleset = landlock.Ruleset(machine.landlock_abi if machine.has(Mechanism.LANDLOCK) else 0)
        with step("root file system"):
            self._root = mounts.Root(self.ruleset, machine.without)
        self.proc_fd = self._make_proc()
        with step("privileges"):
            if machine.has(Mechanism.NO_TERMINAL):
                os.setsid()
            privileges.narrow(machine.last_capability, machine.without)
            privileges.step_back()

    def _enter_namespaces(self) -> None:
        machine = self._machine
        with step("namespaces"):
            if machine.has(Mechanism.STANDING):
                require(standing.namespace_fault(machine))
            if machine.has(Mechanism.PARENT_DEATH):
                privileges.die_with_parent()
            privileges.set_dumpable(True)
            if machine.has(Mechanism.OOM_SCORE):
                privileges.volunteer_for_oom()
            if machine.has(Mechanism.CGROUP_NAMESPACE):
                namespaces.hide_groups()
            namespaces.settle(machine.user_id, machine.group_id, is_fixed=machine.has(Mechanism.FIXED_IDENTITY))
            if machine.clock_offsets is not None and machine.has(Mechanism.TIME_NAMESPACE):
                namespaces.restart_clocks(machine.clock_offsets)
            if machine.has(Mechanism.STANDING):
                require(standing.later_namespace_fault(machine))

    def _make_proc(self) -> int:
        """Make the sandbox's /proc, show it to programs, and return a descriptor of it that can be listed."""
        with step("proc file system"):
            mount_fd = mounts.make_proc(is_private=self._machine.has(Mechanism.PRIVATE_PROC))
        if self._machine.host_view is not None:
            with step("system files"):
                self._root.add_system(self._machine.host_view, mount_fd)
        with step("proc file system"):
            # The mount's own descriptor can be attached only
            directory_fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=mount_fd)
            os.close(mount_fd)
        return directory_fd

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
            self._root.add_grants(spec.grants, can_execute=not spec.is_guest)
        self.finish("/" if spec.is_guest else spec.working_directory)

    def complete_for_scripts(self) -> int:
        """Build what every script without grants sees, and finish; return where the script itself is to be written."""
        with step("private directory"):
            self._root.add_runtime(self._machine.runtime)
            script_fd = self._root.add_script_to_come()
            self._root.add_private_directory(ResourceLimits())
        self.finish(DEFAULT_DIRECTORY)
        return script_fd

    def finish(self, directory: str) -> None:
        """Make what was built the only thing there is.

        Args:
            directory: Where the payload starts.
        """
        with step("root switch"):
            self._root.finish()
        enter(directory)

    def confine(self, facts: Facts, descriptors: set[int]) -> None:
        """Give up, for good, all that was needed for building, and see that it is so.

        Args:
            facts: What /proc says of the calling process; closed here.
            descriptors: Which files it may have open, the standard ones and those of `facts` aside.
        """
        machine, is_guest = self._machine, self._lane.is_guest
        with step("privileges"):
            privileges.drop(machine.without)
            if machine.has(Mechanism.STANDING):
                require(standing.privileges_fault())
        with step("landlock"):
            self.ruleset.enforce()
        with step("standing"):
            if machine.has(Mechanism.STANDING):
                kept = {0, 1, 2} | descriptors
                require(
                    standing.first_fault(
                        machine, facts, is_guest=is_guest, has_terminals=self._has_terminals, descriptors=kept
                    )
                )
            facts.close()
        with step("system call filter"):
            if machine.has(Mechanism.SECCOMP):
                seccomp.install(Profile.GUESTS if is_guest else Profile.PROGRAMS)
            if machine.has(Mechanism.STANDING):
                require(standing.filter_fault())

    def limit(self, spec: SandboxSpec) -> None:
        """Set the limits of one run, and see that they are."""
        with step("resource limits"):
            if self._machine.has(Mechanism.RESOURCE_LIMITS):
                privileges.limit_resources(spec.limits)
            if self._machine.has(Mechanism.STANDING):
                require(standing.limits_fault(spec.limits, is_guest=spec.is_guest))


def enter(directory: str) -> None:
    """Change to the directory in which the payload starts.

    Raises:
        Failure: It is not there.
    """
    try:
        os.chdir(directory)
    except OSError as error:
        raise Failure(reports.failure("directory", path=directory, errno=error.errno)) from None
