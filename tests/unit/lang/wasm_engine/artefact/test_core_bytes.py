"""Core becomes bytes and comes back as it was: it compiles to the same module, and runs the same."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.differential.engines import ENGINES
from tests.golden.test_golden import EchoHost
from tests.property.exploring import examples
from tests.unit.lang.wasm_engine.artefact.programs import programs

from cloister.errors import CloisterError, InputError
from cloister.lang import core
from cloister.lang.lexer import is_keyword_name, is_symbol_name
from cloister.lang.printer import to_text
from cloister.lang.program import Program, compile_program, run_program
from cloister.lang.types import expression
from cloister.lang.types.expression import PRIMITIVES, Declaration, Entry, Exactly, Kind
from cloister.lang.values import INT_MAX, INT_MIN, Keyword, List, Map, Symbol
from cloister.lang.wasm_engine.artefact.nodes import core_sha256, decode_core, encode_core
from cloister.lang.wasm_engine.artefact.validity import check_core
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.limits import ResourceLimits


def _again(program: Program) -> Program:
    """Return a program whose core went through bytes; engines keep nothing of the other one for it."""
    decoded = decode_core(encode_core(program.core))
    return replace(program, core=decoded, sha256=f"again {program.sha256}")


def test_core_that_came_back_compiles_to_the_same_module() -> None:
    for program in programs():
        again = decode_core(encode_core(program.core))
        check_core(again)
        ours, theirs = compile_plan(program.core), compile_plan(again)
        assert replace(ours, objects=()) == replace(theirs, objects=()), program.source.text


@pytest.mark.parametrize("name", ["python", "wasm"])
def test_core_that_came_back_runs_the_same(name: str) -> None:
    run = run_program if name == "python" else ENGINES[name]().run
    ends = set()
    for program in programs()[:: 1 if name == "python" else 5]:
        outcomes = [_outcome(run, each) for each in (program, _again(program))]
        assert outcomes[0] == outcomes[1], program.source.text
        ends.add(outcomes[0][0])
    assert {"value", "error"} == ends


def _outcome(run: object, program: Program) -> tuple[object, ...]:
    limits = ResourceLimits(steps_count=200_000, depth_count=200)
    try:
        return "value", to_text(run(program, EchoHost(), limits, {}).value, 10_000)  # type: ignore[operator]
    except CloisterError as error:
        return "error", error.code, error.message, error.kind, error.span


def test_one_program_has_one_encoding_in_every_process() -> None:
    script = (
        "import hashlib\nfrom tests.unit.lang.wasm_engine.artefact.programs import programs\n"
        "from cloister.lang.wasm_engine.artefact.artefact import make_artefact\n"
        "digest = hashlib.sha256()\n"
        "for program in programs()[::3]: digest.update(make_artefact(program))\n"
        "print(digest.hexdigest())"
    )
    digests = set()
    for hashes in ("0", "1"):
        environment = os.environ | {
            "PYTHONHASHSEED": hashes,
            "PYTHONPATH": os.pathsep.join([str(Path("src").resolve()), str(Path.cwd())]),
        }
        digests.add(
            subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True).stdout
        )
    assert len(digests) == 1


def test_programs_that_differ_have_different_digests() -> None:
    texts = ("1", "2", "1.0", '"1"', ":a", "'a", '"a"', "[1]", "'(1)", "(do 1)", "{:a 1}", '{"a" 1}', "(fn [x] x)")
    digests = {core_sha256(encode_core(compile_program(text).core)) for text in texts}
    assert len(digests) == len(texts)


# Constants and types, more of them than programs have

ATOMS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(INT_MIN, INT_MAX),
    st.floats(),
    st.text(st.characters(exclude_categories=["Cs"])),
    st.text("ab-/é", min_size=1).filter(is_keyword_name).map(Keyword),
    st.text("ab-/é", min_size=1).filter(is_symbol_name).map(Symbol),
)
KEYS = st.one_of(st.text("ab", min_size=1).map(Keyword), st.text("ab"), st.integers(-3, 3))
CONSTANTS = st.recursive(
    ATOMS,
    lambda inner: st.one_of(
        st.lists(inner).map(tuple), st.lists(inner).map(List), st.dictionaries(KEYS, inner).map(Map)
    ),
    max_leaves=20,
)


def _constant(value: object) -> core.Node:
    return core.Const(value, 3, 7)


@given(CONSTANTS)
@examples(300)
def test_a_constant_comes_back(value: object) -> None:
    node = decode_core(encode_core(_constant(value)))
    assert isinstance(node, core.Const)
    assert repr(node.value) == repr(value)
    assert type(node.value) is type(value)
    assert (node.start, node.end) == (3, 7)


RECURSIVE = Declaration("Tree")
RECURSIVE.type = expression.Record((Entry("next", expression.Optional(expression.Named(RECURSIVE)), True),))
MUTUAL = [Declaration("A"), Declaration("B")]
MUTUAL[0].type = expression.Vector(expression.Named(MUTUAL[1]))
MUTUAL[1].type = expression.Record((Entry("a", expression.Named(MUTUAL[0])),), PRIMITIVES[Kind.ANY], True)

LITERALS = st.one_of(st.integers(-9, 9), st.text("ab"), st.none(), st.booleans(), st.just((1, (2.5, Keyword("k")))))
TYPES = st.recursive(
    st.one_of(
        st.sampled_from(sorted(PRIMITIVES.values(), key=lambda each: each.kind)),
        LITERALS.map(Exactly).map(expression.Literal),
        st.lists(LITERALS.map(Exactly), min_size=1).map(lambda each: expression.Enum(tuple(each))),
        st.sampled_from([expression.Named(each) for each in (RECURSIVE, *MUTUAL)]),
        st.text("ab").map(expression.Resource),
    ),
    lambda inner: st.one_of(
        inner.map(expression.Optional),
        inner.map(expression.Vector),
        st.builds(expression.MapOf, inner, inner),
        st.lists(inner, min_size=1).map(lambda each: expression.Tuple(tuple(each))),
        st.lists(inner, min_size=1).map(lambda each: expression.Union(tuple(each))),
        st.lists(inner, min_size=1).map(lambda each: expression.Intersection(tuple(each))),
        st.builds(
            expression.Function,
            st.lists(inner).map(tuple),
            st.one_of(st.none(), inner),
            inner,
        ),
        st.builds(expression.Array, inner, st.lists(st.one_of(st.none(), st.integers(0, 9))).map(tuple)),
        st.dictionaries(st.text("ab"), inner).map(
            lambda each: expression.Record(tuple(Entry(key, type_, key == "a") for key, type_ in each.items()))
        ),
    ),
    max_leaves=12,
)


@given(TYPES)
@examples(200)
def test_a_type_comes_back(type_: expression.Type) -> None:
    node = decode_core(encode_core(core.HasType(_constant(1), type_, 0, 1)))
    check_core(node)
    assert isinstance(node, core.HasType)
    assert encode_core(node) == encode_core(core.HasType(_constant(1), type_, 0, 1))
    assert repr(node.type) == repr(type_)


def test_types_without_parts_stay_the_one_object_they_are() -> None:
    node = decode_core(encode_core(core.HasType(_constant(1), expression.Vector(PRIMITIVES[Kind.INT]), 0, 1)))
    assert isinstance(node, core.HasType)
    assert isinstance(node.type, expression.Vector)
    assert node.type.item is PRIMITIVES[Kind.INT]


# Nesting


def _nested(count: int) -> core.Node:
    node: core.Node = _constant(1)
    for _ in range(count):
        node = core.MakeVector((node,), 0, 1)
    return node


def test_nesting_is_bounded_and_no_matter_of_recursion() -> None:
    deep = decode_core(encode_core(_nested(19_000)))
    assert isinstance(deep, core.MakeVector)
    with pytest.raises(InputError, match="nested deeper than 20000 levels") as caught:
        decode_core(encode_core(_nested(20_001)))
    assert caught.value.code == "input.artefact"


def test_nesting_of_constants_is_bounded() -> None:
    value: object = ()
    for _ in range(300):
        value = (value,)
    with pytest.raises(InputError, match="values are nested deeper"):
        decode_core(encode_core(_constant(value)))


def test_the_size_of_everything_together_is_bounded() -> None:
    few = decode_core(encode_core(_constant((1,) * 100_000)))
    assert isinstance(few, core.Const)
    many = core.MakeVector(tuple(_constant((1,) * 100_000) for _ in range(11)), 0, 1)
    with pytest.raises(InputError, match="more than 1000000 parts"):
        decode_core(encode_core(many))


def test_what_is_no_constant_is_not_written() -> None:
    with pytest.raises(TypeError, match="none of the values"):
        encode_core(_constant(object()))
