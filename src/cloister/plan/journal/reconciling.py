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

_NOT_MADE: Final = "run.not-made"
"""Code of the outcome that is added when a run goes on, for an intent of which nothing was done."""
_NOT_KNOWN: Final = "provider.outcome-unknown"
"""Code of what a plan is told of a call that is never made again, when nobody knows whether it was."""


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
        abort: Where it ends, as was recorded last; None when nobody said that it does.
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
    abort: Abort | None = None
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
                if "aborts_at" in body:
                    self.abort = Abort(at=body["aborts_at"], undoes_from=body["undoes_from"])
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
        number=body.get("number"),
        within=body.get("within"),
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
    if run.abort != recorded.abort and (recorded.is_aborted or run.abort is not None):
        raise _altered(run, "it was aborted, or was not, or in another place")
    for number, entry in enumerate(calls):
        if entry.number != number:
            raise _altered(run, f"call {number} is missing")
        _compare(run, entry, recorded)
        _require_answer(run, entry, calls, recorded, may_repeat)
    not_made = _not_made(run, calls, recorded, may_repeat)
    unrecorded = tuple(entry for entry in calls if _is_unrecorded(entry, recorded.outcomes.get(entry.intent)))
    for entry in unrecorded:
        # The next call is made only when the outcome of this one is in the chain; its own fallbacks came before
        if not _is_last(entry, calls):
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
        elif _is_newest(sequence, intent, outcome, calls) and not may_repeat(intent):
            raise _behind(run, sequence, intent.capability_id)
    return tuple(not_made)


def _named(order: Mapping[str, Any]) -> tuple[object, object]:
    """Return the names of plan and provider, which stand in the order too."""
    plan = order.get("plan")
    return plan.get("name") if isinstance(plan, dict) else None, order.get("provider")


def _is_newest(sequence: int, intent: IntentEntry, outcome: Mapping[str, Any], calls: Sequence[CallEntry]) -> bool:
    """Return whether an attempt that the journal does not have was made, and is not followed by one that it has."""
    if not intent.is_allowed or _code(outcome) == _NOT_MADE:
        return False
    number = intent.number
    return number is None or number >= len(calls) or calls[number].intent < sequence


def _is_unrecorded(entry: CallEntry, outcome: Mapping[str, Any] | None) -> bool:
    """Return whether an answer stands in the journal and not in the chain."""
    if entry.state is CallState.INTENDED:
        return False
    return outcome is None or (not _is_answer(outcome) and _is_not_known(entry))


def _is_not_known(entry: CallEntry) -> bool:
    answer = entry.answer
    if entry.state is not CallState.FAILED or not isinstance(answer, dict):
        return False
    return (answer.get("type"), answer.get("code")) == ("ProviderError", _NOT_KNOWN)


def _is_answer(outcome: Mapping[str, Any]) -> bool:
    """Return whether the plan was told an outcome; a limit that ended the run in the middle of a call is none."""
    return outcome.get("ok") is True or "answer_sha256" in outcome


def _code(outcome: Mapping[str, Any]) -> object:
    error = outcome.get("error")
    return error.get("code") if isinstance(error, dict) else None


def _behind(run: RunEntry, sequence: int, capability_id: str) -> JournalError:
    return JournalError(
        f"record {sequence} says what came of {quoted(capability_id)} in {run.run_id}, and the journal does not "
        "know of it",
        code="journal.behind",
        hint="the journal is an older copy; restore the newest one, or begin a new run",
    )


def _compare(run: RunEntry, entry: CallEntry, recorded: RecordedCalls) -> None:
    intent = recorded.intents.get(entry.intent)
    kept = entry.arguments_sha256, entry.number, entry.within
    if intent is None or kept != (intent.arguments_sha256, intent.number, intent.within):
        raise _altered(run, f"call {entry.number} is not the one in record {entry.intent}")
    outcome = recorded.outcomes.get(entry.intent)
    if outcome is None or entry.state is CallState.INTENDED or _is_unrecorded(entry, outcome):
        return
    if not _is_same_answer(entry, outcome):
        raise _altered(run, f"the answer of call {entry.number} is not the recorded one")


def _require_answer(
    run: RunEntry,
    entry: CallEntry,
    calls: Sequence[CallEntry],
    recorded: RecordedCalls,
    may_repeat: Callable[[IntentEntry], bool],
) -> None:
    """Refuse a journal without an answer that the chain has, unless the call may be made again.

    The journal is told of an answer before the chain, and only what may be repeated does not wait for the disk. What is
    lost with the power is the end of the journal: a call that others follow was answered there, and making it again
    after them would undo what they did.
    """
    outcome = recorded.outcomes.get(entry.intent)
    if entry.state is not CallState.INTENDED or outcome is None or not _is_answer(outcome):
        return
    intent = recorded.intents[entry.intent]
    is_passed = not _is_last(entry, calls) and (run.abort is None or run.abort.at != entry.number)
    if is_passed or (outcome.get("ok") is True and not may_repeat(intent)):
        raise _behind(run, entry.intent, intent.capability_id)


def _is_last(entry: CallEntry, calls: Sequence[CallEntry]) -> bool:
    """Return whether nothing follows a call but what was made in its place."""
    return all(each.within is not None and each.within >= entry.number for each in calls[entry.number + 1 :])


def _is_same_answer(entry: CallEntry, outcome: Mapping[str, Any]) -> bool:
    if entry.state is CallState.SUCCEEDED:
        digest, _ = wire_digest(entry.answer)
        memo = None if entry.memo is None else wire_digest(entry.memo)[0]
        found = outcome.get("ok"), outcome.get("result_sha256"), outcome.get("memo_sha256")
        return found == (True, digest, memo)
    return outcome.get("ok") is False and outcome.get("answer_sha256") == wire_digest(entry.answer)[0]


def _altered(run: RunEntry, how: str) -> JournalError:
    return JournalError(
        f"the journal of {run.run_id} does not agree with the chain: {how}",
        code="journal.altered",
        hint="the journal was changed; restore it from a copy, or begin a new run",
    )
