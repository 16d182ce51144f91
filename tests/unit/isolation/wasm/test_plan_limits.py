"""Limits of plans: whatever a plan does for ever, or too much of, ends with the limit that says so."""

from __future__ import annotations

import threading
import time

import pytest
from tests.unit.isolation.wasm.running import error_of, outcome_of, plans, value_of

from cloister.clock import ManualClock, SystemClock
from cloister.errors import Cancelled, LimitExceeded
from cloister.isolation.wasm.deadline import Deadline
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program
from cloister.lang.values import Value
from cloister.limits import MIB, ResourceLimits

ENDLESS = {
    "recur": "(loop [] (recur))",
    "a tight loop": "(loop [i 0] (recur (mod (inc i) 7)))",
    "a loop that allocates": "(loop [i 0] (recur [i]))",
    "dotimes": "(dotimes [i 9223372036854775807] i)",
    "dotimes inside for": "(for [a [1 2]] (dotimes [i 9223372036854775807] a))",
    "for": "(for [a (range 2000) b (range 2000) c (range 2000) :when (= 1 2)] nil)",
    "a function that calls itself last": "(defn f [n] (f (mod (+ n 1) 9))) (f 1)",
    "functions that call one another last": "(defn f [] (g)) (defn g [] (f)) (f)",
    "a function value": "(let [f (fn [g] (g g))] (f f))",
    "a callback": "(reduce (fn [a b] (loop [] (recur))) 0 [1 2])",
    "a callback of the host": "(mapv (fn [a b c d] (loop [] (recur))) [1] [1] [1] [1])",
    "a function in a try": '(defn f [] (loop [] (recur))) (try (f) (catch e "caught") (finally 2))',
    "a loop that captures": "(loop [f nil] (recur (fn [] f)))",
}
BUILDS = {
    "a vector that grows": "(loop [a []] (recur (conj a a)))",
    "text that grows": '(loop [a "0123456789" n 0] (recur (str a n) (inc n)))',
    "a map that grows": "(loop [m {} n 0] (recur (assoc m n [n n n]) (inc n)))",
    "many vectors": "(loop [a nil] (recur [a (range 1000)]))",
    "functions that hold one another": "(loop [f (fn [] 1)] (recur (fn [] f)))",
    "errors that hold one another": "(loop [e nil] "
    "(recur (try (throw {:before e :more (vec (range 500))}) (catch e e))))",
    "what open calls hold": "(defn f [x] (let [y (* x 1.5) v (vec (range 200))] [(f y) v])) (f 1.0)",
    "functions that builtins made": "(loop [f inc n 0] (recur (partial + 1 2 3 4 (vec (range 99)) n) (inc n)))",
}


@pytest.mark.parametrize("name", ENDLESS)
def test_what_never_ends_runs_out_of_fuel(name: str) -> None:
    error = error_of(ENDLESS[name], steps_count=20_000, wall_ms=60_000)
    assert isinstance(error, LimitExceeded)
    assert (error.code, error.limit, error.allowed) == ("limit.steps", "steps_count", 20_000)


@pytest.mark.parametrize("name", ["recur", "a callback", "a function value", "dotimes inside for"])
def test_what_never_ends_runs_out_of_time(name: str) -> None:
    began = time.monotonic()
    error = error_of(ENDLESS[name], steps_count=2**40, wall_ms=200)
    assert isinstance(error, LimitExceeded)
    assert (error.code, error.limit) == ("limit.wall", "wall_ms")
    assert time.monotonic() - began < 30, "the clock, not the fuel of hours"


@pytest.mark.parametrize("name", ["recur", "a callback of the host", "a function in a try"])
def test_a_run_that_is_cancelled_ends(name: str) -> None:
    limits = ResourceLimits(steps_count=2**40)
    deadline = Deadline(limits, SystemClock())
    threading.Timer(0.1, deadline.cancel).start()
    with pytest.raises(Cancelled):
        plans().run(compile_program(ENDLESS[name]), PureHost(), limits, {}, deadline)


@pytest.mark.parametrize("name", BUILDS)
def test_memory_without_end_ends_at_its_limit(name: str) -> None:
    error = error_of(BUILDS[name], memory_bytes=24 * MIB, steps_count=2**40, depth_count=10**9)
    assert isinstance(error, LimitExceeded)
    assert error.limit == "memory_bytes"


def test_a_store_that_is_too_small_to_begin_with_says_so() -> None:
    error = error_of("1", memory_bytes=MIB)
    assert isinstance(error, LimitExceeded)
    assert error.limit == "memory_bytes"
    assert value_of("1", memory_bytes=16 * MIB) == 1


VALUES = {
    "a text": '(reduce str (map (fn [_] "0123456789") (range {n})))',
    "a vector": "(reduce (fn [v i] (conj v [i])) [] (range (* {n} 3)))",
    "what for gives": "(for [i (range {n}) j [1 2 3]] i)",
}


@pytest.mark.parametrize("name", VALUES)
def test_a_value_that_is_too_large_does_not_get_out(name: str) -> None:
    error = error_of(VALUES[name].format(n=1000), value_bytes=8 * 1024)
    assert isinstance(error, LimitExceeded)
    assert error.limit == "value_bytes"
    assert value_of(VALUES[name].format(n=50), value_bytes=8 * 1024) is not None


def test_a_value_with_too_many_parts_does_not_get_out() -> None:
    error = error_of("(map vector (range 600))", value_elements_count=1000)
    assert isinstance(error, LimitExceeded)
    assert error.limit == "value_elements_count"
    assert len(value_of("(map vector (range 400))", value_elements_count=1000)) == 400


def test_limits_are_not_caught() -> None:
    for text, limits in (
        ('(try (loop [] (recur)) (catch e "caught") (finally "too"))', {"steps_count": 1000}),
        ('(try (loop [a []] (recur (conj a a))) (catch e "caught"))', {"memory_bytes": 16 * MIB}),
        ('(defn f [n] (+ 1 (f n))) (try (f 1) (catch e "caught"))', {"depth_count": 20}),
        ('(try (reduce str (range 9999)) (catch e "caught"))', {"value_bytes": 1000}),
    ):
        assert isinstance(error_of(text, **limits), LimitExceeded)


def test_fuel_is_counted() -> None:
    few, many = (outcome_of(f"(loop [i 0] (if (< i {turns}) (recur (inc i)) i))") for turns in (10, 100_000))
    assert 0 < few.fuel_count < many.fuel_count
    assert many.steps_count is None


class _Counting(PureHost):
    """A host that counts what it is asked."""

    calls_count = 0

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        self.calls_count += 1
        return len(arguments)


def test_a_plan_whose_time_is_over_when_it_is_compiled_does_not_start() -> None:
    bounds, clock, host = ResourceLimits(wall_ms=1_000), ManualClock(), _Counting()
    deadline, program = Deadline(bounds, clock), compile_program("(call :late 1)")
    clock.advance_ms(999)
    assert plans().run(program, host, bounds, {}, deadline).value == 1
    clock.advance_ms(2)
    with pytest.raises(LimitExceeded) as caught:
        plans().run(program, host, bounds, {}, deadline)
    assert caught.value.limit == "wall_ms"
    assert host.calls_count == 1
