"""LZ4 in its legacy frame, which is how the Linux kernel is compressed.

Owns decoding within a bound. The input is foreign: every length and offset is checked, and nothing is written beyond
what the caller allows. Cost: linear in the output, about a second for a kernel; Python's standard library has no LZ4.

Source: LZ4 block format description and "LZ4 frame format, legacy frame" (lz4 project, 2023); lib/decompress_unlz4.c of
Linux 6.1 for the kernel's use: blocks follow each other until the input ends.
"""

from __future__ import annotations

import struct
from typing import Final

from cloister.errors import InputError

MAGIC: Final = b"\x02\x21\x4c\x18"
_BLOCK_BYTES_MAX: Final = 8 * 1024 * 1024
"""What one block of a legacy frame decodes to, at most."""
_SIZE: Final = struct.Struct("<I")
_MATCH_BYTES_MIN: Final = 4
_LONG: Final = 15
_COMPRESSED_MAX: Final = _BLOCK_BYTES_MAX + _BLOCK_BYTES_MAX // 255 + 16


def decode(data: bytes, output_bytes_max: int) -> bytes:
    """Return what a legacy frame holds.

    Args:
        data: The frame, from its magic number on, and nothing else.
        output_bytes_max: Larger output is refused.

    Raises:
        InputError: `input.compressed`: it is no such frame, is cut off, or decodes to more than allowed.
    """
    if data[:4] != MAGIC:
        raise _wrong("does not begin as one")
    output, position = bytearray(), len(MAGIC)
    while position < len(data):
        if position + _SIZE.size > len(data):
            raise _wrong("ends within the size of a block")
        (size,) = _SIZE.unpack_from(data, position)
        position += _SIZE.size
        if size > _COMPRESSED_MAX or position + size > len(data):
            raise _wrong("has a block that is longer than the rest of it")
        block = _decoded_block(data[position : position + size], min(_BLOCK_BYTES_MAX, output_bytes_max - len(output)))
        output += block
        position += size
    return bytes(output)


def _wrong(reason: str) -> InputError:
    return InputError(f"an LZ4 stream {reason}", code="input.compressed")


def _decoded_block(source: bytes, bytes_max: int) -> bytearray:
    """Decode one block: literals, then a copy of what was decoded before, and so on, literals last."""
    output, position, end = bytearray(), 0, len(source)
    try:
        while position < end:
            token = source[position]
            position += 1
            length = token >> 4
            if length == _LONG:
                length, position = _extended(source, position)
            output += source[position : position + length]
            position += length
            if position >= end:
                break
            distance = source[position] | source[position + 1] << 8
            position += 2
            length = token & _LONG
            if length == _LONG:
                length, position = _extended(source, position)
            _copy(output, distance, length + _MATCH_BYTES_MIN)
            if len(output) > bytes_max:
                raise _wrong(f"holds more than the {bytes_max} bytes it may")
    except IndexError as error:
        raise _wrong("ends within a block") from error
    if position != end or len(output) > bytes_max:
        raise _wrong("has a block that is cut off or too large")
    return output


def _extended(source: bytes, position: int) -> tuple[int, int]:
    """Return a length that goes on behind its four bits, and where it ends."""
    length = _LONG
    while True:
        byte = source[position]
        position += 1
        length += byte
        if byte != 255:
            return length, position
        if length > _BLOCK_BYTES_MAX:
            raise _wrong("has a length that no block can have")


def _copy(output: bytearray, distance: int, length: int) -> None:
    start = len(output) - distance
    if distance == 0 or start < 0:
        raise _wrong("refers to what is before its beginning")
    if distance >= length:
        output += output[start : start + length]
        return
    # The copy overlaps its own end, which repeats what lies between
    piece = bytes(output[start:])
    output += (piece * (length // distance + 1))[:length]
