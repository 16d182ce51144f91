"""An execution in a machine that runs: the host's ends of it, how it is begun, and how it is left.

Owns those ends, and that a plan can be begun ahead, before there is one. What goes over them is told to the machine by
the porter; who attends to them is `execution`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from cloister.isolation.microvm.parcel import NEVER_S, Parcel, as_record
from cloister.isolation.microvm.porter import Porter
from cloister.isolation.process import descriptors
from cloister.limits import ResourceLimits

END_TIMEOUT_S: Final = 5.0
"""How long the porter is waited for when an execution is given up."""
USUAL: Final = ResourceLimits()
"""What a plan is begun with that is not known yet."""


@dataclass(slots=True, kw_only=True)
class RunningInMachine:
    """An execution in a machine, as a conversation knows it. Leaving its context ends it and closes its ends here.

    A plan has ended for its host when it has given its result. Nothing but the machine would be left to end then, and
    whoever has it ends that. To have its worker ended and measured first costs more than most plans do.

    Attributes:
        control: Closing it ends the execution; the record of its end arrives on it.
        stdout: Read end.
        stderr: Read end.
        channel: Connection to a guest; None for programs.
        is_plain: Whether it is over with its result: that of a plan is, and its process waits for the next one.
        parcel: What the porter carries for it.
        keeper: Keeps the ends of a plan that is over, and closes them with its machine, when nobody waits any more.
        begun_s: When it began, or went on, on the monotonic clock.
        is_over: Whether it has ended, and how is known.
    """

    control: socket.socket
    stdout: int
    stderr: int
    channel: socket.socket | None
    is_plain: bool
    parcel: Parcel
    keeper: Callable[[RunningInMachine], None] | None = None
    begun_s: float = field(default_factory=time.monotonic)
    is_over: bool = False

    def go_on(self, carrier: Porter, limits: ResourceLimits, deadline_s: float) -> None:
        """Let it go on, within these limits, when it was begun ahead."""
        self.begun_s = time.monotonic()
        carrier.go_on(self.parcel, deadline_s, None if limits == USUAL else limits.to_dict())

    def prepare_conclusion(self) -> None:
        """Do nothing: its machine is measured by whoever has that."""

    def conclude(self) -> dict[str, Any]:
        """Return the record of the end of a plan."""
        self.is_over = True
        return {"status": 0, "wall_us": round((time.monotonic() - self.begun_s) * 1e6)}

    def kill(self) -> None:
        """Have it ended with all it has started; its record still arrives."""
        with contextlib.suppress(OSError):  # its machine is gone
            self.control.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """Close every end."""
        for connection in (self.control, self.channel):
            if connection is not None:
                connection.close()
        for descriptor in (self.stdout, self.stderr):
            os.close(descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.is_over and self.keeper is not None:
            self.keeper(self)
            return
        try:
            if not self.is_over:
                self.kill()
                descriptors.await_end(self.control, END_TIMEOUT_S)  # the porter closes its end last
        finally:
            self.close()


def begin_ahead(carrier: Porter) -> RunningInMachine:
    """Begin a plan that is not known yet. Nothing bounds its time until it goes on."""
    return begin_guest(carrier, "plan", USUAL, NEVER_S, is_ahead=True)


def begin_guest(
    carrier: Porter, do: str, limits: ResourceLimits, deadline_s: float, *, is_ahead: bool = False
) -> RunningInMachine:
    """Begin a plan, a rehearsal or a file operation.

    Args:
        carrier: Carries it.
        do: Which of them, for the agent.
        limits: Its bounds.
        deadline_s: When it is ended.
        is_ahead: Whether it is a plan that is not known yet.
    """
    with contextlib.ExitStack() as undo:
        channel, theirs = socket.socketpair()
        undo.callback(channel.close)
        order = {"do": do, "limits": limits.to_dict()}
        running = begin(carrier, order, theirs.detach(), channel, deadline_s=deadline_s, is_ahead=is_ahead)
        undo.pop_all()
    return running


def begin(
    carrier: Porter,
    order: dict[str, Any],
    input_fd: int,
    channel: socket.socket | None,
    *,
    deadline_s: float,
    is_ahead: bool = False,
) -> RunningInMachine:
    """Begin an execution and return it.

    Args:
        carrier: Carries it.
        order: For the agent.
        input_fd: Where its input is read; for a guest, the other end of its channel. It is taken in any case.
        channel: To a guest; None for a program.
        deadline_s: When it is ended.
        is_ahead: Whether it is a plan that is not known yet.
    """
    with contextlib.ExitStack() as undo:
        descriptors.held(input_fd, undo)
        with contextlib.ExitStack() as unused:
            stdout, their_stdout = descriptors.pipe(undo, undo if channel is None else unused)
        stderr, their_stderr = descriptors.pipe(undo, undo)
        control, theirs = descriptors.connection(socket.SOCK_SEQPACKET, undo, undo)
        parcel = Parcel(
            order=order,
            input_fd=input_fd,
            output_fd=their_stdout if channel is None else input_fd,
            errors_fd=their_stderr,
            control=theirs,
            finish=as_record,
            deadline_s=deadline_s,
            is_ahead=is_ahead,
        )
        running = RunningInMachine(
            control=control,
            stdout=stdout,
            stderr=stderr,
            channel=channel,
            is_plain=order["do"] in {"plan", "rehearse"},  # whose process waits for the next one
            parcel=parcel,
        )
        undo.pop_all()
    carrier.begin(parcel)
    return running
