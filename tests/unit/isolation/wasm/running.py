"""Plans on the real engine, as tests run them."""

from __future__ import annotations

import atexit
import functools
from collections.abc import Callable, Mapping

from cloister.clock import SystemClock
from cloister.errors import CloisterError
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, EngineSettings
from cloister.isolation.wasm.plan_run import PlanOutcome
from cloister.isolation.wasm.plans import Plans
from cloister.lang.host import Host, PureHost
from cloister.lang.program import compile_program, run_program
from cloister.lang.values import Value
from cloister.limits import MIB, ResourceLimits

NAME = "<plan>"


@functools.cache
def plans() -> Plans:
    """Return what runs plans in this process."""
    return Plans(Engine(EngineSettings(has_canonical_nans=False)), None)


atexit.register(plans.cache_clear)  # the package frees nothing any more once it is being unloaded


def outcome_of(
    text: str, host: Host | None = None, inputs: Mapping[str, Value] | None = None, **limits: int
) -> PlanOutcome:
    """Run a plan to its end."""
    bounds = ResourceLimits(**({"memory_bytes": 64 * MIB} | limits))
    given = inputs or {}
    program = compile_program(text, NAME, given)
    return plans().run(program, host or PureHost(), bounds, given, Deadline(bounds, SystemClock()))


def value_of(text: str, host: Host | None = None, inputs: Mapping[str, Value] | None = None, **limits: int) -> Value:
    """Return the value of a plan."""
    return outcome_of(text, host, inputs, **limits).value


def python_value_of(
    text: str, host: Host | None = None, inputs: Mapping[str, Value] | None = None, **limits: int
) -> Value:
    """Return what the Python engine says that the value of a plan is."""
    given = inputs or {}
    return run_program(compile_program(text, NAME, given), host or PureHost(), ResourceLimits(**limits), given).value


def error_of(
    text: str, host: Host | None = None, inputs: Mapping[str, Value] | None = None, **limits: int
) -> CloisterError:
    """Return the error that a plan ends with."""
    return _ending(lambda: value_of(text, host, inputs, **limits))


def python_error_of(
    text: str, host: Host | None = None, inputs: Mapping[str, Value] | None = None, **limits: int
) -> CloisterError:
    """Return the error that a plan ends with in the Python engine."""
    return _ending(lambda: python_value_of(text, host, inputs, **limits))


def _ending(run: Callable[[], Value]) -> CloisterError:
    try:
        value = run()
    except CloisterError as error:
        return error
    raise AssertionError(f"it ended well, with {value!r}")
