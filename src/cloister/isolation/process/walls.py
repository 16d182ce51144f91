"""The walls of one sandbox, in the order in which its first process puts them up.

Owns that order. The foundation comes first; `complete`, `finish`, `confine` and `limit` follow, each of them for good,
or all at once where nothing is special about what is to run. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from cloister.isolation.process import granted, privileges, reports, standing, view
from cloister.isolation.process.batch import STANDARD_FDS, Batch, Descriptors
from cloister.isolation.process.calls import AT_ONCE, Calls
from cloister.isolation.process.foundation import Foundation
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.machine import Machine
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.order import Order
from cloister.isolation.process.places import Places
from cloister.isolation.process.seccomp import install as seccomp
from cloister.isolation.process.seccomp.calls import Profile
from cloister.isolation.process.spec import DEFAULT_DIRECTORY, USUAL_LIMITS, SandboxSpec
from cloister.isolation.process.standing import Facts, LimitsSeen, Looks
from cloister.isolation.process.steps import Failure, require, step
from cloister.limits import ResourceLimits

PROFILES: Final = {
    Lane.PLAN: Profile.GUESTS,
    Lane.OPERATION: Profile.GUESTS,
    Lane.PROGRAM: Profile.PROGRAMS,
    Lane.SCRIPT: Profile.PROGRAMS,
    Lane.PYTHON: Profile.PROGRAMS,
    Lane.MACHINE: Profile.MACHINES,
}
"""Which system calls are for whom."""


class Walls:
    """The walls around a sandbox: laid out once for all of a lane, put up by each first process.

    Args:
        machine: What the launcher knows.
        lane: What the sandbox can become.
        places: Where the first process finds what leads out of it.

    Attributes:
        lane: As above.
        ends: What leads out, in the first process.
        foundation: What is the same for all of them, to be built first.
    """

    def __init__(self, machine: Machine, lane: Lane, places: Places) -> None:
        self._machine = machine
        self.lane = lane
        self.ends = places.ends
        self._has_looks = machine.has(Mechanism.STANDING)
        self._has_terminals = False
        self._has_kvm = False
        self.foundation = Foundation(machine, places)
        self._root, self._ruleset = self.foundation.root, self.foundation.ruleset
        free = self.foundation.free
        self._usual = self._lay_usual(free.copy()) if lane is Lane.PROGRAM else None
        self._finishing = self._lay_finish(Batch(free)).end()
        self._confining = Batch(free)
        self._looks = self._lay_confining(self._confining, self.foundation.facts)
        self._confining.end()
        self._filtering = Batch(free)
        self._lay_filter(self._filtering)
        self._limiting = Batch(free)
        self._usual_limits = self._lay_limits(self._limiting, USUAL_LIMITS)
        self._root.calls = self._ruleset.calls = AT_ONCE  # what follows differs from one sandbox to the next

    @property
    def ruleset_fd(self) -> int | None:
        """What Landlock's ruleset is open as; None when there is none."""
        return self._ruleset.descriptor

    def _lay_usual(self, free: Descriptors) -> _Usual:
        """Lay out all the rest for a program that is shown nothing of the host's and has the usual limits."""
        streams = (free.take(), self.ends.stdout_fd, self.ends.stderr_fd)  # the first one comes with the order
        free.give(self.ends.order.fileno())
        calls = Batch(free)
        calls.step("private directory")
        self._root.calls = self._ruleset.calls = calls
        self._root.add_private_directory(USUAL_LIMITS)
        self._lay_finish(calls)
        calls.step("streams")
        for number, stream in enumerate(streams):
            calls.make("dup3", stream, number, 0, answer=number)
            calls.close(stream)
        calls.make("chdir", DEFAULT_DIRECTORY)
        looks = self._lay_confining(calls, self.foundation.facts)
        limits = self._lay_limits(calls, USUAL_LIMITS)
        self._lay_filter(calls)
        return _Usual(calls.end(), looks, limits, {*STANDARD_FDS, *self.ends.descriptors})

    def _lay_finish(self, calls: Batch) -> Batch:
        calls.step("root switch")
        self._root.calls = calls
        self._root.finish()
        return calls

    def complete_usual(self, wanted: Order) -> bool:
        """Do all that follows in one go when nothing is special about what is to run; return whether that was so."""
        spec = wanted.spec
        if self._usual is None or wanted.file_fd is not None or not _is_usual(spec):
            return False
        self._usual.batch.run()
        if spec.working_directory != DEFAULT_DIRECTORY:
            enter(spec.working_directory)
        if self._has_looks:
            require(self._usual.looks.fault(self._usual.descriptors) or self._usual.limits.fault())
            require(standing.quota_fault(USUAL_LIMITS))
        self.foundation.facts.close()
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
                self._has_kvm = spec.has_kvm
                if self._has_kvm:
                    self._root.add_kvm()
        with step("granted paths"):
            granted.add_to(self._root, spec.grants, can_execute=not spec.is_guest)
        self.finish("/" if spec.is_guest else spec.working_directory)

    def complete_for_scripts(self) -> int:
        """Build what every script without grants sees, and finish; return where the script itself is to be written."""
        with step("private directory"):
            self._root.add_runtime(self._machine.runtime)
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
        privileges.drop(calls, self._machine.without)
        if self._has_looks:
            standing.look_at_privileges(calls)
        calls.step("landlock")
        self._ruleset.calls = calls
        self._ruleset.enforce()
        calls.step("standing")
        return Looks(
            calls if self._has_looks else Batch(Descriptors()), self._machine, facts, is_guest=self.lane.is_guest
        )

    def _lay_filter(self, calls: Calls) -> None:
        calls.step("system call filter")
        if self._machine.has(Mechanism.SECCOMP):
            seccomp.install(PROFILES[self.lane], calls)
        if self._has_looks:
            standing.look_at_filter(calls)

    def confine(self, descriptors: set[int]) -> None:
        """Confine the first process, and see that it is so.

        Args:
            descriptors: Which files it may have open, the standard ones and those of `facts` aside.
        """
        self._confining.run()
        if self._has_looks:
            more = view.TERMINAL_DEVICES if self._has_terminals else view.NO_DEVICES
            more |= view.KVM_DEVICES if self._has_kvm else view.NO_DEVICES
            require(self._looks.fault({*STANDARD_FDS, *descriptors}, more_devices=more))
        self.foundation.facts.close()
        self._filtering.run()

    def confine_other(self, facts: Facts, descriptors: set[int]) -> None:
        """Confine another process of the sandbox just so.

        Args:
            facts: What /proc says of it; closed here.
            descriptors: As above.
        """
        with step("standing"):
            looks = self._lay_confining(AT_ONCE, facts)
            if self._has_looks:
                require(looks.fault({*STANDARD_FDS, *descriptors}, is_first=False))
            facts.close()
        with step("system call filter"):
            self._lay_filter(AT_ONCE)

    def _lay_limits(self, calls: Calls, limits: ResourceLimits) -> LimitsSeen:
        """Set limits, and look whether they are."""
        calls.step("resource limits")
        has_limits = self._machine.has(Mechanism.RESOURCE_LIMITS)
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
            if self._has_looks:
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
