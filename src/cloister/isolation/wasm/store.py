"""Stores: one guest with its limits, the host's functions it may call, and its memory.

Owns fuel, deadline and limits of one execution, and the way of errors through machine code: what a host function raises
comes out of `call` as the very same object, and what ends a guest from outside is named. Everything a guest passes is
numbers of its choosing; `GuestMemory` checks each place before it is touched.
"""

from __future__ import annotations

import ctypes
import functools
import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final, Self, TypeAlias

from cloister.errors import GuestCrashed
from cloister.isolation.wasm import faults
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, Module
from cloister.limits import ResourceLimits

FUEL_PER_STEP: Final = 1_000
"""How much fuel one step of `steps_count` is: about as many instructions."""
FUEL_MAX: Final = 2**63 - 1
TABLE_ELEMENTS_MAX: Final = 1_000_000
"""Tables lie beside the linear memory, eight bytes an element."""

Number: TypeAlias = int | float
Act: TypeAlias = Callable[..., Number | None]

FUNCTION: Final = 0
MEMORY: Final = 3
"""What an export is. Source: `WASMTIME_EXTERN_FUNC` and following, wasmtime/extern.h."""
_KINDS: Final[Mapping[str, int]] = {"i32": 0, "i64": 1, "f32": 2, "f64": 3}
"""Source: `WASMTIME_I32` and following, wasmtime/val.h; they are those of `wasm_valkind_t`, too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HostFunction:
    """A function of the host that a guest may import.

    Attributes:
        parameters: Types, of `i32`, `i64`, `f32`, `f64`.
        results: Types; at most one.
        act: Called with the guest's memory and the arguments, integers signed. What it raises ends the guest.
    """

    parameters: tuple[str, ...]
    results: tuple[str, ...]
    act: Act


Imports: TypeAlias = Mapping[tuple[str, str], HostFunction]
"""By module and name."""


class Store:
    """Room for one guest. Of one thread, whose stack has `Engine.thread_stack_bytes`; close it after use.

    Args:
        engine: Whose code will run, and who keeps its clock going meanwhile.
        limits: Bounds.
        deadline: When it is over.
    """

    instances_max: ClassVar[int] = 1
    tables_max: ClassVar[int] = 4

    def __init__(self, engine: Engine, limits: ResourceLimits, deadline: Deadline) -> None:
        self._ffi = binding().ffi
        self._engine = engine
        self._limits = limits
        self._deadline = deadline
        self._cpu_start_ns = time.thread_time_ns()
        self._raw: Any = binding().api.Store(engine.raw)
        self._context: Any = self._raw._context()  # noqa: SLF001 - the binding's own way to pass it on
        self._keys: list[int] = []
        self._failure: BaseException | None = None
        self._instance: Any = None
        self.memory = GuestMemory(self._context)
        self.fuel = min(limits.steps_count * FUEL_PER_STEP, FUEL_MAX)
        self._raw.set_fuel(self.fuel)
        elements = min(TABLE_ELEMENTS_MAX, limits.memory_bytes)
        memory = min(limits.memory_bytes, FUEL_MAX)
        self._ffi.wasmtime_store_limiter(self._raw.ptr(), memory, elements, self.instances_max, self.tables_max, 1)
        self._ffi.wasmtime_context_set_epoch_deadline(self._context, 1)
        key = self._keep(self._may_go_on)
        self._ffi.wasmtime_store_epoch_deadline_callback(self._raw.ptr(), _callbacks().tick, key, _callbacks().nothing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _keep(self, called: Callable[..., Any]) -> int:
        key = next(_NUMBERS)
        _CALLED[key] = called
        self._keys.append(key)
        return key

    def close(self) -> None:
        """Give everything back. Idempotent."""
        self._raw.close()
        while self._keys:
            _CALLED.pop(self._keys.pop(), None)

    @property
    def fuel_used(self) -> int:
        """How much fuel the guest has used so far."""
        return self.fuel - int(self._raw.get_fuel())

    @property
    def memory_peak_bytes(self) -> int | None:
        """The most linear memory it had, which never shrinks; None while it has none that it exports."""
        return self.memory.size_bytes

    def instantiate(self, module: Module, imports: Sequence[tuple[str, str]], functions: Imports) -> None:
        """Make the instance, running its start function.

        Args:
            module: Of the store's engine.
            imports: Module and name of each import, in the module's order.
            functions: What may be imported; all of `imports` must be among it.

        Raises:
            LimitExceeded, GuestError, GuestCrashed: As `call`.
            BaseException: What a host function raised.
        """
        self._instance = self._instance_of(module, [self._extern(functions[wanted]) for wanted in imports])
        self.memory.find_in(self._export("memory"))

    def _instance_of(self, module: Module, externs: Sequence[Any]) -> Any:
        """Make an instance, running its start function. Raises as `call`."""
        given = (self._ffi.wasmtime_extern_t * len(externs))(*externs)
        instance, trap = self._ffi.wasmtime_instance_t(), _trap_pointer()
        error = self._ffi.wasmtime_instance_new(
            self._context, module.raw.ptr(), given, len(externs), ctypes.byref(instance), ctypes.byref(trap)
        )
        self._raise_failure(error, trap)
        return instance

    def _extern(self, function: HostFunction) -> Any:
        ffi = self._ffi
        key, func = self._keep(_Called(self, function)), ffi.wasmtime_func_t()
        kind = self._engine.function_type(function.parameters, function.results)
        ffi.wasmtime_func_new_unchecked(
            self._context, kind.ptr(), _callbacks().call, key, _callbacks().nothing, ctypes.byref(func)
        )
        return ffi.wasmtime_extern_t(FUNCTION, ffi.wasmtime_extern_union(func=func))

    def _export(self, name: str) -> Any:
        """Return what the instance exports under a name, or None."""
        found, text = self._ffi.wasmtime_extern_t(), name.encode("utf-8")
        there = self._ffi.wasmtime_instance_export_get(
            self._context, ctypes.byref(self._instance), text, len(text), ctypes.byref(found)
        )
        return found if there else None

    def signature(self, name: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the types of parameters and results of an exported function, which must be there.

        They must be numbers: for other types the package ends the process. See `signatures`, which reads a guest's.
        """
        pointer = self._ffi.wasmtime_func_type(self._context, ctypes.byref(self._export(name).of.func))
        kind = binding().api.FuncType._from_ptr(pointer, None)  # noqa: SLF001 - it takes ownership
        return tuple(map(str, kind.params)), tuple(map(str, kind.results))

    def call(self, name: str, *arguments: Number) -> tuple[Number, ...]:
        """Call an exported function, which must be there, with numbers alone as parameters and results.

        Args:
            name: Of the export.
            arguments: As many as it has parameters, each within its type.

        Returns:
            Its results; integers signed.

        Raises:
            LimitExceeded: Fuel, time, memory or stack are used up.
            GuestError: It failed by itself: division by zero, an exception that nobody caught.
            GuestCrashed: It ran onto a trap that its program did not choose.
            BaseException: What a host function raised.
        """
        parameters, results = self.signature(name)
        given, got = ((self._ffi.wasmtime_val_t * len(side))() for side in (parameters, results))
        for slot, kind, value in zip(given, parameters, arguments, strict=True):
            slot.kind = _KINDS[kind]
            setattr(slot.of, kind, value)
        trap = _trap_pointer()
        error = self._ffi.wasmtime_func_call(
            self._context,
            ctypes.byref(self._export(name).of.func),
            given,
            len(given),
            got,
            len(got),
            ctypes.byref(trap),
        )
        self._raise_failure(error, trap)
        return tuple(getattr(slot.of, kind) for slot, kind in zip(got, results, strict=True))

    def _raise_failure(self, error: Any, trap: Any) -> None:
        """Raise what ended a guest, if anything did. What the host raised comes before what the guest made of it."""
        api, ended = binding().api, None
        if error:
            ended = api.WasmtimeError._from_ptr(error)  # noqa: SLF001 - it takes ownership
        elif trap:
            ended = api.Trap._from_ptr(trap)  # noqa: SLF001 - likewise
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
        if ended is not None:
            raise faults.of(ended, self._limits, fuel=self.fuel, memory_bytes=self.memory.size_bytes) from ended

    def _may_go_on(self) -> BaseException | None:
        """Return what the guest must end with, or None; asked at each tick, on the guest's thread."""
        cpu_ms = (time.thread_time_ns() - self._cpu_start_ns) // 1_000_000
        self._failure = self._deadline.passed(cpu_ms)
        return self._failure

    def fail(self, error: BaseException) -> None:
        """Remember what a host function raised."""
        self._failure = error


