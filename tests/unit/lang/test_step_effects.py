"""What each step can reach: as little as can be told, and never less than it does."""

from __future__ import annotations

from typing import Final

import pytest

from cloister.lang.effects import Effect
from cloister.lang.program import compile_program
from cloister.lang.reaching import reached
from cloister.lang.step_effects import step_effects


def ids(effects: tuple[Effect, ...]) -> str:
    return " ".join(sorted({effect.capability_id or "?" for effect in effects}))


def found(text: str) -> dict[str, str]:
    """Return the ids each step reaches by its name, and those outside by the empty one."""
    plan = step_effects(compile_program(text, inputs=("given",)).core)
    return {"": ids(plan.outside), **{step.name or "?": ids(step.effects) for step in plan.steps}}


PROGRAMS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "what stands in it": ('(call :o) (step "a" (call :a)) (step "b" (call :b))', {"": "o", "a": "a", "b": "b"}),
    "nested steps": ('(step "a" (step "b" (call :b)) (call :a))', {"": "", "a": "a b", "b": "b"}),
    "the name and parameters are outside": (
        '(step (str "a" (call :n)) :params {"p" (call :p)} (call :a))', {"": "n p", "?": "a"}),
    "the undo": ('(step "a" :undo (fn [r] (call :u r)) (call :a)) (step "b" 1)', {"": "", "a": "a u", "b": ""}),
    "an undo by its name": (
        '(defn u [r] (call :u r)) (step "a" :undo u 1) (step "b" (map first []))', {"": "", "a": "u", "b": ""}),
    "an undo that is computed": (
        '(step "a" :undo (first [(fn [r] (call :u r))]) 1) (step "b" 1)', {"": "", "a": "u", "b": ""}),
    "a fallback, wherever what it is hinted at leads": (
        '(defn f [] (step "in" (call :f))) ^{:runtime.learning.fallback {:capability :b}} (step "a" (f)) (step "c" 1)',
        {"": "b", "in": "b f", "a": "b f", "c": ""}),
    "a fallback in a step": (
        '(step "a" ^{:runtime.learning.fallback {:capability :b :args [1]}} (call :a)) (step "c" (call :c))',
        {"": "", "a": "a b", "c": "c"}),
    "definitions": (
        '(defn g [] (call :g)) (defn f [] (g)) (step "a" (f)) (step "b" (g)) (step "c" 1)',
        {"": "", "a": "g", "b": "g", "c": ""}),
    "definitions of each other": (
        '(defn f [n] (call :f) (if (> n 0) (g n))) (defn g [n] (call :g) (f (- n 1))) (step "a" (g 1)) (step "b" 1)',
        {"": "", "a": "f g", "b": ""}),
    "steps in functions": (
        '(defn f [] (call :f) (step "in" (call :in))) (f) (step "a" (f))', {"": "f", "in": "in", "a": "f in"}),
    "bound functions": (
        '(let [f (fn [] (call :f))] (step "a" (f)) (step "b" 1))', {"": "", "a": "f", "b": ""}),
    "functions given to a builtin": (
        '(step "a" (map (fn [x] (call :m x)) [1])) (step "b" (reduce (fn [x y] (call :r)) 0 [1]))',
        {"": "", "a": "m", "b": "r"}),
    "named functions given to a builtin": (
        '(defn f [x] (call :f x)) (step "a" (map f [1])) (step "b" (map inc [1]))', {"": "", "a": "f", "b": ""}),
    "a parameter that is called": (
        '(defn on [f] (f 1)) (step "a" (on (fn [x] (call :a x)))) (step "b" (on (fn [x] (call :b x)))) (step "c" 1)',
        {"": "", "a": "a b", "b": "a b", "c": ""}),
    "an element that is called": (
        '(def fs [(fn [] (call :f))]) (step "a" ((first fs))) (step "b" (first fs))', {"": "", "a": "f", "b": ""}),
    "a function that is only called is no other's": (
        '(defn f [x] (call :f x)) (step "a" (f 1)) (step "b" (map (first [inc]) [1]))', {"": "", "a": "f", "b": ""}),
    "a function that a function gives": (
        '(defn make [] (fn [] (call :f))) (step "a" ((make))) (step "b" (make))', {"": "", "a": "f", "b": ""}),
    "a function a builtin made": (
        '(def f (comp (fn [x] (call :f x)) inc)) (step "a" (f 1)) (step "b" (comp inc inc))',
        {"": "", "a": "f", "b": ""}),
    "a builtin that calls another": (
        '(def f (fn [x] (call :f x))) (def g f) (step "a" (apply map [g [1]])) (step "b" 1)',
        {"": "", "a": "f", "b": ""}),
    "call as a value": (
        '(def c call) (step "a" (c given)) (step "b" (map call [:x])) (step "c" 1)',
        {"": "?", "a": "?", "b": "?", "c": ""}),
    "the later of two definitions": (
        '(defn f [] (call :one)) (step "a" (f)) (defn f [] (call :two)) (step "b" (f))',
        {"": "", "a": "one", "b": "two"}),
    "a definition that may not happen": (
        '(defn f [] (call :one)) (let [] (if given (defn f [] (call :two))) (step "a" (f))) (step "b" 1)',
        {"": "", "a": "one two", "b": ""}),
    "a definition whose value is used": (
        '(def fs [(defn f [] (call :f))]) (step "a" ((first fs))) (step "b" 1)', {"": "", "a": "f", "b": ""}),
    "keywords in the place of functions": (
        '(def f [(fn [] (call :f))]) (step "a" (:k {}) (map :k [])) (step "b" ((first f)))',
        {"": "", "a": "", "b": "f"}),
    "a builtin that may call any of its arguments": (
        '(def f (first [(fn [x] (call :f x))])) (step "a" (sort-by f [2 1])) (step "b" 1)',
        {"": "", "a": "f", "b": ""}),
    "other step forms": (
        "(step-if (call :t) (call :x)) (step-parallel (call :p)) (step-loop (call :l) (call :m))",
        {"": "", "step-if": "t x", "step-parallel": "p", "step-loop": "l m"}),
    "computed ids": ('(step "a" (call (str given) 1)) (step "b" 1)', {"": "", "a": "?", "b": ""}),
}  # fmt: skip


