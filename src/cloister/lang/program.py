"""Programs: text that was read, resolved, analysed and compiled, ready to run any number of times.

Owns the way from text to `Program` and from `Program` to a run. A program is immutable and named by the digest of what
it was made from. Handles plan text, which is hostile. Part of the guest set: standard library only.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cloister.lang import core
from cloister.lang.effects import Effect, find_effects, step_names
from cloister.lang.host import Host
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

_COMPILE_DEPTH: Final = 10_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Program:
    """A compiled program.

    Attributes:
        name: What errors call its text: a path, or a name in angle brackets.
        source: The text.
        sha256: Digest of the text and the names of its inputs, in hexadecimal.
        inputs: Names that stand for values handed to the run.
        core: What the text means.
        effects: Every place where it asks the host for something; see `effects`.
        steps: Names of the steps that are named by a literal.
        code: Compiled for the Python engine.
    """

    name: str
    source: Source
    sha256: str
    inputs: frozenset[str]
    core: core.Node
    effects: tuple[Effect, ...]
    steps: tuple[str, ...]
    code: CompiledCode


def compile_program(text: str, name: str = "<eval>", inputs: Collection[str] = ()) -> Program:
    """Read, resolve, analyse and compile a program. The last programs are remembered.

    Args:
        text: The program.
        name: What errors call the text.
        inputs: Names the program may use that are handed over when it runs.

    Raises:
        ReadError: The text is not RTFS.
        CompileError: It is not a program; `details["more"]` lists further problems.
    """
    make = _remembered if len(text) <= CACHED_CHARS_MAX else _compile
    return make(text, name, frozenset(inputs))


@lru_cache(maxsize=PROGRAMS_CACHED)
def _remembered(text: str, name: str, inputs: frozenset[str]) -> Program:
    return _compile(text, name, inputs)


def _compile(text: str, name: str, inputs: frozenset[str]) -> Program:
    source = Source(name, text)
    forms = read(source)
    digest = program_sha256(text, inputs)

    def resolve_and_compile() -> tuple[core.Node, CompiledCode]:
        program = resolve(forms, source, inputs)
        return program, compile_core(program, digest)

    program, code = run_deep(resolve_and_compile, _COMPILE_DEPTH)
    return Program(
        name=name,
        source=source,
        sha256=digest,
        inputs=inputs,
        core=program,
        effects=find_effects(program),
        steps=step_names(program),
        code=code,
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
) -> Outcome:
    """Run a program to its end. The host is called on the calling thread, which waits.

    Args:
        program: What to run.
        host: Answers its calls.
        limits: `steps_count`, `depth_count`, `value_bytes` and, with a clock, `wall_ms` are enforced here.
        inputs: Values by name; names the program does not use are ignored.
        monotonic_ns: A monotonic clock in nanoseconds; None leaves `wall_ms` to whoever supervises the process.

    Returns:
        The value and the number of steps.

    Raises:
        GuestError: The program failed by itself.
        LimitExceeded: It reached a limit.
        CloisterError: What the host raised and the program did not catch.
    """
    run = Run(program.code, program.source, host=host, limits=limits, inputs=inputs, monotonic_ns=monotonic_ns)
    return run.execute()
