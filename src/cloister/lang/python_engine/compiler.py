"""Core to a Python code object.

Owns the one call of `compile` in the package. What it compiles is a syntax tree made by the generator, never text; the
code object is turned into a function without `exec`. Must not run anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import CodeType

from cloister.errors import CompileError
from cloister.lang import core
from cloister.lang.python_engine import expressions, statements
from cloister.lang.python_engine.generator import ENTRY, GeneratedCode, Generator

_WRITERS = (expressions, statements)  # importing them registers how nodes are written


@dataclass(frozen=True, slots=True)
class CompiledCode:
    """A program ready to run, any number of times.

    Attributes:
        entry: Code of the function that is the program.
        file_name: What its frames call their file; unique to the program, for telling its frames in tracebacks.
        generated: Places, names, constants and builtins it refers to.
    """

    entry: CodeType
    file_name: str
    generated: GeneratedCode


def compile_core(program: core.Node, label: str) -> CompiledCode:
    """Compile a resolved program. Runs deep in the stack: call it through `run_deep`.

    Args:
        program: What the resolver gave.
        label: Distinguishes the program from all others in the process, for example its digest.

    Raises:
        CompileError: `compile.size` when it is nested in a way Python cannot compile.
    """
    file_name = f"<rtfs {label}>"
    try:
        generated = Generator(program).generate()
        # With optimize=0 nothing is stripped; dont_inherit keeps our own __future__ imports out of it.
        module = compile(generated.module, file_name, "exec", dont_inherit=True, optimize=0)
    except (RecursionError, MemoryError, SyntaxError) as error:
        raise CompileError(
            f"the program is too large or too deeply nested to compile ({type(error).__name__})",
            code="compile.size",
            hint="split long chains of cond, and, or and nested forms into functions",
        ) from None
    entry = next(item for item in module.co_consts if isinstance(item, CodeType) and item.co_name == ENTRY)
    return CompiledCode(entry, file_name, generated)
