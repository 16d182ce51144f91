"""Carrying out what was ordered, from its beginning or from where it was left, to its end.

Owns how a run is put together from its parts, and what each way it can end means: it returned a value, its plan
failed, it was aborted, it waits for an approval, or something around the plan stopped it so that it can go on. The
chain is told first, and the journal then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from cloister.audit.event import Record
from cloister.authority.governance import Governance
from cloister.clock import timestamp
from cloister.errors import (
    ApprovalRequired,
    AuditError,
    BudgetExhausted,
    CloisterError,
    GuestError,
    InputError,
    InternalError,
    LimitExceeded,
    ProviderError,
    RunAborted,
)
from cloister.interrupts import admitted
from cloister.isolation.attestation import Attestation
from cloister.isolation.provider import (
    ExecutionContext,
    ExecutionResult,
    IsolationProvider,
    PlanBytecode,
    PlanProgram,
)
from cloister.lang.printer import to_text
from cloister.lang.transport import decode, to_python
from cloister.plan.approvals.run_approvals import RecordedApprovals, RunApprovals
from cloister.plan.call_act import CallAct
from cloister.plan.call_path import CallPath
from cloister.plan.governor import Governor
from cloister.plan.journal.call_journal import CallJournal
from cloister.plan.journal.entries import Abort, RunState
from cloister.plan.journal.order import RunOrder
from cloister.plan.observer import RunObserver
from cloister.plan.orchestrator import PlanRun
from cloister.plan.parts import RunParts
from cloister.plan.record_facts import wire_digest
from cloister.plan.recorder import RunRecorder, recorded
from cloister.plan.result import RunResult
from cloister.plan.sandbox import SandboxPort
from cloister.plan.spending import Spending
from cloister.plan.step_profiles import PlanProfiles

PLAN_CAPABILITY: Final = "cloister.plan"
COUNTED_BY_ENGINES: Final = frozenset({"steps_count", "depth_count", "value_bytes", "value_elements_count"})
"""Limits that end a plan in order, undos and all, and at the same place each time. A run that is aborted and meets one
before its next call would never come to that call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Undertaking:
    """A run that was admitted.

    Attributes:
        order: What is to be done.
        provider: Runs it.
        recorder: Writes its records.
        journal: Numbers its calls, and knows those that were made before.
        approvals: What was asked and decided before.
        spending: Its budget.
        profiles: What its steps may do.
        observer: Watches.
        started: Its first record.
        attestation: What the provider measured; None when it does not attest.
        abort: Where it is ended; None when nobody aborted it.
        ended_at: Where it ended by itself, when its process was killed while it was undone; None otherwise.
        ends_by_itself: Whether it ended so before anybody aborted it.
        completed: The record of its end, when its process was killed after that; None otherwise.
    """

    order: RunOrder
    provider: IsolationProvider
    recorder: RunRecorder
    journal: CallJournal
    approvals: RecordedApprovals
    spending: Spending
    profiles: PlanProfiles
    observer: RunObserver
    started: int
    attestation: Attestation | None
    abort: Abort | None = None
    ended_at: Abort | None = None
    ends_by_itself: bool = False
    completed: Record | None = None


def carry_out(parts: RunParts, undertaking: Undertaking) -> RunResult:
    """Run it to its end; see `Runtime.run` for what is raised."""
    order, limits = undertaking.order, undertaking.order.context.limits
    run = _put_together(parts, undertaking)
    undertaking.spending.begin()
    with recorded(lambda error: _end(parts, undertaking, run, error)):
        with admitted():
            result = _execute(parts, undertaking, run)
        value = decode(result.value)
        shown = to_python(value, limits), to_text(value)
    spent = undertaking.spending.end(result.usage, undertaking.started)
    last = undertaking.completed or undertaking.recorder.run_completed(
        undertaking.started, result.value, result.usage, spent
    )
    parts.journal.store.set_state(
        undertaking.recorder.run_id, RunState.COMPLETED, _now(parts), result=result.value, durable=False
    )
    return RunResult(
        value=shown[0],
        value_text=shown[1],
        run_id=undertaking.recorder.run_id,
        plan_sha256=order.program.sha256,
        provider=undertaking.provider.name,
        usage=result.usage,
        calls=run.calls,
        steps_count=run.steps_count,
        parameters=dict(run.parameters),
        chain_sequence=last.event.sequence,
        chain_sha256=last.record_sha256,
        attestation=undertaking.attestation,
    )


