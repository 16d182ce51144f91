"""Many sandboxes: how many a second, and what the waiting ones hold.

Owns these measurements. Every single result is checked; a wrong one ends the measurement.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial

from benchmarks import peers
from benchmarks.direct import Direct
from benchmarks.processes import descendants_of, firsts_below, private_bytes
from benchmarks.rows import Row, value_row
from benchmarks.timing import LeftOut, WrongAnswer, leave_out, require_equal
from cloister.limits import MIB

THROUGHPUT = "sandbox throughput"
MEMORY = "sandbox memory"

ECHO = "/bin/echo"
PROGRAMS_ROW = f"cloister provider: {ECHO}"
PLANS_ROW = "cloister provider: (+ n 2)"

CORES = 2
THREADS = 4
WINDOW_S = 10.0
WINDOWS = 3

FILLING_THREADS = 16
FILLING_S = 1.0
"""More at once than may wait, so that as many as may wait are made."""
SETTLED_S = 1.0
SETTLE_TIMEOUT_S = 20.0


def throughput() -> list[Row]:
    """Count fresh sandboxes a second over windows of ten seconds, on two cores; the threads never pause."""
    with ExitStack() as stack:
        stack.enter_context(_on_cores(CORES))
        direct = stack.enter_context(Direct())
        subjects: dict[str, Callable[[int], None]] = {
            PROGRAMS_ROW: lambda number: require_equal(direct.program(ECHO, str(number)).stdout, b"%d\n" % number),
            PLANS_ROW: lambda number: require_equal(direct.plan(f"(+ {number} 2)"), number + 2),
        }
        for peer in peers.present(stack):
            if peer.name == peers.BWRAP:
                subjects[f"{peer.name}: {ECHO}"] = partial(_echo, peer.program)
        rates: dict[str, list[float]] = {name: [] for name in subjects}
        for _ in range(WINDOWS):
            for name, subject in tuple(subjects.items()):
                try:
                    rates[name].append(sustained(subject))
                except LeftOut as reason:
                    leave_out(name, reason)
                    del subjects[name]
        return [value_row(THROUGHPUT, name, rates[name], "1/s", less_is_worse=True) for name in subjects]


def sustained(run: Callable[[int], None], *, threads: int = THREADS, window_s: float = WINDOW_S) -> float:
    """Return how many calls a second several threads complete.

    Args:
        run: Called with a number that no other call has.
        threads: How many call it, each again as soon as it has returned.
        window_s: For how long new calls are begun, in seconds.

    Raises:
        Exception: What a call raised.
    """
    numbers = itertools.count()
    begun = time.perf_counter()

    def work() -> int:
        done = 0
        while time.perf_counter() - begun < window_s:
            run(next(numbers))
            done += 1
        return done

    with ThreadPoolExecutor(threads) as pool:
        counts = [each.result() for each in [pool.submit(work) for _ in range(threads)]]
    return sum(counts) / (time.perf_counter() - begun)


def memory() -> list[Row]:
    """Measure the private memory of sandboxes that wait to be used, in MiB, by what they wait for."""
    uses: dict[str, Callable[[Direct, int], None]] = {
        "plan": lambda direct, number: require_equal(direct.plan(f"(+ {number} 2)"), number + 2),
        "file operation": lambda direct, _: require_equal(direct.operation("file_exists", {"path": "/no"}), False),
        "program": lambda direct, _: require_equal(direct.program("/bin/true").exit_status, 0),
        "Python script": lambda direct, _: require_equal(direct.python("print(6*7)"), 42),
    }
    rows = []
    for job, use in uses.items():
        with Direct() as direct:
            sustained(partial(use, direct), threads=FILLING_THREADS, window_s=FILLING_S)
            waiting = settled_sandboxes(direct.provider.launcher_pids)
            held = [_private_mib(pid) for pid in waiting]
        rows.append(value_row(MEMORY, f"cloister: a sandbox that waits for a {job}", held, "MiB"))
    return rows


def settled_sandboxes(launchers: tuple[int, ...]) -> list[int]:
    """Wait until launchers neither start nor end sandboxes; return the processes of the waiting ones.

    Raises:
        WrongAnswer: They do not come to rest.
    """
    deadline = time.monotonic() + SETTLE_TIMEOUT_S
    seen, since = list[int](), time.monotonic()
    while time.monotonic() < deadline:
        now = [first for launcher in launchers for first in firsts_below(launcher)]
        if now != seen:
            seen, since = now, time.monotonic()
        elif time.monotonic() - since >= SETTLED_S:
            return seen
        time.sleep(0.02)
    raise WrongAnswer(f"launchers do not come to rest within {SETTLE_TIMEOUT_S:.0f} s")


def _echo(program: peers.Run, number: int) -> None:
    answer = program([ECHO, str(number)])
    if answer != b"%d\n" % number:
        raise LeftOut(f"it answered {answer!r} to {number}")


def _private_mib(pid: int) -> float:
    return sum(private_bytes(each) for each in (pid, *descendants_of(pid))) / MIB


@contextlib.contextmanager
def _on_cores(count: int) -> Iterator[None]:
    """Keep this thread, and all that it starts, on so many of the cores it may use."""
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(allowed)[:count])
    try:
        yield
    finally:
        os.sched_setaffinity(0, allowed)
