"""Whether what the journal says of a run is what the chain says.

Owns the comparison that comes before a run goes on. The chain is signed and the journal is not, so the journal is
believed only where the chain agrees: which plan, inputs, grants and policy the run had, which calls it made with which
arguments, and what they came to. What the chain lacks because the process was killed between two writes is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from cloister.audit.event import Event, EventType, Record
from cloister.canonical import sha256_hex
from cloister.errors import JournalError, quoted
from cloister.plan.journal.entries import Abort, CallEntry, CallState, IntentEntry, RunEntry, StepEntry
from cloister.plan.journal.store import packed
from cloister.plan.record_facts import wire_digest
from cloister.plan.recorder import ERROR_CHARS_MAX

_NOT_OF_A_CALL: Final = frozenset({"run.not-made", "run.not-known", "provider.outcome-unknown"})
"""Codes of outcomes that were added when a run went on: for attempts that were never made or are not the last one."""


_OF_STEPS: Final = frozenset(
    {
        EventType.STEP_STARTED,
        EventType.STEP_ENDED,
        EventType.COMPENSATION_STARTED,
        EventType.COMPENSATION_ENDED,
        EventType.COMPENSATION_FAILED,
    }
)


@dataclass(slots=True)
class RecordedCalls:
    """What the chain says of a run.

    Attributes:
        started: Sequence of the run's first record; None when there is none.
        order_sha256: Digest of the order that was admitted.
        context: The grants of the run.
        intents: Intents by their sequence.
        outcomes: Bodies of outcomes by sequence of the intent; the last one counts.
        steps: Steps in the order they began, by sequence of their start.
        budget: What the budget was charged, and how it was extended, in order.
        has_profiles: Whether the profiles of its steps are recorded.
        is_refused: Whether admission refused the run, so that nothing of it ran.
        is_aborted: Whether somebody ended the run for good.
        undoing: Sequence of the record from which on it was undone; None when it was not.
        ends_by_itself: Whether it was being undone before anybody ended it.
    """

    started: int | None = None
    order_sha256: str | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    intents: dict[int, IntentEntry] = field(default_factory=dict)
    outcomes: dict[int, Mapping[str, Any]] = field(default_factory=dict)
    steps: dict[int, StepEntry] = field(default_factory=dict)
    budget: list[Mapping[str, Any]] = field(default_factory=list)
    has_profiles: bool = False
    is_refused: bool = False
    is_aborted: bool = False
    undoing: int | None = None
    ends_by_itself: bool = False
    _is_being_aborted: bool = False

    @classmethod
    def read(cls, records: Iterable[Record]) -> RecordedCalls:
        """Collect it from the records of one run, each of which was checked."""
        found = cls()
        for record in records:
            found.note(record)
        return found

    def note(self, record: Record) -> None:
        """Take in one record, in the order of the chain."""
        event = record.event
        body: Mapping[str, Any] = event.body
        if "charged" in body:
            self.budget.append(body["charged"])
        match event.event_type:
            case EventType.CALL_OUTCOME if event.parent is not None:
                self.outcomes[event.parent] = body
            case EventType.CALL_INTENT:
                self.intents[event.sequence] = _intent(event.capability_id, body)
            case EventType.RUN_STARTED:
                self.started, self.order_sha256 = event.sequence, body.get("order_sha256")
                self.context = body.get("context", {})
            case EventType.BUDGET_EXTENDED:
                self.budget.append(body)
            case EventType.STEP_PROFILE_DERIVED:
                self.has_profiles = True
            case EventType.RUN_REFUSED:
                self.is_refused = True
            case EventType.RUN_RESUMED | EventType.RUN_ABORTED:
                self.is_aborted |= event.event_type is EventType.RUN_ABORTED
                self._is_being_aborted |= body.get("abort") is True
            case _ if event.event_type in _OF_STEPS:
                self._note_step(event)

    def has_order(self, run: RunEntry) -> bool:
        """Return whether the journal holds the order that was admitted."""
        return self.order_sha256 == sha256_hex(packed(run.order))

    def ended_at(self, calls: Sequence[CallEntry]) -> Abort | None:
        """Return where a run ended that was being undone; None when it was not.

        Args:
            calls: Its calls by number.
        """
        if self.undoing is None:
            return None
        undoes_from = sum(entry.intent < self.undoing for entry in calls)
        at = next((each.number for each in calls[:undoes_from] if is_unanswered(each, calls)), undoes_from)
        return Abort(at=at, undoes_from=undoes_from)

    def _note_step(self, event: Event) -> None:
        if event.event_type in (EventType.STEP_STARTED, EventType.COMPENSATION_STARTED):
            is_undo = event.event_type is EventType.COMPENSATION_STARTED
            if self.undoing is None and is_undo:
                self.undoing = event.sequence
                self.ends_by_itself = not self._is_being_aborted
            self.steps[event.sequence] = StepEntry(
                number=len(self.steps),
                name=str(event.body.get("name")),
                started=event.sequence,
                has_ended=False,
                is_undo=is_undo,
            )
        elif event.parent in self.steps:
            code = event.body.get("error")
            ended = replace(self.steps[event.parent], has_ended=True, error_code=None if code is None else str(code))
            self.steps[event.parent] = ended


def _intent(capability_id: str | None, body: Mapping[str, Any]) -> IntentEntry:
    return IntentEntry(
        capability_id=capability_id or "",
        arguments_sha256=body.get("arguments_sha256", ""),
        is_allowed=body.get("decision") == "allow",
        is_simulated=body.get("simulated") is True,
        may_write=bool(body.get("write_paths")),
    )


def is_unanswered(entry: CallEntry, calls: Sequence[CallEntry]) -> bool:
    """Return whether a call of the plan was not answered, also by none of its fallbacks."""
    if entry.within is not None or entry.state is not CallState.INTENDED:
        return False
    return all(each.state is not CallState.SUCCEEDED for each in calls if each.within == entry.number)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reconciled:
    """A journal that agrees with the chain.

    Attributes:
        unrecorded: Calls that were answered and whose outcome is not in the chain yet.
        not_made: Intents in the chain of calls that were never made: the process was killed between two writes.
    """

    unrecorded: tuple[CallEntry, ...]
    not_made: tuple[tuple[int, str], ...]


def reconcile(
    run: RunEntry, calls: Sequence[CallEntry], recorded: RecordedCalls, may_repeat: Callable[[IntentEntry], bool]
) -> Reconciled:
    """Compare the journal of a run with the chain.

    Args:
        run: The run.
        calls: Its calls by number.
        recorded: What the chain says.
        may_repeat: Whether a call may be made again when the journal, but not the chain, lost it.

    Raises:
        JournalError: `journal.order`: the run was admitted with another plan, other inputs, grants or policies.
            `journal.altered`: a call or its answer is not the recorded one. `journal.behind`: the journal lacks a call
            that was made.
    """
    if not recorded.has_order(run):
        raise JournalError(
            f"the journal holds another order than the one {run.run_id} was admitted with",
            code="journal.order",
            hint="the journal was changed or belongs to another chain; restore it from a copy",
        )
    if (run.plan, run.provider, run.started) != (*_named(run.order), recorded.started):
        raise _altered(run, "its plan, provider or first record is another one")
    if recorded.is_aborted and run.abort is None:
        raise _altered(run, "it was aborted")
    for number, entry in enumerate(calls):
        if entry.number != number:
            raise _altered(run, f"call {number} is missing")
        _compare(run, entry, recorded, may_repeat)
    not_made = _not_made(run, calls, recorded, may_repeat)
    unrecorded = tuple(
        entry for entry in calls if entry.state is not CallState.INTENDED and entry.intent not in recorded.outcomes
    )
    for entry in unrecorded:
        # The next call is made only when the outcome of this one is in the chain; its own fallbacks came before
        if not all(each.within is not None and each.within >= entry.number for each in calls[entry.number + 1 :]):
            raise _altered(run, f"there is no record of what came of call {entry.number}")
    return Reconciled(unrecorded=unrecorded, not_made=not_made)


def _not_made(
    run: RunEntry, calls: Sequence[CallEntry], recorded: RecordedCalls, may_repeat: Callable[[IntentEntry], bool]
) -> tuple[tuple[int, str], ...]:
    """Return the intents of calls that were never made, once the journal lacks none that was made."""
    known = {entry.intent for entry in calls}
    not_made = []
    for sequence, intent in recorded.intents.items():
        if sequence in known:
            continue
        outcome = recorded.outcomes.get(sequence)
        if outcome is None:
            not_made.append((sequence, intent.capability_id))
            continue
        may_be_lost = not (intent.is_allowed and _was_made(outcome)) or may_repeat(intent)
        if not may_be_lost and not _is_earlier_attempt(sequence, intent, outcome, calls):
            raise _behind(run, sequence, intent.capability_id)
    return tuple(not_made)


def _named(order: Mapping[str, Any]) -> tuple[object, object]:
    """Return the names of plan and provider, which stand in the order too."""
    plan = order.get("plan")
    return plan.get("name") if isinstance(plan, dict) else None, order.get("provider")


def _was_made(outcome: Mapping[str, Any]) -> bool:
    """Return whether an outcome is one of a call that was made, be it that it failed."""
    error = outcome.get("error")
    return not (isinstance(error, dict) and error.get("code") in _NOT_OF_A_CALL)


def _is_earlier_attempt(
    sequence: int, intent: IntentEntry, outcome: Mapping[str, Any], calls: Sequence[CallEntry]
) -> bool:
    """Return whether a call ended without an answer for the plan, by a limit for example, and was begun again since."""
    error = outcome.get("error")
    if not isinstance(error, dict) or error.get("kind") is not None:  # what a plan is told has a kind
        return False
    return any(each.intent > sequence and each.arguments_sha256 == intent.arguments_sha256 for each in calls)


def _behind(run: RunEntry, sequence: int, capability_id: str) -> JournalError:
    return JournalError(
        f"record {sequence} says what came of {quoted(capability_id)} in {run.run_id}, and the journal does not "
        "know of it",
        code="journal.behind",
        hint="the journal is an older copy; restore the newest one, or begin a new run",
    )


def _compare(
    run: RunEntry, entry: CallEntry, recorded: RecordedCalls, may_repeat: Callable[[IntentEntry], bool]
) -> None:
    intent = recorded.intents.get(entry.intent)
    if intent is None or intent.arguments_sha256 != entry.arguments_sha256:
        raise _altered(run, f"call {entry.number} is not the one in record {entry.intent}")
    outcome = recorded.outcomes.get(entry.intent)
    if outcome is None:
        return
    if entry.state is CallState.INTENDED:
        # The journal is told of an answer before the chain; only what may be repeated does not wait for the disk
        if outcome.get("ok") is True and not may_repeat(intent):
            raise _behind(run, entry.intent, intent.capability_id)
        return
    if not _is_same_answer(entry, outcome):
        raise _altered(run, f"the answer of call {entry.number} is not the recorded one")


def _is_same_answer(entry: CallEntry, outcome: Mapping[str, Any]) -> bool:
    if entry.state is CallState.SUCCEEDED:
        digest, _ = wire_digest(entry.answer)
        memo = None if entry.memo is None else wire_digest(entry.memo)[0]
        found = outcome.get("ok"), outcome.get("result_sha256"), outcome.get("memo_sha256")
        return found == (True, digest, memo)
    error, answer = outcome.get("error"), entry.answer
    if not isinstance(error, dict) or not isinstance(answer, dict):
        return False
    said = answer.get("code"), answer.get("kind"), quoted(str(answer.get("message")), ERROR_CHARS_MAX)
    return outcome.get("ok") is False and said == (error.get("code"), error.get("kind"), error.get("message"))


def _altered(run: RunEntry, how: str) -> JournalError:
    return JournalError(
        f"the journal of {run.run_id} does not agree with the chain: {how}",
        code="journal.altered",
        hint="the journal was changed; restore it from a copy, or begin a new run",
    )