def _put_together(parts: RunParts, undertaking: Undertaking) -> PlanRun:
    recorder, context, clock = undertaking.recorder, undertaking.order.context, parts.clock
    run = PlanRun(
        context=context,
        port=_port(parts, undertaking),
        recorder=recorder,
        journal=undertaking.journal,
        clock=clock,
        observer=undertaking.observer,
        started=undertaking.started,
        spending=undertaking.spending,
        profiles=undertaking.profiles.stack(),
        abort=undertaking.abort or undertaking.ended_at,
        has_every_step=undertaking.abort is not None and not undertaking.ends_by_itself,
    )
    terms, desk = undertaking.order.terms, parts.desk()
    approvals = RunApprovals(
        recorder.run_id,
        clock,
        undertaking.approvals,
        ask=lambda request: desk.ask(request, run.around),
        expire=desk.expire,
        is_expired=desk.is_expired,
        verify=parts.verify_guardian,
        expires_after_ms=terms.approvals_expire_ms,
    )
    run.goes_by(
        CallPath(
            act=CallAct(
                context=context,
                catalog=parts.catalog,
                authorizer=parts.authorizer,
                port=run.port,
                state=run,
                clock=clock,
                facts=_facts(undertaking),
                exposes=run.exposes,
            ),
            governor=Governor(
                governance=Governance(parts.constitution.constitution, terms.mode, parts.catalog.registry),
                approvals=approvals,
            ),
            spending=undertaking.spending,
            recorder=recorder,
            journal=undertaking.journal,
            observer=undertaking.observer,
            around=run,
        )
    )
    return run


def _facts(undertaking: Undertaking) -> dict[str, Any]:
    """Return what there is to know of a run, for the capabilities it is exposed to."""
    of = undertaking.order.terms.provenance
    return {
        "run_id": undertaking.recorder.run_id,
        "plan_id": of.plan_id or undertaking.order.program.sha256,
        "intent_id": of.intent_id,
        "inputs_sha256": wire_digest(dict(undertaking.order.inputs))[0],
    }


def _port(parts: RunParts, undertaking: Undertaking) -> SandboxPort:
    begun_ns, context = parts.clock.monotonic_ns(), undertaking.order.context
    return SandboxPort(
        provider=undertaking.provider,
        issuer=parts.issuer,
        context=context,
        time_left=lambda: context.limits.wall_ms - (parts.clock.monotonic_ns() - begun_ns) // 1_000_000,
        run_id=undertaking.recorder.run_id,
    )


def _execute(parts: RunParts, undertaking: Undertaking, run: PlanRun) -> ExecutionResult:
    context = undertaking.order.context
    execution_id = run.port.next_execution_id()
    inputs_sha256, _ = wire_digest(dict(undertaking.order.inputs))
    token = parts.issuer.issue(
        parts.authorizer.authorize_workload(context, PLAN_CAPABILITY),
        execution_id=execution_id,
        arguments_sha256=inputs_sha256,
        limits=context.limits,
        minimum_isolation=context.minimum_isolation,
    )
    execution = ExecutionContext(
        execution_id=execution_id,
        capability_id=PLAN_CAPABILITY,
        workload=_workload(undertaking.order, None if run.has_every_step else undertaking.spending.steps_left()),
        token=token,
        arguments_sha256=inputs_sha256,
        limits=context.limits,
    )
    return undertaking.provider.execute(execution, host=run)


def _workload(order: RunOrder, steps_unasked: int | None) -> PlanProgram | PlanBytecode:
    """Return what is executed, told how many steps the budget has: whoever would begin another waits for the answer."""
    program, inputs = order.program, order.inputs
    if not program.has_text:
        return PlanBytecode(program=program, inputs=inputs, steps_unasked=steps_unasked)
    return PlanProgram(
        source=program.source.text,
        name=program.name,
        inputs=inputs,
        modules=program.modules,
        steps_unasked=steps_unasked,
    )


def _end(parts: RunParts, undertaking: Undertaking, run: PlanRun, error: CloisterError) -> None:
    """Record how a run ended that returned no value."""
    recorder, started = undertaking.recorder, undertaking.started
    spent = undertaking.spending.end(None, started)
    if isinstance(error, ApprovalRequired):
        recorder.run_paused(started, error, spent)
        _note(parts, recorder, RunState.PAUSED, error, waits_for=error.details.get("approval_id"))
        return
    state = _state_after(error, run, undertaking.abort)
    if state is not RunState.STOPPED:
        run.leave_steps(error.code)
    if state is RunState.ABORTED:
        recorder.run_aborted(started, error, spent)
    else:
        recorder.run_failed(started, error, spent)
    _note(parts, recorder, state, error)


def _state_after(error: CloisterError, run: PlanRun, abort: Abort | None) -> RunState:
    """Return how it stands with a run that ended with an error.

    What the plan was told as the answer of a call it would be told again, so it failed by itself; and what was undone
    is over. The same class from anywhere else came from around the plan, and another time may go well.
    """
    is_at_its_end = isinstance(error, LimitExceeded) and error.limit in COUNTED_BY_ENGINES
    if abort is not None and (isinstance(error, RunAborted) or is_at_its_end):
        return RunState.ABORTED
    if run.has_undone or run.was_told(error) or isinstance(error, GuestError):
        return RunState.FAILED
    if isinstance(error, (LimitExceeded, BudgetExhausted, ProviderError, InternalError, AuditError)):
        return RunState.STOPPED
    return RunState.FAILED if isinstance(error, InputError) else RunState.STOPPED


def _note(
    parts: RunParts, recorder: RunRecorder, state: RunState, error: CloisterError, *, waits_for: str | None = None
) -> None:
    kept = {"code": error.code, "message": error.message, "details": error.details}
    parts.journal.store.set_state(recorder.run_id, state, _now(parts), error=kept, waits_for=waits_for)


def _now(parts: RunParts) -> str:
    return timestamp(parts.clock.now())
