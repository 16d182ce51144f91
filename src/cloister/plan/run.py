"""One run of a plan from admission to its last record.

Owns the sequence: record the start, check the provider's level, have it attest, admit, issue the token for the
plan's own code, execute, record the end. Whatever is raised on the way is recorded before it leaves.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from cloister.audit.chain import CausalChain
from cloister.authority.authorizer import Decision, SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.token import TokenIssuer
from cloister.capabilities.catalog import Catalog
from cloister.clock import Clock
from cloister.errors import (
    ALSO_REFUSED,
    CloisterError,
    InputError,
    IsolationUnavailable,
)
from cloister.interrupts import admitted, held
from cloister.isolation.attestation import Expectations
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    IsolationProvider,
    PlanBytecode,
    PlanProgram,
    WireValue,
)
from cloister.lang.printer import to_text
from cloister.lang.program import Program
from cloister.lang.transport import decode, encode, from_python, to_python
from cloister.lang.values import Value
from cloister.plan.admission import argument_texts, refusals, requirements
from cloister.plan.attesting import require_attestation
from cloister.plan.observer import RunObserver
from cloister.plan.orchestrator import PlanRun
from cloister.plan.recorder import RunRecorder, recorded
from cloister.plan.result import RunResult
from cloister.plan.sandbox import SandboxPort

RUN_ID_BYTES = 8
PLAN_CAPABILITY = "cloister.plan"


@dataclass(frozen=True, slots=True, kw_only=True)
class RunParts:
    """What every run of a runtime shares."""

    chain: CausalChain
    clock: Clock
    catalog: Catalog
    authorizer: SecurityAuthorizer
    issuer: TokenIssuer

    def new_run_id(self) -> str:
        """Return an identifier for one run."""
        return f"run-{self.clock.random_bytes(RUN_ID_BYTES).hex()}"


def require_level(provider: IsolationProvider, context: RuntimeContext) -> None:
    """Refuse a provider that gives less isolation than the context demands.

    Raises:
        IsolationUnavailable: Naming both levels, and what the machine lacks for the provider's full one with what would
            bring it; there is no fallback to another provider.
    """
    if provider.level >= context.minimum_isolation:
        return
    shortfalls = provider.shortfalls
    lacking = f" on this machine, which lacks {'; '.join(each.missing for each in shortfalls)}" if shortfalls else ""
    remedies = "".join(f"{each.remedy}; " for each in shortfalls)
    raise IsolationUnavailable(
        f"provider {provider.name} isolates at level {provider.level.label}{lacking}; "
        f"the context requires {context.minimum_isolation.label}",
        hint=f"{remedies}or choose a stronger provider with --provider, or grant the weaker level with "
        f"--isolation {provider.level.label}".removeprefix("or "),
        details={
            "level": provider.level.label,
            "required": context.minimum_isolation.label,
            "missing": [each.missing for each in shortfalls],
            "remedies": [each.remedy for each in shortfalls],
        },
    )


@held()
def run_plan(
    parts: RunParts,
    program: Program,
    *,
    context: RuntimeContext,
    provider: IsolationProvider,
    inputs: Mapping[str, Any],
    observer: RunObserver,
    expected: Expectations,
) -> RunResult:
    """Run a compiled plan; see `Runtime.run` for what is raised."""
    parts.catalog.registry.check_grants(context.capabilities)
    values = {name: _input(name, value) for name, value in inputs.items()}
    wire_inputs = {name: encode(value, context.limits) for name, value in values.items()}
    run_id = parts.new_run_id()
    recorder = RunRecorder(parts.chain, run_id)
    started = recorder.run_started(
        {
            "plan": program.name,
            "plan_sha256": program.sha256,
            "provider": provider.name,
            "isolation": provider.level.label,
            "inputs": sorted(wire_inputs),
            "context": context.to_dict(),
        }
    )
    with recorded(lambda error: recorder.run_refused(started, error)):
        require_level(provider, context)
        attestation = require_attestation(provider, context.limits, expected, recorder, started)
        _admit(program, context, parts.authorizer, values, partial(recorder.call_refused, parent=started))
    run = PlanRun(
        context=context,
        catalog=parts.catalog,
        authorizer=parts.authorizer,
        port=_port(parts, run_id, context, provider),
        recorder=recorder,
        clock=parts.clock,
        observer=observer,
        started=started,
    )
    with recorded(run.fail):
        with admitted():
            result = _execute(program, run, provider, wire_inputs)
        value = decode(result.value)
        shown = to_python(value, context.limits), to_text(value)
    last = recorder.run_completed(started, result.value, result.usage)
    return RunResult(
        value=shown[0],
        value_text=shown[1],
        run_id=run_id,
        plan_sha256=program.sha256,
        provider=provider.name,
        usage=result.usage,
        calls=tuple(run.calls),
        steps_count=run.steps_count,
        chain_sequence=last.event.sequence,
        chain_sha256=last.record_sha256,
        attestation=attestation,
    )


def _port(parts: RunParts, run_id: str, context: RuntimeContext, provider: IsolationProvider) -> SandboxPort:
    begun_ns = parts.clock.monotonic_ns()
    return SandboxPort(
        provider=provider,
        issuer=parts.issuer,
        context=context,
        time_left=lambda: context.limits.wall_ms - (parts.clock.monotonic_ns() - begun_ns) // 1_000_000,
        run_id=run_id,
    )


def _input(name: str, value: Any) -> Value:
    try:
        return from_python(value)
    except InputError as error:
        raise InputError(f"input {name}: {error.message}", code="input.value", hint=error.hint) from error


def _admit(
    program: Program,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
    inputs: Mapping[str, Value],
    record: Callable[[Decision, Sequence[str], CloisterError], None],
) -> None:
    errors: list[CloisterError] = []
    for refused in refusals(requirements(program, context, authorizer, inputs)):
        error = refused.error()
        record(refused.decision, argument_texts(refused.effect), error)
        errors.append(error)
    if errors:
        first, *others = errors
        first.carry(others, ALSO_REFUSED)
        raise first


def _execute(
    program: Program, run: PlanRun, provider: IsolationProvider, wire_inputs: Mapping[str, WireValue]
) -> ExecutionResult:
    execution_id = run.port.next_execution_id()
    limits = run.context.limits
    token = run.port.issuer.issue(
        run.authorizer.authorize_workload(run.context, PLAN_CAPABILITY),
        execution_id=execution_id,
        limits=limits,
        minimum_isolation=run.context.minimum_isolation,
    )
    execution = ExecutionContext(
        execution_id=execution_id,
        capability_id=PLAN_CAPABILITY,
        workload=_workload(program, wire_inputs),
        token=token,
        limits=limits,
    )
    return provider.execute(execution, host=run)


def _workload(program: Program, inputs: Mapping[str, WireValue]) -> PlanProgram | PlanBytecode:
    if not program.has_text:
        return PlanBytecode(program=program, inputs=inputs)
    return PlanProgram(source=program.source.text, name=program.name, inputs=inputs, modules=program.modules)
