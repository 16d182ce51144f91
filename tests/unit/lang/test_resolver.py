"""Resolving: names, places, and the errors that say how to do it right."""

from __future__ import annotations

import pytest

from cloister.errors import CompileError
from cloister.lang import core
from cloister.lang.program import compile_program
from cloister.lang.reader import read
from cloister.lang.resolver import ERRORS_MAX, resolve
from cloister.lang.source import Source


def error_of(text: str) -> CompileError:
    with pytest.raises(CompileError) as caught:
        compile_program(text, "plan.rtfs")
    return caught.value


def core_of(text: str) -> core.Node:
    source = Source("plan.rtfs", text)
    return resolve(read(source), source)


def test_unknown_name_suggests_the_nearest() -> None:
    error = error_of("(let [total 1]\n  (redcue + [totl 2]))")
    assert error.code == "compile.unknown-name"
    assert error.message == 'unknown name "redcue"; did you mean "reduce"?'
    assert error.span is not None
    assert (error.span.line, error.span.column) == (2, 4)
    assert [more["message"] for more in error.details["more"]] == ['unknown name "totl"; did you mean "total"?']


def test_unknown_name_without_a_near_one_says_how_to_pass_an_input() -> None:
    error = error_of("qqqqxz")
    assert error.message == 'unknown name "qqqqxz"'
    assert "--input qqqqxz=" in (error.hint or "")


def test_a_name_used_as_a_value_has_a_suggestion_and_the_way_to_pass_an_input() -> None:
    error = error_of("(let [total 1] (+ 1 totla))")
    assert error.message == 'unknown name "totla"; did you mean "total"?'
    assert "--input totla=" in (error.hint or "")


def test_the_head_of_a_call_with_a_suggestion_needs_no_input() -> None:
    assert error_of("(redcue + 0 [])").hint is None


@pytest.mark.parametrize(
    ("text", "call"),
    [
        ('(println "a")', "(call :ccos.io.println"),
        ('(print "a")', "(call :ccos.io.println"),
        ("(map println [1])", "(call :ccos.io.println"),
        ('(slurp "f")', "(call :ccos.io.read-file"),
        ('(spit "f" "x")', "(call :ccos.io.write-file"),
    ],
)
def test_a_builtin_of_other_lisps_names_the_capability(text: str, call: str) -> None:
    assert call in (error_of(text).hint or "")


def test_a_program_may_use_these_names_itself() -> None:
    assert compile_program("(defn println [x] x) (println 1)").effects == ()


def test_an_input_name_is_known() -> None:
    assert compile_program("(+ qqqqxz 1)", inputs=["qqqqxz"]).inputs == {"qqqqxz"}


def test_use_before_definition_names_the_line() -> None:
    error = error_of("x\n(def x 1)")
    assert error.message == '"x" is used before its definition on line 2'


def test_all_problems_are_reported_in_source_order_and_bounded() -> None:
    error = error_of("(if 1)\naaaa\n" + "zzzzqq\n" * 100)
    assert error.code == "compile.arity"
    assert len(error.details["more"]) == ERRORS_MAX - 1
    assert error.details["more"][0]["span"]["line"] == 2


def test_a_name_of_a_form_is_not_a_value() -> None:
    error = error_of("(map when [1])")
    assert error.code == "compile.form-as-value"


def test_hints_show_the_right_shape() -> None:
    assert error_of("(let [x] x)").hint == "write (let [name value ...] body ...)"
    assert error_of("(dotimes [i] i)").hint == "write (dotimes [name count] body)"


def test_the_name_of_an_object_may_be_a_function_of_the_program() -> None:
    assert compile_program("(defn plan [x] x) (plan 1)").effects == ()


def test_only_execution_metadata_is_evaluated() -> None:
    assert error_of("^{:runtime.learning.retry unknwon} (+ 1 2)").code == "compile.unknown-name"
    assert compile_program("^{:doc unknown} (+ 1 2)").steps == ()


def codes_of(text: str) -> list[str]:
    error = error_of(text)
    return [error.code, *(more["code"] for more in error.details.get("more", []))]


def test_the_problems_of_all_forms_are_told_at_once_in_order() -> None:
    text = """(let [x] x)
      (defn f [a] (if) (let [b 1] (foo b) (case b)) (loop [] (+ 1 (recur))))
      (def) (match 1) (step) (for [] 1) (catch e 1)"""
    assert codes_of(text) == [
        "compile.let-bindings", "compile.arity", "compile.unknown-name", "compile.arity", "compile.recur-position",
        "compile.arity", "compile.arity", "compile.arity", "compile.for-bindings", "compile.try",
    ]  # fmt: skip


