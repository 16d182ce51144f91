"""Run many sandboxes of all kinds, then many at once, and fail when anything is left of them or an answer is wrong.

Owns the order: look, warm up, look again, run, compare, close, compare with the first look; then the same with a crowd.
Anyone can run it: `make soak RUNS=10000`, or `python -m benchmarks.soak`. It needs no root.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import os
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks import leftovers
from benchmarks.crowd import gather
from benchmarks.direct import Direct
from benchmarks.kinds import Act, Kinds
from benchmarks.leftovers import Look, Memory, Things, Watch
from cloister.limits import MIB
from cloister.runtime import Runtime

SETTLE_TIMEOUT_S = 30.0
RUN_NUMBERS_FROM = 1_000
FILLING_KINDS = ("plan", "files", "python", "program")
FILLING_THREADS = 16
"""More at once than may wait."""
FAILURES_SHOWN = 10
THINGS_SHOWN = 5
LAST_PLAN = "1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """What was found after one part of a soak.

    Attributes:
        name: What had happened before.
        look: What there was.
        memory: What it held.
        left: What there was too much of.
    """

    name: str
    look: Look
    memory: Memory
    left: Mapping[str, Things]


@dataclass(slots=True, kw_only=True)
class Outcome:
    """What a soak found.

    Attributes:
        stages: In order.
        runs: How many runs of each kind gave the right answer.
        failures: What the others gave instead.
        seconds: How long each part took, by its name.
    """

    stages: list[Stage] = field(default_factory=list)
    runs: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    seconds: dict[str, float] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        """Whether every answer was right and nothing is left."""
        return not self.failures and not any(stage.left for stage in self.stages)

    def note(self, stage: str, look: Look) -> None:
        """Keep what there was, and what memory is held."""
        self.stages.append(Stage(name=stage, look=look, memory=leftovers.memory(), left={}))

    def compare(self, stage: str, watch: Watch, earlier: Look) -> None:
        """Look, when all has come to rest, what there is more of than there was."""
        watch.look_at_rest(SETTLE_TIMEOUT_S)
        now = watch.look_for_more(earlier, SETTLE_TIMEOUT_S)
        self.stages.append(Stage(name=stage, look=now, memory=leftovers.memory(), left=now.left_since(earlier)))

    @contextlib.contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Note how long a part takes."""
        begun = time.perf_counter()
        yield
        self.seconds[part] = time.perf_counter() - begun


def soak(root: Path, *, runs: int, at_once: int, threads: int, is_alone: bool = False) -> Outcome:
    """Run, and look at what is left.

    Args:
        root: An empty directory, canonical.
        runs: How many runs, of all kinds in turn.
        at_once: How many sandboxes are alive at the same moment after that.
        threads: How many threads begin runs.
        is_alone: As `Watch.is_alone`.
    """
    outcome = Outcome()
    home, temporary, place = root / "home", root / "tmp", root / "files"
    temporary.mkdir()
    place.mkdir()
    watch = Watch(directories=(temporary, place), is_alone=is_alone)
    with _temporary_files_in(temporary):
        before = watch.look()
        outcome.note("before", before)
        with Runtime.open(home) as runtime:
            acts = Kinds(runtime, place).acts()
            _fill(outcome, acts)
            _settle(watch, functools.partial(acts["plan"], 0))
            warm = watch.look_at_rest(SETTLE_TIMEOUT_S)
            outcome.note("warm", warm)
            with outcome.timed("runs"):
                repeat(outcome, acts, range(RUN_NUMBERS_FROM, RUN_NUMBERS_FROM + runs), threads)
            _settle(watch, functools.partial(acts["plan"], 0))
            outcome.compare("after runs", watch, warm)
        outcome.compare("closed", watch, before)
        with Direct() as direct:
            _gather(outcome, direct, FILLING_THREADS)
            _settle(watch, functools.partial(direct.plan, LAST_PLAN))
            warm = watch.look_at_rest(SETTLE_TIMEOUT_S)
            outcome.note("warm again", warm)
            with outcome.timed("crowd"):
                _gather(outcome, direct, at_once)
            _settle(watch, functools.partial(direct.plan, LAST_PLAN))
            outcome.compare("after crowd", watch, warm)
        outcome.compare("closed again", watch, before)
    return outcome


def _settle(watch: Watch, plan: Callable[[], object]) -> None:
    """Run single plans, the second in a sandbox that waited. What is closed with the next one is that of one then."""
    for _ in range(2):
        watch.look_at_rest(SETTLE_TIMEOUT_S)
        plan()


