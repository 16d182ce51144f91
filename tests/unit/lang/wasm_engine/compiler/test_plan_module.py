"""Modules of plans: what they import is what they can do, they are the same each time, too large ones are refused."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from wasmtime import Config, Engine, Module

from cloister.errors import CompileError
from cloister.lang.program import compile_program
from cloister.lang.wasm_engine.compiler import sizes
from cloister.lang.wasm_engine.compiler.places import COMPUTED, CompiledPlan
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.lang.wasm_engine.runtime_module import runtime_support


def compiled(text: str) -> CompiledPlan:
    """Compile a program."""
    return compile_plan(compile_program(text).core, runtime_support().signatures)


def capabilities(text: str) -> list[str]:
    """Return what a module imports as capabilities, read from its bytes."""
    config = Config()
    config.wasm_exceptions = config.wasm_tail_call = config.wasm_wide_arithmetic = True
    module = Module(Engine(config), compiled(text).wasm)
    return [each.name or "" for each in module.imports if each.module == "capability"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("(+ 1 2)", []),
        ("(call :a.b 1)", ["a.b"]),
        ('(call :a 1) (call "b") (call :a 2)', ["a", "b"]),
        ("(defn never [] (call :a)) 1", ["a"]),
        ("(try (call :a) (catch e 1) (catch Generic f (call :b)))", ["a", "b"]),
        ("(try (call :a) (catch e 1) (catch f (map call [:b])))", ["a", COMPUTED]),
        ('(call (str "a" "b"))', [COMPUTED]),
        ("(map call [:a])", [COMPUTED]),
        ("(call :a) (map call [:a])", ["a", COMPUTED]),
        ('(call "*")', [COMPUTED]),
    ],
)
def test_a_module_imports_the_capabilities_its_program_can_reach(text: str, expected: list[str]) -> None:
    plan = compiled(text)
    assert capabilities(text) == expected
    assert [name for space, name in plan.imports if space == "capability"] == expected
    assert plan.capabilities == tuple(name for name in expected if name != COMPUTED)
    assert plan.is_computed is (COMPUTED in expected)


def test_everything_else_a_module_imports_is_of_the_runtime() -> None:
    plan = compiled('(defn f [x] (try (map inc x) (catch e (call :a (str e))))) (f [1 2.5 "a"])')
    assert {space for space, _ in plan.imports} == {"runtime", "capability"}
    known = {"memory", "table", "error", *runtime_support().signatures}
    assert {name for space, name in plan.imports if space == "runtime"} <= known


def test_what_is_not_used_is_not_imported() -> None:
    names = {name for _, name in compiled("1").imports}
    assert names == {"memory", "table", "error", "cross_out", "begin_plan"}


def test_functions_and_places_are_known_by_their_index() -> None:
    plan = compiled("(defn f [x] (throw x)) (defn g [x] (f x)) (g 1)")
    assert [each.name for each in plan.functions if each.name] == ["f", "g", "program"]
    assert (0, 22) in plan.places
    assert plan.closures == ()
    assert compiled("(defn f [a & more] a) (map f [1])").closures == (("f", "at least 1"),)


def test_the_same_program_gives_the_same_bytes_in_every_process() -> None:
    text = (
        '(defn f [a] (let [b (list a) g (fn [c] (list a b c))] (def late (fn [] g)) (map g [:x "y" 1.5 {:k 1}]))) (f 1)'
    )
    script = (
        "import hashlib, sys\nfrom cloister.lang.program import compile_program\n"
        "from cloister.lang.wasm_engine.compiler.plan_module import compile_plan\n"
        "print(hashlib.sha256(compile_plan(compile_program(sys.argv[1]).core).wasm).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", script, text],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            check=True, capture_output=True, text=True,
        ).stdout
        for seed in ("0", "1", "2")
    }  # fmt: skip
    assert len(digests) == 1


def test_a_function_with_too_many_arguments_is_refused_in_words() -> None:
    names = " ".join(f"p{number}" for number in range(1100))
    with pytest.raises(CompileError) as raised:
        compiled(f"(defn f [{names}] p0) (f {'1 ' * 1100})")
    assert raised.value.code == "compile.size"
    assert "arguments" in raised.value.message
    assert compiled(f"(defn f [{names[:400].rsplit(' ', 1)[0]}] p0)").wasm


def test_an_id_that_is_too_long_is_refused_in_words() -> None:
    with pytest.raises(CompileError) as raised:
        compiled(f'(call "{"a" * (sizes.NAME_BYTES_MAX + 1)}")')
    assert raised.value.code == "compile.size"
    assert compiled(f'(call "{"a" * sizes.NAME_BYTES_MAX}")').capabilities


def test_what_a_function_needs_grows_with_it_and_not_with_its_square() -> None:
    """The machine code compiler has a table of all blocks for each variable and for each result of a block."""

    def variables(count: int) -> int:
        sums = " ".join(f"(if (< x {number}) (+ x {number}) (or nil x))" for number in range(count))
        written = compiled(f"(defn f [x] [{sums}]) (f 1)").wasm
        return written.count(b"\x04\x7e") + written.count(b"\x02\x7e") + written.count(b"\x03\x7e")

    assert variables(400) < variables(10) + 40, "blocks with results"
