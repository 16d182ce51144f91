"""The guest's end of the conversation with its host.

Owns what a guest needs of a connection and what it does when the host is gone. Messages from the host have passed
`cloister.isolation.wire_messages`; their values are still JSON data. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Protocol

from cloister.errors import GuestError, WireError, quoted
from cloister.isolation.wire import check_value_size
from cloister.isolation.wire_messages import Message
from cloister.lang.transport import encode
from cloister.lang.values import Value
from cloister.limits import ResourceLimits


class Link(Protocol):
    """Something that carries messages: a `Channel`, or the mock provider's bridge."""

    def send(self, message: Message) -> None:
        """Send one message. Raises WireError when it cannot be sent."""

    def receive(self) -> Message | None:
        """Wait for the next message; None when the host has ended the conversation. Raises WireError."""


class HostLost(BaseException):
    """The host is gone or has ended the execution. Nothing may catch it but the guest's outermost code.

    Not a CloisterError, and not even an Exception: no guest code, and no `except Exception` on the way, can go on after
    it; and there is nobody left to report it to.
    """


def require_size(wire_value: object, limits: ResourceLimits, what: str) -> None:
    """Check the size of JSON data that is about to leave the guest.

    Raises:
        LimitExceeded: `limit.value` or `limit.value-elements` when it is larger than one value may be.
        GuestError: `TypeError`, code `guest.text`, when it holds half a surrogate pair.
    """
    try:
        check_value_size(wire_value, limits, what)
    except WireError as error:
        raise GuestError(
            f"{what} cannot cross the boundary: {quoted(error.message)}",
            code="guest.text",
            kind="TypeError",
            hint="strings that cross hold whole characters",
        ) from error


def to_wire(value: Value, limits: ResourceLimits, what: str) -> object:
    """Return a value as JSON data that is small enough to cross.

    Raises:
        GuestError: `TypeError` when it holds functions, is nested too deep, or holds half a surrogate pair.
        LimitExceeded: `limit.value` when it is too large.
    """
    data: object = encode(value, limits)
    require_size(data, limits, what)
    return data
