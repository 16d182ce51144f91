"""Where variables live: what functions capture, as values and as cells, and what is static."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from cloister.lang import core
from cloister.lang.program import compile_program
from cloister.lang.python_engine.functions import Functions
from cloister.lang.wasm_engine.compiler.captures import Captures


def captures_of(text: str) -> tuple[Captures, dict[str, core.Lambda]]:
    """Return the facts of a program, and its functions by name."""
    program = compile_program(text).core
    functions = {each.name: each for each in core.walk(program) if isinstance(each, core.Lambda)}
    return Captures(program, Functions(program)), functions


def names(variables: Iterable[core.Variable]) -> list[str]:
    """Return the names of variables, in order."""
    return sorted(each.name for each in variables)


@pytest.mark.parametrize(
    ("text", "function", "captured"),
    [
        ("(defn f [x] x) (f 1)", "f", []),
        ("(def a 1) (defn f [x] (+ x a)) (f 1)", "f", []),
        ("(defn g [a] (let [f (fn [x] (+ x a))] (f 1))) (g 1)", "f", ["a"]),
        ("(defn g [a b] (let [f (fn [x] (list x b a b))] (f 1))) (g 1 2)", "f", ["a", "b"]),
        ("(defn g [a] (let [f (fn [x] (let [h (fn [] a)] (h)))] (f 1))) (g 1)", "f", ["a"]),
        ("(defn g [a] (let [f (fn [x] a) h (fn [] (f 1))] (h))) (g 1)", "h", ["f"]),
        ("(defn g [a] (let [f (fn [x] x) h (fn [] (f 1))] (h))) (g 1)", "h", []),
        ("(loop [i 0 made []] (if (< i 3) (recur (inc i) (conj made (fn [] i))) made))", "fn", ["i"]),
        ("(for [i [1 2]] (fn [] i))", "fn", ["i"]),
        ("(defn g [f0] (let [] (defn f [n] (if (= n 0) f0 (f (dec n)))) (f 1))) (g 1)", "f", ["f0"]),
    ],
)
def test_a_function_captures_what_it_reads_from_around_it(text: str, function: str, captured: list[str]) -> None:
    captures, functions = captures_of(text)
    assert names(captures.captured(functions[function])) == captured
    assert captures.has_self(functions[function]) is bool(captured)
    for position, variable in enumerate(captures.captured(functions[function])):
        assert captures.position(functions[function], variable) == position


def test_variables_of_the_program_that_functions_read_are_static() -> None:
    captures, _ = captures_of("(def a 1) (def b 2) (let [c 3] (defn f [] [a c]) [(f) b])")
    assert {"a", "c"} <= set(names(captures.static))
    assert "b" not in names(captures.static)


def test_what_is_assigned_after_it_was_captured_has_a_cell() -> None:
    captures, functions = captures_of("(defn g [n] (let [] (defn f [] (late)) (def late (fn [] n)) (f))) (g 1)")
    assert "late" in names(captures.captured(functions["f"]))
    assert "late" in names(captures.cells)
    assert names(captures.cells_of(functions["g"])) == names(captures.cells)


def test_what_is_assigned_before_has_none() -> None:
    captures, functions = captures_of("(defn g [n] (let [early (list n) f (fn [] early)] (f))) (g 1)")
    assert names(captures.captured(functions["f"])) == ["early"]
    assert not captures.cells


def test_a_function_that_is_a_value_in_its_own_code_knows_itself_and_captures_nothing() -> None:
    captures, functions = captures_of("(defn f [n] (if (= n 0) f (f (dec n)))) (f 3)")
    assert captures.captured(functions["f"]) == ()


def test_functions_have_the_same_numbers_each_time() -> None:
    text = "(defn a [] 1) (defn b [] (fn [] 2)) [(a) (b)]"
    numbers = []
    for _ in range(2):
        captures, functions = captures_of(text)
        numbers.append({name: captures.number(function) for name, function in functions.items()})
    assert numbers[0] == numbers[1]
    assert sorted(numbers[0].values()) == [0, 1, 2]


def test_a_long_chain_of_functions_that_capture_is_settled_in_one_go() -> None:
    """Each of them captures because the one before does; to look at all again for each would take minutes."""
    chain = "".join(f"(defn f{number} [x] (f{number - 1} x)) " for number in range(1, 1500))
    captures, functions = captures_of(f"(defn g [a] (let [] (defn f0 [x] (list x a)) {chain} (f1499 1))) (g 1)")
    assert names(captures.captured(functions["f1499"])) == ["f1498"]
    assert names(captures.captured(functions["f0"])) == ["a"]
