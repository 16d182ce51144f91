"""Processor time of processes, of one and of many.

Owns how it is read and added up. Runs in the launcher. Standard library only; part of the guest set.
"""

from __future__ import annotations

import resource
import time
from dataclasses import dataclass
from typing import Final, TypeAlias

Birth: TypeAlias = tuple[str, bytes]
"""Number and start of a process: numbers are used again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CpuTime:
    """Processor time of one process, and for an ended one of those it waited for, in microseconds."""

    user_us: int
    system_us: int

    @property
    def total_us(self) -> int:
        """Both together."""
        return self.user_us + self.system_us


NO_TIME: Final = CpuTime(user_us=0, system_us=0)


def cpu_of(pid: int) -> CpuTime:
    """Return what a living process has used so far, by its clocks.

    The scheduler counts exactly; how much of it was in user mode the kernel may know from its ticks only, and then it
    divides the exact figure in their proportion, which is done here as there.

    Raises:
        OSError: There is no such process.

    Source: clock_getcpuclockid(3); CPUCLOCK_PROF, CPUCLOCK_VIRT and CPUCLOCK_SCHED of include/linux/posix-timers.h;
    cputime_adjust() of kernel/sched/cputime.c.
    """
    # What is part of another is read first: a tick may come in between, and a part must not be more than the whole
    clock = ~pid << 3
    ticked_user_ns = time.clock_gettime_ns(clock | 1)
    ticked_ns = time.clock_gettime_ns(clock)
    exact_ns = time.clock_gettime_ns(clock | 2)
    return divided(exact_ns, ticked_user_ns, ticked_ns)


def divided(exact_ns: int, ticked_user_ns: int, ticked_ns: int) -> CpuTime:
    """Return an exact figure as the kernel divides it.

    Args:
        exact_ns: What was used.
        ticked_user_ns: How much of it ticks have seen in user mode.
        ticked_ns: How much of it ticks have seen.
    """
    # Equal: all of it, or no tick at all
    user_ns = exact_ns if ticked_user_ns == ticked_ns else exact_ns * ticked_user_ns // ticked_ns
    return CpuTime(user_us=user_ns // 1000, system_us=(exact_ns - user_ns) // 1000)


def cpu_of_ended(used: resource.struct_rusage) -> CpuTime:
    """Return what wait4 said."""
    return CpuTime(user_us=round(used.ru_utime * 1e6), system_us=round(used.ru_stime * 1e6))


class ProcessorTimes:
    """Adds up the processor time of processes that come and go.

    A parent inherits the time of a child it has waited for, but one that ignores SIGCHLD does not. So there are two
    sums: of the living with what they inherited, and of each one's own as it was last seen. Both miss some and count
    nothing twice; the larger one stands.
    """

    def __init__(self) -> None:
        self._own: dict[Birth, int] = {}
        self._ended = 0
        self._most = 0

    def total(self, seen: dict[Birth, tuple[int, int]]) -> int:
        """Return all that was used until now.

        Args:
            seen: Of each living process its own time and that with what it inherited, in the same unit.
        """
        self._ended += sum(own for birth, own in self._own.items() if birth not in seen)
        self._own = {birth: own for birth, (own, _) in seen.items()}
        with_inherited = sum(both for _, both in seen.values())
        self._most = max(self._most, with_inherited, self._ended + sum(self._own.values()))
        return self._most
