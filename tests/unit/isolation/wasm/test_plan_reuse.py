"""One plan run many times, by many threads, on several engines: runs know nothing of one another."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.unit.isolation.wasm.running import error_of, outcome_of, plans, value_of

from cloister.clock import SystemClock
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, EngineSettings
from cloister.isolation.wasm.plans import Plans
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program
from cloister.limits import ResourceLimits

PLAN = """(def kept (assoc {:a [1 2 3]} :name (str "kept " given))) (defn f [n] (if (= n 0) [] (conj (f (- n 1)) n)))
(def late (fn [] (count kept))) [(f 20) kept (late) (sort (map (fn [x] (mod (* x x given) 7)) (range 50)))]"""


def test_a_plan_run_200_times_gives_the_same_each_time() -> None:
    first = outcome_of(PLAN, inputs={"given": 3})
    for _ in range(200):
        again = outcome_of(PLAN, inputs={"given": 3})
        assert again.value == first.value
        assert again.memory_peak_bytes == first.memory_peak_bytes
    assert repr(plans()) != "Plans(0 kept)"


def test_runs_with_other_inputs_do_not_see_one_another() -> None:
    values = [value_of(PLAN, inputs={"given": given}) for given in (1, 2, 1, 2)]
    assert values[0] == values[2]
    assert values[1] == values[3]
    assert values[0] != values[1]


def test_four_threads_at_once_get_what_one_gets() -> None:
    expected = {given: value_of(PLAN, inputs={"given": given}) for given in range(8)}
    failing = "(defn f [n] (if (= n 0) (throw (str given)) (+ 1 (f (- n 1))))) (f 9)"

    def run(number: int) -> bool:
        given = number % 8
        if number % 5 == 0:
            return error_of(failing, inputs={"given": given}).message == str(given)
        return bool(value_of(PLAN, inputs={"given": given}) == expected[given])

    with ThreadPoolExecutor(4) as threads:
        assert all(threads.map(run, range(120)))


def test_engines_live_side_by_side() -> None:
    bounds, program = ResourceLimits(), compile_program('(defn f [n] (call :x n)) (try (f 1) (catch e "refused"))')
    for _ in range(3):
        engine = Engine(EngineSettings(has_canonical_nans=False))
        other = Plans(engine, None)
        assert other.run(program, PureHost(), bounds, {}, Deadline(bounds, SystemClock())).value == "refused"
        assert value_of("(+ 1 2)") == 3
        engine.close()
