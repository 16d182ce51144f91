"""Records as rows for people: what `cloister audit show` prints.

Owns the choice of what is worth a column. Pure; reads bodies tolerantly, because their shape belongs to the runtime and
may have been written by another version. Texts of a plan are quoted.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from cloister.audit.event import Event, EventType, Record
from cloister.canonical import Plain
from cloister.errors import quoted

_SUMMARY_CHARS_MAX = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownRecord:
    """One line of the table.

    Attributes:
        sequence: Position in the chain.
        at: When.
        run_id: Of which run.
        event_type: What happened.
        capability_id: The capability concerned, or None.
        outcome: `allow`, `deny`, `ok`, `error`, or None where there is none to speak of.
        summary: The most telling fact of the body, or nothing.
    """

    sequence: int
    at: str
    run_id: str
    event_type: str
    capability_id: str | None
    outcome: str | None
    summary: str

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the columns as plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


def shown(records: Iterable[Record]) -> Iterator[ShownRecord]:
    """Yield one line for each record."""
    for record in records:
        event = record.event
        yield ShownRecord(
            sequence=event.sequence,
            at=event.at,
            run_id=event.run_id,
            event_type=event.event_type.value,
            capability_id=event.capability_id,
            outcome=_outcome(event),
            summary=_summary(event),
        )


def _outcome(event: Event) -> str | None:
    match event.event_type:
        case EventType.CALL_INTENT | EventType.SESSION_STARTED | EventType.GOVERNANCE_DECIDED:
            decision = event.body.get("decision")
            return quoted(decision) if isinstance(decision, str) else None
        case EventType.RUN_COMPLETED | EventType.ATTESTATION_MEASURED:
            return "ok"
        case EventType.RUN_FAILED | EventType.RUN_ABORTED | EventType.COMPENSATION_FAILED:
            return "error"
        case EventType.PLAN_APPROVED | EventType.APPROVAL_GRANTED | EventType.DELEGATION_APPROVED:
            return "allow"
        case (
            EventType.RUN_REFUSED
            | EventType.ATTESTATION_REFUSED
            | EventType.APPROVAL_DENIED
            | EventType.APPROVAL_EXPIRED
            | EventType.BUDGET_EXHAUSTED
            | EventType.DELEGATION_REJECTED
        ):
            return "deny"
        case _:
            ok = event.body.get("ok")
            return None if not isinstance(ok, bool) else "ok" if ok else "error"


def _summary(event: Event) -> str:
    body = event.body
    error = body.get("error")
    if isinstance(error, Mapping):
        return _line(f"{error.get('code')}: {error.get('message')}")
    measured = body.get("attestation")
    if isinstance(measured, Mapping):
        return _line(_machine(measured))
    special = _SPECIAL.get(event.event_type)
    if special is not None:
        return _line(special(body))
    for key in ("arguments", "name", "plan", "script", "session", "session_path", "reason"):
        value = body.get(key)
        if isinstance(value, str):
            return _line(_with_code(value, error))
    size = body.get("result_bytes")
    return f"{size} bytes" if isinstance(size, int) else ""


def _decided(body: Mapping[str, Plain]) -> str:
    reason = body.get("reason")
    return f"by {body.get('by')}" + (f": {reason}" if reason else "")


def _of_budget(body: Mapping[str, Plain]) -> str:
    percent, added = body.get("percent"), body.get("amount")
    facts = f"{percent} %" if percent is not None else f"{added} more" if added is not None else "all"
    unit = "" if body.get("unit") == "count" else f" {body.get('unit')}"
    return f"{body.get('dimension')}: {facts}, {body.get('allowed')}{unit} allowed"


def _resumed(body: Mapping[str, Plain]) -> str:
    calls = body.get("calls")
    ends = "to be ended" if body.get("abort") is True else "goes on"
    return f"{ends} after {calls} {'call' if calls == 1 else 'calls'}"


def _profile(body: Mapping[str, Plain]) -> str:
    name, capabilities = body.get("step_name"), body.get("capabilities")
    listed = ", ".join(map(str, capabilities)) if isinstance(capabilities, Sequence) and capabilities else "nothing"
    return f"{'outside of steps' if name is None else name}: {listed}"


_SPECIAL: Mapping[EventType, Callable[[Mapping[str, Plain]], str]] = {
    EventType.APPROVAL_GRANTED: _decided,
    EventType.APPROVAL_DENIED: _decided,
    EventType.BUDGET_WARNED: _of_budget,
    EventType.BUDGET_EXHAUSTED: _of_budget,
    EventType.BUDGET_EXTENDED: _of_budget,
    EventType.RUN_RESUMED: _resumed,
    EventType.HINT_APPLIED: lambda body: ", ".join(sorted(body)),
    EventType.STEP_PROFILE_DERIVED: _profile,
    EventType.POLICY_LOADED: lambda body: f"{body.get('policy')} {body.get('path')}, version {body.get('version')}",
}


def _machine(measured: Mapping[str, Plain]) -> str:
    quote = ", quoted by its TPM" if measured.get("tpm") else ""
    image = f"image sha256:{measured.get('image_sha256')}"
    return f"{measured.get('vmm')} {measured.get('vmm_version')} ({measured.get('accelerator')}), {image}{quote}"


def _with_code(text: str, error: Plain) -> str:
    return f"{text} ({error})" if isinstance(error, str) else text


def _line(text: str) -> str:
    return quoted(text, _SUMMARY_CHARS_MAX)
