"""The runtime support in a machine of its own, with the builtins of the language behind it.

Whatever the runtime does not do itself comes to `Guest.ask`, which does what a provider does: it calls the builtin of
that number with the values that crossed. `asked` lists them, so that a test sees whether a native did its work itself.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import wasmtime

from cloister.errors import CloisterError, GuestError
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import ErrorValue, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.crossing import Crossing
from cloister.lang.wasm_engine.runtime.native import Native
from cloister.lang.wasm_engine.runtime_module import runtime_module

HEAP = layout.STATIC_START + layout.PAGE
ELEMENTS_MAX = 1_000_000


class LimitReached(Exception):
    """The runtime ended the run."""


@cache
def _compiled() -> tuple[wasmtime.Engine, wasmtime.Module]:
    config = wasmtime.Config()
    config.wasm_exceptions = True
    engine = wasmtime.Engine(config)
    return engine, wasmtime.Module(engine, runtime_module())


def _no_caller(word: int, arguments: tuple[Value, ...]) -> Value:
    raise AssertionError(f"nobody calls {word} with {arguments} here")


class Guest:
    """One instance of the runtime.

    Args:
        value_bytes: Largest text.
        memory_bytes: Most memory it may have.

    Attributes:
        asked: Names of the builtins it asked for.
    """

    def __init__(self, *, value_bytes: int = 16 * 2**20, memory_bytes: int = 2**30) -> None:
        engine, module = _compiled()
        self.store = wasmtime.Store(engine)
        self.store.set_limits(memory_size=memory_bytes)
        self.asked: list[str] = []
        self.crossing = Crossing(caller=_no_caller, host_function=object(), elements_max=ELEMENTS_MAX)
        i32 = wasmtime.ValType.i32()
        ask = wasmtime.Func(self.store, wasmtime.FuncType([i32, i32, i32], [i32]), self.ask)
        limit = wasmtime.Func(self.store, wasmtime.FuncType([i32], []), self.limit)
        imports = {"ask": ask, "limit": limit}
        self.instance = wasmtime.Instance(self.store, module, [imports[str(each.name)] for each in module.imports])
        self.exports = self.instance.exports(self.store)
        self.memory: Any = self.exports["memory"]
        self._prepare(value_bytes)

    def _prepare(self, value_bytes: int) -> None:
        self.memory.grow(self.store, 16)
        self.set_i32(layout.SP, layout.STACK_START)
        self.set_i32(layout.SP_MAX, layout.STATIC_START)
        self.set_i32(layout.VALUE_BYTES, value_bytes)
        self.set_i32(layout.ROOTS, layout.STATIC_START)
        self.set_i32(layout.ROOTS_END, layout.STATIC_START)
        self.set_i32(layout.HEAP, HEAP)
        self.memory.write(self.store, (0x0123456789ABCDEF).to_bytes(8, "little"), layout.SEED)

    def set_i32(self, cell: int, value: int) -> None:
        """Set a cell."""
        self.memory.write(self.store, value.to_bytes(4, "little"), cell)

    def get_i32(self, cell: int) -> int:
        """Read a cell."""
        return int.from_bytes(self.memory.read(self.store, cell, cell + 4), "little")

    def call(self, function: str, *arguments: Any) -> Any:
        """Call an exported function; words are integers without a sign."""
        return self.exports[function](self.store, *map(_signed, arguments))

    def word(self, value: Value) -> int:
        """Put a value into the memory and return its word."""
        data = self.crossing.encode(value)
        self._answer(data)
        return self.call("cross_in") % 2**64

    def value(self, word: int) -> Value:
        """Return the value of a word."""
        return self.crossing.decode(self._crossed(self.call("cross_out", word)))

    def native(self, native: Native, *arguments: Value) -> Value:
        """Call a native as compiled code does and return its value."""
        given = [
            argument if code in "if" else self.word(argument)
            for code, argument in zip(native.parameters, arguments, strict=True)
        ]
        result = self.call(native.function, *given)
        if native.result == "w":
            return self.value(result % 2**64)
        return bool(result) if native.result == "c" else result

    def ask(self, operation: int, address: int, length: int) -> int:
        """Answer the runtime."""
        data = self.memory.read(self.store, address, address + length)
        arguments = self.crossing.decode(bytes(data))
        try:
            if operation < 0:
                raise AssertionError(f"operation {operation} with {arguments}")
            name = layout.BUILTIN_NAMES[operation]
            self.asked.append(name)
            answer = BUILTINS[name](*arguments)
        except GuestError as error:
            if not self.get_i32(layout.CATCHERS):
                raise
            self._answer(self.crossing.encode(ErrorValue(error)))
            return -1
        data = self.crossing.encode(answer)
        self._answer(data)
        return len(data)

    def limit(self, which: int) -> None:
        """End the run."""
        raise LimitReached(which)

    def _answer(self, data: bytes) -> None:
        self.memory.write(self.store, data, self.call("buffer", len(data)))

    def _crossed(self, length: int) -> bytes:
        start = self.get_i32(layout.BUFFER)
        return bytes(self.memory.read(self.store, start, start + length))


def _signed(argument: Any) -> Any:
    return argument - 2**64 if isinstance(argument, int) and argument >= 2**63 else argument


def outcome(function: Any, *arguments: Value) -> tuple[str, Any]:
    """Return what a call gives or raises, in a form that can be compared."""
    try:
        return "value", function(*arguments)
    except CloisterError as error:
        return "error", (type(error).__name__, error.code, error.kind, error.message, error.hint)
