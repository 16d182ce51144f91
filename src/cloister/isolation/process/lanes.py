"""The kinds of sandboxes that are kept ready, and what a launcher and its host say about them.

Owns the names and the messages. A lane is a queue of sandboxes that are all alike; the host takes the next one from it.
Standard library only; part of the guest set.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from cloister.limits import MIB


class Lane(StrEnum):
    """What a waiting sandbox can become."""

    PLAN = "plan"
    """A forked guest without a file system, confined to the last: only pure code runs in it, within the usual limits of
    the kernel or below them."""
    OPERATION = "operation"
    """A forked guest that will be shown granted paths, or is allowed more than the usual limits."""
    PROGRAM = "program"
    """A program to be executed, with the system's files."""
    SCRIPT = "script"
    """A Python script that sees no path of the host but the system's; confined to the last, too."""
    PYTHON = "python"
    """A Python script that will be shown granted paths, or has bounds of its own for its files."""
    MACHINE = "machine"
    """A program that runs a virtual machine. What it works with are descriptors that come with its order."""

    @property
    def is_guest(self) -> bool:
        """Whether a forked guest runs in it, not foreign code."""
        return self in (Lane.PLAN, Lane.OPERATION)


GUESTS: Final = "guests"
PROGRAMS: Final = "programs"
INTERPRETERS: Final = "interpreters"
MACHINES: Final = "machines"
LANES: Final[Mapping[str, tuple[Lane, ...]]] = {
    GUESTS: (Lane.PLAN, Lane.OPERATION),
    PROGRAMS: (Lane.PROGRAM,),
    INTERPRETERS: (Lane.SCRIPT, Lane.PYTHON),
    MACHINES: (Lane.MACHINE,),
}
"""The lanes of each kind of launcher: what was loaded once serves all that are cloned from it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PoolSettings:
    """How many sandboxes wait in each lane.

    Attributes:
        size_max: Most of them; 0 for none, so that each is made when it is asked for. A lane begins with one and
            doubles whenever a request found it empty.
        memory_bytes: What all that wait in a lane may hold of their own together, as measured on one of them.
        idle_ms: After so long without a request a lane lets go of all that wait in it.
    """

    size_max: int = 8
    memory_bytes: int = 64 * MIB
    idle_ms: int = 60_000


# On the supply of a lane, from the host
MAKE: Final = b"make"
"""The lane is empty, and somebody waits."""
RENEW: Final = b"renew"
"""Comes before the number of a new generation: the host's mounts have changed, and what waits is out of date."""

# On the supply of a lane, to the host
SANDBOX: Final = b"sandbox"
"""Comes before the number of its generation and its process id, which is 0 when it is still to be cloned; with the
host's ends of one: control, order, standard output and error, for a guest its channel, and its process when it has
one."""
REFUSED: Final = b"refused"
"""Comes before a report of why no sandbox could even be begun."""

# On the control connection of a sandbox, from the host; the first message is its limits
DONE: Final = b"done"
"""The guest has given its result and is not needed any more."""

HOST_FDS_MAX: Final = 6
"""Descriptors with a `SANDBOX` message."""
MESSAGE_BYTES_MAX: Final = 64 * 1024
ORDER_INLINE_BYTES: Final = 32 * 1024
"""A larger specification travels as a file in memory."""
HANDED_FDS_MAX: Final = 16
"""Descriptors that are handed over to a program beside its standard ones."""
HANDED_FD_FIRST: Final = 200
"""The number of the first of them in the program; the others follow. It is above all that a first process has open, so
that none is in the way of another, and below the least limit of open files that such a program has."""
ORDER_FDS_MAX: Final = 2 + HANDED_FDS_MAX
"""Standard input, that file, and what is handed over."""
