"""One execution in a machine, as the host carries it: what it is, its local descriptors, and the words of its end.

Owns the record of it while it runs, and what that says it waits for. Who moves its bytes is `porter`'s.
"""

from __future__ import annotations

import errno
import json
import select
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cloister.errors import CloisterError
from cloister.isolation.microvm.guest.flow import Allowance, Intake
from cloister.isolation.microvm.guest.frames import Kind
from cloister.isolation.microvm.statuses import Ended, hung_up
from cloister.isolation.process import reports

NEVER_S: Final = float("inf")
TERMINAL_TURN_S: Final = 0.1
"""How often the size of a local terminal is looked at: its change is told to nobody who does not run on it."""


class Carrier(Protocol):
    """What carries executions."""

    lost: CloisterError | None
    """Why the machine is not to be used any more; None while it can be."""


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
        is_ahead: Whether it was begun before anybody wants it: nothing of its input is sent yet.
        bounds: Limits that hold instead of those in the order, when somebody wants it after all.
        allowance: How much of its input may be sent.
        intake: What came of its output and errors, together.
        pending: What of that was not written yet, by descriptor.
    """

    order: dict[str, Any]
    input_fd: int = -1
    output_fd: int = -1
    errors_fd: int = -1
    control: socket.socket
    finish: Callable[[Ended], bytes]
    deadline_s: float = NEVER_S
    window: tuple[int, int] | None = None
    is_ahead: bool = False
    bounds: dict[str, int] | None = None
    began_s: float = field(default_factory=time.monotonic)
    allowance: Allowance = field(default_factory=Allowance)
    intake: Intake = field(default_factory=Intake)
    pending: dict[int, bytearray] = field(default_factory=dict)
    over: set[Kind] = field(default_factory=set)
    is_ending: bool = False
    is_late: bool = False
    ended: Ended | None = None

    @property
    def is_done(self) -> bool:
        """Whether it has ended and what it wrote was taken; one that is not wanted any more need not be taken."""
        return self.ended is not None and (self.is_ending or not any(self.pending.values()))

    def watched(self, *, can_send: bool) -> dict[int, int]:
        """Return the descriptors to wait for, and for what; input only as far as it can be sent."""
        found: dict[int, int] = {}
        if self.ended is None:
            if not self.is_ending:  # one whose other end is gone would be reported at every turn
                found[self.control.fileno()] = select.POLLIN
            if self.input_fd >= 0 and self.allowance.left_bytes > 0 and can_send and not self.is_ahead:
                found[self.input_fd] = select.POLLIN
        for descriptor, pending in self.pending.items():
            if pending:
                found[descriptor] = found.get(descriptor, 0) | select.POLLOUT
        return found

    def next_s(self) -> float:
        """Return when it is to be looked at though nothing happens."""
        if self.ended is not None:
            return NEVER_S
        return min(self.deadline_s, time.monotonic() + TERMINAL_TURN_S if self.window else NEVER_S)

    def wall_limit(self) -> tuple[str, int]:
        """Return the limit that it has reached when it is late, and how long it took."""
        return "wall_ms", round((time.monotonic() - self.began_s) * 1000)


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


def record_of(control: socket.socket, carrier: Carrier) -> dict[str, Any]:
    """Wait for the record of an execution's end.

    Raises:
        CloisterError: The machine was lost.
    """
    data = control.recv(1 << 16)
    if carrier.lost is not None:
        raise carrier.lost
    if not data:
        raise hung_up("an execution ended without a word")
    record: dict[str, Any] = json.loads(data)
    return record


def too_long(order: dict[str, Any]) -> dict[str, Any]:
    """Return what a kernel would say of a program with arguments that are too long for an order."""
    return reports.failure("exec", program=str(order.get("argv", ["?"])[0]), errno=errno.E2BIG)
