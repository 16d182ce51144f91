"""What the launcher found out once about the machine, for all sandboxes.

Owns the facts. Standard library only; part of the guest set.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass

from cloister.isolation.process import landlock, namespaces, privileges, view
from cloister.isolation.process.lanes import GUESTS
from cloister.isolation.process.mechanisms import NAMESPACES, Mechanism
from cloister.isolation.process.view import HostView


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """The facts.

    Attributes:
        user_id: Effective user outside.
        group_id: Effective group outside.
        last_capability: Highest capability number of the kernel.
        landlock_abi: Version of Landlock's interface; 0 when there is none, and then nothing stands beside the mounts.
        clock_offsets: How far the launcher's clocks are from the machine's; None when there are no time namespaces, and
            then sandboxes see the host's clocks.
        host_view: The system's files for executed programs; None when the launcher serves forked guests.
        namespaces: What the launcher's own namespaces are called, by their names below /proc/PID/ns.
        root: Device and inode of the launcher's root directory.
        runtime: Directories that the interpreter of scripts needs beside the system's.
        without: Mechanisms that tests leave out, to see that it is noticed. Empty otherwise.
    """

    user_id: int
    group_id: int
    last_capability: int
    landlock_abi: int
    clock_offsets: dict[str, tuple[int, int]] | None
    host_view: HostView | None
    namespaces: Mapping[str, str]
    root: tuple[int, int]
    runtime: tuple[str, ...] = ()
    without: frozenset[Mechanism] = frozenset()

    def has(self, mechanism: Mechanism) -> bool:
        """Return whether a mechanism is to be put up."""
        return mechanism not in self.without


def look(kind: str, runtime: tuple[str, ...], without: frozenset[Mechanism], *, has_clocks: bool = True) -> Machine:
    """Find out.

    Args:
        kind: Of the launcher.
        runtime: What the host says the interpreter needs.
        without: What tests leave out.
        has_clocks: Whether the host found that there are time namespaces. It is told and not found out again: what the
            host declared is what its sandboxes get, or they are refused.
    """
    root = os.stat("/")  # noqa: PTH116 - the launcher imports little
    names = [name for name in NAMESPACES if has_clocks or NAMESPACES[name] is not Mechanism.TIME_NAMESPACE]
    return Machine(
        user_id=os.geteuid(),
        group_id=os.getegid(),
        last_capability=privileges.last_capability(),
        landlock_abi=landlock.abi(),
        clock_offsets=namespaces.clock_offsets() if has_clocks else None,
        host_view=None if kind == GUESTS else view.look(),
        namespaces=namespaces.of_this_process(names),
        root=(root.st_dev, root.st_ino),
        runtime=runtime,
        without=without,
    )
