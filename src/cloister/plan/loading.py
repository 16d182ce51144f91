"""From a path, a text or a program to a program.

Owns reading of plan files: regular ones only, bounded; text in UTF-8, or a compiled plan, which its first bytes tell.
Neither is trusted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final, TypeAlias

from cloister.audit.regular_file import open_regular
from cloister.errors import InputError, PlanError, quoted
from cloister.lang.program import Program, compile_program
from cloister.plan.module_files import ModuleFiles
from cloister.plan.syntax_trees import read_ast, read_bytecode
from cloister.plan.texts import PLAN_BYTES_MAX, plan_text
from cloister.plan.variants import RtfsAst, RtfsBytecode, RtfsSource

if TYPE_CHECKING:
    from cloister.lang.wasm_engine.artefact.artefact import Artefact

__all__ = ["PLAN_BYTES_MAX", "Plan", "load_plan", "plan_text", "read_artefact", "read_plan"]

Plan: TypeAlias = Program | Path | str | RtfsSource | RtfsAst | RtfsBytecode
"""A program, the path of a file with a plan or a compiled plan, the text of a plan, or one of the variants."""

_MODULE_MAGIC: Final = b"\0asm"
"""What compiled plans begin with, and no text does.

Source: WebAssembly core specification 2.0, section 5.5.16.
"""


def load_plan(plan: Plan, inputs: Sequence[str] = (), module_paths: Sequence[Path] = ()) -> Program:
    """Read and compile a plan.

    Args:
        plan: A program is returned as it is; a path is read; any other text is compiled.
        inputs: Names that the plan may use as inputs. A compiled plan has its own.
        module_paths: Directories its modules are looked for in, after that of the plan's own file. A compiled plan has
            its own.

    Raises:
        InputError: `input.artefact` and its like: a compiled plan is not accepted.
        PlanError: The file, or that of a module, cannot be read, is too large, or is not UTF-8 text.
        ReadError: It is not RTFS.
        CompileError: It is not a program.
    """
    match plan:
        case Program():
            return plan
        case str():
            return compile_program(plan, "<plan>", inputs, ModuleFiles(module_paths))
        case RtfsSource():
            return compile_program(plan.text, plan.name, inputs, ModuleFiles(module_paths))
        case RtfsAst():
            return read_ast(plan, inputs, ModuleFiles(module_paths))
        case RtfsBytecode():
            return read_bytecode(plan.data)
        case Path():
            return _of_file(plan, inputs, module_paths)
    raise InputError(
        f"a plan is a path, a text or a program, not {type(plan).__name__}",
        code="input.plan",
        hint="pass pathlib.Path(...) for a file",
    )


def _of_file(plan: Path, inputs: Sequence[str], module_paths: Sequence[Path]) -> Program:
    with _opened(plan) as file:
        if _is_compiled(file):
            return _accepted(file).program
        text = plan_text(file, str(plan))
    return compile_program(text, str(plan), inputs, ModuleFiles((plan.parent, *module_paths)))


def read_plan(plan: Path) -> str:
    """Return the text of a plan's file.

    Raises:
        PlanError: `plan.unreadable`, `plan.size` or `plan.encoding`.
    """
    with _opened(plan) as file:
        return plan_text(file, str(plan))


def read_artefact(plan: Path) -> Artefact | None:
    """Return the compiled plan of a file; None when it is another one.

    Raises:
        PlanError: `plan.unreadable`.
        InputError: As `load_plan`.
    """
    with _opened(plan) as file:
        return _accepted(file) if _is_compiled(file) else None


@contextmanager
def _opened(plan: Path) -> Iterator[BinaryIO]:
    hint = "name a file with RTFS text, or a compiled plan"
    try:
        with open_regular(plan) as file:
            yield file
    except OSError as error:
        message = f"cannot read plan {quoted(str(plan))}: {error.strerror}"
        raise PlanError(message, code="plan.unreadable", hint=hint) from error


def _is_compiled(file: BinaryIO) -> bool:
    head = file.read(len(_MODULE_MAGIC))
    file.seek(0)
    return head == _MODULE_MAGIC


def _accepted(file: BinaryIO) -> Artefact:
    from cloister.lang.wasm_engine.artefact.artefact import load_artefact  # noqa: PLC0415 - few plans are compiled
    from cloister.lang.wasm_engine.artefact.sections import ARTEFACT_BYTES_MAX  # noqa: PLC0415

    return load_artefact(file.read(ARTEFACT_BYTES_MAX + 1))
