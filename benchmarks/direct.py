"""The process provider without a Runtime around it: what a sandbox costs, apart from decisions and records.

Owns the making of executions with a token for exactly what they ask, and the choice of how much the provider has
prepared before it is asked.
"""

from __future__ import annotations

import itertools
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Self

from benchmarks.timing import LeftOut
from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.permit import permission_for
from cloister.isolation.process.lanes import PoolSettings
from cloister.isolation.process.provider import ProcessProvider
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    OutputObserver,
    PlanProgram,
    ScriptLanguage,
    ScriptSource,
    WireValue,
    Workload,
)
from cloister.limits import ResourceLimits
from cloister.runtime import Runtime

CAPABILITY = "bench.direct"


class Prepared(StrEnum):
    """What a provider has ready when it is asked for a sandbox, beside its launchers."""

    NOTHING = "cold"
    USUAL = "warm"


def script(source: str) -> ScriptSource:
    """Return a Python script."""
    return ScriptSource(language=ScriptLanguage.PYTHON, source=source)


def plan(source: str) -> PlanProgram:
    """Return a plan."""
    return PlanProgram(source=source, name="<benchmark>")


def open_runtime(home: Path, prepared: Prepared) -> Runtime:
    """Return a Runtime whose providers have that much ready.

    Raises:
        LeftOut: It cannot be kept from preparing sandboxes.
    """
    if prepared is Prepared.NOTHING:
        raise LeftOut("the Runtime has no setting that keeps it from preparing sandboxes")
    return Runtime.open(home)


class Direct:
    """A process provider and short ways to run things in it. Several threads may use it.

    Args:
        prepared: What it has ready when it is asked.
    """

    def __init__(self, prepared: Prepared = Prepared.USUAL) -> None:
        clock = SystemClock()
        self._issuer = TokenIssuer(clock.random_bytes(32), clock)
        self._numbers = itertools.count(1)
        pool = PoolSettings(size_max=0) if prepared is Prepared.NOTHING else None
        self.verifier = self._issuer.verifier()
        self.provider = ProcessProvider(self.verifier, pool)

    def program(
        self, *argv: str, limits: ResourceLimits | None = None, on_output: OutputObserver | None = None
    ) -> ExecutionResult:
        """Run an executable."""
        return self.provider.execute(self.permitted(ExternalProgram(argv=argv), limits), on_output=on_output)

    def python(self, source: str) -> WireValue:
        """Run a Python script and return what it printed."""
        return self.provider.execute(self.permitted(script(source))).value

    def plan(self, source: str, *, host: HostCalls | None = None, limits: ResourceLimits | None = None) -> WireValue:
        """Run RTFS and return its value."""
        return self.provider.execute(self.permitted(plan(source), limits), host=host).value

    def operation(self, name: str, arguments: dict[str, WireValue]) -> WireValue:
        """Do one of the fixed operations of the guest and return what it gave."""
        return self.provider.execute(self.permitted(GuestOperation(name=name, arguments=arguments))).value

    def permitted(self, workload: Workload, limits: ResourceLimits | None = None) -> ExecutionContext:
        """Decide on an execution, and return it with its token."""
        limits = limits or ResourceLimits()
        decision = Decision(
            allowed=True,
            reason=Reason.ALLOWED,
            capability_id=CAPABILITY,
            context=RuntimeContext.controlled(limits=limits),
            permissions=frozenset({permission_for(workload).value}),
        )
        execution_id = f"execution-{next(self._numbers)}"
        return ExecutionContext(
            execution_id=execution_id,
            capability_id=CAPABILITY,
            workload=workload,
            token=self._issuer.issue(decision, execution_id=execution_id),
            limits=limits,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.provider.close()
