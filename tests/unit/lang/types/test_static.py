"""The static checker: what is certain is refused before running, and nothing else is."""

from __future__ import annotations

import pytest

from cloister.errors import CompileError
from cloister.lang.program import compile_program
from cloister.lang.types.static import check_types

CERTAIN = {
    '(+ 1 "a")': ("TypeError", '"a"'),
    '(let [x "s"] (inc x))': ("Generic", "x"),
    "(inc 1 2)": ("ArityMismatch", "(inc 1 2)"),
    "(defn f [x] x) (f)": ("ArityMismatch", "(f)"),
    "(defn f [x & more] x) (f)": ("ArityMismatch", "(f)"),
    "((fn [x] x) 1 2)": ("ArityMismatch", "((fn [x] x) 1 2)"),
    "((fn [p] nil) (do (defn g [] nil) nil) 2)": ("ArityMismatch", "((fn [p] nil) (do (defn g [] nil) nil) 2)"),
    "(5 1)": ("TypeError", "(5 1)"),
    '("abc")': ("TypeError", '("abc")'),
    "(:a [1])": ("TypeError", "[1]"),
    "(:a {:a 1} 2 3)": ("ArityMismatch", "(:a {:a 1} 2 3)"),
    '(string-upper (:a {:a 1}))': ("TypeError", "(:a {:a 1})"),
    "(string-upper (count [1]))": ("TypeError", "(count [1])"),
    '(< 1 "a")': ("TypeError", '(< 1 "a")'),
    "(map 5 [1])": ("TypeError", "5"),
    '(let [x :int "s"] x)': ("TypeValidationError", '"s"'),
    '(def x :[:vector :int] [1 "a"]) x': ("TypeValidationError", '[1 "a"]'),
    "(let [x :[:map {:a :int}] {:b 1}] x)": ("TypeValidationError", "{:b 1}"),
    "(let [x :[:and :int [:> 0]] 0] x)": ("TypeValidationError", "0"),
    "(let [x :[:tuple :int :int] [1 (str 2)]] x)": ("TypeValidationError", "[1 (str 2)]"),
    '(defn f [x :int] x) (f "a")': ("TypeValidationError", '"a"'),
    '(defn f [x & more :int] x) (f 1 2 "a")': ("TypeValidationError", '"a"'),
    '(defn f [n :int] (if (= n 0) 0 (recur (dec n)))) (f "a")': ("TypeValidationError", '"a"'),
    "(defn f [x :int] :string x) (f 1)": ("TypeValidationError", "x"),
    "(defstruct P :x :int) (P {:y 1})": ("TypeValidationError", "{:y 1}"),
    "(let [[a b] [1]] a)": ("TypeError", "[1]"),
    "(let [{:keys [a]} 5] a)": ("TypeError", "5"),
    '(dotimes [i "a"] i)': ("TypeError", '"a"'),
    '(defn f [x] (+ x "a")) (f 1)': ("TypeError", '"a"'),
    '(defn f [x] (+ x "a")) (defn g [x] (f x)) (g 1)': ("TypeError", '"a"'),
    '(if true (+ 1 "a") 2)': ("TypeError", '"a"'),
    '(cond false 1 :else (+ 1 "a"))': ("TypeError", '"a"'),
    '(and 1 (+ 1 "a"))': ("TypeError", '"a"'),
    '(or nil (+ 1 "a"))': ("TypeError", '"a"'),
    '(try (+ 1 "a") (finally 1))': ("TypeError", '"a"'),
    '(try 1 (catch e 2) (finally (+ 1 "a")))': ("TypeError", '"a"'),
    '(step "s" (+ 1 "a"))': ("TypeError", '"a"'),
    '(call :some.capability (+ 1 "a"))': ("TypeError", '"a"'),
    '(loop [i 0] (+ i "a"))': ("TypeError", '"a"'),
    '(string-upper (if @flag 1 nil))': ("TypeError", "(if @flag 1 nil)"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "expected"), CERTAIN.items())
def test_what_is_certain_is_refused(text: str, expected: tuple[str, str]) -> None:
    with pytest.raises(CompileError) as caught:
        compile_program(text)
    error = caught.value
    assert error.code == "compile.type"
    assert error.kind == expected[0]
    assert error.span is not None
    assert error.span.text[error.span.column - 1 : error.span.end_column - 1] == expected[1]


