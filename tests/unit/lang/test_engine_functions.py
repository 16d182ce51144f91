"""The two ways functions are called, and what is known about values without looking at them."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

from cloister.errors import CloisterError, GuestError, LimitExceeded
from cloister.lang.host import PureHost
from cloister.lang.program import compile_program, run_program
from cloister.lang.values import Value
from cloister.limits import ResourceLimits


def run(text: str, inputs: dict[str, Value] | None = None, **limits: int) -> Value:
    given = inputs or {}
    return run_program(compile_program(text, inputs=given), PureHost(), ResourceLimits(**limits), given).value


def refused(text: str) -> CloisterError:
    with pytest.raises(CloisterError) as caught:
        run(text)
    return caught.value


# A function that is called by name takes the depth before its own arguments; nobody can hand it another one


@pytest.mark.parametrize("call", ["(apply f [1 2])", "(let [g f] (g 1 2))", "((fn [h] (h 1 2)) f)", "(reduce f [1 2])"])
def test_a_function_passed_around_refuses_an_argument_too_many(call: str) -> None:
    error = refused(f"(defn f [n] (if (= n 0) 0 (f (- n 1)))) (f 3) {call}")
    assert (error.kind, error.message) == ("ArityMismatch", "Arity mismatch in f: expected 1, got 2")


def test_a_function_passed_around_refuses_too_few_arguments() -> None:
    error = refused("(defn f [a b & more] (if (= a 0) b (f (- a 1) b))) (f 3 4) (map f [1])")
    assert (error.kind, error.message) == ("ArityMismatch", "Arity mismatch in f: expected at least 2, got 1")


def test_a_function_of_any_number_of_arguments_gets_them_both_ways() -> None:
    assert run("(defn f [a & more] [a more]) [(f 1) (f 1 2 3) (apply f [1 2 3])]") == (
        (1, ()), (1, (2, 3)), (1, (2, 3)),
    )  # fmt: skip


def test_a_function_is_itself_however_it_is_reached() -> None:
    assert run("(defn f [n] (if (= n 0) f (f (- n 1)))) [(= f f) (= (f 3) f) (= (fn [] 1) (fn [] 1))]") == (
        True, True, False,
    )  # fmt: skip


def test_functions_that_call_one_another_may_be_defined_in_any_order() -> None:
    text = """
    (defn even [n] (if (= n 0) true (odd (- n 1))))
    (defn odd [n] (if (= n 0) false (even (- n 1))))
    [(even 9000) (map odd [1 2])]
    """
    assert run(text) == (True, (True, False))


def test_a_function_called_before_its_definition_is_refused_before_its_arguments_are_evaluated() -> None:
    error = refused("(defn f [] (g (/ 1 0))) (f) (defn g [x] x)")
    assert (error.kind, error.code) == ("UndefinedSymbol", "guest.undefined")


# Depth is the same number however calls are made


@pytest.mark.parametrize(
    "call",
    [
        "(f (- n 1))", "(first (map f [(- n 1)]))", "(let [g f] (g (- n 1)))", "(apply f [(- n 1)])",
        "(reduce (fn [a x] a) (f (- n 1)) [1])", "(first (for [x [(- n 1)]] (f x)))",
        "(loop [i 0 h nil] (if (< i 1) (recur 1 (fn [] i)) (f (- n 1))))",
        "(try (f (- n 1)) (catch GenericError e e))",
        "(do (try (f 0) (catch e e)) (map inc [1]) (f (- n 1)))",
        "(do (map (fn [x] (first (map inc [x]))) [1 2]) (f (- n 1)))",
    ],
)  # fmt: skip
def test_depth_counts_calls_however_they_are_made(call: str) -> None:
    text = f"(defn f [n] (if (= n 0) 0 (do {call}))) (f {{}})"
    assert run(text.format(47), depth_count=50) == 0
    with pytest.raises(LimitExceeded) as caught:
        run(text.format(50), depth_count=50)
    assert (caught.value.code, caught.value.used) == ("limit.depth", 51)


def test_calls_through_builtins_give_their_depth_back() -> None:
    text = "(defn f [n] (if (= n 0) 0 (first (map f [(- n 1)])))) (map f (map (fn [x] 20) (range 0 500)))"
    assert run(text, depth_count=22) == (0,) * 500


def test_an_error_caught_deep_inside_a_builtin_gives_its_depth_back() -> None:
    text = """
    (defn f [n] (if (= n 0) (/ 1 0) (first (map f [(- n 1)]))))
    (map (fn [x] (try (f 20) (catch e :caught))) (range 0 200))
    """
    assert len(run(text, depth_count=25)) == 200


def from_depth(frames: int, action: Callable[[], Value]) -> Value:
    return action() if frames == 0 else from_depth(frames - 1, action)


@pytest.mark.parametrize("frames", [0, 300, 700])
def test_ten_thousand_calls_nest_however_deep_the_caller_is(frames: int) -> None:
    nest = "(defn f [n] (if (= n 1) 1 (+ 1 (f (- n 1))))) (f 10000)"
    assert from_depth(min(frames, sys.getrecursionlimit() - 250), lambda: run(nest)) == 10_000


# Integers: the short ways check less where more is known, and never too little

EDGES = [-(2**63), -(2**63) + 1, -(2**30), -1, 0, 1, 2, 2**30 - 1, 2**30, 2**62, 2**63 - 2, 2**63 - 1]


@pytest.mark.parametrize("operator", ["+", "-", "*"])
def test_results_fit_or_are_refused_at_every_edge(operator: str) -> None:
    exact = {"+": int.__add__, "-": int.__sub__, "*": int.__mul__}[operator]
    for left in EDGES:
        for right in EDGES:
            wanted = exact(left, right)
            known = f"(defn f [a b] ({operator} a b)) (f {left} {right})"
            unknown = f"({operator} x {right})"
            half = f"(let [a {left}] (if (>= a {left}) ({operator} a {right}) 0))"
            for text in (known, unknown, half):
                if -(2**63) <= wanted < 2**63:
                    assert run(text, {"x": left}) == wanted, text
                else:
                    with pytest.raises(GuestError, match=f"Arithmetic overflow in \\{operator}"):
                        run(text, {"x": left})


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(defn f [n] (if (< n 2) n (f (- n 1)))) [(f 5) (f 1.5)]", (1, 1.5)),
        ("(defn f [a b] (if (= a 0) b (f (- a 1) (+ b 0.5)))) (f 3 0)", 1.5),
        ("(loop [i 0 x 1] (if (< i 3) (recur (+ i 1) (* x 0.5)) x))", 0.125),
        ("(defn f [a] (+ a 1)) (def g f) (map g [1 2.5])", (2, 3.5)),
        ("(defn f [a] (if (> a 3) nil a)) (map (fn [x] (= (f x) nil)) [1 9])", (False, True)),
        ("(dotimes [i 3] (+ i 1))", 3),
        ("(let [x (if true 1 1.5)] (+ x 1))", 2),
        ("(and true (+ 1 1))", 2),
    ],
)
def test_kinds_that_mix_are_not_taken_for_integers(text: str, value: Value) -> None:
    found = run(text)
    assert found == value
    assert [type(part) for part in (found if isinstance(found, tuple) else [found])] == [
        type(part) for part in (value if isinstance(value, tuple) else [value])
    ]


def test_booleans_that_reach_arithmetic_through_functions_are_refused() -> None:
    assert refused("(defn f [a] (+ a 1)) (f (first [true]))").kind == "TypeError"


@pytest.mark.parametrize("length", [2, 60])
def test_what_comes_through_a_long_chain_of_functions_is_not_taken_for_an_integer(length: int) -> None:
    # Each function stands before the one that calls it, so what is known travels one function at a time
    chain = "".join(f"(defn f{number} [n] (f{number + 1} n))" for number in range(length - 1, -1, -1))
    text = f"(defn f{length} [n] (+ n n)) {chain} (f{length} 1)"
    assert run(f"{text} (f0 (first [2]))") == 4
    assert refused(f"{text} (f0 (first [true]))").kind == "TypeError"


def test_compiled_code_is_kept_by_what_the_program_is() -> None:
    text = '(+ 40 2) "a text of this test alone"'
    first, second = compile_program(text, "one"), compile_program(text, "two")
    assert first is not second
    assert first.code() is second.code()
    assert first.code() is not compile_program(text + " ", "one").code()


def test_errors_name_the_text_of_the_program_that_runs_whoever_made_the_code() -> None:
    text = "(do 1 (/ 1 (- 1 1)))"
    for name in ("one", "two"):
        with pytest.raises(GuestError) as caught:
            run_program(compile_program(text, name), PureHost(), ResourceLimits(), {})
        assert str(caught.value.span) == f"{name}:1:7"
