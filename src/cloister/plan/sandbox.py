"""The way from an authorized call into a sandbox.

Owns the step from a decision to a permission token and from there to the provider: limits only shrink, time left of the
run bounds every execution in it, and what was used is added up for the call's record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeAlias

from cloister.authority.authorizer import Decision
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.token import NO_ARGUMENTS_SHA256, TokenIssuer
from cloister.errors import GuestError, LimitExceeded
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    IsolationProvider,
    Mount,
    MountMode,
    Usage,
    Workload,
)
from cloister.limits import ResourceLimits

TimeLeft: TypeAlias = Callable[[], int]
"""Milliseconds that are left of the run; zero or less when it is over."""


@dataclass(slots=True, kw_only=True)
class SandboxPort:
    """What all sandboxes of one run share.

    Attributes:
        provider: Runs the workloads.
        issuer: Turns decisions into tokens.
        context: The run's context.
        time_left: How long the run may still take.
        run_id: Start of every execution identifier.
        executions_count: How many were started.
    """

    provider: IsolationProvider
    issuer: TokenIssuer
    context: RuntimeContext
    time_left: TimeLeft
    run_id: str
    executions_count: int = 0

    def require_time_ms(self) -> int:
        """Return how long the run may still take, at least 1.

        Raises:
            LimitExceeded: `limit.wall` when its time is over.
        """
        left = self.time_left()
        if left < 1:
            allowed = self.context.limits.wall_ms
            raise LimitExceeded(
                f"the run took longer than {allowed} ms",
                limit="wall_ms",
                allowed=allowed,
                used=allowed - left,
                unit="ms",
                hint="give it more time, or do less in one run",
            )
        return left

    def next_execution_id(self) -> str:
        """Return an identifier that is unique in the run."""
        self.executions_count += 1
        return f"{self.run_id}/{self.executions_count}"


@dataclass(slots=True)
class DecidedSandbox:
    """Sandboxes for one decision; implements `cloister.capabilities.capability.Sandbox`.

    Attributes:
        port: Shared parts of the run.
        decision: What was allowed.
        usages: Measured usage of each execution so far.
        step_id: The step the call stands in; None outside all steps. Its tokens hold for no other.
        arguments_sha256: Digest of the call's arguments, as in its intent record. Its tokens hold for no others.
        bounds: Limits and weakest isolation of the step it stands in; None for those of the run.
    """

    port: SandboxPort
    decision: Decision
    usages: list[Usage] = field(default_factory=list)
    step_id: str | None = None
    arguments_sha256: str = NO_ARGUMENTS_SHA256
    bounds: tuple[ResourceLimits, IsolationLevel] | None = None

    def under(self, decision: Decision) -> DecidedSandbox:
        """Return a sandbox for an earlier decision of the run that serves this call and adds to the same usage."""
        return replace(self, decision=decision)

    def execute(
        self,
        workload: Workload,
        *,
        mounts: tuple[Mount, ...] = (),
        environment: Mapping[str, str] | None = None,
        wall_ms: int | None = None,
        memory_bytes: int | None = None,
    ) -> ExecutionResult:
        """Run a workload in a fresh sandbox; see `Sandbox.execute`."""
        limits = self._limits(wall_ms, memory_bytes)
        execution_id = self.port.next_execution_id()
        token = self.port.issuer.issue(
            self.decision,
            execution_id=execution_id,
            step_id=self.step_id,
            arguments_sha256=self.arguments_sha256,
            limits=limits,
            minimum_isolation=self.bounds[1] if self.bounds else self.port.context.minimum_isolation,
            write_paths=tuple(mount.source for mount in mounts if mount.mode is MountMode.READ_WRITE),
        )
        context = ExecutionContext(
            execution_id=execution_id,
            capability_id=self.decision.capability_id,
            workload=workload,
            token=token,
            limits=limits,
            mounts=mounts,
            environment=environment or {},
            step_id=self.step_id,
            arguments_sha256=self.arguments_sha256,
        )
        try:
            result = self.port.provider.execute(context)
        except LimitExceeded as error:
            error.hint = self._bounded_hint(error) or error.hint
            raise
        self.usages.append(result.usage)
        return result

    def _bounded_hint(self, error: LimitExceeded) -> str | None:
        """Return what to do about a limit that only the profile of the step sets, which no grant raises."""
        mine = self.bounds[0].to_dict() if self.bounds else {}
        of_run = self.port.context.limits.to_dict()
        if error.limit not in mine or mine[error.limit] >= of_run[error.limit] or mine[error.limit] != error.allowed:
            return None
        name = error.limit.replace("_", "-")
        return (
            f"do less at once, or raise {name} under :limits in with-security-profile, which bounds it; the run has "
            f"{of_run[error.limit]}"
        )

    def _limits(self, wall_ms: int | None, memory_bytes: int | None) -> ResourceLimits:
        granted = self.bounds[0] if self.bounds else self.port.context.limits
        for name, asked in (("timeout-ms", wall_ms), ("memory-mib", memory_bytes)):
            if asked is not None and asked < 1:
                raise GuestError(f"{name} must be at least 1", kind="InvalidArgument", code="guest.argument")
        left = self.port.require_time_ms()
        return granted.within(wall_ms=min(wall_ms or left, left), memory_bytes=memory_bytes or granted.memory_bytes)


def total(usages: list[Usage]) -> Usage | None:
    """Add up usage; a figure that any part did not measure is None, and so is the whole when there are no parts."""
    if not usages:
        return None
    if len(usages) == 1 and usages[0].steps_count is None:
        return usages[0]

    def added(name: str) -> int | None:
        parts = [getattr(usage, name) for usage in usages]
        return None if None in parts else sum(parts)

    peaks = [usage.memory_peak_bytes for usage in usages]
    known_peaks = [peak for peak in peaks if peak is not None]
    return Usage(
        wall_us=added("wall_us"),
        cpu_user_us=added("cpu_user_us"),
        cpu_system_us=added("cpu_system_us"),
        memory_peak_bytes=max(known_peaks) if len(known_peaks) == len(peaks) else None,
        io_read_bytes=added("io_read_bytes"),
        io_write_bytes=added("io_write_bytes"),
        output_bytes=added("output_bytes"),
        fuel_count=added("fuel_count"),
    )
