"""What generated code is made of: nothing of the program's text, nothing of Python's builtins."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import CodeType

import pytest

from cloister.errors import GuestError
from cloister.lang.evaluate import evaluate
from cloister.lang.program import compile_program

OURS = re.compile(r"(?:[vtfghkbcn][0-9]+(?:_[0-9]+)?|[BFILRUdesxv]|r_[a-z_]+|rtfs|depth_count|append|__class__)(?!.)")

HOSTILE = """
(def __builtins__ 1) (defn eval [__import__] (+ __import__ __builtins__))
(def None 5) (def True false) (def r_host_call 3) (def B 4) (def t1 7) (def v1 8)
(defn open [x & lambda] (let [{:keys [class def]} x] [class def lambda]))
(loop [print 0] (if (< print 2) (recur (+ print 1)) (fn [] print)))
(try (for [exec [1]] (* exec 2)) (catch globals (do globals)) (finally 1))
[(eval 1) None True r_host_call B t1 v1 (open {:class 1 :def 2} 3)]
"""


def codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from codes(constant)


def test_every_python_name_is_ours() -> None:
    for code in codes(compile_program(HOSTILE).code().entry):
        for name in (*code.co_names, *code.co_varnames, *code.co_freevars, *code.co_cellvars, code.co_name):
            assert OURS.match(name), name


def test_programs_may_use_the_names_of_python_and_of_the_engine() -> None:
    assert evaluate(HOSTILE) == [2, 5, False, 3, 4, 7, 8, [1, 2, [3]]]


@pytest.mark.parametrize("name", ["__builtins__", "__import__", "eval", "open", "B", "r_host_call", "v1", "rtfs"])
def test_names_of_python_and_of_the_engine_are_unknown(name: str) -> None:
    with pytest.raises(Exception, match="unknown name"):
        evaluate(name)


@pytest.mark.parametrize("value", ['"a\\"\\n\'{x}"', "-9223372036854775808", "1.5", '"\\\\N{DIGIT ONE}"', "##Inf"])
def test_constants_arrive_as_written(value: str) -> None:
    assert evaluate(f"(let [x {value}] (= x {value}))") is True


def test_negative_zero_and_zero_stay_apart() -> None:
    assert [str(item) for item in evaluate("[0.0 -0.0 0]")] == ["0.0", "-0.0", "0"]


def test_true_and_one_stay_apart() -> None:
    assert [type(item) for item in evaluate("[true 1 false 0 1.0]")] == [bool, int, bool, int, float]


def test_arguments_are_evaluated_from_left_to_right_before_the_call() -> None:
    text = "(defn f [a b c] [a b c]) (f (throw 1) (throw 2) 3)"
    with pytest.raises(GuestError, match="1"):
        evaluate(text)
    later = '(defn g [x] (if (= x 1) (throw "first") x)) [(g 1) (let [y (throw "second")] y)]'
    with pytest.raises(GuestError, match="first"):
        evaluate(later)


@pytest.mark.parametrize(
    "text",
    [
        "(+ 9223372036854775807 1)", "(- -9223372036854775808 1)", "(inc 9223372036854775807)",
        "(* 4611686018427387904 2)", "(let [x 9223372036854775807] (+ x x))", "(let [x 9223372036854775807] (inc x))",
        "(let [x -9223372036854775808] (- x 1))", "(let [x 3037000500] (* x x))", "(dec -9223372036854775808)",
    ],
)  # fmt: skip
def test_the_short_way_of_arithmetic_keeps_the_64_bit_check(text: str) -> None:
    with pytest.raises(GuestError) as caught:
        evaluate(text)
    assert caught.value.kind == "ArithmeticOverflow"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(+ 1 2.5)", 3.5), ("(< 1 1.5)", True), ("(= 1 1.0)", False), ("(= true 1)", False),
        ('(< "a" "b")', True), ("(= 9223372036854775807 9223372036854775807)", True), ("(- 5)", -5), ("(+ 1 2 3)", 6),
        ("(= [1 2] '(1 2))", True), ("(* 3 -4)", -12), ("(inc 1.5)", 2.5),
    ],
)  # fmt: skip
def test_the_short_way_of_arithmetic_means_the_same(text: str, value: object) -> None:
    assert evaluate(text) == value


def test_booleans_are_not_numbers_in_the_short_way() -> None:
    with pytest.raises(GuestError) as caught:
        evaluate("(let [t (identity true)] (+ t 1))")
    assert caught.value.kind == "TypeError"
