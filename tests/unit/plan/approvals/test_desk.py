"""Deciding: the chain is what counts, and the first decision."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.unit.plan.approvals.desks import GUARDED, RUN_ID, Office, office

from cloister.audit.event import EventType
from cloister.audit.signer import Signer
from cloister.errors import ApprovalRequired, CapabilityDenied, CloisterError, InputError, KeyUnavailable
from cloister.plan.approvals.request import ApprovalState
from cloister.plan.journal.entries import Abort, RunState


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Office]:
    with office(tmp_path / "home") as opened:
        yield opened


def asked(desk: Office, **changes: Any) -> str:
    with pytest.raises(ApprovalRequired) as caught:
        desk.require(**changes)
    return str(caught.value.details["approval_id"])


def decisions(desk: Office) -> list[EventType]:
    kinds = {EventType.APPROVAL_GRANTED, EventType.APPROVAL_DENIED}
    return [each.event.event_type for each in desk.chain.records(RUN_ID) if each.event.event_type in kinds]


def test_a_decision_is_signed_into_the_chain(desk: Office) -> None:
    approval = desk.desk.decide(asked(desk), granted=True, by="ada", reason="fine")
    assert approval.state is ApprovalState.GRANTED
    assert approval.decision is not None
    record = list(desk.chain.records(RUN_ID))[-1].event
    assert (record.event_type, record.sequence) == (EventType.APPROVAL_GRANTED, approval.decision.sequence)
    assert record.parent == approval.requested
    assert (record.body["by"], record.body["reason"]) == ("ada", "fine")
    assert record.body["arguments_sha256"] == "digest-2"


def test_a_second_decision_is_refused(desk: Office) -> None:
    approval_id = asked(desk)
    desk.desk.decide(approval_id, granted=False, by="ada")
    with pytest.raises(InputError) as caught:
        desk.desk.decide(approval_id, granted=True, by="bob")
    assert caught.value.code == "input.approval-decided"
    assert decisions(desk) == [EventType.APPROVAL_DENIED]


def test_of_several_who_decide_at_once_one_does(desk: Office) -> None:
    approval_id = asked(desk)
    outcomes: list[str] = []
    together = threading.Barrier(6)

    def decide(number: int) -> None:
        together.wait()
        try:
            desk.desk.decide(approval_id, granted=number % 2 == 0, by=str(number))
        except CloisterError as error:
            outcomes.append(error.code)
        else:
            outcomes.append("decided")

    threads = [threading.Thread(target=decide, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["decided", *["input.approval-decided"] * 5]
    assert len(decisions(desk)) == 1


def test_the_first_decision_in_the_chain_counts(desk: Office) -> None:
    approval_id = asked(desk)
    desk.desk.decide(approval_id, granted=False, by="ada")
    body = {"approval_id": approval_id, "by": "eve", "reason": "", "signature": None}
    desk.chain.append(EventType.APPROVAL_GRANTED, run_id=RUN_ID, capability_id="world.put", body=body)
    assert desk.desk.approval(approval_id).state is ApprovalState.DENIED
    with pytest.raises(CapabilityDenied):
        desk.require()


def test_what_the_journal_says_of_a_state_decides_nothing(desk: Office) -> None:
    approval_id = asked(desk)
    desk.store.file.write("UPDATE approvals SET state = 'granted', decided = 1", (), durable=True)
    assert desk.desk.approval(approval_id).state is ApprovalState.PENDING
    assert asked(desk) == approval_id


def test_what_only_the_journal_knows_was_not_asked(desk: Office) -> None:
    asked(desk)
    statement = "INSERT INTO approvals (approval_id, run_id, number, state, requested) VALUES ('x', 'run-1', 2, '', 0)"
    desk.store.file.write(statement, (), durable=True)
    assert len(desk.desk.approvals()) == 1
    with pytest.raises(InputError) as caught:
        desk.desk.approval("x")
    assert caught.value.code == "input.approval"


def test_a_request_that_was_recorded_and_not_listed_is_listed_when_the_run_asks_again(desk: Office) -> None:
    approval_id = asked(desk)
    desk.store.file.write("DELETE FROM approvals", (), durable=True)  # as if its process had ended before
    assert desk.desk.approvals() == []
    assert asked(desk) == approval_id
    assert desk.desk.decide(approval_id, granted=True, by="ada").state is ApprovalState.GRANTED
    assert desk.require() == approval_id
    kinds = [each.event.event_type for each in desk.chain.records(RUN_ID)]
    assert kinds.count(EventType.APPROVAL_REQUESTED) == 1


def test_those_of_one_run_are_listed(desk: Office) -> None:
    asked(desk)
    assert len(desk.desk.approvals(run_id=RUN_ID)) == 1
    assert desk.desk.approvals(run_id="run-2") == []


def test_what_is_not_there_cannot_be_decided(desk: Office) -> None:
    with pytest.raises(InputError) as caught:
        desk.desk.decide("approval-\x1b[2J", granted=True, by="ada")
    assert (caught.value.code, "\x1b" in caught.value.message) == ("input.approval", False)


def test_texts_of_people_are_bounded(desk: Office) -> None:
    decision = desk.desk.decide(asked(desk), granted=True, by="a\x07" * 5_000, reason="r" * 5_000).decision
    assert decision is not None
    assert len(decision.by) == len(decision.reason) == 2_000
    assert "\x07" not in decision.by


def test_what_another_than_the_guardian_signed_is_not_recorded(tmp_path: Path) -> None:
    guardian, other = (Signer.create(tmp_path / f"{name}.key") for name in ("guardian", "other"))
    with office(tmp_path / "home", verify=guardian.public_key.verify) as desk:
        approval_id = asked(desk, need=GUARDED)
        with pytest.raises(InputError) as caught:
            desk.desk.decide(approval_id, granted=True, by="ada", guardian=other)
        assert (caught.value.code, "guardian.pub" in str(caught.value.hint)) == ("input.approval-guardian", True)
        assert decisions(desk) == []
        granted = desk.desk.decide(approval_id, granted=True, by="ada", guardian=guardian)
        assert granted.state is ApprovalState.GRANTED


def test_without_the_guardians_public_key_nothing_is_recorded(tmp_path: Path) -> None:
    def verify(signature: bytes, message: bytes) -> bool:
        raise KeyUnavailable("there is none")

    with office(tmp_path / "home", verify=verify) as desk:
        approval_id = asked(desk, need=GUARDED)
        with pytest.raises(KeyUnavailable):
            desk.desk.decide(approval_id, granted=True, by="ada", guardian=Signer.create(tmp_path / "a.key"))
        assert decisions(desk) == []
        assert desk.desk.decide(approval_id, granted=False, by="ada").state is ApprovalState.DENIED  # anybody may


@pytest.mark.parametrize("state", RunState)
def test_a_decision_about_a_run_that_ended_is_not_recorded(desk: Office, state: RunState) -> None:
    approval_id = asked(desk)
    desk.store.set_state(RUN_ID, state, "2026-01-01T00:00:00.000000Z")
    if state.can_resume or state is RunState.RUNNING:
        assert desk.desk.decide(approval_id, granted=True, by="ada").state is ApprovalState.GRANTED
        return
    assert desk.desk.approval(approval_id).state is ApprovalState.WITHDRAWN
    assert [each.state for each in desk.desk.approvals()] == [ApprovalState.WITHDRAWN]
    for granted in (True, False):
        with pytest.raises(InputError) as caught:
            desk.desk.decide(approval_id, granted=granted, by="ada")
        assert (caught.value.code, state.value in caught.value.message) == ("input.run-ended", True)
    assert decisions(desk) == []


def test_what_was_decided_stays_so_when_the_run_ended(desk: Office) -> None:
    approval_id = asked(desk)
    desk.desk.decide(approval_id, granted=True, by="ada")
    desk.store.set_state(RUN_ID, RunState.COMPLETED, "2026-01-01T00:00:00.000000Z")
    assert desk.desk.approval(approval_id).state is ApprovalState.GRANTED


def test_of_a_run_that_is_aborted_only_what_it_waits_for_is_decided(desk: Office) -> None:
    """The call in whose place it ended is not made; one that undoes something is."""
    ended, undo = asked(desk), asked(desk, step="undo")
    desk.store.abort(RUN_ID, Abort(at=2, undoes_from=2))
    desk.store.set_state(RUN_ID, RunState.PAUSED, "2026-01-01T00:00:00.000000Z", waits_for=undo)
    with pytest.raises(InputError) as caught:
        desk.desk.decide(ended, granted=True, by="ada")
    assert (caught.value.code, "being aborted" in caught.value.message) == ("input.run-ended", True)
    assert desk.desk.decide(undo, granted=True, by="ada").state is ApprovalState.GRANTED


def test_a_run_that_the_journal_lost_is_not_decided_about(desk: Office) -> None:
    approval_id = asked(desk)
    desk.store.file.write("DELETE FROM runs", (), durable=True)
    with pytest.raises(InputError) as caught:
        desk.desk.decide(approval_id, granted=True, by="ada")
    assert (caught.value.code, decisions(desk)) == ("input.run", [])
