"""One execution in a machine, as the host carries it: what it is, its local descriptors, and the words of its end.

Owns the record of it while it runs. Who moves its bytes is `porter`'s.
"""

from __future__ import annotations

import errno
import json
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.isolation.microvm.guest.frames import WINDOW_BYTES, Kind
from cloister.isolation.microvm.statuses import Ended
from cloister.isolation.process import reports

NEVER_S: Final = float("inf")


@dataclass(slots=True, kw_only=True)
class Parcel:
    """One execution as the porter sees it. Its descriptors are the porter's, which closes them.

    Attributes:
        order: What the agent is to do.
        input_fd: Where its input is read; -1 for none.
        output_fd: Where its output is written; -1 for none. The same as its input for a connection or a terminal.
        errors_fd: Where its standard error is written; -1 for none.
        control: Says by anything, or by its end, that the execution is to end; gets the last word on it.
        finish: Makes that word.
        deadline_s: When it is ended, on the monotonic clock.
        wall_ms: The limit that stands behind the deadline.
        window: Of a terminal: its last known size.
    """

    order: dict[str, Any]
    input_fd: int = -1
    output_fd: int = -1
    errors_fd: int = -1
    control: socket.socket
    finish: Callable[[Ended], bytes]
    deadline_s: float = NEVER_S
    window: tuple[int, int] | None = None
    began_s: float = field(default_factory=time.monotonic)
    credit: int = WINDOW_BYTES
    pending: dict[int, bytearray] = field(default_factory=dict)
    taken_bytes: int = 0
    over: set[Kind] = field(default_factory=set)
    is_ending: bool = False
    is_late: bool = False
    ended: Ended | None = None


def as_record(ended: Ended) -> bytes:
    """Return how an execution ended in the words of a launcher of the process provider."""
    record: dict[str, Any] = {"wall_us": ended.wall_us, **{k: v for k, v in ended.usage.items() if v is not None}}
    report = dict(ended.report or {})
    if "status" in report:
        record["status"] = report.pop("status")
    record["reported"] = report
    if ended.limit is not None:
        record["killed_for"] = list(ended.limit)
    return json.dumps(record).encode("ascii")


def as_report(ended: Ended) -> bytes:
    """Return how an execution of a session ended in the words of a warden; nothing when it is not known.

    A limit that ended it is all there is to say. The other limits are held by whoever waits for the report.
    """
    if ended.limit is not None and ended.limit[0] in reports.LIMITS:
        return json.dumps({"limit": ended.limit[0], "used": ended.limit[1]}).encode("ascii")
    return json.dumps(ended.report).encode("ascii") if ended.report is not None else b""


def too_long(order: dict[str, Any]) -> dict[str, Any]:
    """Return what a kernel would say of a program with arguments that are too long for an order."""
    return reports.failure("exec", program=str(order.get("argv", ["?"])[0]), errno=errno.E2BIG)
