"""When an execution is over: its time, its processor time, or the wish of whoever started it.

Owns that question, which is asked while a guest runs, between the host's acts for it, and while it is compiled.
"""

from __future__ import annotations

from typing import Final

from cloister.clock import Clock
from cloister.errors import Cancelled, CloisterError, LimitExceeded
from cloister.limits import ResourceLimits

_NS_PER_MS: Final = 1_000_000


class Deadline:
    """The end of one execution, counted from when this is made. May be asked and cancelled from any thread.

    Args:
        limits: Say how much time there is.
        clock: Counts it.
    """

    def __init__(self, limits: ResourceLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._start_ns = clock.monotonic_ns()
        self._is_cancelled = False

    @property
    def elapsed_us(self) -> int:
        """How long it has been."""
        return (self._clock.monotonic_ns() - self._start_ns) // 1_000

    @property
    def left_ms(self) -> int:
        """How much time is left, at least 0."""
        return max(0, self._limits.wall_ms - self.elapsed_us // 1_000)

    def cancel(self) -> None:
        """Make it over at once."""
        self._is_cancelled = True

    def passed(self, cpu_ms: int = 0) -> CloisterError | None:
        """Return why it is over, or None while it is not.

        Args:
            cpu_ms: Processor time used so far, where it is known.
        """
        if self._is_cancelled:
            return Cancelled("the execution was interrupted")
        elapsed_ms = self.elapsed_us // 1_000
        for limit, used in (("wall_ms", elapsed_ms), ("cpu_ms", cpu_ms)):
            allowed = getattr(self._limits, limit)
            if used > allowed:
                return time_over(limit, allowed, used)
        return None

    def require(self) -> None:
        """Go on only while it is not over.

        Raises:
            LimitExceeded: `limit.wall`.
            Cancelled: Whoever started it does not want it any more.
        """
        error = self.passed()
        if error is not None:
            raise error


def time_over(limit: str, allowed: int, used: int) -> LimitExceeded:
    """Return the error for `wall_ms` or `cpu_ms`."""
    what = "it ran longer than allowed" if limit == "wall_ms" else "it used more processor time than allowed"
    return LimitExceeded(
        f"the program was ended: {what} ({allowed} ms allowed, {used} ms measured)",
        limit=limit,
        allowed=allowed,
        used=used,
        unit="ms",
        hint=f"do less at once, or raise the limit {limit}",
    )
