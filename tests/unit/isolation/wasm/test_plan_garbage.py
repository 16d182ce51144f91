"""Memory of plans: what is not used any more is used again, and what still is stays as it is."""

from __future__ import annotations

import pytest
from tests.unit.isolation.wasm.running import error_of, outcome_of, value_of

from cloister.errors import LimitExceeded
from cloister.limits import MIB

BIG = '(def big (reduce str (map (fn [_] "0123456789abcdef") (range 65536)))) '
"""A text of 1 MiB."""


def test_a_loop_that_allocates_two_gib_runs_in_64_mib() -> None:
    outcome = outcome_of(BIG + "(loop [i 0 last nil] (if (< i 2048) (recur (inc i) (subs big 1)) (count last)))")
    assert outcome.value == MIB - 1
    assert outcome.memory_peak_bytes < 48 * MIB


def test_a_loop_that_keeps_what_it_allocates_ends_at_64_mib() -> None:
    text = BIG + "(loop [i 0 kept []] (if (< i 2048) (recur (inc i) (conj kept (subs big 1))) (count kept)))"
    error = error_of(text)
    assert isinstance(error, LimitExceeded)
    assert error.code == "limit.memory"


def test_small_objects_are_used_again_too() -> None:
    outcome = outcome_of("(loop [i 0 last nil] (if (< i 30000) (recur (inc i) (vec (range 1000))) (count last)))")
    assert outcome.value == 1000
    assert outcome.memory_peak_bytes < 32 * MIB


@pytest.mark.parametrize(
    "text",
    [
        '(reduce (fn [n i] (+ n (count (str "a text that is made in each of the calls of a builtin, and longer than 64"'
        " i)))) 0 (range 1000000))",
        '(count (filter (fn [i] (= (str i "a text that is made in each call of a builtin") "")) (range 1000000)))',
        "(count (map (fn [a & more] (count (map inc [a a a a a a a a]))) (range 200000) (range 200000)))",
        "(do (defn f [a] (count (map inc [a a a a a a a a]))) [(f 1) (count (map f (range 200000)))])",
    ],
)
def test_functions_that_builtins_call_leave_nothing_behind(text: str) -> None:
    assert outcome_of(text).memory_peak_bytes < 48 * MIB


@pytest.mark.parametrize("fails", ["(throw {:i i :text (str i (subs big 1))})", "(throw (str i (subs big 1)))"])
def test_errors_that_were_caught_leave_nothing_behind(fails: str) -> None:
    outcome = outcome_of(BIG + f"(loop [i 0] (if (< i 200) (recur (try {fails} (catch e (inc i)))) i))")
    assert outcome.value == 200


def test_errors_of_arithmetic_that_were_caught_leave_nothing_behind() -> None:
    overflow = "(try (* n 4611686018427387904) (catch e 2))"
    text = f"(loop [n 2 i 0] (if (< i 30000) (recur {overflow} (inc i)) n))"
    assert outcome_of(text, memory_bytes=14 * MIB).value == 2


@pytest.mark.parametrize(
    ("given", "number", "expected"),
    [
        ("x", "(* x 2.5)", 7.5),
        ("x", "(+ x 4611686018427387903.0)", 3.0 + 4611686018427387903.0),
    ],
)
def test_a_float_that_waits_for_the_next_argument_is_not_given_away(given: str, number: str, expected: float) -> None:
    makes = "(loop [i 0 last nil] (if (< i 200000) (recur (inc i) [(* 1.5 i) i]) last))"
    text = f"(defn f [{given}] (let [y {number}] (list y {makes} y))) (f 3.0)"
    assert value_of(text) == (expected, (299998.5, 199999), expected)


def test_an_integer_of_64_bits_that_waits_for_the_next_argument_is_not_given_away() -> None:
    makes = "(loop [i 0 last nil] (if (< i 200000) (recur (inc i) [(* 1.5 i) i]) last))"
    text = f"(defn f [x] (let [y (+ x 4611686018427387903)] (list y {makes} y))) (f 5)"
    assert value_of(text) == (4611686018427387908, (299998.5, 199999), 4611686018427387908)
