"""What a plan may hint at, and reading it.

Owns the shape and the bounds of each hint. Hints come from plans and are hostile: what is misspelt or out of bounds is
refused, and never cut to what would be allowed, so that a plan does what it says or nothing. Hints that Cloister does
not know are left alone: they are in the record of the call and have no effect.

Source: CCOS system reference, section 6.5, for the names and the limits.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final

from cloister.authority.pattern import CapabilityPattern
from cloister.errors import GuestError, quoted
from cloister.lang.values import Keyword, Map, Value, type_name

PREFIX: Final = "runtime.learning."
RETRIES_COUNT_MAX: Final = 5
WAIT_MS_MAX: Final = 300_000
"""Longest time that any hint names."""
MULTIPLIER_MAX: Final = 10
CALLS_COUNT_MAX: Final = 1_000
FAILURES_COUNT_MAX: Final = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Retry:
    """Make a failed call again.

    Attributes:
        retries_count: How often at most, after the first attempt.
        backoff_ms: How long to wait before the first retry.
        multiplier: By how much each wait is longer than the one before.
    """

    retries_count: int
    backoff_ms: int
    multiplier: float

    def wait_ms(self, retry: int) -> int:
        """Return how long to wait before a retry; the first is 1."""
        return min(WAIT_MS_MAX, int(self.backoff_ms * self.multiplier ** (retry - 1)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeout:
    """End an attempt that takes too long.

    Attributes:
        absolute_ms: After this time; None when it is not named.
        multiplier: After the run's own limit of one execution, times this; None when it is not named.
    """

    absolute_ms: int | None
    multiplier: float | None

    def bound_ms(self, wall_ms: int) -> int:
        """Return the time of one attempt, at most the run's own limit and at least 1.

        Args:
            wall_ms: The limit that the context sets.
        """
        bounds = [wall_ms]
        if self.absolute_ms is not None:
            bounds.append(self.absolute_ms)
        if self.multiplier is not None:
            bounds.append(int(wall_ms * self.multiplier))
        return max(1, min(bounds))


@dataclass(frozen=True, slots=True, kw_only=True)
class Fallback:
    """Call something else when the call has failed for good.

    Attributes:
        capability_id: What to call; it needs its own grant.
        arguments: With which arguments; None for those of the call.
    """

    capability_id: str
    arguments: tuple[Value, ...] | None


@dataclass(frozen=True, slots=True, kw_only=True)
class RateLimit:
    """Wait until no more than so many attempts of a capability have begun within a time."""

    calls_count: int
    per_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CircuitBreaker:
    """Fail at once after so many failures of a capability in a row, until a time has passed."""

    failures_count: int
    cooldown_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Cache:
    """Give the result of the same call of this run again, while it is no older than this."""

    ttl_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Hints:
    """The hints in force for a call; None for each that is not given."""

    metrics: bool = False
    cache: Cache | None = None
    circuit_breaker: CircuitBreaker | None = None
    rate_limit: RateLimit | None = None
    retry: Retry | None = None
    timeout: Timeout | None = None
    fallback: Fallback | None = None


NO_HINTS: Final = Hints()
ANY_CAPABILITY: Final = (CapabilityPattern("*"),)


def parse_hints(
    hints: Mapping[str, Value], *, fallback_patterns: tuple[CapabilityPattern, ...] = ANY_CAPABILITY
) -> Hints:
    """Read the hints in force for a call.

    Args:
        hints: Values by name, as the plan wrote them: `runtime.learning.retry` and so on.
        fallback_patterns: What may be named as a fallback at all. Whatever is named still needs its grant.

    Raises:
        GuestError: `guest.hint`, kind `InvalidArgument`: a hint has another shape, or is out of bounds.
    """
    found: dict[str, Any] = {}
    for name, value in hints.items():
        read = _READERS.get(name.removeprefix(PREFIX)) if name.startswith(PREFIX) else None
        if read is not None:
            field, parse = read
            found[field] = parse(_Table(name, value))
    if not found:
        return NO_HINTS
    parsed = Hints(**found)
    if parsed.fallback is not None:
        _check_fallback(parsed.fallback.capability_id, fallback_patterns)
    return parsed


class _Table:
    """One hint while it is read.

    Args:
        name: Its whole name.
        value: What the plan wrote.
    """

    def __init__(self, name: str, value: Value) -> None:
        self.name = name
        if value is True:
            value = Map()
        if not isinstance(value, Map):
            raise self.wrong(f"is {type_name(value)}, not a map", "write for example {:max-retries 3}")
        self._left: dict[str, Value] = {}
        for key, item in value.items():
            word = key.name if isinstance(key, Keyword) else key
            if not isinstance(word, str) or word in self._left:
                raise self.wrong(f"has the key {quoted(repr(key))}", "use each keyword once")
            self._left[word] = item

    def integer(self, key: str, low: int, high: int, default: int | None) -> int | None:
        """Take a whole number within bounds."""
        value = self._left.pop(key, default)
        if value is None or (type(value) is int and low <= value <= high):
            return value
        raise self.wrong(f"has :{key} {_shown(value)}", f"it is a whole number from {low} to {high}")

    def number(self, key: str, low: float, high: float, default: float | None) -> float | None:
        """Take a number within bounds."""
        value = self._left.pop(key, default)
        if value is None:
            return None
        if type(value) in {int, float} and math.isfinite(value) and low <= value <= high:
            return float(value)
        raise self.wrong(f"has :{key} {_shown(value)}", f"it is a number from {low:g} to {high:g}")

    def needed(self, key: str, low: int, high: int) -> int:
        """Take a whole number that must be there."""
        value = self.integer(key, low, high, None)
        if value is None:
            raise self.wrong(f"has no :{key}", f"it is a whole number from {low} to {high}")
        return value

    def value(self, key: str) -> Value:
        """Take whatever is there; None when nothing is."""
        return self._left.pop(key, None)

    def end(self) -> None:
        """Refuse what nobody took."""
        for key in self._left:
            raise self.wrong(f'has an unknown key "{quoted(key)}"', "docs/governance.md lists what each hint takes")

    def wrong(self, what: str, hint: str) -> GuestError:
        """Return the error for a hint that cannot be used."""
        return GuestError(f"the hint {quoted(self.name)} {what}", kind="InvalidArgument", code="guest.hint", hint=hint)


def _retry(table: _Table) -> Retry:
    retries = table.needed("max-retries", 0, RETRIES_COUNT_MAX)
    backoff = table.integer("backoff-ms", 0, WAIT_MS_MAX, 100)
    multiplier = table.number("backoff-multiplier", 1, MULTIPLIER_MAX, 2.0)
    table.end()
    return Retry(retries_count=retries, backoff_ms=backoff or 0, multiplier=multiplier or 1.0)


def _timeout(table: _Table) -> Timeout:
    absolute = table.integer("absolute-ms", 1, WAIT_MS_MAX, None)
    multiplier = table.number("multiplier", 0.001, MULTIPLIER_MAX, None)
    table.end()
    if absolute is None and multiplier is None:
        raise table.wrong("names no time", "write {:absolute-ms 1000} or {:multiplier 0.5}")
    return Timeout(absolute_ms=absolute, multiplier=multiplier)


def _fallback(table: _Table) -> Fallback:
    named, arguments = table.value("capability"), table.value("args")
    table.end()
    capability_id = named.name if isinstance(named, Keyword) else named
    if not isinstance(capability_id, str):
        raise table.wrong("names no :capability", "write {:capability :ccos.echo :args [1]}")
    if arguments is not None and not isinstance(arguments, tuple):
        raise table.wrong(f"has :args {_shown(arguments)}", "write a vector of the arguments")
    return Fallback(capability_id=capability_id, arguments=arguments)


def _rate_limit(table: _Table) -> RateLimit:
    calls, per = table.needed("max-calls", 1, CALLS_COUNT_MAX), table.needed("per-ms", 1, WAIT_MS_MAX)
    table.end()
    return RateLimit(calls_count=calls, per_ms=per)


def _circuit_breaker(table: _Table) -> CircuitBreaker:
    failures = table.needed("max-failures", 1, FAILURES_COUNT_MAX)
    cooldown = table.needed("cooldown-ms", 1, WAIT_MS_MAX)
    table.end()
    return CircuitBreaker(failures_count=failures, cooldown_ms=cooldown)


def _cache(table: _Table) -> Cache:
    ttl = table.needed("ttl-ms", 1, WAIT_MS_MAX)
    table.end()
    return Cache(ttl_ms=ttl)


def _metrics(table: _Table) -> bool:
    table.end()
    return True


_READERS: Final[Mapping[str, tuple[str, Any]]] = MappingProxyType(
    {
        "metrics": ("metrics", _metrics),
        "cache": ("cache", _cache),
        "circuit-breaker": ("circuit_breaker", _circuit_breaker),
        "rate-limit": ("rate_limit", _rate_limit),
        "retry": ("retry", _retry),
        "timeout": ("timeout", _timeout),
        "fallback": ("fallback", _fallback),
    }
)
"""What is read of each hint, by its name without the prefix."""


def _check_fallback(capability_id: str, patterns: tuple[CapabilityPattern, ...]) -> None:
    if not any(pattern.matches(capability_id) for pattern in patterns):
        raise GuestError(
            f"the hint {PREFIX}fallback names {quoted(capability_id)}, which no pattern for fallbacks describes",
            kind="InvalidArgument",
            code="guest.hint",
            hint=f"the patterns are {', '.join(pattern.text for pattern in patterns) or 'none'}",
        )


def _shown(value: Value) -> str:
    return str(value) if type(value) in {int, float} else type_name(value)
