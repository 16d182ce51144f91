"""Commands and functions that are components.

Owns how a component is started, how the name of one of its functions is found, and what its end means. The component
and all that it does is anybody's.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from cloister.errors import InputError, quoted
from cloister.isolation.provider import ExecutionResult, WasmFunction, WireValue
from cloister.isolation.wasm.components.arguments import component_arguments, passable, plain_result
from cloister.isolation.wasm.components.kinds import Kind, Signature, World
from cloister.isolation.wasm.components.store import ComponentStore
from cloister.isolation.wasm.components.values import Case
from cloister.isolation.wasm.ends import calling, loading, result_of
from cloister.isolation.wasm.modules import LoadedComponent
from cloister.isolation.wasm.room import Room, Workshop
from cloister.isolation.wasm.wasi.basic_calls import ProgramExit
from cloister.isolation.wasm.wasi2.serving import served_to
from cloister.isolation.wasm.wasi2.surroundings import Surroundings
from cloister.lang.transport import encode, from_python

_RUN: Final = re.compile(r"wasi:cli/run@0\.2\.(0|[1-9][0-9]{0,4})")
"""The interface that a command exports. Source: wasi-cli 0.2, run.wit."""
_SUCCESS: Final = Kind("result", (("ok", None), ("err", None)))


def run_component(workshop: Workshop, room: Room, wasm: bytes, argv: tuple[str, ...], stdin: bytes) -> ExecutionResult:
    """Run a component as a command: its exported `wasi:cli/run`, until it returns or ends itself.

    Raises:
        InputError: `input.wasm` and its like; `input.wasm-entry`: it is no command.
        CloisterError: As `Modules.load_component` and `ComponentStore.call_component`.
    """
    around = room.surroundings(argv, stdin)
    loaded = workshop.modules.load_component(wasm, room.deadline, limits=room.given.limits)
    interface, signature = _command(loaded.world, argv[0])

    def start(store: ComponentStore) -> ExecutionResult:
        try:
            ended = store.call_component((interface, "run"), signature, ())
            status = 0 if ended == Case("ok") else 1
        except ProgramExit as exited:
            status = exited.status
        return result_of(room, store, exit_status=status)

    return _in_store(workshop, room, loaded, around, start)


def call_component_function(workshop: Workshop, room: Room, wasm: bytes, function: WasmFunction) -> ExecutionResult:
    """Call a function that a component exports, itself or in an interface.

    Raises:
        InputError: `input.wasm-entry`: it exports no such function, or one with types that nobody can write;
            `input.wasm-arguments`: the arguments do not fit.
        CloisterError: As `run_component`.
    """
    around = room.surroundings((function.module,))
    loaded = workshop.modules.load_component(wasm, room.deadline, limits=room.given.limits)
    path, signature = _found(loaded.world, function)
    arguments = component_arguments(function, signature)

    def call(store: ComponentStore) -> ExecutionResult:
        with calling(function.function):
            value = store.call_component(path, signature, arguments)
        return result_of(room, store, value=_wire_value(room, signature, value))

    return _in_store(workshop, room, loaded, around, call)


def _in_store(
    workshop: Workshop,
    room: Room,
    loaded: LoadedComponent,
    around: Surroundings,
    act: Callable[[ComponentStore], ExecutionResult],
) -> ExecutionResult:
    """Make an instance of a component, and do something with that."""
    limits = room.given.limits
    served, resources = served_to(loaded.world, around)
    with ComponentStore(workshop.engine, limits, room.deadline, loaded.outline) as store, loading(room):
        store.instantiate_component(loaded.module, loaded.world, served, resources)
        return act(store)


def _command(world: World, program: str) -> tuple[str, Signature]:
    for interface, functions in world.interfaces.items():
        signature = functions.get("run")
        if _RUN.fullmatch(interface) and signature == Signature((), _SUCCESS):
            return interface, signature
    raise InputError(
        f'"{quoted(program)}" is no command: it does not export wasi:cli/run of WASI 0.2',
        code="input.wasm-entry",
        hint="call one of its functions with --invoke NAME, or build it as a command",
    )


def _found(world: World, function: WasmFunction) -> tuple[tuple[str, ...], Signature]:
    """Return where a function is, and its types.

    Its name is `function`, or `interface#function`, where the interface is named in full or by its last word.
    """
    within, separator, name = function.function.rpartition("#")
    interface = _interface(world, function, within) if separator else None
    functions = world.functions if interface is None else world.interfaces[interface]
    path, signature = (name,) if interface is None else (interface, name), functions.get(name)
    if signature is None:
        raise _no_function(world, function)
    kinds = [kind for _, kind in signature.parameters] + ([] if signature.result is None else [signature.result])
    strange = next((kind for kind in kinds if not passable(kind)), None)
    if strange is not None:
        raise InputError(
            f"function {quoted(function.function, 80)} has {quoted(str(strange), 100)} among its parameters or "
            "results; handles, and options in options, cannot be passed",
            code="input.wasm-entry",
            hint="export a function that takes and returns values",
        )
    return path, signature


def _interface(world: World, function: WasmFunction, named: str) -> str:
    if named in world.interfaces:
        return named
    found = [each for each in world.interfaces if named in {_last_word(each), each.partition("@")[0]}]
    if len(found) != 1:
        raise _no_function(world, function, are_several=bool(found))
    return found[0]


def _last_word(interface: str) -> str:
    return interface.rpartition("/")[2].partition("@")[0]


def _no_function(world: World, function: WasmFunction, *, are_several: bool = False) -> InputError:
    names = [*world.functions, *(f"{name}#{each}" for name, of in world.interfaces.items() for each in of)]
    named = quoted(function.function, 80)
    what = f"several interfaces that {named} may mean; name one in full" if are_several else f"no function {named}"
    return InputError(
        f'"{quoted(function.module)}" exports {what}',
        code="input.wasm-entry",
        hint=f"it exports {quoted(', '.join(names[:20]) or 'no functions', 400)}",
    )


def _wire_value(room: Room, signature: Signature, value: Any) -> WireValue:
    return encode(from_python(plain_result(signature.result, value)), room.given.limits)
