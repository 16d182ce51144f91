"""Atoms as bytes, on their way into the memory of a program; see `crossing`."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from cloister.lang.values import Keyword, Symbol, Value
from cloister.lang.wasm_engine import layout
from cloister.lang.wasm_engine.text_units import text_units

COUNTED: Final = struct.Struct("<BI")
SIGNED: Final = struct.Struct("<Bi")
WORD: Final = struct.Struct("<BQ")
ERROR: Final = struct.Struct("<BIQ")
_INTEGER: Final = struct.Struct("<Bq")
_FLOAT: Final = struct.Struct("<Bd")
_TEXT: Final = struct.Struct("<BBI")


def _write_text(out: bytearray, code: int, text: str) -> None:
    width, data = text_units(text)
    out += _TEXT.pack(code, width, len(text))
    out += data


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