POSSIBLE = {
    '(if (nil? 5) (+ 1 "a") 2)',
    '(if @flag (+ 1 "a") 2)',
    '(defn f [x] (+ x "a")) 1',
    '(defn f [x] (+ x "a")) (if @flag (f 1))',
    '(defn f [x] (+ x "a")) (try (f 1) (catch e 0))',
    '(map (fn [x] (+ x "a")) [])',
    '(for [x []] (+ x "a"))',
    '(dotimes [i 0] (+ i "a"))',
    '(and @flag (+ 1 "a"))',
    '(or @flag (+ 1 "a"))',
    '(match @flag 6 (+ 1 "a") _ 1)',
    '(try 1 (catch e (+ 1 "a")))',
    '(do (throw "x") (+ 1 "a"))',
    '(let [x (throw "x")] (+ 1 "a"))',
}


@pytest.mark.parametrize("text", sorted(POSSIBLE))
def test_what_may_not_be_reached_is_a_warning(text: str) -> None:
    found = check_types(compile_program(text).core)
    assert found.errors == []
    assert [each.kind for each in found.warnings] == ["TypeError"]


FINE = [
    '(try (+ 1 "a") (catch e 0))',
    "(let [x :float 1] x)",
    "(let [x (if @flag 1 \"a\")] (+ x 1))",
    "(let [x :[:union :int :string] @flag] (+ x 1))",
    "(defn f [x :int] (str x)) (f (identity \"a\"))",
    '(defn f [x] (if (string? x) (string-upper x) (+ x 1))) (f 1) (f "a")',
    "(let [f :fn (fn [x] x)] (f 1 2))",
    "(let [x nil] (get x :a))",
    "(:a nil)",
    "(let [x {\"a\" 1}] (let [y :[:map {:a :int}] x] y))",
    "(def f 5) (def f (fn [x] x)) (f 1)",
    "(apply + [1 2])",
    "(loop [x 1] (if (= x 1) (recur \"a\") (string-upper x)))",
    "(defn even [n] (if (= n 0) true (odd (- n 1)))) (defn odd [n] (if (= n 0) false (even (- n 1)))) (even 4)",
]  # fmt: skip


@pytest.mark.parametrize("text", FINE)
def test_nothing_else_is_found(text: str) -> None:
    found = check_types(compile_program(text, inputs=("flag",)).core)
    assert (found.errors, found.warnings) == ([], [])


def test_all_problems_are_told_at_once_in_order() -> None:
    with pytest.raises(CompileError) as caught:
        compile_program('(+ 1 "a")\n(inc foo)\n(let [x] x)\n(string-upper 5)')
    error = caught.value
    codes = [error.code, *(each["code"] for each in error.details["more"])]
    assert codes == ["compile.type", "compile.unknown-name", "compile.let-bindings", "compile.type"]


def test_an_unknown_name_is_not_reported_twice() -> None:
    with pytest.raises(CompileError) as caught:
        compile_program("(+ 1 unknown-name)")
    assert "more" not in caught.value.details


def test_at_most_20_findings_are_told() -> None:
    with pytest.raises(CompileError) as caught:
        compile_program('(+ 1 "a") ' * 30)
    assert len(caught.value.details["more"]) == 19


def test_a_program_whose_types_take_too_long_to_compare_is_left_to_the_run() -> None:
    union = "[:union " + " ".join(f"[:map [:a{at} :int]]" for at in range(200)) + "]"
    vector = "[" + " ".join(f"{{:b{at} 1}}" for at in range(150)) + "]"
    casts = " ".join(f"(def y{at} :T x)" for at in range(200))
    compile_program(f"(deftype T [:vector {union}]) (def x (identity {vector})) {casts}")
    found = check_types(compile_program(f"(deftype T {union}) (def x {{:a0 1}}) {casts}").core)
    assert found.errors == []


def test_a_long_text_is_shortened_in_messages() -> None:
    with pytest.raises(CompileError) as caught:
        compile_program(f'(+ 1 "{"x" * 10_000}")')
    assert len(caught.value.message) < 200
