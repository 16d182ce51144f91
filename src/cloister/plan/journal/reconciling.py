"""Whether what the journal says of a run is what the chain says.

Owns the comparison that comes before a run goes on. The chain is signed and the journal is not, so the journal is
believed only where the chain agrees: which plan, inputs, grants and policy the run had, which calls it made with which
arguments, and what they came to. What the chain lacks because the process was killed between two writes is added.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, NamedTuple

from cloister.audit.event import EventType, Record
from cloister.canonical import sha256_hex
from cloister.errors import JournalError, quoted
from cloister.plan.journal.entries import Abort, CallEntry, CallState, RunEntry, StepEntry
from cloister.plan.journal.store import packed
from cloister.plan.record_facts import wire_digest

_NOT_MADE: Final = "run.not-made"
"""Code of the outcome that is added when a run goes on, for an intent of which nothing was done."""
_NOT_KNOWN: Final = "provider.outcome-unknown"
"""Code of what a plan is told of a call that is never made again, when nobody knows whether it was."""


class RecordedIntent(NamedTuple):
    """What the chain says of one attempt to make a call.

    Attributes:
        capability_id: What was to be called.
        arguments_sha256: Digest of the arguments.
        is_allowed: Whether it was let through.
        number: Of the call; None for one that admission refused.
        within: Number of the call whose fallback it is, or None.
    """

    capability_id: str
    arguments_sha256: str
    is_allowed: bool
    number: int | None = None
    within: int | None = None


@dataclass(slots=True)
class RecordedCalls:
    """What the chain says of a run.

    Attributes:
        started: Sequence of the run's first record; None when there is none.
        order_sha256: Digest of the order that was admitted.
        intents: By sequence of the intent.
        outcomes: Bodies of outcomes by sequence of the intent; the last one counts.
        steps: Steps in the order they began, by sequence of their start.
        budget: What the budget was charged, and how it was extended, in order.
        has_profiles: Whether the profiles of its steps are recorded.
        is_refused: Whether admission refused the run, so that nothing of it ran.
        is_aborted: Whether somebody ended the run for good.
        abort: Where it ends, as was recorded last; None when nobody said that it does.
        undoing: Sequence of the record from which on it was undone; None when it was not.
    """

    started: int | None = None
    order_sha256: str | None = None
    intents: dict[int, RecordedIntent] = field(default_factory=dict)
    outcomes: dict[int, dict[str, Any]] = field(default_factory=dict)
    steps: dict[int, StepEntry] = field(default_factory=dict)
    budget: list[dict[str, Any]] = field(default_factory=list)
    has_profiles: bool = False
    is_refused: bool = False
    is_aborted: bool = False
    abort: Abort | None = None
    undoing: int | None = None

    @classmethod
    def read(cls, records: Iterable[Record]) -> RecordedCalls:
        """Collect it from the records of one run, each of which was checked."""
        found = cls()
        for record in records:
            body: dict[str, Any] = dict(record.event.body)
            found.budget += [body["charged"]] if "charged" in body else []
            match record.event.event_type:
                case EventType.RUN_STARTED:
                    found.started, found.order_sha256 = record.event.sequence, body.get("order_sha256")
                case EventType.CALL_INTENT:
                    found.intents[record.event.sequence] = _intent(record.event.capability_id, body)
                case EventType.RUN_RESUMED if "aborts_at" in body:
                    found.abort = Abort(at=body["aborts_at"], undoes_from=body["undoes_from"])
                case EventType.CALL_OUTCOME if record.event.parent is not None:
                    found.outcomes[record.event.parent] = body
                case EventType.BUDGET_EXTENDED:
                    found.budget.append(body)
                case EventType.STEP_PROFILE_DERIVED:
                    found.has_profiles = True
                case EventType.RUN_REFUSED:
                    found.is_refused = True
                case EventType.RUN_ABORTED:
                    found.is_aborted = True
                case EventType.STEP_STARTED | EventType.COMPENSATION_STARTED:
                    is_undo = record.event.event_type is EventType.COMPENSATION_STARTED
                    found._begin_step(record.event.sequence, str(body.get("name")), is_undo)
                case EventType.STEP_ENDED | EventType.COMPENSATION_ENDED | EventType.COMPENSATION_FAILED if (
                    record.event.parent in found.steps
                ):
                    begun = found.steps[record.event.parent]
                    code = body.get("error")
                    ended = replace(begun, has_ended=True, error_code=None if code is None else str(code))
                    found.steps[record.event.parent] = ended
        return found

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

    def _begin_step(self, sequence: int, name: str, is_undo: bool) -> None:
        if self.undoing is None and is_undo:
            self.undoing = sequence
        self.steps[sequence] = StepEntry(
            number=len(self.steps), name=name, started=sequence, has_ended=False, is_undo=is_undo
        )


def _intent(capability_id: str | None, body: Mapping[str, Any]) -> RecordedIntent:
    return RecordedIntent(
        capability_id=capability_id or "",
        arguments_sha256=body.get("arguments_sha256", ""),
        is_allowed=body.get("decision") == "allow",
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
    run: RunEntry, calls: Sequence[CallEntry], recorded: RecordedCalls, may_repeat: Callable[[str], bool]
) -> Reconciled:
    """Compare the journal of a run with the chain.

    Args:
        run: The run.
        calls: Its calls by number.
        recorded: What the chain says.
        may_repeat: Whether a capability may be called again when the journal, but not the chain, lost a call of it.

    Raises:
        JournalError: `journal.order`: the run was admitted with another plan, other inputs, grants or policies.
            `journal.altered`: a call or its answer is not the recorded one. `journal.behind`: the journal lacks a call
            that was made.
    """
    if recorded.order_sha256 != sha256_hex(packed(run.order)):
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
    known = {entry.intent for entry in calls}
    not_made = []
    for sequence, intent in recorded.intents.items():
        if sequence in known:
            continue
        outcome = recorded.outcomes.get(sequence)
        if outcome is None:
            not_made.append((sequence, intent.capability_id))
        elif _is_newest(sequence, intent, outcome, calls) and not may_repeat(intent.capability_id):
            raise _behind(run, sequence, intent.capability_id)
    unrecorded = tuple(entry for entry in calls if _is_unrecorded(entry, recorded.outcomes.get(entry.intent)))
    for entry in unrecorded:
        # The next call is made only when the outcome of this one is in the chain; its own fallbacks came before
        if not _is_last(entry, calls):
            raise _altered(run, f"there is no record of what came of call {entry.number}")
    return Reconciled(unrecorded=unrecorded, not_made=tuple(not_made))


def _named(order: Mapping[str, Any]) -> tuple[object, object]:
    """Return the names of plan and provider, which stand in the order too."""
    plan = order.get("plan")
    return plan.get("name") if isinstance(plan, dict) else None, order.get("provider")


def _is_newest(sequence: int, intent: RecordedIntent, outcome: Mapping[str, Any], calls: Sequence[CallEntry]) -> bool:
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
    may_repeat: Callable[[str], bool],
) -> None:
    """Refuse a journal without an answer that the chain has, unless the call may be made again.

    The journal is told of an answer before the chain, and only what may be repeated does not wait for the disk. What is
    lost with the power is the end of the journal: a call that others follow was answered there, and making it again
    after them would undo what they did.
    """
    outcome = recorded.outcomes.get(entry.intent)
    if entry.state is not CallState.INTENDED or outcome is None or not _is_answer(outcome):
        return
    capability_id = recorded.intents[entry.intent].capability_id
    is_passed = not _is_last(entry, calls) and (run.abort is None or run.abort.at != entry.number)
    if is_passed or (outcome.get("ok") is True and not may_repeat(capability_id)):
        raise _behind(run, entry.intent, capability_id)


def _is_last(entry: CallEntry, calls: Sequence[CallEntry]) -> bool:
    """Return whether nothing follows a call but what was made in its place."""
    return all(each.within is not None and each.within >= entry.number for each in calls[entry.number + 1 :])


def _is_same_answer(entry: CallEntry, outcome: dict[str, Any]) -> bool:
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
