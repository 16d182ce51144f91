"""Time and randomness, as values that are handed over.

Owns the only reads of the wall clock, the monotonic clock and the system's randomness in the package, so that every
other module takes a `Clock` and tests can decide what time it is.
"""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from typing import Protocol


class Clock(Protocol):
    """Where time and randomness come from."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""

    def monotonic_ns(self) -> int:
        """Return nanoseconds since an arbitrary start; never goes back."""

    def random_bytes(self, count: int) -> bytes:
        """Return `count` unpredictable bytes."""

    def pause_ms(self, milliseconds: int) -> None:
        """Let that much time pass."""


class SystemClock:
    """The operating system's clocks and randomness."""

    def now(self) -> datetime:
        """Return the current time, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic_ns(self) -> int:
        """Return nanoseconds of the monotonic clock."""
        return time.monotonic_ns()

    def random_bytes(self, count: int) -> bytes:
        """Return `count` bytes from the kernel."""
        return os.urandom(count)

    def pause_ms(self, milliseconds: int) -> None:
        """Block the calling thread for that long."""
        time.sleep(milliseconds / 1000)


class ManualClock:
    """A clock that stands still until it is told to move; its randomness is a counter.

    Args:
        start: The first answer of `now`; 2026-01-01 UTC by default.
    """

    def __init__(self, start: datetime = datetime(2026, 1, 1, tzinfo=UTC)) -> None:
        self._now = start
        self._elapsed_ns = 0
        self._drawn_count = 0

    def now(self) -> datetime:
        """Return the time the clock was set to."""
        return self._now

    def monotonic_ns(self) -> int:
        """Return the nanoseconds it was advanced by so far."""
        return self._elapsed_ns

    def random_bytes(self, count: int) -> bytes:
        """Return the next counter value as `count` big-endian bytes."""
        self._drawn_count += 1
        return self._drawn_count.to_bytes(count, "big")

    def pause_ms(self, milliseconds: int) -> None:
        """Advance at once."""
        self.advance_ms(milliseconds)

    def advance_ms(self, milliseconds: int) -> None:
        """Move both clocks forward."""
        self._now += timedelta(milliseconds=milliseconds)
        self._elapsed_ns += milliseconds * 1_000_000


def timestamp(moment: datetime) -> str:
    """Return an aware time as RFC 3339 text in UTC with microseconds, for example `2026-01-01T00:00:00.000000Z`."""
    return moment.astimezone(UTC).isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"
