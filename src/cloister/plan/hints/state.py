"""What hints remember from call to call of one run.

Owns the cache of results, the circuit breakers and the windows of rate limits. All of it is memory of one run, bounded
whatever a plan does, and gone with the run: nothing here crosses from one run to another.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import Final

from cloister.isolation.provider import WireValue
from cloister.plan.hints.hints import CALLS_COUNT_MAX

ENTRIES_COUNT_MAX: Final = 256
CACHE_BYTES_MAX: Final = 16 * 1024 * 1024
CAPABILITIES_COUNT_MAX: Final = 1_000
"""For how many capabilities breakers and windows are kept; the one used longest ago goes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CachedResult:
    """A result that may be given again.

    Attributes:
        value: As wire data.
        size_bytes: Of the value, written as JSON.
        stored_ns: When, by the monotonic clock.
        is_read: Whether it says something about the world, which a change may have made untrue.
    """

    value: WireValue
    size_bytes: int
    stored_ns: int
    is_read: bool


class ResultCache:
    """Results by capability and digest of the arguments; the one used longest ago goes first."""

    def __init__(self) -> None:
        self._entries: OrderedDict[tuple[str, str], CachedResult] = OrderedDict()
        self._held_bytes = 0

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"ResultCache({len(self._entries)} results, {self._held_bytes} bytes)"

    def get(self, key: tuple[str, str]) -> CachedResult | None:
        """Return what is kept under a key, or None."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: tuple[str, str], result: CachedResult) -> bool:
        """Keep a result; return whether it was kept, which one that is too large is not."""
        if result.size_bytes > CACHE_BYTES_MAX:
            return False
        self._remove(key)
        self._entries[key] = result
        self._held_bytes += result.size_bytes
        while len(self._entries) > ENTRIES_COUNT_MAX or self._held_bytes > CACHE_BYTES_MAX:
            self._remove(next(iter(self._entries)))
        return True

    def forget_reads(self) -> None:
        """Forget every result that says something about the world."""
        for key in [key for key, result in self._entries.items() if result.is_read]:
            self._remove(key)

    def _remove(self, key: tuple[str, str]) -> None:
        removed = self._entries.pop(key, None)
        if removed is not None:
            self._held_bytes -= removed.size_bytes


@dataclass(slots=True)
class Breaker:
    """The circuit breaker of one capability.

    Attributes:
        failures_count: Failures in a row.
        opened_ns: When it was opened; None while it is closed.
    """

    failures_count: int = 0
    opened_ns: int | None = None


@dataclass(slots=True)
class HintState:
    """Everything that hints of one run remember.

    Attributes:
        cache: Results.
        breakers: Circuit breakers by capability.
        windows: When the latest attempts began, in nanoseconds of the monotonic clock, by capability.
    """

    cache: ResultCache = field(default_factory=ResultCache)
    breakers: OrderedDict[str, Breaker] = field(default_factory=OrderedDict)
    windows: OrderedDict[str, deque[int]] = field(default_factory=OrderedDict)

    def breaker(self, capability_id: str) -> Breaker:
        """Return the breaker of a capability; a closed one when there was none."""
        found = self.breakers.setdefault(capability_id, Breaker())
        self.breakers.move_to_end(capability_id)
        if len(self.breakers) > CAPABILITIES_COUNT_MAX:
            self.breakers.popitem(last=False)
        return found

    def window(self, capability_id: str) -> deque[int]:
        """Return when the latest attempts of a capability began."""
        found = self.windows.setdefault(capability_id, deque(maxlen=CALLS_COUNT_MAX))
        self.windows.move_to_end(capability_id)
        if len(self.windows) > CAPABILITIES_COUNT_MAX:
            self.windows.popitem(last=False)
        return found
