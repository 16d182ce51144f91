"""Calls and steps get their numbers, and a resumed run is fed what it did before."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.plan.journal.journals import RUN, call, opened

from cloister.errors import CapabilityDenied, GuestError, JournalError, LimitExceeded
from cloister.plan.journal.call_journal import CALL_BYTES, CallJournal, recalled_error
from cloister.plan.journal.entries import CallEntry, CallState, StepEntry
from cloister.plan.journal.store import RunStore


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with opened(tmp_path / "runs.sqlite3") as store:
        store.begin_run(RUN)
        yield store


def rows(store: RunStore) -> list[CallEntry]:
    return list(store.calls(RUN.run_id))


def test_calls_are_numbered_and_noted_before_and_after(store: RunStore) -> None:
    journal = CallJournal(store, RUN.run_id)
    first = journal.numbered("world.put", "digest-0")
    assert journal.known(first) is None
    journal.intended(first, 1, durable=True)
    assert [entry.state for entry in rows(store)] == [CallState.INTENDED]
    journal.answered(first, 0, None, lambda: 2, durable=True)
    assert rows(store) == [call(0)]
    assert journal.numbered("world.put", "digest-1").number == journal.next_number == 1


def test_the_answer_is_noted_before_its_record_is_written(store: RunStore) -> None:
    journal = CallJournal(store, RUN.run_id)
    pending = journal.numbered("world.put", "digest-0")
    journal.intended(pending, 1, durable=True)

    def append() -> int:
        assert [(entry.state, entry.outcome) for entry in rows(store)] == [(CallState.SUCCEEDED, None)]
        raise JournalError("the chain is full")

    with pytest.raises(JournalError):
        journal.answered(pending, 0, None, append, durable=True)
    assert [(entry.state, entry.outcome) for entry in rows(store)] == [(CallState.SUCCEEDED, None)]


def test_errors_come_back_as_the_plan_was_told(store: RunStore) -> None:
    journal = CallJournal(store, RUN.run_id)
    pending = journal.numbered("world.put", "digest-0")
    journal.intended(pending, 1, durable=True)
    denied = CapabilityDenied("ada denied it", code="denied.approval", hint="ask her")
    journal.answered(pending, denied, None, lambda: 2, durable=True)
    again = recalled_error(rows(store)[0])
    assert type(again) is CapabilityDenied
    assert (again.code, again.message, again.hint) == ("denied.approval", "ada denied it", "ask her")


@pytest.mark.parametrize("answer", [None, 1, [], {}, {"type": []}, {"type": "AuditError", "code": "a", "message": "m"}])
def test_an_error_that_is_none_is_damage(answer: object) -> None:
    with pytest.raises(JournalError) as caught:
        recalled_error(call(0, state=CallState.FAILED, answer=answer))
    assert caught.value.code == "journal.damaged"


def test_known_calls_are_found_by_their_number(store: RunStore) -> None:
    journal = CallJournal(store, RUN.run_id, [call(0), call(1)])
    assert journal.is_recalling
    assert journal.known(journal.numbered("world.put", "digest-0")) == call(0)
    assert journal.known(journal.numbered("world.put", "digest-1")) == call(1)
    assert not journal.is_recalling
    assert journal.known(journal.numbered("world.put", "digest-2")) is None


@pytest.mark.parametrize(
    ("capability_id", "digest"), [("world.take", "digest-0"), ("world.put", "digest-1"), ("world.take", "digest-1")]
)
def test_another_call_in_its_place_is_refused(store: RunStore, capability_id: str, digest: str) -> None:
    journal = CallJournal(store, RUN.run_id, [call(0)])
    with pytest.raises(JournalError) as caught:
        journal.known(journal.numbered(capability_id, digest))
    assert caught.value.code == "journal.diverged"


def test_numbers_can_be_skipped_and_never_go_back(store: RunStore) -> None:
    journal = CallJournal(store, RUN.run_id)
    journal.skip_to(3)
    journal.skip_to(1)
    assert journal.numbered("world.put", "d").number == 3


def test_steps_are_recorded_once(store: RunStore) -> None:
    before = [
        StepEntry(number=0, name="first", started=1, has_ended=True),
        StepEntry(number=1, name="second", started=3, has_ended=False),
    ]
    journal = CallJournal(store, RUN.run_id, (), before)

    def never() -> int:
        raise AssertionError("it was recorded before")

    assert journal.began_step("first", never) == 1
    assert (journal.last_step, journal.has_ended(journal.last_step)) == (0, True)
    assert journal.began_step("second", never) == 3
    assert not journal.has_ended(journal.last_step)
    assert journal.began_step("third", lambda: 9) == 9
    assert (journal.last_step, journal.has_ended(journal.last_step)) == (2, False)


def test_another_step_in_its_place_is_refused(store: RunStore) -> None:
    before = [StepEntry(number=0, name="first", started=1, has_ended=False)]
    with pytest.raises(JournalError) as caught:
        CallJournal(store, RUN.run_id, (), before).began_step("other", lambda: 9)
    assert caught.value.code == "journal.diverged"


def test_a_step_is_compared_as_its_record_has_it(store: RunStore) -> None:
    before = [StepEntry(number=0, name="a\N{REPLACEMENT CHARACTER}b", started=1, has_ended=False)]
    assert CallJournal(store, RUN.run_id, (), before).began_step("a\nb", lambda: 9) == 1


def test_a_failure_is_what_the_plan_may_see(store: RunStore) -> None:
    journal = CallJournal(store, RUN.run_id)
    pending = journal.numbered("world.put", "digest-0")
    journal.intended(pending, 1, durable=False)
    error = GuestError("no", code="guest.world", details={"host": "/secret/place"})
    journal.answered(pending, error, None, lambda: 2, durable=False)
    assert "details" not in rows(store)[0].answer


def keep_one(journal: CallJournal, answer: object) -> None:
    pending = journal.numbered("world.put", "digest")
    journal.intended(pending, 1, durable=False)
    journal.answered(pending, answer, None, lambda: 2, durable=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("answer", ["x", CapabilityDenied("no", code="denied.capability")])
def test_what_is_kept_of_a_run_is_bounded(store: RunStore, answer: object) -> None:
    """Refused calls count as well: a plan could fill a disk with them, and no budget is charged for one."""
    journal = CallJournal(store, RUN.run_id, kept_bytes_max=2 * CALL_BYTES + 1)
    for _ in range(2):
        journal.require_room(is_undoing=False)
        keep_one(journal, answer)
    with pytest.raises(LimitExceeded) as caught:
        journal.require_room(is_undoing=False)
    assert (caught.value.code, caught.value.allowed) == ("limit.journal", 2 * CALL_BYTES + 1)
    for _ in range(2):
        journal.require_room(is_undoing=True)  # there is as much again for what undoes it
        keep_one(journal, answer)
    with pytest.raises(LimitExceeded):
        journal.require_room(is_undoing=True)


def test_what_was_kept_before_counts_in_a_resumed_run(store: RunStore) -> None:
    for _ in range(2):
        keep_one(CallJournal(store, RUN.run_id), "x" * CALL_BYTES)  # the same number, so the same row
    again = CallJournal(store, RUN.run_id, rows(store), kept_bytes_max=2 * CALL_BYTES)
    with pytest.raises(LimitExceeded):
        again.require_room(is_undoing=False)
    CallJournal(store, RUN.run_id, rows(store), kept_bytes_max=2 * CALL_BYTES + 3).require_room(is_undoing=False)


def test_what_comes_next_is_what_the_plan_called_without_fallbacks(store: RunStore) -> None:
    known = [call(0), call(1), call(2, within=1), call(3, within=2), call(4), call(6)]
    journal = CallJournal(store, RUN.run_id, known)
    assert [entry.number for entry in journal.coming()] == [0, 1, 4]
    journal.skip_to(4)
    assert [entry.number for entry in journal.coming()] == [4]
    journal.skip_to(5)
    assert list(journal.coming()) == []