def test_what_a_refused_form_would_define_is_not_reported_again() -> None:
    assert codes_of("(defn f [a] (if)) (f 1)") == ["compile.arity"]
    assert codes_of("(defn f) (f 1) (def g (if)) g") == ["compile.parameters", "compile.arity"]
    assert codes_of("(defn g [] (later)) (defn later) (g)") == ["compile.parameters"]


def test_a_block_nested_too_deep_does_not_spoil_what_follows() -> None:
    deep = "(loop [] " * 17 + "1" + ")" * 17
    assert codes_of(f"(do {deep} (loop [] 1) {deep})") == ["compile.nesting"] * 2


@pytest.mark.parametrize(
    "kind", ["TypeErorr", "TypError", ":type-errors", "DivisonByZero", "NetwrokError", ":jsonerror2"]
)
def test_a_misspelt_kind_of_error_is_refused(kind: str) -> None:
    error = error_of(f"(try 1 (catch {kind} e 2))")
    assert error.code == "compile.catch"
    assert "did you mean" in error.message


@pytest.mark.parametrize(
    "kind", ["Error", "Exception", "HostError", "IOException", "JsonParseError", "e", ":any", "Generic"]
)
def test_other_names_catch_every_error(kind: str) -> None:
    assert compile_program(f"(try 1 (catch {kind} e 2))")


@pytest.mark.parametrize(
    "form",
    [
        "(for [a [1] b [a] c {}] c)",
        "(for [a [1] b [a] :when {}] b)",
        "(for [a [1] b [a] :while {}] b)",
        "(for [a [1] b [a] :let [c {}]] c)",
        "(for [a [1] {{:keys [c] :or {{c {}}}}} [a]] c)",
        "(for [a [1] b [a]] {})",
    ],
)
def test_each_part_of_for_counts_the_loops_around_it(form: str) -> None:
    assert compile_program(form.format("(loop [] " * 14 + "[1]" + ")" * 14)).code()
    assert error_of(form.format("(loop [] " * 15 + "[1]" + ")" * 15)).code == "compile.nesting"


@pytest.mark.parametrize("place", ["{}", "z (do {} [1])", ":when {}", ":let [z {}]"])
def test_levels_of_for_count_around_its_collections_and_modifiers(place: str) -> None:
    def text(loops_count: int) -> str:
        loops = "(loop [i 0] (if (< i 1) (recur 1) " * loops_count + "1" + "))" * loops_count
        levels = "a [[[1]]] b a c b"
        if place == "{}":
            return f"(for [{levels}] {loops})"
        return f"(for [{levels} {place.format(loops)}] 1)"

    compile_program(text(13))
    assert error_of(text(14)).code == "compile.nesting"


def test_nesting_of_blocks_is_bounded_per_function() -> None:
    assert error_of("(loop [] " * 17 + "1" + ")" * 17).code == "compile.nesting"
    assert compile_program("(loop [] " * 16 + "((fn [] (loop [] 1)))" + ")" * 16).effects == ()


def test_a_checked_local_is_only_made_where_it_may_be_unassigned() -> None:
    certain = core_of("(def x 1) (defn f [] x)")
    uncertain = core_of("(defn f [] x) (def x 1)")
    assert [node.checked for node in core.walk(certain) if isinstance(node, core.Local)] == [False]
    assert [node.checked for node in core.walk(uncertain) if isinstance(node, core.Local)] == [True]


def test_constant_collections_are_folded() -> None:
    node = core_of("[1 {:a [2]}]")
    assert isinstance(node, core.Sequence)
    assert isinstance(node.items[0], core.Const)


def test_steps_with_literal_names_are_listed() -> None:
    program = compile_program('(step "a" (step "b" 1)) (step (str "c") 2) (step-if true 1)')
    assert program.steps == ("a", "b", "step-if")


def test_input_named_like_a_builtin_is_not_guessed() -> None:
    with pytest.raises(CompileError) as caught:
        compile_program("(str name)", inputs=["name"])
    assert caught.value.code == "compile.ambiguous-name"
    assert caught.value.hint == "write @name, or give the input another name"
    for text in ("(str @name)", "(let [name 1] name)", "(map inc [1])"):
        compile_program(text, inputs=["name"])
