"""Compiled plans: a WebAssembly module that carries its core, and what is declared of it.

Owns how one is made and how one is accepted. The core is what counts: a module that was not made from it by this very
compiler is never run, what is declared is only compared, and a text that came along is compiled again before anything
else is run from it. Handles files of anybody.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

from cloister.errors import CloisterError, InputError
from cloister.lang import core
from cloister.lang.effects import Effect, find_effects, step_names
from cloister.lang.modules import GivenModules
from cloister.lang.program import Program, compile_program
from cloister.lang.python_engine.deep import run_with_room
from cloister.lang.source import ModuleText, Source
from cloister.lang.wasm_engine.artefact.identity import compiler_sha256
from cloister.lang.wasm_engine.artefact.manifest import Manifest, Text, is_name
from cloister.lang.wasm_engine.artefact.nodes import NODE_DEPTH_MAX, core_sha256, decode_core, encode_core
from cloister.lang.wasm_engine.artefact.octets import OctetReader, Octets, damaged
from cloister.lang.wasm_engine.artefact.sections import imports, plan_section, with_plan_section
from cloister.lang.wasm_engine.artefact.source_map import LineMap, Lines, SourceMap, decode_map, encode_map, lines_of
from cloister.lang.wasm_engine.artefact.validity import check_core
from cloister.lang.wasm_engine.artefact.verification import (
    altered,
    check_declared,
    check_imports,
    declared,
    is_computed,
    named,
)
from cloister.lang.wasm_engine.compiler.places import CompiledPlan
from cloister.lang.wasm_engine.compiler.plan_module import compile_plan

FORMAT: Final = 2
"""Version of the section; another one is refused."""
_UNNAMED: Final = "<plan>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Artefact:
    """A compiled plan that was accepted.

    Attributes:
        program: What it means. It has its text only when this version makes the same core of it.
        manifest: What it declares, all of it found true.
        map: Which of its code belongs to which place.
        is_ours: Whether this very compiler made it. Its module is then exactly what its core compiles to.
    """

    program: Program
    manifest: Manifest
    map: SourceMap
    is_ours: bool


def make_artefact(program: Program, *, is_stripped: bool = False) -> bytes:
    """Return a program as a compiled plan.

    Args:
        program: What was compiled. One without text gives a compiled plan without text.
        is_stripped: Whether to leave its text out; lines and columns stay.

    Raises:
        CompileError: `compile.size`: it is nested too deep.
    """
    encoded = encode_core(program.core)
    manifest = Manifest(
        compiler_sha256=compiler_sha256(),
        core_sha256=core_sha256(encoded),
        inputs=tuple(sorted(program.inputs)),
        capabilities=named(program.effects),
        is_computed=is_computed(program.effects),
        effects=declared(program.effects),
        texts=_texts(program, is_stripped=is_stripped or not program.has_text),
    )
    return assembled(compile_plan(program.core), manifest, encoded)


def assembled(compiled: CompiledPlan, manifest: Manifest, encoded: bytes) -> bytes:
    """Return a compiled plan of its parts, which nobody looks at here.

    Args:
        compiled: The module.
        manifest: What is declared.
        encoded: The core, as `encode_core` gives it.
    """
    out = Octets()
    out.number(FORMAT)
    out.block(manifest.encode())
    out.block(encoded)
    out.block(encode_map(compiled))
    return with_plan_section(compiled.wasm, bytes(out.data))


def _texts(program: Program, *, is_stripped: bool) -> tuple[Text, ...]:
    if is_stripped:
        lines = lines_of(program.source)
        modules = _module_names(program)
        return tuple(
            Text(module=module, path=_shown(each.path), text=None, lines=each._replace(path=_shown(each.path)))
            for module, each in zip(modules, lines, strict=True)
        )
    own = Text(module=None, path=_shown(program.name), text=program.source.text, lines=None)
    return (
        own,
        *(
            Text(module=each.name, path=_shown(each.source.name), text=each.source.text, lines=None)
            for each in program.modules
        ),
    )


def _module_names(program: Program) -> tuple[str | None, ...]:
    return (None, *(each.name for each in program.modules))


def _shown(path: str) -> str:
    return path if is_name(path) else _UNNAMED


def load_artefact(data: bytes) -> Artefact:
    """Accept a compiled plan.

    Args:
        data: All of it.

    Raises:
        InputError: `input.artefact`: it is damaged. `input.artefact-foreign`: it is a WebAssembly module of another
            compiler. `input.artefact-format`: a later version made it. `input.artefact-altered`: what it declares is
            not what its core does, its module imports something else, or is not what its core compiles to.
        CompileError: `compile.too-large`, `compile.size`.

    Cost:
        About that of compiling the plan, twice when its text came along.
    """
    content, module = plan_section(data)
    manifest, encoded, map_data = _parts(content)
    if core_sha256(encoded) != manifest.core_sha256:
        raise altered("the digest of its core is not the declared one")
    node = decode_core(encoded)
    check_core(node)
    effects = _effects(node)
    check_declared(manifest, effects)
    is_ours = manifest.compiler_sha256 == compiler_sha256()
    check_imports(manifest, imports(module), is_ours=is_ours)
    if is_ours and assembled(_compiled(node), manifest, encoded) != data:
        raise altered("its module is not what its core compiles to")
    program = _with_text(manifest, encoded, is_ours=is_ours) or _without_text(manifest, node, effects)
    return Artefact(program=program, manifest=manifest, map=decode_map(map_data), is_ours=is_ours)


def program_of_core(node: core.Node, name: str, inputs: Collection[str] = ()) -> Program:
    """Accept core that somebody made, or kept, as a program without text. Its places are all the first one.

    Args:
        node: The core.
        name: What errors call it.
        inputs: Names of its inputs.

    Raises:
        InputError: `input.artefact`: no resolver gives it.
        CompileError: `compile.too-large`.
    """
    try:
        encoded = encode_core(node)
    except (TypeError, ValueError) as error:  # it holds what no text can write
        raise damaged(str(error)) from error
    own = decode_core(encoded)  # of what was handed over nothing is kept: it might change
    check_core(own)
    effects = _effects(own)
    return Program(
        name=name,
        source=LineMap.of([Lines.of(name, "")]),
        sha256=core_sha256(encoded),
        inputs=frozenset(inputs),
        core=own,
        effects=effects,
        steps=step_names(own),
        has_text=False,
    )


def _parts(content: bytes) -> tuple[Manifest, bytes, bytes]:
    reader = OctetReader(content)
    version = reader.number()
    if version != FORMAT:
        raise InputError(
            f"the compiled plan has format {version}; this version of cloister reads format {FORMAT}",
            code="input.artefact-format",
            hint="compile the plan again with this version, or run it with the one that made it",
        )
    manifest, encoded, map_data = Manifest.decode(reader.block()), reader.block(), reader.block()
    reader.finish()
    return manifest, encoded, map_data


def _effects(node: core.Node) -> tuple[Effect, ...]:
    try:
        return run_with_room(lambda: find_effects(node), NODE_DEPTH_MAX)
    except RecursionError:
        raise damaged("its arguments are nested too deep") from None


def _compiled(node: core.Node) -> CompiledPlan:
    try:
        return compile_plan(node)
    except CloisterError:
        raise
    except Exception as error:  # the compiler trusts the resolver, which did not make this
        raise damaged(f"its core cannot be compiled ({type(error).__name__})") from error


def _with_text(manifest: Manifest, encoded: bytes, *, is_ours: bool) -> Program | None:
    """Return the program of the text that came along when it means what the core says; None when it need not.

    Raises:
        InputError: `input.artefact-altered`: this very compiler makes something else of it.
    """
    own, *others = manifest.texts
    texts = [each for each in manifest.texts if each.text is not None]
    if len(texts) != len(manifest.texts):
        if texts:
            raise damaged("some of its texts are left out, and some are not")
        return None
    modules = tuple(ModuleText(each.module or "", Source(each.path, each.text or "")) for each in others)
    problem = "its text is not what its core was made of"
    try:
        program = compile_program(own.text or "", own.path, manifest.inputs, GivenModules(modules))
    except CloisterError as error:
        if is_ours:
            raise altered(problem) from error
        return None
    if encode_core(program.core) == encoded and program.modules == modules:
        return program
    if is_ours:
        raise altered(problem)
    return None


def _without_text(manifest: Manifest, node: core.Node, effects: tuple[Effect, ...]) -> Program:
    lines = [each.lines or Lines.of(each.path, each.text or "") for each in manifest.texts]
    return Program(
        name=manifest.texts[0].path,
        source=LineMap.of(lines),
        sha256=manifest.core_sha256,
        inputs=frozenset(manifest.inputs),
        core=node,
        effects=effects,
        steps=step_names(node),
        modules=tuple(ModuleText(each.module or "", Source(each.path, "")) for each in manifest.texts[1:]),
        has_text=False,
    )
