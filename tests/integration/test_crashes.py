"""Killed at any point and resumed, a run gives the same result and has done the same."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from tests.integration.crashing import (
    FAILING,
    OVERRUNNING,
    RETURNING,
    SPENDING,
    STEPPING,
    TRAVELLING,
    Outcome,
    Story,
    attempt,
    catalog,
    effects,
)

from cloister.audit.event import Event, EventType
from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.authority.budget import BudgetLimits
from cloister.authority.mode import ExecutionMode
from cloister.plan.journal.entries import RunState
from cloister.plan.terms import RunTerms
from cloister.runtime import Runtime

CHARGES = ["a", "b", "c", "total"]
PUTS = [["put", "stock", 10], ["put", "a", 1], ["put", "b", 1], ["put", "c", 1]]
POINTS_MAX = 400


def require_whole(home: Path, world: Path, run_id: str) -> None:
    """Demand that each charge was made once, that nothing else was done, and that the records say so."""
    done = effects(world)
    assert [entry[1] for entry in done if entry[0] == "charge"] == CHARGES
    puts = [entry for entry in done if entry[0] == "put"]
    assert list(dict.fromkeys(map(tuple, puts))) == list(map(tuple, PUTS))  # one may have been made again at once
    place = AuditHome(home)
    verify_chain(place.chain_path, PublicKey.load(place.public_key_path))
    with Runtime.open(home) as runtime:
        records = [record.event for record in runtime.records(run_id)]
        run, calls = runtime.run_entry(run_id)
    assert run.state is RunState.COMPLETED
    assert [call.number for call in calls] == list(range(len(calls)))
    assert sum(event.event_type is EventType.RUN_COMPLETED for event in records) == 1
    intents = [event.sequence for event in records if event.event_type is EventType.CALL_INTENT]
    outcomes = [event.parent for event in records if event.event_type is EventType.CALL_OUTCOME]
    assert sorted(intents) == sorted(outcome for outcome in outcomes if outcome is not None)
    ended = [event.parent for event in records if event.event_type is EventType.STEP_ENDED]
    assert len(ended) == len(set(ended)) == 5


def test_every_point_of_the_journal(ram: Path) -> None:
    whole = attempt(ram / "counted", ram / "counted-world", -1)
    assert whole is not None
    assert 60 < whole.points_count < POINTS_MAX
    for point in range(whole.points_count):
        home, world = ram / f"home-{point}", ram / f"world-{point}"
        assert attempt(home, world, point) is None
        found = attempt(home, world, -1)
        assert found is not None
        assert (found.value, found.code) in [("charged", None), (None, "input.run-ended")]  # that at the last one
        require_whole(home, world, found.run_id)


@pytest.mark.parametrize("provider", ["mock", "process"])
def test_killed_again_and_again(ram: Path, provider: str) -> None:
    home, world = ram / "home", ram / "world"
    found, attempts_count = None, 0
    while found is None:
        found = attempt(home, world, 8, provider)
        attempts_count += 1
        assert attempts_count < 100
    assert attempts_count > 5
    require_whole(home, world, found.run_id)


TRIP = [["room", 1], ["contract", 2], ["taxi", 3], ["meal", 4]]
UNDONE = [["walk back", 0], ["cancel room", 0]]


def events(home: Path, world: Path, run_id: str) -> list[Event]:
    """Return the records of a run, after the chain was verified and each intent was found to have its outcomes."""
    place = AuditHome(home)
    verify_chain(place.chain_path, PublicKey.load(place.public_key_path))
    with Runtime.open(home, catalog=catalog(world)) as runtime:
        found = [record.event for record in runtime.records(run_id)]
    intents = {event.sequence for event in found if event.event_type is EventType.CALL_INTENT}
    assert intents == {event.parent for event in found if event.event_type is EventType.CALL_OUTCOME}
    return found


def unknown_attempts(recorded: list[Event]) -> list[int]:
    """Return the intents of which nobody knows what became; each was paid for."""
    found = []
    for event in recorded:
        error: Any = event.body.get("error")
        is_failure = event.event_type is EventType.CALL_OUTCOME and error is not None
        if is_failure and error["code"] in {"provider.outcome-unknown", "run.not-known"}:
            assert event.body["charged"] == {"amounts": {"calls_count": 1}, "unmeasured": []}
            assert event.parent is not None
            found.append(event.parent)
    return found


def attempts_count(recorded: list[Event]) -> int:
    """Return how many calls were let through, less those of which it is known that they were not made."""
    errors: dict[int | None, Any] = {e.parent: e.body.get("error") or {} for e in recorded if "ok" in e.body}
    intents = [e for e in recorded if e.event_type is EventType.CALL_INTENT and e.body["decision"] == "allow"]
    return sum(errors[intent.sequence].get("code") != "run.not-made" for intent in intents)


@dataclass(frozen=True, kw_only=True)
class Ending:
    """How a trip ends.

    Attributes:
        story: The trip.
        codes: The error codes it may end with; the first one when no process was killed.
        done: What was done.
        requests_count: How many approvals were asked for.
        extensions_count: How often the budget was extended.
        calls_count: How many calls were charged.
    """

    story: Story
    codes: tuple[str, ...]
    done: list[list[Any]]
    requests_count: int
    extensions_count: int
    calls_count: int

    def require(self, home: Path, world: Path, found: Outcome | None) -> None:
        """Demand that the trip was made once and undone once, the last step first, and that each attempt was paid for.

        What may have been made is paid for, and once more when it is made again. So with a bound for every call, the
        budget is over one call earlier.
        """
        assert found is not None
        assert found.code in {*self.codes, "input.run-ended"}  # that when its last write was the last point
        recorded = events(home, world, found.run_id)
        paid_twice = unknown_attempts(recorded)
        undoing = min(e.sequence for e in recorded if e.event_type is EventType.COMPENSATION_STARTED)
        done, undone = [entry[1:3] for entry in effects(world)], UNDONE
        if self.story is SPENDING and any(intent < undoing for intent in paid_twice):
            undone = UNDONE[1:]
            assert done in [TRIP[:2] + undone, TRIP[:3] + undone]
        else:
            assert done == self.done + undone
        counts = Counter(event.event_type for event in recorded)
        assert counts[EventType.COMPENSATION_ENDED] == counts[EventType.COMPENSATION_STARTED] == len(undone)
        asked = counts[EventType.APPROVAL_REQUESTED], counts[EventType.BUDGET_EXTENDED]
        expected = self.requests_count, self.extensions_count
        # What was paid for twice has to be asked for, and that more than once when the budget is over in the fallback
        assert asked == expected or (self.story is FAILING and paid_twice and min(asked) >= min(expected))
        assert recorded[-1].event_type is EventType.RUN_FAILED
        assert recorded[-1].body["spent"]["calls_count"] == attempts_count(recorded)
        assert paid_twice or attempts_count(recorded) == self.calls_count


ENDINGS = [
    Ending(
        story=FAILING, codes=("guest.world",), done=TRIP, requests_count=2, extensions_count=1, calls_count=8
    ),  # with the two calls that fail
    Ending(
        story=OVERRUNNING, codes=("limit.wall", "run.aborted"), done=TRIP[:1], requests_count=0, extensions_count=0,
        calls_count=4,
    ),
    Ending(
        story=SPENDING, codes=("budget.calls", "run.aborted"), done=TRIP[:3], requests_count=1, extensions_count=0,
        calls_count=6,
    ),
    Ending(
        story=STEPPING, codes=("budget.steps", "run.aborted"), done=TRIP[:3], requests_count=1, extensions_count=0,
        calls_count=6,
    ),
]  # fmt: skip


@pytest.mark.parametrize("ending", ENDINGS, ids=lambda ending: str(ending.codes[0]))
def test_every_point_of_a_run_that_is_governed_and_undone(ram: Path, ending: Ending) -> None:
    whole = attempt(ram / "counted", ram / "counted-world", -1, story=ending.story)
    ending.require(ram / "counted", ram / "counted-world", whole)
    assert whole is not None
    assert whole.code == ending.codes[0]
    for point in range(whole.points_count):
        home, world = ram / f"home-{point}", ram / f"world-{point}"
        assert attempt(home, world, point, story=ending.story) is None
        ending.require(home, world, attempt(home, world, -1, story=ending.story))


def test_a_call_whose_fallback_was_begun_is_not_made_any_more(ram: Path) -> None:
    whole = attempt(ram / "counted", ram / "counted-world", -1, story=TRAVELLING)
    assert whole is not None
    ways = []
    for point in range(whole.points_count - 1):
        home, world = ram / f"home-{point}", ram / f"world-{point}"
        assert attempt(home, world, point, story=TRAVELLING) is None
        found = attempt(home, world, -1, story=TRAVELLING)
        assert found is not None
        assert found.code is None
        (done,) = effects(world)
        ways.append(done[1])
        events(home, world, found.run_id)
    assert set(ways[-6:]) == {"taxi"}
    assert "train" in ways  # its fallback had not been begun


def require_aborted(home: Path, world: Path, found: Outcome | None, before: list[list[Any]]) -> None:
    """Demand that an aborted run did nothing more than to undo each step that it had done, once."""
    assert found is not None
    done = [entry[1:3] for entry in effects(world)]
    undone = done[len(before) :]
    assert done[: len(before)] == before
    recorded = events(home, world, found.run_id)
    ended = [e.parent for e in recorded if e.event_type is EventType.STEP_ENDED and e.body["error"] is None]
    names = [e.body["name"] for e in recorded if e.event_type is EventType.STEP_STARTED and e.sequence in ended]
    could = {"room": UNDONE[1], "travel": UNDONE[0]}
    assert undone == [could[name] for name in reversed(names) if name in could]
    assert recorded[-1].event_type is EventType.RUN_ABORTED


def test_every_point_of_a_run_that_is_aborted_then(ram: Path) -> None:
    points = attempt(ram / "counted", ram / "counted-world", -1, story=RETURNING)
    assert points is not None
    for point in range(1, points.points_count - 2):  # after the first write, and before the one that says it is over
        home, world = ram / f"home-{point}", ram / f"world-{point}"
        assert attempt(home, world, point, story=RETURNING) is None
        before = [entry[1:3] for entry in effects(world)]
        found = attempt(home, world, -1, story=replace(RETURNING, aborts=True))
        if point >= points.points_count - 5:  # its last call was answered, and only its value was left
            assert (found and found.value, before) == ("completed", TRIP)
        else:
            require_aborted(home, world, found, before)


def test_every_point_of_an_abort(ram: Path) -> None:
    begun, began = ram / "begun", ram / "begun-world"
    waits = attempt(begun, began, -1, story=replace(RETURNING, answers=False))
    assert waits is not None
    assert waits.code == "approval.required"
    with Runtime.open(begun, catalog=catalog(began)) as runtime:
        (asked,) = runtime.approvals()
        runtime.decide(asked.request.approval_id, granted=True, by="ada")
    assert attempt(begun, began, -1, story=replace(RETURNING, answers=False)) is not None  # until the budget is over
    before = [entry[1:3] for entry in effects(began)]
    assert before == TRIP[:3]
    aborts, point = replace(RETURNING, aborts=True), 0
    while True:
        home, world = ram / f"home-{point}", ram / f"world-{point}"
        shutil.copytree(begun, home)
        shutil.copy(began, world)
        killed = attempt(home, world, point, story=aborts) is None
        require_aborted(home, world, attempt(home, world, -1, story=aborts), before)
        if not killed:
            break
        point += 1
    assert point > 15


TWICE = Story(plan='(do (call :world.charge "a" 1) (call :world.charge "b" 2))')
IN_THE_CALL = 3
"""After the second write of a run that goes on: that of the intent of its first call that was not answered."""


def killed_in_its_first_call(ram: Path, story: Story) -> tuple[Path, Path]:
    """Begin a run and kill it so; return its home and its world."""
    for point in range(POINTS_MAX):
        home, world = ram / f"home-{point}", ram / f"world-{point}"
        assert attempt(home, world, point, story=story) is None
        with Runtime.open(home, catalog=catalog(world)) as runtime:
            for run in runtime.runs():
                if runtime.run_entry(run.run_id)[1]:
                    return home, world
    raise AssertionError("it made no call")


@pytest.mark.parametrize(("calls_count", "code"), [(3, "budget.calls"), (4, None)])
def test_no_crash_makes_a_call_free(ram: Path, calls_count: int, code: str | None) -> None:
    """Two attempts may have been made; a third is, and then the other call."""
    story = replace(TWICE, terms=RunTerms(budget=BudgetLimits(calls_count=calls_count)))
    home, world = killed_in_its_first_call(ram, story)
    assert attempt(home, world, IN_THE_CALL, story=story) is None
    found = attempt(home, world, -1, story=story)
    assert found is not None
    recorded = events(home, world, found.run_id)
    assert len(unknown_attempts(recorded)) == 2
    assert found.code == code
    assert [entry[1] for entry in effects(world)] == (["a", "b"] if code is None else ["a"])
    assert recorded[-1].body["spent"] == recorded[-1].body["spent"] | {"calls_count": calls_count}  # type: ignore[operator]


def test_an_aborted_run_pays_for_the_call_of_which_nobody_knows(ram: Path) -> None:
    home, world = killed_in_its_first_call(ram, TWICE)
    found = attempt(home, world, -1, story=replace(TWICE, aborts=True))
    assert found is not None
    assert found.value == "aborted"
    recorded = events(home, world, found.run_id)
    assert len(unknown_attempts(recorded)) == 1
    assert recorded[-1].body["spent"]["calls_count"] == 1  # type: ignore[index]


def test_a_dry_run_says_at_every_point_that_nothing_was_done(ram: Path) -> None:
    story = replace(TWICE, terms=RunTerms(mode=ExecutionMode.DRY_RUN))
    whole = attempt(ram / "counted", ram / "counted-world", -1, story=story)
    assert whole is not None
    outcomes_count = 0
    for point in range(whole.points_count):
        home, world = ram / f"home-{point}", ram / f"world-{point}"
        assert attempt(home, world, point, story=story) is None
        found = attempt(home, world, -1, story=story)
        assert found is not None
        recorded = events(home, world, found.run_id)
        calls = [e for e in recorded if e.event_type in {EventType.CALL_INTENT, EventType.CALL_OUTCOME}]
        assert {e.body.get("simulated") for e in calls} == {True}
        assert effects(world) == []
        outcomes_count += len(calls) // 2
    assert outcomes_count > 2 * whole.points_count, "no attempt was cut off"
