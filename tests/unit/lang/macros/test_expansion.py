"""What macros make: places of errors, names nobody else has, and the same code each time."""

from __future__ import annotations

import pytest

from cloister.errors import CloisterError, CompileError, GuestError, ReadError
from cloister.lang.forms import Form, ListForm, MapForm, SymbolForm, VectorForm
from cloister.lang.host import PureHost
from cloister.lang.macros.syntax import NotCodeError, Syntax, TooMuchCodeError
from cloister.lang.printer import to_text
from cloister.lang.program import compile_program, run_program
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.values import Keyword, List, Map, Symbol
from cloister.limits import ResourceLimits


def value_of(text: str) -> str:
    return to_text(run_program(compile_program(text), PureHost(), ResourceLimits(), {}).value)


def error_of(text: str) -> CloisterError:
    with pytest.raises(CloisterError) as caught:
        value_of(text)
    return caught.value


def place(error: CloisterError) -> tuple[int, int, int]:
    assert error.span is not None
    return error.span.line, error.span.column, error.span.end_column


def test_a_problem_in_what_a_macro_wrote_is_at_its_use_and_names_it() -> None:
    error = error_of("(defmacro m [x]\n  `(other ~x))\n\n  (m 1)")
    assert isinstance(error, CompileError)
    assert error.message == 'unknown name "other" (in the expansion of `m`)'
    assert place(error) == (4, 3, 8)


def test_a_problem_in_what_a_macro_was_given_is_where_it_stands() -> None:
    error = error_of("(defmacro m [x]\n  `(inc ~x))\n\n  (m other)")
    assert error.message == 'unknown name "other"'
    assert place(error) == (4, 6, 11)


def test_parts_of_operands_keep_their_places() -> None:
    error = error_of("(defmacro m [[a b]]\n  (list 'do b a))\n(m [(+ 1\n other) 2])")
    assert place(error) == (4, 2, 7)


def test_a_failure_at_run_time_is_at_the_use_or_in_the_operand() -> None:
    assert place(error_of("(defmacro m [x] `(/ ~x 0))\n(m 1)")) == (2, 1, 6)
    assert place(error_of("(defmacro m [x] `(inc ~x))\n(m (/ 1 0))")) == (2, 4, 11)


def test_a_problem_of_an_inner_expansion_names_the_inner_macro() -> None:
    error = error_of("(defmacro a [] `(other)) (defmacro b [] `(list (a)))\n(b)")
    assert error.message.endswith("(in the expansion of `a`)")
    assert place(error) == (2, 1, 4)


def test_a_macro_that_fails_says_why_and_where() -> None:
    error = error_of("(defmacro m [x]\n  (nth x 5))\n(m [1])")
    assert (error.code, place(error)) == ("compile.expansion", (3, 1, 8))
    assert error.message == "the macro `m` failed: Index out of bounds in nth: index 5, length 1"
    assert error.details["cause"]["span"]["line"] == 2


@pytest.mark.parametrize(
    "text",
    [
        "(def x (do (def y (map (fn [z] y) [1])) 1)) (defmacro m [] x) (m)",
        "(def x (do (if false (def y 1) 0) y)) (defmacro m [] x) (m)",
    ],
)
def test_a_macro_that_needs_what_was_not_defined_says_so(text: str) -> None:
    assert error_of(text).message == "the macro `m` failed: Undefined symbol: y"


def test_a_definition_that_macros_cannot_use_is_named_by_every_use() -> None:
    error = error_of("(defn f [] (call :a.b 1)) (defmacro m [] (f)) (m)\n(m)\n(defmacro n [] (f)) (n)")
    messages = [error.message, *(each["message"] for each in error.details["more"])]
    assert [message.split(":")[0] for message in messages] == [
        "the macro `m` failed", "the macro `m` failed", "the macro `n` failed",
    ]  # fmt: skip
    assert all("cannot call capabilities" in message for message in messages)


def test_a_name_from_where_the_macro_was_defined_does_not_use_one_of_the_same_name() -> None:
    # `for` goes through a collection that uses one of its own names anew for each turn
    def steps(name: str) -> int:
        text = f"(def n 5) (defmacro k [] `n) (for [{name} [1 2 3] y (map (fn [q] q) [(k)])] y)"
        return run_program(compile_program(text), PureHost(), ResourceLimits(), {}).steps_count

    assert steps("n") == steps("j")


def test_several_uses_that_fail_are_reported_together_and_once() -> None:
    error = error_of("(defmacro m [x] (nth x 5))\n(list (m [1]) (m [2]))\n(m [3])")
    assert [place(error)[0], *(each["span"]["line"] for each in error.details["more"])] == [2, 2, 3]


def test_a_macro_that_cannot_be_defined_is_reported_once() -> None:
    error = error_of("(defmacro m [x] (other x))\n(m 1)\n(m 2)")
    assert error.message.startswith('unknown name "other"')
    assert "more" not in error.details


def test_a_misspelt_macro_is_suggested() -> None:
    assert error_of("(defmacro unless [c x] `(if ~c nil ~x)) (unles 1 2)").message.endswith('did you mean "unless"?')


