"""The budget: what it counts, and that builtins ask it before they build."""

from __future__ import annotations

from collections.abc import Callable
from threading import Thread

import pytest

from cloister.errors import LimitExceeded
from cloister.lang.stdlib.budget import Budget, current, install, uninstall
from cloister.limits import ResourceLimits


def test_steps_are_counted_and_refused_beyond_the_limit() -> None:
    budget = Budget(ResourceLimits(steps_count=10))
    budget.charge_steps(10)
    assert (budget.steps_count, budget.steps_left) == (10, 0)
    with pytest.raises(LimitExceeded) as caught:
        budget.charge_steps(1)
    error = caught.value
    assert (error.code, error.limit, error.allowed, error.used, error.unit) == (
        "limit.steps",
        "steps_count",
        10,
        11,
        "steps",
    )


def test_a_value_is_refused_beyond_its_size_and_costs_steps() -> None:
    budget = Budget(ResourceLimits(value_bytes=4_096))
    budget.charge_value_bytes(4_096)
    assert budget.steps_count == 4
    with pytest.raises(LimitExceeded) as caught:
        budget.charge_value_bytes(4_097)
    error = caught.value
    assert (error.code, error.limit, error.allowed, error.used, error.unit) == (
        "limit.value",
        "value_bytes",
        4_096,
        4_097,
        "bytes",
    )


def test_an_element_is_a_step_and_eight_bytes() -> None:
    budget = Budget(ResourceLimits(value_bytes=80))
    budget.charge_elements(10)
    assert budget.steps_count == 10
    with pytest.raises(LimitExceeded) as caught:
        budget.charge_elements(11)
    assert caught.value.code == "limit.value"


def test_looking_through_a_text_costs_only_steps() -> None:
    budget = Budget(ResourceLimits(value_bytes=1, steps_count=10))
    budget.charge_scan(10 * 1024)
    with pytest.raises(LimitExceeded) as caught:
        budget.charge_scan(1024)
    assert caught.value.code == "limit.steps"


def test_building_large_values_again_and_again_ends_at_the_step_limit() -> None:
    budget = Budget(ResourceLimits(steps_count=10))
    budget.charge_value_bytes(10 * 1024)
    with pytest.raises(LimitExceeded) as caught:
        budget.charge_value_bytes(1024)
    assert caught.value.code == "limit.steps"


def test_the_depth_error_names_the_limit() -> None:
    budget = Budget(ResourceLimits(depth_count=3))
    budget.depth_count = 4
    error = budget.depth_error()
    assert (error.code, error.allowed, error.used) == ("limit.depth", 3, 4)


def test_the_installed_budget_is_the_current_one_until_it_is_uninstalled() -> None:
    outer, inner = Budget(), Budget()
    first = install(outer)
    second = install(inner)
    assert current() is inner
    uninstall(second)
    assert current() is outer
    uninstall(first)
    assert current() is not outer


def test_outside_a_run_the_default_limits_hold_afresh() -> None:
    current().charge_steps(1_000)
    assert current().steps_count == 0
    assert current().value_bytes == ResourceLimits().value_bytes


def test_another_thread_does_not_see_the_budget() -> None:
    budget = Budget()
    token = install(budget)
    seen: list[Budget] = []
    thread = Thread(target=lambda: seen.append(current()))
    thread.start()
    thread.join()
    uninstall(token)
    assert seen[0] is not budget


LARGE = [
    "(range 0 9223372036854775807)",
    "(range -9223372036854775808 9223372036854775807 2)",
    "(numbers 0 9223372036854775807)",
    '(string-repeat "abc" 9223372036854775807)',
    '(replace (string-repeat "a" 100) "a" (string-repeat "b" 100))',
    '(join (string-repeat "-" 100) (range 100))',
    '(str (string-repeat "a" 4000) (string-repeat "b" 4000))',
    "(concat (range 400) (range 400))",
    "(into (range 400) (range 400))",
    "(mapcat identity [(range 260) (range 260)])",
    '(split (string-repeat "," 600) ",")',
    '(serialize-json [(string-repeat "a" 4000) (string-repeat "a" 4000)])',
    '(string-upper (string-repeat "ß" 3000))',
]
STILL_FITTING = [
    "(range 0 500)",
    "(numbers 0 400)",
    '(string-repeat "abc" 1000)',
    '(replace (string-repeat "a" 10) "a" (string-repeat "b" 100))',
    '(join "-" (range 100))',
    '(str (string-repeat "a" 2000) (string-repeat "b" 2000))',
    "(concat (range 200) (range 200))",
    "(into (range 200) (range 200))",
    "(mapcat range (range 10))",
    '(split (string-repeat "," 400) ",")',
    '(serialize-json [(string-repeat "a" 2000)])',
    '(string-upper (string-repeat "ß" 1000))',
]


@pytest.mark.parametrize("text", LARGE)
@pytest.mark.usefixtures("small_budget")
def test_a_large_result_is_refused_before_it_is_built(text: str, run: Callable[[str], object]) -> None:
    with pytest.raises(LimitExceeded) as caught:
        run(text)
    assert caught.value.code == "limit.value"


@pytest.mark.parametrize("text", STILL_FITTING)
@pytest.mark.usefixtures("small_budget")
def test_a_result_within_the_limit_is_built(text: str, run: Callable[[str], object]) -> None:
    assert run(text)


LOOPING = [
    "map inc",
    "filter even?",
    "reduce +",
    "sort",
    "sort-by -",
    "every? int?",
    "some string?",
    "distinct",
    "frequencies",
    "group-by even?",
]


@pytest.mark.parametrize("call", LOOPING)
def test_every_element_costs_a_step(call: str, run: Callable[[str], object], small_budget: Budget) -> None:
    before = small_budget.steps_count
    run(f"({call} (range 100))")
    assert small_budget.steps_count - before >= 200  # 100 to make the range, one for each element used


@pytest.mark.parametrize("call", ["map inc", "filter even?", "reduce +", "sort", "reverse", "concat [0]"])
@pytest.mark.usefixtures("small_budget")
def test_steps_used_up_end_a_builtin(call: str, run: Callable[[str], object]) -> None:
    with pytest.raises(LimitExceeded) as caught:
        run(f"[(range 500) (range 500) (range 500) (range 380) ({call} (range 100))]")
    assert caught.value.code == "limit.steps"
