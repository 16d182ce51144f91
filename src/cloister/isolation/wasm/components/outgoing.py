"""What the host passes to a guest, as wasmtime wants it.

Owns that way, led by a type. Every value is checked first: over some that cannot be (a character that is none, a text
that is no UTF-8) wasmtime ends the process.
"""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Callable, Sequence
from typing import Any, Final

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
    U8,
    VALUE_AT,
    VARIANT,
    Case,
    Handle,
)


class Outgoing:
    """Writes what the host passes.

    Args:
        context: Of the store of the guest.
    """

    def __init__(self, context: Any) -> None:
        self._context = context

    def put(self, kind: Kind, value: Any, slot: Any) -> None:
        """Put a value where wasmtime looks for it, which owns it then.

        Args:
            kind: Its type.
            value: In Python's form.
            slot: wasmtime's place for it.

        Raises:
            TypeError, ValueError, OverflowError, struct.error: It is not of that type. Nothing of it is kept.
        """
        if kind.name in NUMBERS:
            self._number(kind.name, value, slot)
            return
        writer = self._writers.get(kind.name)
        if writer is None:
            raise TypeError(f"a value of the type {kind} cannot be written")
        writer(self, kind, value, slot)

    @staticmethod
    def _number(name: str, value: Any, slot: Any) -> None:
        number, form = NUMBERS[name]
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise TypeError(f"{type(value).__name__} is no {name}")
        struct.pack(form, value)  # refuses what does not fit; ctypes would take the low bits
        setattr(slot.of, name, value)
        slot.kind = number

    def _bool(self, _: Kind, value: Any, slot: Any) -> None:
        if not isinstance(value, bool):
            raise TypeError(f"{type(value).__name__} is no bool")
        slot.of.boolean = value
        slot.kind = 0

    def _char(self, _: Kind, value: Any, slot: Any) -> None:
        if not isinstance(value, str) or len(value) != 1:
            raise TypeError("a char is a text of one character")
        value.encode("utf-8")  # refuses half of a pair
        slot.of.character = ord(value)
        slot.kind = CHAR

    def _string(self, _: Kind, value: Any, slot: Any) -> None:
        _put_text(value, slot.of.string)
        slot.kind = STRING

    def _enum(self, kind: Kind, value: Any, slot: Any) -> None:
        if value not in kind.named:
            raise ValueError(f"{kind} has no such case")
        _put_text(value, slot.of.enumeration)
        slot.kind = ENUM

    def _flags(self, kind: Kind, value: Any, slot: Any) -> None:
        names = tuple(value)
        if not set(names) <= kind.named.keys():
            raise ValueError(f"{kind} has no such flag")
        flags = binding().ffi.wasmtime_component_valflags_t()
        binding().ffi.wasmtime_component_valflags_new_uninit(ctypes.byref(flags), len(names))
        for place, name in enumerate(names):
            _put_text(name, flags.data[place])
        slot.of.flags = flags
        slot.kind = FLAGS

    def _list(self, kind: Kind, value: Any, slot: Any) -> None:
        ffi = binding().ffi
        if kind.payload.name == "u8":
            self._bytes(bytes(value), slot)
            return
        items = self._several([(kind.payload, each) for each in value])
        ffi.wasmtime_component_vallist_new(ctypes.byref(slot.of.list), len(items), items)
        slot.kind = LIST

    @staticmethod
    def _bytes(data: bytes, slot: Any) -> None:
        ffi, count = binding().ffi, len(data)
        width = ctypes.sizeof(ffi.wasmtime_component_val_t)
        packed = bytearray(count * width)
        packed[::width] = bytes([U8]) * count
        packed[VALUE_AT::width] = data
        items = (ffi.wasmtime_component_val_t * count).from_buffer(packed)
        ffi.wasmtime_component_vallist_new(ctypes.byref(slot.of.list), count, items)
        slot.kind = LIST

    def _tuple(self, kind: Kind, value: Any, slot: Any) -> None:
        parts = zip((part for _, part in kind.parts), value, strict=True)
        items = self._several([(_some(part), each) for part, each in parts])
        binding().ffi.wasmtime_component_valtuple_new(ctypes.byref(slot.of.tuple), len(items), items)
        slot.kind = TUPLE

    def _record(self, kind: Kind, value: Any, slot: Any) -> None:
        ffi = binding().ffi
        if not isinstance(value, dict) or value.keys() != kind.named.keys():
            raise ValueError(f"the fields are not those of {kind}")
        fields = self._several([(_some(part), value[name]) for name, part in kind.parts])
        entries = (ffi.wasmtime_component_valrecord_entry_t * len(fields))()
        for entry, field, (name, _) in zip(entries, fields, kind.parts, strict=True):
            _put_text(name, entry.name)
            entry.val = field
        ffi.wasmtime_component_valrecord_new(ctypes.byref(slot.of.record), len(entries), entries)
        slot.kind = RECORD

    def _option(self, kind: Kind, value: Any, slot: Any) -> None:
        slot.of.option = None if value is None else self._boxed(kind.payload, value)
        slot.kind = OPTION

    def _result(self, kind: Kind, value: Any, slot: Any) -> None:
        payload = self._payload(kind, value)
        slot.of.result.is_ok = value.name == "ok"
        slot.of.result.val = payload
        slot.kind = RESULT

    def _variant(self, kind: Kind, value: Any, slot: Any) -> None:
        payload = self._payload(kind, value)
        _put_text(value.name, slot.of.variant.discriminant)
        slot.of.variant.val = payload
        slot.kind = VARIANT

    def _payload(self, kind: Kind, value: Any) -> Any:
        if not isinstance(value, Case) or value.name not in kind.named:
            raise ValueError(f"it is no case of {kind}")
        part = kind.named[value.name]
        if part is None and value.value is not None:
            raise ValueError(f"the case {value.name} carries nothing")
        return None if part is None else self._boxed(part, value.value)

    def _boxed(self, kind: Kind, value: Any) -> Any:
        space = binding().ffi.wasmtime_component_val_t()
        self.put(kind, value, space)
        return binding().ffi.wasmtime_component_val_new(ctypes.byref(space))

    def _several(self, parts: Sequence[tuple[Kind, Any]]) -> Any:
        items = (binding().ffi.wasmtime_component_val_t * len(parts))()
        done = 0
        try:
            for slot, (kind, value) in zip(items, parts, strict=True):
                self.put(kind, value, slot)
                done += 1
        except BaseException:
            for place in range(done):
                binding().ffi.wasmtime_component_val_delete(ctypes.byref(items[place]))
            raise
        return items

    def _own(self, _: Kind, value: Any, slot: Any) -> None:
        ffi = binding().ffi
        if not isinstance(value, Handle):
            raise TypeError(f"{type(value).__name__} is no handle")
        host = ffi.wasmtime_component_resource_host_new(True, value.number, value.resource)
        try:
            found = ctypes.POINTER(ffi.wasmtime_component_resource_any_t)()
            error = ffi.wasmtime_component_resource_host_to_any(self._context, host, ctypes.byref(found))
        finally:
            ffi.wasmtime_component_resource_host_delete(host)
        if error:
            raise TypeError(str(binding().api.WasmtimeError._from_ptr(error)))  # noqa: SLF001 - it takes ownership
        slot.of.resource = found
        slot.kind = RESOURCE

    _writers: Final[dict[str, Callable[[Any, Kind, Any, Any], None]]] = {
        "bool": _bool,
        "char": _char,
        "string": _string,
        "enum": _enum,
        "flags": _flags,
        "list": _list,
        "tuple": _tuple,
        "record": _record,
        "option": _option,
        "result": _result,
        "variant": _variant,
        "own": _own,
    }


def _some(part: Kind | None) -> Kind:
    if part is None:
        raise TypeError("a field has no type")
    return part


def _put_text(text: Any, name: Any) -> None:
    """Put a text in wasmtime's form, which owns it then.

    Raises:
        TypeError: It is none.
        UnicodeEncodeError: It has half of a pair, which no UTF-8 has.
    """
    if not isinstance(text, str):
        raise TypeError(f"{type(text).__name__} is no text")
    data = text.encode("utf-8")
    bits = (ctypes.c_ubyte * len(data)).from_buffer_copy(data)
    binding().ffi.wasm_byte_vec_new(ctypes.byref(name), len(data), bits)
