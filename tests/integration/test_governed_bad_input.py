"""What governs a run, broken: typed errors, nothing lost, nothing done twice, and the run goes on once it is mended."""

from __future__ import annotations

import resource
import shutil
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pytest
from tests.integration.crashing import RETURNING, attempt, effects
from tests.integration.governing import EVERYTHING, Home, rule

from cloister.audit.home import open_chain
from cloister.authority.context import RuntimeContext
from cloister.capabilities.capability import Invocation
from cloister.clock import ManualClock
from cloister.errors import AuditError, CloisterError, ConfigError, JournalError, PlanError
from cloister.plan.journal.database import JournalFile
from cloister.plan.journal.entries import RunState
from cloister.plan.journal.store import RunStore
from cloister.runtime import Runtime

SIGNED = rule("signing", "require-human-approval", "world.send")
PLAN = '(do (call :world.put 1) (call :world.send "x") (call :world.put 2))'
ALL = [("put", 1), ("send", "x"), ("put", 2)]


# Policies


def test_rules_that_contradict_each_other_govern_nothing(ram: Path) -> None:
    home = Home(ram / "home")
    with pytest.raises(ConfigError) as caught:
        home.rule(rule("one", "deny", "world.put") + rule("two", "allow", "world.put"))
    assert caught.value.code == "config.constitution"
    with pytest.raises(CloisterError) as opened, home.open():
        pass  # it lies there unsigned
    assert opened.value.code.startswith("attestation.")


def test_grants_that_contradict_each_other_are_no_context() -> None:
    with pytest.raises(ConfigError) as caught:
        RuntimeContext.controlled(capabilities=["world.put"], deny=["world.put"])
    assert caught.value.code == "config.contradiction"
    assert RuntimeContext.controlled(capabilities=["world.*"], deny=["world.put"])


def test_other_rules_than_it_began_with_let_no_run_go_on(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN)
    home.decide()
    home.rule(SIGNED + rule("late", "deny", "world.fail"), version=2)
    refused = home.resume(waits.run_id)
    assert (type(refused.error), refused.code, home.world.done) == (PlanError, "plan.policy-changed", [("put", 1)])
    home.rule(SIGNED)
    assert home.resume(waits.run_id).value == 2
    assert home.world.done == ALL


# Journals of others


