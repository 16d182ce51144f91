"""Commands and functions: WebAssembly that a user names.

Owns the way from a path to a module that runs, its words and arguments, and what its end means. The module and all that
it does is anybody's.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from cloister.errors import CloisterError, InputError, LaunchError, ProviderUnavailable, quoted
from cloister.isolation.given import require_program
from cloister.isolation.provider import ExecutionResult, ExternalProgram, WasmFunction, WireValue
from cloister.isolation.wasm import faults
from cloister.isolation.wasm.components.programs import call_component_function, run_component
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.ends import calling, loading, result_of
from cloister.isolation.wasm.engine import is_component
from cloister.isolation.wasm.modules import Loaded
from cloister.isolation.wasm.outline import MODULE_BYTES_MAX, Outline, too_large
from cloister.isolation.wasm.room import Room, Workshop
from cloister.isolation.wasm.signatures import Signature, exported_functions, signature_of
from cloister.isolation.wasm.store import Imports, Number, Store
from cloister.isolation.wasm.wasi.basic_calls import ProgramExit
from cloister.lang.transport import encode, from_python

START: Final = "_start"
INITIALIZE: Final = "_initialize"
"""Source: WASI repository, legacy/application-abi.md: what commands and reactors export."""
SUFFIX: Final = ".wasm"
TEXT_SUFFIX: Final = ".wat"
NUMBERS: Final = frozenset({"i32", "i64", "f32", "f64"})
NAMES_TOLD: Final = 8
"""How many functions a message names."""
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
        try:
            store.call(START)
            status = 0
        except ProgramExit as ended:
            status = ended.status
        peak = store.memory_peak_bytes
        if status != 0 and peak is not None and peak + faults.PAGE_BYTES > room.given.limits.memory_bytes:
            # It failed with its memory at the bound: that is why, whatever it made of the refusal itself
            raise faults.memory_used_up(room.given.limits, peak)
        return result_of(room, store, exit_status=status)

    functions = room.functions(argv, stdin)
    loaded = _loaded(workshop, room, wasm, functions)
    _require_start(loaded.outline, argv[0], room.deadline)
    return _in_store(workshop, room, loaded, functions, start)


def call_function(workshop: Workshop, room: Room, function: WasmFunction) -> ExecutionResult:
    """Call a function that a module or component exports; what exports `_initialize`, too, is initialized before.

    Raises:
        InputError: `input.wasm-entry`: it exports no such function, or one with other types than numbers;
            `input.wasm-arguments`: the arguments do not fit.
        CloisterError: As `run_command`.
    """
    wasm = _read(room, function.module)
    if is_component(wasm):
        return call_component_function(workshop, room, wasm, function)
    functions = room.functions((function.module,))
    loaded = _loaded(workshop, room, wasm, functions)
    signature = _numbers_alone(loaded.outline, function, room.deadline)
    arguments = typed_arguments(function, signature.parameters)
    is_to_initialize = function.function != INITIALIZE and _has_initialize(loaded.outline, room.deadline)

    def call(store: Store) -> ExecutionResult:
        with calling(function.function):
            if is_to_initialize:
                store.call(INITIALIZE)
            value = store.call(function.function, *arguments)
        return result_of(room, store, value=_wire_value(value if len(signature.results) != 1 else value[0]))

    return _in_store(workshop, room, loaded, functions, call)


def _loaded(workshop: Workshop, room: Room, wasm: bytes, functions: Imports) -> Loaded:
    return workshop.modules.load(wasm, room.deadline, granted=functions.keys(), limits=room.given.limits)


def _in_store(
    workshop: Workshop, room: Room, loaded: Loaded, functions: Imports, act: Callable[[Store], ExecutionResult]
) -> ExecutionResult:
    """Make an instance of a module, and do something with that."""
    wanted = [(each.module, each.name) for each in loaded.outline.imports]
    with Store(workshop.engine, room.given.limits, room.deadline) as store, loading(room):
        store.instantiate(loaded.module, wanted, functions)
        return act(store)


def _read(room: Room, path: str) -> bytes:
    """Return the bytes of a module that a user named."""
    try:
        content = room.read(path, MODULE_BYTES_MAX)
    except OSError as error:
        raise _not_started(path, error) from error
    if content is None:
        raise too_large(f'"{quoted(path)}" has more than {MODULE_BYTES_MAX} bytes')
    if content[: len(MAGIC)] != MAGIC:
        raise _only_wasm(path, content)
    return content


def _not_started(path: str, error: OSError) -> CloisterError:
    if path.endswith(TEXT_SUFFIX) or ("/" not in path and not path.endswith(SUFFIX)):
        return _only_wasm(path)
    return LaunchError(
        f'"{quoted(path)}" cannot be started: {error.strerror}',
        code="provider.exec",
        hint="only the .wasm file that is named and granted paths are visible: look whether it is there, or grant it "
        "with --read",
    )


def _only_wasm(program: str, content: bytes = b"") -> ProviderUnavailable:
    """Return the error for a program that is no WebAssembly, with what was found in place of it."""
    if program.endswith(TEXT_SUFFIX) or content.lstrip().startswith((b"(module", b";;")):
        what, hint = "is its text form", "make a module of it: wat2wasm FILE.wat -o FILE.wasm"
    else:
        what = "is none"
        hint = "name a .wasm file; run a Python script with --lang python, other programs with --provider process"
    return ProviderUnavailable(
        f'the provider wasm runs WebAssembly modules, and "{quoted(program)}" {what}',
        code="provider.wasm-only",
        hint=hint,
    )


def _require_start(outline: Outline, program: str, deadline: Deadline) -> None:
    if signature_of(outline, START, deadline) == Signature():
        return
    raise InputError(
        f'"{quoted(program)}" is no command: it does not export {START} without parameters and results',
        code="input.wasm-entry",
        hint=f"call one of its functions with --invoke NAME, or build it as a command; {_told(outline, deadline)}",
    )


def _has_initialize(outline: Outline, deadline: Deadline) -> bool:
    """Say whether a module wants to be initialized, which nobody can do with arguments."""
    signature = signature_of(outline, INITIALIZE, deadline)
    if signature is None or signature == Signature():
        return signature is not None
    raise InputError(
        f"the module exports {INITIALIZE} with parameters or results, and has to be initialized without",
        code="input.wasm-entry",
        hint="rename that function, or build the module as a reactor (-mexec-model=reactor)",
    )


def _numbers_alone(outline: Outline, function: WasmFunction, deadline: Deadline) -> Signature:
    """Return the types of the function that is to be called, which are those of numbers."""
    name = quoted(function.function, 60)
    signature = signature_of(outline, function.function, deadline)
    if signature is None:
        raise InputError(
            f'"{quoted(function.module)}" exports no function {name}',
            code="input.wasm-entry",
            hint=_told(outline, deadline),
        )
    others = sorted({*signature.parameters, *signature.results} - NUMBERS)
    if others:
        raise InputError(
            f"function {name} has {', '.join(others)} among its parameters or results; only i32, i64, f32 and f64 can "
            "be passed",
            code="input.wasm-entry",
            hint="export a function that takes and returns numbers",
        )
    return signature


def _told(outline: Outline, deadline: Deadline) -> str:
    """Say which functions a module exports, in the order of their names."""
    names = sorted(exported_functions(outline, deadline))
    if not names:
        return "it exports no functions at all"
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    return f"it exports {', '.join(quoted(each, 40) for each in names[:NAMES_TOLD])}{more}"


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
