"""What a component gets for its imports.

Owns the decision what is served at all, before anything of the component is run: interfaces of WASI 0.2 with the types
they have there. Sockets are served so that programs load which never use them: every one of their functions that can
fail answers `access-denied`, as it would without a grant, and there is no grant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from cloister.errors import DeniedError, GuestCrashed, InputError, quoted
from cloister.isolation.wasm.components.kinds import Kind, Signature, World
from cloister.isolation.wasm.components.outline import ComponentOutline
from cloister.isolation.wasm.components.store import Resources, Served
from cloister.isolation.wasm.components.values import Case
from cloister.isolation.wasm.wasi2.files import Files
from cloister.isolation.wasm.wasi2.handles import Handles
from cloister.isolation.wasm.wasi2.interfaces import INTERFACES, NUMBERS, SOCKETS, interface_of
from cloister.isolation.wasm.wasi2.path_functions import PathFunctions
from cloister.isolation.wasm.wasi2.plain import Functions, plain_functions
from cloister.isolation.wasm.wasi2.polling import Clocks
from cloister.isolation.wasm.wasi2.streams import Failure, Streams
from cloister.isolation.wasm.wasi2.surroundings import Surroundings

GRANTED: Final = "WASI 0.2 without sockets and HTTP"
DENIED: Final = "access-denied"
NETWORK: Final = "network"


def require_interfaces(outline: ComponentOutline) -> None:
    """Accept a component that imports nothing at its top but interfaces and types. Looked at before it is compiled.

    Raises:
        DeniedError: `denied.wasm-import`, for the first thing that is something else.
    """
    for each in outline.imports:
        if each.kind not in {"instance", "type"}:
            raise _not_granted(each.name, "", each.kind)


def require_served(world: World) -> None:
    """Accept a component whose interfaces are all served, with the types that they have.

    Raises:
        DeniedError: `denied.wasm-import`, for the first thing that is not served.
        InputError: `input.wasm`: something is imported with other types than it has.
    """
    for name, part, kind in world.others:  # no interface of WASI 0.2 has such a thing
        raise _not_granted(name, part, kind)
    for name, functions in world.imports.items():
        interface = interface_of(name)
        if interface is None and (functions or world.resources[name]):
            raise _not_granted(name, next(iter(functions), ""), "instance")
        for resource in world.resources[name]:
            if resource not in NUMBERS:
                raise _not_granted(name, resource, "resource")
        if interface is None or interface.startswith(SOCKETS):
            continue
        for function, signature in functions.items():
            expected = INTERFACES[interface].get(function)
            if expected is None:
                raise _not_granted(name, function, "func")
            if str(signature) != expected:
                raise _other_types(name, function, signature, expected)


def served_to(world: World, around: Surroundings) -> tuple[Served, Resources]:
    """Return the functions of the host for a component that `require_served` has accepted, and its resources."""
    handles = Handles()
    clocks, files = Clocks(handles, around.times), Files(around, handles)
    functions: dict[str, Functions] = {
        **plain_functions(around, handles),
        "io/error": {"[method]error.to-debug-string": lambda handle: handles.get(handle, Failure).code},
        "io/poll": clocks.polling(),
        "io/streams": Streams(handles, around.times).functions(),
        "clocks/monotonic-clock": clocks.monotonic(),
        "clocks/wall-clock": clocks.wall(),
        "filesystem/preopens": {"get-directories": files.preopened},
        "filesystem/types": {**files.functions(), **PathFunctions(around, handles, files).functions()},
    }
    served = {name: _chosen(name, wanted, functions, handles) for name, wanted in world.imports.items()}
    return served, Resources(numbers=NUMBERS, drop=handles.drop)


def _chosen(
    name: str,
    wanted: Mapping[str, Signature],
    functions: Mapping[str, Mapping[str, Callable[..., Any]]],
    handles: Handles,
) -> Mapping[str, Callable[..., Any]]:
    interface = interface_of(name) or ""
    if not interface.startswith(SOCKETS):
        return functions.get(interface, {})
    return {function: partial(_no_socket, handles, function, signature) for function, signature in wanted.items()}


def _no_socket(handles: Handles, function: str, signature: Signature, *_: object) -> object:
    """Answer for a function of sockets: nobody may use the network."""
    result = signature.result
    if result is not None:
        if result == Kind("own", resource=NETWORK):
            return handles.add(NETWORK, NETWORK)
        error = dict(result.parts).get("err") if result.name == "result" else None
        if error is not None and error.name == "enum" and DENIED in dict(error.parts):
            return Case("err", DENIED)
    raise GuestCrashed(
        f"the program called {quoted(function, 60)} of WASI's sockets, and there is no network here",
        hint="run it without the network, or as a native program in a provider that has one",
    )


def _not_granted(name: str, part: str, kind: str) -> DeniedError:
    named = quoted(name, 80) + (f"#{quoted(part, 60)}" if part else "")
    return DeniedError(
        f"the component imports {kind} {named}, which was not granted; nothing of it was run",
        code="denied.wasm-import",
        details={"module": quoted(name, 200), "name": quoted(part, 200), "kind": kind},
        hint=_how_to_grant(name),
    )


def _how_to_grant(name: str) -> str:
    if name.startswith("wasi:http/"):
        return "no option grants it: WebAssembly has no network here; let the plan fetch, and pass what it got"
    if name.startswith("wasi:"):
        return f"{GRANTED} is what this provider grants to components, in any version 0.2.x"
    return f"no option grants it: a component runs here with {GRANTED} alone, so compose it with what it imports"


def _other_types(name: str, function: str, signature: Signature, expected: str) -> InputError:
    return InputError(
        f"the component imports {quoted(name, 80)}#{quoted(function, 60)} as {quoted(str(signature), 200)}; it is "
        f"{quoted(expected, 200)}",
        code="input.wasm",
        details={"reason": "an import has other types than WASI 0.2 gives it"},
        hint="build it with the definitions of WASI 0.2",
    )
