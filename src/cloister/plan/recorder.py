"""What a run writes into the causal chain.

Owns the shape of the bodies of run, call, step and attestation records. Arguments are kept as
shortened text with a digest of all of them; results as digest and size only, because they may be large or private. An
append that fails raises `AppendFailed`, which nothing on the way catches: a run that cannot be recorded stops.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import MappingProxyType
from typing import Any, Final

from cloister.audit.chain import CausalChain
from cloister.audit.event import NO_PROVENANCE, EventType, Provenance, Record
from cloister.authority.authorizer import Decision
from cloister.authority.budget import Budget, BudgetLimits
from cloister.canonical import Plain
from cloister.errors import AuditError, CloisterError, InternalError, quoted
from cloister.isolation.attestation import Attestation, Expectations
from cloister.isolation.provider import Usage, WireValue
from cloister.lang.host import OptionData
from cloister.plan.budget_records import BudgetRecords
from cloister.plan.record_facts import (
    ARGUMENT_CHARS_MAX,
    NO_INTENT_FACTS,
    NO_OUTCOME_FACTS,
    IntentFacts,
    OutcomeFacts,
    shown_arguments,
    wire_digest,
)

OPTION_CHARS_MAX: Final = 200
NOTHING_SPENT: Final[Mapping[str, Plain]] = MappingProxyType({})
ERROR_CHARS_MAX: Final = 500


class RunRecorder:
    """Appends the records of one run.

    Args:
        chain: Where to.
        run_id: Goes into every record.
        provenance: For whom and under what it runs; goes into every record, too.
    """

    def __init__(self, chain: CausalChain, run_id: str, provenance: Provenance = NO_PROVENANCE) -> None:
        self._chain = chain
        self._run_id = run_id
        self._provenance = provenance

    @property
    def run_id(self) -> str:
        """The run."""
        return self._run_id

    def append(
        self,
        event_type: EventType,
        body: Mapping[str, Plain],
        *,
        capability_id: str | None = None,
        parent: int | None = None,
        provenance: Provenance | None = None,
        durable: bool = True,
    ) -> Record:
        """Append one event of this run."""
        return self._chain.append(
            event_type,
            run_id=self._run_id,
            capability_id=capability_id,
            parent=parent,
            body=body,
            provenance=provenance or self._provenance,
            durable=durable,
        )

    def run_started(self, body: Mapping[str, Plain]) -> int:
        """Record what is about to run, under which context."""
        return self.append(EventType.RUN_STARTED, body).event.sequence

    def policies(self, parent: int, constitution: Mapping[str, Plain], budget: Budget, usual: BudgetLimits) -> None:
        """Record which constitution rules on a run and what it may spend, unless both are those that always are."""
        if constitution.get("path") is not None:
            self.append(EventType.POLICY_LOADED, constitution, parent=parent, durable=False)
        for each in BudgetRecords().of([budget.allocated]) if budget.limits != usual else ():
            self.append(EventType(each.event_type), each.body, parent=parent, durable=False)

    def run_refused(self, parent: int, error: CloisterError) -> Record:
        """Record that admission refused the run."""
        return self.append(EventType.RUN_REFUSED, error_body(error), parent=parent)

    def run_completed(
        self, parent: int, value: WireValue, usage: Usage, spent: Mapping[str, Plain] = NOTHING_SPENT
    ) -> Record:
        """Record the end of a run that returned a value; `spent` is what its budget was charged last, and in all."""
        digest, size = wire_digest(value)
        body: dict[str, Plain] = {"result_sha256": digest, "result_bytes": size, "usage": usage.to_dict(), **spent}
        return self.append(EventType.RUN_COMPLETED, body, parent=parent)

    def run_failed(self, parent: int, error: CloisterError, spent: Mapping[str, Plain] = NOTHING_SPENT) -> Record:
        """Record the end of a run that raised."""
        return self.append(EventType.RUN_FAILED, {**error_body(error), **spent}, parent=parent)

    def run_paused(self, parent: int, error: CloisterError, spent: Mapping[str, Plain]) -> Record:
        """Record that a run waits for an approval."""
        body: dict[str, Plain] = {"approval_id": error.details.get("approval_id"), **error_body(error), **spent}
        return self.append(EventType.RUN_PAUSED, body, parent=parent)

    def run_resumed(self, parent: int, body: Mapping[str, Plain]) -> Record:
        """Record that a run goes on, and from where."""
        return self.append(EventType.RUN_RESUMED, body, parent=parent)

    def run_aborted(self, parent: int, error: CloisterError, spent: Mapping[str, Plain]) -> Record:
        """Record the end of a run that somebody aborted, what it had done undone."""
        return self.append(EventType.RUN_ABORTED, {**error_body(error), **spent}, parent=parent)

    def attestation_measured(self, parent: int | None, attestation: Attestation, expected: Expectations) -> Record:
        """Record what was measured, and that it is what was expected."""
        body: dict[str, Plain] = {
            "sha256": attestation.sha256,
            "attestation": attestation.to_dict(),
            "expected": expected.to_dict(),
        }
        return self.append(EventType.ATTESTATION_MEASURED, body, parent=parent)

    def attestation_refused(
        self, parent: int | None, error: CloisterError, attestation: Attestation | None, expected: Expectations
    ) -> Record:
        """Record that measuring failed, or that something else was expected; then with what was measured."""
        body: dict[str, Plain] = {
            **error_body(error),
            "attestation": None if attestation is None else attestation.to_dict(),
            "expected": expected.to_dict(),
        }
        return self.append(EventType.ATTESTATION_REFUSED, body, parent=parent)

    def call_intent(
        self, decision: Decision, arguments: Sequence[WireValue], parent: int, facts: IntentFacts = NO_INTENT_FACTS
    ) -> int:
        """Record what is to be called, or was refused, and by which rule; `parent` is the step or run around it."""
        body: dict[str, Plain] = {
            "decision": "allow" if decision.allowed else "deny",
            "reason": decision.reason.value,
            "permissions": sorted(decision.permissions),
            "read_paths": list(decision.read_paths),
            "write_paths": list(decision.write_paths),
            "environment": list(decision.environment),
            **facts.to_body(),
        }
        known = self._provenance
        if facts.step_id or facts.rule_id:
            known = replace(known, step_id=facts.step_id, constitutional_rule_id=facts.rule_id)
        return self._intent(decision.capability_id, body, arguments, parent, known)

    def call_refused(self, decision: Decision, arguments: Sequence[str], error: CloisterError, parent: int) -> None:
        """Record a call that admission refused: its intent with what is known of the arguments, and the refusal."""
        body: dict[str, Plain] = {
            "decision": "deny",
            "reason": error.code,
            "arguments": quoted(" ".join(arguments), ARGUMENT_CHARS_MAX),
        }
        record = self.append(EventType.CALL_INTENT, body, capability_id=decision.capability_id, parent=parent)
        self.call_failed(record.event.sequence, decision.capability_id, error)

    def malformed_intent(
        self, capability_id: str, arguments: Sequence[WireValue], parent: int, facts: IntentFacts = NO_INTENT_FACTS
    ) -> int:
        """Record a call whose arguments did not fit, so that there was nothing to decide."""
        body: dict[str, Plain] = {"decision": "none", "reason": "malformed", **facts.to_body()}
        return self._intent(quoted(capability_id), body, arguments, parent)

    def _intent(
        self,
        capability_id: str,
        body: dict[str, Plain],
        arguments: Sequence[WireValue],
        parent: int,
        provenance: Provenance | None = None,
    ) -> int:
        digest, _ = wire_digest(list(arguments))
        body |= {"arguments": shown_arguments(arguments), "arguments_sha256": digest}
        record = self.append(
            EventType.CALL_INTENT, body, capability_id=capability_id, parent=parent, provenance=provenance
        )
        return record.event.sequence

    def call_succeeded(
        self,
        intent: int,
        capability_id: str,
        value: WireValue,
        usage: Usage | None,
        facts: OutcomeFacts = NO_OUTCOME_FACTS,
    ) -> Record:
        """Record the result of a call.

        Args:
            intent: Its intent record.
            capability_id: What was called.
            value: What it returned.
            usage: What its sandboxes used; None when nothing was executed in one.
            facts: What else there is to record.
        """
        digest, size = wire_digest(value)
        figures: Plain = usage.to_dict() if usage else None
        body: dict[str, Plain] = {"ok": True, "result_sha256": digest, "result_bytes": size, "usage": figures}
        return self._outcome(intent, capability_id, body | facts.to_body())

    def call_failed(
        self, intent: int, capability_id: str, error: CloisterError, facts: OutcomeFacts = NO_OUTCOME_FACTS
    ) -> Record:
        """Record that a call was refused or failed."""
        return self._outcome(intent, capability_id, {"ok": False, **error_body(error), **facts.to_body()})

    def _outcome(self, intent: int, capability_id: str, body: Mapping[str, Plain]) -> Record:
        # The next intent waits for the disk, and for this before it
        return self.append(EventType.CALL_OUTCOME, body, capability_id=capability_id, parent=intent, durable=False)

    def hint_applied(self, intent: int, capability_id: str, facts: Mapping[str, Plain]) -> Record:
        """Record what the hints of a call did; see `cloister.plan.hints.calls.Facts`."""
        return self.append(EventType.HINT_APPLIED, facts, capability_id=capability_id, parent=intent, durable=False)

    def step_started(self, name: str, parent: int, options: Mapping[str, OptionData]) -> int:
        """Record that a step was entered, and with which options."""
        body: dict[str, Plain] = {"name": quoted(name)}
        if options:
            body["options"] = {option: _bounded(value) for option, value in options.items()}
        return self.append(EventType.STEP_STARTED, body, parent=parent, durable=False).event.sequence

    def undo_started(self, name: str, place: int, parent: int) -> int:
        """Record that a step is being undone."""
        body: dict[str, Plain] = {"name": quoted(name), "place": place}
        return self.append(EventType.COMPENSATION_STARTED, body, parent=parent).event.sequence

    def undo_ended(self, name: str, parent: int, error_code: str | None) -> Record:
        """Record that it was undone, or that it was not and somebody has to look."""
        kind = EventType.COMPENSATION_ENDED if error_code is None else EventType.COMPENSATION_FAILED
        return self.append(kind, {"name": quoted(name), "error": error_code}, parent=parent)

    def step_ended(self, name: str, parent: int, error_code: str | None) -> Record:
        """Record that a step ended; `error_code` is None when it succeeded."""
        body: dict[str, Plain] = {"name": quoted(name), "ok": error_code is None, "error": error_code}
        return self.append(EventType.STEP_ENDED, body, parent=parent, durable=False)


def _bounded(value: OptionData) -> Plain:
    if isinstance(value, list):
        return [quoted(item, OPTION_CHARS_MAX) for item in value]
    return quoted(value, OPTION_CHARS_MAX) if isinstance(value, str) else value


@contextmanager
def recorded(record: Callable[[CloisterError], object]) -> Iterator[None]:
    """Record whatever is raised inside before it leaves: errors, an interrupt, a defect.

    Only a failing record itself is not recorded: then the chain is what failed.
    """
    try:
        yield
    except AuditError:
        raise
    except CloisterError as error:
        record(error)
        raise
    except KeyboardInterrupt:
        record(CloisterError("it was interrupted from outside", code="run.interrupted"))
        raise
    except BaseException as error:
        record(InternalError(f"it was ended by {type(error).__name__}", code="internal.ended"))
        raise


def error_body(error: CloisterError) -> dict[str, Plain]:
    """Return an error as it is kept in a record."""
    described: dict[str, Any] = {
        "code": error.code,
        "kind": error.kind,
        "message": quoted(error.message, ERROR_CHARS_MAX),
    }
    return {"error": described}
