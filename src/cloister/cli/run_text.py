"""A run as people and programs read it.

Owns how a run, its steps and its calls are shown. What a plan or the journal says (names, identifiers, messages) is
hostile: it is shown on one line each, without what would act on a terminal, and nothing is believed to have its shape.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from cloister.errors import quoted

if TYPE_CHECKING:
    from cloister.errors import GuestError
    from cloister.plan.approvals.desk import Approval
    from cloister.plan.journal.entries import CallEntry, RunEntry, StepEntry

MESSAGE_CHARS_MAX: Final = 500
UNDOS_SHOWN_MAX: Final = 15
_OPTIONS: Final = {
    "capabilities": "--allow",
    "patterns": "--allow",
    "denied": "--deny",
    "allowed_effects": "--allow-effect",
    "denied_effects": "--deny-effect",
    "read_paths": "--read",
    "write_paths": "--write",
    "environment": "--env",
}
_HOSTS: Final = {"hosts": "--connect", "denied_hosts": "denied host:"}
_OTHERWISE_SHOWN: Final = {*_OPTIONS, *_HOSTS, "level", "limits", "minimum_isolation", "allow_computed"}


def grant_words(context: Mapping[str, Any]) -> list[str]:
    """Return grants as the options of the command line; what has no option as its name and value.

    Args:
        context: As `RuntimeContext.to_dict` makes it, or whatever a record holds in its place.
    """
    from cloister.cli.limits import DEFAULTS  # noqa: PLC0415

    words = ["--unsafe-everything"] if context.get("level") == "UnsafeEverything" else []
    for name, option in _OPTIONS.items():
        found = context.get(name)
        words += [f"{option} {_word(each)}" for each in found] if isinstance(found, list) else []
    for name, option in _HOSTS.items():
        found = context.get(name)
        words += [f"{option} {_word(_host(each))}" for each in found] if isinstance(found, list) else []
    words += ["--allow-computed"] if context.get("allow_computed") is True else []
    level = str(context.get("minimum_isolation", "none")).replace("_", "-")
    words += [f"--isolation {_word(level)}"] if level != "none" else []
    limits = context.get("limits")
    for name, value in limits.items() if isinstance(limits, dict) else ():
        if DEFAULTS.get(name) != value:
            words.append(f"--limit {_word(name.replace('_', '-'))}={_word(value)}")
    further = sorted(context.keys() - _OTHERWISE_SHOWN)
    return words + [f"{quoted(name)}: {_json(context[name])}" for name in further if context[name]]


def _host(rule: Any) -> str:
    """Return a place on the network in the words it is granted with."""
    from cloister.authority.hosts import HostRule  # noqa: PLC0415
    from cloister.errors import CloisterError  # noqa: PLC0415

    try:
        return str(HostRule.from_dict(rule))
    except (CloisterError, KeyError, TypeError, ValueError, AttributeError):
        return _json(rule)


def _word(value: object) -> str:
    return shlex.quote(quoted(str(value), MESSAGE_CHARS_MAX))


def _json(value: object) -> str:
    return quoted(json.dumps(value, ensure_ascii=False), MESSAGE_CHARS_MAX)


def settled_as(awaited: Approval | None) -> str | None:
    """Return what became of the approval that a run waited for; None while somebody may decide it."""
    from cloister.plan.approvals.request import ApprovalState  # noqa: PLC0415

    return None if awaited is None or awaited.state is ApprovalState.PENDING else awaited.state.value


def run_lines(
    run: RunEntry,
    context: Mapping[str, Any],
    steps: Sequence[StepEntry],
    calls: Sequence[CallEntry],
    awaited: Approval | None = None,
) -> Iterator[str]:
    """Yield a run for a person.

    Args:
        run: The run.
        context: Its grants, from the signed record.
        steps: Its steps, from the chain.
        calls: Its calls.
        awaited: The approval that it waits for, as it stands now.
    """
    settled = settled_as(awaited)
    plan, inputs = (_part(run.order, name) for name in ("plan", "inputs"))
    yield f"{quoted(run.run_id)}  {run.state.value}"
    yield f"  plan      {quoted(run.plan)} (sha256 {quoted(str(plan.get('sha256')))})"
    yield f"  provider  {quoted(run.provider)}"
    yield from _row("grants", grant_words(context) or ["nothing"])
    yield from _terms(_part(run.order, "terms"))
    yield from _row("inputs", [f"{quoted(name)}={_json(value)}" for name, value in sorted(inputs.items())] or ["none"])
    yield f"  began     {quoted(run.created_at)} (record {run.started})"
    yield f"  changed   {quoted(run.updated_at)}"
    if run.waits_for is not None:
        approval_id = quoted(str(run.waits_for))
        yield f"  waits for {approval_id}" if settled is None else f"  approval  {approval_id} {settled}"
    if run.abort is not None:
        yield f"  aborted   before call {run.abort.at}"
    for _, line in sorted([*_step_rows(steps), *_call_rows(calls)]):
        yield line
    yield from _ending(run, is_settled=settled is not None)


def _part(order: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = order.get(name)
    return found if isinstance(found, dict) else {}


def _terms(terms: Mapping[str, Any]) -> Iterator[str]:
    if terms.get("mode") is not None:
        yield f"  mode      {quoted(str(terms['mode']))}"
    budget = terms.get("budget")
    if isinstance(budget, dict):
        bounds = [f"{quoted(str(name))}={_json(value)}" for name, value in budget.items() if value is not None]
        yield f"  budget    {' '.join(bounds) or 'none'}"


def _row(name: str, texts: Sequence[str]) -> Iterator[str]:
    for place, text in enumerate(texts):
        yield f"  {name if place == 0 else '':<9} {text}"


def _step_rows(steps: Sequence[StepEntry]) -> Iterator[tuple[int, str]]:
    for step in steps:
        outcome = quoted(step.error_code or "ok") if step.has_ended else "not ended"
        name = f"undo of {quoted(step.name)}" if step.is_undo else quoted(step.name)
        yield step.started, f"  step {step.number:<4} {name}  {outcome}  record {step.started}"


def _call_rows(calls: Sequence[CallEntry]) -> Iterator[tuple[int, str]]:
    for call in calls:
        record = f"record {call.intent}" if call.outcome is None else f"records {call.intent} and {call.outcome}"
        outcome = call_outcome(call) or "not known"
        yield call.intent, f"  call {call.number:<4} {quoted(call.capability_id)}  {outcome}  {record}"


def call_outcome(call: CallEntry) -> str | None:
    """Return `ok`, the code of the error, or None when it is not known what a call came to."""
    from cloister.plan.journal.entries import CallState  # noqa: PLC0415

    match call.state:
        case CallState.INTENDED:
            return None
        case CallState.SUCCEEDED:
            return "ok"
        case CallState.FAILED:
            answer: Any = call.answer
            return quoted(str(answer.get("code") if isinstance(answer, dict) else answer))


def _ending(run: RunEntry, *, is_settled: bool) -> Iterator[str]:
    error = run.error
    if error is None:
        return
    message = quoted(str(error.get("message")), MESSAGE_CHARS_MAX)
    yield f"  error     {quoted(str(error.get('code')))}: {message}"
    for failed in failed_undos(run):
        yield f"  not undone {_undo_text(failed)}"
    if run.waits_for is not None and not is_settled:
        yield f"  help: `cloister approvals show {quoted(str(run.waits_for))}` shows what it waits for"
    elif run.state.can_resume:
        yield f"  help: {_way_on(run, error)}"


def _way_on(run: RunEntry, error: Mapping[str, Any]) -> str:
    """Return what helps a run that can go on: what is of its beginning is the same wherever it goes on."""
    from cloister.cli.budget import budget_option  # noqa: PLC0415
    from cloister.cli.limits import limit_option  # noqa: PLC0415
    from cloister.plan.carrying_out import COUNTED_BY_ENGINES  # noqa: PLC0415

    code, found = str(error.get("code")), error.get("details")
    details: Mapping[str, Any] = found if isinstance(found, dict) else {}
    option = None
    if code.startswith("budget.") and details.get("policy") == "hard-stop":
        option = budget_option(details)
    elif code.startswith("limit.") and str(details.get("limit")) in COUNTED_BY_ENGINES:
        option = limit_option(details)
    if option is None:
        return f"`cloister runs resume {quoted(run.run_id)}` lets it go on"
    return (
        f"it would end at the same place again; begin a new run with {option}. "
        f"`cloister runs abort {quoted(run.run_id)}` ends this one"
    )


def _undo_text(failed: object) -> str:
    if not isinstance(failed, dict):
        return _json(failed)
    step, code, message = (quoted(str(failed.get(name)), MESSAGE_CHARS_MAX) for name in ("step", "code", "message"))
    return f"{step}: {code}: {message}"


def failed_undos(run: RunEntry) -> list[Any]:
    """Return what the error of a run says about steps that could not be undone."""
    details = (run.error or {}).get("details")
    found = details.get("undo_failed") if isinstance(details, dict) else None
    return found if isinstance(found, list) else []


def undo_error(run: RunEntry, steps: Sequence[StepEntry]) -> GuestError | None:
    """Return the error that says which steps of a run that ended could not be undone; None when all were.

    Args:
        run: The run.
        steps: Its steps and undos, from the chain.
    """
    from cloister.errors import GuestError  # noqa: PLC0415

    failed = [step for step in steps if step.is_undo and step.error_code is not None]
    if not failed:
        return None
    shown = [f"{quoted(step.name)} ({quoted(str(step.error_code))})" for step in failed[:UNDOS_SHOWN_MAX]]
    further = [f"{len(failed) - len(shown)} more"] if len(failed) > len(shown) else []
    return GuestError(
        f"the run {quoted(run.run_id)} is {run.state.value}, but not undone: {', '.join(shown + further)}",
        code="guest.undo",
        hint=f"see to what is left of them; `cloister runs show {quoted(run.run_id)}` says why each could not be",
    )


def summary_data(run: RunEntry, awaited: Approval | None = None) -> dict[str, Any]:
    """Return how it stands with a run, and with the approval that it waits for, as plain data."""
    return {
        "run_id": run.run_id,
        "state": run.state.value,
        "plan": run.plan,
        "plan_sha256": _part(run.order, "plan").get("sha256"),
        "provider": run.provider,
        "created_at": run.created_at,
        "updated_at": run.updated_at,
        "record": run.started,
        "waits_for": run.waits_for,
        "approval_state": None if awaited is None else awaited.state.value,
        "aborted_at_call": None if run.abort is None else run.abort.at,
        "error": run.error,
    }


def run_data(
    run: RunEntry,
    context: Mapping[str, Any],
    steps: Sequence[StepEntry],
    calls: Sequence[CallEntry],
    awaited: Approval | None = None,
) -> dict[str, Any]:
    """Return a run with its order, steps and calls, as plain data; see `run_lines`."""
    return summary_data(run, awaited) | {
        "grants": grant_words(context),
        "context": dict(context),
        "terms": run.order.get("terms"),
        "inputs": run.order.get("inputs"),
        "steps": [
            {
                "number": step.number,
                "name": step.name,
                "ended": step.has_ended,
                "undo": step.is_undo,
                "error": step.error_code,
                "record": step.started,
            }
            for step in steps
        ],
        "calls": [
            {
                "number": call.number,
                "capability": call.capability_id,
                "state": call.state.value,
                "outcome": call_outcome(call),
                "arguments_sha256": call.arguments_sha256,
                "records": [call.intent, call.outcome],
            }
            for call in calls
        ],
        "undo_failed": failed_undos(run),
    }
