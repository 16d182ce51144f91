"""The lines of the table.

Owns the record of one measured subject, and how the timings of a group become records.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import nan
from statistics import median

from benchmarks.timing import Timing, percentile_95


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table.

    Attributes:
        group: What the subject is compared within.
        subject: What was measured.
        median: Middle of the counted rounds.
        p95: The bad end of them: the 95th percentile; the worst when there are fewer than 20.
        rounds: How many were counted.
        unit: Of the figures.
        least: The smallest counted value; None when it was not kept.
    """

    group: str
    subject: str
    median: float
    p95: float
    rounds: int
    unit: str = "ms"
    least: float | None = None


def timed_rows(group: str, timings: Mapping[str, Timing], divide_by: int = 1) -> list[Row]:
    """Return the rows of timings; each round may stand for `divide_by` acts."""
    return [
        Row(
            group=group,
            subject=name,
            median=timing.median_ms / divide_by,
            p95=timing.p95_ms / divide_by,
            rounds=timing.rounds,
            least=timing.least_ms / divide_by,
        )
        for name, timing in timings.items()
    ]


def value_row(group: str, subject: str, values: list[float], unit: str, *, less_is_worse: bool = False) -> Row:
    """Return the row of measured values, of which the largest are the bad ones unless said otherwise."""
    bad_end = min(values) if less_is_worse else percentile_95(values)
    return Row(
        group=group,
        subject=subject,
        median=median(values),
        p95=bad_end,
        rounds=len(values),
        unit=unit,
        least=min(values),
    )


def median_of(rows: Sequence[Row], subject: str) -> float:
    """Return a median; not a number when the subject was left out."""
    return next((row.median for row in rows if row.subject == subject), nan)


def p95_of(rows: Sequence[Row], subject: str) -> float:
    """Return a 95th percentile; not a number when the subject was left out."""
    return next((row.p95 for row in rows if row.subject == subject), nan)
