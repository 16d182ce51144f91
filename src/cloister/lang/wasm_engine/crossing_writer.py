"""Atoms as bytes, on their way into the memory of a program; see `crossing`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from cloister.lang.values import Keyword, Symbol, Value
from cloister.lang.wasm_engine import layout

COUNTED: Final = struct.Struct("<BI")
SIGNED: Final = struct.Struct("<Bi")
WORD: Final = struct.Struct("<BQ")
ERROR: Final = struct.Struct("<BIQ")
_INTEGER: Final = struct.Struct("<Bq")
_FLOAT: Final = struct.Struct("<Bd")
_TEXT: Final = struct.Struct("<BBI")


def _write_text(out: bytearray, code: int, text: str) -> None:
    widest = max(text, default="")
    width, encoding = (1, "latin-1") if widest < "\u0100" else (2, "utf-16-le")
    if widest >= "\U00010000" or (width == 2 and any("\ud800" <= char < "\ue000" for char in text)):
        width, encoding = 4, "utf-32-le"  # also for half a surrogate pair, which two bytes are never used for
    out += _TEXT.pack(code, width, len(text))
    out += text.encode(encoding, "surrogatepass" if width == 4 else "strict")


def _write_string(out: bytearray, value: str) -> None:
    _write_text(out, layout.CROSS_STRING, value)


def _write_integer(out: bytearray, value: int) -> None:
    out += _INTEGER.pack(layout.CROSS_INTEGER, value)


def _write_float(out: bytearray, value: float) -> None:
    out += _FLOAT.pack(layout.CROSS_FLOAT, value)


def _write_keyword(out: bytearray, value: Keyword) -> None:
    _write_text(out, layout.CROSS_KEYWORD, value.name)


def _write_symbol(out: bytearray, value: Symbol) -> None:
    _write_text(out, layout.CROSS_SYMBOL, value.name)


def _write_boolean(out: bytearray, value: bool) -> None:
    out.append(layout.CROSS_TRUE if value else layout.CROSS_FALSE)


def _write_nil(out: bytearray, value: None) -> None:  # noqa: ARG001 - called as its siblings are
    out.append(layout.CROSS_NIL)


WRITERS: Final[dict[type, Callable[[bytearray, Value], None]]] = {
    type(None): _write_nil, bool: _write_boolean, int: _write_integer, float: _write_float, str: _write_string,
    Keyword: _write_keyword, Symbol: _write_symbol,
}  # fmt: skip
"""What appends a value without parts to bytes, by its class."""
