"""Hinted calls, against a clock that moves by hand: what each hint does, in which order, and what none may do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from cloister.authority.contract import Contract, Determinism, Idempotency
from cloister.capabilities.contracts import APPENDS, COMPUTES, READS, REPLACES, SHOWS, TELLS_TIME
from cloister.clock import ManualClock
from cloister.errors import (
    AppendFailed,
    Cancelled,
    CapabilityDenied,
    CloisterError,
    GuestCrashed,
    GuestError,
    InputError,
    InternalError,
    LimitExceeded,
    ProviderUnavailable,
)
from cloister.plan.hints.attempt import Deadline
from cloister.plan.hints.calls import HintedCall, HintedCalls
from cloister.plan.hints.hints import (
    NO_HINTS,
    Cache,
    CircuitBreaker,
    Fallback,
    Hints,
    RateLimit,
    Retry,
    Timeout,
)
from cloister.plan.hints.state import CACHE_BYTES_MAX, ENTRIES_COUNT_MAX, CachedResult, HintState, ResultCache

FAILURE = GuestError("it failed", kind="IoError", code="guest.io")
CRASH = GuestCrashed("it crashed")
TWICE = Retry(retries_count=2, backoff_ms=10, multiplier=2.0)


@dataclass
class Stage:
    """A run in miniature: its clock, what attempts give in turn, and what was told and asked."""

    outcomes: list[Any] = field(default_factory=list)
    clock: ManualClock = field(default_factory=ManualClock)
    run_ms: int = 10_000
    deadlines: list[int | None] = field(default_factory=list)
    began_ms: list[int] = field(default_factory=list)
    others: list[tuple[str, Any]] = field(default_factory=list)
    facts: list[dict[str, Any]] = field(default_factory=list)
    fallback_outcome: Any = "fallback"
    may_spend: bool = True

    def __post_init__(self) -> None:
        self.calls = HintedCalls(clock=self.clock, wall_ms=1_000, time_left_ms=self.time_left_ms)

    def time_left_ms(self) -> int:
        left = self.run_ms - self.now_ms
        if left < 1:
            raise LimitExceeded("the run is over", limit="wall_ms", allowed=self.run_ms, unit="ms")
        return left

    @property
    def now_ms(self) -> int:
        return self.clock.monotonic_ns() // 1_000_000

    def attempt(self, deadline: Deadline | None) -> Any:
        self.began_ms.append(self.now_ms)
        self.deadlines.append(deadline.timeout_ms if deadline else None)
        return given(self.outcomes.pop(0))

    def other(self, capability_id: str, arguments: tuple[Any, ...] | None) -> Any:
        self.others.append((capability_id, arguments))
        return given(self.fallback_outcome)

    def perform(
        self, contract: Contract = READS, arguments: str = "a", capability_id: str = "t.call", **hints: Any
    ) -> Any:
        call = HintedCall(
            capability_id=capability_id,
            names={capability_id, "t.alias"},
            contract=contract,
            arguments_sha256=arguments,
            hints=Hints(**hints) if hints else NO_HINTS,
            may_spend=lambda: self.may_spend,
        )
        return self.calls.perform(call, self.attempt, self.other, lambda facts: self.facts.append(dict(facts)))


def given(outcome: Any) -> Any:
    if isinstance(outcome, BaseException):
        raise outcome
    return outcome() if callable(outcome) else outcome


def fails(stage: Stage, error: type[BaseException] = CloisterError, **how: Any) -> Any:
    with pytest.raises(error) as caught:
        stage.perform(**how)
    return caught.value


def test_a_call_without_hints_is_made_once_and_nothing_is_recorded() -> None:
    stage = Stage(["value", FAILURE])
    assert stage.perform() == "value"
    assert fails(stage) is FAILURE
    assert (stage.deadlines, stage.facts) == ([None, None], [])


def test_a_failed_call_is_made_again_after_growing_waits() -> None:
    stage = Stage([FAILURE, CRASH, "value"])
    assert stage.perform(retry=TWICE) == "value"
    assert stage.began_ms == [0, 10, 30]
    assert stage.facts == [{"retry": {"failures": ["guest.io", "provider.crashed"], "waited_ms": 30}}]


def test_after_the_last_retry_its_own_failure_is_what_is_told() -> None:
    last = replace_code(FAILURE, "guest.encoding")
    stage = Stage([FAILURE, FAILURE, last, "never"])
    assert fails(stage, retry=TWICE) is last
    assert stage.outcomes == ["never"]
    assert stage.facts[0]["retry"]["failures"] == ["guest.io", "guest.io", "guest.encoding"]


def replace_code(error: GuestError, code: str) -> GuestError:
    return GuestError(error.message, kind=error.kind, code=code)


@pytest.mark.parametrize(
    ("idempotency", "attempts"),
    [(Idempotency.RETRY, 3), (Idempotency.KEYED, 3), (Idempotency.ASK, 1), (Idempotency.FAIL, 1)],
)
def test_only_what_the_contract_lets_be_repeated_is(idempotency: Idempotency, attempts: int) -> None:
    stage = Stage([FAILURE, FAILURE, FAILURE])
    fails(stage, contract=replace(APPENDS, idempotency=idempotency), retry=TWICE)
    assert len(stage.began_ms) == attempts
    skipped = {"skipped": {"retry": f"contract: {idempotency.value}"}} if attempts == 1 else {}
    assert {name: fact for name, fact in stage.facts[0].items() if name != "retry"} == skipped


@pytest.mark.parametrize("kind", ["TypeError", "ArityMismatch", "InvalidArgument", "TypeValidationError"])
def test_what_would_fail_again_is_not_made_again(kind: str) -> None:
    stage = Stage([GuestError("no", kind=kind, code="guest.type"), "never"])
    fails(stage, GuestError, retry=TWICE)
    assert stage.outcomes == ["never"]
    assert stage.facts[0]["skipped"] == {"retry": "lasting: guest.type"}


def test_a_provider_that_lacks_something_is_not_asked_again() -> None:
    stage = Stage([ProviderUnavailable("no kernel"), "never"])
    fails(stage, ProviderUnavailable, retry=TWICE)
    assert stage.outcomes == ["never"]


UNTOUCHED: Sequence[BaseException] = (
    CapabilityDenied("no"),
    LimitExceeded("too much", limit="cpu_ms", allowed=1, unit="ms"),
    Cancelled("enough"),
    InputError("odd"),
    InternalError("defect"),
    KeyboardInterrupt(),
)


@pytest.mark.parametrize("error", UNTOUCHED, ids=lambda error: type(error).__name__)
def test_what_is_no_failure_of_the_call_goes_through_untouched(error: BaseException) -> None:
    stage = Stage([error, "never"])
    hints = {
        "retry": TWICE,
        "fallback": Fallback(capability_id="t.other", arguments=None),
        "circuit_breaker": CircuitBreaker(failures_count=1, cooldown_ms=1),
    }
    assert fails(stage, type(error), **hints) is error
    assert (stage.outcomes, stage.others) == (["never"], [])
    assert stage.calls.state.breaker("t.call").failures_count == 0
    assert len(stage.facts) == 1


def test_when_the_record_failed_nothing_more_is_recorded() -> None:
    stage = Stage([AppendFailed("disk full")])
    fails(stage, AppendFailed, retry=TWICE)
    assert stage.facts == []


@pytest.mark.parametrize(("may_spend", "attempts"), [(True, 3), (False, 1)])
def test_no_attempt_is_made_that_the_budget_does_not_cover(may_spend: bool, attempts: int) -> None:
    stage = Stage([FAILURE, FAILURE, FAILURE], may_spend=may_spend)
    assert fails(stage, retry=TWICE) is FAILURE
    assert len(stage.began_ms) == attempts
    assert stage.facts[0].get("skipped") == (None if may_spend else {"retry": "budget"})


def test_waiting_for_a_retry_ends_with_the_run() -> None:
    stage = Stage([FAILURE, "never"], run_ms=5)
    assert fails(stage, LimitExceeded, retry=TWICE).limit == "wall_ms"
    assert (stage.now_ms, stage.outcomes) == (5, ["never"])


def test_each_attempt_has_the_time_that_a_hint_gives_it() -> None:
    stage = Stage([FAILURE, "value"])
    assert stage.perform(retry=TWICE, timeout=Timeout(absolute_ms=50, multiplier=None)) == "value"
    assert stage.deadlines == [50, 50]
    assert stage.facts[0]["timeout"] == {"timeout_ms": 50}


def test_a_fallback_is_called_when_all_retries_failed() -> None:
    stage = Stage([FAILURE, FAILURE, FAILURE])
    fallback = Fallback(capability_id="t.other", arguments=(1,))
    assert stage.perform(retry=TWICE, fallback=fallback) == "fallback"
    assert stage.others == [("t.other", (1,))]
    assert stage.facts[0]["fallback"] == {"capability_id": "t.other", "after": "guest.io"}
    assert len(stage.facts[0]["retry"]["failures"]) == 3


def test_a_fallback_is_not_called_when_the_call_succeeds() -> None:
    stage = Stage(["value"])
    assert stage.perform(fallback=Fallback(capability_id="t.other", arguments=None)) == "value"
    assert (stage.others, stage.facts) == ([], [{}])


def test_a_fallback_that_is_refused_or_fails_is_what_is_told() -> None:
    denial = CapabilityDenied("not granted")
    stage = Stage([FAILURE], fallback_outcome=denial)
    assert fails(stage, fallback=Fallback(capability_id="t.other", arguments=None)) is denial


@pytest.mark.parametrize("name", ["t.call", "t.alias"])
def test_a_fallback_to_itself_would_be_a_retry_nobody_allowed(name: str) -> None:
    stage = Stage([FAILURE])
    assert fails(stage, contract=APPENDS, fallback=Fallback(capability_id=name, arguments=None)) is FAILURE
    assert stage.others == []
    assert stage.facts[0]["skipped"] == {"fallback": "it names the capability itself"}


def test_a_cached_result_is_given_again_until_it_is_too_old() -> None:
    stage = Stage(["first", "second"])
    cache = Cache(ttl_ms=100)
    assert stage.perform(cache=cache) == "first"
    stage.clock.advance_ms(100)
    assert stage.perform(cache=cache) == "first"
    stage.clock.advance_ms(1)
    assert stage.perform(cache=cache) == "second"
    assert [fact["cache"] for fact in stage.facts] == [
        {"hit": False, "kept": True}, {"hit": True, "age_ms": 100}, {"hit": False, "kept": True},
    ]  # fmt: skip


def test_the_cache_tells_calls_apart_by_capability_and_arguments() -> None:
    stage = Stage(["a", "b", "c"])
    cache = Cache(ttl_ms=100)
    assert [
        stage.perform(arguments="a", cache=cache),
        stage.perform(arguments="b", cache=cache),
        stage.perform(capability_id="t.other", cache=cache),
        stage.perform(arguments="a", cache=cache),
    ] == ["a", "b", "c", "a"]


@pytest.mark.parametrize(
    ("contract", "attempts"),
    [
        (COMPUTES, 1),
        (READS, 1),
        (TELLS_TIME, 2),
        (SHOWS, 2),
        (REPLACES, 2),
        (replace(COMPUTES, determinism=Determinism.RANDOM), 2),
    ],
)
def test_only_what_the_contract_lets_be_kept_is(contract: Contract, attempts: int) -> None:
    stage = Stage(["value", "value"])
    for _ in range(2):
        stage.perform(contract=contract, cache=Cache(ttl_ms=100))
    assert len(stage.began_ms) == attempts
    assert ("skipped" in stage.facts[0]) is (attempts == 2)


def test_a_change_makes_the_cache_forget_what_was_read_and_not_what_was_computed() -> None:
    stage = Stage(["read", "computed", "changed", "read again"])
    cache = Cache(ttl_ms=100)
    stage.perform(arguments="r", cache=cache)
    stage.perform(contract=COMPUTES, arguments="c", cache=cache)
    stage.perform(contract=REPLACES)
    assert stage.perform(contract=COMPUTES, arguments="c", cache=cache) == "computed"
    assert stage.perform(arguments="r", cache=cache) == "read again"


def test_a_failure_is_not_kept() -> None:
    stage = Stage([FAILURE, "value"])
    fails(stage, cache=Cache(ttl_ms=100))
    assert stage.facts[0]["cache"] == {"hit": False, "kept": False}
    assert stage.perform(cache=Cache(ttl_ms=100)) == "value"


def test_nor_is_what_a_fallback_gave() -> None:
    stage = Stage([FAILURE, "value"])
    hints = {"cache": Cache(ttl_ms=100), "fallback": Fallback(capability_id="t.other", arguments=None)}
    assert [stage.perform(**hints), stage.perform(**hints)] == ["fallback", "value"]


def test_the_cache_is_bounded_by_results_and_bytes() -> None:
    cache = ResultCache()

    def result(size_bytes: int) -> CachedResult:
        return CachedResult(value=None, size_bytes=size_bytes, stored_ns=0, is_read=False)

    for number in range(ENTRIES_COUNT_MAX + 1):
        assert cache.put(("t", str(number)), result(1))
    assert (len(cache), cache.get(("t", "0"))) == (ENTRIES_COUNT_MAX, None)
    assert cache.put(("t", "large"), result(CACHE_BYTES_MAX))
    assert len(cache) == 1
    assert not cache.put(("t", "too large"), result(CACHE_BYTES_MAX + 1))
    assert cache.get(("t", "large")) is not None


def test_a_breaker_opens_after_failures_in_a_row_and_tries_once_after_its_time() -> None:
    stage = Stage([FAILURE, "value", FAILURE, FAILURE, FAILURE, "value", "value"])
    hints = {"circuit_breaker": CircuitBreaker(failures_count=2, cooldown_ms=100)}
    fails(stage, **hints)
    assert stage.perform(**hints) == "value"
    fails(stage, **hints)
    fails(stage, **hints)
    opened = fails(stage, GuestError, **hints)
    assert (opened.code, opened.kind) == ("guest.circuit-open", "ResourceError")
    assert "failed 2 times in a row and is not called again for 100 ms" in opened.message
    stage.clock.advance_ms(100)
    assert fails(stage, **hints) is FAILURE
    assert fails(stage, **hints).code == "guest.circuit-open"
    stage.clock.advance_ms(100)
    assert [stage.perform(**hints), stage.perform(**hints)] == ["value", "value"]
    states = [fact["circuit-breaker"]["state"] for fact in stage.facts]
    assert states == ["closed"] * 4 + ["open", "trial", "open", "trial", "closed"]


def test_a_trial_that_fails_opens_the_breaker_again_whatever_the_hint_says_by_then() -> None:
    stage = Stage([FAILURE, FAILURE])
    fails(stage, circuit_breaker=CircuitBreaker(failures_count=1, cooldown_ms=100))
    stage.clock.advance_ms(100)
    later = CircuitBreaker(failures_count=50, cooldown_ms=100)
    assert fails(stage, circuit_breaker=later) is FAILURE
    assert fails(stage, circuit_breaker=later).code == "guest.circuit-open"


def test_retries_are_one_failure_to_the_breaker_and_an_open_one_falls_back() -> None:
    stage = Stage([FAILURE, FAILURE, FAILURE])
    hints: dict[str, Any] = {"circuit_breaker": CircuitBreaker(failures_count=1, cooldown_ms=100), "retry": TWICE}
    fails(stage, **hints)
    assert stage.perform(**hints, fallback=Fallback(capability_id="t.other", arguments=None)) == "fallback"
    assert stage.facts[1]["fallback"]["after"] == "guest.circuit-open"


def test_attempts_wait_until_the_rate_allows_them() -> None:
    stage = Stage(["a", "b", FAILURE, "c"])
    hints: dict[str, Any] = {"rate_limit": RateLimit(calls_count=2, per_ms=100)}
    stage.perform(**hints)
    stage.clock.advance_ms(40)
    stage.perform(**hints)
    stage.perform(**hints, retry=Retry(retries_count=1, backoff_ms=0, multiplier=1.0))
    assert stage.began_ms == [0, 40, 100, 140]
    assert [fact["rate-limit"]["waited_ms"] for fact in stage.facts] == [0, 0, 100]


def test_a_rate_is_kept_for_each_capability_alone() -> None:
    stage = Stage(["a", "b"])
    hints: dict[str, Any] = {"rate_limit": RateLimit(calls_count=1, per_ms=100)}
    stage.perform(**hints)
    stage.perform(capability_id="t.other", **hints)
    assert stage.began_ms == [0, 0]


def test_waiting_for_the_rate_ends_with_the_run() -> None:
    stage = Stage(["a", "never"], run_ms=50)
    hints: dict[str, Any] = {"rate_limit": RateLimit(calls_count=1, per_ms=100)}
    stage.perform(**hints)
    fails(stage, LimitExceeded, **hints)
    assert stage.outcomes == ["never"]


def test_a_cached_result_costs_no_attempt_of_the_rate_and_no_breaker() -> None:
    stage = Stage(["value"])
    hints: dict[str, Any] = {
        "cache": Cache(ttl_ms=100),
        "rate_limit": RateLimit(calls_count=1, per_ms=100),
        "circuit_breaker": CircuitBreaker(failures_count=1, cooldown_ms=1),
    }
    assert [stage.perform(**hints), stage.perform(**hints)] == ["value", "value"]
    assert stage.now_ms == 0
    assert "circuit-breaker" not in stage.facts[1]


def test_metrics_count_attempts_and_time_also_of_what_failed() -> None:
    def slowly() -> Any:
        stage.clock.advance_ms(7)
        raise FAILURE

    stage = Stage([slowly, "value", slowly])
    stage.perform(metrics=True, retry=TWICE)
    fails(stage, metrics=True)
    assert [fact["metrics"] for fact in stage.facts] == [
        {"attempts_count": 2, "duration_us": 17_000, "ok": True},
        {"attempts_count": 1, "duration_us": 7_000, "ok": False},
    ]


def test_what_is_remembered_of_capabilities_is_bounded() -> None:
    state = HintState()
    for number in range(1_001):
        state.breaker(str(number))
        state.window(str(number))
    assert (len(state.breakers), len(state.windows)) == (1_000, 1_000)
    assert "0" not in state.breakers
