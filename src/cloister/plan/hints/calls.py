"""Making a call the way its hints say.

Owns the order in which hints act, and what each does about a failure. Hints never widen: they are read after a call was
decided and recorded, every attempt is made on the strength of that one decision, waiting and time limits stay inside
the run's own, and a fallback goes the whole way of a call again. Nothing is repeated that the contract does not let be
repeated, and nothing is kept that it does not let be kept; a hint that would is skipped, and the record says so.

The order is that of the reference's priorities: metrics, cache, circuit breaker, rate limit, retry, timeout; a
fallback, which has the last number, acts last. Only failures of the call count: errors of the program and of providers.
A denial, a limit, a missing approval, a cancelled run or a record that cannot be written goes through untouched.

Source: CCOS system reference, section 6.5, for the priorities.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from typing import Final, TypeAlias

from cloister.authority.contract import Contract, Impact
from cloister.canonical import Plain
from cloister.clock import Clock
from cloister.errors import AuditError, CloisterError, GuestError, ProviderError, ProviderUnavailable, quoted
from cloister.interrupts import admitted
from cloister.isolation.provider import WireValue
from cloister.lang.values import Value
from cloister.plan.hints.attempt import Deadline
from cloister.plan.hints.hints import NO_HINTS, CircuitBreaker, Hints
from cloister.plan.hints.state import Breaker, CachedResult, HintState
from cloister.plan.record_facts import wire_digest

Attempt: TypeAlias = Callable[[Deadline | None], WireValue]
"""Makes the call once, by the deadline if there is one, and returns its checked result as wire data."""
Other: TypeAlias = Callable[[str, tuple[Value, ...] | None], WireValue]
"""Makes another call the whole way, without hints; with the arguments of the first when None is given."""
Facts: TypeAlias = Mapping[str, Plain]
"""What was done, by hint: the body of a `hint.applied` record."""
Applied: TypeAlias = Callable[[Facts], object]
"""Records what was done."""

_FAILURES: Final = (GuestError, ProviderError)
_LASTING_KINDS: Final = frozenset(
    {"TypeError", "ArityMismatch", "InvalidArgument", "InvalidArguments", "TypeValidationError", "NotImplemented"}
)
"""Failures that the same call meets again."""
_NS_PER_MS: Final = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class HintedCall:
    """One call and its hints.

    Attributes:
        capability_id: Canonical id.
        names: Every name of the capability.
        contract: What it promises.
        arguments_sha256: Digest of the arguments, the same for the same call.
        hints: In force for it.
        may_spend: Holds what another attempt uses; returns False when the budget does not cover it.
    """

    capability_id: str
    names: Collection[str]
    contract: Contract
    arguments_sha256: str
    hints: Hints
    may_spend: Callable[[], bool]


@dataclass(frozen=True, slots=True, kw_only=True)
class HintedCalls:
    """Makes the calls of one run.

    Attributes:
        clock: Measures and waits.
        wall_ms: The run's limit of one execution.
        time_left_ms: How long the run may still take, at least 1; raises when its time is over.
        state: What lasts from call to call.
    """

    clock: Clock
    wall_ms: int
    time_left_ms: Callable[[], int]
    state: HintState = field(default_factory=HintState)

    def perform(self, call: HintedCall, attempt: Attempt, other: Other, applied: Applied) -> WireValue:
        """Make a call as its hints say. Calls without hints go through here too, so that the cache notices changes.

        Args:
            call: What is called.
            attempt: Makes it once.
            other: Makes a fallback call.
            applied: Told once, after a call that has hints, also after one that failed.

        Raises:
            GuestError: `guest.circuit-open`; and whatever `attempt` or `other` raises.
        """
        if call.contract.impact is Impact.CHANGES:
            self.state.cache.forget_reads()
        if call.hints is NO_HINTS:
            return attempt(None)
        performance = _Performance(self, call, attempt, other)
        try:
            value = performance.run()
        except AuditError:
            raise  # the record is what failed
        except BaseException:
            applied(performance.facts)
            raise
        applied(performance.facts)
        return value


class _Performance:
    """One hinted call while it is made."""

    def __init__(self, around: HintedCalls, call: HintedCall, attempt: Attempt, other: Other) -> None:
        self._clock, self._state, self._around = around.clock, around.state, around
        self._call, self._hints = call, call.hints
        self._attempt, self._other = attempt, other
        self._attempts_count = 0
        self._failures: list[Plain] = []
        self._backed_off_ms = 0
        self._rate_waited_ms = 0
        self._skipped: dict[str, Plain] = {}
        self.facts: dict[str, Plain] = {}

    def run(self) -> WireValue:
        begun_ns, is_ok = self._clock.monotonic_ns(), False
        try:
            value = self._or_fallback()
            is_ok = True
        finally:
            self._sum_up((self._clock.monotonic_ns() - begun_ns) // 1_000, is_ok)
        return value

    def _sum_up(self, duration_us: int, is_ok: bool) -> None:
        if self._hints.rate_limit is not None:
            self.facts["rate-limit"] = {"waited_ms": self._rate_waited_ms}
        if self._hints.retry is not None:
            self.facts["retry"] = {"failures": self._failures, "waited_ms": self._backed_off_ms}
        if self._hints.metrics:
            self.facts["metrics"] = {
                "attempts_count": self._attempts_count, "duration_us": duration_us, "ok": is_ok,
            }  # fmt: skip
        if self._skipped:
            self.facts["skipped"] = self._skipped

    def _or_fallback(self) -> WireValue:
        fallback = self._hints.fallback
        if fallback is None:
            return self._or_cached()
        try:
            return self._or_cached()
        except _FAILURES as error:
            if fallback.capability_id in self._call.names:
                # It would be a retry that the contract was not asked about
                self._skipped["fallback"] = "it names the capability itself"
                raise
            self.facts["fallback"] = {"capability_id": quoted(fallback.capability_id), "after": error.code}
            return self._other(fallback.capability_id, fallback.arguments)

    def _or_cached(self) -> WireValue:
        hint, contract = self._hints.cache, self._call.contract
        if hint is None:
            return self._guarded()
        if not contract.may_be_cached:
            self._skipped["cache"] = f"contract: {contract.determinism.value}, {contract.impact.value}"
            return self._guarded()
        key = (self._call.capability_id, self._call.arguments_sha256)
        found = self._state.cache.get(key)
        age_ns = self._clock.monotonic_ns() - found.stored_ns if found is not None else 0
        if found is not None and age_ns <= hint.ttl_ms * _NS_PER_MS:
            self.facts["cache"] = {"hit": True, "age_ms": age_ns // _NS_PER_MS}
            return found.value
        self.facts["cache"] = {"hit": False, "kept": False}
        value = self._guarded()
        self.facts["cache"] = {"hit": False, "kept": self._keep(key, value)}
        return value

    def _keep(self, key: tuple[str, str], value: WireValue) -> bool:
        result = CachedResult(
            value=value,
            size_bytes=wire_digest(value)[1],
            stored_ns=self._clock.monotonic_ns(),
            is_read=self._call.contract.impact is Impact.READS,
        )
        return self._state.cache.put(key, result)

    def _guarded(self) -> WireValue:
        hint = self._hints.circuit_breaker
        if hint is None:
            return self._retried()
        breaker = self._state.breaker(self._call.capability_id)
        self._require_closed(breaker, hint)
        try:
            value = self._retried()
        except _FAILURES:
            breaker.failures_count += 1
            if breaker.opened_ns is not None or breaker.failures_count >= hint.failures_count:
                breaker.opened_ns = self._clock.monotonic_ns()
            raise
        breaker.failures_count, breaker.opened_ns = 0, None
        return value

    def _require_closed(self, breaker: Breaker, hint: CircuitBreaker) -> None:
        """Refuse while the breaker is open; after its time one call is let through to see."""
        if breaker.opened_ns is None:
            self.facts["circuit-breaker"] = {"state": "closed", "failures_count": breaker.failures_count}
            return
        left_ns = breaker.opened_ns + hint.cooldown_ms * _NS_PER_MS - self._clock.monotonic_ns()
        state = "open" if left_ns > 0 else "trial"
        self.facts["circuit-breaker"] = {"state": state, "failures_count": breaker.failures_count}
        if left_ns > 0:
            raise GuestError(
                f"{self._call.capability_id} failed {breaker.failures_count} times in a row and is not called again "
                f"for {-(-left_ns // _NS_PER_MS)} ms",
                kind="ResourceError",
                code="guest.circuit-open",
                hint="catch it, wait, or hint at a fallback",
            )

    def _retried(self) -> WireValue:
        while True:
            try:
                return self._attempt_once()
            except _FAILURES as error:
                self._failures.append(error.code)
                wait_ms = self._wait_before_retry(error)
                if wait_ms is None:
                    raise
            self._backed_off_ms += self._wait(wait_ms)

    def _wait_before_retry(self, error: CloisterError) -> int | None:
        """Return how long to wait before the call is made again, or None when it is not."""
        retry, contract = self._hints.retry, self._call.contract
        if retry is None:
            return None
        if not contract.may_be_repeated:
            self._skipped["retry"] = f"contract: {contract.idempotency.value}"
            return None
        if error.kind in _LASTING_KINDS or isinstance(error, ProviderUnavailable):
            self._skipped["retry"] = f"lasting: {error.code}"
            return None
        if self._attempts_count > retry.retries_count:
            return None
        if not self._call.may_spend():
            self._skipped["retry"] = "budget"
            return None
        return retry.wait_ms(self._attempts_count)

    def _attempt_once(self) -> WireValue:
        self._keep_rate()
        self._attempts_count += 1
        hint = self._hints.timeout
        if hint is None:
            return self._attempt(None)
        deadline = Deadline(self._clock, hint.bound_ms(self._around.wall_ms))
        self.facts["timeout"] = {"timeout_ms": deadline.timeout_ms}
        return self._attempt(deadline)

    def _keep_rate(self) -> None:
        """Wait until another attempt may begin, and note that it does."""
        hint = self._hints.rate_limit
        if hint is None:
            return
        window = self._state.window(self._call.capability_id)
        while len(window) >= hint.calls_count:
            free_ns = window[-hint.calls_count] + hint.per_ms * _NS_PER_MS
            left_ns = free_ns - self._clock.monotonic_ns()
            if left_ns <= 0:
                break
            self._rate_waited_ms += self._wait(-(-left_ns // _NS_PER_MS))
        window.append(self._clock.monotonic_ns())

    def _wait(self, wait_ms: int) -> int:
        """Let time pass, at most what the run has left, and return how much."""
        pause_ms = min(wait_ms, self._around.time_left_ms())
        with admitted():
            self._clock.pause_ms(pause_ms)
        self._around.time_left_ms()
        return pause_ms
