"""Limits bite inside builtins too, before the work is done; with enough of everything the same program runs."""

from __future__ import annotations

import pytest

from cloister.errors import LimitExceeded
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program, run_program
from cloister.limits import ResourceLimits

# What the program needs at least a thousand steps for, in one call of a builtin or a few
WORK = [
    "(count (range 0 5000))",
    '(count (repeat 5000 "x"))',
    "(count (str (range 0 5000)))",
    "(first (sort (map - (range 0 5000))))",
    "(first (sort-by - (range 0 5000)))",
    "(first (sort > (range 0 5000)))",
    '(count (string-join "," (map str (range 0 5000))))',
    "(reduce + (range 0 5000))",
    "(count (reduce conj [] (range 0 5000)))",
    "(count (filter even? (range 0 5000)))",
    "(count (group-by even? (range 0 5000)))",
    "(count (frequencies (range 0 5000)))",
    "(count (distinct (range 0 5000)))",
    "(count (reverse (range 0 5000)))",
    "(count (concat (range 0 5000) [1]))",
    "(count (into [] (range 0 5000)))",
    "(count (partition 2 (range 0 5000)))",
    "(count (interleave (range 0 5000) (range 0 5000)))",
    "(count (zipmap (range 0 5000) (range 0 5000)))",
    "(= (range 0 5000) (range 0 5000))",
    "(count (serialize-json (range 0 5000)))",
    "(count (parse-json (str \"[\" (string-join \",\" (map str (range 0 5000))) \"]\")))",
    "(let [v (vec (range 0 5000))] (count (update v 0 inc)))",
    "(apply + (range 0 5000))",
    "(some? (fn [x] (> x 10000)) (range 0 5000))",
    "(every? int? (range 0 5000))",
    "(mapcat vector (range 0 5000))",
    "(flatten [(range 0 5000)])",
    "(loop [s \"a\" i 0] (if (< i 24) (recur (str s s) (+ i 1)) (count s)))",
    "(loop [v [1] i 0] (if (< i 13) (recur [v v] (+ i 1)) (count (str v))))",
    "(loop [v [1] i 0] (if (< i 13) (recur [v v] (+ i 1)) (= v v)))",
    '(re-matches "(a*)*b" (string-join "" (map (fn [x] "a") (range 0 3000))))',
]  # fmt: skip
PLENTY = ResourceLimits(value_bytes=64 * 2**20)
GUARDS = [
    "{}",
    "(try {} (catch e 1))",
    "(try {} (finally 1))",
    "(try (try {} (catch e (throw e))) (catch e 2) (finally 3))",
]


def spent(text: str, limits: ResourceLimits) -> int:
    return run_program(compile_program(text), PureHost(), limits, {}).steps_count


@pytest.mark.parametrize("text", WORK)
@pytest.mark.parametrize("guard", GUARDS)
def test_steps_are_spent_inside_builtins_and_nothing_catches_the_refusal(text: str, guard: str) -> None:
    needed = spent(text, PLENTY)
    assert needed >= 1_000, "this is no work"
    guarded = guard.format(text)
    with pytest.raises(LimitExceeded) as caught:
        spent(guarded, ResourceLimits(steps_count=needed // 2, value_bytes=PLENTY.value_bytes))
    assert caught.value.code == "limit.steps"
    assert caught.value.span is not None
    assert spent(guarded, ResourceLimits(steps_count=needed + 10, value_bytes=PLENTY.value_bytes)) <= needed + 10


@pytest.mark.parametrize("text", WORK)
def test_refusals_are_exact(text: str) -> None:
    needed = spent(text, PLENTY)
    bytes_ = PLENTY.value_bytes
    assert spent(text, ResourceLimits(steps_count=needed, value_bytes=bytes_)) == needed
    with pytest.raises(LimitExceeded):
        spent(text, ResourceLimits(steps_count=needed - 1, value_bytes=bytes_))


@pytest.mark.parametrize(
    "text",
    [
        "(count (range 0 {}))",
        '(count (loop [s "a" i 0] (if (< i 20) (recur (subs (str s s) 0 (min {} (* 2 (count s)))) (+ i 1)) s)))',
        "(count (reduce conj [] (range 0 {})))",
        "(count (for [a (range 0 {})] a))",
    ],
)
def test_values_are_bounded_inside_builtins(text: str) -> None:
    limits = ResourceLimits(value_bytes=80_000)
    assert run_program(compile_program(text.format(5_000)), PureHost(), limits, {}).value == 5_000
    with pytest.raises(LimitExceeded) as caught:
        run_program(compile_program(text.format(400_000)), PureHost(), limits, {})
    assert caught.value.code == "limit.value"


def test_a_deadline_passes_inside_a_builtin() -> None:
    now = iter(range(0, 10**15, 1_000_000))
    text = "(sort (fn [a b] (< (+ a (count (range 0 100))) b)) (range 0 3000))"
    with pytest.raises(LimitExceeded) as caught:
        run_program(compile_program(text), PureHost(), ResourceLimits(wall_ms=20), {}, lambda: next(now))
    assert caught.value.code == "limit.wall"
