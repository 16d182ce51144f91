"""Stores of plans: the runtime support and the plan beside it, in one memory.

Owns how the two modules are joined, and how the calls that are open are seen. The plan may be anybody's: what it
imports is compared with what there is, and nothing it does can reach beyond its store.
"""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Final

from cloister.errors import DeniedError, quoted
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.deadline import Deadline
from cloister.isolation.wasm.engine import Engine, Module
from cloister.isolation.wasm.store import HostFunction, Store
from cloister.lang.wasm_engine.compiler.plan_module import CAPABILITY, ENTRY, RUNTIME
from cloister.limits import ResourceLimits

TRAP: Final = "trap_now"


@dataclass(frozen=True, slots=True)
class OpenCall:
    """A call that is open in a program.

    Attributes:
        module: `plan` or `runtime`, as their names say.
        function: Index of the function in its module.
        offset: Where in its code.
    """

    module: str
    function: int
    offset: int


class PlanStore(Store):
    """Room for one run of a plan.

    Args:
        engine: Whose code will run.
        limits: Bounds.
        deadline: When it is over.
    """

    instances_max: ClassVar[int] = 2
    tables_max: ClassVar[int] = 1

    def __init__(self, engine: Engine, limits: ResourceLimits, deadline: Deadline) -> None:
        super().__init__(engine, limits, deadline)
        self._find = binding().find_export
        self._runtime: Any = None

    def start(self, runtime: Module, ask: HostFunction, limit: HostFunction) -> None:
        """Make the instance of the runtime.

        Args:
            runtime: Its module, which imports `ask` and `limit` in that order.
            ask: Answers its questions.
            limit: Ends the run.
        """
        self._runtime = self._instance_of(runtime, [self._extern(ask), self._extern(limit)])
        self.memory.find_in(self._found(self._runtime, "memory"))

    def add_plan(
        self, plan: Module, imports: Sequence[tuple[str, str]], capabilities: Mapping[str, HostFunction]
    ) -> None:
        """Make the instance of the plan.

        Args:
            plan: Its module.
            imports: Module and name of what it imports, in its order.
            capabilities: What it may import as capabilities, by id.

        Raises:
            DeniedError: `denied.wasm-import`: it imports something else.
        """
        externs = [self._import(*each, capabilities) for each in imports]
        self._instance = self._instance_of(plan, externs)

    def _import(self, module: str, name: str, capabilities: Mapping[str, HostFunction]) -> Any:
        found = None
        if module == RUNTIME:
            found = self._found(self._runtime, name)
        elif module == CAPABILITY and name in capabilities:
            found = self._extern(capabilities[name])
        if found is None:
            named = f"{quoted(module, 60)}.{quoted(name, 60)}"
            raise DeniedError(
                f"the plan imports {named}, which was not granted; nothing of it was run",
                code="denied.wasm-import",
                hint="compile the plan again with this version: cloister compile",
            )
        return found

    def _found(self, instance: Any, name: str) -> Any:
        found, text = self._ffi.wasmtime_extern_t(), name.encode("utf-8")
        there = self._find(self._context, ctypes.byref(instance), text, len(text), ctypes.byref(found))
        return found if there else None

    def run(self) -> int:
        """Run the plan; returns how long its value is, which is in the buffer."""
        return int(self._call(self._instance, ENTRY))

    def of_runtime(self, name: str, *arguments: int) -> int:
        """Call a function of the runtime that gives an i32."""
        return int(self._call(self._runtime, name, *arguments))

    def _call(self, instance: Any, name: str, *arguments: int) -> Any:
        function = self._found(instance, name)
        slots = (self._ffi.wasmtime_val_raw_t * max(1, len(arguments)))()
        for slot, value in zip(slots, arguments, strict=False):
            slot.i32 = value
        trap = ctypes.POINTER(self._ffi.wasm_trap_t)()
        error = self._ffi.wasmtime_func_call_unchecked(
            self._context, ctypes.byref(function.of.func), slots, len(slots), ctypes.byref(trap)
        )
        self._raise_failure(error, trap)
        return slots[0].i32

    def open_calls(self) -> tuple[OpenCall, ...]:
        """Return the calls that are open now, the innermost first; asked while the host answers."""
        function = self._found(self._runtime, TRAP)
        slots = (self._ffi.wasmtime_val_raw_t * 1)()
        trap = ctypes.POINTER(self._ffi.wasm_trap_t)()
        error = self._ffi.wasmtime_func_call_unchecked(
            self._context, ctypes.byref(function.of.func), slots, 1, ctypes.byref(trap)
        )
        if error:
            self._raise_failure(error, trap)
        return calls_of(binding().api.Trap._from_ptr(trap))  # noqa: SLF001 - it takes ownership


def calls_of(trap: Any) -> tuple[OpenCall, ...]:
    """Return the calls that were open when a guest ended."""
    return tuple(OpenCall(each.module_name or "", each.func_index, each.func_offset) for each in trap.frames)
