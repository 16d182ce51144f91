"""One execution in a machine, as the agent sees it: its process, its bytes, and its end.

Owns moving the bytes between its descriptors and frames as far as there is credit (`flow`), and knowing when nothing of
it is left. Runs in the machine only. Part of the guest set: standard library only.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable
from typing import Any, Final

from cloister.errors import WireError
from cloister.isolation.microvm.guest import root
from cloister.isolation.microvm.guest.flow import READ_BYTES, Allowance, Intake
from cloister.isolation.microvm.guest.frames import Kind, encode, encode_credit, encode_json
from cloister.isolation.microvm.guest.groups import Group
from cloister.isolation.microvm.guest.worker import Worker
from cloister.isolation.process import reports, terminals
from cloister.limits import ResourceLimits

KILLED: Final = 9
Send = Callable[[bytes], None]


class Stream:
    """An execution.

    Args:
        number: Of its stream.
        pid: Its first process.
        said_fd: Where it says why it could not begin; -1 when it does not.
        input_fd: Where its input goes; -1 for none.
        output_fd: Where its output comes from; -1 for none. The same as its input for a connection or a terminal.
        errors_fd: Where its standard error comes from; -1 for none.
        group: Its control group.
        limits: Its limits.
        send: Sends frames.
    """

    def __init__(
        self,
        *,
        number: int,
        pid: int,
        said_fd: int = -1,
        input_fd: int = -1,
        output_fd: int = -1,
        errors_fd: int = -1,
        group: Group,
        limits: ResourceLimits,
        send: Send,
    ) -> None:
        self.number = number
        self.pid = pid
        self.pidfd = os.pidfd_open(pid)
        self.limits = limits
        self._said_fd = said_fd
        self._input_fd = input_fd
        self._outputs = {fd: kind for fd, kind in ((output_fd, Kind.OUTPUT), (errors_fd, Kind.ERRORS)) if fd >= 0}
        self._group = group
        self._send = send
        self._pending = bytearray()
        self._intake = Intake()
        self._is_input_over = False
        self._allowance = Allowance()
        self._status: int | None = None
        self._limit: tuple[str, int] | None = None
        self._is_killed = False
        for descriptor in {*self._outputs, input_fd} - {-1}:
            os.set_blocking(descriptor, False)

    def watched(self) -> dict[int, bool]:
        """Return the descriptors to wait for: whether for room to write, too."""
        found = dict.fromkeys(self._outputs if self._allowance.left_bytes > 0 else (), False)
        if self._pending:
            found[self._input_fd] = True
        return found

    def take_input(self, data: bytes) -> None:
        """Take bytes for its standard input; none when there will be no more.

        Raises:
            WireError: `provider.wire-order` for more than there was credit for.
        """
        if not data:
            self._is_input_over = True
        self._intake.come(len(data))
        self._pending += data
        self.write()

    def write(self) -> None:
        """Pass on what is pending, as much as fits; what nobody reads any more is dropped."""
        while self._pending and self._input_fd >= 0:
            try:
                count = os.write(self._input_fd, self._pending[:READ_BYTES])
            except BlockingIOError:
                return
            except OSError:  # it has closed its end; that is its own affair
                count = len(self._pending)
            self._took(count)
        if self._input_fd < 0:
            self._took(len(self._pending))
        if self._is_input_over and not self._pending:
            self._close_input()

    def _took(self, count: int) -> None:
        del self._pending[:count]
        due_bytes = self._intake.taken(count)
        if due_bytes:
            self._send(encode_credit(self.number, due_bytes))

    def _close_input(self) -> None:
        if self._input_fd >= 0 and self._input_fd not in self._outputs:
            os.close(self._input_fd)
            self._input_fd = -1

    @property
    def is_working(self) -> bool:
        """Whether it is to be looked after."""
        return True

    def bound(self, limits: ResourceLimits) -> None:
        """Have other limits hold.

        Raises:
            WireError: `provider.wire-order`: only those of a plan without input can be changed.
        """
        del limits
        raise WireError("an execution was bound that works", code="provider.wire-order")

    def give_credit(self, count: int) -> None:
        """Take note that the host can take more output.

        Raises:
            WireError: `provider.wire-order` for more than it can have taken.
        """
        self._allowance.grow(count)

    def read(self, descriptor: int) -> None:
        """Pass on what is there of its output."""
        kind = self._outputs.get(descriptor)
        if kind is None or self._allowance.left_bytes <= 0:
            return
        try:
            data = os.read(descriptor, min(READ_BYTES, self._allowance.left_bytes))
        except BlockingIOError:
            return
        except OSError as error:
            # Nobody has the other end of its terminal open: pty(7); or a guest was ended with something unread: unix(7)
            if error.errno not in (errno.EIO, errno.ECONNRESET):
                raise
            data = b""
        if data:
            self._allowance.spend(len(data))
        else:
            self._forget(descriptor)
        self._send(encode(self.number, kind, data))

    def _forget(self, descriptor: int) -> None:
        del self._outputs[descriptor]
        if descriptor == self._input_fd:
            self._input_fd = -1
        os.close(descriptor)

    def resize(self, rows: int, columns: int) -> None:
        """Give its terminal another size."""
        if self._input_fd >= 0:
            with contextlib.suppress(OSError):  # it has none, or has just ended
                terminals.set_size(self._input_fd, rows, columns)

    def has_ended(self, status: int) -> None:
        """Take note that its first process has ended; all else of it is ended, too."""
        self._status = status
        self.kill()

    def kill(self) -> None:
        """End it with all it has started."""
        if not self._is_killed:
            self._is_killed = True
            self._group.end()

    def check(self) -> None:
        """End it when it has used more processor time, or moved more bytes from and to drives, than it may."""
        used = {"cpu_ms": self._group.cpu_us() // 1000, "io_bytes": self._group.transferred_bytes() or 0}
        for limit, count in used.items():
            if count > getattr(self.limits, limit) and self._limit is None:
                self._limit = (limit, count)
                self.kill()

    @property
    def is_over(self) -> bool:
        """Whether its first process has ended and all it wrote was passed on."""
        return self._status is not None and not self._outputs

    def finish(self) -> None:
        """Say how it ended, as the last word on it, and give back what it had."""
        limit = self._limit
        reached = self._group.reached() if limit is None else None
        if reached is not None:
            limit = (reached, getattr(self.limits, reached))
        usage = self._group.usage()
        report = self._said() or {
            "status": KILLED if self._status is None else self._status,
            "private": root.private_space(),
        }
        self.close()
        body = {"report": report, "limit": limit, "usage": usage}
        self._send(encode_json(self.number, Kind.STATUS, body))

    def _said(self) -> dict[str, Any]:
        """Return why it could not begin or, of a program, how it ended; nothing when its first process was killed."""
        if self._said_fd < 0:
            return {}
        with open(self._said_fd, "rb") as pipe:  # noqa: PTH123 - a descriptor
            said = pipe.read(reports.REPORT_BYTES_MAX)
        self._said_fd = -1
        return reports.from_bytes(said) or {} if said else {}

    def close(self) -> None:
        """Give back what it had."""
        for descriptor in (self.pidfd, self._said_fd, self._input_fd, *self._outputs):
            if descriptor >= 0:
                with contextlib.suppress(OSError):
                    os.close(descriptor)
        self._release()

    def _release(self) -> None:
        self._group.remove()


class Plan(Stream):
    """A plan, which may have been begun before there was one: until it has input its process waits.

    Args:
        worker: Its process.
        facts: See `Stream`.
    """

    def __init__(self, worker: Worker, **facts: Any) -> None:
        super().__init__(pid=worker.pid, group=worker.group, **facts)
        self._worker = worker
        self._is_working = False

    @property
    def is_working(self) -> bool:
        """Whether there is a plan."""
        return self._is_working

    def bound(self, limits: ResourceLimits) -> None:
        """Have other limits hold, as long as there is none."""
        if self._is_working:
            super().bound(limits)
        self.limits = limits
        self._worker.bound(limits)

    def take_input(self, data: bytes) -> None:
        """See `Stream`."""
        self._is_working = True
        super().take_input(data)


class Rehearsal(Stream):
    """A plan of our own. The host ends it as it ends every plan, and its process and group stay for the next one."""

    def kill(self) -> None:
        """Let go of the connection."""
        for descriptor in list(self._outputs):
            self._forget(descriptor)
        if self._status is None:
            self._status = 0

    def _release(self) -> None:
        """Keep the group, and count from here."""
        self._group.count_from_here()
