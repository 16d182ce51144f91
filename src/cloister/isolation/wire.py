"""How messages cross the wall of a sandbox.

Owns the frames (four bytes of length, big-endian, then a JSON object in UTF-8), their bounds, and the channel that
sends and receives them. Every received byte is hostile until it has passed here and the table of `wire_messages`.
Part of the guest set: standard library only.
"""

from __future__ import annotations

import enum
import json
import math
import re
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NoReturn

from cloister.errors import LimitExceeded, WireError, quoted
from cloister.isolation.wire_messages import GUEST_MESSAGES, HOST_MESSAGES, Message, Shape, checked
from cloister.lang.json_bounds import JSON_NESTING_MAX, has_more_elements, nesting
from cloister.lang.stdlib.budget import elements_error
from cloister.lang.values import INT_MAX, INT_MIN
from cloister.limits import MIB, ResourceLimits

HEADER_BYTES: Final = 4
ENVELOPE_BYTES: Final = 4 * MIB
"""Room in a frame beside its one value: program text, an error with its place and call stack."""
FRAME_BYTES_MAX: Final = 2**31 - 1
ENVELOPE_ELEMENTS: Final = 1_000
"""Room in a frame beside the elements of its value: fields of a message, an error with its place and call stack."""
RECEIVE_BYTES: Final = 64 * 1024
"""At a time. The memory for it is asked for at each read, and more than 128 KiB would be mapped anew each time."""


def frame_bytes(limits: ResourceLimits) -> int:
    """Return the largest frame that an execution with these limits needs."""
    return min(limits.value_bytes + ENVELOPE_BYTES, FRAME_BYTES_MAX)


def frame_elements(limits: ResourceLimits) -> int:
    """Return the most elements that a frame of an execution with these limits needs."""
    return limits.value_elements_count + ENVELOPE_ELEMENTS


FRAME_ELEMENTS_MAX: Final = frame_elements(ResourceLimits())
"""What is accepted from the other side where nobody names another bound."""

_SURROGATE_ESCAPE: Final = re.compile(rb"\\u[dD][89a-fA-F]")


def pack(message: Message, bytes_max: int) -> bytes:
    """Return a message as one frame.

    Raises:
        WireError: `provider.wire-oversize` when it is larger than `bytes_max`; `provider.wire-json` when it holds
            something that JSON does not have: a non-finite float, text with half of a surrogate pair, nesting too deep.
    """
    body = body_of(message, bytes_max)
    return len(body).to_bytes(HEADER_BYTES, "big") + body


def body_of(message: Message, bytes_max: int) -> bytes:
    """Return a message as the body of a frame, for what carries its own length.

    Raises:
        WireError: As `pack`.
    """
    body = _encoded(message)
    if len(body) > bytes_max:
        _refuse_size(len(body), bytes_max, "to be sent")
    return body


def _encoded(data: Any) -> bytes:
    try:
        return _ENCODER.encode(data).encode("utf-8")
    except (TypeError, ValueError, RecursionError) as error:
        raise WireError(
            f"a message cannot be sent: {quoted(str(error))}",
            code="provider.wire-json",
            hint="values that cross the boundary are JSON data: finite numbers, whole characters, moderate nesting",
        ) from error


def check_value_size(value: Any, limits: ResourceLimits, what: str) -> None:
    """Check the size of a value that is about to cross.

    Args:
        value: JSON data.
        limits: `value_bytes` bounds its JSON, `value_elements_count` its elements.
        what: Names it in the error.

    Raises:
        LimitExceeded: `limit.value`, `limit.value-elements`.
        WireError: `provider.wire-json` as `pack`.
    """
    if is_surely_small(value, limits):
        return
    body = _encoded(value)
    used = len(body)
    if used > limits.value_bytes:
        raise LimitExceeded(
            f"{what}: {used} bytes as data; one value that crosses the boundary may have {limits.value_bytes}",
            limit="value_bytes",
            allowed=limits.value_bytes,
            used=used,
            unit="bytes",
            hint="pass less at once, pass it in a file, or raise the limit value_bytes",
        )
    if has_more_elements(body, limits.value_elements_count):
        raise elements_error(limits.value_elements_count, what)


