"""The budget of a run that also watches the clock and a request to stop.

Owns how often the clock is looked at. Time is handed in as a function; this module never reads a clock by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from cloister.errors import LimitExceeded
from cloister.lang.stdlib.budget import Budget
from cloister.limits import ResourceLimits

STEPS_BETWEEN_LOOKS: Final = 2_048


class Stopped(BaseException):
    """The thread that started the run was interrupted and asked it to end. Never reaches anybody."""


class RunBudget(Budget):
    """A budget whose counting also notices that time is up.

    Attributes:
        look_at: `look` is called when `steps_left` falls below this.
        stop: Set by another thread to end the run.
    """

    __slots__ = ("_deadline_ns", "_monotonic_ns", "_wall_ms", "look_at", "stop")

    def __init__(
        self, limits: ResourceLimits, monotonic_ns: Callable[[], int] | None, began_ns: int | None = None
    ) -> None:
        super().__init__(limits)
        self._monotonic_ns = monotonic_ns
        self._wall_ms = limits.wall_ms
        if began_ns is None:
            began_ns = monotonic_ns() if monotonic_ns else 0
        self._deadline_ns = began_ns + limits.wall_ms * 1_000_000
        self.stop = False
        self.look_at = max(0, self.steps_left - STEPS_BETWEEN_LOOKS)

    def look(self) -> None:
        """Check everything that may end the run, and decide when to look again.

        Raises:
            LimitExceeded: `limit.steps`, `limit.wall`.
            Stopped: When `stop` was set.
        """
        if self.steps_left < 0:
            raise self.steps_error()
        self.look_at = max(0, self.steps_left - STEPS_BETWEEN_LOOKS)
        if self.stop:
            raise Stopped
        if self._monotonic_ns and self._monotonic_ns() > self._deadline_ns:
            raise self.wall_error()

    def charge_steps(self, steps: int) -> None:
        """Spend steps; see `Budget.charge_steps`. Also looks at the clock when it is time."""
        super().charge_steps(steps)
        if self.steps_left < self.look_at:
            self.look()

    def charge_elements(self, count: int) -> None:
        """Ask to build a collection; see `Budget.charge_elements`. Also looks at the clock when it is time."""
        super().charge_elements(count)
        if self.steps_left < self.look_at:
            self.look()

    def wall_error(self) -> LimitExceeded:
        """Return the error that says the time is up."""
        return LimitExceeded(
            f"the program ran longer than its {self._wall_ms} ms",
            limit="wall_ms",
            allowed=self._wall_ms,
            unit="ms",
            hint="look for a loop that does not end, or raise the limit wall_ms",
        )
