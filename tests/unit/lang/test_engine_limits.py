"""Limits bite, at the number that was set, and nothing of Python's own gets out."""

from __future__ import annotations

import sys

import pytest

from cloister.errors import CloisterError, GuestError, LimitExceeded
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program, run_program
from cloister.lang.python_engine.deep import run_deep
from cloister.lang.python_engine.engine import Outcome
from cloister.lang.values import Value
from cloister.limits import ResourceLimits


def run(text: str, **limits: int) -> Outcome:
    return run_program(compile_program(text), PureHost(), ResourceLimits(**limits), {})


def exceeded(text: str, **limits: int) -> LimitExceeded:
    with pytest.raises(LimitExceeded) as caught:
        run(text, **limits)
    return caught.value


COUNT = "(loop [i 0] (if (< i {}) (recur (+ i 1)) i))"
NEST = "(defn f [n] (if (= n 1) 1 (+ 1 (f (- n 1))))) (f {})"


def test_steps_are_exact() -> None:
    assert run(COUNT.format(99), steps_count=100).steps_count == 100
    error = exceeded(COUNT.format(100), steps_count=100)
    assert (error.limit, error.used) == ("steps_count", 101)
    assert error.span is not None


def test_names_in_for_cost_one_step_for_each_element() -> None:
    assert run("(for [x [1 2] _ [3 4 5] y [6]] y)").steps_count == 2 + 6 + 6


def test_builtins_spend_the_same_steps() -> None:
    assert exceeded("(count (range 0 1000))", steps_count=500).code == "limit.steps"
    assert run("(count (range 0 1000))", steps_count=2_000).value == 1000


def test_depth_is_exact() -> None:
    assert run(NEST.format(100), depth_count=100).value == 100
    error = exceeded(NEST.format(101), depth_count=100)
    assert error.limit == "depth_count"
    assert error.trace[0].startswith("f at <eval>:1:")
    assert error.trace[-1].startswith("program at <eval>:1:")
    assert any(line.startswith("… the same ") for line in error.trace)
    assert len(error.trace) <= 5


def test_depth_of_leaf_functions_counts_too() -> None:
    text = "(defn leaf [x] (+ x 1)) (defn f [n] (if (= n 1) (leaf n) (f (- n 1)))) (f {})"
    assert run(text.format(9), depth_count=10).value == 2
    assert exceeded(text.format(10), depth_count=10).limit == "depth_count"


@pytest.mark.parametrize("loops_count", [1, 10, 14])
def test_depth_is_the_same_inside_loops_that_are_functions(loops_count: int) -> None:
    opened = "(loop [i 0] (if (< i 1) (recur (inc i)) " * loops_count
    call = "((fn [] (if (= n 0) 0 (f (- n 1)))))"  # a function in the loop, so that each of its turns is one
    text = f"(defn f [n] {opened}{call}{'))' * loops_count}) (f {{}})"
    assert run(text.format(4_999)).value == 0
    assert exceeded(text.format(5_000)).limit == "depth_count"


def test_depth_is_given_back_when_an_error_is_caught() -> None:
    text = """
    (defn fail [n] (if (= n 0) (/ 1 0) (+ 1 (fail (- n 1)))))
    (loop [i 0] (if (< i 50) (do (try (fail 50) (catch e e)) (recur (+ i 1))) i))
    """
    assert run(text, depth_count=60).value == 50


def test_ten_thousand_nested_calls_work() -> None:
    assert run(NEST.format(10_000)).value == 10_000


@pytest.mark.parametrize("call", ["(f (- n 1))", "(first (map f [(- n 1)]))"])
def test_ten_thousand_nested_calls_work_inside_loops_that_make_functions(call: str) -> None:
    for number in range(16):
        call = f"(loop [i{number} n] (let [g (fn [] i{number})] (+ 0 {call})))"
    assert run(f"(defn f [n] (if (= n 1) 7 {call})) (f 10000)").value == 7


@pytest.mark.parametrize(
    "call", ["(first (map f [(- n 1)]))", "(reduce (fn [a x] (f x)) 0 [(- n 1)])", "(apply f [(- n 1)])"]
)
def test_thousands_of_nested_calls_through_builtins_work(call: str) -> None:
    assert run(f"(defn f [n] (if (= n 0) 0 (+ 1 {call}))) (f 2000)").value == 2000


