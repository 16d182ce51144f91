"""How numbers, names and lists are written in the binary format.

Source: WebAssembly core specification 2.0, section 5.2 (values) and 5.1.3 (vectors).
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from functools import lru_cache


@lru_cache(maxsize=4096)
def unsigned(number: int) -> bytes:
    """Return a number of at least 0 as unsigned LEB128."""
    if number < 0x80:
        return bytes((number,))
    out = bytearray()
    while number >= 0x80:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


@lru_cache(maxsize=4096)
def signed(number: int) -> bytes:
    """Return a number as signed LEB128."""
    out = bytearray()
    while not -0x40 <= number < 0x40:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number & 0x7F)
    return bytes(out)


def double(number: float) -> bytes:
    """Return the eight bytes of a float."""
    return struct.pack("<d", number)


def text(value: str) -> bytes:
    """Return a name: its length in bytes, and its UTF-8."""
    data = value.encode()
    return unsigned(len(data)) + data


def counted(items: Iterable[bytes]) -> bytes:
    """Return a list: the number of its items, and the items."""
    parts = tuple(items)
    return unsigned(len(parts)) + b"".join(parts)


def sized(data: bytes | bytearray) -> bytes:
    """Return bytes with their number in front."""
    return unsigned(len(data)) + bytes(data)
