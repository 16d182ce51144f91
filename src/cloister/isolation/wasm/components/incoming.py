"""What a guest passes, as Python has it.

Owns that way, led by a type: wasmtime checked what the guest passes against the type, and copied it within the bound
that it has for one call. How many elements become objects of Python is bounded here.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterable
from typing import Any, Final

from cloister.errors import LimitExceeded
from cloister.isolation.wasm.binding import binding
from cloister.isolation.wasm.components.kinds import Kind
from cloister.isolation.wasm.components.values import (
    CHAR,
    ENUM,
    FLAGS,
    LIST,
    NUMBERS,
    OPTION,
    RECORD,
    RESOURCE,
    RESULT,
    STRING,
    TUPLE,
    VALUE_AT,
    VARIANT,
    Case,
    Handle,
)


class Incoming:
    """Reads what a guest passes.

    Args:
        context: Of its store.
        elements_max: How many elements the values of one call may have, parts of all kinds included, but for bytes.
    """

    def __init__(self, context: Any, elements_max: int) -> None:
        self._context = context
        self._elements_left = self._elements_max = elements_max

    def several(self, kinds: Iterable[Kind], values: Any) -> list[Any]:
        """Return the values of one call.

        Args:
            kinds: Their types.
            values: wasmtime's form of them, in the same order.

        Raises:
            LimitExceeded: `limit.value-elements`.
            TypeError: One is not of its type, which wasmtime has seen to.
        """
        self._elements_left = self._elements_max
        return [self._value(kind, values[place]) for place, kind in enumerate(kinds)]

    def _value(self, kind: Kind, value: Any) -> Any:
        name, of = kind.name, value.of
        if name in NUMBERS:
            self._require(value, NUMBERS[name][0])
            return getattr(of, name)
        reader = self._readers.get(name)
        if reader is None:
            raise TypeError(f"a value of the type {kind} cannot be read")
        return reader(self, kind, value, of)

    @staticmethod
    def _require(value: Any, expected: int) -> None:
        if value.kind != expected:
            raise TypeError(f"wasmtime passed a value of kind {value.kind} for one of kind {expected}")

    def _count(self, count: int) -> None:
        self._elements_left -= count
        if self._elements_left < 0:
            raise LimitExceeded(
                f"the program passed a value with more than {self._elements_max} elements",
                limit="value_elements_count",
                allowed=self._elements_max,
                unit="count",
                hint="pass less at once, or raise the limit value_elements_count",
            )

    def _bool(self, _: Kind, value: Any, of: Any) -> bool:
        self._require(value, 0)
        return bool(of.boolean)

    def _char(self, _: Kind, value: Any, of: Any) -> str:
        self._require(value, CHAR)
        return chr(of.character)

    def _string(self, _: Kind, value: Any, of: Any) -> str:
        self._require(value, STRING)
        return _text(of.string)

    def _enum(self, _: Kind, value: Any, of: Any) -> str:
        self._require(value, ENUM)
        return _text(of.enumeration)

    def _list(self, kind: Kind, value: Any, of: Any) -> bytes | list[Any]:
        self._require(value, LIST)
        content, size = of.list, int(of.list.size)
        if kind.payload.name == "u8":
            width = ctypes.sizeof(binding().ffi.wasmtime_component_val_t)
            return ctypes.string_at(content.data, size * width)[VALUE_AT::width] if size else b""
        self._count(size)
        return [self._value(kind.payload, content.data[place]) for place in range(size)]

    def _tuple(self, kind: Kind, value: Any, of: Any) -> tuple[Any, ...]:
        self._require(value, TUPLE)
        self._count(len(kind.parts))
        return tuple(self._part(part, of.tuple.data[place]) for place, (_, part) in enumerate(kind.parts))

    def _record(self, kind: Kind, value: Any, of: Any) -> dict[str, Any]:
        self._require(value, RECORD)
        self._count(len(kind.parts))
        return {name: self._part(part, of.record.data[place].val) for place, (name, part) in enumerate(kind.parts)}

    def _flags(self, _: Kind, value: Any, of: Any) -> tuple[str, ...]:
        self._require(value, FLAGS)
        self._count(of.flags.size)
        return tuple(_text(of.flags.data[place]) for place in range(of.flags.size))

    def _option(self, kind: Kind, value: Any, of: Any) -> Any:
        self._require(value, OPTION)
        return self._value(kind.payload, of.option.contents) if of.option else None

    def _result(self, kind: Kind, value: Any, of: Any) -> Case:
        self._require(value, RESULT)
        name = "ok" if of.result.is_ok else "err"
        return self._case(kind, name, of.result.val)

    def _variant(self, kind: Kind, value: Any, of: Any) -> Case:
        self._require(value, VARIANT)
        return self._case(kind, _text(of.variant.discriminant), of.variant.val)

    def _case(self, kind: Kind, name: str, payload: Any) -> Case:
        part = kind.named[name]
        if part is None:
            return Case(name)
        self._count(1)
        return Case(name, self._value(part, payload.contents))

    def _part(self, part: Kind | None, value: Any) -> Any:
        if part is None:
            raise TypeError("a field has no type")
        return self._value(part, value)

    def _handle(self, _: Kind, value: Any, of: Any) -> Handle:
        """Take a handle out of wasmtime's form, which it must not stay in when the call ends."""
        self._require(value, RESOURCE)
        ffi = binding().ffi
        host = ctypes.POINTER(ffi.wasmtime_component_resource_host_t)()
        error = ffi.wasmtime_component_resource_any_to_host(self._context, of.resource, ctypes.byref(host))
        if error:
            raise TypeError(str(binding().api.WasmtimeError._from_ptr(error)))  # noqa: SLF001 - it takes ownership
        try:
            kind = ffi.wasmtime_component_resource_host_type(host)
            return Handle(int(kind), int(ffi.wasmtime_component_resource_host_rep(host)))
        finally:
            ffi.wasmtime_component_resource_host_delete(host)

    _readers: Final[dict[str, Callable[[Any, Kind, Any, Any], Any]]] = {
        "bool": _bool,
        "char": _char,
        "string": _string,
        "enum": _enum,
        "list": _list,
        "tuple": _tuple,
        "record": _record,
        "flags": _flags,
        "option": _option,
        "result": _result,
        "variant": _variant,
        "own": _handle,
        "borrow": _handle,
    }


def _text(name: Any) -> str:
    return ctypes.string_at(name.data, name.size).decode("utf-8") if name.size else ""
