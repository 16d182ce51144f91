"""Constants of a program as objects in its static data.

Owns the addresses of constants. Equal texts and keywords share an object; what is static is never changed but for
hashes that are not known yet, and has no room to grow. See `layout`.
"""

from __future__ import annotations

import struct
from typing import Final

from cloister.errors import InternalError
from cloister.lang.values import Keyword, List, Map, Symbol, Value, settled
from cloister.lang.wasm_engine.layout import (
    BIGINT,
    BUILTIN,
    BUILTIN_IDS,
    CLOSURE,
    FALSE,
    FLOAT,
    HOST_FUNCTION,
    KEYWORD,
    LIST,
    MAP,
    NIL,
    NODE,
    NODE_MAX,
    SMALL_MAP_MAX,
    STRING,
    SYMBOL,
    TRUE,
    VECTOR,
)
from cloister.lang.wasm_engine.text_units import text_units

SMALL_MAX: Final = 2**62 - 1
SMALL_MIN: Final = -(2**62)


def is_large(value: Value) -> bool:
    """Say whether a constant has no static form, because it is a collection of many elements or holds one."""
    pending = [value]
    while pending:
        part = settled(pending.pop())
        if isinstance(part, tuple):
            if len(part) > NODE_MAX:
                return True
            pending.extend(part)
        elif isinstance(part, Map):
            if len(part) > SMALL_MAP_MAX:
                return True
            pending.extend(part.values())
    return False


class Constants:
    """The static objects of one program.

    Args:
        start: Address of the first.
    """

    def __init__(self, start: int) -> None:
        self._start = start
        self._data = bytearray()
        self._known: dict[tuple[object, ...], int] = {}

    @property
    def data(self) -> bytes:
        """All objects, from the start."""
        return bytes(self._data)

    def word(self, value: Value) -> int:
        """Return the word of a constant that is not large."""
        value = settled(value)
        if value is None or value is True or value is False:
            return {None: NIL, True: TRUE, False: FALSE}[value]
        if type(value) is int and SMALL_MIN <= value <= SMALL_MAX:
            return value << 1 | 1
        if isinstance(value, tuple):
            return self._sequence(value)
        if isinstance(value, Map):
            return self._map(value)
        return self._atom(value)

    def builtin(self, name: str | None) -> int:
        """Return the word of a builtin as a value; of the function `call` without a name."""
        number = HOST_FUNCTION if name is None else BUILTIN_IDS[name]
        return self._shared((BUILTIN, number), BUILTIN, 0, struct.pack("<ii", number, 0))

    def closure(self, code: int, parameters: int) -> int:
        """Return the word of a function that captures nothing."""
        return self._shared((CLOSURE, code), CLOSURE, 0, struct.pack("<ii", code, parameters))

    def _atom(self, value: Value) -> int:
        if type(value) is int:
            return self._shared((BIGINT, value), BIGINT, 0, struct.pack("<q", value))
        if type(value) is float:
            data = struct.pack("<d", value)
            return self._shared((FLOAT, data), FLOAT, 0, data)
        if type(value) is str:
            return self.text(value)
        if isinstance(value, (Keyword, Symbol)):
            kind = KEYWORD if isinstance(value, Keyword) else SYMBOL
            name = self.text(value.name)
            return self._shared((kind, value.name), kind, 0, struct.pack("<ii", name, 0))
        raise InternalError(f"a constant of class {type(value).__name__} cannot be compiled")

    def text(self, value: str) -> int:
        """Return the word of a text."""
        width, data = text_units(value)
        return self._shared((STRING, value), STRING, len(value), struct.pack("<ii", 0, width) + data)

    def _sequence(self, items: tuple[Value, ...]) -> int:
        kind = LIST if isinstance(items, List) else VECTOR
        words = [self.word(item) for item in items]
        tail = self._add(NODE, len(words), struct.pack(f"<ii{len(words)}q", len(words), 0, *words)) if words else 0
        return self._add(kind, len(words), struct.pack("<iiiii", 0, 0, 0, tail, 0) + bytes(4))

    def _map(self, entries: Map) -> int:
        words = [self.word(part) for entry in entries.items() for part in entry]
        return self._add(MAP, len(entries), bytes(8) + struct.pack(f"<{len(words)}q", *words))

    def _shared(self, key: tuple[object, ...], kind: int, number: int, content: bytes) -> int:
        known = self._known.get(key)
        if known is None:
            known = self._known[key] = self._add(kind, number, content)
        return known

    def _add(self, kind: int, number: int, content: bytes) -> int:
        self._data += bytes(-len(self._data) % 16)
        address = self._start + len(self._data)
        self._data += struct.pack("<ii", kind, number) + content
        return address
