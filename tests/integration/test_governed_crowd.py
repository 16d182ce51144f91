"""A hundred runs over one chain and one journal: none is lost, none is mixed up, and each can go on."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from tests.integration.governing import EVERYTHING, Home, rule

from cloister.audit.event import EventType
from cloister.authority.context import RuntimeContext
from cloister.errors import ApprovalRequired
from cloister.plan.journal.entries import CallState, RunState
from cloister.runtime import Runtime

RUNS_COUNT = 100
PROCESSES_COUNT = 4
PLAN = """(do (step "a" :undo (fn [r] (call :world.delete r)) (call :world.put n "first"))
              (step "b" (call :world.send n))
              (step "c" (call :world.put n "last")))"""
ASKS = rule("signing", "require-human-approval", "world.send")


def opened(home: Home) -> Runtime:
    """Open the runtime of a home with a clock whose randomness differs from process to process."""
    return Runtime.open(home.directory, catalog=home.world.catalog())


def begin(runtime: Runtime, number: int) -> str:
    """Begin a run, which waits for its approval; return it."""
    context = RuntimeContext.controlled(capabilities=EVERYTHING)
    try:
        runtime.run(PLAN, context=context, provider="mock", inputs={"n": number})
    except ApprovalRequired as error:
        return str(error.details["run_id"])
    raise AssertionError("nobody was asked")


def go_on(runtime: Runtime, run_id: str) -> object:
    """Approve what a run waits for, and let it go on; return its value."""
    (asked,) = runtime.approvals(run_id=run_id)
    runtime.decide(asked.request.approval_id, granted=True, by="ada")
    return runtime.resume(run_id).value


SHAPE = [
    EventType.RUN_STARTED, EventType.STEP_STARTED, EventType.CALL_INTENT, EventType.CALL_OUTCOME, EventType.STEP_ENDED,
    EventType.STEP_STARTED, EventType.APPROVAL_REQUESTED, EventType.RUN_PAUSED, EventType.APPROVAL_GRANTED,
    EventType.RUN_RESUMED, EventType.CALL_INTENT, EventType.CALL_OUTCOME, EventType.STEP_ENDED,
    EventType.STEP_STARTED, EventType.CALL_INTENT, EventType.CALL_OUTCOME, EventType.STEP_ENDED,
    EventType.RUN_COMPLETED,
]  # fmt: skip
"""The records of a run that waited and went on, without those about its policies, budget and profiles."""


def require_all(home: Home, numbers: dict[str, int]) -> None:
    """Demand that each run is there, whole, in its order, and with its own numbers alone."""
    home.require_whole()
    with opened(home) as runtime:
        assert {run.run_id: run.state for run in runtime.runs()} == dict.fromkeys(numbers, RunState.COMPLETED)
        for run_id, number in numbers.items():
            records = [record.event for record in runtime.records(run_id)]
            assert [event.event_type for event in records if event.event_type in SHAPE] == SHAPE
            shown = [event.body["arguments"] for event in records if event.event_type is EventType.CALL_INTENT]
            assert shown == [f'{number} "first"', f"{number}", f'{number} "last"']
            places = {event.sequence for event in records}
            assert all(event.parent is None or event.parent in places for event in records)
            run, calls = runtime.run_entry(run_id)
            assert [call.number for call in calls] == [0, 1, 2]
            assert {call.state for call in calls} == {CallState.SUCCEEDED}
            assert run.result is not None


def test_a_hundred_runs_of_threads(ram: Path) -> None:
    home = Home(ram / "home", ASKS)
    with opened(home) as runtime, ThreadPoolExecutor(8) as pool:
        begun = list(pool.map(lambda number: begin(runtime, number), range(RUNS_COUNT)))
        assert len(set(begun)) == RUNS_COUNT
        values = list(pool.map(lambda run_id: go_on(runtime, run_id), begun))
    assert values == list(range(RUNS_COUNT))
    assert sorted(home.world.done, key=str) == sorted(
        (each for n in range(RUNS_COUNT) for each in (("put", n, "first"), ("send", n), ("put", n, "last"))), key=str
    )
    require_all(home, {run_id: number for number, run_id in enumerate(begun)})


def in_processes(work: Sequence[Sequence[Any]], do: Callable[[Sequence[Any]], list[Any]], answers: Path) -> list[Any]:
    """Do parts of something in a process each; return what all of them answered, in order."""
    children = []
    for index, part in enumerate(work):
        child = os.fork()
        if child == 0:
            status = 1
            with suppress(BaseException):
                answers.with_suffix(f".{index}").write_text(json.dumps(do(part)))
                status = 0
            os._exit(status)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * len(children)
    return [each for index in range(len(work)) for each in json.loads(answers.with_suffix(f".{index}").read_text())]


def test_a_hundred_runs_of_processes(ram: Path) -> None:
    """Each process lets runs go on that another one began, while the others do as well."""
    home = Home(ram / "home", ASKS)
    with opened(home):
        pass  # or each would make the home

    def begin_some(numbers: Sequence[int]) -> list[str]:
        with opened(home) as runtime, ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda number: begin(runtime, number), numbers))

    def finish_some(run_ids: Sequence[str]) -> list[object]:
        with opened(home) as runtime, ThreadPoolExecutor(4) as pool:
            return list(pool.map(lambda run_id: go_on(runtime, run_id), run_ids))

    numbers = [list(range(first, RUNS_COUNT, PROCESSES_COUNT)) for first in range(PROCESSES_COUNT)]
    begun = in_processes(numbers, begin_some, ram / "begun")
    shifted = [begun[first::PROCESSES_COUNT] for first in range(PROCESSES_COUNT)]
    values = in_processes(shifted, finish_some, ram / "values")
    ordered = [number for part in numbers for number in part]
    wanted = {str(run_id): number for run_id, number in zip(begun, ordered, strict=True)}
    assert values == [wanted[str(run_id)] for part in shifted for run_id in part]
    require_all(home, wanted)
