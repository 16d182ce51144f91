"""The engines that are compared.

Owns the one table of engines. An engine is a function like `cloister.lang.program.run_program` without the arguments
that only supervisors need; a new one is added by naming it in `ENGINES`, with the facts it can tell.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final, NamedTuple, Protocol

from tests.property.reference import ReferenceEngine

from cloister.lang.host import Host
from cloister.lang.program import Program, run_program
from cloister.lang.python_engine.deep import run_deep
from cloister.lang.values import Value
from cloister.limits import ResourceLimits


class Fact(Enum):
    """Something that only some engines can tell. Two engines are compared by the facts both of them tell.

    Values, printed texts, codes, kinds and messages of errors, and what the host was told are no such facts: every
    engine tells them.
    """

    PLACE = "place"
    """Where an error happened, and in which function."""
    CALLS = "calls"
    """All calls that led to an error. An engine that gives up calls in tail position before they end cannot tell."""
    HINT = "hint"
    """What to do about an error. The plain walk leaves out hints that only the real engines give."""
    STEPS = "steps"
    """How many steps a run took. An engine that counts something else, such as fuel, does not tell it."""


class Result(Protocol):
    """What a finished run gives."""

    @property
    def value(self) -> Value:
        """The value of the program."""


class RunsPrograms(Protocol):
    """Runs a program to its end, or raises a `CloisterError`."""

    def __call__(self, program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Result:
        """Run a program."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Engine:
    """An engine.

    Attributes:
        name: What it is called on the command line.
        run: Runs a program.
        tells: What it can tell besides what every engine tells.
    """

    name: str
    run: RunsPrograms
    tells: frozenset[Fact]


class _Walked(NamedTuple):
    value: Value
    steps_count: int


def _walk(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> _Walked:
    engine = ReferenceEngine(limits, host, inputs)
    value = run_deep(lambda: engine.run(program.core), _WALK_DEPTH)
    return _Walked(value, engine.budget.steps_count)


_WALK_DEPTH: Final = 4_000
"""Nested Python calls the walk may need; it takes several for each node."""


def _python() -> Engine:
    return Engine(name="python", run=run_program, tells=frozenset(Fact))


def _plain_walk() -> Engine:
    return Engine(name="walk", run=_walk, tells=frozenset({Fact.STEPS}))


def _wasm() -> Engine:
    from cloister.clock import SystemClock  # noqa: PLC0415 - what follows is an extra
    from cloister.isolation.wasm.deadline import Deadline  # noqa: PLC0415
    from cloister.isolation.wasm.engine import Engine as Machine  # noqa: PLC0415
    from cloister.isolation.wasm.engine import EngineSettings  # noqa: PLC0415
    from cloister.isolation.wasm.plans import Plans  # noqa: PLC0415

    plans, clock = Plans(Machine(EngineSettings(has_canonical_nans=False)), None), SystemClock()

    def run(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Result:
        return plans.run(program, host, limits, inputs, Deadline(limits, clock))

    return Engine(name="wasm", run=run, tells=frozenset({Fact.PLACE, Fact.HINT}))


def _eager() -> Engine:
    """Return the wasm engine with a collector that runs as soon as anything was allocated, wherever it may."""
    from cloister.lang.wasm_engine.runtime import collector, memory  # noqa: PLC0415

    memory.COLLECT_MIN = collector.COLLECT_MIN = 64  # type: ignore[attr-defined]  # what the translation reads
    return replace(_wasm(), name="wasm-eager")


ENGINES: Final[dict[str, Callable[[], Engine]]] = {
    "python": _python,
    "walk": _plain_walk,
    "wasm": _wasm,
    "wasm-eager": _eager,
}
"""How to make each engine, by name: only those that are asked for are made, and imported."""
