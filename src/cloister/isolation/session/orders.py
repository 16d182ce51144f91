"""What the host asks of a session, and which descriptors come with it.

Owns the form of an order on its way from the host to whoever takes it: process 1 of a sandbox, or the server of a
machine. All ends are Cloister's own; what runs in the session never sees or writes it. What comes back has the shapes
of `process.reports`. Standard library only; part of the guest set.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Final

ORDER: Final = b"order"
ORDER_FDS_MIN: Final = 2
"""The order as a sealed file, and the connection to whoever waits for its end."""
ORDER_FDS_MAX: Final = 5
"""Without a terminal also standard input, output and error."""
READY: Final = b"ready"
ENDED_IDLE: Final = b"idle"
ENDED_UNCONTROLLED: Final = b"uncontrolled"
"""Last words of whoever takes orders: why the session ends by itself."""
WORDS_BYTES_MAX: Final = 64


class OrderKind(StrEnum):
    """What is to be done."""

    PROGRAM = "program"
    PACK = "pack"
    """Write a tar stream of a path to standard output."""
    UNPACK = "unpack"
    """Make a path out of the tar stream on standard input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One execution.

    Attributes:
        kind: Decides which of the others count.
        argv: Program and arguments.
        path: Of a copy: absolute, inside.
        environment: Variables beside the session's.
        working_directory: Absolute path inside.
        window: Rows and columns of the terminal; None for pipes.
    """

    kind: OrderKind
    argv: tuple[str, ...] = ()
    path: str = ""
    environment: dict[str, str]
    working_directory: str
    window: tuple[int, int] | None = None

    def to_bytes(self) -> bytes:
        """Return the order as it is sent."""
        # ASCII with escapes keeps names that are not UTF-8 (surrogate escapes) as they are
        return json.dumps(asdict(self), ensure_ascii=True).encode("ascii")

    @classmethod
    def from_bytes(cls, data: bytes) -> Order:
        """Return the order that `to_bytes` made."""
        fields = json.loads(data)
        window = fields["window"]
        fields |= {
            "kind": OrderKind(fields["kind"]),
            "argv": tuple(fields["argv"]),
            "window": None if window is None else (window[0], window[1]),
        }
        return cls(**fields)
