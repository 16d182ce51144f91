"""A crowd of sandboxes that are all alive at the same moment.

Owns how that is brought about and proved: each waits, inside its job, until every other one has come as far. Every
result is checked.
"""

from __future__ import annotations

import contextlib
import itertools
import resource
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from benchmarks.direct import Direct
from benchmarks.rows import Row, value_row
from benchmarks.timing import require_equal
from cloister.isolation.provider import WireValue
from cloister.lang.host import OptionData
from cloister.limits import ResourceLimits

CROWD = "sandbox crowd"

CROWD_COUNT = 200
CROWD_ROUNDS = 5
CROWD_LIMITS = ResourceLimits(wall_ms=300_000, cpu_ms=60_000)
MEETING_TIMEOUT_S = 240.0
FLOOD_LINES = 40_000
"""More than a pipe holds, so that whoever writes it waits for whoever reads it: pipe(7), 64 KiB."""


def crowd() -> list[Row]:
    """Time a crowd, in milliseconds from the first request to the last result."""
    taken_ms = []
    with Direct() as direct:
        for _ in range(CROWD_ROUNDS):
            begun = time.perf_counter()
            gather(direct, CROWD_COUNT)
            taken_ms.append((time.perf_counter() - begun) * 1000)
    return [value_row(CROWD, f"cloister provider: {CROWD_COUNT} at once, plans and programs", taken_ms, "ms")]


def gather(direct: Direct, count: int) -> None:
    """Have sandboxes run, each of which waits until all of them are alive; check every result.

    Half of them are plans that wait in a call, half programs that wait for somebody to read what they write.

    Args:
        direct: Where they run.
        count: How many.

    Raises:
        WrongAnswer: A result is wrong.
        BrokenBarrierError: They never were all alive.
    """
    meeting = threading.Barrier(count, timeout=MEETING_TIMEOUT_S)
    acts = itertools.cycle((_plan_in_crowd, _program_in_crowd))

    def attend(act: Callable[[Direct, threading.Barrier, int], None], number: int) -> None:
        try:
            act(direct, meeting, number)
        except BaseException:
            meeting.abort()  # one that is missing must not keep the others
            raise

    with _many_descriptors(), ThreadPoolExecutor(count) as pool:
        attending = [pool.submit(attend, next(acts), number) for number in range(count)]
        failures = [each.exception() for each in attending]
    causes = [failure for failure in failures if failure is not None]
    if causes:
        raise next((cause for cause in causes if not isinstance(cause, threading.BrokenBarrierError)), causes[0])


class _Meeting:
    """Answers the one call of a plan when everybody is there; implements `isolation.provider.HostCalls`."""

    def __init__(self, barrier: threading.Barrier) -> None:
        self._barrier = barrier

    def call(self, capability_id: str, arguments: list[WireValue]) -> WireValue:
        """Wait for the others."""
        require_equal(capability_id, "bench.meet")
        self._barrier.wait()
        return arguments[0]

    def hints_changed(self, hints: dict[str, WireValue]) -> None:
        """Plans of this kind have none."""

    def step_started(self, name: str, options: dict[str, OptionData]) -> None:
        """Plans of this kind have none."""

    def step_ended(self, name: str, error_code: str | None) -> None:
        """Plans of this kind have none."""

    def undo_started(self, name: str, place: int) -> None:
        """Plans of this kind undo nothing."""

    def undo_ended(self, name: str, error_code: str | None) -> None:
        """Plans of this kind undo nothing."""


def _plan_in_crowd(direct: Direct, meeting: threading.Barrier, number: int) -> None:
    plan = f"(* 2 (call :bench.meet {number}))"
    require_equal(direct.plan(plan, host=_Meeting(meeting), limits=CROWD_LIMITS), 2 * number)


def _program_in_crowd(direct: Direct, meeting: threading.Barrier, number: int) -> None:
    last = number + FLOOD_LINES
    has_met = False

    def meet(_stream: str, _piece: bytes) -> None:
        nonlocal has_met
        if not has_met:
            has_met = True
            meeting.wait()

    result = direct.program("/usr/bin/seq", str(number), str(last), limits=CROWD_LIMITS, on_output=meet)
    require_equal(result.stdout, b"".join(b"%d\n" % each for each in range(number, last + 1)))


@contextlib.contextmanager
def _many_descriptors() -> Iterator[None]:
    """Open as many files as this user may: the usual bound of 1,024 is that of one conversation after the other."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
