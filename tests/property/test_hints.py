"""Whatever a plan hints at: no attempt that the contract forbids, none after the run, and facts for the record."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from cloister.authority.contract import Determinism, Idempotency, Impact
from cloister.canonical import encode
from cloister.capabilities.contracts import READS, REPLACES
from cloister.clock import ManualClock
from cloister.errors import CapabilityDenied, CloisterError, GuestCrashed, GuestError, LimitExceeded
from cloister.plan.hints.attempt import Deadline
from cloister.plan.hints.calls import HintedCall, HintedCalls
from cloister.plan.hints.hints import (
    NO_HINTS,
    RETRIES_COUNT_MAX,
    Cache,
    CircuitBreaker,
    Fallback,
    Hints,
    RateLimit,
    Retry,
    Timeout,
)

RUN_MS = 2_000
WALL_MS = 500
OUTCOMES = ["value", "fails", "crashes", "denied", "limit"]


def maybe(strategy: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | strategy


WAITS = st.integers(0, 400)
HINTS = st.just(NO_HINTS) | st.builds(
    Hints,
    metrics=st.booleans(),
    cache=maybe(st.builds(Cache, ttl_ms=st.integers(1, 100))),
    circuit_breaker=maybe(st.builds(CircuitBreaker, failures_count=st.integers(1, 3), cooldown_ms=st.integers(1, 300))),
    rate_limit=maybe(st.builds(RateLimit, calls_count=st.integers(1, 3), per_ms=st.integers(1, 300))),
    retry=maybe(
        st.builds(
            Retry,
            retries_count=st.integers(0, RETRIES_COUNT_MAX),
            backoff_ms=WAITS,
            multiplier=st.floats(1, 10, allow_nan=False),
        )
    ),
    timeout=maybe(st.builds(Timeout, absolute_ms=maybe(st.integers(1, 1_000)), multiplier=maybe(st.floats(0.001, 10)))),
    fallback=maybe(st.builds(Fallback, capability_id=st.sampled_from(["t.call", "t.other"]), arguments=st.none())),
)
CONTRACTS = st.builds(
    lambda base, idempotency, determinism: replace(base, idempotency=idempotency, determinism=determinism),
    st.sampled_from([READS, REPLACES]),
    st.sampled_from(Idempotency),
    st.sampled_from(Determinism),
)
STEPS = st.lists(st.tuples(HINTS, st.lists(st.sampled_from(OUTCOMES), max_size=8), st.integers(0, 50)), max_size=6)


class RunOver(LimitExceeded):
    """The time of the run is over."""


@dataclass
class World:
    """A run that notes every attempt."""

    outcomes: list[str] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    attempts: list[int] = field(default_factory=list)
    others_count: int = 0
    is_refused: bool = False

    def time_left_ms(self) -> int:
        left = RUN_MS - self.clock.monotonic_ns() // 1_000_000
        if left < 1:
            raise RunOver("over", limit="wall_ms", allowed=RUN_MS, unit="ms")
        return left

    def attempt(self, deadline: Deadline | None) -> Any:
        assert not self.is_refused, "it went on after what no hint may act on"
        assert deadline is None or 1 <= deadline.timeout_ms <= WALL_MS
        self.time_left_ms()
        self.attempts.append(self.clock.monotonic_ns())
        outcome = self.outcomes.pop(0) if self.outcomes else "value"
        self.is_refused = outcome in {"denied", "limit"}
        if outcome == "value":
            return len(self.attempts)
        raise {
            "fails": GuestError("no", kind="IoError", code="guest.io"),
            "crashes": GuestCrashed("no"),
            "denied": CapabilityDenied("no"),
            "limit": LimitExceeded("no", limit="cpu_ms", allowed=1, unit="ms"),
        }[outcome]

    def other(self, capability_id: str, _: Any) -> Any:
        assert not self.is_refused, "it fell back after what no hint may act on"
        assert capability_id == "t.other"
        self.others_count += 1
        return "other"


@given(contract=CONTRACTS, steps=STEPS)
def test_hints_stay_within_contract_and_run(contract: Any, steps: list[tuple[Hints, list[str], int]]) -> None:
    world = World()
    calls = HintedCalls(clock=world.clock, wall_ms=WALL_MS, time_left_ms=world.time_left_ms)
    for hints, outcomes, pause_ms in steps:
        world.clock.advance_ms(pause_ms)
        world.outcomes, world.attempts, world.others_count, world.is_refused = list(outcomes), [], 0, False
        facts: list[Any] = []
        call = HintedCall(
            capability_id="t.call",
            names={"t.call"},
            contract=contract,
            arguments_sha256="a",
            hints=hints,
            may_spend=lambda: True,
        )
        value: Any = None
        try:
            value = calls.perform(call, world.attempt, world.other, facts.append)
        except CloisterError:
            value = "failed"
        retries = hints.retry.retries_count if hints.retry and contract.may_be_repeated else 0
        assert len(world.attempts) <= 1 + retries
        assert world.others_count <= (hints.fallback is not None)
        assert len(facts) == (hints is not NO_HINTS)
        for each in facts:
            encode(each)
        if not world.attempts and value not in {"failed", "other"}:
            assert hints.cache is not None
            assert contract.may_be_cached
            assert contract.impact is not Impact.CHANGES
        assert world.clock.monotonic_ns() <= (RUN_MS + 50 * len(steps)) * 1_000_000
