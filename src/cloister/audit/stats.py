"""What the records say about each capability: how often it was called, how that ended, how long it took.

Owns the counting. Pure over records that were proven; figures come from them alone, and what was not recorded is None.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from statistics import median

from cloister.audit.event import Event, EventType, Record


@dataclass(frozen=True, slots=True, kw_only=True)
class CapabilityStats:
    """Calls of one capability.

    Attributes:
        capability_id: Which.
        calls_count: Intents.
        ok_count: That returned.
        failed_count: That were allowed and raised.
        denied_count: That were refused, or whose arguments did not fit.
        open_count: Without an outcome: still going on, or ended with the process.
        timed_count: Of how many the duration was recorded.
        duration_total_us: Of those together, in microseconds; None when there are none.
        duration_median_us: Middle of them; None when there are none.
        duration_max_us: Longest of them; None when there are none.
    """

    capability_id: str
    calls_count: int
    ok_count: int
    failed_count: int
    denied_count: int
    open_count: int
    timed_count: int
    duration_total_us: int | None
    duration_median_us: int | None
    duration_max_us: int | None

    def to_dict(self) -> dict[str, str | int | None]:
        """Return the figures as plain data."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(slots=True)
class _Tally:
    calls_count: int = 0
    ok_count: int = 0
    failed_count: int = 0
    denied_count: int = 0
    durations_us: list[int] = field(default_factory=list)


def capability_stats(records: Iterable[Record]) -> tuple[CapabilityStats, ...]:
    """Count the calls among records, by capability id.

    Args:
        records: In order; an outcome whose intent is not among them is not counted.

    Returns:
        One for each capability that was called, in the order of their ids.
    """
    tallies: dict[str, _Tally] = {}
    pending: dict[int, tuple[_Tally, bool]] = {}
    for record in records:
        event = record.event
        if event.event_type is EventType.CALL_INTENT and event.capability_id is not None:
            tally = tallies.setdefault(event.capability_id, _Tally())
            tally.calls_count += 1
            pending[event.sequence] = tally, event.body.get("decision") == "allow"
        elif event.event_type is EventType.CALL_OUTCOME and event.parent in pending:
            _end(event, *pending.pop(event.parent))
    return tuple(_stats(name, tallies[name]) for name in sorted(tallies))


def _end(event: Event, tally: _Tally, was_allowed: bool) -> None:
    if event.body.get("ok") is True:
        tally.ok_count += 1
    elif was_allowed:
        tally.failed_count += 1
    else:
        tally.denied_count += 1
    duration = recorded_duration_us(event)
    if duration is not None:
        tally.durations_us.append(duration)


def recorded_duration_us(event: Event) -> int | None:
    """Return how long a call took by its outcome: its own figure, or else what its sandboxes took; None if neither."""
    usage = event.body.get("usage")
    for value in (event.body.get("duration_us"), usage.get("wall_us") if isinstance(usage, Mapping) else None):
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    return None


def _stats(capability_id: str, tally: _Tally) -> CapabilityStats:
    ended_count = tally.ok_count + tally.failed_count + tally.denied_count
    durations = tally.durations_us
    return CapabilityStats(
        capability_id=capability_id,
        calls_count=tally.calls_count,
        ok_count=tally.ok_count,
        failed_count=tally.failed_count,
        denied_count=tally.denied_count,
        open_count=tally.calls_count - ended_count,
        timed_count=len(durations),
        duration_total_us=sum(durations) if durations else None,
        duration_median_us=int(median(durations)) if durations else None,
        duration_max_us=max(durations, default=None),
    )
