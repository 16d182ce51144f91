"""Killed at any point and resumed, a run gives the same result and has done the same."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.integration.crashing import attempt, effects

from cloister.audit.event import EventType
from cloister.audit.home import AuditHome
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.plan.journal.entries import RunState
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


def points(tmp_path: Path) -> int:
    """Return how many points the journal of the plan has: the first at which no process is killed."""
    low, high = 0, POINTS_MAX
    while low < high:
        middle = (low + high) // 2
        killed = attempt(tmp_path / f"count-{middle}", tmp_path / f"counted-{middle}", middle) is None
        low, high = (middle + 1, high) if killed else (low, middle)
    return low


def test_every_point_of_the_journal(tmp_path: Path) -> None:
    count = points(tmp_path)
    assert 60 < count < POINTS_MAX
    for point in range(count - 1):  # at the last one the run is over
        home, world = tmp_path / f"home-{point}", tmp_path / f"world-{point}"
        assert attempt(home, world, point) is None
        found = attempt(home, world, -1)
        assert found is not None
        assert found[0] == "charged"
        require_whole(home, world, found[1])


@pytest.mark.parametrize("provider", ["mock", "process"])
def test_killed_again_and_again(tmp_path: Path, provider: str) -> None:
    home, world = tmp_path / "home", tmp_path / "world"
    found, attempts_count = None, 0
    while found is None:
        found = attempt(home, world, 8, provider)
        attempts_count += 1
        assert attempts_count < 100
    assert attempts_count > 5
    require_whole(home, world, found[1])
