"""Annotations of a program are checked: on let, def, loop, parameters, rest parameters and results.

The first table holds the observations of the language reference, appendix D.6, as its section 9 resolves them. Values
come through `identity`, whose result is not known before the run.
"""

from __future__ import annotations

import pytest

from cloister.errors import CloisterError, CompileError, GuestError, LimitExceeded
from cloister.lang.host import PureHost
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.limits import ResourceLimits


def evaluate(text: str, **limits: int) -> str:
    return to_text(run_program(compile_program(text), PureHost(), ResourceLimits(**limits), {}).value)


def problem_of(text: str) -> CloisterError:
    with pytest.raises(CloisterError) as caught:
        evaluate(text)
    return caught.value


OBSERVED = {
    "(defn f [x :string?] x) (f nil)": "nil",
    "(defn f [x :string?] x) (f 5)": "TypeValidationError",
    "(defn f [x string?] x) (f 1)": "ArityMismatch",
    "(defn f [x :[:map {:a :int}]] x) (f {:a 1 :z 2})": "{:a 1 :z 2}",
    '(defn f [x :[:map {:a :int}]] x) (f {"a" 1})': '{"a" 1}',
    "(defn f [x :[:map {:a :int}]] x) (f {:b 1})": "TypeValidationError",
    "(defn f [x :[:map {:a :int?}]] x) (f {:a nil})": "{:a nil}",
    "(defn f [x :[:map {:a :int?}]] x) (f {})": "{}",  # section 9, row 28
    "(defn f [x :[:union :int :string]] x) (f 1.5)": "TypeValidationError",
    "(defn f [x :[:and :int [:> 0]]] x) (f 0)": "TypeValidationError",
    "(defn f [x :[:and :int [:> 0]]] x) (f 1)": "1",
    "(defn f [x :[:and :float [:> 0]]] x) (f 1.5)": "TypeValidationError",
    "(defn f [x :[:enum :a :b]] x) (f :c)": "TypeValidationError",
    "(defn f [x :[:val 1]] x) (f 2)": "TypeValidationError",
    '(defn f [x :[:tuple :int :string]] x) (f [1 "a"])': '[1 "a"]',
    "(defn f [x :[:tuple :int :string]] x) (f [1])": "TypeValidationError",
    "(defn f [x :[:array :int [2]]] x) (f [1 2 3])": "TypeValidationError",
    '(defn f [x :[:map-of :string :int]] x) (f {"a" 1})': '{"a" 1}',
    "(defn f [x :[:map-of :string :int]] x) (f {:a 1})": "TypeValidationError",
    "(defn f [x :[:fn [:int] :int]] x) (fn? (f inc))": "true",
    "(defn f [x :fn] x) (fn? (f inc))": "true",  # row 27, as the next seven
    "(defn f [x :integer] x) (f 1)": "1",
    "(defn f [x :number] x) (f 1)": "1",
    "(defn f [x :Number] x) (f 1)": "1",
    "(defn f [x :map] x) (f {})": "{}",
    "(defn f [x :vector] x) (f [])": "[]",
    "(defn f [x :boolean] x) (f true)": "true",
    "(defn f [x :list] x) (f '(1))": "(1)",
    "(defn f [x Any] x) (f true)": "ArityMismatch",
    "(defn f [x :Any] x) (f true)": "true",
    '(defn f [x :[:vector :int]] x) (f ["a"])': "TypeValidationError",
    "(defn f [x :[:vector :int]] x) (f nil)": "TypeValidationError",
    "(defn f [x] :[:vector :int] x) (f [1])": "[1]",
    "(defn f [& xs :int] xs) (f 1 2)": "[1 2]",  # row 10
    '(let [x :int (identity "s")] x)': "TypeValidationError",  # row 24, as the next two
    '(let [{:keys [a]} :[:map {:a :int}] {:a "x"}] a)': "TypeValidationError",
    '(def x :[:vector :int] ["a"]) x': "TypeValidationError",
    '(defn f [x :[:and :string [:min-length 2]]] x) (f "é")': "TypeValidationError",  # characters, not bytes
    '(defn f [x :[:and :string [:custom-thing 2]]] x) (f "ab")': "compile.annotation",
    '(defn f [x :[:and :string [:is-email]]] x) (f "a@b.co")': '"a@b.co"',  # row 25
}


@pytest.mark.parametrize(("program", "outcome"), OBSERVED.items())
def test_observed_programs(program: str, outcome: str) -> None:
    assert outcome_of(program) == outcome


def outcome_of(program: str) -> str:
    try:
        return evaluate(program)
    except CloisterError as error:
        return str(error.code if error.kind == "InvalidProgram" else error.kind)


