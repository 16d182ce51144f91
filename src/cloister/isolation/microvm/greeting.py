"""What an agent says of itself when it greets, and the check of it.

Owns the shape. A machine that was taken over may say anything; what it says of itself is for people, and decides
nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.errors import WireError, quoted
from cloister.isolation.microvm.guest.frames import AGENT, VERSION, Frame, Kind

KEYS: Final = {"version": int, "kernel": str, "memory_bytes": int, "python": str, "drives": list}


@dataclass(frozen=True, slots=True, kw_only=True)
class GuestFacts:
    """Who an agent says it is.

    Attributes:
        kernel: Release of its kernel.
        memory_bytes: What its kernel has.
        python: Version of the interpreter it runs in.
        drives: Serial numbers of the drives it found.
    """

    kernel: str
    memory_bytes: int
    python: str
    drives: tuple[str, ...]


def checked(frame: Frame) -> GuestFacts:
    """Return what a greeting says.

    Raises:
        WireError: It is no greeting of this version.
    """
    said = frame.data() if (frame.stream, frame.kind) == (AGENT, Kind.HELLO) else {}
    if said.keys() != KEYS.keys() or any(type(said[key]) is not kind for key, kind in KEYS.items()):
        raise WireError("the agent does not greet as an agent does", code="provider.wire-shape")
    if said["version"] != VERSION:
        raise WireError(
            f"the agent speaks version {quoted(str(said['version']), 20)} of the protocol, this host {VERSION}",
            code="provider.wire-order",
            hint="build the image again: cloister image build --kind vm",
        )
    return GuestFacts(
        kernel=quoted(said["kernel"], 100),
        memory_bytes=said["memory_bytes"],
        python=quoted(said["python"], 40),
        drives=tuple(quoted(str(each), 40) for each in said["drives"]),
    )
