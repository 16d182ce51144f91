"""Scripts, run by interpreters that are WebAssembly.

Owns what a script gets and gives: its words, its arguments as JSON on standard input, and a value from what it printed.
The interpreter and the script are nobody's we know.
"""

from __future__ import annotations

import posixpath
from typing import Final

from cloister.errors import LaunchError, quoted
from cloister.isolation.dialogue import require_value_size
from cloister.isolation.given import require_words, standard_input
from cloister.isolation.process.outcome import limit_error
from cloister.isolation.provider import ExecutionResult, ScriptSource
from cloister.isolation.script_failure import script_failed, told_limit
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.interpreters import WasmInterpreter, argv_of, interpreter_for
from cloister.isolation.wasm.programs import run_module
from cloister.isolation.wasm.room import Room, Workshop
from cloister.isolation.wire_values import parse_output
from cloister.limits import ResourceLimits

SUCCESS: Final = 0
COMPILE_MS: Final = 120_000
"""For the machine code of an interpreter; a busy machine took half a minute."""


def make_ready(workshop: Workshop, script: ScriptSource) -> None:
    """Have the interpreter of a script compiled, which takes some seconds the first time, and is no work of the script.

    Raises:
        ProviderUnavailable, DigestMismatch: As `run_script`.
        LimitExceeded: `limit.wall`: it took longer than a minute or two.
    """
    _, module = interpreter_for(script.language)
    workshop.modules.make_ready(module, Deadline(ResourceLimits(wall_ms=COMPILE_MS), workshop.clock))


def run_script(workshop: Workshop, room: Room, script: ScriptSource) -> ExecutionResult:
    """Run a script to its end.

    Raises:
        ProviderUnavailable: `provider.interpreter`: no interpreter of its language is here.
        DigestMismatch: What is here is another file than the one that was tested.
        ConfigError: `config.argv`: its text or words cannot be handed to a program.
        LaunchError: `provider.directory`: a grant hides the interpreter's own files.
        GuestError: `guest.script`: it is checked and failed; `guest.output`.
        CloisterError: As `programs.run_module`.
    """
    interpreter, module = interpreter_for(script.language)
    argv = argv_of(interpreter, script)
    require_words(argv)  # the text is one of them: what follows a NUL byte would not be run
    _require_uncovered(interpreter, room)
    result = run_module(workshop, room, module, argv, standard_input(script))
    return _checked(result, room) if script.is_checked else result


def _checked(result: ExecutionResult, room: Room) -> ExecutionResult:
    """Return what a script printed as its value."""
    status, limits = result.exit_status, room.given.limits
    if status is not None and status != SUCCESS:
        told = told_limit(result.stderr)
        if told is not None:
            raise limit_error(told, limits, None, "script")
        raise script_failed(status, result.stderr)
    value = parse_output(result.stdout, limits)
    require_value_size(value, limits, "the output of the script")
    return ExecutionResult(
        value=value, stdout=result.stdout, stderr=result.stderr, exit_status=status, usage=result.usage
    )


def _require_uncovered(interpreter: WasmInterpreter, room: Room) -> None:
    for mount in room.given.mounts:
        for own in interpreter.covered:
            if posixpath.commonpath((own, mount.target)) == own:
                raise LaunchError(
                    f'"{quoted(mount.target)}" cannot be shown to a script here: {interpreter.name} has files of its '
                    f"own below {own}",
                    code="provider.directory",
                    hint="grant another directory, or run the script with --provider process",
                )
