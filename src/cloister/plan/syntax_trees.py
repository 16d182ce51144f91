"""From what was read or compiled already to a program.

Owns how forms become a text again, so that every provider can compile it for itself, and how core that somebody hands
over is accepted: as if it had come out of a file.
"""

from __future__ import annotations

from collections.abc import Sequence

from cloister.errors import InputError
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.modules import ModuleLoader
from cloister.lang.printer import form_to_text
from cloister.lang.program import Program, compile_program
from cloister.plan.variants import RtfsAst

_FORMS = (LiteralForm, SymbolForm, ListForm, VectorForm, MapForm)


def read_ast(tree: RtfsAst, inputs: Sequence[str], modules: ModuleLoader) -> Program:
    """Return the program of a tree.

    Args:
        tree: Forms, or core.
        inputs: Names that the plan may use as inputs.
        modules: Where the modules come from that forms import.

    Raises:
        InputError: `input.plan`: it is neither. `input.artefact`: it is core that no resolver gives.
        ReadError, CompileError: The forms are no program.
    """
    if isinstance(tree.tree, tuple):
        return compile_program(_text(tree.tree), tree.name, inputs, modules)
    if isinstance(tree.tree, core.Node):
        return _of_core(tree.tree, tree.name, inputs)
    raise InputError(
        f"the tree of a plan is a tuple of forms, or core, not {type(tree.tree).__name__}",
        code="input.plan",
        hint="pass tuple(cloister.lang.reader.read(source))",
    )


def _text(forms: tuple[Form, ...]) -> str:
    for form in forms:
        if not isinstance(form, _FORMS):
            raise InputError(f"a {type(form).__name__} is no form", code="input.plan", hint="read it from text")
    return "\n".join(map(form_to_text, forms))


def _of_core(tree: core.Node, name: str, inputs: Sequence[str]) -> Program:
    from cloister.lang.wasm_engine.artefact.artefact import program_of_core  # noqa: PLC0415 - loads the compiler

    return program_of_core(tree, name, inputs)


def read_bytecode(data: bytes) -> Program:
    """Return the program of a compiled plan.

    Raises:
        InputError: `input.artefact` and its like.
    """
    from cloister.lang.wasm_engine.artefact.artefact import load_artefact  # noqa: PLC0415 - loads the compiler

    return load_artefact(data).program
