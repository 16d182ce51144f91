"""Values as bytes, on their way into the memory of a program; see `crossing`."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from cloister.lang.values import ErrorValue, Growing, Keyword, List, Map, Symbol, Value, settled
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.guest_values import ErrorTable, GuestFunction
from cloister.lang.wasm_engine.text_units import text_units

_COUNTED: Final = struct.Struct("<BI")
_SIGNED: Final = struct.Struct("<Bi")
_WORD: Final = struct.Struct("<BQ")
_ERROR: Final = struct.Struct("<BIQ")
_INTEGER: Final = struct.Struct("<Bq")
_FLOAT: Final = struct.Struct("<Bd")
_TEXT: Final = struct.Struct("<BBI")

_NO_PARTS: Final[Sequence[Value]] = ()


class Owner(Protocol):
    """What a writer asks of the crossing it writes for."""

    errors: ErrorTable

    def number_of(self, function: Value) -> int:
        """Return the number of a function of the host."""


class Writer:
    """Writes one value.

    Args:
        owner: For whom.
    """

    __slots__ = ("_numbered", "_numbers", "_out", "_owner")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._out = bytearray()
        self._numbered: list[Value] = []  # keeps them alive too, so that no other gets their identity
        self._numbers: dict[int, int] = {}

    def write(self, value: Value) -> bytes:
        """Return a value as bytes.

        Raises:
            InternalError: It is none, or a part of it is.

        Cost:
            Linear in its parts, each counted once however often it is there.
        """
        pending = [value]
        writers = self._WRITERS
        while pending:
            part = pending.pop()
            write = writers.get(type(part))
            if write is not None:
                write(self, part)
            else:
                pending += reversed(self._begin(part))
        return bytes(self._out)

    def _begin(self, value: Value) -> Sequence[Value]:
        """Write what stands before the parts of a value, and return its parts."""
        if isinstance(value, Growing):
            value = settled(value)
        if isinstance(value, (tuple, Map)):
            return _NO_PARTS if value and self._was_written(value) else self._begin_collection(value)
        if isinstance(value, ErrorValue):
            self._out += _ERROR.pack(layout.CROSS_ERROR, self._owner.errors.number_of(value.error), 0)
            return [value.error.message, value.error.kind, value.data]
        if isinstance(value, GuestFunction):
            self._out += _WORD.pack(layout.CROSS_CLOSURE, value.word)
        else:
            self._out += _SIGNED.pack(layout.CROSS_BUILTIN, self._owner.number_of(value))
        return _NO_PARTS

    def _begin_collection(self, value: tuple[Value, ...] | Map) -> Sequence[Value]:
        if isinstance(value, tuple):
            code = layout.CROSS_LIST if isinstance(value, List) else layout.CROSS_VECTOR
            self._out += _COUNTED.pack(code, len(value))
            return value
        self._out += _COUNTED.pack(layout.CROSS_MAP, len(value))
        return [part for entry in value.items() for part in entry]

    def _was_written(self, value: Value) -> bool:
        """Refer back to what was written before, or give it a number; say which of the two."""
        numbered, out = self._numbered, self._out
        number = self._numbers.setdefault(id(value), len(numbered))
        if number < len(numbered) and len(out) > layout.CROSS_PLAIN_BYTES:
            out += _COUNTED.pack(layout.CROSS_SHARED, number)
            return True
        numbered.append(value)
        return False

    def _text(self, code: int, text: str, value: Value) -> None:
        width, data = text_units(text)
        if len(data) >= layout.CROSS_TEXT_BYTES and self._was_written(value):
            return
        self._out += _TEXT.pack(code, width, len(text))
        self._out += data

    def _string(self, value: str) -> None:
        self._text(layout.CROSS_STRING, value, value)

    def _keyword(self, value: Keyword) -> None:
        self._text(layout.CROSS_KEYWORD, value.name, value)

    def _symbol(self, value: Symbol) -> None:
        self._text(layout.CROSS_SYMBOL, value.name, value)

    def _integer(self, value: int) -> None:
        self._out += _INTEGER.pack(layout.CROSS_INTEGER, value)

    def _float(self, value: float) -> None:
        self._out += _FLOAT.pack(layout.CROSS_FLOAT, value)

    def _boolean(self, value: bool) -> None:
        self._out.append(layout.CROSS_TRUE if value else layout.CROSS_FALSE)

    def _nil(self, value: None) -> None:  # noqa: ARG002 - called as its siblings are
        self._out.append(layout.CROSS_NIL)

    _WRITERS: Final[dict[type, Callable[[Writer, Value], None]]] = {
        type(None): _nil, bool: _boolean, int: _integer, float: _float, str: _string, Keyword: _keyword,
        Symbol: _symbol,
    }  # fmt: skip
    """What writes a value without parts, by its class."""
