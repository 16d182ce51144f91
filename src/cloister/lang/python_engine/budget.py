"""The budget of a run that compiled code counts on, and that also watches the clock and requests to stop.

Owns how compiled code is given steps: a few thousand at a time, in a variable of its own that it counts down. They are
taken off the budget when they are given, so that never more are spent than are allowed, and what is left of them is
put back before anything is refused, so that nothing is refused too early. The same variable bounds the depth: code
asks again when it is below the number of open calls, and it is never given more than calls may be open. Time and
memory are handed in as functions; this module never reads a clock by itself.
"""

from __future__ import annotations

from collections.abc import Callable
from types import CellType
from typing import Final

from cloister.errors import LimitExceeded
from cloister.lang.cancellation import Cancellation
from cloister.lang.stdlib.budget import BYTES_PER_STEP, SLOT_BYTES, Budget, size_error
from cloister.limits import ResourceLimits

STEPS_BETWEEN_LOOKS: Final = 2_048
LOOKS_BETWEEN_MEASUREMENTS: Final = 16


class Stopped(BaseException):
    """The thread that started the run was interrupted and asked it to end. Never reaches anybody."""


class RunBudget(Budget):
    """A budget for compiled code, whose counting also notices that time is up.

    Args:
        limits: What the run may spend.
        monotonic_ns: A monotonic clock in nanoseconds; None leaves `wall_ms` to somebody else.
        began_ns: Since when the time counts, by that clock; left out, from now on.
        cancellation: Lets another thread end the run.
        resident_bytes: How much memory the process holds; None leaves `memory_bytes` to somebody else.

    Attributes:
        given: The variable compiled code counts down; steps in it are taken off `steps_left` already.
        look_at: The world is looked at when `steps_left` falls below this.
        stop: Set by another thread to end the run.
    """

    __slots__ = (
        "_cancellation", "_deadline_ns", "_looks_left", "_memory_bytes", "_monotonic_ns", "_resident_bytes",
        "_resident_max", "_wall_ms", "given", "look_at", "stop",
    )  # fmt: skip

    def __init__(
        self,
        limits: ResourceLimits,
        monotonic_ns: Callable[[], int] | None,
        began_ns: int | None = None,
        *,
        cancellation: Cancellation | None = None,
        resident_bytes: Callable[[], int] | None = None,
    ) -> None:
        # Every field is set here, the inherited ones too: this is a good part of what a small program costs
        self.steps_allowed = self.steps_left = steps = limits.steps_count
        self.depth_allowed = limits.depth_count
        self.depth_count = self.symbols_count = 0
        self.value_bytes = limits.value_bytes
        self.value_elements = limits.value_elements_count
        self.given = CellType(0)
        self.stop = False
        self.look_at = steps - STEPS_BETWEEN_LOOKS if steps > STEPS_BETWEEN_LOOKS else 0
        self._cancellation = cancellation
        self._monotonic_ns = monotonic_ns
        self._wall_ms = limits.wall_ms
        if monotonic_ns is not None:
            self._deadline_ns = (monotonic_ns() if began_ns is None else began_ns) + limits.wall_ms * 1_000_000
        self._resident_bytes = resident_bytes
        self._memory_bytes = limits.memory_bytes
        self._looks_left = 0
        self._resident_max = resident_bytes() + limits.memory_bytes if resident_bytes is not None else 0

    @property
    def steps_count(self) -> int:
        """Steps spent so far; what compiled code was given and has not spent does not count."""
        return self.steps_allowed - self.steps_left - int(self.given.cell_contents)

    def look(self) -> None:
        """Check everything that may end the run.

        Raises:
            LimitExceeded: `limit.steps`, `limit.wall`, `limit.memory`.
            Cancelled: When the run was cancelled.
            Stopped: When `stop` was set.
        """
        self._take_back()
        if self.steps_left < 0:
            raise self.steps_error()
        self._look_around()

    def more(self, depth: int) -> None:
        """Give compiled code more steps; called by it when it has fewer than `depth`, the number of open calls.

        Raises:
            LimitExceeded: `limit.depth`, and what `look` raises.
        """
        self._take_back()
        if self.steps_left < 0:
            raise self.steps_error()
        if depth > self.depth_allowed:
            self.depth_count = depth
            raise self.depth_error()
        if self.steps_left < self.look_at:
            self._look_around()
        # Not more than calls may be open: that is how the code notices that one too many is
        steps = min(depth + STEPS_BETWEEN_LOOKS, self.steps_left, self.depth_allowed)
        self.given.cell_contents = steps
        self.steps_left -= steps

    def charge_steps(self, steps: int) -> None:
        """Spend steps; see `Budget.charge_steps`. Also looks around when it is time."""
        self.steps_left -= steps
        if self.steps_left < self.look_at:
            self.look()

    def charge_value_bytes(self, size: int) -> None:
        """Ask to build a text; see `Budget.charge_value_bytes`. Also looks around when it is time."""
        if size > self.value_bytes:
            raise size_error(size, self.value_bytes)
        self.steps_left -= size // BYTES_PER_STEP
        if self.steps_left < self.look_at:
            self.look()

    def charge_elements(self, count: int) -> None:
        """Ask to build a collection; see `Budget.charge_elements`. Also looks around when it is time."""
        if count * SLOT_BYTES > self.value_bytes:
            raise size_error(count * SLOT_BYTES, self.value_bytes)
        self.steps_left -= count
        if self.steps_left < self.look_at:
            self.look()

    def _take_back(self) -> None:
        self.steps_left += int(self.given.cell_contents)
        self.given.cell_contents = 0

    def _look_around(self) -> None:
        self.look_at = max(0, self.steps_left - STEPS_BETWEEN_LOOKS)
        if self.stop:
            raise Stopped
        if self._cancellation is not None:
            self._cancellation.check()
        if self._monotonic_ns is not None and self._monotonic_ns() > self._deadline_ns:
            raise self.wall_error()
        if self._resident_bytes is not None:
            self._looks_left -= 1
            if self._looks_left < 0:
                self._looks_left = LOOKS_BETWEEN_MEASUREMENTS
                self._check_memory(self._resident_bytes())

    def _check_memory(self, resident: int) -> None:
        if resident > self._resident_max:
            raise self.memory_error(resident - self._resident_max + self._memory_bytes)

    def wall_error(self) -> LimitExceeded:
        """Return the error that says the time is up."""
        return LimitExceeded(
            f"the program ran longer than its {self._wall_ms} ms",
            limit="wall_ms",
            allowed=self._wall_ms,
            unit="ms",
            hint="look for a loop that does not end, or raise the limit wall_ms",
        )

    def memory_error(self, used: int) -> LimitExceeded:
        """Return the error that says the process has grown by `used` bytes."""
        return LimitExceeded(
            f"the program made this process grow by {used} bytes; it may by {self._memory_bytes}",
            limit="memory_bytes",
            allowed=self._memory_bytes,
            used=used,
            unit="bytes",
            hint="keep fewer large values at a time, or raise the limit memory_bytes",
        )
