"""How things are timed here.

Owns the one way: subjects take turns, round by round, so that a machine that slows down slows all of them; the first
rounds are not counted; least, median and 95th percentile are reported, in milliseconds. A subject that cannot be
measured is left out with its reason on standard error; no figure is invented for it.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

WARM_UP_ROUNDS = 3

Job = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Staged:
    """A subject of which a part does not belong to what is measured.

    Attributes:
        stage: Called before the rest of a round; returns the job that is timed.
    """

    stage: Callable[[], Job]


Subject = Job | Staged


class LeftOut(Exception):
    """A subject cannot be measured here; the message says why."""


class WrongAnswer(Exception):
    """What was measured did not do its job."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one subject took.

    Attributes:
        least_ms: The best of the counted rounds.
        median_ms: Middle of them.
        p95_ms: 95th percentile of them; the largest when there are fewer than 20.
        rounds: How many were counted.
    """

    least_ms: float
    median_ms: float
    p95_ms: float
    rounds: int


def interleaved(
    subjects: Mapping[str, Subject], *, rounds: int, warm_up_rounds: int = WARM_UP_ROUNDS, rest_s: float = 0
) -> dict[str, Timing]:
    """Time subjects in turn. One that raises `LeftOut` is dropped; any other error ends the measurement.

    Args:
        subjects: What to call, by name.
        rounds: Counted rounds; each calls every subject once.
        warm_up_rounds: Rounds before them that are not counted.
        rest_s: Seconds of rest before each call, so that what a subject does after its answer, such as cleaning up or
            preparing the next one, is not part of what the next subject takes.
    """
    remaining = dict(subjects)
    taken_ms: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(warm_up_rounds + rounds):
        for name, subject in tuple(remaining.items()):
            job = subject.stage() if isinstance(subject, Staged) else subject
            if rest_s:  # a sleep of no length is one of some 50 µs, after which a processor is slower
                time.sleep(rest_s)
            try:
                elapsed_ms = _time_ms(job)
            except LeftOut as reason:
                leave_out(name, reason)
                del remaining[name]
                continue
            if round_number >= warm_up_rounds:
                taken_ms[name].append(elapsed_ms)
    return {name: _timing(taken_ms[name]) for name in remaining}


def leave_out(name: str, reason: object) -> None:
    """Say that a subject has no row, and why."""
    sys.stderr.write(f"left out: {name}: {reason}\n")


def require_equal(got: object, expected: object) -> None:
    """Accept an answer.

    Raises:
        WrongAnswer: It is not the expected one.
    """
    if got != expected:
        raise WrongAnswer(f"expected {expected!r}, got {got!r}")


def percentile_95(values: list[float]) -> float:
    """Return the 95th percentile; the largest when there are fewer than 20 values."""
    return statistics.quantiles(values, n=20)[-1] if len(values) >= 20 else max(values)


def _time_ms(job: Job) -> float:
    begun = time.perf_counter()
    job()
    return (time.perf_counter() - begun) * 1000


def _timing(values: list[float]) -> Timing:
    return Timing(
        least_ms=min(values),
        median_ms=statistics.median(values),
        p95_ms=percentile_95(values),
        rounds=len(values),
    )
