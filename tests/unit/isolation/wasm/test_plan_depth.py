"""Calls of plans: those that come last take no room however many there are, all others have the depth they may."""

from __future__ import annotations

import pytest
from tests.unit.isolation.wasm.running import error_of, outcome_of, python_error_of, python_value_of, value_of

from cloister.errors import LimitExceeded
from cloister.limits import MIB

TURNS = 1_000_000
EVEN = (
    "(let [] (defn even [n] (cond (= n 0) true :else (odd (dec n)))) "
    "(defn odd [n] (and true (if (= n 0) false (let [m (dec n)] (do 1 (even m)))))) "
)

ENDLESS_DEPTH = {
    "recur": f"(loop [i 0] (if (< i {TURNS}) (recur (inc i)) i))",
    "a function that calls itself": f"(defn f [n] (if (= n 0) :done (f (dec n)))) (f {TURNS})",
    "functions that call one another": f"{EVEN} (even {TURNS}))",
    "a function that is a value": f"(defn f [k n] (if (= n 0) :done (k k (dec n)))) (f f {TURNS})",
    "functions that are values by turns": f"(let [a (fn [a b n] (if (= n 0) 1 (b b a (dec n))))] (a a a {TURNS}))",
    "a function that captures": f"(let [z (str 1)] (defn f [n] (if (= n 0) z (f (dec n)))) (f {TURNS}))",
    "a function with any number of arguments": f"(defn f [n & more] (if (= n 0) more (f (dec n) n))) (f {TURNS})",
    "a function that gives floats": f"(defn f [n] (if (= n 0) 0.5 (f (dec n)))) (f {TURNS})",
    "calls that keep words": "(defn f [n a] (if (= n 0) a (g (dec n) [a n]))) (defn g [n a] (f n (first a))) "
    f"(f {TURNS} 1.5)",
    "the last of `and` and `or`": f"(defn f [n] (or nil (and true (if (= n 0) 7 (f (dec n)))))) (f {TURNS})",
}

NESTED = {
    "plain": ("(defn f [n] (if (= n 0) 0 (+ 1 (f (dec n))))) (f {n})", 1),
    "captured": ("(let [z (count [])] (defn f [n] (if (= n 0) z (+ 1 (f (dec n))))) (f {n}))", 1),
    "as a value": ("(defn f [k n] (if (= n 0) 0 (+ 1 (k k (dec n))))) (f f {n})", 1),
    "through the runtime": ("(defn f [n] (if (= n 0) 0 (first (map (fn [x] (+ 1 (f (dec n)))) [1])))) (f {n})", 2),
    "through the host": (
        "(defn f [n] (if (= n 0) [1] (mapv (fn [a b c d] (first (f (dec n)))) [1] [1] [1] [1]))) (count (f {n}))",
        2,
    ),
    "in a try": ("(defn f [n] (if (= n 0) 0 (try (inc (f (dec n))) (catch e 1)))) (f {n})", 1),
}


@pytest.mark.parametrize("name", ENDLESS_DEPTH)
def test_a_million_calls_that_come_last_take_no_room(name: str) -> None:
    outcome = outcome_of(ENDLESS_DEPTH[name], depth_count=10)
    assert outcome.value is not None
    assert outcome.memory_peak_bytes < 24 * MIB


@pytest.mark.parametrize("name", NESTED)
def test_calls_nest_as_deep_as_they_may_and_no_deeper(name: str) -> None:
    text, calls_each = NESTED[name]
    allowed = 101 if calls_each == 2 else 100
    deepest = text.format(n=(allowed - 1) // calls_each)
    assert value_of(deepest, depth_count=allowed) == python_value_of(deepest, depth_count=allowed)
    too_deep = text.format(n=(allowed - 1) // calls_each + 1)
    error, expected = error_of(too_deep, depth_count=allowed), python_error_of(too_deep, depth_count=allowed)
    assert isinstance(error, LimitExceeded)
    assert error.code == expected.code == "limit.depth"
    assert error.limit == "depth_count"
    assert error.allowed == allowed


def test_the_place_of_a_call_that_nests_too_deep_is_told() -> None:
    error = error_of("(defn f [n]\n (+ 1 (f n)))\n(f 1)", depth_count=50)
    assert error.span is not None
    assert error.trace[1] == "f at <plan>:2:7"


def test_depth_beyond_the_stack_is_a_limit_too() -> None:
    text = "(defn f [n] (+ 1 (f (inc n)))) (f 1)"
    error = error_of(text, depth_count=2**40)
    assert isinstance(error, LimitExceeded)
    assert error.limit == "depth_count"


def test_hosts_that_are_asked_in_callbacks_of_callbacks_run_out_of_depth_not_of_stack() -> None:
    text = "(defn f [n] (mapv (fn [a b c d] (f n)) [1] [1] [1] [1])) (f 1)"
    error = error_of(text, depth_count=2**31)
    assert isinstance(error, LimitExceeded)
    assert error.limit == "depth_count"


def test_depth_is_given_back_after_an_error() -> None:
    text = """(defn deep [n] (if (= n 0) (throw "x") (+ 1 (deep (dec n)))))
      (loop [i 0] (if (< i 50) (recur (try (map (fn [x] (deep x)) [80]) (catch e (inc i))))
        (try (deep 90) (catch e i))))"""
    assert value_of(text, depth_count=100) == 50
