"""Programs: text that was read, resolved and analysed, ready to run any number of times.

Owns the way from text to `Program` and from `Program` to a run. A program is immutable and named by the digest of what
it was made from. Python code is generated for the first run only: who checks a plan never does that work, and the guest
that runs one does it under its own limits. Handles plan text, which is hostile. Part of the guest set: standard library
only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from cloister.lang import core
from cloister.lang.effects import Effect, find_effects, step_names
from cloister.lang.host import Host
from cloister.lang.program_size import check_size
from cloister.lang.python_engine.budget import RunBudget
from cloister.lang.python_engine.compiler import CompiledCode, compile_core
from cloister.lang.python_engine.deep import run_deep
from cloister.lang.python_engine.engine import Outcome, Run
from cloister.lang.reader import read
from cloister.lang.resolver import resolve
from cloister.lang.source import Source
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

__all__ = ["Outcome", "Program", "compile_program", "program_sha256", "run_program"]

PROGRAMS_CACHED: Final = 64
CACHED_CHARS_MAX: Final = 32 * 1024
"""Longest text whose program is remembered, so that the cache stays small."""

_RESOLVE_DEPTH: Final = 10_000
"""Nested calls that resolving, and later generating code, may need for the deepest text."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """A checked program.

    Attributes:
        name: What errors call its text: a path, or a name in angle brackets.
        source: The text.
        sha256: Digest of the text and the names of its inputs, in hexadecimal.
        inputs: Names that stand for values handed to the run.
        core: What the text means.
        effects: Every place where it asks the host for something; see `effects`.
        steps: Names of the steps that are named by a literal.
    """

    name: str
    source: Source
    sha256: str
    inputs: frozenset[str]
    core: core.Node
    effects: tuple[Effect, ...]
    steps: tuple[str, ...]
    _code: list[CompiledCode] = field(default_factory=list, init=False, repr=False)

    @property
    def is_generated(self) -> bool:
        """Whether Python code was generated for it: only ever by a run."""
        return bool(self._code)

    def code(self) -> CompiledCode:
        """Return the code for the Python engine.

        Raises:
            CompileError: `compile.size` when it is nested in a way Python cannot compile.

        Cost:
            The first call takes up to a few seconds and a few hundred megabytes for the largest programs there are.
        """
        if not self._code:
            code = run_deep(lambda: compile_core(self.core, self.sha256), _RESOLVE_DEPTH)
            self._code.append(code)  # a cache: two threads would make the same twice
        return self._code[0]


def compile_program(text: str, name: str = "<eval>", inputs: Collection[str] = ()) -> Program:
    """Read, resolve and analyse a program. The last programs are remembered.

    Args:
        text: The program.
        name: What errors call the text.
        inputs: Names the program may use that are handed over when it runs.

    Raises:
        ReadError: The text is not RTFS.
        CompileError: It is not a program; `details["more"]` lists further problems. `compile.too-large` when it is
            larger than `program_size.SIZE_MAX`.

    Cost:
        Linear in the text, and nothing is generated yet.
    """
    make = _remembered if len(text) <= CACHED_CHARS_MAX else _compile
    return make(text, name, frozenset(inputs))


@lru_cache(maxsize=PROGRAMS_CACHED)
def _remembered(text: str, name: str, inputs: frozenset[str]) -> Program:
    return _compile(text, name, inputs)


def _compile(text: str, name: str, inputs: frozenset[str]) -> Program:
    source = Source(name, text)
    forms = read(source)
    program = run_deep(lambda: resolve(forms, source, inputs), _RESOLVE_DEPTH)
    check_size(program)
    return Program(
        name=name,
        source=source,
        sha256=program_sha256(text, inputs),
        inputs=inputs,
        core=program,
        effects=find_effects(program),
        steps=step_names(program),
    )


def program_sha256(text: str, inputs: Collection[str]) -> str:
    """Return the digest that names a program: of its text and its input names, both length-prefixed."""
    digest = hashlib.sha256(b"cloister/program/v1\n")
    for part in (text, *sorted(inputs)):
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


def run_program(
    program: Program,
    host: Host,
    limits: ResourceLimits,
    inputs: Mapping[str, Value],
    monotonic_ns: Callable[[], int] | None = None,
    *,
    began_ns: int | None = None,
) -> Outcome:
    """Run a program to its end. The host is called on the calling thread, which waits.

    Args:
        program: What to run.
        host: Answers its calls.
        limits: `steps_count`, `depth_count`, `value_bytes`, `value_elements_count` and, with a clock, `wall_ms` are
            enforced here.
        inputs: Values by name; names the program does not use are ignored.
        monotonic_ns: A monotonic clock in nanoseconds; None leaves `wall_ms` to whoever supervises the process.
        began_ns: Since when `wall_ms` counts, by that clock; left out, from now on.

    Returns:
        The value and the number of steps.

    Raises:
        CompileError: `compile.size`; see `Program.code`.
        GuestError: The program failed by itself.
        LimitExceeded: It reached a limit.
        CloisterError: What the host raised and the program did not catch.
    """
    budget = RunBudget(limits, monotonic_ns, began_ns)
    code = program.code()
    budget.look()  # generating code took time
    return Run(code, program.source, host=host, limits=limits, inputs=inputs, budget=budget).execute()
