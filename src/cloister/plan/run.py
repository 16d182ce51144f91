"""One run of a plan from its order to its last record.

Owns the sequence: record the start, keep the order, check the provider's level, have it attest, admit, and carry it
out. Whatever is raised on the way is recorded before it leaves. Runs that go on are `resuming`'s, and how a run ends is
`carrying_out`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cloister.authority.authorizer import Decision
from cloister.authority.budget import Budget
from cloister.authority.context import RuntimeContext
from cloister.authority.governance import Governance
from cloister.clock import timestamp
from cloister.errors import (
    ALSO_REFUSED,
    CloisterError,
    InputError,
    IsolationUnavailable,
)
from cloister.interrupts import held
from cloister.isolation.attestation import Expectations
from cloister.isolation.provider import IsolationProvider
from cloister.lang.program import Program
from cloister.lang.transport import encode, from_python
from cloister.lang.values import Value
from cloister.plan.admission import argument_texts, refusals
from cloister.plan.approvals.run_approvals import RecordedApprovals
from cloister.plan.attesting import require_attestation
from cloister.plan.carrying_out import Undertaking, carry_out
from cloister.plan.journal.call_journal import CallJournal
from cloister.plan.journal.entries import RunEntry, RunState
from cloister.plan.journal.order import SALT_BYTES, RunOrder
from cloister.plan.judging import judge
from cloister.plan.observer import RunObserver
from cloister.plan.parts import RunParts
from cloister.plan.profiling import record_profiles
from cloister.plan.recorder import RunRecorder, recorded
from cloister.plan.result import RunResult
from cloister.plan.spending import Spending
from cloister.plan.step_profiles import PlanProfiles, derive_profiles
from cloister.plan.terms import RunTerms, default_budget


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
        hint=f"{remedies}or choose a stronger provider with --provider, or demand less: {provider.level.label} "
        "in --isolation, or in minimum under [isolation] of the policy".removeprefix("or "),
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
    terms: RunTerms,
) -> RunResult:
    """Run a compiled plan; see `Runtime.run` for what is raised."""
    parts.catalog.registry.check_context(context)
    terms = terms.bounded(context)
    values = {name: _input(name, value) for name, value in inputs.items()}
    order = RunOrder(
        program=program,
        inputs={name: encode(value, context.limits) for name, value in values.items()},
        context=context,
        provider=provider.name,
        expected=expected.to_dict(),
        policies=parts.policies,
        terms=terms,
        salt=parts.clock.random_bytes(SALT_BYTES),
    )
    run_id = parts.new_run_id()
    lock = parts.journal.drive(run_id)
    try:
        recorder = RunRecorder(parts.chain, run_id, terms.provenance)
        started = recorder.run_started(_started_body(order, provider))
        budget = Budget(terms.budget, terms.exhaustion, budget_id=run_id)
        recorder.policies(started, parts.constitution.facts, budget, default_budget(context))
        _keep(parts, run_id, order, started)
        with recorded(lambda error: _refuse(parts, recorder, started, error)):
            require_level(provider, context)
            attestation = require_attestation(provider, context.limits, expected, recorder, started)
            profiles = derive_profiles(program, context, parts.authorizer, parts.catalog.registry, values)
            refused = partial(recorder.call_refused, parent=started)
            admit(parts, order, provider, values, profiles, record=refused)
            record_profiles(profiles, recorder, started)
        undertaking = Undertaking(
            order=order,
            provider=provider,
            recorder=recorder,
            journal=CallJournal(parts.journal.store, run_id),
            approvals=RecordedApprovals(),
            profiles=profiles,
            spending=Spending(budget=budget, recorder=recorder, clock=parts.clock),
            observer=observer,
            started=started,
            attestation=attestation,
        )
        return carry_out(parts, undertaking)
    finally:
        lock.release()


def _started_body(order: RunOrder, provider: IsolationProvider) -> dict[str, Any]:
    return {
        "plan": order.program.name,
        "plan_sha256": order.program.sha256,
        "provider": provider.name,
        "isolation": provider.level.label,
        "inputs": sorted(order.inputs),
        "context": order.to_dict()["context"],
        "order_sha256": order.sha256,
        "mode": order.terms.mode.value,
    }


def _keep(parts: RunParts, run_id: str, order: RunOrder, started: int) -> None:
    now = timestamp(parts.clock.now())
    entry = RunEntry(
        run_id=run_id,
        state=RunState.RUNNING,
        plan=order.program.name,
        provider=order.provider,
        created_at=now,
        updated_at=now,
        started=started,
        order=order.to_dict(),
    )
    parts.journal.store.begin_run(entry, order.to_bytes())


def _refuse(parts: RunParts, recorder: RunRecorder, started: int, error: CloisterError) -> None:
    recorder.run_refused(started, error)
    now = timestamp(parts.clock.now())
    parts.journal.store.set_state(recorder.run_id, RunState.REFUSED, now, error=_kept(error), durable=False)


def _kept(error: CloisterError) -> dict[str, Any]:
    return {"code": error.code, "message": error.message}


def _input(name: str, value: Any) -> Value:
    try:
        return from_python(value)
    except InputError as error:
        raise InputError(f"input {name}: {error.message}", code="input.value", hint=error.hint) from error


def admit(
    parts: RunParts,
    order: RunOrder,
    provider: IsolationProvider,
    inputs: Mapping[str, Value],
    profiles: PlanProfiles,
    *,
    record: Callable[[Decision, Sequence[str], CloisterError], None],
) -> None:
    """Refuse a plan that does not fit its context, its own profiles or what governs it, before anything of it runs.

    Every refusal of a call is recorded.

    Raises:
        CloisterError: The first refusal, which carries the others.
    """
    errors: list[CloisterError] = []
    governance = Governance(parts.constitution.constitution, order.terms.mode, parts.catalog.registry)
    judgement = judge(
        order.program, order.context, parts.authorizer, governance, profiles, level=provider.level, inputs=inputs
    )
    for refused in refusals(judgement.found):
        error = refused.error()
        record(refused.decision, argument_texts(refused.effect), error)
        errors.append(error)
    for item, ruling in zip(judgement.found, judgement.rulings, strict=True):
        denial = ruling.refusal() if ruling is not None and item.is_admissible else None
        if denial is not None:
            denial.span = item.span
            record(item.decision, argument_texts(item.effect), denial)
            errors.append(denial)
    errors += (each.error for each in judgement.parts)
    if errors:
        first, *others = errors
        first.carry(others, ALSO_REFUSED)
        raise first
