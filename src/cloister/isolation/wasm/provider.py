"""The wasm provider: every workload as WebAssembly, in an instance of its own inside this process.

Owns the way of one execution: check the token, put together what was granted, run it, and say how it ended. There is no
wall of the kernel around a guest; the wall is that its code can do nothing but compute, and call the functions that it
is given. Nothing that is no WebAssembly is ever run here.
"""

from __future__ import annotations

import threading
from functools import partial
from pathlib import Path
from typing import Final, assert_never

from cloister.authority.level import IsolationLevel
from cloister.authority.token import TokenVerifier
from cloister.clock import Clock
from cloister.errors import ProviderError, ProviderUnavailable
from cloister.isolation.host_calls import HostCalls
from cloister.isolation.permit import require_permit
from cloister.isolation.provider import (
    Evidence,
    ExecutionContext,
    ExecutionResult,
    ExternalProgram,
    GuestOperation,
    OutputObserver,
    PlanBytecode,
    PlanProgram,
    ProbeReport,
    ScriptSource,
    Shortfall,
    Usage,
    WasmFunction,
)
from cloister.isolation.wasm import selftest
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.cache import CodeCache
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.modules import Modules
from cloister.isolation.wasm.operations import run_operation
from cloister.isolation.wasm.plans import PLAN_ENGINE, Plans
from cloister.isolation.wasm.programs import call_function, run_command
from cloister.isolation.wasm.room import Given, Workshop, in_room
from cloister.isolation.wasm.scripts import make_ready, run_script
from cloister.limits import ResourceLimits


class WasmProvider:
    """Runs WebAssembly; implements `cloister.isolation.provider.IsolationProvider`.

    May be used by several threads at once.

    Args:
        verifier: Checks the tokens of executions.
        home: Where compiled modules lie.
        clock: Time and randomness.
    """

    name: Final = "wasm"
    level: Final = IsolationLevel.WASM
    shortfalls: Final[tuple[Shortfall, ...]] = ()

    def __init__(self, verifier: TokenVerifier, home: Path, clock: Clock) -> None:
        self._verifier = verifier
        self._cache = CodeCache(home, clock)
        self._clock = clock
        self._lock = threading.Lock()
        self._workshop: Workshop | None = None
        self._plans: Plans | None = None
        self._broken: Evidence | None = None
        self._is_closed = False

    def __repr__(self) -> str:
        return f"WasmProvider({self._workshop!r}{', closed' if self._is_closed else ''})"

    def probe(self) -> ProbeReport:
        """Attempt from inside what must not work, and report what happened.

        What is not refused closes the provider to executions until a later probe finds all of it refused.
        """
        try:
            version = binding().version
        except ProviderUnavailable as error:
            return ProbeReport(
                provider=self.name,
                available=False,
                level=IsolationLevel.NONE,
                reason=error.message,
                remedy=error.hint,
            )
        report = selftest.report(self.name, self.level, version, self._clock)
        self._broken = next((each for each in report.evidence if not each.holds), None)
        return report

    def execute(
        self,
        context: ExecutionContext,
        *,
        host: HostCalls | None = None,
        on_output: OutputObserver | None = None,
    ) -> ExecutionResult:
        """Run one workload and wait for its end. See `IsolationProvider.execute`.

        Raises:
            ProviderUnavailable: wasmtime is missing; `provider.wasm-only`: it is no WebAssembly;
                `provider.wall`: the last probe found something that was not refused.
            InputError: `input.wasm` and its like: the module cannot be used.
            DeniedError: `denied.wasm-import`: it imports what was not granted.
            PathDenied: A mount names a path that cannot be shown to a guest, or that was replaced meanwhile.
            ProviderError: `provider.closed` after `close`; `provider.wasm-cache`.
        """
        workshop = self._open()
        require_permit(self._verifier, context, self.level)
        workload = context.workload
        match workload:
            case PlanProgram() | PlanBytecode():
                return self._run_plan(workload, context.limits, host)
            case ScriptSource():
                make_ready(workshop, workload)
                return in_room(workshop, Given.of(context), partial(run_script, workshop, script=workload), on_output)
            case GuestOperation():
                return in_room(workshop, Given.of(context), partial(run_operation, workshop, operation=workload))
            case ExternalProgram():
                return in_room(workshop, Given.of(context), partial(run_command, workshop, program=workload), on_output)
            case WasmFunction():
                act = partial(call_function, workshop, function=workload)
                return in_room(workshop, Given.of(context), act, on_output)
        assert_never(workload)

    def _run_plan(
        self, workload: PlanProgram | PlanBytecode, limits: ResourceLimits, host: HostCalls | None
    ) -> ExecutionResult:
        with self._lock:
            if self._plans is None:
                self._plans = Plans(Engine(PLAN_ENGINE), self._cache)
            plans = self._plans
        plans.make_ready()
        deadline = Deadline(limits, self._clock)
        value, outcome = plans.execute(workload, limits, deadline, host)
        usage = Usage(
            wall_us=deadline.elapsed_us,
            memory_peak_bytes=outcome.memory_peak_bytes if outcome else None,
            fuel_count=outcome.fuel_count if outcome else None,
        )
        return ExecutionResult(value=value, usage=usage)

    def _open(self) -> Workshop:
        """Return what all executions share, making it when nobody has yet."""
        with self._lock:
            if self._is_closed:
                raise ProviderError("the wasm provider is closed", code="provider.closed", hint="create a new one")
            if self._broken is not None:
                raise ProviderUnavailable(
                    f"the wasm provider refuses to work: its last probe could {self._broken.attempted}: "
                    f"{self._broken.observed}",
                    code="provider.wall",
                    hint="`cloister doctor` shows the evidence; it is a defect of wasmtime or of Cloister: report it",
                )
            if self._workshop is None:
                engine = Engine()
                self._workshop = Workshop(engine=engine, modules=Modules(engine, self._cache), clock=self._clock)
            return self._workshop

    def close(self) -> None:
        """End the engine's clock when nothing runs any more, and refuse further executions. Idempotent."""
        with self._lock:
            self._is_closed = True
            if self._workshop is not None:
                self._workshop.engine.close()
            if self._plans is not None:
                self._plans.close()