@pytest.mark.parametrize("name", PROGRAMS)
def test_steps_reach(name: str) -> None:
    text, expected = PROGRAMS[name]
    assert found(text) == expected


def test_steps_that_a_macro_made_share_a_place_and_what_they_reach() -> None:
    text = '(defmacro both [a b] `(do (step "s" ~a) (step "s" ~b))) (both (call :a) (call :b))'
    plan = step_effects(compile_program(text).core)
    by_place = {step.place: ids(step.effects) for step in plan.steps}
    assert set(" ".join(by_place.values()).split()) == {"a", "b"}


def test_a_step_tells_where_it_stands() -> None:
    text = '1 (step "a" (call :a "x"))'
    (step,) = step_effects(compile_program(text).core).steps
    assert (step.place, step.start, step.end) == (2, 2, len(text))


@pytest.mark.parametrize(
    ("edges", "expected"),
    [
        ([[]], [0b1]),
        ([[1], [2], []], [0b111, 0b110, 0b100]),
        ([[1], [0], [0]], [0b11, 0b11, 0b111]),
        ([[1], [2, 3], [0], []], [0b1111, 0b1111, 0b1111, 0b1000]),
        ([[2], [2], [3], [2, 4], []], [0b11101, 0b11110, 0b11100, 0b11100, 0b10000]),
    ],
)
def test_what_is_reached_in_a_graph(edges: list[list[int]], expected: list[int]) -> None:
    graph = [(1 << node, targets) for node, targets in enumerate(edges)]
    assert reached(graph) == expected
