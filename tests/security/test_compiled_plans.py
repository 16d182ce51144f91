"""Hostile compiled plans: each lie is refused and named, each refusal has its permitted twin, and no code that this
compiler did not make from an accepted core is ever run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from random import Random

import pytest
from tests.differential.engines import ENGINES
from tests.golden.test_golden import EchoHost
from tests.unit.lang.wasm_engine.artefact.programs import programs

from cloister.errors import CloisterError, CompileError, InputError
from cloister.isolation.wasm.engine import Engine
from cloister.lang.program import compile_program
from cloister.lang.wasm_engine.artefact.artefact import assembled, load_artefact, make_artefact
from cloister.lang.wasm_engine.artefact.manifest import Manifest
from cloister.lang.wasm_engine.artefact.nodes import decode_core, encode_core
from cloister.lang.wasm_engine.artefact.octets import OctetReader, Octets
from cloister.lang.wasm_engine.artefact.sections import (
    ARTEFACT_BYTES_MAX,
    imports,
    plan_section,
    sections,
    with_plan_section,
)
from cloister.lang.wasm_engine.artefact.validity import check_core
from cloister.lang.wasm_engine.binary.encoding import sized, text, unsigned
from cloister.lang.wasm_engine.binary.module import MAGIC
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan
from cloister.limits import ResourceLimits

TEXT = '(defn f [x] (call :ccos.io.log x)) (f 1) (call :ccos.io.read-file "/granted") 42'
PLAN = compile_program(TEXT, "plan.rtfs")
CORE = encode_core(PLAN.core)
DATA = make_artefact(PLAN)
MANIFEST = load_artefact(DATA).manifest
MODULE = compile_plan(PLAN.core)
OTHER = "0" * 64
"""The digest of a compiler that is not this one: then its module is not compared with ours, and never run."""


def made(manifest: Manifest = MANIFEST, *, of: str | None = None, core: bytes = CORE) -> bytes:
    """Return a compiled plan that says what it is told to, with the module of another text if one is given."""
    return assembled(MODULE if of is None else compile_plan(compile_program(of).core), manifest, core)


def refusal(data: bytes) -> CloisterError:
    with pytest.raises(CloisterError) as caught:
        load_artefact(data)
    assert caught.value.exit_status == 2
    return caught.value


def accepted(data: bytes) -> None:
    assert load_artefact(data).program.effects == PLAN.effects


# What is declared, what the core does, what the module imports


def test_the_honest_one_is_accepted() -> None:
    assert made() == DATA
    accepted(DATA)
    accepted(made(replace(MANIFEST, compiler_sha256=OTHER)))


LIES: dict[str, tuple[bytes, str | None, str]] = {
    "a capability is not declared": (
        made(replace(MANIFEST, capabilities=("ccos.io.log",))), "ccos.io.read-file",
        'its core calls the capability "ccos.io.read-file", and its section does not declare it'),
    "a capability is declared and never called": (
        made(replace(MANIFEST, capabilities=(*MANIFEST.capabilities, "ccos.io.write-file"))), "ccos.io.write-file",
        'its section declares the capability "ccos.io.write-file", and its core never calls it'),
    "computed ids are declared and there are none": (
        made(replace(MANIFEST, is_computed=True)), "*",
        "does not compute ids of capabilities, and its section says so"),
    "a call is declared otherwise": (
        made(replace(MANIFEST, effects=(MANIFEST.effects[0], replace(MANIFEST.effects[1], arguments=('"/safe"',))))),
        "ccos.io.read-file", "otherwise than it stands in its core"),
    "a call is left out": (
        made(replace(MANIFEST, effects=MANIFEST.effects[:1])), None, "declares 1 calls, and its core has 2"),
    "the module imports another capability": (
        made(replace(MANIFEST, compiler_sha256=OTHER), of=TEXT + "(call :ccos.io.write-file)"), "ccos.io.write-file",
        'its module imports the capability "ccos.io.write-file", and its section does not declare it'),
    "the module imports less": (
        made(replace(MANIFEST, compiler_sha256=OTHER), of="(call :ccos.io.log 1)"), "ccos.io.read-file",
        'its section declares the capability "ccos.io.read-file", and its module does not import it'),
    "the module computes ids": (
        made(replace(MANIFEST, compiler_sha256=OTHER), of=TEXT + '(call (str "a"))'), "*",
        "its module imports computed capabilities"),
    "the core is another": (
        made(core=encode_core(compile_program("1").core)), None, "the digest of its core is not the declared one"),
    "the module is another": (
        made(of=TEXT.replace("42", "43")), None, "its module is not what its core compiles to"),
    "the text is another": (
        made(replace(MANIFEST, texts=(replace(MANIFEST.texts[0], text="42"),))), None,
        "its text is not what its core was made of"),
    "the text does not compile": (
        made(replace(MANIFEST, texts=(replace(MANIFEST.texts[0], text="(("),))), None,
        "its text is not what its core was made of"),
}  # fmt: skip


@pytest.mark.parametrize("lie", LIES)
def test_each_lie_is_refused_and_named(lie: str) -> None:
    data, capability, words = LIES[lie]
    error = refusal(data)
    assert error.code == "input.artefact-altered"
    assert words in error.message
    assert "nothing of it was run" in error.message
    assert error.details.get("capability") == capability


def test_imports_that_no_plan_has_are_refused() -> None:
    ours = with_imports(("runtime", "collect"), ("capability", "ccos.io.log"), ("capability", "ccos.io.read-file"))
    for foreign in (("wasi_snapshot_preview1", "fd_write"), ("env", "system"), ("host", "ask"), ("plan", "run")):
        data = with_imports(*ours[1], foreign)[0]
        error = refusal(data)
        assert error.code == "input.artefact-altered"
        assert f"its module imports {foreign[0]}.{foreign[1]}, which no compiled plan does" in error.message
    accepted(ours[0])


def test_only_this_compiler_is_held_to_the_names_of_its_runtime() -> None:
    names = ("runtime", "not-there"), ("capability", "ccos.io.log"), ("capability", "ccos.io.read-file")
    accepted(with_imports(*names)[0])
    ours = with_imports(*names, compiler=MANIFEST.compiler_sha256)[0]
    assert "its module imports runtime.not-there, which no compiled plan does" in refusal(ours).message


def with_imports(*listed: tuple[str, str], compiler: str = OTHER) -> tuple[bytes, tuple[tuple[str, str], ...]]:
    """Return a compiled plan whose module has nothing but functions that it imports."""
    types = b"\x01\x60\x00\x00"
    entries = b"".join(text(module) + text(name) + b"\x00\x00" for module, name in listed)
    module = MAGIC + b"\x01" + sized(types)
    module += b"\x02" + sized(unsigned(len(listed)) + entries)
    content = plan_section(made(replace(MANIFEST, compiler_sha256=compiler)))[0]
    return with_plan_section(module, content), listed


def test_the_module_of_a_file_is_never_run() -> None:
    evil = "(defn f [x] (call :ccos.io.log x)) (f 1) (call :ccos.io.read-file 2) 666"
    found = load_artefact(made(replace(MANIFEST, compiler_sha256=OTHER), of=evil))
    assert encode_core(found.program.core) == CORE

    class Host(EchoHost):
        def call(self, capability_id: str, arguments: tuple[object, ...]) -> object:
            return capability_id, arguments

    assert ENGINES["wasm"]().run(found.program, Host(), ResourceLimits(), {}).value == 42


# Sections


def test_a_module_of_another_compiler_is_no_plan_and_the_error_says_how_to_run_it() -> None:
    error = refusal(MODULE.wasm)
    assert error.code == "input.artefact-foreign"
    assert error.hint is not None
    assert "cloister exec --provider wasm" in error.hint


def test_a_section_of_another_name_is_none_of_ours() -> None:
    content, module = plan_section(DATA)
    renamed = module + b"\x00" + sized(text("cloister.plaN") + content)
    assert refusal(renamed).code == "input.artefact-foreign"


def test_two_sections_are_refused() -> None:
    assert "its section twice" in refusal(with_plan_section(DATA, plan_section(DATA)[0])).message


def test_another_format_is_refused_and_named() -> None:
    content, module = plan_section(DATA)
    error = refusal(with_plan_section(module, b"\x01" + content[1:]))
    assert error.code == "input.artefact-format"
    assert "format 1; this version of cloister reads format 2" in error.message


def test_sections_elsewhere_or_beside_are_refused() -> None:
    content, module = plan_section(DATA)
    first = sections(module)[0]
    moved = with_plan_section(module[: first.start], content) + module[first.start :]
    beside = DATA + b"\x00" + sized(text("more") + b"data")
    for data in (moved, beside):
        assert "its module is not what its core compiles to" in refusal(data).message


def test_too_large_a_file_is_refused_before_it_is_read() -> None:
    assert "bytes" in refusal(DATA + bytes(ARTEFACT_BYTES_MAX)).message


def test_too_many_sections_are_refused() -> None:
    assert "sections" in refusal(DATA[:8] + b"\x00\x01\x00" * 2_000).message


def test_what_ends_early_is_refused_wherever_it_ends() -> None:
    for end in range(4, len(DATA)):
        assert isinstance(refusal(DATA[:end]), InputError)


def test_a_changed_bit_is_refused_or_changes_nothing() -> None:
    random = Random(6)
    for _ in range(3_000):
        place, bit = random.randrange(len(DATA)), random.randrange(8)
        changed = bytearray(DATA)
        changed[place] ^= 1 << bit
        try:
            found = load_artefact(bytes(changed))
        except (InputError, CompileError):
            continue
        assert encode_core(found.program.core) == CORE
        if found.is_ours:  # a file has no key: what its text is called, and which of two that mean the same, it may say
            assert replace(found.manifest, texts=()) == replace(MANIFEST, texts=())


@pytest.mark.parametrize(
    "listed",
    [
        unsigned(2**31 - 1) + text("a") + text("b") + b"\x00\x00",
        unsigned(1) + text("a") + text("b") + b"\x09\x00",
        unsigned(1) + text("a") + text("b") + b"\x02\x07\x00",
        unsigned(1) + unsigned(200) + b"a",
        unsigned(1) + b"\x02\xff\xfe" + text("b") + b"\x00\x00",
        unsigned(0) + b"more",
        b"\x80" * 100_000,
    ],
)
def test_imports_that_are_no_list_are_refused(listed: bytes) -> None:
    module = MAGIC + b"\x02" + sized(listed)
    with pytest.raises(InputError) as caught:
        imports(module)
    assert caught.value.code == "input.artefact"


def test_imports_twice_are_refused() -> None:
    one = b"\x02" + sized(unsigned(1) + text("runtime") + text("f") + b"\x00\x00")
    assert imports(MAGIC + one) == (("runtime", "f"),)
    with pytest.raises(InputError, match="imports twice"):
        imports(MAGIC + one + one)


# What it says of itself


def said(change: Callable[[dict[str, object]], object]) -> bytes:
    """Return a compiled plan whose manifest was changed as JSON."""
    facts = json.loads(MANIFEST.encode())
    change(facts)
    return raw(json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())


def raw(manifest: bytes) -> bytes:
    """Return a compiled plan with these bytes as its manifest."""
    content, module = plan_section(DATA)
    reader = OctetReader(content)
    out = Octets()
    out.number(reader.number())
    reader.block()
    out.block(manifest)
    out.block(reader.block())
    out.block(reader.block())
    return with_plan_section(module, bytes(out.data))


def test_a_manifest_written_again_is_accepted() -> None:
    assert said(lambda facts: None) == DATA


@pytest.mark.parametrize(
    "manifest",
    [
        b"",
        b"null",
        b"[]",
        b"{}",
        b'"\\ud800"',
        b"[" * 100_000,
        b"[" * 50 + b"]" * 50,
        b'{"a":' * 300 + b"1" + b"}" * 300,
        b"1" * 100_000,
        b"NaN",
        b"1e999",
        MANIFEST.encode() + b" ",
        MANIFEST.encode().replace(b'"computed":false', b'"computed": false'),
        MANIFEST.encode().replace(b'"computed":false', b'"computed":false,"computed":false'),
        MANIFEST.encode().replace(b'"computed":false', b'"computed":0'),
        MANIFEST.encode().replace(b"plan.rtfs", b"\\ud800"),
        MANIFEST.encode().replace(b"plan.rtfs", b"\\u001b[31m"),
        MANIFEST.encode().replace(b"plan.rtfs", "plän.rtfs".encode()),
        MANIFEST.encode().replace(b'"start":', b'"start":1.0,"x":', 1),
    ],
)
def test_a_manifest_that_is_none_of_ours_is_refused(manifest: bytes) -> None:
    assert manifest != MANIFEST.encode()
    assert refusal(raw(manifest)).code == "input.artefact"


@pytest.mark.parametrize(
    "change",
    [
        lambda facts: facts.update(more=1),
        lambda facts: facts.pop("inputs"),
        lambda facts: facts["texts"][0].pop("module"),
        lambda facts: facts.update(inputs=["b", "a"]),
        lambda facts: facts.update(inputs=["a", "a"]),
        lambda facts: facts.update(inputs=[1]),
        lambda facts: facts.update(capabilities="ccos.io.log"),
        lambda facts: facts.update(core_sha256="x"),
        lambda facts: facts.update(core_sha256=facts["core_sha256"].upper()),
        lambda facts: facts.update(texts=[]),
        lambda facts: facts["texts"][0].update(module="m"),
        lambda facts: facts["texts"][0].update(path=""),
        lambda facts: facts["texts"][0].update(path="x" * 5_000),
        lambda facts: facts["texts"][0].update(text=None),
        lambda facts: facts["texts"][0].update(text=None, length=3, lines=[0, 9]),
        lambda facts: facts["texts"][0].update(text=None, length=9, lines=[0, 5, 5]),
        lambda facts: facts["texts"][0].update(text=None, length=9, lines=[1]),
        lambda facts: facts["texts"][0].update(text=None, length=-1, lines=[0]),
        lambda facts: facts["texts"][0].update(text=None, length=2_000_000, lines=[0]),
        lambda facts: facts["texts"][0].update(text="\n" * 2_000_000),
        lambda facts: facts["effects"][0].update(start=-1),
        lambda facts: facts["effects"][0].update(start=2**40),
        lambda facts: facts["effects"][0].update(start=True),
        lambda facts: facts["effects"][0].update(arguments=[1]),
    ],
)
def test_facts_that_are_none_are_refused(change: Callable[[dict[str, object]], object]) -> None:
    assert refusal(said(change)).code == "input.artefact"


def test_a_text_left_out_by_hand_is_another_file_and_still_the_same_program() -> None:
    def leave_out(facts: dict[str, object]) -> None:
        facts["texts"][0].update(text=None, length=len(TEXT), lines=[0])  # type: ignore[index]

    found = load_artefact(said(leave_out))
    assert not found.program.has_text
    assert said(leave_out) == make_artefact(PLAN, is_stripped=True)


# Core


def test_changed_core_is_refused_or_is_a_program_that_compiles() -> None:
    random, engine = Random(7), Engine()
    kept = 0
    for program in programs()[::9]:
        core = bytearray(encode_core(program.core))
        for _ in range(12):
            changed = bytearray(core)
            for _ in range(random.randrange(1, 3)):
                changed[random.randrange(len(changed))] = random.randrange(256)
            kept += _survives(bytes(changed), engine)
    assert kept > 20, "some changes are programs: other numbers, other names"


def _survives(core: bytes, engine: Engine) -> bool:
    """Say whether bytes are accepted as a program; then they make a module that is valid."""
    try:
        node = decode_core(core)
        check_core(node)
    except (InputError, CompileError):
        return False
    engine.compile(compile_plan(node).wasm)
    return True


@pytest.mark.parametrize(
    "core",
    [
        b"",
        b"\x00",
        b"\xff" * 1_000,
        unsigned(2**31 - 1),
        b"\x80" * 1_000_000,
        b"\x00\x00" + unsigned(2**31 - 1) + b"\x00",
        b"\x00\x00\x01\x63",
        b"\x00\x00\x00",
        b"\x00\x00\x02\x10\x00\x00\x10\x00\x00",
        b"\x00\x00\x01\x05\xff\xff\xff\xff\x07\x00\x00",
    ],
)
def test_bytes_that_are_no_core_are_refused_at_once(core: bytes) -> None:
    with pytest.raises(InputError) as caught:
        decode_core(core)
    assert caught.value.code == "input.artefact"
