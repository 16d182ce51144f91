"""Commands and functions: WebAssembly that a user names.

Owns the way from a path to a module that runs, its words and arguments, and what its end means. The module and all that
it does is anybody's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from cloister.errors import CloisterError, GuestCrashed, InputError, LaunchError, ProviderUnavailable, quoted
from cloister.isolation.given import require_program
from cloister.isolation.provider import ExecutionResult, ExternalProgram, WasmFunction, WireValue
from cloister.isolation.script_failure import tail
from cloister.isolation.wasm import faults
from cloister.isolation.wasm.components.programs import call_component_function, run_component
from cloister.isolation.wasm.engine import is_component
from cloister.isolation.wasm.outline import MODULE_BYTES_MAX, too_large
from cloister.isolation.wasm.room import Room, Workshop
from cloister.isolation.wasm.store import Imports, Number, Store
from cloister.isolation.wasm.wasi.basic_calls import ProgramExit
from cloister.lang.transport import encode, from_python

START: Final = "_start"
INITIALIZE: Final = "_initialize"
"""Source: WASI repository, legacy/application-abi.md: what commands and reactors export."""
SUFFIX: Final = ".wasm"
MAGIC: Final = b"\0asm"


def run_command(workshop: Workshop, room: Room, program: ExternalProgram) -> ExecutionResult:
    """Run a module as a command: its exported `_start`, until it returns or ends itself; or a component.

    Raises:
        ProviderUnavailable: `provider.wasm-only`: it is no WebAssembly.
        LaunchError: `provider.exec`: it is not visible, or cannot be read.
        InputError: `input.wasm` and its like; `input.wasm-entry`: it is no command.
        CloisterError: As `Modules.load` and `Store.call`.
    """
    require_program(program.argv)
    wasm = _read(room, program.argv[0])
    run = run_component if is_component(wasm) else run_module
    return run(workshop, room, wasm, program.argv, program.stdin)


def run_module(workshop: Workshop, room: Room, wasm: bytes, argv: tuple[str, ...], stdin: bytes) -> ExecutionResult:
    """Run the bytes of a module as a command; see `run_command`."""

    def start(store: Store) -> ExecutionResult:
        _require_start(store, argv[0])
        try:
            store.call(START)
            status = 0
        except ProgramExit as ended:
            status = ended.status
        peak = store.memory_peak_bytes
        if status != 0 and peak is not None and peak + faults.PAGE_BYTES > room.given.limits.memory_bytes:
            # It failed with its memory at the bound: that is why, whatever it made of the refusal itself
            raise faults.memory_used_up(room.given.limits, peak)
        return ExecutionResult(
            value=None,
            stdout=room.stdout.content,
            stderr=room.stderr.content,
            exit_status=status,
            usage=room.usage(store),
        )

    return _in_store(workshop, room, wasm, room.functions(argv, stdin), start)


def call_function(workshop: Workshop, room: Room, function: WasmFunction) -> ExecutionResult:
    """Call a function that a module or component exports; what exports `_initialize`, too, is initialized before.

    Raises:
        InputError: `input.wasm-entry`: it exports no such function, or one with other types than numbers;
            `input.wasm-arguments`: the arguments do not fit.
        CloisterError: As `run_command`.
    """

    def call(store: Store) -> ExecutionResult:
        parameters, results = _signature(store, function)
        arguments = typed_arguments(function, parameters)
        try:
            if function.function != INITIALIZE and store.has_function(INITIALIZE):
                store.call(INITIALIZE)
            value = store.call(function.function, *arguments)
        except ProgramExit as ended:
            raise GuestCrashed(
                f"the program ended itself with status {ended.status} instead of returning from "
                f"{quoted(function.function, 60)}",
                details={"exit_status": ended.status},
            ) from ended
        return ExecutionResult(
            value=_wire_value(value if len(results) != 1 else value[0]),
            stdout=room.stdout.content,
            stderr=room.stderr.content,
            usage=room.usage(store),
        )

    wasm = _read(room, function.module)
    if is_component(wasm):
        return call_component_function(workshop, room, wasm, function)
    return _in_store(workshop, room, wasm, room.functions((function.module,)), call)


def _in_store(
    workshop: Workshop, room: Room, wasm: bytes, functions: Imports, act: Callable[[Store], ExecutionResult]
) -> ExecutionResult:
    """Load a module, make an instance of it, and do something with that."""
    limits = room.given.limits
    loaded = workshop.modules.load(wasm, room.deadline, granted=functions.keys(), limits=limits)
    wanted = [(each.module, each.name) for each in loaded.outline.imports]
    with Store(workshop.engine, limits, room.deadline) as store:
        try:
            store.instantiate(loaded.module, wanted, functions)
            return act(store)
        except ProgramExit as ended:  # in its start function, before it was asked to begin
            raise GuestCrashed(f"the program ended itself with status {ended.status} while it was loaded") from ended
        except GuestCrashed as crash:
            said = tail(room.stderr.content)
            if said:
                crash.details["stderr"] = said
            raise


def _read(room: Room, path: str) -> bytes:
    """Return the bytes of a module that a user named."""
    try:
        content = room.read(path, MODULE_BYTES_MAX)
    except OSError as error:
        raise _not_started(path, error) from error
    if content is None:
        raise too_large(f'"{quoted(path)}" has more than {MODULE_BYTES_MAX} bytes')
    if content[: len(MAGIC)] != MAGIC:
        raise only_wasm(path)
    return content


def _not_started(path: str, error: OSError) -> CloisterError:
    if "/" not in path and not path.endswith(SUFFIX):
        return only_wasm(path)
    return LaunchError(
        f'"{quoted(path)}" cannot be started: {error.strerror}',
        code="provider.exec",
        hint="only granted paths are visible to it: --read FILE or --read DIR makes one visible",
    )


def only_wasm(program: str) -> ProviderUnavailable:
    """Return the error for a program that is no WebAssembly."""
    return ProviderUnavailable(
        f'the provider wasm runs WebAssembly modules, and "{quoted(program)}" is none',
        code="provider.wasm-only",
        hint="name a .wasm file that is granted with --read, or run it with --provider process",
    )


def _require_start(store: Store, program: str) -> None:
    if store.has_function(START) and store.signature(START) == ((), ()):
        return
    raise InputError(
        f'"{quoted(program)}" is no command: it does not export {START} without parameters and results',
        code="input.wasm-entry",
        hint="call one of its functions with --invoke NAME, or build it as a command",
    )


def _signature(store: Store, function: WasmFunction) -> tuple[tuple[str, ...], tuple[str, ...]]:
    name = quoted(function.function, 60)
    if not store.has_function(function.function):
        raise InputError(
            f'"{quoted(function.module)}" exports no function {name}',
            code="input.wasm-entry",
            hint="wasm-objdump -x lists what a module exports",
        )
    parameters, results = store.signature(function.function)
    others = sorted({*parameters, *results} - {"i32", "i64", "f32", "f64"})
    if others:
        raise InputError(
            f"function {name} has {', '.join(others)} among its parameters or results; only i32, i64, f32 and f64 can "
            "be passed",
            code="input.wasm-entry",
            hint="export a function that takes and returns numbers",
        )
    return parameters, results


def typed_arguments(function: WasmFunction, types: tuple[str, ...]) -> tuple[Number, ...]:
    """Return arguments as the types of the parameters say.

    Raises:
        InputError: `input.wasm-arguments`: there are too many or too few, or one does not fit.
    """
    given = function.arguments
    if len(given) != len(types):
        raise _misfit(
            function, f"it takes {len(types)} arguments ({', '.join(types) or 'none'}); {len(given)} are given"
        )
    return tuple(_typed(function, value, kind) for value, kind in zip(given, types, strict=True))


def _typed(function: WasmFunction, value: float | str, kind: str) -> Number:
    shown = quoted(str(value), 60)
    try:
        if kind in {"f32", "f64"}:
            number = float(value)
            struct.pack("<f" if kind == "f32" else "<d", number)
            return number
        whole = int(value, 0) if isinstance(value, str) else value
    except (ValueError, OverflowError) as error:
        raise _misfit(function, f"{shown} is no {kind}") from error
    if isinstance(whole, bool) or not isinstance(whole, int):
        raise _misfit(function, f"{shown} is no {kind}")
    bits = 32 if kind == "i32" else 64
    if not -(2 ** (bits - 1)) <= whole < 2**bits:
        raise _misfit(function, f"{shown} does not fit an {kind}")
    return whole - 2**bits if whole >= 2 ** (bits - 1) else whole


def _misfit(function: WasmFunction, what: str) -> InputError:
    return InputError(
        f"{quoted(function.function, 60)} cannot be called: {what}",
        code="input.wasm-arguments",
        hint="write whole numbers as 12, -1 or 0xff, others as 0.5, inf or nan",
    )


def _wire_value(value: Number | tuple[Number, ...]) -> WireValue:
    return encode(from_python(list(value) if isinstance(value, tuple) else value))
