"""Modules: what is loaded, in which order, and how errors in them are shown."""

from __future__ import annotations

import pytest

from cloister.errors import CloisterError, GuestError, ReadError
from cloister.lang.host import PureHost
from cloister.lang.modules import MODULES_MAX, TEXTS_CHARS_MAX, GivenModules, Missing
from cloister.lang.printer import to_text
from cloister.lang.program import Program, compile_program, program_sha256, run_program
from cloister.lang.source import JoinedSource, ModuleText, Source
from cloister.limits import ResourceLimits


class CountingLoader:
    """A loader that notes what it was asked for."""

    def __init__(self, **texts: str) -> None:
        self.texts = texts
        self.asked: list[str] = []

    def find(self, name: str) -> Source | Missing:
        self.asked.append(name)
        text = self.texts.get(name.replace(".", "_"))
        return Missing((f"lib/{name}.rtfs",), tuple(self.texts)) if text is None else Source(f"lib/{name}.rtfs", text)


def value_of(text: str, /, **modules: str) -> str:
    program = compile_program(text, modules=CountingLoader(**modules))
    return to_text(run_program(program, PureHost(), ResourceLimits(), {}).value)


def error_of(text: str, /, **modules: str) -> CloisterError:
    with pytest.raises(CloisterError) as caught:
        value_of(text, **modules)
    assert caught.value.span is not None
    return caught.value


A = "(module a (:exports [f]) (import c) (defn f [x] (c/g x)))"
B = "(module b (:exports [f]) (import c) (defn f [x] (+ 1 (c/g x))))"
C = "(module c (:exports [g])\n  (defn g [x]\n    (* 2 x)))"


def test_modules_are_loaded_once_and_dependencies_first() -> None:
    loader = CountingLoader(a=A, b=B, c=C)
    program = compile_program("(import a) (import b) (import c) [(a/f 1) (b/f 2) (c/g 3)]", modules=loader)
    assert loader.asked == ["a", "c", "b"]
    assert [module.name for module in program.modules] == ["a", "c", "b"]
    assert to_text(run_program(program, PureHost(), ResourceLimits(), {}).value) == "[2 5 6]"


def test_the_texts_of_a_program_are_all_it_takes() -> None:
    program = compile_program("(import a) (a/f 4)", "p", modules=CountingLoader(a=A, c=C))
    again = compile_program("(import a) (a/f 4)", "p", modules=GivenModules(program.modules))
    assert again.sha256 == program.sha256
    assert [module.name for module in again.modules] == ["a", "c"]


def test_the_digest_covers_modules() -> None:
    def compiled(c: str) -> Program:
        return compile_program("(import a) (a/f 4)", modules=CountingLoader(a=A, c=c))

    first, changed = compiled(C), compiled(C.replace("2", "3"))
    assert first.sha256 != changed.sha256
    assert to_text(run_program(changed, PureHost(), ResourceLimits(), {}).value) == "12"
    assert compiled(C) is not first, "another version was compiled in between"
    assert compiled(C).sha256 == first.sha256
    assert first.sha256 == program_sha256("(import a) (a/f 4)", (), first.modules)


def test_a_program_is_remembered_as_long_as_all_its_texts_are_the_same() -> None:
    loader = CountingLoader(a="(module a (:exports [x]) (def x 1))")
    first = compile_program("(import a) a/x", modules=loader)
    assert compile_program("(import a) a/x", modules=loader) is first
    loader.texts["a"] = "(module a (:exports [x]) (def x 2))"
    assert (
        to_text(run_program(compile_program("(import a) a/x", modules=loader), PureHost(), ResourceLimits(), {}).value)
        == "2"
    )
    del loader.texts["a"]
    with pytest.raises(CloisterError):
        compile_program("(import a) a/x", modules=loader)


def test_digests_of_texts_and_inputs_cannot_be_confused_with_those_of_modules() -> None:
    module = ModuleText("a", Source("a", "b"))
    assert len({
        program_sha256("x", ["1", "a", "b"]), program_sha256("x", [], [module]), program_sha256("x", ["a"], [module]),
        program_sha256("x", [], [module, module]),
    }) == 4  # fmt: skip


def test_a_failure_in_a_module_shows_its_file_and_line() -> None:
    error = error_of('(import a)\n(a/f "x")', a=A, c=C)
    assert isinstance(error, GuestError)
    assert str(error.span) == "lib/c.rtfs:3:5"
    assert error.span is not None
    assert error.span.text == "    (* 2 x)))"
    assert error.trace[-1] == "program at <eval>:2:1"


def test_a_problem_in_a_module_shows_its_file_and_line() -> None:
    error = error_of("(import a)\n(a/f 1)", a=A, c=C.replace("(* 2 x)", "(* 2 y)"))
    assert str(error.span) == "lib/c.rtfs:3:10"
    error = error_of("(import a)\n(a/f 1)", a=A, c=C[:-1])
    assert isinstance(error, ReadError)
    assert str(error.span).startswith("lib/c.rtfs:")


def test_problems_of_several_files_are_reported_together() -> None:
    error = error_of("(import c)\n(c/g nothing)", c=C.replace("(* 2 x)", "(* 2 y)"))
    assert {error.span.source if error.span else "", *(each["span"]["source"] for each in error.details["more"])} == {
        "<eval>", "lib/c.rtfs",
    }  # fmt: skip


def test_a_use_before_the_import_says_so() -> None:
    error = error_of("(def x\n  (a/f 1))\n\n(import a)", a=A, c=C)
    assert error.message == "`a/f` is used before its import on line 4"
    assert str(error.span) == "<eval>:2:4"
    error = error_of("(import b)", b="(module b\n (def x (c/g 1))\n (import c))", c=C)
    assert error.message == "`c/g` is used before its import on line 3"
    assert str(error.span) == "lib/b.rtfs:2:10"


