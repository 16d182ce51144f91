"""Bytes that came out of the memory of a program, read as values; see `crossing`.

Everything here is hostile: lengths, kinds, names and counts are checked before anything is built of them.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final, NamedTuple, Protocol

from cloister.errors import WireError
from cloister.lang.lexer import is_keyword_name
from cloister.lang.stdlib.budget import elements_error
from cloister.lang.stdlib.builtin import is_key
from cloister.lang.values import Keyword, List, Symbol, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.guest_values import Caller, GuestFunction
from cloister.lang.wide_map import map_of

_U32: Final = struct.Struct("<I")
_I32: Final = struct.Struct("<i")
_I64: Final = struct.Struct("<q")
_U64: Final = struct.Struct("<Q")
_F64: Final = struct.Struct("<d")
_WIDTH_AND_COUNT: Final = struct.Struct("<BI")
_NUMBER_AND_WORD: Final = struct.Struct("<IQ")

_ENCODINGS: Final = {1: "latin-1", 2: "utf-16-le", 4: "utf-32-le"}


REMEMBERED_CHARS_MAX: Final = 64
"""Longest name of a keyword that is remembered when the run is over."""

_BEGUN: Final = object()
"""What the beginning of a collection is read as, while its parts are missing."""


class Owner(Protocol):
    """What a reader asks of the crossing it reads for."""

    caller: Caller
    elements_max: int

    def function_of(self, number: int) -> Value:
        """Return the function of the host that a number stands for."""

    def error_of(self, number: int, parts: list[Value]) -> Value:
        """Return the error with a number, a message, a kind and data."""


class _Begun(NamedTuple):
    """A collection or an error of which parts are missing; its number is the reader's, or of an error the host's."""

    code: int
    count_all: int
    parts: list[Value]
    number: int


def misshapen(problem: str) -> WireError:
    """Return the error for bytes that are no value."""
    return WireError(f"a program's memory holds no value: {problem}", code="provider.wire-shape")


class Reader:
    """Reads one value.

    Args:
        owner: For whom.
        data: The bytes.
    """

    def __init__(self, owner: Owner, data: bytes) -> None:
        self._owner = owner
        self._data = data
        self._at = 0
        self._elements = 0
        self._begun: list[_Begun] = []
        self._numbered: list[Value] = []

    def read(self) -> Value:
        """Return the value that all the bytes are.

        Raises:
            WireError: `provider.wire-shape` when they are none.
            LimitExceeded: `limit.value-elements` when it has too many parts.
        """
        try:
            value = self._read()
        except (struct.error, IndexError, KeyError, UnicodeDecodeError):
            raise misshapen("it is cut short, or has no such kind or text") from None
        if self._at != len(self._data):
            raise misshapen("there is more behind it")
        return value

    def _read(self) -> Value:
        begun, data, readers = self._begun, self._data, self._readers
        while True:
            self._at += 1
            value = readers[data[self._at - 1]](self)
            while value is not _BEGUN:
                if not begun:
                    return value
                top = begun[-1]
                top.parts.append(value)
                if len(top.parts) < top.count_all:
                    break
                value = self._ended(begun.pop())

    def _take(self, form: struct.Struct) -> tuple[Value, ...]:
        values = form.unpack_from(self._data, self._at)
        self._at += form.size
        return values

    def _count(self) -> int:
        return int(self._take(_U32)[0])

    def _text(self, make: Callable[[str], Value] | None = None) -> Value:
        width, count = self._take(_WIDTH_AND_COUNT)
        end = self._at + width * count
        if end > len(self._data):
            raise misshapen("a text is cut short")
        text = self._data[self._at : end].decode(_ENCODINGS[width], "surrogatepass" if width == 4 else "strict")
        self._at = end
        if len(text) != count:
            raise misshapen("a text has another length than it says")
        value = text if make is None else make(text)
        if width * count >= layout.CROSS_TEXT_BYTES:
            self._numbered.append(value)
        return value

    def _begin(self, code: int, count: int, number: int | None = None) -> Value:
        self._elements += count or 1
        if self._elements > self._owner.elements_max:
            raise elements_error(self._owner.elements_max, "a value that left the memory of the program")
        if count > len(self._data) - self._at:  # each part is a byte at least
            raise misshapen("a collection is cut short")
        if not count:
            return _whole(code, [])
        if number is None:
            number = len(self._numbered)
            self._numbered.append(_BEGUN)
        self._begun.append(_Begun(code, count, [], number))
        return _BEGUN

    def _ended(self, begun: _Begun) -> Value:
        if begun.code == layout.CROSS_ERROR:
            return self._owner.error_of(begun.number, begun.parts)
        value = self._numbered[begun.number] = _whole(begun.code, begun.parts)
        return value

    def _shared(self) -> Value:
        number = self._count()
        if number >= len(self._numbered):
            raise misshapen("it refers back to what was not there")
        value = self._numbered[number]
        if value is _BEGUN:
            raise misshapen("a collection is a part of itself")
        return value

    def _vector(self) -> Value:
        return self._begin(layout.CROSS_VECTOR, self._count())

    def _list(self) -> Value:
        return self._begin(layout.CROSS_LIST, self._count())

    def _map(self) -> Value:
        return self._begin(layout.CROSS_MAP, 2 * self._count())

    def _error(self) -> Value:
        return self._begin(layout.CROSS_ERROR, 3, self._take(_NUMBER_AND_WORD)[0])

    def _integer(self) -> Value:
        return self._take(_I64)[0]

    def _float(self) -> Value:
        return self._take(_F64)[0]

    def _keyword(self) -> Value:
        return self._text(_keyword)

    def _symbol(self) -> Value:
        return self._text(Symbol)

    def _closure(self) -> Value:
        return GuestFunction(self._take(_U64)[0], self._owner.caller)

    def _builtin(self) -> Value:
        return self._owner.function_of(self._take(_I32)[0])

    _readers: Final[dict[int, Callable[[Reader], Value]]] = {
        layout.CROSS_NIL: lambda _: None, layout.CROSS_FALSE: lambda _: False, layout.CROSS_TRUE: lambda _: True,
        layout.CROSS_INTEGER: _integer, layout.CROSS_FLOAT: _float, layout.CROSS_STRING: _text,
        layout.CROSS_KEYWORD: _keyword, layout.CROSS_SYMBOL: _symbol, layout.CROSS_VECTOR: _vector,
        layout.CROSS_LIST: _list, layout.CROSS_MAP: _map, layout.CROSS_CLOSURE: _closure,
        layout.CROSS_BUILTIN: _builtin, layout.CROSS_ERROR: _error, layout.CROSS_SHARED: _shared,
    }  # fmt: skip


def _whole(code: int, parts: list[Value]) -> Value:
    if code == layout.CROSS_VECTOR:
        return tuple(parts)
    if code == layout.CROSS_LIST:
        return List(parts)
    if not all(map(is_key, parts[::2])):
        raise misshapen("a map has a key that can be none")
    return map_of(parts[::2], parts[1::2])


def _keyword(name: str) -> Keyword:
    return _remembered(name) if len(name) <= REMEMBERED_CHARS_MAX else _checked(name)


@lru_cache(maxsize=4_096)
def _remembered(name: str) -> Keyword:
    return _checked(name)


def _checked(name: str) -> Keyword:
    if not is_keyword_name(name):
        raise misshapen("a keyword has a name that no keyword has")
    return Keyword(name)
