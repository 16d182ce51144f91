"""A compiled plan says what it is, and says it truly."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.differential.engines import ENGINES
from tests.golden.test_golden import EchoHost
from tests.unit.lang.wasm_engine.artefact.programs import programs

from cloister.errors import GuestError, InputError
from cloister.lang.modules import GivenModules
from cloister.lang.program import Program, compile_program
from cloister.lang.source import ModuleText, Source
from cloister.lang.wasm_engine.artefact.artefact import (
    Artefact,
    assembled,
    load_artefact,
    make_artefact,
)
from cloister.lang.wasm_engine.artefact.identity import compiler_sha256
from cloister.lang.wasm_engine.artefact.nodes import encode_core
from cloister.lang.wasm_engine.artefact.sections import imports, plan_section
from cloister.lang.wasm_engine.artefact.source_map import lines_of
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.limits import ResourceLimits

TEXT = """(import tools :as t)
(defn twice [x] (* 2 x))
(step "first"
  (call :ccos.io.log "hi" {:n n}))
(call (str "ccos." "id") (t/half 9))
"""
MODULE = """(module tools (:exports [half])
  (defn half [x]
    (call :ccos.math.half x)))
"""


def program() -> Program:
    modules = GivenModules([ModuleText("tools", Source("lib/tools.rtfs", MODULE))])
    return compile_program(TEXT, "plans/plan.rtfs", ["n"], modules)


def of_another_compiler(found: Artefact, module_of: Program | None = None) -> bytes:
    """Return what another version would have made of a program."""
    manifest = replace(found.manifest, compiler_sha256="0" * 64)
    compiled = compile_plan((module_of or found.program).core)
    return assembled(compiled, manifest, encode_core(found.program.core))


def test_a_compiled_plan_is_the_program_it_was_made_of() -> None:
    ours = program()
    data = make_artefact(ours)
    found = load_artefact(data)
    assert found.is_ours
    assert found.program.has_text
    assert found.program.sha256 == ours.sha256
    assert found.program.source == ours.source
    assert found.program.effects == ours.effects


def test_it_declares_what_it_can_touch() -> None:
    manifest = load_artefact(make_artefact(program())).manifest
    assert manifest.capabilities == ("ccos.io.log", "ccos.math.half")
    assert manifest.is_computed
    assert manifest.inputs == ("n",)
    assert [(each.capability, each.arguments) for each in manifest.effects] == [
        ("ccos.io.log", ('"hi"', None)),
        (None, (None,)),
        ("ccos.math.half", (None,)),
    ]
    assert manifest.compiler_sha256 == compiler_sha256()


def test_its_module_imports_exactly_that() -> None:
    found = imports(make_artefact(program()))
    assert sorted(name for module, name in found if module == "capability") == ["*", "ccos.io.log", "ccos.math.half"]
    assert {module for module, _ in found} == {"capability", "runtime"}
    pure = imports(make_artefact(compile_program("(+ 1 2)")))
    assert {module for module, _ in pure} == {"runtime"}


def test_a_capability_called_like_the_import_of_computed_ids_counts_as_computed() -> None:
    manifest = load_artefact(make_artefact(compile_program('(call "*" 1)'))).manifest
    assert manifest.capabilities == ()
    assert manifest.is_computed


def test_every_program_can_be_compiled_and_is_accepted() -> None:
    for each in programs()[::4]:
        data = make_artefact(each, is_stripped=True)
        found = load_artefact(data)
        assert repr(found.program.effects) == repr(each.effects), "arguments that are not a number equal nothing"
        assert found.program.steps == each.steps
        assert make_artefact(found.program) == data, "one without text is made again without"


def test_a_stripped_plan_has_no_text_and_still_knows_places() -> None:
    ours = program()
    data = make_artefact(ours, is_stripped=True)
    for line in (*TEXT.splitlines(), *MODULE.splitlines()):
        assert line.encode() not in data
    stripped = load_artefact(data).program
    assert not stripped.has_text
    assert stripped.source.text == ""
    for effect in ours.effects:
        there, here = ours.source.span(effect.start, effect.end), stripped.source.span(effect.start, effect.end)
        assert here == replace(there, text="")
    ends = len(TEXT) + len(MODULE) + 1
    for start in range(ends + 3):
        assert str(stripped.source.span(start, start + 5)) == str(ours.source.span(start, start + 5))


def test_a_stripped_plan_runs_with_its_places() -> None:
    run = ENGINES["wasm"]().run
    text = "(defn f [x]\n  (/ 1 x))\n[(f 1) (call :echo 7)]"
    stripped = load_artefact(make_artefact(compile_program(text, "p.rtfs"), is_stripped=True)).program
    assert run(stripped, EchoHost(), ResourceLimits(), {}).value == (1, 7)
    failing = compile_program("(defn f [x]\n  (/ 1 x))\n(f 0)", "p.rtfs")
    errors = []
    for each in (failing, load_artefact(make_artefact(failing, is_stripped=True)).program):
        with pytest.raises(GuestError) as caught:
            run(each, EchoHost(), ResourceLimits(), {})
        errors.append(caught.value)
    assert str(errors[0].span) == str(errors[1].span) == "p.rtfs:2:3"
    assert errors[0].trace == errors[1].trace


def test_its_map_is_that_of_its_module() -> None:
    compiled = compile_plan(program().core)
    found = load_artefact(make_artefact(program())).map
    assert found.places == compiled.places
    assert found.functions == compiled.functions
    assert {each.name for each in found.functions} >= {"twice", "half", "program"}


def test_a_plan_of_another_compiler_is_its_core_whatever_its_module() -> None:
    ours = load_artefact(make_artefact(program()))
    other = compile_program(TEXT.replace('"hi"', '"no"'), "plans/plan.rtfs", ["n"], _modules())
    data = of_another_compiler(ours, module_of=other)
    found = load_artefact(data)
    assert plan_section(data)[1] != plan_section(make_artefact(program()))[1]
    assert not found.is_ours
    assert encode_core(found.program.core) == encode_core(program().core)
    assert found.program.has_text, "this version makes the same core of its text"


def _modules() -> GivenModules:
    return GivenModules([ModuleText("tools", Source("lib/tools.rtfs", MODULE))])


def test_a_text_that_another_compiler_understood_otherwise_is_left_out() -> None:
    ours = load_artefact(make_artefact(program()))
    texts = (replace(ours.manifest.texts[0], text=TEXT.replace("* 2 x", "* 3 x")), *ours.manifest.texts[1:])
    for changed in (texts, (replace(texts[0], text="(((("), *texts[1:])):
        manifest = replace(ours.manifest, texts=changed, compiler_sha256="0" * 64)
        data = assembled(compile_plan(ours.program.core), manifest, encode_core(ours.program.core))
        found = load_artefact(data).program
        assert not found.has_text
        assert found.source.text == ""
        with pytest.raises(InputError, match="its text is not what its core was made of"):
            load_artefact(
                assembled(
                    compile_plan(ours.program.core),
                    replace(ours.manifest, texts=changed),
                    encode_core(ours.program.core),
                )
            )


def test_names_that_cannot_be_shown_are_left_out() -> None:
    hidden = compile_program("1", "a\x1b[31mred.rtfs")
    assert load_artefact(make_artefact(hidden)).program.name == "<plan>"
    assert load_artefact(make_artefact(hidden, is_stripped=True)).program.name == "<plan>"
    plain = compile_program("1", "a red plan.rtfs")
    assert load_artefact(make_artefact(plain)).program.name == "a red plan.rtfs"


def test_lines_are_those_of_the_texts() -> None:
    own, module = lines_of(program().source)
    assert (own.path, module.path) == ("plans/plan.rtfs", "lib/tools.rtfs")
    assert len(own.starts) == TEXT.count("\n") + 1
    assert own.length == len(TEXT)