def test_a_use_before_the_definition_says_so() -> None:
    error = error_of("(m 1)\n(defmacro m [x] x)")
    assert error.message == "the macro `m` is used before its definition on line 2"
    assert error.hint == "move the definition up"


def test_fresh_names_cannot_be_read() -> None:
    name = value_of('(gensym "x")')
    assert name == "x#1"
    with pytest.raises((ReadError, CompileError)):
        compile_program(f"(let [{name} 1] 2)")


def test_fresh_names_of_different_expansions_differ() -> None:
    assert value_of("(defmacro m [] `'x#) (= (m) (m))") == "false"
    assert value_of("(defmacro m [] `(def x# 1)) (m) (m) (defmacro n [] `'x#) (n)") == "x#1.3"


def test_a_template_inside_a_loop_has_fresh_names_each_time() -> None:
    text = """(defmacro sum [& xs] (reduce (fn [code x] `(let [t# ~x] (+ t# ~code))) 0 xs)) (sum 1 2 3)"""
    assert value_of(text) == "6"


def test_a_macro_inside_its_own_expansion_does_not_catch_the_names_of_the_outer_one() -> None:
    text = "(defmacro m [code & xs] (if (empty? xs) code `(let [x# ~(first xs)] (m (+ ~code x#) ~@(rest xs)))))"
    assert value_of(f"{text} (m 0 1 20 300)") == "321"


def test_expansion_is_deterministic() -> None:
    text = "(defmacro m [x] `(let [a# ~x b# a#] '(a# b#))) [(m 1) (m 2)]"
    first = value_of(text)
    compile_program("(defmacro other [] `x#) (defmacro m [] 2) (m)")
    assert value_of(f"{text} ") == first  # another text, so that no remembered program is used
    assert first == "[(a#1.1 b#2.1) (a#1.2 b#2.2)]"


def test_the_order_of_evaluation_is_that_of_the_text() -> None:
    text = "(defmacro m [x] `(inc ~x)) (def a (m 1)) (defmacro m [x] `(dec ~x)) (defn f [] (m 1)) [a (f)]"
    assert value_of(text) == "[2 0]"


def test_a_local_function_of_a_macros_name_is_called() -> None:
    text = "(defmacro m [x] (nth x 9)) (defn f [x] (let [m inc] (m x))) (f 1)"
    assert value_of(text) == "2"


def test_a_macro_can_neither_call_nor_read_inputs() -> None:
    assert (
        error_of('(defn f [] (call :ccos.io.read-file "/etc/passwd")) (defmacro m [] (f)) (m)').code
        == "compile.expansion"
    )
    assert error_of("(defmacro m [] given) (m)").code == "compile.unknown-name"
    with pytest.raises(CompileError):
        compile_program("(defmacro m [] given) (m)", inputs=["given"])
    assert compile_program("(defmacro m [] `given) (m)", inputs=["given"])


def test_effects_of_expansions_are_seen() -> None:
    program = compile_program("(defmacro say [x] `(call :ccos.io.println ~x)) (defn f [] (say 1)) 2")
    assert [effect.capability_id for effect in program.effects] == ["ccos.io.println"]


def forms(text: str) -> tuple[Form, ...]:
    return read(Source("<test>", text))


def test_syntax_gives_back_the_very_forms_it_was_given() -> None:
    syntax = Syntax()
    (form,) = forms("(f x [1 (g)] {:a y})")
    value = syntax.value(form)
    assert value == List((Symbol("f"), Symbol("x"), (1, List((Symbol("g"),))), Map({Keyword("a"): Symbol("y")})))
    assert syntax.value(form) is value
    code = syntax.code(value, 0, 0, lambda name: SymbolForm(name, 0, 0), 100)
    assert code.form is form
    assert (code.made_count, code.height) == (0, 0)


def test_syntax_counts_what_is_handed_on_as_often_as_it_appears() -> None:
    syntax = Syntax()
    (form,) = forms("(f [1 2 3])")
    value = syntax.value(form)
    code = syntax.code((value, value), 7, 9, lambda name: SymbolForm(name, 7, 9), 100)
    assert isinstance(code.form, VectorForm)
    assert (code.size, code.made_count, code.height) == (13, 1, 1)
    assert (code.form.start, code.form.items[0].start) == (7, 0)
    with pytest.raises(TooMuchCodeError):
        syntax.code((value, value), 7, 9, lambda name: SymbolForm(name, 7, 9), 12)


def test_syntax_refuses_what_is_no_code() -> None:
    with pytest.raises(NotCodeError, match="function"):
        Syntax().code((1, len), 0, 0, lambda name: SymbolForm(name, 0, 0), 10)
    with pytest.raises(NotCodeError, match="a map as a key"):
        Syntax().value(MapForm(((MapForm((), 0, 0), ListForm((), 0, 0)),), 0, 0))


def test_a_run_time_failure_keeps_its_kind() -> None:
    assert isinstance(error_of("(defmacro m [] `(/ 1 0)) (m)"), GuestError)
