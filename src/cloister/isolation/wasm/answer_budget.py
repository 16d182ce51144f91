"""What builtins of the host may spend when a plan asks for them.

Owns the bound of time there: fuel and the engine's clock do not see what the host does, and a builtin may work for long
within the steps that a run has.
"""

from __future__ import annotations

from typing import Final

from cloister.isolation.wasm.deadline import Deadline
from cloister.lang.python_engine.budget import RunBudget
from cloister.limits import ResourceLimits

STEPS_BETWEEN_LOOKS: Final = 50_000
"""Some milliseconds of a builtin's work."""


class AnswerBudget(RunBudget):
    """A budget that also notices when the execution is over.

    Args:
        limits: What the run may spend.
        deadline: When it is over.
    """

    __slots__ = ("_deadline", "_looked_at")

    def __init__(self, limits: ResourceLimits, deadline: Deadline) -> None:
        super().__init__(limits, None)
        self._deadline = deadline
        self._looked_at = self.steps_left

    def charge_steps(self, steps: int) -> None:
        """Spend steps, and look at the time now and then. See `Budget.charge_steps`."""
        super().charge_steps(steps)
        self._look_now_and_then()

    def charge_value_bytes(self, size: int) -> None:
        """Ask to build a text, and look at the time now and then. See `Budget.charge_value_bytes`."""
        super().charge_value_bytes(size)
        self._look_now_and_then()

    def charge_elements(self, count: int) -> None:
        """Ask to build a collection, and look at the time now and then. See `Budget.charge_elements`."""
        super().charge_elements(count)
        self._look_now_and_then()

    def look(self) -> None:
        """Check everything that may end the run.

        Raises:
            LimitExceeded: `limit.steps`, `limit.wall`.
            Cancelled: The execution was cancelled.
        """
        super().look()
        self._deadline.require()

    def _look_now_and_then(self) -> None:
        if self._looked_at - self.steps_left >= STEPS_BETWEEN_LOOKS:
            self._looked_at = self.steps_left
            self._deadline.require()