def test_the_journal_of_another_run_in_the_place_of_this_one_is_refused(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    first, second = home.run(PLAN), home.run(PLAN.replace("1", "7"))
    with closing(sqlite3.connect(home.directory / "runs.sqlite3", isolation_level=None)) as connection:
        connection.execute("DELETE FROM calls WHERE run_id = ?", (first.run_id,))
        connection.execute("UPDATE calls SET run_id = ? WHERE run_id = ?", (first.run_id, second.run_id))
    refused = home.resume(first.run_id)
    assert (type(refused.error), refused.code) == (JournalError, "journal.altered")
    assert home.world.done == [("put", 1), ("put", 7)]


@pytest.mark.parametrize(("runs_count", "code"), [(0, "journal.ahead"), (2, "journal.order")])
def test_the_journal_of_another_home_is_refused_with_its_approvals(ram: Path, runs_count: int, code: str) -> None:
    home, other = Home(ram / "home", SIGNED), Home(ram / "other", SIGNED)
    waits = home.run(PLAN)
    home.decide()
    with other.open():
        pass
    for _ in range(runs_count):
        other.run("(call :world.look 1)")
    for left in other.directory.glob("runs.sqlite3*"):
        left.unlink()
    shutil.copy(home.directory / "runs.sqlite3", other.directory / "runs.sqlite3")
    with pytest.raises(JournalError) as caught, other.open() as runtime:
        runtime.resume(waits.run_id)
    assert caught.value.code == code
    assert other.world.done == [("look", 1)] * runs_count
    assert home.resume(waits.run_id).value == 2


# A disk that is full

TRIP_DONE = [["room", 1], ["contract", 2], ["taxi", 3], ["meal", 4]]


def full_at(bytes_count: int) -> None:
    """Let no file of this process grow beyond a size, as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_count, resource.RLIM_INFINITY))


def test_a_disk_that_is_full_in_the_middle_loses_nothing_and_does_nothing_twice(ram: Path) -> None:
    """Wherever it gets full: the error is typed, and once there is room the run goes on to the same end."""
    empty = ram / "empty"
    assert attempt(empty, ram / "empty-world", 0, story=RETURNING) is None  # killed before anything is in the journal
    seen: Counter[str | None] = Counter()
    acts: set[int] = set()
    for number, room in enumerate(range(20_000, 1_400_000, 60_000)):
        home, world = ram / f"home-{number}", ram / f"world-{number}"
        shutil.copytree(empty, home)
        found = attempt(home, world, -1, story=RETURNING, before=partial(full_at, room))
        assert found is not None
        seen[found.code] += 1
        acts.add(len(effects(world)))
        done = attempt(home, world, -1, story=RETURNING)
        assert done is not None
        assert (done.value, done.code) in [("home", None), (None, "input.run-ended")], room
        assert [entry[1:3] for entry in effects(world)] == TRIP_DONE
    assert set(seen) <= {None, "audit.store", "audit.append", "journal.store"}
    assert min(seen[None], seen["audit.append"]) > 1
    assert len(acts) > 2  # it was in the middle of the run


# Databases that are locked or damaged


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Keep everybody else from writing to a database."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        yield
        connection.execute("ROLLBACK")


def test_a_journal_that_is_locked_stops_the_run_before_it_acts(ram: Path) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN)
    home.decide()
    path = home.directory / "runs.sqlite3"
    chain = open_chain(home.directory, home.clock)
    file = JournalFile.open(path, lock_wait_ms=1)
    catalog, clock = home.world.catalog(), home.clock
    with (
        Runtime(chain, home=home.directory, clock=clock, catalog=catalog, journal=RunStore(file)) as runtime,
        locked(path),
        pytest.raises(JournalError) as caught,
    ):
        runtime.resume(waits.run_id)
    assert caught.value.code == "journal.store"
    assert home.world.done == [("put", 1)]
    assert home.resume(waits.run_id).value == 2
    assert home.world.done == ALL


@pytest.mark.parametrize("name", ["runs.sqlite3", "chain.sqlite3"])
def test_a_database_that_is_damaged_is_refused_and_goes_on_once_restored(ram: Path, name: str) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN)
    home.decide()
    path = home.directory / name
    copy = path.read_bytes()
    for damage in (b"", b"no database at all", copy[:3000], copy[:100] + bytes(len(copy) - 100)):
        path.write_bytes(damage)
        with pytest.raises((JournalError, AuditError)), home.open() as runtime:
            runtime.resume(waits.run_id)
        assert home.world.done == [("put", 1)]
    path.write_bytes(copy)
    assert home.resume(waits.run_id).value == 2
    assert home.world.done == ALL


@pytest.mark.parametrize("name", ["runs.sqlite3", "chain.sqlite3"])
def test_a_database_that_vanishes_while_the_run_goes_on_stops_it(ram: Path, name: str) -> None:
    home = Home(ram / "home")
    aside = ram / "aside"
    catalog = home.world.catalog()

    def vanish(call: Invocation) -> None:
        (home.directory / name).rename(aside)

    looks = replace(catalog.capabilities["world.look"], run=vanish)
    taking = replace(catalog, capabilities={**catalog.capabilities, "world.look": looks})
    context = RuntimeContext.controlled(capabilities=EVERYTHING)
    with (
        Runtime.open(home.directory, clock=home.clock, catalog=taking) as runtime,
        pytest.raises((JournalError, AuditError)),
    ):
        runtime.run(
            "(do (call :world.put 1) (call :world.look 1) (call :world.put 2))", context=context, provider="mock"
        )
    assert home.world.done == [("put", 1)]
    for left in home.directory.glob(f"{name}*"):
        left.unlink()
    aside.rename(home.directory / name)


# Clocks


@pytest.mark.parametrize("year", [1990, 2025, 2099])
def test_a_clock_that_jumps_neither_loses_nor_repeats_anything(ram: Path, year: int) -> None:
    home = Home(ram / "home", SIGNED)
    waits = home.run(PLAN)
    home.decide()
    jumped = home.resume(waits.run_id, ManualClock(datetime(year, 1, 1, tzinfo=UTC)))
    if year < 2026:
        assert (jumped.value, home.world.done) == (2, ALL)
    else:
        assert (jumped.code, jumped.state, home.world.done) == ("denied.approval-expired", RunState.FAILED, ALL[:1])
