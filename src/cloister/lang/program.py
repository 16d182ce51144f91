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
from itertools import count
from typing import Final

from cloister.lang import core
from cloister.lang.cancellation import Cancellation
from cloister.lang.effects import EFFECTFUL, Effect, find_effects, step_names
from cloister.lang.host import Host, PureHost
from cloister.lang.macros.definition import OPERANDS
from cloister.lang.modules import GivenModules, ModuleLoader
from cloister.lang.program_size import check_size
from cloister.lang.python_engine.budget import RunBudget
from cloister.lang.python_engine.compiler import CODE_CACHE, CompiledCode, compile_core, too_large
from cloister.lang.python_engine.deep import run_with_room
from cloister.lang.python_engine.engine import Outcome, Run
from cloister.lang.reader import read
from cloister.lang.resolver import resolve_program
from cloister.lang.source import JoinedSource, ModuleText, Source
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
        source: The text, with those of its modules.
        sha256: Digest of the text, the names of its inputs and its modules, in hexadecimal.
        inputs: Names that stand for values handed to the run.
        core: What the text means.
        effects: Every place where it asks the host for something; see `effects`.
        steps: Names of the steps that are named by a literal.
        modules: The modules that a loader gave, those imported by modules included. Together with `source.text` they
            are all it takes to compile the program again.
        has_text: Whether `source` holds the text. A program without was compiled elsewhere and came without it: its
            core is all there is of it, and only what runs core can run it.
    """

    name: str
    source: Source
    sha256: str
    inputs: frozenset[str]
    core: core.Node
    effects: tuple[Effect, ...]
    steps: tuple[str, ...]
    modules: tuple[ModuleText, ...] = ()
    has_text: bool = True
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
        code = self._code[0] if self._code else CODE_CACHE.get(self.sha256)
        if code is None:
            try:
                code = run_with_room(lambda: compile_core(self.core, self.sha256), _RESOLVE_DEPTH)
            except RecursionError as error:
                raise too_large(error) from None
            if len(self.source.text) <= CACHED_CHARS_MAX and not self.sha256.startswith(_MACRO):
                CODE_CACHE.put(self.sha256, code)
        if not self._code:
            self._code.append(code)
        return code


def compile_program(
    text: str, name: str = "<eval>", inputs: Collection[str] = (), modules: ModuleLoader | None = None
) -> Program:
    """Read, expand, resolve and analyse a program. The last programs are remembered.

    Args:
        text: The program.
        name: What errors call the text.
        inputs: Names the program may use that are handed over when it runs.
        modules: Where the modules come from that it imports; None when there are only those in its own text.

    Raises:
        ReadError: The text, or that of a module, is not RTFS.
        CloisterError: What the loader raises for a module it cannot give.
        CompileError: It is not a program; `details["more"]` lists further problems. `compile.too-large` when it is
            larger than `program_size.SIZE_MAX`.

    Cost:
        Linear in the text and what its macros make of it (see `macros.expander` for the bounds); nothing but the code
        of macros is generated yet.
    """
    if "import" in text:
        return _linked(text, name, frozenset(inputs), modules or GivenModules())
    make = _remembered if len(text) <= CACHED_CHARS_MAX else _compile
    return make(text, name, frozenset(inputs))


@lru_cache(maxsize=PROGRAMS_CACHED)
def _remembered(text: str, name: str, inputs: frozenset[str]) -> Program:
    return _compile(text, name, inputs)


def _linked(text: str, name: str, inputs: frozenset[str], loader: ModuleLoader) -> Program:
    """Return a program that may import modules; a remembered one only when every text it was made of is the same."""
    before = _last_linked(text, name, inputs) if len(text) <= CACHED_CHARS_MAX else []
    for program in tuple(before):
        if all(loader.find(module.name) == module.source for module in program.modules):
            return program
    program = _compile(text, name, inputs, loader)
    before[:] = [program] if sum(len(module.source.text) for module in program.modules) <= CACHED_CHARS_MAX else []
    return program


@lru_cache(maxsize=PROGRAMS_CACHED)
def _last_linked(_text: str, _name: str, _inputs: frozenset[str]) -> list[Program]:
    """Return where the last program made of a text and some modules is kept."""
    return []


def _compile(text: str, name: str, inputs: frozenset[str], loader: ModuleLoader | None = None) -> Program:
    source = Source(name, text)
    forms = read(source)
    modules = loader or GivenModules()
    program, source = run_with_room(
        lambda: resolve_program(forms, source, inputs, modules, _macro_runner), _RESOLVE_DEPTH
    )
    check_size(program)
    texts = source.modules if isinstance(source, JoinedSource) else ()
    present = core.present(program)
    return Program(
        name=name,
        source=source,
        sha256=program_sha256(text, inputs, texts),
        inputs=inputs,
        core=program,
        effects=find_effects(program) if present & EFFECTFUL else (),
        steps=step_names(program) if core.Step in present else (),
        modules=texts,
    )


def program_sha256(text: str, inputs: Collection[str], modules: Collection[ModuleText] = ()) -> str:
    """Return the digest that names a program: of its text, its input names and its modules, all length-prefixed.

    What modules are called and what they hold counts, not where they were found.
    """
    digest = hashlib.sha256(b"cloister/program/v2\n" if modules else b"cloister/program/v1\n")
    parts = [text, *sorted(inputs)]
    if modules:
        parts[1:1] = [str(len(modules)), *(part for each in modules for part in (each.name, each.source.text))]
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return digest.hexdigest()


_MACROS: Final = count()
_MACRO: Final = "macro "
"""How the digests of macros begin: they are none, and code is not kept by them."""


def _macro_runner(node: core.Node, source: Source) -> Callable[[tuple[Value, ...], ResourceLimits], tuple[Value, int]]:
    """Return what runs the code of a macro on the forms it is used on."""
    program = Program(
        name=source.name,
        source=source,
        sha256=f"{_MACRO}{next(_MACROS)}",  # it is never seen; only frames of one macro must differ from all others
        inputs=frozenset((OPERANDS,)),
        core=node,
        effects=(),
        steps=(),
    )

    def run(operands: tuple[Value, ...], limits: ResourceLimits) -> tuple[Value, int]:
        outcome = run_program(program, PureHost(), limits, {OPERANDS: operands})
        return outcome.value, outcome.steps_count

    return run


def run_program(
    program: Program,
    host: Host,
    limits: ResourceLimits,
    inputs: Mapping[str, Value],
    monotonic_ns: Callable[[], int] | None = None,
    *,
    began_ns: int | None = None,
    cancellation: Cancellation | None = None,
    resident_bytes: Callable[[], int] | None = None,
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
        cancellation: Lets another thread end the run.
        resident_bytes: How much memory this process holds; None leaves `memory_bytes` to whoever supervises it.

    Returns:
        The value and the number of steps.

    Raises:
        CompileError: `compile.size`; see `Program.code`.
        GuestError: The program failed by itself.
        LimitExceeded: It reached a limit.
        Cancelled: It was cancelled.
        CloisterError: What the host raised and the program did not catch.
    """
    budget = RunBudget(limits, monotonic_ns, began_ns, cancellation=cancellation, resident_bytes=resident_bytes)
    code = program.code()
    budget.look()  # generating code took time
    return Run(code, program.source, host=host, limits=limits, inputs=inputs, budget=budget).execute()
