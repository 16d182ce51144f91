"""Engines with a planted defect, to see that a campaign finds it and makes it small.

Owns the defects. Each is the python engine, wrong in one way that an engine might be: `--engine-b planted-value`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

from tests.differential.engines import Engine, Fact

from cloister.errors import CloisterError
from cloister.lang import core
from cloister.lang.host import Host, StepOptions
from cloister.lang.program import Outcome, Program, run_program
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

WRONG_VALUE: Final = "interpose"
WRONG_END: Final = "re-split"
"""Builtins that show the defects."""


def names(program: Program, builtin: str) -> bool:
    """Say whether a program names a builtin."""
    return any(isinstance(node, core.Global) and node.name == builtin for node in core.walk(program.core))


def _wrong_value(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Outcome:
    outcome = run_program(program, host, limits, inputs)
    return Outcome(not outcome.value, outcome.steps_count) if names(program, WRONG_VALUE) else outcome


class _Forgetful:
    """A host that is never told of hints."""

    def __init__(self, host: Host) -> None:
        self.host = host

    def call(self, capability_id: str, arguments: tuple[Value, ...]) -> Value:
        return self.host.call(capability_id, arguments)

    def hints_changed(self, hints: Mapping[str, Value]) -> None:
        """Tell nobody."""

    def step_started(self, name: str, options: StepOptions) -> None:
        self.host.step_started(name, options)

    def step_ended(self, name: str, error: CloisterError | None) -> None:
        self.host.step_ended(name, error)

    def undo_started(self, name: str, place: int) -> None:
        self.host.undo_started(name, place)

    def undo_ended(self, name: str, error: CloisterError | None) -> None:
        self.host.undo_ended(name, error)


def _no_hints(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Outcome:
    return run_program(program, _Forgetful(host), limits, inputs)


def _wrong_place(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Outcome:
    try:
        return run_program(program, host, limits, inputs)
    except CloisterError as error:
        error.trace = error.trace[:1]
        raise


def _ends_process(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Outcome:
    if names(program, WRONG_END):
        os._exit(86)
    return run_program(program, host, limits, inputs)


def _never_returns(program: Program, host: Host, limits: ResourceLimits, inputs: Mapping[str, Value], /) -> Outcome:
    while names(program, WRONG_END):
        time.sleep(0.1)
    return run_program(program, host, limits, inputs)


def _engine(name: str, run: Any) -> Engine:
    return Engine(name=name, run=run, tells=frozenset(Fact))


def wrong_value() -> Engine:
    """Make an engine that gives a wrong value when a program names `interpose`."""
    return _engine("planted-value", _wrong_value)


def no_hints() -> Engine:
    """Make an engine that does not tell the host of hints."""
    return _engine("planted-hints", _no_hints)


def wrong_place() -> Engine:
    """Make an engine that forgets where a failed function was called."""
    return _engine("planted-trace", _wrong_place)


def ends_process() -> Engine:
    """Make an engine that ends the whole process when a program names `re-split`."""
    return _engine("planted-crash", _ends_process)


def never_returns() -> Engine:
    """Make an engine that never comes back when a program names `re-split`."""
    return _engine("planted-hang", _never_returns)


PLANTED: Final[dict[str, Callable[[], Engine]]] = {
    "planted-value": wrong_value,
    "planted-hints": no_hints,
    "planted-trace": wrong_place,
    "planted-crash": ends_process,
    "planted-hang": never_returns,
}
"""How to make each, by name."""