class GuestMemory:
    """The memory that a guest exports as `memory`.

    Args:
        context: Of its store.
    """

    __slots__ = ("_address", "_context", "_memory", "_size")

    def __init__(self, context: Any) -> None:
        self._context = context
        self._memory: Any = None
        self._address = binding().memory_address
        self._size = binding().ffi.wasmtime_memory_data_size

    @property
    def is_found(self) -> bool:
        """Whether there is one."""
        return self._memory is not None

    def find_in(self, export: Any) -> None:
        """Take an export for the memory, when it is one."""
        if export is not None and export.kind == MEMORY:
            self._memory = binding().ffi.wasmtime_memory_t.from_buffer_copy(export.of.memory)

    @property
    def size_bytes(self) -> int | None:
        """How large it is now; None when there is none."""
        return None if self._memory is None else int(self._size(self._context, ctypes.byref(self._memory)))

    def _place(self, address: int, count: int) -> int:
        size = self.size_bytes
        if size is None or address < 0 or count < 0 or address + count > size:
            raise GuestCrashed(
                f"the program handed the host {count} bytes at {address}, which is outside its memory",
                hint="this is a defect of the program, or it exports no memory",
            )
        return int(self._address(self._context, ctypes.byref(self._memory)) or 0) + address

    def require(self, address: int, count: int) -> None:
        """Go on only when a place is inside the memory. Raises as `read`."""
        self._place(address, count)

    def read(self, address: int, count: int) -> bytes:
        """Return bytes.

        Raises:
            GuestCrashed: Some of them are outside the memory.
        """
        place = self._place(address, count)
        return ctypes.string_at(place, count) if count else b""

    def write(self, address: int, data: bytes) -> None:
        """Put bytes somewhere.

        Raises:
            GuestCrashed: There is no room for some of them.
        """
        place = self._place(address, len(data))
        if data:
            ctypes.memmove(place, data, len(data))

    def read_int(self, address: int, width_bytes: int) -> int:
        """Return an unsigned integer. Raises as `read`."""
        return int.from_bytes(self.read(address, width_bytes), "little")

    def write_int(self, address: int, value: int, width_bytes: int) -> None:
        """Put an unsigned integer somewhere. Raises as `write`."""
        self.write(address, value.to_bytes(width_bytes, "little"))


