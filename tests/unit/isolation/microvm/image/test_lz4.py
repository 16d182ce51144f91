from __future__ import annotations

import struct

import pytest

from cloister.errors import InputError
from cloister.isolation.microvm.image import lz4


def frame(*blocks: bytes) -> bytes:
    return lz4.MAGIC + b"".join(struct.pack("<I", len(block)) + block for block in blocks)


LITERALS = b"\x50hello"
REPEATED = b"\x13a\x01\x00" + b"\x10b"
"""One literal, a copy of 3 + 4 bytes at distance 1, one literal."""
LONG = b"\xf0\x05" + b"x" * 20


@pytest.mark.parametrize(
    ("block", "expected"),
    [
        (LITERALS, b"hello"),
        (REPEATED, b"a" * 8 + b"b"),
        (LONG, b"x" * 20),
        (b"\x1fq\x01\x00\x00\x00", b"q" * 20),
    ],
    ids=["literals", "overlapping copy", "long literals", "long copy"],
)  # fmt: skip
def test_block_is_decoded(block: bytes, expected: bytes) -> None:
    assert lz4.decode(frame(block), 1000) == expected


def test_blocks_follow_each_other() -> None:
    assert lz4.decode(frame(LITERALS, REPEATED), 1000) == b"hello" + b"a" * 8 + b"b"


@pytest.mark.parametrize(
    "data",
    [
        b"PK\x03\x04",
        frame(LITERALS)[:-1],
        frame(LITERALS) + b"\x01",
        frame(b"\x50hel"),
        frame(b"\x13a\x02\x00\x10b"),
        frame(b"\x13a\x00\x00\x10b"),
        frame(b"\x13a\x01"),
        frame(b"\xf0" + b"\xff" * 40),
        lz4.MAGIC + b"\xff\xff\xff\xff",
    ],
    ids=["other", "cut", "half size", "cut literals", "before start", "distance 0", "half distance", "no end", "huge"],
)  # fmt: skip
def test_damage_is_refused(data: bytes) -> None:
    with pytest.raises(InputError) as caught:
        lz4.decode(data, 1000)
    assert caught.value.code == "input.compressed"


def test_output_is_bounded() -> None:
    assert len(lz4.decode(frame(REPEATED), 9)) == 9
    with pytest.raises(InputError, match=r"more than|too large"):
        lz4.decode(frame(REPEATED), 8)
    bomb = frame(b"\x1fa\x01\x00" + b"\xff" * 30_000 + b"\x00\x00")
    with pytest.raises(InputError) as caught:
        lz4.decode(bomb, 1 << 20)
    assert caught.value.code == "input.compressed"
