"""The frames on the one connection between a host and the agent in a machine.

Owns their form and their bounds. Each frame belongs to a numbered stream, which is one execution, or to stream 0, which
is the agent itself. Bytes flow only as far as the receiver has given credit, so neither side has to keep more for the
other than `WINDOW_BYTES` a stream and direction. Whatever comes from the other side is hostile until it passed here.
Part of the guest set: standard library only.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final, NamedTuple

from cloister.errors import WireError

VERSION: Final = 1
HEADER: Final = struct.Struct("<IHH")
"""Length of the body, stream, kind."""
BODY_BYTES_MAX: Final = 128 * 1024
ORDER_BYTES_MAX: Final = 16 * 1024 * 1024
"""Of what the host says: an order has all arguments of a program, of which the kernel takes 2 MiB, escaped."""
WINDOW_BYTES: Final = 256 * 1024
AGENT: Final = 0
STREAMS_MAX: Final = 1024
INWARD_MAX: Final = 32
"""How many streams the agent may have opened at once. Their numbers follow those of the host's, so that neither side
takes one of the other's, and there are no numbers for more."""
_COUNT: Final = struct.Struct("<I")


class Kind(IntEnum):
    """What a frame is."""

    HELLO = 1
    """From the agent, once, before anything else: who it is."""
    ADOPT = 2
    """From the host: time and randomness; nothing but ATTEST, REHEARSE and POWER_OFF is heeded before it. The answer
    has the same kind."""
    ORDER = 3
    """From the host: begin a stream by doing this."""
    INPUT = 4
    """From the host: bytes for it; none at their end."""
    OUTPUT = 5
    """From the agent: bytes of it; none at their end."""
    ERRORS = 6
    """From the agent: bytes of its standard error; none at their end."""
    CREDIT = 7
    """So many more bytes may be sent: of input by the host, of output and errors together by the agent."""
    RESIZE = 8
    """From the host: its terminal has another size."""
    END = 9
    """From the host: end it with all it has started. Of a stream that the agent has opened, from each side once: it is
    over; its number is free when both have said so."""
    STATUS = 10
    """From the agent: it has ended, nothing of it is left, and this is how. The last frame of a stream."""
    POWER_OFF = 11
    """From the host: the machine is not needed any more."""
    ATTEST = 12
    """From the host: a challenge, to be answered with what the machine's TPM states. The answer has the same kind."""
    OPEN = 13
    """From the agent: something inside wants to be connected to the host, for this purpose."""
    ANSWER = 14
    """From the host: whether it is, and why not. Nothing flows before it."""
    REHEARSE = 15
    """From the host: make what a plan will need, as the machine is going to be saved. The answer has the same kind."""
    BOUND = 16
    """From the host: these limits hold for a plan that was begun before there was one, and that has no input yet."""


class Frame(NamedTuple):
    """One frame."""

    stream: int
    kind: Kind
    body: bytes

    def data(self) -> dict[str, Any]:
        """Return the JSON object in its body.

        Raises:
            WireError: `provider.wire-json` when it is none.
        """
        try:
            found = json.loads(self.body)
        except (ValueError, RecursionError) as error:
            raise WireError(f"a frame of the kind {self.kind.name} is not JSON", code="provider.wire-json") from error
        if not isinstance(found, dict):
            raise WireError(f"a frame of the kind {self.kind.name} is not an object", code="provider.wire-json")
        return found

    def credit(self) -> int:
        """Return the number in its body.

        Raises:
            WireError: `provider.wire-shape` when it is none.
        """
        if len(self.body) != _COUNT.size:
            raise WireError("a credit of bytes is not a number", code="provider.wire-shape")
        number: int = _COUNT.unpack(self.body)[0]
        return number


def encode(stream: int, kind: Kind, body: bytes = b"") -> bytes:
    """Return a frame as it is sent."""
    return HEADER.pack(len(body), stream, kind) + body


def encode_json(stream: int, kind: Kind, data: dict[str, Any]) -> bytes:
    """Return a frame with a JSON object. ASCII with escapes keeps names that are not UTF-8 as they are."""
    return encode(stream, kind, json.dumps(data, ensure_ascii=True).encode("ascii"))


def encode_credit(stream: int, count: int) -> bytes:
    """Return a frame that allows so many more bytes."""
    return encode(stream, Kind.CREDIT, _COUNT.pack(count))


class Decoder:
    """Cuts a stream of bytes into frames, however it was chopped up. Holds at most one frame and one read.

    Args:
        body_bytes_max: The longest body that is accepted.
    """

    def __init__(self, body_bytes_max: int = BODY_BYTES_MAX) -> None:
        self._buffer = bytearray()
        self._body_bytes_max = body_bytes_max

    def __repr__(self) -> str:
        return f"Decoder(pending={len(self._buffer)} bytes)"

    @property
    def is_inside(self) -> bool:
        """Whether a frame has begun and not ended."""
        return bool(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Add bytes as they were received, and yield each frame that is whole now.

        Raises:
            WireError: `provider.wire-oversize` for one that is too long, before its body is kept; `provider.wire-shape`
                for one of an unknown kind or stream.
        """
        self._buffer += data
        while len(self._buffer) >= HEADER.size:
            length, stream, kind = HEADER.unpack_from(self._buffer)
            if length > self._body_bytes_max:
                raise WireError(
                    f"a frame of {length} bytes was announced; at most {self._body_bytes_max} are allowed",
                    code="provider.wire-oversize",
                )
            if kind not in _KINDS or stream >= STREAMS_MAX + INWARD_MAX:
                raise WireError("a frame is of no known kind", code="provider.wire-shape")
            end = HEADER.size + length
            if len(self._buffer) < end:
                return
            body = bytes(self._buffer[HEADER.size : end])
            del self._buffer[:end]
            yield Frame(stream, _KINDS[kind], body)


_KINDS: Final = {int(kind): kind for kind in Kind}
