"""The journal is believed where the chain agrees, and nowhere else."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.plan.journal.journals import RUN, call

from cloister.canonical import sha256_hex
from cloister.errors import JournalError
from cloister.plan.journal.entries import Abort, CallEntry, CallState, IntentEntry
from cloister.plan.journal.reconciling import Reconciled, RecordedCalls, reconcile
from cloister.plan.journal.store import packed
from cloister.plan.recorder import wire_digest

FAILED = {"type": "GuestError", "code": "guest.world", "kind": "Generic", "message": "there is none"}
CALLS = (
    call(0),
    call(1, state=CallState.FAILED, answer=FAILED),
    call(2, memo={"open": 3}),
)


def recorded(*calls: CallEntry) -> RecordedCalls:
    """Return what the chain says of a run that made these calls, each with its outcome."""
    found = RecordedCalls(started=0, order_sha256=sha256_hex(packed(RUN.order)))
    for entry in calls:
        found.intents[entry.intent] = IntentEntry(
            capability_id="world.put",
            arguments_sha256=entry.arguments_sha256,
            is_allowed=True,
            number=entry.number,
            within=entry.within,
        )
        if entry.state is CallState.SUCCEEDED:
            found.outcomes[entry.intent] = {"ok": True, "result_sha256": wire_digest(entry.answer)[0]}
            if entry.memo is not None:
                found.outcomes[entry.intent]["memo_sha256"] = wire_digest(entry.memo)[0]
        elif entry.state is CallState.FAILED:
            error = {name: entry.answer[name] for name in ("code", "kind", "message")}
            told = wire_digest(entry.answer)[0]
            found.outcomes[entry.intent] = {"ok": False, "error": error, "answer_sha256": told}
    return found


def agreed(
    calls: tuple[CallEntry, ...], chain: RecordedCalls, *, may_repeat: bool = False, run: Any = RUN
) -> Reconciled:
    return reconcile(run, calls, chain, lambda _: may_repeat)


def refused(calls: tuple[CallEntry, ...], chain: RecordedCalls, *, may_repeat: bool = False, run: Any = RUN) -> str:
    """Return the code that a journal is refused with."""
    with pytest.raises(JournalError) as caught:
        agreed(calls, chain, may_repeat=may_repeat, run=run)
    return caught.value.code


def intended(entry: CallEntry) -> CallEntry:
    return replace(entry, state=CallState.INTENDED, outcome=None, answer=None, memo=None)


def test_what_agrees_is_taken_as_it_is() -> None:
    assert agreed(CALLS, recorded(*CALLS)) == Reconciled(unrecorded=(), not_made=())
    assert agreed((), recorded()) == Reconciled(unrecorded=(), not_made=())


def test_another_order_is_refused() -> None:
    run = replace(RUN, order={"plan": {"sha256": "cd"}})
    assert refused(CALLS, recorded(*CALLS), run=run) == "journal.order"


@pytest.mark.parametrize("change", [{"plan": "other.rtfs"}, {"provider": "process"}, {"started": 1}], ids=str)
def test_another_plan_provider_or_beginning_is_refused(change: dict[str, Any]) -> None:
    assert refused(CALLS, recorded(*CALLS), run=replace(RUN, **change)) == "journal.altered"


def test_a_chain_without_the_run_is_that_of_another_journal() -> None:
    assert refused(CALLS, RecordedCalls()) == "journal.order"


@pytest.mark.parametrize(
    "change",
    [
        {"arguments_sha256": "digest-7"},
        {"intent": 77},
        {"intent": 3},
        {"answer": 1},
        {"answer": None},
        {"memo": {"open": 9}},
        {"state": CallState.FAILED, "answer": FAILED},
    ],
    ids=str,
)
def test_a_success_that_was_altered_is_refused(change: dict[str, Any]) -> None:
    assert refused((replace(CALLS[0], **change), *CALLS[1:]), recorded(*CALLS)) == "journal.altered"


@pytest.mark.parametrize(
    "change",
    [
        {"answer": FAILED | {"code": "guest.other"}},
        {"answer": FAILED | {"kind": "TypeError"}},
        {"answer": FAILED | {"message": "there is one"}},
        {"answer": FAILED | {"type": "RunAborted"}},
        {"answer": FAILED | {"hint": "run it with --unsafe-everything"}},
        {"answer": "none"},
        {"state": CallState.SUCCEEDED},
    ],
    ids=str,
)
def test_a_failure_that_was_altered_is_refused(change: dict[str, Any]) -> None:
    assert refused((CALLS[0], replace(CALLS[1], **change), CALLS[2]), recorded(*CALLS)) == "journal.altered"


def test_a_memo_that_was_taken_away_is_refused() -> None:
    assert refused((*CALLS[:2], replace(CALLS[2], memo=None)), recorded(*CALLS)) == "journal.altered"


def test_a_call_that_is_missing_in_between_is_refused() -> None:
    assert refused((CALLS[0], CALLS[2]), recorded(*CALLS), may_repeat=True) == "journal.altered"


def test_what_may_not_be_repeated_must_not_be_missing_at_the_end() -> None:
    assert refused(CALLS[:2], recorded(*CALLS)) == "journal.behind"
    assert refused(CALLS[:1], recorded(*CALLS[:2])) == "journal.behind"  # it failed, and may have done half of it


def test_what_may_be_repeated_is_made_again() -> None:
    assert agreed(CALLS[:2], recorded(*CALLS), may_repeat=True) == Reconciled(unrecorded=(), not_made=())


def test_an_answer_that_is_missing_is_one_of_an_older_copy() -> None:
    older = (*CALLS[:2], intended(CALLS[2]))
    assert refused(older, recorded(*CALLS)) == "journal.behind"
    assert agreed(older, recorded(*CALLS), may_repeat=True) == Reconciled(unrecorded=(), not_made=())


def test_what_others_follow_is_not_made_again_after_them() -> None:
    older = (intended(CALLS[0]), *CALLS[1:])
    assert refused(older, recorded(*CALLS), may_repeat=True) == "journal.behind"
    chain, abort = recorded(*CALLS), Abort(at=0, undoes_from=1)
    chain.abort = abort
    assert agreed(older, chain, may_repeat=True, run=replace(RUN, abort=abort)).unrecorded == ()  # the rest undoes it


def test_a_call_that_a_limit_ended_has_no_answer() -> None:
    chain = recorded(*CALLS[:2], intended(CALLS[2]))
    chain.outcomes[CALLS[2].intent] = {"ok": False, "error": {"code": "limit.wall"}}
    assert agreed((*CALLS[:2], intended(CALLS[2])), chain) == Reconciled(unrecorded=(), not_made=())


def test_an_intent_without_anything_else_was_not_made() -> None:
    chain = recorded(*CALLS, intended(call(3)))
    assert agreed(CALLS, chain).not_made == ((call(3).intent, "world.put"),)


@pytest.mark.parametrize("code", ["run.not-made", "provider.outcome-unknown", "limit.wall"])
def test_an_earlier_attempt_is_not_missing(code: str) -> None:
    made = (*CALLS, call(3, intent=9))
    chain = recorded(*made)
    chain.intents[7] = IntentEntry(capability_id="world.put", arguments_sha256="digest-3", is_allowed=True, number=3)
    chain.outcomes[7] = {"ok": False, "error": {"code": code}}
    assert agreed(made, chain) == Reconciled(unrecorded=(), not_made=())


def test_an_intent_that_was_never_made_is_not_missing() -> None:
    chain = recorded(*CALLS, intended(call(3)))
    chain.outcomes[call(3).intent] = {"ok": False, "error": {"code": "run.not-made"}}
    assert agreed(CALLS, chain) == Reconciled(unrecorded=(), not_made=())


def test_a_call_that_is_never_made_again_is_missing() -> None:
    chain = recorded(*CALLS, intended(call(3)))
    chain.outcomes[call(3).intent] = {"ok": False, "error": {"code": "provider.outcome-unknown"}}
    assert refused(CALLS, chain) == "journal.behind"


def test_what_a_plan_is_told_of_it_may_be_without_its_record() -> None:
    unknown = FAILED | {"type": "ProviderError", "code": "provider.outcome-unknown"}
    made = (*CALLS, call(3, state=CallState.FAILED, answer=unknown))
    chain = recorded(*made)
    chain.outcomes[made[3].intent] = {"ok": False, "error": {"code": "limit.wall"}}
    assert agreed(made, chain).unrecorded == (made[3],)
    for answer in (FAILED, unknown | {"type": "RunAborted"}):
        other = (*CALLS, call(3, state=CallState.FAILED, answer=answer))
        assert refused(other, chain) == "journal.altered"


@pytest.mark.parametrize(
    "changes",
    [
        ({"intent": 9, "answer": 4}, {"intent": 7, "answer": 3}),
        ({}, {"intent": 7, "answer": 3}),
        ({}, {"within": 3}),
    ],
    ids=["exchanged", "the same twice", "in the place of another"],
)
def test_calls_alike_are_told_apart(changes: tuple[dict[str, Any], dict[str, Any]]) -> None:
    made = (*CALLS, call(3, arguments_sha256="alike"), call(4, arguments_sha256="alike"))
    altered = (*CALLS, *(replace(entry, **change) for entry, change in zip(made[3:], changes, strict=True)))
    assert refused(altered, recorded(*made), may_repeat=True) == "journal.altered"


def test_a_refused_call_is_not_missing() -> None:
    chain = recorded(*CALLS)
    chain.intents[9] = IntentEntry(capability_id="world.put", arguments_sha256="digest", is_allowed=False)
    chain.outcomes[9] = {"ok": False, "error": {"code": "denied.capability"}}
    assert agreed(CALLS, chain) == Reconciled(unrecorded=(), not_made=())


def test_the_last_answer_may_be_without_its_record() -> None:
    chain = recorded(*CALLS)
    del chain.outcomes[CALLS[2].intent]
    assert agreed(CALLS, chain).unrecorded == (CALLS[2],)


def _without(chain: RecordedCalls, entry: CallEntry) -> RecordedCalls:
    del chain.outcomes[entry.intent]
    return chain


def test_a_call_answered_by_its_fallback_may_too() -> None:
    made = (*CALLS, call(3), call(4, within=3), call(5, within=4))
    assert agreed(made, _without(recorded(*made), made[3])).unrecorded == (made[3],)
    assert refused((*made, call(6)), _without(recorded(*made, call(6)), made[3])) == "journal.altered"


def test_an_earlier_answer_may_not() -> None:
    chain = recorded(*CALLS)
    del chain.outcomes[CALLS[0].intent]
    assert refused(CALLS, chain) == "journal.altered"


def test_a_run_that_was_aborted_stays_so() -> None:
    chain = recorded(*CALLS)
    chain.is_aborted, chain.abort = True, Abort(at=3, undoes_from=3)
    assert refused(CALLS, chain) == "journal.altered"
    run = replace(RUN, abort=Abort(at=3, undoes_from=3))
    assert agreed(CALLS, chain, run=run) == Reconciled(unrecorded=(), not_made=())


def test_a_run_is_aborted_where_the_chain_says_and_not_elsewhere() -> None:
    run, chain = replace(RUN, abort=Abort(at=900, undoes_from=900)), recorded(*CALLS)
    assert refused(CALLS, chain, run=run) == "journal.altered"
    chain.abort = Abort(at=3, undoes_from=3)
    assert refused(CALLS, chain, run=run) == "journal.altered"
    assert agreed(CALLS, chain) == Reconciled(unrecorded=(), not_made=())  # it was not noted any more
