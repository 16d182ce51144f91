"""How things are timed here.

Owns the one way: subjects take turns, round by round, so that a machine that slows down slows all of them; the first
rounds are not counted; median and 95th percentile are reported, in milliseconds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

WARM_UP_ROUNDS = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What one subject took.

    Attributes:
        median_ms: Middle of the counted rounds.
        p95_ms: 95th percentile of them.
        rounds: How many were counted.
    """

    median_ms: float
    p95_ms: float
    rounds: int


def interleaved(subjects: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """Time subjects in turn.

    Args:
        subjects: What to call, by name.
        rounds: Counted rounds; each calls every subject once.
    """
    taken_ms: dict[str, list[float]] = {name: [] for name in subjects}
    for round_number in range(WARM_UP_ROUNDS + rounds):
        for name, subject in subjects.items():
            begun = time.perf_counter()
            subject()
            elapsed_ms = (time.perf_counter() - begun) * 1000
            if round_number >= WARM_UP_ROUNDS:
                taken_ms[name].append(elapsed_ms)
    return {name: _timing(values) for name, values in taken_ms.items()}


def _timing(values: list[float]) -> Timing:
    return Timing(
        median_ms=statistics.median(values),
        p95_ms=statistics.quantiles(values, n=20)[-1],
        rounds=len(values),
    )