@pytest.mark.parametrize(
    "text",
    [
        "(defn f [n] (f n)) (f 1)",
        "(defn f [n] (map f [n])) (f 1)",
        "(defn f [n] (loop [i 0] (do (fn [] i) (f n)))) (f 1)",
        "(defn f [n] (sort-by f [n n])) (f 1)",
    ],
)
def test_endless_recursion_reaches_the_limit_even_when_it_is_huge(text: str) -> None:
    assert exceeded(text).limit == "depth_count"
    assert exceeded(text, depth_count=10_000_000).limit == "depth_count"


def test_wall_time_is_checked_with_the_clock_that_was_given() -> None:
    now = iter(range(0, 10**12, 1_000_000))
    with pytest.raises(LimitExceeded) as caught:
        run_program(compile_program("(loop [] (recur))"), PureHost(), ResourceLimits(wall_ms=5), {}, lambda: next(now))
    assert caught.value.code == "limit.wall"


@pytest.mark.parametrize("wrap", ["(try {} (catch e 1))", "(try {} (finally (/ 1 0)))", '(step "s" {})'])
def test_a_limit_cannot_be_caught_and_finally_does_not_run(wrap: str) -> None:
    assert exceeded(wrap.format("(loop [] (recur))"), steps_count=1_000).limit == "steps_count"


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("(loop [i 0 v [1]] (if (< i 60) (recur (+ i 1) [v v]) v))", "limit.value"),
        ("(for [a (range 0 3000) b (range 0 3000)] a)", "limit.value"),
        ("(loop [i 0 v []] (if (< i 1000) (recur (+ i 1) [v]) v))", "guest.nesting"),
    ],
)
def test_values_that_cannot_leave(text: str, error: str) -> None:
    with pytest.raises(CloisterError) as caught:
        run(text, value_bytes=100_000)
    assert caught.value.code == error


def test_deep_values_can_be_printed_compared_and_forgotten() -> None:
    nest = "(loop [i 0 v []] (if (< i 20000) (recur (+ i 1) [v]) v))"
    assert run(f"(count (str {nest}))").value == 40_002
    assert run(f"(= {nest} {nest})").value is True


def test_the_recursion_limit_is_put_back() -> None:
    before = sys.getrecursionlimit()
    try:
        sys.setrecursionlimit(4_321)
        run("(+ 1 2)")
        with pytest.raises(GuestError):
            run("(/ 1 0)")
        assert sys.getrecursionlimit() == 4_321
    finally:
        sys.setrecursionlimit(before)


def test_the_recursion_limit_is_left_alone_when_somebody_else_changed_it() -> None:
    before = sys.getrecursionlimit()
    try:
        run_deep(lambda: sys.setrecursionlimit(123_456), 100)
        assert sys.getrecursionlimit() == 123_456
    finally:
        sys.setrecursionlimit(before)


def test_long_flat_programs_compile() -> None:
    value: Value = run("(cond " + "false 1 " * 500 + ":else 7)").value
    assert value == 7
    assert run("(-> 1 " + "inc " * 500 + ")").value == 501


def test_a_call_stack_shows_a_repeated_call_once_and_how_often() -> None:
    error = exceeded("(defn f [n] (+ 1 (f n)))\n(defn start [] (f 1))\n(start)", depth_count=100)
    assert error.trace == (
        "f at <eval>:1:1",
        "f at <eval>:1:18",
        "… the same 98 more times",
        "start at <eval>:2:16",
        "program at <eval>:3:1",
    )


def test_a_call_stack_shows_functions_that_call_one_another_once() -> None:
    error = exceeded("(defn f [n] (+ 1 (g n)))\n(defn g [n] (+ 1 (f n)))\n(f 1)", depth_count=100)
    assert "… the same 2 lines 49 more times" in error.trace
    assert error.trace[-1] == "program at <eval>:3:1"
    assert len(error.trace) <= 8


def test_a_call_stack_without_repetitions_is_shown_as_it_is() -> None:
    text = "".join(f"(defn f{number} [] (+ 1 (f{number - 1})))\n" for number in range(1, 8))
    with pytest.raises(CloisterError) as caught:
        run("(defn f0 [] (/ 1 0))\n" + text + "(f7)")
    assert [line.split()[0] for line in caught.value.trace] == [f"f{number}" for number in range(8)] + ["program"]
