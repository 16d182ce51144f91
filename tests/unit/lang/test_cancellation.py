"""Runs end when they are asked to, wherever they are, and the program has no say in it."""

from __future__ import annotations

import threading

import pytest

from cloister import Cancellation, Cancelled, evaluate
from cloister.errors import CloisterError
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program, run_program
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

ENDLESS = [
    "(loop [] (recur))",
    "(defn f [n] (loop [i 0] (if (< i 50) (recur (inc i)) i))) (defn g [n] (+ (f n) 1)) (loop [] (g 1) (recur))",
    "(loop [] (map inc (range 0 1000)) (recur))",
    "(loop [] (try (map (fn [x] (/ x 0)) [1]) (catch e e)) (recur))",
    "(loop [] (str (range 0 1000)) (recur))",
]


class CancellingHost(PureHost):
    """Cancels the run from inside a call."""

    def __init__(self, cancellation: Cancellation) -> None:
        self.cancellation = cancellation
        self.calls_count = 0

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.calls_count += 1
        self.cancellation.cancel("enough")
        return 1


@pytest.mark.parametrize("text", ENDLESS)
def test_another_thread_ends_a_run(text: str) -> None:
    cancellation = Cancellation()
    timer = threading.Timer(0.05, cancellation.cancel, ("the user left",))
    timer.start()
    limits = ResourceLimits(steps_count=2**62, wall_ms=60_000)
    with pytest.raises(Cancelled, match="the run was cancelled: the user left") as caught:
        evaluate(text, limits=limits, cancellation=cancellation)
    timer.join()
    assert caught.value.code == "cancelled.requested"
    assert caught.value.exit_status == 4
    assert caught.value.trace


@pytest.mark.parametrize("wrap", ["(try {} (catch e 1))", "(try {} (finally (call :late)))", '(step "s" {})'])
def test_a_program_cannot_catch_it_and_nothing_runs_afterwards(wrap: str) -> None:
    cancellation = Cancellation()
    host = CancellingHost(cancellation)
    with pytest.raises(Cancelled):
        run_program(compile_program(wrap.format("(call :a)")), host, ResourceLimits(), {}, cancellation=cancellation)
    assert host.calls_count == 1


def test_a_cancellation_made_before_ends_the_run_at_once() -> None:
    cancellation = Cancellation()
    cancellation.cancel()
    with pytest.raises(Cancelled, match=r"^the run was cancelled$"):
        evaluate("(+ 1 2)", cancellation=cancellation)


def test_a_run_that_is_not_cancelled_does_not_notice() -> None:
    cancellation = Cancellation()
    assert evaluate("(reduce + (range 0 10000))", cancellation=cancellation) == 49_995_000
    assert not cancellation.is_requested


def test_the_first_reason_counts() -> None:
    cancellation = Cancellation()
    cancellation.cancel("first\n")
    cancellation.cancel("second")
    assert cancellation.is_requested
    with pytest.raises(CloisterError, match="first\N{REPLACEMENT CHARACTER}"):
        cancellation.check()