KEYWORD_TRAP = {
    "(let [x :k] x)": ":k",
    "(let [x :k y 2] [x y])": "[:k 2]",
    "(let [x :int] x)": ":int",
    "(let [x :int y :string] [x y])": "[:int :string]",
    "(let [x :int 5] x)": "5",
    "(let [x :int 5 y :k] [x y])": "[5 :k]",
    "(let [x :int 5 y :int z 3] [x y z])": "[5 :int 3]",
    "(def k :a) k": ":a",
    "(def k :int) k": ":int",
    "(defn f [] :ok) (f)": ":ok",
    "(defn f [] :int) (f)": ":int",
    "(defn f [x] :a x) (f 1)": "1",
    "((fn [m] :a) 1)": ":a",
    "(let [x : int 5 y:string \"a\" z ::int 1] [x y z])": '[5 "a" 1]',
    "(let [x :int ? nil] x)": "nil",
    "(let [x :[:vector :int]? nil] x)": "nil",
    "(defn f [x :int ? y] [x y]) (f nil 1)": "[nil 1]",
    "(defn f [x] :int ? x) (f nil)": "nil",
    "(def k :int ? nil) k": "nil",
    "(let [x :(or :int :string) 1] x)": "1",
}  # fmt: skip


@pytest.mark.parametrize(("program", "value"), KEYWORD_TRAP.items())
def test_a_keyword_is_a_type_only_where_a_value_still_follows(program: str, value: str) -> None:
    assert evaluate(program) == value


REFUSED = {
    "(let [x :wrod 5] x)": ("compile.annotation", "wrod"),
    "(let [x :strng 5] x)": ("compile.annotation", ":string"),
    "(defn f [x :{:a :int}] x)": ("compile.annotation", "[:map"),
    "(def x :zzz 5)": ("compile.annotation", "zzz"),
    "(let [? 5] ?)": ("compile.annotation", "`?`"),
    "(+ 1 :[:vector :int])": ("compile.annotation", "value belongs"),
    "(deftype int :string)": ("compile.type-name", "of the language"),
    "(deftype Int :string)": ("compile.type-name", "of the language"),
    "(deftype A :int) (deftype A :string)": ("compile.type-name", "twice"),
    "(deftype A :A)": ("compile.type-name", "itself"),
    "(deftype A [:union :B :int]) (deftype B :A?)": ("compile.type-name", "itself"),
    "(deftype A)": ("compile.arity", "deftype"),
    "(defstruct P :x)": ("compile.annotation", "no type"),
    "(defstruct P x :int)": ("compile.annotation", "field"),
    "(defstruct 5 :x :int)": ("compile.name", ""),
    '(let [x :[:and :string [:matches-regex "("]] "a"] x)': ("compile.annotation", "regular expression"),
}


@pytest.mark.parametrize(("program", "expected"), REFUSED.items())
def test_what_is_no_type_is_refused_with_a_reason(program: str, expected: tuple[str, str]) -> None:
    error = problem_of(program)
    assert error.code == expected[0]
    assert expected[1] in error.message + str(error.hint)
    assert error.span is not None
    assert error.hint


@pytest.mark.parametrize(
    ("program", "path", "expected"),
    [
        ('(defn f [xs :[:vector [:map {:n :int}]]] xs) (f (identity [{:n 1} {:n "x"}]))', "[1].n", ":int"),
        ("(defn f [x] :string x) (f (identity 1))", "", ":string"),
        ("(defn f [& xs :int] xs) (f 1 (identity nil))", "[1]", ":int"),
        ("(loop [i :int 0] (if (= i 1) i (recur (identity \"1\"))))", "", ":int"),
        ("(let [x :[:map-of :keyword :int] (identity {:a 1 :b nil})] x)", "[:b]", ":int"),
        ("(let [x :[:array :int [2 2]] (identity [[1 2] [3]])] x)", "[1]", "2 elements"),
        ("(let [x :[:and :int [:> 0]] (identity 0)] x)", "", "[:> 0]"),
        ("(defstruct P :a :int) (P (identity {}))", ".a", ":int"),
    ],
)  # fmt: skip
def test_an_error_says_where_and_what(program: str, path: str, expected: str) -> None:
    error = problem_of(program)
    assert isinstance(error, GuestError)
    assert (error.code, error.kind) == ("guest.annotation", "TypeValidationError")
    assert (error.details["path"], error.details["expected"]) == (path, expected)
    assert f"expected {expected}" in error.message
    assert error.span is not None


