"""What is measured of WebAssembly does what it says, whatever it takes."""

from __future__ import annotations

import pytest
from benchmarks import wasm, wasm_metering, wasm_plans
from benchmarks.timing import WrongAnswer

from cloister.isolation.wasm.binding import binding
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan


@pytest.fixture(scope="module")
def engine():
    made = wasm.Wasm()
    yield made
    made.engine.close()


def test_the_module_by_hand_gives_what_the_plan_gives(engine) -> None:
    assert engine.by_hand(wasm.FIB_WAT, "fib", 20)() == 6765
    assert engine.job(wasm.FIB_RTFS.replace("(fib 32)", "(fib 20)"))() == 6765


@pytest.mark.parametrize("name", wasm.JOBS)
def test_both_engines_give_the_same_of_a_job(engine, name) -> None:
    text = wasm.JOBS[name]
    assert to_text(engine.job(text)()) == to_text(wasm.interpreted(text)())


def test_a_job_that_differs_ends_the_measurement(engine) -> None:
    with pytest.raises(WrongAnswer):
        wasm.measured({"one": lambda: 1, "other": lambda: 1.0}, "group", rounds=1)
    rows = wasm.measured({"one": lambda: 1, "other": lambda: 1}, "group", rounds=1)
    assert [(row.subject, row.rounds) for row in rows] == [("one", 1), ("other", 1)]


def test_what_a_job_leaves_to_its_host_is_counted(engine) -> None:
    asked = wasm.questions(engine.job('(do (parse-json "1") (parse-json "2"))'))
    assert asked == {"parse-json": 2}
    assert not wasm.questions(engine.job("(+ 1 2)"))


def test_the_plan_that_is_compiled_gives_the_same_on_both_engines(engine) -> None:
    texts = wasm_plans.editions()
    first, second = next(texts), next(texts)
    assert first != second
    assert first.count("\n") == wasm_plans.LINES_COUNT
    wasm.require_same(second, engine)


@pytest.mark.parametrize("meters", wasm_metering.ALL, ids=lambda meters: meters.name)
def test_plans_run_without_what_could_end_them(meters) -> None:
    bare = wasm_metering.Bare(meters)
    bare.subject("(count (str 1 2 3))", 3).stage()()
    with pytest.raises(WrongAnswer):
        bare.subject("(count (str 1 2 3))", 4).stage()()


def test_a_plan_that_asks_its_host_is_not_measured_without_meters() -> None:
    with pytest.raises((WrongAnswer, binding().api.WasmtimeError)):
        wasm_metering.Bare(wasm_metering.ALL[0]).subject('(parse-json "1")', 1).stage()()


def test_only_an_engine_with_fuel_counts_it() -> None:
    module = compile_plan(compile_program("(+ 1 2)").core).wasm
    sizes = [
        len(binding().api.Module(wasm_metering.Bare(each).engine, module).serialize()) for each in wasm_metering.ALL
    ]
    assert sizes[0] > sizes[-1]
