"""The clocks and the randomness of a guest: the real ones, or the same each time.

Owns both. The monotonic clock starts with the guest: how long the host has been up is nobody's business.
"""

from __future__ import annotations

import errno
import hashlib
import time
from datetime import UTC, datetime
from typing import Final, Protocol

from cloister.clock import Clock
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.wasi.abi import MONOTONIC, REALTIME, THREAD_TIME, refusal

FIRST_NS: Final = int(datetime(2000, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000_000
"""When every guest with a seed starts, in nanoseconds since 1970."""
READING_NS: Final = 1_000
"""How far its clocks go with each reading: a guest that waits for a time must see it come."""
PAUSE_MS: Final = 10
"""How long a guest that waits is left alone at most, before its deadline is looked at."""
BLOCK_BYTES: Final = 32
_DOMAIN: Final = b"cloister/wasm-random/v1\n"


class Times(Protocol):
    """What a guest asks for time and randomness."""

    def now_ns(self, clock_id: int) -> int:
        """Return a clock of WASI in nanoseconds.

        Raises:
            Refused: EINVAL: there is no such clock.
        """

    def resolution_ns(self, clock_id: int) -> int:
        """Return how fine a clock is. Raises as `now_ns`."""

    def random_bytes(self, count: int) -> bytes:
        """Return that many bytes."""

    def wait_ns(self, duration_ns: int) -> None:
        """Let time pass.

        Raises:
            LimitExceeded, Cancelled: As `Deadline.require`.
        """


class RealTimes:
    """The host's clocks and randomness; implements `Times`.

    Args:
        clock: The host's.
        deadline: What ends a guest that waits.
    """

    def __init__(self, clock: Clock, deadline: Deadline) -> None:
        self._clock = clock
        self._deadline = deadline
        self._start_ns = clock.monotonic_ns()

    def now_ns(self, clock_id: int) -> int:
        """Return a clock in nanoseconds; the clocks of processor time are the thread's."""
        _require_clock(clock_id)
        if clock_id == REALTIME:
            return int(self._clock.now().timestamp() * 1_000_000) * 1_000
        if clock_id == MONOTONIC:
            return self._clock.monotonic_ns() - self._start_ns
        return time.thread_time_ns()

    def resolution_ns(self, clock_id: int) -> int:
        """Return how fine a clock is."""
        _require_clock(clock_id)
        return 1_000 if clock_id == REALTIME else 1

    def random_bytes(self, count: int) -> bytes:
        """Return bytes from the kernel."""
        return self._clock.random_bytes(count)

    def wait_ns(self, duration_ns: int) -> None:
        """Let time pass, in pieces short enough for the deadline to be seen."""
        end_ns = self._clock.monotonic_ns() + duration_ns
        while True:
            self._deadline.require()
            left_ns = end_ns - self._clock.monotonic_ns()
            if left_ns <= 0:
                return
            self._clock.pause_ms(min(PAUSE_MS, max(1, left_ns // 1_000_000)))


class SeededTimes:
    """Clocks and randomness that depend on a number alone; implements `Times`. Waiting takes no time.

    Args:
        seed: The number.
        deadline: What ends a guest that does nothing but wait.
    """

    def __init__(self, seed: int, deadline: Deadline) -> None:
        self._seed = str(seed).encode("ascii")
        self._deadline = deadline
        self._passed_ns = 0
        self._blocks_count = 0
        self._left = b""

    def now_ns(self, clock_id: int) -> int:
        """Return a clock in nanoseconds, and move all of them on a little."""
        _require_clock(clock_id)
        self._passed_ns += READING_NS
        return self._passed_ns + (FIRST_NS if clock_id == REALTIME else 0)

    def resolution_ns(self, clock_id: int) -> int:
        """Return how far a reading moves the clocks."""
        _require_clock(clock_id)
        return READING_NS

    def random_bytes(self, count: int) -> bytes:
        """Return the next bytes that follow from the seed."""
        pieces, have = [self._left], len(self._left)
        while have < count:
            self._blocks_count += 1
            block = hashlib.sha256(_DOMAIN + self._seed + b"\n" + str(self._blocks_count).encode("ascii")).digest()
            pieces.append(block)
            have += BLOCK_BYTES
        found = b"".join(pieces)
        self._left = found[count:]
        return found[:count]

    def wait_ns(self, duration_ns: int) -> None:
        """Move the clocks on."""
        self._deadline.require()
        self._passed_ns += duration_ns


def _require_clock(clock_id: int) -> None:
    if clock_id > THREAD_TIME:
        raise refusal(errno.EINVAL)
