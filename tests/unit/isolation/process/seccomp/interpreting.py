"""What a filter answers, found by running it as the kernel would."""

from __future__ import annotations

import struct
from collections.abc import Callable

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
X32_BIT = 0x40000000
ALLOW, KILL, ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

LOAD, AND, JUMP, RETURN = 0x20, 0x54, 0x05, 0x06
COMPARISONS: dict[int, Callable[[int, int], bool]] = {
    0x15: lambda loaded, value: loaded == value,
    0x35: lambda loaded, value: loaded >= value,
    0x45: lambda loaded, value: loaded & value != 0,
}


def steps_of(program: bytes) -> list[tuple[int, int, int, int]]:
    return list(struct.iter_unpack("=HBBI", program))


def run(steps: list[tuple[int, int, int, int]], number: int, architecture: int, *arguments: int) -> int:
    """Return the filter's answer to one call; IndexError when it runs past its end."""
    padded = [*arguments, *[0] * (6 - len(arguments))]
    given = struct.pack("=IIQ6Q", number, architecture, 0, *padded)
    position = loaded = 0
    while True:
        code, on_true, on_false, value = steps[position]
        position += 1
        if code == LOAD:
            (loaded,) = struct.unpack_from("=I", given, value)
        elif code == AND:
            loaded &= value
        elif code == JUMP:
            position += value
        elif code == RETURN:
            return value
        else:
            position += on_true if COMPARISONS[code](loaded, value) else on_false
