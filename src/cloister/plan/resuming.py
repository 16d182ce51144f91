"""Going on with a run in another process, or ending it there.

Owns the sequence: take the lock, compare the journal with the signed chain, compile the plan again, refuse whatever
differs from what was admitted, add what the chain lacks, and carry the run out with the calls that were made before.
The journal is not trusted; the chain's records are checked as they are read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Final

from cloister.authority.budget import Budget
from cloister.authority.capability import AccessKind
from cloister.authority.context import RuntimeContext
from cloister.authority.contract import Idempotency
from cloister.authority.grants import place_grant
from cloister.canonical import Plain
from cloister.clock import timestamp
from cloister.errors import CloisterError, InputError, JournalError, PlanError
from cloister.interrupts import held
from cloister.isolation.attestation import Expectations
from cloister.isolation.provider import IsolationProvider
from cloister.isolation.warming import WarmedProvider
from cloister.lang.collector import paused_collector
from cloister.lang.program import Program
from cloister.lang.transport import decode
from cloister.plan.attesting import require_attestation
from cloister.plan.carrying_out import Undertaking, carry_out
from cloister.plan.journal.call_journal import CallJournal, recalled_error
from cloister.plan.journal.entries import Abort, CallEntry, CallState, IntentEntry, RunEntry, RunState
from cloister.plan.journal.order import RunOrder, environment_sha256, program_of
from cloister.plan.journal.reconciling import Reconciled, RecordedCalls, is_unanswered, reconcile
from cloister.plan.journal.recorded_run import RecordedRun
from cloister.plan.observer import RunObserver
from cloister.plan.parts import RunParts
from cloister.plan.profiling import record_profiles
from cloister.plan.record_facts import OutcomeFacts
from cloister.plan.recorder import RunRecorder
from cloister.plan.repeating import idempotency_of
from cloister.plan.result import RunResult
from cloister.plan.run import admit, require_level
from cloister.plan.spending import Charge, Spending, attempt_amounts, restore, unmeasured_charge
from cloister.plan.step_profiles import derive_profiles
from cloister.plan.terms import RunTerms

NOT_MADE: Final = CloisterError(
    "the call was never made: its process ended between the two notes of its intent", code="run.not-made"
)

NOT_KNOWN: Final = CloisterError("whether the call was made is not known; the run was aborted", code="run.not-known")


@dataclass(frozen=True, slots=True, kw_only=True)
class Resumption:
    """What somebody gives to let a run go on.

    Attributes:
        run_id: The run.
        provider: Makes the provider of that name.
        observer: Watches.
        environment: Values of the granted variables, which the journal does not keep.
        plan: The plan as it is now; None to take the journal's.
        context: The grants as they are now; None to take those it was admitted with.
        abort: Whether to end it, and have what was done undone, in place of going on.
    """

    run_id: str
    provider: Callable[[str], IsolationProvider]
    observer: RunObserver
    environment: Mapping[str, str]
    plan: Program | None = None
    context: RuntimeContext | None = None
    abort: bool = False


@held()
def resume_run(parts: RunParts, resumption: Resumption) -> RunResult:
    """Let a run go on, or end it; see `Runtime.resume` and `Runtime.abort` for what is raised."""
    lock = parts.journal.drive(resumption.run_id)
    try:
        undertaking = _undertaking(parts, resumption)
        now = timestamp(parts.clock.now())
        parts.journal.store.set_state(resumption.run_id, RunState.RUNNING, now, durable=False)
        return carry_out(parts, undertaking)
    finally:
        lock.release()


def _undertaking(parts: RunParts, resumption: Resumption) -> Undertaking:
    """Return what is to be carried out; the caller drives the run."""
    store = parts.journal.store
    run = store.run(resumption.run_id)
    _require_unfinished(run)
    read, calls = _read(parts, run, resumption)
    recorded = read.calls
    _require_admitted(parts, run, recorded)
    reconciled = reconcile(run, calls, recorded, _may_repeat(parts))
    order = _order(parts, run, resumption)
    provider = resumption.provider(order.provider)
    recorder = RunRecorder(parts.chain, run.run_id, order.terms.provenance)
    ends = _place_of_end(run, calls, recorded) if resumption.abort else None
    recorder.run_resumed(run.started, _resumed_body(calls, provider, ends))
    recorded.budget += _complete(parts, recorder, reconciled, recorded)
    require_level(provider, order.context)
    expected = Expectations(digests=dict(order.expected))
    attestation = require_attestation(provider, order.context.limits, expected, recorder, run.started)
    values = {name: decode(value) for name, value in order.inputs.items()}
    profiles = derive_profiles(order.program, order.context, parts.authorizer, parts.catalog.registry, values)
    if ends is not None:
        if run.abort is None:
            _leave_unanswered(parts, calls[ends.at : ends.undoes_from], recorder, recorded)
            store.abort(run.run_id, ends)
    elif run.abort is None:
        # Its process may have ended before it was admitted, and nothing runs that was not
        refused = partial(recorder.call_refused, parent=run.started)
        admit(parts, order, provider, values, profiles, record=refused)
    if not recorded.has_profiles:
        record_profiles(profiles, recorder, run.started)
    return Undertaking(
        order=order,
        provider=provider,
        recorder=recorder,
        journal=_journal(parts, run, calls, recorded),
        approvals=read.approvals,
        profiles=profiles,
        spending=_spending(parts, order, recorder, recorded),
        observer=resumption.observer,
        started=run.started,
        attestation=attestation,
        abort=run.abort or ends,
        ended_at=recorded.ended_at(calls),
        ends_by_itself=recorded.ends_by_itself,
        completed=read.completed,
    )


def _read(parts: RunParts, run: RunEntry, resumption: Resumption) -> tuple[RecordedRun, tuple[CallEntry, ...]]:
    """Return what the chain and what the journal says of a run.

    Its provider begins while the rest is read and compared: as soon as it is proven which one it is.
    """

    def began(recorded: RecordedCalls) -> None:
        if recorded.has_order(run):
            with suppress(CloisterError, OSError):  # said again by whoever needs it
                provider = resumption.provider(str(run.order.get("provider")))
                if isinstance(provider, WarmedProvider):
                    provider.warm_up()

    with paused_collector():
        read = RecordedRun.read(parts.chain.records(run.run_id), began)
        return read, tuple(parts.journal.store.calls(run.run_id))


def standing(parts: RunParts, run: RunEntry) -> RunEntry:
    """Return a run as it stands: one that is `running` and that nobody drives was interrupted."""
    if run.state is RunState.RUNNING and not parts.journal.is_driven(run.run_id):
        return replace(run, state=RunState.INTERRUPTED)
    return run


def _require_unfinished(run: RunEntry) -> None:
    """Refuse a run that ended. One that is `running` and not locked was interrupted."""
    if not run.state.can_resume and run.state is not RunState.RUNNING:
        raise _ended(run.run_id, run.state)


def _require_admitted(parts: RunParts, run: RunEntry, recorded: RecordedCalls) -> None:
    """Refuse a run that the chain says was refused, although the journal was not told or says otherwise."""
    if recorded.is_refused:
        parts.journal.store.set_state(run.run_id, RunState.REFUSED, timestamp(parts.clock.now()), error=run.error)
        raise _ended(run.run_id, RunState.REFUSED)


def _ended(run_id: str, state: RunState) -> InputError:
    return InputError(
        f"the run {run_id} is {state.value}; there is nothing left of it to run",
        code="input.run-ended",
        hint=f"`cloister runs show {run_id}` says how it ended; run the plan again for a new run",
    )


def _may_repeat(parts: RunParts) -> Callable[[IntentEntry], bool]:
    """Return what says of a call whether it was noted without waiting for the disk; see `CallAct.is_repeatable`."""
    registry = parts.catalog.registry

    def may_repeat(intent: IntentEntry) -> bool:
        if registry.find(intent.capability_id) is None:
            return False
        return idempotency_of(intent.capability_id, registry, may_write=intent.may_write) is Idempotency.RETRY

    return may_repeat


def _order(parts: RunParts, run: RunEntry, resumption: Resumption) -> RunOrder:
    """Return the order of a run, once nothing of what it was admitted with has changed."""
    kept: dict[str, Any] = run.order
    program = program_of(kept, resumption.plan)
    try:
        names = sorted(kept["context"]["environment"])
        if sorted(resumption.environment) != names:
            raise _other_environment(names)
        context = RuntimeContext.from_dict(kept["context"], environment=resumption.environment)
        salt, digest = bytes.fromhex(kept["environment"]["salt"]), kept["environment"]["sha256"]
        inputs, expected, policies = kept["inputs"], kept["expected"], kept["policies"]
        terms = kept["terms"]
    except (KeyError, TypeError, ValueError) as error:
        raise JournalError(
            "the journal holds no order for this run", code="journal.damaged", hint="restore it from a copy"
        ) from error
    if environment_sha256(context.environment, salt) != digest:
        raise _other_environment(names)
    if resumption.context is not None and resumption.context.to_dict() != context.to_dict():
        raise PlanError(
            "these grants are not the ones that the run began with",
            code="plan.context-changed",
            hint="leave them out to go on with the grants it was admitted with, or begin a new run",
        )
    if policies != dict(parts.policies):
        raise PlanError(
            "the policies of this home are not the ones that the run began with",
            code="plan.policy-changed",
            hint="put them back to let it go on, or abort it and begin a new run",
        )
    return RunOrder(
        program=program,
        inputs=inputs,
        context=context,
        provider=run.provider,
        expected=expected,
        policies=policies,
        terms=RunTerms.from_dict(terms),
        salt=salt,
    )


def _journal(parts: RunParts, run: RunEntry, calls: tuple[CallEntry, ...], recorded: RecordedCalls) -> CallJournal:
    """Return the journal of a run with what the chain says of it."""
    steps = tuple(recorded.steps.values())
    return CallJournal(parts.journal.store, run.run_id, calls, steps, recorded.outcomes, intents=recorded.intents)


def _spending(parts: RunParts, order: RunOrder, recorder: RunRecorder, recorded: RecordedCalls) -> Spending:
    """Return the budget of a run as it left it."""
    budget = Budget(order.terms.budget, order.terms.exhaustion, budget_id=recorder.run_id)
    spending = Spending(budget=budget, recorder=recorder, clock=parts.clock)
    restore(spending, recorded.budget)
    return spending


def _other_environment(names: Sequence[str]) -> PlanError:
    granted = " ".join(place_grant(AccessKind.ENVIRONMENT, str(name)) for name in names)
    return PlanError(
        "the variables that are given are not those that the run was granted, or have other values",
        code="plan.environment-changed",
        hint=f"give those that it began with: {granted}" if granted else "it was granted none; leave --env out",
    )


def _place_of_end(run: RunEntry, calls: tuple[CallEntry, ...], recorded: RecordedCalls) -> Abort:
    """Return where a run is aborted: at the first call that was not answered, which is not made any more."""
    at = next((entry.number for entry in calls if is_unanswered(entry, calls)), len(calls))
    return run.abort or recorded.ended_at(calls) or Abort(at=at, undoes_from=len(calls))


def _leave_unanswered(
    parts: RunParts, calls: Sequence[CallEntry], recorder: RunRecorder, recorded: RecordedCalls
) -> None:
    """Record that it stays unknown what became of the calls in the place of which a run is aborted, and charge them."""
    for entry in calls:
        if entry.state is CallState.INTENDED and entry.intent not in recorded.outcomes:
            charge = _charge_of_attempt(parts, recorded.intents[entry.intent])
            facts = OutcomeFacts(charged=charge, is_simulated=recorded.intents[entry.intent].is_simulated)
            recorder.call_failed(entry.intent, entry.capability_id, NOT_KNOWN, facts)
            recorded.budget += [] if charge is None else [charge]


def _charge_of_attempt(parts: RunParts, intent: IntentEntry) -> dict[str, Plain] | None:
    """Return what is charged for a call of which nobody knows whether it was made; None when it was not let through."""
    spec = parts.catalog.registry.find(intent.capability_id)
    if spec is None or not intent.is_allowed:
        return None
    return Charge(dict(attempt_amounts(spec, None)), []).to_body()


def _resumed_body(calls: tuple[CallEntry, ...], provider: IsolationProvider, ends: Abort | None) -> dict[str, Plain]:
    unknown = [entry.number for entry in calls if entry.state is CallState.INTENDED]
    return {
        "provider": provider.name,
        "isolation": provider.level.label,
        "calls": len(calls),
        "unknown": unknown,
        "abort": ends is not None,
        **({} if ends is None else {"aborts_at": ends.at, "undoes_from": ends.undoes_from}),
    }


def _complete(
    parts: RunParts, recorder: RunRecorder, reconciled: Reconciled, recorded: RecordedCalls
) -> list[dict[str, Any]]:
    """Add to the chain what it lacks because a process was killed between two writes; return what that charges."""
    charged: list[dict[str, Any]] = []
    for sequence, capability_id in reconciled.not_made:
        facts = OutcomeFacts(is_simulated=recorded.intents[sequence].is_simulated)
        recorder.call_failed(sequence, capability_id, NOT_MADE, facts)
    for entry in reconciled.unrecorded:
        spec = parts.catalog.registry.find(entry.capability_id)
        intent = recorded.intents[entry.intent]
        charge = unmeasured_charge(spec).to_body() if spec is not None and intent.is_allowed else None
        facts = OutcomeFacts(memo=entry.memo, charged=charge, is_simulated=intent.is_simulated)
        if entry.state is CallState.FAILED:
            error, facts = recalled_error(entry), replace(facts, answer=entry.answer)
            record = recorder.call_failed(entry.intent, entry.capability_id, error, facts)
        else:
            record = recorder.call_succeeded(entry.intent, entry.capability_id, entry.answer, None, facts)
        charged += [] if charge is None else [charge]
        parts.journal.store.outcome_recorded(recorder.run_id, entry.number, record.event.sequence)
    return charged