def _fill(outcome: Outcome, acts: Mapping[str, Act]) -> None:
    """Run everything once, and so many at once of what waits in a pool that as many wait as ever will."""
    repeat(outcome, acts, range(len(acts)), 1)
    for kind in FILLING_KINDS:
        repeat(outcome, {kind: acts[kind]}, range(FILLING_THREADS), FILLING_THREADS)


def repeat(outcome: Outcome, acts: Mapping[str, Act], numbers: range, threads: int) -> None:
    """Do acts in turn, one for each number, and note what they gave."""
    turns = zip(numbers, itertools.cycle(acts.items()))
    lock = threading.Lock()

    def next_turn() -> tuple[int, tuple[str, Act]] | None:
        with lock:
            return next(turns, None)

    def work() -> None:
        while (turn := next_turn()) is not None:
            number, (kind, act) = turn
            try:
                act(number)
            except Exception as error:  # noqa: BLE001 - whatever it was, it is noted and makes the soak fail
                with lock:
                    outcome.failures.append(f"{kind}, number {number}: {type(error).__name__}: {error}")
            else:
                with lock:
                    outcome.runs[kind] += 1

    with ThreadPoolExecutor(threads) as pool:
        for each in [pool.submit(work) for _ in range(threads)]:
            each.result()


def report(outcome: Outcome) -> str:
    """Return the outcome as text."""
    names = [stage.name for stage in outcome.stages]
    lines = [f"{'':24}" + "".join(f"{name:>14}" for name in names)]
    for what in outcome.stages[0].look.counts():
        counts = "".join(f"{stage.look.counts()[what]:>14}" for stage in outcome.stages)
        lines.append(f"{what.replace('_', ' '):24}{counts}")
    for whose in ("host", "launchers"):
        held = "".join(f"{getattr(stage.memory, whose) / MIB:>14.1f}" for stage in outcome.stages)
        lines.append(f"{f'memory of {whose} (MiB)':24}{held}")
    lines += ["", *(f"{count:>8} {kind}" for kind, count in outcome.runs.items()), ""]
    lines += [f"{name}: {seconds:.1f} s" for name, seconds in outcome.seconds.items()]
    lines += [f"wrong: {failure}" for failure in outcome.failures[:FAILURES_SHOWN]]
    if len(outcome.failures) > FAILURES_SHOWN:
        lines.append(f"wrong: {len(outcome.failures) - FAILURES_SHOWN} more")
    lines += [
        f"left {stage.name}: {what.replace('_', ' ')}: {count} x {thing}"
        for stage in outcome.stages
        for what, things in stage.left.items()
        for thing, count in things.most_common(THINGS_SHOWN)
    ]
    lines.append("nothing is left, every answer was right" if outcome.is_clean else "NOT CLEAN")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run a soak and exit with 1 when it was not clean."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000, help="runs of all kinds in turn (%(default)s)")
    parser.add_argument("--at-once", type=int, default=200, help="sandboxes alive at the same moment (%(default)s)")
    parser.add_argument("--threads", type=int, default=4, help="threads that begin runs (%(default)s)")
    parser.add_argument("--alone", action="store_true", help="count every new entry of /tmp and /dev/shm")
    options = parser.parse_args()
    leftovers.adopt_orphans()
    with tempfile.TemporaryDirectory(prefix="soak-") as root:
        outcome = soak(
            Path(root).resolve(),
            runs=options.runs,
            at_once=options.at_once,
            threads=options.threads,
            is_alone=options.alone,
        )
    sys.stdout.write(report(outcome))
    sys.exit(0 if outcome.is_clean else 1)


def _gather(outcome: Outcome, direct: Direct, count: int) -> None:
    try:
        gather(direct, count)
    except Exception as error:  # noqa: BLE001 - it is noted and makes the soak fail
        outcome.failures.append(f"{count} at once: {type(error).__name__}: {error}")
    else:
        outcome.runs["at once"] += count


@contextlib.contextmanager
def _temporary_files_in(directory: Path) -> Iterator[None]:
    """Have `tempfile` use a directory, here and in processes that inherit the environment."""
    before, variable = tempfile.tempdir, os.environ.get("TMPDIR")
    tempfile.tempdir = os.environ["TMPDIR"] = str(directory)
    try:
        yield
    finally:
        tempfile.tempdir = before
        os.environ.pop("TMPDIR")
        if variable is not None:
            os.environ["TMPDIR"] = variable


if __name__ == "__main__":
    main()
