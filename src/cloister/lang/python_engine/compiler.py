"""Core to a Python code object.

Owns the one call of `compile` in the package. What it compiles is a syntax tree made by the generator, never text; the
code object is turned into a function without `exec`. Must not run anything.
"""

from __future__ import annotations

import ast
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass, field
from threading import Lock
from types import CodeType
from typing import Any, Final

from cloister.errors import CompileError
from cloister.lang import core
from cloister.lang.collector import paused_collector
from cloister.lang.python_engine import expressions, statements
from cloister.lang.python_engine.frames import ENTRY, OUTSIDE, GeneratedCode
from cloister.lang.python_engine.generator import Generator

_WRITERS = (expressions, statements)  # importing them registers how nodes are written


@dataclass(slots=True)
class CompiledCode:
    """A program ready to run, any number of times.

    Attributes:
        entry: Code of the function that is the program.
        file_name: What its frames call their file; unique to the program, for telling its frames in tracebacks.
        generated: Places, names, constants and builtins it refers to.
        names: Every global name it reads.
        template: Those of the globals that are the same in every run; filled by the first one.
    """

    entry: CodeType
    file_name: str
    generated: GeneratedCode
    names: frozenset[str]
    template: dict[str, Any] = field(default_factory=dict)


def compile_core(program: core.Node, label: str) -> CompiledCode:
    """Compile a resolved program. Recursive: call it through `deep.run_with_room`.

    Args:
        program: What the resolver gave.
        label: Distinguishes the program from all others in the process, for example its digest.

    Raises:
        CompileError: `compile.size` when it is too large for Python to compile.
        RecursionError: When the stack has too little room.
    """
    file_name = f"<rtfs {label}>"
    try:
        with paused_collector():
            tree, generated = Generator(program).generate()
            mode = "eval" if isinstance(tree, ast.Expression) else "exec"
            # With optimize=0 nothing is stripped; dont_inherit keeps our own __future__ imports out of it.
            entry = compile(tree, file_name, mode, dont_inherit=True, optimize=0)
    except (MemoryError, SyntaxError) as error:
        raise too_large(error) from None
    if mode == "exec":
        entry = _inner(_inner(entry, OUTSIDE), ENTRY)
    return CompiledCode(entry, file_name, generated, frozenset(_global_names(entry)))


def too_large(error: Exception) -> CompileError:
    """Return the error that says Python cannot compile a program."""
    return CompileError(
        f"the program is too large or too deeply nested to compile ({type(error).__name__})",
        code="compile.size",
        hint="split long chains of cond, and, or and nested forms into functions",
    )


def _inner(code: CodeType, name: str) -> CodeType:
    return next(item for item in code.co_consts if isinstance(item, CodeType) and item.co_name == name)


def _global_names(code: CodeType) -> Iterator[str]:
    pending = [code]
    while pending:
        each = pending.pop()
        yield from each.co_names
        pending.extend(item for item in each.co_consts if isinstance(item, CodeType))


CODES_CACHED: Final = 128


class CodeCache:
    """The code of the last programs, by their digest: programs of the same digest have the same code.

    Args:
        size: How many are kept.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._codes: OrderedDict[str, CompiledCode] = OrderedDict()
        self._lock = Lock()

    def get(self, digest: str) -> CompiledCode | None:
        """Return the code of a program, if it is still known."""
        with self._lock:
            code = self._codes.get(digest)
            if code is not None:
                self._codes.move_to_end(digest)
            return code

    def put(self, digest: str, code: CompiledCode) -> None:
        """Keep the code of a program, and forget what was not used for the longest time."""
        with self._lock:
            self._codes[digest] = code
            while len(self._codes) > self._size:
                self._codes.popitem(last=False)


CODE_CACHE: Final = CodeCache(CODES_CACHED)
