"""One attempt of a hinted call, and its end when the time that a hint gives it is over.

Owns the deadline of an attempt and what holds it: the sandbox and the run's state as a capability sees them. A deadline
only shortens: it is never later than the run's own limits, which stay in force beside it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloister.authority.authorizer import Decision
from cloister.capabilities.capability import RunState, Sandbox
from cloister.clock import Clock
from cloister.errors import GuestError, LimitExceeded
from cloister.isolation.provider import ExecutionResult, Mount, WireValue, Workload


class Deadline:
    """When an attempt has to be over.

    Args:
        clock: Measures.
        timeout_ms: The time from now.
    """

    __slots__ = ("_clock", "_end_ns", "timeout_ms")

    def __init__(self, clock: Clock, timeout_ms: int) -> None:
        self._clock = clock
        self.timeout_ms = timeout_ms
        self._end_ns = clock.monotonic_ns() + timeout_ms * 1_000_000

    def require_ms(self) -> int:
        """Return how long the attempt may still take, at least 1.

        Raises:
            GuestError: `guest.timeout` when its time is over.
        """
        left = (self._end_ns - self._clock.monotonic_ns()) // 1_000_000
        if left < 1:
            raise self.passed()
        return left

    def passed(self) -> GuestError:
        """Return the error of an attempt that took too long. Unlike a limit of the run, a plan can catch it."""
        return GuestError(
            f"the call took longer than the {self.timeout_ms} ms that a hint gives it",
            kind="ResourceError",
            code="guest.timeout",
            hint="hint at more time, or at a fallback",
            details={"timeout_ms": self.timeout_ms},
        )


@dataclass(frozen=True, slots=True)
class TimedSandbox:
    """A sandbox whose executions end with the attempt.

    Attributes:
        inner: The sandbox of the call.
        deadline: Of the attempt.
    """

    inner: Sandbox
    deadline: Deadline

    def under(self, decision: Decision) -> TimedSandbox:
        """Return the same for an earlier decision of the run."""
        return TimedSandbox(self.inner.under(decision), self.deadline)

    def execute(
        self,
        workload: Workload,
        *,
        mounts: tuple[Mount, ...] = (),
        environment: Mapping[str, str] | None = None,
        wall_ms: int | None = None,
        memory_bytes: int | None = None,
    ) -> ExecutionResult:
        """Run a workload; see `Sandbox.execute`."""
        left = self.deadline.require_ms()
        if wall_ms is not None and wall_ms <= left:
            return self._run(workload, mounts, environment, wall_ms, memory_bytes)
        try:
            return self._run(workload, mounts, environment, left, memory_bytes)
        except LimitExceeded as error:
            if (error.limit, error.allowed) != ("wall_ms", left):
                raise  # it is the run's own limit
            raise self.deadline.passed() from error

    def _run(
        self,
        workload: Workload,
        mounts: tuple[Mount, ...],
        environment: Mapping[str, str] | None,
        wall_ms: int,
        memory_bytes: int | None,
    ) -> ExecutionResult:
        return self.inner.execute(
            workload, mounts=mounts, environment=environment, wall_ms=wall_ms, memory_bytes=memory_bytes
        )


@dataclass(frozen=True, slots=True)
class TimedState:
    """The state of a run, for an attempt that has a deadline.

    Attributes:
        inner: The run.
        deadline: Of the attempt.
    """

    inner: RunState
    deadline: Deadline

    @property
    def memo(self) -> WireValue:
        """What the capability leaves for `Capability.restore`."""
        return self.inner.memo

    @memo.setter
    def memo(self, memo: WireValue) -> None:
        self.inner.memo = memo

    @property
    def parameters(self) -> dict[str, Any]:
        """Values that the run keeps for the next plan, by name."""
        return self.inner.parameters

    @property
    def handles(self) -> dict[int, object]:
        """Open handles by number."""
        return self.inner.handles

    def console(self, text: str) -> None:
        """Show text that the plan prints."""
        self.inner.console(text)

    def time_left_ms(self) -> int:
        """Return how long the attempt may still take; see `RunState.time_left_ms`.

        Raises:
            GuestError: `guest.timeout` when the attempt's time is over, but not the run's.
        """
        return min(self.inner.time_left_ms(), self.deadline.require_ms())
