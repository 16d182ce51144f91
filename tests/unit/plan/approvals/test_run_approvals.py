"""A decision holds for one call of one run, until it expires, and for nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.unit.plan.approvals.desks import CALL, DAY_MS, GUARDED, NEED, RUN_ID, STEP, Office, office

from cloister.audit.event import EventType
from cloister.audit.signer import Signer
from cloister.clock import ManualClock
from cloister.errors import ApprovalRequired, CapabilityDenied, InputError, JournalError
from cloister.plan.approvals.request import ApprovalRequest, ApprovalState


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
def desk(tmp_path: Path, clock: ManualClock) -> Iterator[Office]:
    with office(tmp_path / "home", clock) as opened:
        yield opened


def asked(desk: Office, **changes: object) -> str:
    """Have a call ask for an approval; return that."""
    with pytest.raises(ApprovalRequired) as caught:
        desk.require(**changes)  # type: ignore[arg-type]
    assert caught.value.code == "approval.required"
    return str(caught.value.details["approval_id"])


def test_a_call_without_a_decision_asks_once(desk: Office) -> None:
    first = asked(desk)
    assert asked(desk) == first
    (approval,) = desk.desk.approvals()
    request = approval.request
    assert (approval.state, request.number, request.step) == (ApprovalState.PENDING, 2, STEP)
    assert (request.run_id, request.capability_id, request.arguments) == (RUN_ID, "world.put", '"a" 1')
    assert request.need == NEED


def test_the_error_says_what_to_do(desk: Office) -> None:
    with pytest.raises(ApprovalRequired) as caught:
        desk.require()
    details = caught.value.details
    assert f"`cloister approvals approve {details['approval_id']}`" in str(caught.value.hint)
    assert (details["run_id"], details["expires_at"]) == (RUN_ID, "2026-01-02T00:00:00.000000Z")


def test_a_granted_call_is_made(desk: Office) -> None:
    approval_id = asked(desk)
    desk.desk.decide(approval_id, granted=True, by="ada")
    assert desk.require() == approval_id


def test_a_denied_call_is_not(desk: Office) -> None:
    desk.desk.decide(asked(desk), granted=False, by="ada\x1b[2J", reason="no\nway")
    with pytest.raises(CapabilityDenied) as caught:
        desk.require()
    assert caught.value.code == "denied.approval"
    assert not any(char in caught.value.message for char in "\x1b\n")


@pytest.mark.parametrize(
    "altered",
    [
        {"call": replace(CALL, number=3)},
        {"call": replace(CALL, arguments_sha256="digest-3")},
        {"call": replace(CALL, capability_id="world.take")},
        {"step": "play"},
        {"step": None},
        {"undo_of": STEP},
        {"need": replace(NEED, rule="rule:other")},
        {"need": replace(NEED, terms={"amount": 2})},
        {"need": GUARDED},
    ],
    ids=str,
)
def test_an_altered_call_needs_a_decision_of_its_own(desk: Office, altered: dict[str, object]) -> None:
    granted = asked(desk)
    desk.desk.decide(granted, granted=True, by="ada")
    assert asked(desk, **altered) != granted
    assert desk.require() == granted


def test_the_decision_of_another_run_does_not_hold(desk: Office) -> None:
    desk.desk.decide(asked(desk), granted=True, by="ada")
    assert RUN_ID == "run-1"
    other = desk.chain.records("run-2")
    assert list(other) == []
    with pytest.raises(InputError) as caught:
        desk.desk.approval("approval-of-run-2")
    assert caught.value.code == "input.approval"


def test_nobody_decided_in_time(desk: Office, clock: ManualClock) -> None:
    asked(desk)
    clock.advance_ms(DAY_MS - 1)
    asked(desk)
    clock.advance_ms(1)
    with pytest.raises(CapabilityDenied) as caught:
        desk.require()
    assert caught.value.code == "denied.approval-expired"
    (approval,) = desk.desk.approvals()
    assert approval.state is ApprovalState.EXPIRED
    (*_, last) = desk.chain.records(RUN_ID)
    assert (last.event.event_type, last.event.parent) == (EventType.APPROVAL_EXPIRED, approval.requested)


def test_a_grant_is_used_in_time_or_not_at_all(desk: Office, clock: ManualClock) -> None:
    approval_id = asked(desk)
    desk.desk.decide(approval_id, granted=True, by="ada")
    clock.advance_ms(DAY_MS - 1)
    assert desk.require() == approval_id
    clock.advance_ms(1)
    with pytest.raises(CapabilityDenied) as caught:
        desk.require()
    assert caught.value.code == "denied.approval-expired"


def test_a_clock_that_was_turned_back_revives_nothing(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with office(home, ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as desk:
        approval_id = asked(desk)
    with office(home, ManualClock(datetime(2026, 1, 3, tzinfo=UTC))) as desk:
        desk.chain.append(EventType.RUN_RESUMED, run_id=RUN_ID)
    with office(home, ManualClock(datetime(2025, 12, 1, tzinfo=UTC))) as desk:
        assert desk.desk.approval(approval_id).state is ApprovalState.EXPIRED
        with pytest.raises(InputError) as decided:
            desk.desk.decide(approval_id, granted=True, by="ada")
        assert decided.value.code == "input.approval-decided"
        with pytest.raises(CapabilityDenied) as caught:
            desk.require()
        assert caught.value.code == "denied.approval-expired"


def test_what_expired_stays_so(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with office(home, ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as desk:
        asked(desk)
    with office(home, ManualClock(datetime(2026, 1, 3, tzinfo=UTC))) as desk, pytest.raises(CapabilityDenied):
        desk.require()
    with office(home, ManualClock(datetime(2026, 1, 1, tzinfo=UTC))) as desk:
        expiries = [each for each in desk.chain.records() if each.event.event_type is EventType.APPROVAL_EXPIRED]
        with pytest.raises(CapabilityDenied):
            desk.require()
        again = [each for each in desk.chain.records() if each.event.event_type is EventType.APPROVAL_EXPIRED]
    assert len(again) == len(expiries) == 1


def test_a_guardians_approval_is_their_signature(desk: Office, tmp_path: Path) -> None:
    approval_id = asked(desk, need=GUARDED)
    with pytest.raises(InputError) as caught:
        desk.desk.decide(approval_id, granted=True, by="ada")
    assert caught.value.code == "input.approval-guardian"
    key = Signer.open(tmp_path / "guardian.key")
    desk.desk.decide(approval_id, granted=True, by="ada", guardian=key)
    assert desk.require(need=GUARDED) == approval_id
    with pytest.raises(CapabilityDenied) as refused:
        desk.run(verify=False).require(CALL, CALL.capability_id, STEP, '"a" 1', GUARDED)
    assert refused.value.code == "denied.approval"


def test_what_a_guardian_signs_names_the_call(desk: Office, tmp_path: Path) -> None:
    from cloister.canonical import encode  # noqa: PLC0415

    approval_id = asked(desk, need=GUARDED)
    key = Signer.open(tmp_path / "guardian.key")
    decision = desk.desk.decide(approval_id, granted=True, by="ada", guardian=key).decision
    assert decision is not None
    signature = bytes.fromhex(decision.signature or "")
    request = desk.desk.approval(approval_id).request
    assert key.public_key.verify(signature, encode(request.binding()))
    altered = replace(request, arguments_sha256="digest-3")
    assert not key.public_key.verify(signature, encode(altered.binding()))


def test_anybody_may_deny_what_is_the_guardians_to_give(desk: Office) -> None:
    desk.desk.decide(asked(desk, need=GUARDED), granted=False, by="ada")
    with pytest.raises(CapabilityDenied) as caught:
        desk.require(need=GUARDED)
    assert caught.value.code == "denied.approval"


@pytest.mark.parametrize("name", ["kind", "rule", "number", "step", "arguments_sha256", "expires_at", "approval_id"])
def test_a_record_of_another_version_is_not_guessed_at(desk: Office, name: str) -> None:
    asked(desk)
    body = dict(desk.desk.approvals()[0].request.to_body())
    assert ApprovalRequest.from_body(RUN_ID, "world.put", body) == desk.desk.approvals()[0].request
    del body[name]
    with pytest.raises(JournalError) as caught:
        ApprovalRequest.from_body(RUN_ID, "world.put", body)
    assert caught.value.code == "journal.damaged"


def test_a_call_of_an_undo_says_so_and_of_which_step(desk: Office) -> None:
    with pytest.raises(ApprovalRequired) as caught:
        desk.require(undo_of="pay\x1b[2J")
    assert "it is part of the undo of step pay" in caught.value.message
    assert "\x1b" not in caught.value.message
    approval_id = str(caught.value.details["approval_id"])
    request = desk.desk.decide(approval_id, granted=True, by="ada").request
    assert (request.undo_of, request.binding()["undo_of"]) == ("pay\x1b[2J", "pay\x1b[2J")
    assert desk.require(undo_of="pay\x1b[2J") == approval_id
    assert asked(desk) != approval_id  # the same call that undoes nothing is another
    assert "undo_of" not in desk.desk.approvals()[-1].request.binding()