_SMALL_COUNT: Final = 8
_SMALL_CHARS: Final = 1_000
_SMALL_BYTES: Final = 64 * 1024
"""More than the largest of what `_is_small` accepts: eight texts of a thousand characters, six bytes each."""


def is_surely_small(value: Any, limits: ResourceLimits) -> bool:
    """Return whether `check_value_size` accepts data, seen without encoding it; most arguments and answers are so.

    For callers whose name of what is checked takes longer to make than this.
    """
    return limits.value_bytes >= _SMALL_BYTES and limits.value_elements_count >= _SMALL_COUNT and _is_small(value)


def _is_small(value: Any) -> bool:
    if type(value) is list:
        return len(value) <= _SMALL_COUNT and all(map(_is_small_scalar, value))
    return _is_small_scalar(value)


def _is_small_scalar(value: Any) -> bool:
    kind = type(value)
    if kind is str:
        return len(value) <= _SMALL_CHARS and value.isascii()
    return value is None or kind is bool or (kind is int and INT_MIN <= value <= INT_MAX)


def value_bytes(value: Any) -> int:
    """Return how many bytes a value has as it crosses: those of its JSON in UTF-8.

    Raises:
        WireError: `provider.wire-json` as `pack`.
    """
    return len(_encoded(value))


def unpack(body: bytes, elements_max: int = FRAME_ELEMENTS_MAX) -> Message:
    """Return the JSON object of one frame's body.

    Raises:
        WireError: `provider.wire-oversize` when it has more elements than `elements_max`; `provider.wire-json` when it
            is not UTF-8, not JSON, nested deeper than `JSON_NESTING_MAX`, holds non-finite numbers or half a surrogate
            pair, or is not an object.
    """
    if has_more_elements(body, elements_max):
        raise WireError(
            f"a frame has more than {elements_max} elements",
            code="provider.wire-oversize",
            hint="raise the limit value_elements_count, or pass the data in a file",
            details={"allowed": elements_max},
        )
    if nesting(body) > JSON_NESTING_MAX:
        raise WireError(f"a frame nests deeper than {JSON_NESTING_MAX} levels", code="provider.wire-json")
    try:
        message = _DECODER.decode(body.decode("utf-8"))
        if _SURROGATE_ESCAPE.search(body):
            json.dumps(message, ensure_ascii=False).encode("utf-8")  # the escape may be plain text after a backslash
    except (ValueError, RecursionError) as error:
        raise WireError(f"a frame is not JSON: {quoted(str(error))}", code="provider.wire-json") from error
    if not isinstance(message, dict):
        raise WireError("a frame holds something else than an object", code="provider.wire-json")
    return message


def _refuse_number(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError("a number is too large for a float")
    return number


# Made once: a call of json.dumps or json.loads with settings makes one each time
_ENCODER: Final = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))
_DECODER: Final = json.JSONDecoder(parse_constant=_refuse_number, parse_float=_finite)


def _refuse_size(length: int, allowed: int, what: str) -> NoReturn:
    raise WireError(
        f"a frame {what} has {length} bytes; at most {allowed} are allowed here",
        code="provider.wire-oversize",
        hint="raise the limit value_bytes, or pass the data in a file",
        details={"allowed": allowed, "used": length},
    )


