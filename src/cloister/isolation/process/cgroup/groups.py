"""The control groups of the sandboxes of one launcher.

Owns one group below the launcher's own for each launcher, and one below that for each sandbox, in every hierarchy that
is of use; and deciding once, at the start, which resource is bounded by what. A group of ours is always below the one
the launcher was put in, never beside it, so that a sandbox stays under every bound that was set from outside. What was
decided is not weakened later: a sandbox whose group cannot be made, set or entered is refused. Runs in the launcher.
Standard library only; part of the guest set.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from typing import Final

from cloister.isolation.process.cgroup import v1, v2
from cloister.isolation.process.cgroup.files import GroupRefused
from cloister.isolation.process.cgroup.group import Act, Group
from cloister.isolation.process.cgroup.hierarchy import RESOURCES, Mechanism, Standing, Status
from cloister.isolation.process.cgroup.removal import PREFIX, remove_stale, remove_trees
from cloister.limits import ResourceLimits

USUAL_LIMITS: Final = ResourceLimits()
"""What most will ask for; then it is set already."""


class Groups:
    """The groups of one launcher.

    Args:
        standing: Where it stands; None for no groups.
        host_pid: The process that started it.
        make: Makes a directory.
        remove: Removes one.
    """

    def __init__(
        self,
        standing: Standing | None,
        host_pid: int,
        make: Act = os.mkdir,
        remove: Act = os.rmdir,
    ) -> None:
        self._numbers = itertools.count(1)
        self._make, self._rmdir = make, remove
        self._busy: list[str] = []
        self._next: Group | None = None
        self._parents: dict[str, tuple[type[v1.Branch] | type[v2.Branch], frozenset[str]]] = {}
        self._base: str | None = None
        self._standing = standing or Standing()
        self._statuses = {status.resource: status for status in examine(self._standing, host_pid)}
        self._use_v1()
        self._use_v2(host_pid)

    @property
    def statuses(self) -> tuple[Status, ...]:
        """What bounds each resource of the sandboxes."""
        return tuple(self._statuses.values())

    def _resources_by(self, mechanism: Mechanism) -> frozenset[str]:
        return frozenset(each.resource for each in self.statuses if each.mechanism is mechanism)

    def _use_v1(self) -> None:
        by_directory: dict[str, set[str]] = {}
        for resource in self._resources_by(Mechanism.V1):
            by_directory.setdefault(self._standing.v1[v1.CONTROLLERS[resource]], set()).add(resource)
        for own, resources in by_directory.items():
            self._adopt(own, v1.Branch, frozenset(resources))

    def _use_v2(self, host_pid: int) -> None:
        resources = self._resources_by(Mechanism.V2)
        if self._standing.v2 is None or not resources:
            return
        found = v2.survey(self._standing.v2, host_pid, resources)
        self._base = found.base
        hindrances = v2.open_up(found)
        self._give_up(hindrances)
        self._adopt(found.base, v2.Branch, resources - hindrances.keys())

    def _adopt(self, own: str, kind: type[v1.Branch] | type[v2.Branch], resources: frozenset[str]) -> None:
        """Make this launcher's group below its own in one hierarchy, for some resources."""
        remove_stale(own, self._rmdir)
        path = f"{own}/{PREFIX}{os.getpid()}"
        try:
            self._make(path)
        except OSError as error:
            self._give_up(dict.fromkeys(resources, f"{path}: {error.strerror}"))
            return
        hindrances = (v1 if kind is v1.Branch else v2).set_up(path, resources)
        self._give_up(hindrances)
        if resources - hindrances.keys():
            self._parents[path] = (kind, resources - hindrances.keys())
        else:
            self._remove(path)

    def _give_up(self, hindrances: dict[str, str]) -> None:
        for resource, reason in hindrances.items():
            self._statuses[resource] = supervised(resource, reason, self._standing)

    def prepare(self) -> None:
        """Make the next group while nobody waits for it. When that goes wrong, whoever needs one will be told."""
        if self._next is None and self._parents:
            with contextlib.suppress(GroupRefused):
                self._next = self._new()

    def new(self) -> Group:
        """Return a group for one sandbox, empty when there are none here.

        Raises:
            GroupRefused: It cannot be made, though others could.
        """
        group, self._next = self._next, None
        return group or self._new()

    def _new(self) -> Group:
        self._remove_busy()
        number = next(self._numbers)
        group = Group(self._remove)
        try:
            for parent, (kind, resources) in self._parents.items():
                path = f"{parent}/{number}"
                self._make(path)
                group.add(kind(path, resources))
            group.limit(USUAL_LIMITS)
        except OSError as error:
            group.remove()
            raise GroupRefused(error.errno, error.strerror, error.filename) from None
        return group

    def _remove(self, path: str) -> None:
        try:
            self._rmdir(path)
        except FileNotFoundError:
            return
        except OSError:  # a process that has ended is not out of it yet
            self._busy.append(path)

    def _remove_busy(self) -> None:
        busy, self._busy = self._busy, []
        for path in busy:
            self._remove(path)

    def close(self) -> None:
        """Remove everything; wait a moment for what is busy."""
        if self._next is not None:
            self._next.remove()
        parents, self._parents = self._parents, {}
        remove_trees(list(parents), self._rmdir)
        if self._base is not None:
            v2.give_back(self._base)


def examine(standing: Standing, host_pid: int) -> tuple[Status, ...]:
    """Return what would bound each resource of the sandboxes of a launcher, without changing anything.

    Args:
        standing: Where the launcher stands, or its host.
        host_pid: The process that starts the launcher.
    """
    first = {resource: v1.hindrance(resource, standing) for resource in RESOURCES}
    rest = frozenset(resource for resource, why in first.items() if why is not None)
    second = (
        dict.fromkeys(rest, "version 2 is not mounted here")
        if standing.v2 is None
        else v2.survey(standing.v2, host_pid, rest).hindrances
    )
    return tuple(
        Status(resource=resource, mechanism=Mechanism.V1)
        if why is None
        else Status(resource=resource, mechanism=Mechanism.V2)
        if resource not in second
        else supervised(resource, f"{second[resource]}; {why}", standing)
        for resource, why in first.items()
    )


def supervised(resource: str, reason: str, standing: Standing) -> Status:
    """Return the status of a resource that no group bounds, with what would change that."""
    is_root = os.geteuid() == 0
    remedy = None
    if standing.v2 is not None or standing.v1:
        remedy = f"systemd-run {'' if is_root else '--user '}--scope -p Delegate=yes cloister ..."
        if resource == "io" and not is_root:
            remedy = f'Delegate=cpu io memory pids in "sudo systemctl edit user@.service", then {remedy}'
        if v1.CONTROLLERS.get(resource, "blkio") in standing.v1:
            remedy = f"boot with systemd.unified_cgroup_hierarchy=1, then {remedy}"
    return Status(resource=resource, mechanism=Mechanism.SUPERVISED, reason=reason, remedy=remedy)