STRUCTS = {
    "(defstruct P :x :int) (P {:x 1 :y 2})": "{:x 1 :y 2}",
    '(defstruct P :x :int) (P (identity {"x" 1}))': "TypeValidationError",  # the keyword alone
    "(defstruct P :x :int :y :int?) (P {:x 1})": "{:x 1}",
    "(defstruct P :x :int :y :int ?) (P (identity {:x 1 :y nil}))": "TypeValidationError",
    "(fn? (defstruct P :x :int))": "true",
    "(map (do (defstruct P :x :int) P) [{:x 1}])": "[{:x 1}]",
    "(defn f [p :P] (:x p)) (defstruct P :x :int) (f {:x 5})": "5",
    "(defstruct P :x :int) (defn f [p] :P p) (f (identity {}))": "TypeValidationError",
    "(defstruct Node :value :int :next :Node?) (:value (:next (Node {:value 1 :next {:value 2}})))": "2",
    "(defstruct Node :value :int :next :Node?) (Node (identity {:value 1 :next {:value nil}}))": "TypeValidationError",
    '(deftype Foo :int) (let [x :Foo (identity "s")] x)': "TypeValidationError",
    '(deftype "Foo" :int)': "nil",
    "(deftype Foo :int)": "nil",
    "(deftype Tree [:union :int [:vector :Tree]]) (let [t :Tree [1 [2 [3]]]] t)": "[1 [2 [3]]]",
    "(deftype T :int) (do (let [a 1] (deftype T :string) (let [x :T \"s\"] x)))": '"s"',
    "(let [a 1] (deftype T :string) a) (let [x :T 5] x)": "compile.annotation",
    "(deftype A [:vector :B]) (deftype B [:union :nil :A]) (let [x :A [nil [nil]]] x)": "[nil [nil]]",
    "(match {:x 5} [:map {:x :string}] 1 [:map {:x :int}] 2)": "2",
    "(match 5 (:string s) s (:int n) (inc n))": "6",
    "(match [:vector 2] [:vector x] x)": "2",
    "(defstruct P :x :int) (match {:x 1} (:P p) (:x p) _ 0)": "1",
}  # fmt: skip


@pytest.mark.parametrize(("program", "outcome"), STRUCTS.items())
def test_declared_types(program: str, outcome: str) -> None:
    assert outcome_of(program) == outcome


def test_checking_costs_steps_and_a_smaller_value_passes() -> None:
    program = "(defn f [xs :[:vector :int]] (count xs)) (f (range {}))"
    assert evaluate(program.format(1_000), steps_count=10_000) == "1000"
    assert evaluate("(count (range 8000))", steps_count=10_000) == "8000"
    with pytest.raises(LimitExceeded) as caught:
        evaluate(program.format(8_000), steps_count=10_000)
    assert caught.value.limit == "steps_count"


def test_a_refused_value_can_be_caught_and_a_limit_cannot() -> None:
    checked = "(defn f [xs :[:vector :int]] :ok) (try (f (identity {})) (catch :TypeValidationError e :caught))"
    assert evaluate(checked.format('["a"]')) == ":caught"
    with pytest.raises(LimitExceeded):
        evaluate(checked.format("(range 100000)"), steps_count=150_000)


def test_a_deep_value_of_a_recursive_type_is_checked_without_recursion() -> None:
    program = (
        "(defstruct Node :v :int :next :Node?) "
        "(defn chain [n v] (loop [i 0 node {{:v v}}] (if (= i n) node (recur (inc i) {{:v i :next node}})))) "
        "(:v (Node (chain 20000 {})))"
    )
    assert evaluate(program.format("1")) == "19999"
    assert problem_of(program.format("nil")).kind == "TypeValidationError"


def test_at_most_500_types_are_declared() -> None:
    text = "".join(f"(deftype T{index} :int)" for index in range(500))
    assert evaluate(text) == "nil"
    with pytest.raises(CompileError) as caught:
        evaluate(text + "(deftype One :int)")
    assert caught.value.code == "compile.too-large"


def test_a_type_goes_through_at_most_50_names() -> None:
    chain = "".join(f"(deftype T{index} :T{index + 1}?)" for index in range(49)) + "(deftype T49 :int)"
    assert evaluate(chain + "(let [x :T0 (identity 1)] x)") == "1"
    with pytest.raises(CompileError) as caught:
        evaluate(chain.replace(":int", ":T50") + "(deftype T50 :int)")
    assert caught.value.code == "compile.type-name"


def test_types_that_mention_one_another_in_parts_may_be_many() -> None:
    chain = "".join(f"(deftype T{index} [:tuple :T{index + 1} :T{index + 1}])" for index in range(450))
    program = chain + "(deftype T450 :int) (let [x :T0 (identity {})] x)"
    assert problem_of(program.format("[[1 1] [1 1]]")).kind == "TypeValidationError"
    assert evaluate(chain + "(deftype T450 :int) (let [x :T448 (identity [[1 1] [1 1]])] x)") == "[[1 1] [1 1]]"
