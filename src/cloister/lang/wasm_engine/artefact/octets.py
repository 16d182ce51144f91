"""Numbers, texts and lists of artefacts as bytes.

Owns how they are written and read back, one way each: what is read and not written like that is refused. Reads bytes
of anybody; no length in them is believed before that many bytes are there.
"""

from __future__ import annotations

import struct
from math import isnan
from typing import Final

from cloister.errors import InputError
from cloister.lang.values import INT_MAX, INT_MIN

NUMBER_MAX: Final = 2**31 - 1
"""Largest count, length, offset or number of anything in an artefact."""
_BITS: Final = 7
_MORE: Final = 0x80
_SHIFT_MAX: Final = 63


def damaged(problem: str) -> InputError:
    """Return the error for an artefact that no compiler of ours made."""
    return InputError(
        f"the compiled plan is damaged, or was made by something else: {problem}",
        code="input.artefact",
        hint="compile the plan again: cloister compile plan.rtfs -o plan.wasm",
    )


class Octets:
    """Bytes that are being written."""

    __slots__ = ("data",)

    def __init__(self) -> None:
        self.data = bytearray()

    def number(self, value: int) -> None:
        """Write a number from 0 to `NUMBER_MAX`."""
        if not 0 <= value <= NUMBER_MAX:
            raise ValueError(f"{value} is no number of an artefact")
        self._groups(value)

    def integer(self, value: int) -> None:
        """Write an integer of 64 bits."""
        if not INT_MIN <= value <= INT_MAX:
            raise ValueError(f"{value} has more than 64 bits")
        self._groups(value << 1 if value >= 0 else ~value << 1 | 1)

    def _groups(self, value: int) -> None:
        while value >= _MORE:
            self.data.append(value & (_MORE - 1) | _MORE)
            value >>= _BITS
        self.data.append(value)

    def flag(self, *, value: bool) -> None:
        """Write a truth value."""
        self.data.append(value)

    def double(self, value: float) -> None:
        """Write a float; all that are no number are one."""
        self.data += struct.pack("<d", float("nan") if isnan(value) else value)

    def block(self, data: bytes) -> None:
        """Write bytes with their number in front."""
        self.number(len(data))
        self.data += data

    def text(self, value: str) -> None:
        """Write a text."""
        self.block(value.encode())


class OctetReader:
    """Bytes that are being read.

    Args:
        data: All of them.
        start: Where to begin.
        end: Where they end; the end of the data when left out.
    """

    __slots__ = ("_data", "end", "place")

    def __init__(self, data: bytes, start: int = 0, end: int | None = None) -> None:
        self._data = data
        self.place = start
        self.end = len(data) if end is None else end

    @property
    def left(self) -> int:
        """How many bytes are left."""
        return self.end - self.place

    def byte(self) -> int:
        """Read a byte.

        Raises:
            InputError: `input.artefact`; so do all others.
        """
        if self.place >= self.end:
            raise damaged("it ends in the middle")
        self.place += 1
        return self._data[self.place - 1]

    def number(self) -> int:
        """Read a number."""
        value = self._groups()
        if value > NUMBER_MAX:
            raise damaged("a number is too large")
        return value

    def count(self, each_bytes: int = 1) -> int:
        """Read how many of something follow, of which each takes at least so many bytes."""
        value = self.number()
        if value * each_bytes > self.left:
            raise damaged("more is announced than follows")
        return value

    def integer(self) -> int:
        """Read an integer of 64 bits."""
        value = self._groups()
        return ~(value >> 1) if value & 1 else value >> 1

    def _groups(self) -> int:
        value = shift = 0
        while True:
            byte = self.byte()
            value |= (byte & (_MORE - 1)) << shift
            shift += _BITS
            if byte < _MORE or shift > _SHIFT_MAX:
                break
        if byte >= _MORE or value >= 2**64 or (byte == 0 and shift > _BITS):
            raise damaged("a number is written in another way than ours")
        return value

    def flag(self) -> bool:
        """Read a truth value."""
        value = self.byte()
        if value > 1:
            raise damaged("a truth value is neither")
        return value == 1

    def double(self) -> float:
        """Read a float."""
        (value,) = struct.unpack("<d", self.take(8))
        return float(value)

    def take(self, count: int) -> bytes:
        """Read so many bytes."""
        if count > self.left:
            raise damaged("it ends in the middle")
        self.place += count
        return self._data[self.place - count : self.place]

    def block(self) -> bytes:
        """Read bytes that have their number in front."""
        return self.take(self.count())

    def text(self) -> str:
        """Read a text."""
        try:
            return self.block().decode()
        except UnicodeDecodeError as error:
            raise damaged("a text is not UTF-8") from error

    def finish(self) -> None:
        """See that nothing is left."""
        if self.left:
            raise damaged("more follows than belongs to it")
