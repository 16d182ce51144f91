"""What a machine may lack without being refused, and the level that is declared then.

Owns that list. What is not on it a sandbox needs, and where it is missing there is no provider. Runs on the host before
any launcher: each question is one small read or one system call.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from cloister.authority.level import IsolationLevel
from cloister.isolation.process import landlock, namespaces, syscalls
from cloister.isolation.provider import Shortfall


@dataclass(frozen=True, slots=True, kw_only=True)
class Strength:
    """What differs from machine to machine.

    Attributes:
        landlock_abi: Version of Landlock's interface; 0 when there is none.
        clocks_hindrance: Why sandboxes can have no clocks of their own, with what would change that; None when they
            can.
    """

    landlock_abi: int
    clocks_hindrance: tuple[str, str] | None

    @property
    def has_time_namespaces(self) -> bool:
        """Whether sandboxes get clocks of their own."""
        return self.clocks_hindrance is None

    @property
    def level(self) -> IsolationLevel:
        """What may be declared: the full level only when nothing is missing."""
        return IsolationLevel.PROCESS_REDUCED if self.shortfalls else IsolationLevel.PROCESS

    @property
    def shortfalls(self) -> tuple[Shortfall, ...]:
        """What is missing, and what would bring it."""
        found = []
        newer = f"Linux {landlock.FULL_VERSION} or newer"
        if self.landlock_abi == 0:
            found.append(
                Shortfall(
                    missing="Landlock: only mounts and namespaces decide what is reached",
                    remedy=f'{newer}, with "landlock" in the list of the kernel option lsm=',
                )
            )
        elif gaps := landlock.missing(self.landlock_abi):
            missing = f"a newer Landlock than ABI {self.landlock_abi}: {'; '.join(gaps)}"
            found.append(Shortfall(missing=missing, remedy=newer))
        if self.clocks_hindrance is not None:
            reason, remedy = self.clocks_hindrance
            missing = f"time namespaces: {reason}, so that clocks tell how long the machine has been up"
            found.append(Shortfall(missing=missing, remedy=remedy))
        return tuple(found)


def look() -> Strength:
    """Find out what this machine has; nothing where its system calls are not known."""
    if sys.platform != "linux" or not syscalls.is_known_machine():
        return Strength(landlock_abi=0, clocks_hindrance=namespaces.clocks_hindrance())
    return Strength(landlock_abi=landlock.abi(), clocks_hindrance=namespaces.clocks_hindrance())
