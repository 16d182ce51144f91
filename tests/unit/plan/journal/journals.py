"""Entries and files that the tests of the journal share."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from cloister.plan.journal.entries import CallEntry, CallState, RunEntry, RunState
from cloister.plan.journal.store import RunStore

RUN = RunEntry(
    run_id="run-1",
    state=RunState.RUNNING,
    plan="plan.rtfs",
    provider="mock",
    created_at="2026-01-01T00:00:00.000000Z",
    updated_at="2026-01-01T00:00:00.000000Z",
    started=0,
    order={"plan": {"sha256": "ab", "name": "plan.rtfs"}, "provider": "mock"},
)


def call(number: int, **changes: Any) -> CallEntry:
    """Return a call that succeeded, the record of which follows that of the call before."""
    entry = CallEntry(
        number=number,
        capability_id="world.put",
        arguments_sha256=f"digest-{number}",
        intent=2 * number + 1,
        state=CallState.SUCCEEDED,
        outcome=2 * number + 2,
        answer=number,
        memo=None,
    )
    return replace(entry, **changes)


@contextmanager
def opened(path: Path) -> Iterator[RunStore]:
    """Open a journal for the time of a block."""
    with closing(RunStore.open(path)) as store:
        yield store


def keep(store: RunStore, entry: CallEntry, run_id: str = RUN.run_id) -> None:
    """Write a call as a run does."""
    store.intend(run_id, entry, durable=False)
    if entry.state is not CallState.INTENDED:
        store.conclude(run_id, entry.number, entry.state, entry.answer, entry.memo, durable=False)
    if entry.outcome is not None:
        store.outcome_recorded(run_id, entry.number, entry.outcome)


def tamper(path: Path, statement: str, *values: Any) -> None:
    """Change the file as anybody could who may write it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement, values)
