"""Stores for components: one guest with its limits, and the host's functions as components import them.

Owns the linking of what a component imports, and the way of values and errors through the machine code of components.
Everything else is that of a store for modules: fuel, deadline, and that what a host function raises comes out of a call
as the very same object.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, TypeAlias

from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.components.incoming import Incoming
from cloister.isolation.wasm.components.kinds import Signature, World
from cloister.isolation.wasm.components.outgoing import Outgoing
from cloister.isolation.wasm.components.outline import ComponentOutline
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, Module
from cloister.isolation.wasm.store import ENDED, TABLE_ELEMENTS_MAX, Store, called
from cloister.limits import ResourceLimits

TABLES_MAX: Final = 16

Act: TypeAlias = Callable[..., Any]
"""Called with the arguments as `values` says; returns the result in that form, None for none."""
Served: TypeAlias = Mapping[str, Mapping[str, Act]]
"""Functions of the host by interface, as the component names it, and name."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Resources:
    """The resources of the host that a component may have handles of.

    Attributes:
        numbers: Number of the type, by name.
        drop: Called with the number of a handle that the guest gives back.
    """

    numbers: Mapping[str, int]
    drop: Callable[[int], None]


class ComponentStore(Store):
    """Room for one component. Of one thread, as `Store`; close it after use.

    Args:
        engine: Whose code will run.
        limits: Bounds. The memory is shared out evenly when the component has several.
        deadline: When it is over.
        outline: Of the component.
    """

    tables_max: ClassVar[int] = TABLES_MAX

    def __init__(self, engine: Engine, limits: ResourceLimits, deadline: Deadline, outline: ComponentOutline) -> None:
        super().__init__(engine, limits, deadline)
        self._ffi.wasmtime_store_limiter(
            self._raw.ptr(),
            min(limits.memory_bytes, 2**63 - 1) // outline.memories_count,
            min(TABLE_ELEMENTS_MAX * Store.tables_max // TABLES_MAX, limits.memory_bytes),
            outline.instances_max,
            TABLES_MAX,
            outline.memories_count,
        )
        self._linker: Any = binding().components.Linker(engine.raw)
        self._made: Any = None
        self._incoming = Incoming(self._context, limits.value_elements_count)
        self._outgoing = Outgoing(self._context)

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self._linker.close()
        super().close()

    def instantiate_component(self, component: Module, world: World, served: Served, resources: Resources) -> None:
        """Make the instance, running its start functions.

        Args:
            component: Of the store's engine.
            world: What it imports.
            served: All that it imports.
            resources: Those of the host.

        Raises:
            LimitExceeded, GuestError, GuestCrashed: As `call_component`.
            BaseException: What a host function raised.
        """
        with self._linker.root() as root:
            for interface, functions in world.imports.items():
                with root.add_instance(interface) as instance:
                    for name in world.resources[interface]:
                        self._add_resource(instance, name, resources)
                    for name, signature in functions.items():
                        self._add_function(instance, name, signature, served[interface][name])
        made = self._ffi.wasmtime_component_instance_t()
        error = self._ffi.wasmtime_component_linker_instantiate(
            self._linker.ptr(), self._context, component.raw.ptr(), ctypes.byref(made)
        )
        self._raise_failure(error, None)
        self._made = binding().components.Instance._from_raw(made)  # noqa: SLF001 - as the package does

    def _add_function(self, instance: Any, name: str, signature: Signature, act: Act) -> None:
        key, text = self._keep(_Called(self, signature, act)), name.encode("utf-8")
        self._require(
            self._ffi.wasmtime_component_linker_instance_add_func(
                instance.ptr(), _letters(text), len(text), _callbacks().call, key, _callbacks().nothing
            )
        )

    def _add_resource(self, instance: Any, name: str, resources: Resources) -> None:
        kind = binding().components.ResourceType.host(resources.numbers[name])
        key, text = self._keep(_Dropped(self, resources.drop)), name.encode("utf-8")
        self._require(
            self._ffi.wasmtime_component_linker_instance_add_resource(
                instance.ptr(), _letters(text), len(text), kind.ptr(), _callbacks().drop, key, _callbacks().nothing
            )
        )

    @staticmethod
    def _require(error: Any) -> None:
        if error:
            raise binding().api.WasmtimeError._from_ptr(error)  # noqa: SLF001 - it takes ownership

    def call_component(self, path: Sequence[str], signature: Signature, arguments: Sequence[Any]) -> Any:
        """Call an exported function, which must be there.

        Args:
            path: Its name; of a function of an interface, the name of that before.
            signature: Its types.
            arguments: As many as it has parameters, each of its type, in the form that `values` says.

        Returns:
            The result in that form, None for none.

        Raises:
            LimitExceeded: Fuel, time, memory or stack are used up, or the result has too many elements.
            GuestError: It failed by itself.
            GuestCrashed: It ran onto a trap that its program did not choose, or passed what is no value.
            TypeError, ValueError, OverflowError: An argument is not of its type.
            BaseException: What a host function raised.
        """
        function = self._function(path)
        given = (self._ffi.wasmtime_component_val_t * len(arguments))()
        results_count = 0 if signature.result is None else 1
        result = self._ffi.wasmtime_component_val_t()
        filled = 0
        try:
            for slot, (_, kind), value in zip(given, signature.parameters, arguments, strict=True):
                self._outgoing.put(kind, value, slot)
                filled += 1
            error = self._ffi.wasmtime_component_func_call(
                function, self._context, given, len(given), ctypes.byref(result), results_count
            )
        finally:
            for place in range(filled):
                self._ffi.wasmtime_component_val_delete(ctypes.byref(given[place]))
        self._raise_failure(error, None)
        if signature.result is None:
            return None
        try:
            return self._incoming.several([signature.result], [result])[0]
        finally:
            self._ffi.wasmtime_component_val_delete(ctypes.byref(result))

    def _function(self, path: Sequence[str]) -> Any:
        index = None
        for name in path:
            index = self._made.get_export_index(self._raw, name, index)
        return ctypes.byref(self._made.get_func(self._raw, index)._func)  # noqa: SLF001 - as the package does

    def answer(self, signature: Signature, act: Act, arguments: Any, results: Any) -> None:
        """Do a function of the host for the guest.

        Raises:
            BaseException: What it raises.
        """
        given = self._incoming.several((kind for _, kind in signature.parameters), arguments)
        value = act(*given)
        if signature.result is not None:
            self._outgoing.put(signature.result, value, results[0])


class _Called:
    """A function of the host as one store has it."""

    __slots__ = ("_act", "_signature", "_store")

    def __init__(self, store: ComponentStore, signature: Signature, act: Act) -> None:
        self._store = store
        self._signature = signature
        self._act = act

    def __call__(self, arguments: Any, results: Any) -> BaseException | None:
        """Do it; return what it raised."""
        try:
            self._store.answer(self._signature, self._act, arguments, results)
        except BaseException as error:  # noqa: BLE001 - carried through the machine code and raised on its other side
            self._store.fail(error)
            return error
        return None


class _Dropped:
    """What happens to a resource of the host whose handle a guest gives back."""

    __slots__ = ("_drop", "_store")

    def __init__(self, store: ComponentStore, drop: Callable[[int], None]) -> None:
        self._store = store
        self._drop = drop

    def __call__(self, number: int) -> BaseException | None:
        """Do it; return what it raised."""
        try:
            self._drop(number)
        except BaseException as error:  # noqa: BLE001 - as above
            self._store.fail(error)
            return error
        return None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Callbacks:
    """What machine code calls: the same three functions for all stores, told apart by a number."""

    call: Any
    drop: Any
    nothing: Any


@functools.cache
def _callbacks() -> _Callbacks:
    ffi = binding().ffi

    def ended(failure: BaseException | None) -> int:
        if failure is None:
            return 0
        return ctypes.cast(ffi.wasmtime_error_new(ENDED), ctypes.c_void_p).value or 0

    @ffi.wasmtime_component_func_callback_t  # type: ignore[untyped-decorator]
    def call(key: int, _: Any, __: Any, arguments: Any, ___: int, results: Any, ____: int) -> int:
        return ended(called(key)(arguments, results))

    @ffi.wasmtime_component_resource_destructor_t  # type: ignore[untyped-decorator]
    def drop(key: int, _: Any, number: int) -> int:
        return ended(called(key)(number))

    return _Callbacks(call=call, drop=drop, nothing=ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)))


def _letters(text: bytes) -> Any:
    return ctypes.create_string_buffer(text)