def test_an_import_that_failed_is_the_only_problem() -> None:
    error = error_of("(import c :only [g nothing]) (g 1) (nothing)", c=C)
    assert (error.code, error.details.get("more")) == ("compile.not-exported", None)
    error = error_of("(import c :as d) (import a :as d) (d/g 1) (d/f 1)", a=A, c=C)
    assert (error.code, error.details.get("more")) == ("compile.import", None)


def test_a_module_that_several_import_is_there_once_the_first_did() -> None:
    text = "(defn f [] (c/g 1)) (def before (try (f) (catch e 0))) (import a) (def after (f)) (import c) [before after]"
    assert value_of(text, a=A, c=C) == "[0 2]"


def test_macros_can_use_what_def_and_defn_define() -> None:
    error = error_of("(import a) (defmacro m [] (a/P {}))", a="(module a (:exports [P]) (defstruct P))")
    assert error.message == "macros cannot use `a/P`"


def test_a_circle_is_shown() -> None:
    error = error_of("(import a)", a="(module a (import b))", b="(module b (import c))", c="(module c (import a))")
    assert error.code == "compile.module-cycle"
    assert error.message.endswith("a -> b -> c -> a")
    assert str(error.span) == "lib/c.rtfs:1:11"


def test_a_missing_module_says_where_it_was_looked_for() -> None:
    error = error_of("(import texts) (texts/f 1)", text="")
    assert error.code == "compile.module-not-found"
    assert error.message == "there is no module texts; looked for lib/texts.rtfs"
    assert error.hint is not None
    assert error.hint.startswith("did you mean text?")
    assert "more" not in error.details, "what it would have defined is not reported as well"


def test_without_a_loader_there_are_the_modules_of_the_text() -> None:
    with pytest.raises(CloisterError) as caught:
        compile_program("(import a)")
    assert caught.value.code == "compile.module-not-found"


@pytest.mark.parametrize(
    "text", ["", "1", "(module b)", "(module a) 1", "(module a) (module b)", "(do (module a))", "module"]
)
def test_a_file_holds_its_module_and_nothing_else(text: str) -> None:
    error = error_of("(import a)", a=text)
    assert error.code == "compile.module"
    assert error.span is not None
    assert error.span.source == "lib/a.rtfs"


@pytest.mark.parametrize("name", ["a..b", "a.", "..", "a/b", "a.1", "-a", "a.b/c", "a+b", "x" * 201])
def test_names_that_no_file_should_have(name: str) -> None:
    loader = CountingLoader()
    with pytest.raises(CloisterError):
        compile_program(f"(import {name})", modules=loader)
    assert loader.asked == []


def test_the_number_of_modules_is_bounded() -> None:
    def chain(count: int) -> dict[str, str]:
        inner = {f"m{index}": f"(module m{index} (import m{index + 1}))" for index in range(count - 1)}
        return inner | {f"m{count - 1}": f"(module m{count - 1})"}

    assert value_of("(import m0)", **chain(MODULES_MAX)) == "nil"
    assert error_of("(import m0)", **chain(MODULES_MAX + 1)).code == "compile.module"


def test_the_size_of_all_texts_is_bounded() -> None:
    half = ";" + " " * (TEXTS_CHARS_MAX // 2)
    assert error_of("(import a) (import b)", a=f"(module a){half}", b=f"(module b){half}").code == "compile.module"
    assert value_of("(import a)", a=f"(module a){half}") == "nil"


def test_effects_are_seen_through_modules() -> None:
    module = """(module net (:exports [fetch-all get2])
      (defn fetch [x] (call :net.fetch x))
      (defmacro get2 [x] `(call :net.get ~x))
      (defn fetch-all [xs] (map fetch xs)))"""
    loader = CountingLoader(net=module)
    program = compile_program('(import net) (net/fetch-all ["a"]) (net/get2 "b")', modules=loader)
    assert {effect.capability_id for effect in program.effects} == {"net.fetch", "net.get"}
    (inside,) = [effect for effect in program.effects if effect.capability_id == "net.fetch"]
    assert str(program.source.span(inside.start, inside.end)) == "lib/net.rtfs:2:23"


def test_a_module_does_not_see_the_program() -> None:
    assert (
        error_of("(def secret 1) (import a)", a="(module a (:exports [x]) (def x secret))").code
        == "compile.unknown-name"
    )
    module = "(module a (:exports [f]) (defn helper [x] (inc x)) (defn f [x] (helper x)))"
    assert value_of("(def helper 5) (import a) [(a/f 1) helper]", a=module) == "[2 5]"


def test_macros_of_modules_use_what_their_module_has() -> None:
    module = "(module a (:exports [m]) (defn inner [x] (* 2 x)) (defmacro m [x] `(inner ~(inner 3))))"
    assert value_of("(import a) (defn inner [x] 0) (a/m 1)", a=module) == "12"


def test_joined_texts_have_their_own_lines() -> None:
    joined = JoinedSource(
        "main", "one\ntwo", (ModuleText("a", Source("a.rtfs", "x\ny")), ModuleText("b", Source("b", "")))
    )
    assert str(joined.span(4, 7)) == "main:2:1"
    assert str(joined.span(7, 7)) == "main:2:4"
    assert str(joined.span(8, 9)) == "a.rtfs:1:1"
    assert str(joined.span(10, 11)) == "a.rtfs:2:1"
    assert str(joined.span(12, 12)) == "b:1:1"
    assert str(joined.span(99, 99)) == "b:1:1"
    assert str(joined.span(-1, 0)) == "main:1:1"