class _Called:
    """A host function as one store has it."""

    __slots__ = ("_act", "_fields", "_result", "_store")

    def __init__(self, store: Store, function: HostFunction) -> None:
        self._store = store
        self._act = function.act
        self._fields = function.parameters
        self._result = function.results[0] if function.results else None

    def __call__(self, caller: Any, slots: Any) -> BaseException | None:
        """Do it, and put the result where wasmtime looks for it; return what it raised."""
        store = self._store
        if not store.memory.is_found:
            store.memory.find_in(_memory_of(caller))
        try:
            arguments = [getattr(slots[position], name) for position, name in enumerate(self._fields)]
            value = self._act(store.memory, *arguments)
            if self._result is not None:
                setattr(slots[0], self._result, value)
        except BaseException as error:  # noqa: BLE001 - carried through the machine code and raised on its other side
            store.fail(error)
            return error
        return None


def _memory_of(caller: Any) -> Any:
    found = binding().ffi.wasmtime_extern_t()
    there = binding().ffi.wasmtime_caller_export_get(caller, b"memory", 6, ctypes.byref(found))
    return found if there else None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Callbacks:
    """What machine code calls: the same three functions for all stores, told apart by a number."""

    call: Any
    tick: Any
    nothing: Any


_CALLED: Final[dict[int, Callable[..., Any]]] = {}
_NUMBERS: Final = itertools.count(1)
ENDED: Final = b"ended by the host"


def called(key: int) -> Callable[..., Any]:
    """Return what machine code calls by a number. For callbacks, whose stores are open."""
    return _CALLED[key]


@functools.cache
def _callbacks() -> _Callbacks:
    ffi = binding().ffi

    @ffi.wasmtime_func_unchecked_callback_t  # type: ignore[untyped-decorator]
    def call(key: int, caller: Any, slots: Any, _: int) -> int:
        if _CALLED[key](caller, slots) is None:
            return 0
        return ctypes.cast(ffi.wasmtime_trap_new(ENDED, len(ENDED)), ctypes.c_void_p).value or 0

    @ctypes.CFUNCTYPE(  # type: ignore[untyped-decorator]
        ctypes.c_size_t,
        ctypes.POINTER(ffi.wasmtime_context_t),
        ctypes.c_void_p,
        ctypes.POINTER(ctypes.c_uint64),
        ctypes.POINTER(ctypes.c_uint8),
    )
    def tick(_: Any, key: int, delta: Any, kind: Any) -> int:
        if _CALLED[key]() is None:
            delta[0], kind[0] = 1, 0  # WASMTIME_UPDATE_DEADLINE_CONTINUE
            return 0
        return ctypes.cast(ffi.wasmtime_error_new(ENDED), ctypes.c_void_p).value or 0

    return _Callbacks(call=call, tick=tick, nothing=ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p)))


def _trap_pointer() -> Any:
    return ctypes.POINTER(binding().ffi.wasm_trap_t)()
