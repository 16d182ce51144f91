"""Processes that run campaigns, and what becomes of them when an engine ends one or never returns.

Owns the processes. A machine-code engine can end its whole process, by a defect or a failed assertion of the library
under it; that is a difference like any other, and the seed it happened at is known because each worker says at which
one it is, in memory it shares, before it runs it.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from typing import Any, Final

from tests.differential.campaign import Finding, check, differs_in
from tests.differential.engines import Engine
from tests.differential.grammar import generate
from tests.differential.measure import Statistics
from tests.differential.outcome import Pair
from tests.differential.shrink import shrink

SPAWN: Final = multiprocessing.get_context("spawn")
"""Engines may have threads, and a process that has them cannot be forked."""
TOLD_EVERY: Final = 25
"""After so many programs a worker tells what it counted; as many at most go uncounted when it dies."""
HANG_S: Final = 120.0
"""A worker that needs longer for one program hangs: programs take milliseconds, and making one small some seconds."""
ISOLATED_S: Final = 10.0
ISOLATED_TRIES_MAX: Final = 400

Maker = Callable[[], Engine]
"""Makes an engine in the process that is to use it. It can be sent to another process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What a campaign is to do.

    Attributes:
        left: Makes one engine.
        right: Makes the other one.
        seeds: The seeds of the programs.
        jobs: How many processes share them.
        shrinks: Whether differences are made small.
        hang_s: After how long at one program a worker hangs.
    """

    left: Maker
    right: Maker
    seeds: range
    jobs: int = 1
    shrinks: bool = True
    hang_s: float = HANG_S


def _work(task: Task, seeds: range, pipe: Connection, at: Any) -> None:
    """Run the programs of some seeds in this process and tell of them."""
    pair = Pair(task.left(), task.right())
    statistics = Statistics()
    for number, seed in enumerate(seeds, 1):
        at.value = seed
        finding = check(pair, generate(seed), statistics, seed, shrinks=False)
        if finding is not None:
            pipe.send(statistics)
            statistics = Statistics()
            pipe.send(_shrunk(pair, finding) if task.shrinks else finding)
        if number % TOLD_EVERY == 0:
            pipe.send(statistics)
            statistics = Statistics()
    pipe.send(statistics)
    pipe.send(None)


def _shrunk(pair: Pair, finding: Finding) -> Finding:
    again = check(pair, finding.text, Statistics(), finding.seed)
    return again if again is not None else finding


@dataclass(slots=True)
class _Worker:
    task: Task
    seeds: range
    pipe: Connection = field(init=False)
    process: BaseProcess = field(init=False)
    at: Any = field(init=False)
    seen_at: int = field(init=False)
    since: float = field(init=False)
    is_done: bool = False

    def __post_init__(self) -> None:
        self.at = SPAWN.Value("q", self.seeds[0], lock=False)
        self.pipe, theirs = SPAWN.Pipe(duplex=False)
        self.process = SPAWN.Process(target=_work, args=(self.task, self.seeds, theirs, self.at), daemon=True)
        self.process.start()
        theirs.close()
        self.seen_at, self.since = self.seeds[0], time.monotonic()

    def messages(self) -> Iterator[Statistics | Finding]:
        """Yield what it told until now."""
        try:
            while self.pipe.poll():
                message = self.pipe.recv()
                if message is None:
                    self.is_done = True
                else:
                    yield message
        except EOFError:
            return

    def is_hanging(self) -> bool:
        """Say whether it has been at one seed for too long."""
        if self.at.value != self.seen_at:
            self.seen_at, self.since = self.at.value, time.monotonic()
        return time.monotonic() - self.since > self.task.hang_s

    def end(self) -> None:
        """End the process."""
        self.process.kill()
        self.process.join()
        self.pipe.close()

    def rest(self) -> range:
        """Return the seeds after the one it is at."""
        return self.seeds[self.seeds.index(self.at.value) + 1 :]


def run(task: Task) -> Iterator[Statistics | Finding]:
    """Run a campaign and yield, as they come, the counts of its parts and the differences.

    A worker that dies or hangs is a difference of the program it was at, and another one goes on after it.
    """
    shares = [task.seeds[start :: task.jobs] for start in range(task.jobs)]
    workers = [_Worker(task, share) for share in shares if share]
    try:
        while workers:
            wait([worker.pipe for worker in workers] + [worker.process.sentinel for worker in workers], timeout=1)
            for worker in tuple(workers):
                is_alive = worker.process.is_alive()
                yield from worker.messages()
                if worker.is_done or not is_alive or worker.is_hanging():
                    workers.remove(worker)
                    worker.end()
                    if not worker.is_done:
                        yield _ended(task, worker, "hang" if is_alive else "crash")
                        if worker.rest():
                            workers.append(_Worker(task, worker.rest()))
    finally:
        for worker in workers:
            worker.end()


def _ended(task: Task, worker: _Worker, differs: str) -> Finding:
    seed = worker.at.value
    text = generate(seed)
    minimal = text
    if task.shrinks:
        with Isolated(task) as isolated:
            minimal = shrink(text, isolated.ends, ISOLATED_TRIES_MAX)
    code = worker.process.exitcode
    return Finding(
        seed=seed, differs=differs, text=text, minimal=minimal, outcomes=(f"the process ended with {code}", "")
    )


class Isolated:
    """A process that runs programs one by one, to find out which of them end it."""

    def __init__(self, task: Task) -> None:
        self._task = task
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Isolated:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def ends(self, text: str) -> bool:
        """Say whether a program ends the process, or holds it up."""
        if self._pipe is None:
            self._pipe, theirs = SPAWN.Pipe()
            self._process = SPAWN.Process(target=_obey, args=(self._task, theirs), daemon=True)
            self._process.start()
            theirs.close()
        try:
            self._pipe.send(text)
            if self._pipe.poll(ISOLATED_S):
                self._pipe.recv()
                return False
        except (EOFError, ConnectionError):
            pass
        self._end()
        return True

    def _end(self) -> None:
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            self._process.join()
            self._pipe.close()
        self._process = self._pipe = None


def _obey(task: Task, pipe: Connection) -> None:
    pair = Pair(task.left(), task.right())
    while True:
        try:
            text = pipe.recv()
        except EOFError:
            return
        pipe.send(differs_in(pair, text))
