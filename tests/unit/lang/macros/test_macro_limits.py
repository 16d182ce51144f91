"""Texts whose macros would never end, or never fit: refused, each with a twin that is allowed."""

from __future__ import annotations

import pytest

from cloister.errors import CompileError
from cloister.lang.macros import expander
from cloister.lang.program import compile_program


def refused(text: str) -> CompileError:
    with pytest.raises(CompileError) as caught:
        compile_program(text)
    assert caught.value.span is not None
    assert caught.value.hint
    return caught.value


@pytest.mark.parametrize(
    ("bad", "good", "says"),
    [
        ("(defmacro m [] `(m)) (m)", "(defmacro m [] `(inc 1)) (m)", "nested deeper"),
        (
            "(defmacro m [n] `(inc (m ~n))) (m 1)",
            "(defmacro m [n] (if (= n 0) 0 `(inc (m ~(dec n))))) (m 150)",
            "nested deeper",
        ),
        (
            "(defmacro d [x] `(do ~x ~x)) " + "(d " * 60 + "1" + ")" * 60,
            "(defmacro d [x] `(do ~x ~x)) " + "(d " * 8 + "1" + ")" * 8,
            "macros",
        ),
        ("(defmacro m [x] `(m [~x ~x])) (m 1)", "(defmacro m [x] `[~x ~x]) (m 1)", "forms larger"),
        (
            "(defmacro m [x] (vec (range 60000))) (m 1)",
            "(defmacro m [x] (vec (range 6000))) (m 1)",
            "forms larger",
        ),
        ("(defmacro m [x] x) " + "(m 1) " * 6_000, "(defmacro m [x] x) " + "(m 1) " * 1_000, "more than 5000 times"),
        ("(defmacro m [] (loop [] (recur))) (m)", "(defmacro m [] (loop [i 0] (if (< i 99) (recur (inc i)) i))) (m)",
         "200000 steps"),
        (
            "(defmacro m [] (do (sort (range 9000)) 1)) " + "(m) " * 100,
            "(defmacro m [] (do (sort (range 9000)) 1)) (m)",
            "200000 steps",
        ),
        (
            "(defmacro m [x] x) " + "(m " * 190 + "[" + "1 " * 20_000 + "]" + ")" * 190,
            "(defmacro m [x] x) " + "(m " * 10 + "[" + "1 " * 20_000 + "]" + ")" * 10,
            "handed more than",
        ),
        (
            "(defmacro m [] (vector " + "(inc 1) " * 4_000 + ")) (m)",
            "(defmacro m [] (vector " + "(inc 1) " * 400 + ")) (m)",
            "code of the macros",
        ),
        (
            # Larger than is generated: nothing after it is resolved
            "(defn f [] " + "1 " * 6_000 + ") (defn g [] (call :a.b)) (defmacro m [] (f) (g)) (m)",
            "(defn f [] " + "1 " * 600 + ") (defn g [] 1) (defmacro m [] (f) (g)) (m)",
            "code of the macros",
        ),
        (
            " ".join(f"(defmacro m{index} [x] `(inc ~x)) (m{index} 1)" for index in range(600)),
            " ".join(f"(defmacro m{index} [x] `(inc ~x))" for index in range(600)) + "(m1 1)",
            "code of the macros",
        ),
    ],
)  # fmt: skip
def test_expansion_is_bounded(bad: str, good: str, says: str) -> None:
    error = refused(bad)
    assert error.code == "compile.expansion-limit"
    assert says in error.message
    compile_program(good)


def test_a_definition_that_macros_cannot_use_is_looked_at_once() -> None:
    text = "(defn f [] " + "(inc 1) " * 60_000 + "(other)) (defmacro m [] (f)) " + "(m) " * 20
    error = refused(text)
    assert error.code == "compile.expansion", "else it is `compile.too-large`"
    assert len(error.details["more"]) == 19


def test_nothing_else_is_looked_at_after_a_limit() -> None:
    error = refused("(defmacro m [] `(m)) (m) (other) (other)")
    assert "more" not in error.details


def test_values_of_macros_are_bounded() -> None:
    text = '(defmacro m [n] (do (loop [s "ab" i 0] (if (< i n) (recur (str s s) (inc i)) s)) 1)) (m {})'
    assert refused(text.format(40)).code == "compile.expansion"
    compile_program(text.format(15))


def test_calls_of_macros_are_bounded() -> None:
    text = "(defn f [n] (if (= n 0) 0 (inc (f (dec n))))) (defmacro m [n] (f n)) (m {})"
    assert "nested deeper than 1000" in refused(text.format(1_100)).message
    compile_program(text.format(900))


def test_many_failures_end_the_check() -> None:
    error = refused("(defmacro m [] (nth [] 1)) (list " + "(m) " * 1_000 + ")")
    assert error.code == "compile.expansion-limit"
    assert f"more than {expander.FAILURES_MAX} uses of macros fail" in error.message
    error = refused("(defmacro m [] (nth [] 1)) (list " + "(m) " * 10 + ")")
    assert (error.code, len(error.details["more"])) == ("compile.expansion", 9)


def test_a_failing_macro_leaves_steps_for_the_next() -> None:
    text = "(defmacro bad [] (nth [] 1)) (defmacro good [] (reduce + (range 100))) " + "(bad) " * 15 + "(good)"
    error = refused(text)
    assert {each["code"] for each in error.details["more"]} == {"compile.expansion"}
    assert len(error.details["more"]) == 14


def test_a_limit_cannot_be_caught_by_a_macro() -> None:
    assert refused("(defmacro m [] (try (loop [] (recur)) (catch e 1))) (m)").code == "compile.expansion-limit"


@pytest.mark.parametrize("grows", ["[x x x]", "(list x x)"])
def test_keys_of_code_are_bounded_by_all_that_is_in_them(grows: str) -> None:
    text = "(defmacro m [] (let [x (loop [i 0 x [1]] (if (< i {}) (recur (inc i) " + grows + ") x))] `{{~x 1}})) (m)"
    error = refused(text.format(40))
    assert (error.code, "200000 steps" in error.message) == ("compile.expansion-limit", True)
    assert "a map key must be" in refused(text.format(5)).message, "a key of code, made and then looked at"


def test_keys_of_code_are_not_nested_deeper_than_the_machine_can_go() -> None:
    text = "(defmacro m [] (let [x (loop [i 0 x [1]] (if (< i {}) (recur (inc i) [x]) x))] `{{~x 1}})) (m)"
    assert "a key of a map is nested deeper than 200 levels" in refused(text.format(201)).message
    assert "a map key must be" in refused(text.format(190)).message
