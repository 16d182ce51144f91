"""Runs and calls as rows: what is written comes back, and what somebody else wrote is refused."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.unit.plan.journal.journals import RUN, call, keep, opened, tamper

from cloister.errors import InputError, JournalError
from cloister.plan.journal.entries import Abort, CallState, RunState
from cloister.plan.journal.store import RunStore, packed

LATER = "2026-01-01T00:00:01.000000Z"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[RunStore]:
    with opened(tmp_path / "runs.sqlite3") as store:
        store.begin_run(RUN)
        yield store


def test_a_run_comes_back_as_it_was_written(store: RunStore) -> None:
    assert store.run(RUN.run_id) == RUN
    assert store.runs() == [RUN]


def test_one_that_is_not_there_is_unknown(store: RunStore) -> None:
    with pytest.raises(InputError) as caught:
        store.run("run-2\x1b[2J")
    assert (caught.value.code, "\x1b" in caught.value.message) == ("input.run", False)


def test_its_state_changes_with_what_belongs_to_it(store: RunStore) -> None:
    error = {"code": "approval.required", "message": "m", "details": {}}
    store.set_state(RUN.run_id, RunState.PAUSED, LATER, error=error, waits_for="approval-1")
    paused = store.run(RUN.run_id)
    assert (paused.state, paused.updated_at, paused.error, paused.waits_for) == (
        RunState.PAUSED, LATER, error, "approval-1",
    )  # fmt: skip
    store.set_state(RUN.run_id, RunState.COMPLETED, LATER, result=[1, "a"])
    completed = store.run(RUN.run_id)
    assert (completed.result, completed.error, completed.waits_for) == ([1, "a"], None, None)


def test_where_it_was_aborted_stays(store: RunStore) -> None:
    store.abort(RUN.run_id, Abort(at=2, undoes_from=3))
    store.abort(RUN.run_id, Abort(at=9, undoes_from=9))
    assert store.run(RUN.run_id).abort == Abort(at=2, undoes_from=3)


def test_the_newest_are_last(store: RunStore) -> None:
    for number in range(2, 5):
        store.begin_run(replace(RUN, run_id=f"run-{number}", created_at=f"2026-01-0{number}", started=number))
    assert [run.run_id for run in store.runs()] == ["run-1", "run-2", "run-3", "run-4"]
    assert [run.run_id for run in store.runs(newest_count=2)] == ["run-3", "run-4"]


def test_calls_come_back_by_number(store: RunStore) -> None:
    entries = [
        call(0, memo={"open": 1}),
        call(1, state=CallState.FAILED, answer={"code": "guest.world"}),
        call(2, state=CallState.INTENDED, answer=None, outcome=None),
    ]
    for entry in reversed(entries):
        keep(store, entry)
    assert list(store.calls(RUN.run_id)) == entries
    assert store.calls_count(RUN.run_id) == 3
    assert list(store.calls("run-2")) == []


def test_a_call_that_is_made_again_has_its_new_intent(store: RunStore) -> None:
    intended = call(0, state=CallState.INTENDED, answer=None, outcome=None)
    keep(store, intended)
    keep(store, replace(intended, intent=7))
    assert list(store.calls(RUN.run_id)) == [replace(intended, intent=7)]


def test_a_call_that_was_not_intended_has_no_answer(store: RunStore) -> None:
    with pytest.raises(JournalError) as caught:
        store.conclude(RUN.run_id, 0, CallState.SUCCEEDED, 1, None, durable=False)
    assert caught.value.code == "journal.damaged"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("state", "granted"),
        ("state", b"paused"),
        ("plan", b"x"),
        ("provider", b"mock"),
        ("created_at", b"2026"),
        ("updated_at", b""),
        ("started", -1),
        ("started", "zero"),
        ("order_json", b"{"),
        ("order_json", b"[]"),
        ("order_json", "{}"),
        ("order_json", b"[" * 100_000),
        ("order_json", b"\xff"),
        ("result_json", b"nothing"),
        ("error_json", b"[1]"),
        ("error_json", b"1"),
        ("waits_for", b"approval-1"),
        ("aborts_at", "here"),
        ("aborts_at", -1),
        ("aborts_at", 1),
        ("undoes_from", 1),
    ],
)
def test_a_run_with_another_shape_is_damage(store: RunStore, column: str, value: Any) -> None:
    tamper(store.path, f"UPDATE runs SET {column} = ?", value)
    for read in (lambda: store.run(RUN.run_id), store.runs):
        with pytest.raises(JournalError) as caught:
            read()
        assert caught.value.code == "journal.damaged"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("number", "none"),
        ("number", -1),
        ("capability_id", b"world.put"),
        ("arguments_sha256", b"digest-0"),
        ("intent", "x"),
        ("intent", -3),
        ("state", "done"),
        ("outcome", "x"),
        ("answer_json", b"]"),
        ("answer_json", "1"),
        ("memo_json", b"\xfe"),
    ],
)
def test_a_call_with_another_shape_is_damage(store: RunStore, column: str, value: Any) -> None:
    keep(store, call(0))
    assert len(list(store.calls(RUN.run_id))) == 1
    tamper(store.path, f"UPDATE calls SET {column} = ?", value)
    with pytest.raises(JournalError) as caught:
        list(store.calls(RUN.run_id))
    assert caught.value.code == "journal.damaged"


def test_packed_data_does_not_depend_on_the_order_of_keys() -> None:
    assert packed({"b": 1, "a": [1, 2]}) == packed({"a": [1, 2], "b": 1}) == b'{"a":[1,2],"b":1}'
