"""Hints as plans write them: what each takes, its bounds, and that nothing out of bounds is cut to fit."""

from __future__ import annotations

from typing import Any

import pytest

from cloister.authority.pattern import CapabilityPattern
from cloister.errors import GuestError
from cloister.lang.transport import from_python
from cloister.lang.values import Keyword
from cloister.plan.hints.hints import (
    NO_HINTS,
    PREFIX,
    Cache,
    CircuitBreaker,
    Fallback,
    Hints,
    RateLimit,
    Retry,
    Timeout,
    parse_hints,
)

K = Keyword


def table(**entries: Any) -> Any:
    return from_python({K(name.replace("_", "-")): value for name, value in entries.items()})


def parsed(name: str, value: Any) -> Hints:
    return parse_hints({PREFIX + name: value})


@pytest.mark.parametrize(
    ("name", "value", "hints"),
    [
        ("retry", table(max_retries=3, backoff_ms=10, backoff_multiplier=2.0),
         Hints(retry=Retry(retries_count=3, backoff_ms=10, multiplier=2.0))),
        ("retry", table(max_retries=1), Hints(retry=Retry(retries_count=1, backoff_ms=100, multiplier=2.0))),
        ("retry", table(max_retries=0, backoff_ms=0, backoff_multiplier=1),
         Hints(retry=Retry(retries_count=0, backoff_ms=0, multiplier=1.0))),
        ("timeout", table(absolute_ms=300_000), Hints(timeout=Timeout(absolute_ms=300_000, multiplier=None))),
        ("timeout", table(multiplier=10), Hints(timeout=Timeout(absolute_ms=None, multiplier=10.0))),
        ("fallback", table(capability=K("ccos.echo")),
         Hints(fallback=Fallback(capability_id="ccos.echo", arguments=None))),
        ("fallback", table(capability="ccos.echo", args=[1]),
         Hints(fallback=Fallback(capability_id="ccos.echo", arguments=(1,)))),
        ("rate-limit", table(max_calls=2, per_ms=50), Hints(rate_limit=RateLimit(calls_count=2, per_ms=50))),
        ("circuit-breaker", table(max_failures=2, cooldown_ms=50),
         Hints(circuit_breaker=CircuitBreaker(failures_count=2, cooldown_ms=50))),
        ("cache", table(ttl_ms=50), Hints(cache=Cache(ttl_ms=50))),
        ("cache", from_python({"ttl-ms": 50}), Hints(cache=Cache(ttl_ms=50))),
        ("metrics", True, Hints(metrics=True)),
        ("metrics", table(), Hints(metrics=True)),
    ],
)  # fmt: skip
def test_each_hint_is_read(name: str, value: Any, hints: Hints) -> None:
    assert parsed(name, value) == hints


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("retry", table(max_retries=6), "has :max-retries 6"),
        ("retry", table(max_retries=-1), "has :max-retries -1"),
        ("retry", table(max_retries=True), "has :max-retries boolean"),
        ("retry", table(max_retries=1.0), "has :max-retries 1.0"),
        ("retry", table(backoff_ms=1), "has no :max-retries"),
        ("retry", table(max_retries=1, backoff_ms=300_001), "has :backoff-ms 300001"),
        ("retry", table(max_retries=1, backoff_multiplier=10.5), "has :backoff-multiplier 10.5"),
        ("retry", table(max_retries=1, backoff_multiplier=0.5), "has :backoff-multiplier 0.5"),
        ("retry", table(max_retries=1, backoff_multiplier=float("nan")), "has :backoff-multiplier nan"),
        ("retry", table(max_retry=1, max_retries=1), 'unknown key "max-retry"'),
        ("retry", 3, "is integer, not a map"),
        ("timeout", table(absolute_ms=300_001), "has :absolute-ms 300001"),
        ("timeout", table(absolute_ms=0), "has :absolute-ms 0"),
        ("timeout", table(multiplier=11), "has :multiplier 11"),
        ("timeout", table(), "names no time"),
        ("fallback", table(), "names no :capability"),
        ("fallback", table(capability=1), "names no :capability"),
        ("fallback", table(capability="a", args=1), "has :args 1"),
        ("rate-limit", table(max_calls=1), "has no :per-ms"),
        ("rate-limit", table(max_calls=1_001, per_ms=1), "has :max-calls 1001"),
        ("circuit-breaker", table(max_failures=0, cooldown_ms=1), "has :max-failures 0"),
        ("cache", table(), "has no :ttl-ms"),
        ("cache", from_python({"ttl-ms": 1, K("ttl-ms"): 1}), "has the key"),
        ("cache", from_python({1: 1}), "has the key 1"),
        ("metrics", table(window=1), 'unknown key "window"'),
        ("metrics", False, "is boolean, not a map"),
    ],
)
def test_what_is_misspelt_or_out_of_bounds_is_refused(name: str, value: Any, words: str) -> None:
    with pytest.raises(GuestError) as caught:
        parsed(name, value)
    assert (caught.value.code, caught.value.kind) == ("guest.hint", "InvalidArgument")
    assert f"the hint {PREFIX}{name}" in caught.value.message
    assert words in caught.value.message
    assert caught.value.hint


def test_unknown_hints_have_no_effect() -> None:
    hints = {"runtime.learning.validation": 5, "runtime.other": 1, "retry": 2, "runtime.retry": 3}
    assert parse_hints(hints) is NO_HINTS
    assert parse_hints({}) is NO_HINTS


def test_several_hints_are_read_together() -> None:
    both = parse_hints({PREFIX + "cache": table(ttl_ms=1), PREFIX + "metrics": True, "runtime.other": 1})
    assert both == Hints(cache=Cache(ttl_ms=1), metrics=True)


def test_a_fallback_is_one_of_the_patterns() -> None:
    hints = {PREFIX + "fallback": table(capability="ccos.echo")}
    assert parse_hints(hints, fallback_patterns=(CapabilityPattern("ccos.*"),)).fallback is not None
    for patterns in ((CapabilityPattern("acme.*"),), ()):
        with pytest.raises(GuestError, match=r"ccos\.echo, which no pattern") as caught:
            parse_hints(hints, fallback_patterns=patterns)
        assert caught.value.code == "guest.hint"


def test_no_pattern_takes_a_workload_as_a_fallback() -> None:
    with pytest.raises(GuestError):
        parsed("fallback", table(capability="cloister.exec"))


@pytest.mark.parametrize(
    ("timeout", "bound_ms"),
    [
        (Timeout(absolute_ms=50, multiplier=None), 50),
        (Timeout(absolute_ms=5_000, multiplier=None), 1_000),
        (Timeout(absolute_ms=None, multiplier=0.25), 250),
        (Timeout(absolute_ms=None, multiplier=10.0), 1_000),
        (Timeout(absolute_ms=300, multiplier=0.25), 250),
        (Timeout(absolute_ms=None, multiplier=0.0001), 1),
    ],
)
def test_a_timeout_only_shortens(timeout: Timeout, bound_ms: int) -> None:
    assert timeout.bound_ms(1_000) == bound_ms


def test_waits_grow_up_to_a_bound() -> None:
    retry = Retry(retries_count=5, backoff_ms=10, multiplier=2.0)
    assert [retry.wait_ms(number) for number in (1, 2, 3)] == [10, 20, 40]
    assert Retry(retries_count=5, backoff_ms=300_000, multiplier=10.0).wait_ms(5) == 300_000
