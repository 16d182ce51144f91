"""Evaluating a piece of pure RTFS from Python.

Owns the public one-call entry. There are no capabilities here; plans run through `cloister.Runtime`. Everything happens
in the caller's process: `wall_ms` counts from the first look at the text, and what cannot be interrupted, reading and
generating code, is kept short by the bounds of `ReadLimits` and `program_size`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cloister.clock import SystemClock
from cloister.errors import InputError, quoted
from cloister.lang.cancellation import Cancellation
from cloister.lang.host import PureHost
from cloister.lang.modules import ModuleLoader
from cloister.lang.program import compile_program, run_program
from cloister.lang.transport import from_python, to_python
from cloister.limits import ResourceLimits
from cloister.resident import resident_bytes

ENGINES = ("python",)


def evaluate(
    source: str,
    *,
    engine: str = "python",
    limits: ResourceLimits | None = None,
    inputs: Mapping[str, Any] | None = None,
    modules: ModuleLoader | None = None,
    cancellation: Cancellation | None = None,
) -> Any:
    """Evaluate a program that only computes.

    Args:
        source: The program text.
        engine: Which engine runs it; this version has `python`.
        limits: Bounds of the evaluation; safe defaults otherwise.
        inputs: Values the program may use by name, as Python data.
        cancellation: Lets another thread end the evaluation.
        modules: Where the modules come from that it imports; None when there are only those in its own text.

    Returns:
        The value of the last form as Python data: see `transport.to_python`.

    Raises:
        ReadError: The text is not RTFS.
        CompileError: It is not a program.
        GuestError: It failed by itself.
        DeniedError: `denied.pure` when it calls a capability.
        LimitExceeded: It reached a limit.
        Cancelled: It was cancelled.
        InputError: An unknown engine, or an input that is not data.
    """
    if engine not in ENGINES:
        raise InputError(
            f'unknown engine "{quoted(engine)}"', code="input.engine", hint=f"this version has: {', '.join(ENGINES)}"
        )
    bounds, monotonic_ns = limits or ResourceLimits(), SystemClock().monotonic_ns
    began_ns = monotonic_ns()
    values = {name: from_python(value) for name, value in (inputs or {}).items()}
    program = compile_program(source, inputs=values.keys(), modules=modules)
    outcome = run_program(
        program,
        PureHost(),
        bounds,
        values,
        monotonic_ns,
        began_ns=began_ns,
        cancellation=cancellation,
        resident_bytes=resident_bytes,
    )
    return to_python(outcome.value, bounds)