class FrameDecoder:
    """Cuts a stream of bytes into messages, however it was chopped up. Holds at most one frame and one read.

    Args:
        bytes_max: Largest body that is accepted; a larger announcement is refused before its body is read.
        accepts: The messages the other side may send.
        elements_max: Most elements of one message; see `frame_elements`.
    """

    def __init__(self, bytes_max: int, accepts: Mapping[str, Shape], elements_max: int = FRAME_ELEMENTS_MAX) -> None:
        self._bytes_max = bytes_max
        self._accepts = accepts
        self._elements_max = elements_max
        self._buffer = bytearray()

    def __repr__(self) -> str:
        return f"FrameDecoder(pending={len(self._buffer)} bytes, bytes_max={self._bytes_max})"

    def feed(self, data: bytes) -> None:
        """Add bytes as they were received."""
        self._buffer += data

    def next_message(self) -> Message | None:
        """Return the next whole message, or None when more bytes are needed first.

        Raises:
            WireError: `provider.wire-oversize`, `provider.wire-json`, or `provider.wire-shape` when the message is not
                one of those that are accepted.
        """
        if len(self._buffer) < HEADER_BYTES:
            return None
        length = int.from_bytes(self._buffer[:HEADER_BYTES], "big")
        if length > self._bytes_max:
            _refuse_size(length, self._bytes_max, "announced by the other side")
        end = HEADER_BYTES + length
        if len(self._buffer) < end:
            return None
        body = bytes(self._buffer[HEADER_BYTES:end])
        del self._buffer[:end]
        return checked(unpack(body, self._elements_max), self._accepts)

    def messages(self) -> Iterator[Message]:
        """Yield every whole message that is pending."""
        while (message := self.next_message()) is not None:
            yield message

    def finish(self) -> None:
        """Accept the end of the stream.

        Raises:
            WireError: `provider.wire-truncated` when it ended inside a frame.
        """
        if self._buffer:
            raise WireError(
                f"the other side ended inside a frame, {len(self._buffer)} bytes after its start",
                code="provider.wire-truncated",
            )


class Side(enum.Enum):
    """Which end of the conversation a channel is."""

    HOST = "host"
    GUEST = "guest"


@dataclass(slots=True)
class Channel:
    """One end of a conversation over a connected stream socket. Not for several threads at once.

    Attributes:
        socket: Owned by the caller, who closes it.
        side: Decides which messages are sent and which are accepted.
        bytes_max: Largest frame in either direction; see `frame_bytes`.
        elements_max: Most elements of one received message; see `frame_elements`.
    """

    socket: socket.socket
    side: Side
    bytes_max: int
    elements_max: int = FRAME_ELEMENTS_MAX
    _decoder: FrameDecoder = field(init=False, repr=False)

    def __post_init__(self) -> None:
        accepted = GUEST_MESSAGES if self.side is Side.HOST else HOST_MESSAGES
        self._decoder = FrameDecoder(self.bytes_max, accepted, self.elements_max)

    def send(self, message: Message) -> None:
        """Send one message and wait until the kernel has taken all of it.

        Raises:
            WireError: `provider.wire-shape` or another when it is not a message of this side;
                `provider.wire-closed` when the other side is gone.
            TimeoutError: The socket has a timeout and it passed; the channel is then of no more use.
        """
        table = GUEST_MESSAGES if self.side is Side.GUEST else HOST_MESSAGES
        frame = pack(checked(message, table), self.bytes_max)
        try:
            self.socket.sendall(frame)
        except ConnectionError as error:
            _refuse_closed(error)

    def receive(self) -> Message | None:
        """Wait for the next message.

        Returns:
            The message, or None when the other side ended the conversation between two frames.

        Raises:
            WireError: The bytes break the protocol; `provider.wire-truncated` when they end inside a frame;
                `provider.wire-closed` when the connection broke.
            TimeoutError: The socket has a timeout and it passed; nothing is lost and it may be tried again.
        """
        while (message := self._decoder.next_message()) is None:
            try:
                data = self.socket.recv(RECEIVE_BYTES)
            except ConnectionError as error:
                _refuse_closed(error)
            if not data:
                self._decoder.finish()
                return None
            self._decoder.feed(data)
        return message


def _refuse_closed(error: ConnectionError) -> NoReturn:
    raise WireError(
        f"the connection to the other side of the sandbox is gone: {error.strerror or type(error).__name__}",
        code="provider.wire-closed",
    ) from error
