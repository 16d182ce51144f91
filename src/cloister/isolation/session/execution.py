"""One execution in a session, as the host sees it, until nothing of it is left.

Owns its descriptors here, its deadline, the bounds of its output, and the order in which it ends: the warden inside is
asked first, and when it does not answer in time the whole session is killed. Everything that comes out of the sandbox
is hostile; a terminal that is handed over is checked for being one.
"""

from __future__ import annotations

import array
import contextlib
import errno
import fcntl
import os
import select
import socket
import stat
import termios
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Final, Self

from cloister.errors import LimitExceeded
from cloister.isolation.process import descriptors, outcome, reports
from cloister.isolation.provider import OutputObserver
from cloister.isolation.session.line import SessionLine
from cloister.isolation.session.orders import Order
from cloister.limits import ResourceLimits

READ_BYTES: Final = 64 * 1024
END_TIMEOUT_S: Final = 6.0
"""More than wardens and process 1 take for theirs."""
TERMINAL_MULTIPLEXER: Final = (5, 2)
"""Major and minor number of a master. Source: Documentation/admin-guide/devices.txt, TTYAUX_MAJOR."""


@dataclass(slots=True)
class _Stream:
    name: str
    data: bytearray = field(default_factory=bytearray)


class SessionExecution:
    """One execution. Entering its context starts it; leaving ends it and waits until nothing is left.

    Args:
        line: To the session.
        order: What to do.
        limits: `wall_ms` and `output_bytes` of them are enforced here, all others around the session.
        stdin: What the program finds on its standard input; None for a pipe that `write` fills.
        streams: Which outputs are collected; standard output of a copy is read with `read`.
        on_output: Sees output as it comes.
        hangup: Becomes readable when whoever wants the result has gone; None for nobody who could.
    """

    def __init__(
        self,
        line: SessionLine,
        order: Order,
        limits: ResourceLimits,
        *,
        stdin: bytes | None = b"",
        streams: tuple[str, ...] = ("stdout", "stderr"),
        on_output: OutputObserver | None = None,
        hangup: int | None = None,
    ) -> None:
        self._line = line
        self._order = order
        self._limits = limits
        self._stdin = stdin
        self._collected = streams
        self._on_output = on_output
        self._hangup = hangup
        self._ours = contextlib.ExitStack()
        self._streams: dict[int, _Stream] = {}
        self._open: set[int] = set()
        self._record: dict[str, Any] | None = None
        self._is_over = False
        self._end_by_s: float | None = None
        self.failure: BaseException | None = None
        self.terminal = -1
        self.started_s = time.monotonic()
        self._input = self._output = -1

    def __enter__(self) -> Self:
        try:
            with contextlib.ExitStack() as theirs:
                self._start(theirs)
        except BaseException:
            self._ours.close()
            raise
        return self

    def _start(self, theirs: contextlib.ExitStack) -> None:
        self.started_s = time.monotonic()
        self._report, their_report = descriptors.connection(socket.SOCK_SEQPACKET, self._ours, theirs)
        self._open.add(self._report.fileno())
        sent = [their_report.fileno()]
        if self._order.window is None:
            sent += self._pipes(theirs)
        self._line.send(descriptors.held(descriptors.sealed(self._order.to_bytes()), theirs), sent)

    def _pipes(self, theirs: contextlib.ExitStack) -> list[int]:
        if self._stdin is None:
            their_stdin, ours = os.pipe2(os.O_CLOEXEC)
            descriptors.held(their_stdin, theirs)
            self._input = ours
            os.set_blocking(ours, False)
        else:
            their_stdin = descriptors.held(descriptors.input_file(self._stdin), theirs)
        sent = [their_stdin]
        for name in ("stdout", "stderr"):
            read_end, their_end = os.pipe2(os.O_CLOEXEC)
            os.set_blocking(read_end, False)
            sent.append(descriptors.held(their_end, theirs))
            if name in self._collected:
                self._streams[descriptors.held(read_end, self._ours)] = _Stream(name)
                self._open.add(read_end)
            else:
                self._output = read_end
        return sent

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.end()
            while not self.has_ended:
                self.turn()
        finally:
            self.close_input()
            self.close_output()
            self._ours.close()

    @property
    def has_ended(self) -> bool:
        """Whether nothing of it is left."""
        return self._record is not None or self._is_over

    @property
    def wall_us(self) -> int:
        """How long it has taken."""
        return round((time.monotonic() - self.started_s) * 1e6)

    def end(self) -> None:
        """Ask for its end. The first call decides how long that may take."""
        if self._end_by_s is None and not self.has_ended:
            self._end_by_s = time.monotonic() + END_TIMEOUT_S
            with contextlib.suppress(OSError):
                self._report.shutdown(socket.SHUT_WR)

    def fail(self, failure: BaseException) -> None:
        """Remember the first thing that went wrong, and ask for the end."""
        if self.failure is None:
            self.failure = failure
        self.end()

    def wait(self) -> None:
        """Stay until nothing of it is left, taking its output."""
        while not self.has_ended:
            self.turn()
        self._drain()

    def turn(self, watched: dict[int, int] | None = None) -> set[int]:
        """Wait for the next thing to happen and attend to it.

        Args:
            watched: Further descriptors with the events of poll(2) they are watched for.

        Returns:
            Those of them where something happened.
        """
        end_fd = self._line.fileno()
        if end_fd < 0:
            self._is_over = True
            return set()
        poll = select.poll()
        for each in (*self._open, end_fd):
            poll.register(each, select.POLLIN)
        if self._hangup is not None and self._end_by_s is None:
            poll.register(self._hangup, select.POLLIN)
        for each, events in (watched or {}).items():
            poll.register(each, events)
        ready = {descriptor for descriptor, _ in poll.poll(self._patience_ms())}
        self._check_time()
        if self._hangup in ready and self._end_by_s is None and self._hangup not in (watched or {}):
            self.fail(KeyboardInterrupt())
        for descriptor in ready & self._open:
            self._take_output(descriptor) if descriptor in self._streams else self._take_report()
        if end_fd in ready and not self.has_ended and self._line.is_over(0):
            self._is_over = True
        return ready & (watched or {}).keys()

    def _patience_ms(self) -> int:
        until_s = self._end_by_s or self.started_s + self._limits.wall_ms / 1000
        return max(0, int((until_s - time.monotonic()) * 1000) + 1)

    def _check_time(self) -> None:
        now_s = time.monotonic()
        if self._end_by_s is not None:
            if now_s >= self._end_by_s and not self.has_ended:
                # It cannot be ended by itself, so all of the session is; then the end is only a matter of time
                self._line.kill()
                self._end_by_s = now_s + END_TIMEOUT_S
        elif now_s >= self.started_s + self._limits.wall_ms / 1000:
            self.fail(outcome.limit_error("wall_ms", self._limits, self.wall_us // 1000, "execution"))

    def _take_report(self) -> None:
        """Take one message of the warden: the terminal, or the end."""
        space = socket.CMSG_SPACE(array.array("i").itemsize)
        try:
            data, ancillary, _, _ = self._report.recvmsg(reports.REPORT_BYTES_MAX, space, socket.MSG_CMSG_CLOEXEC)
        except ConnectionError:
            data, ancillary = b"", []
        for _, _, rights in ancillary:
            received = array.array("i")
            received.frombytes(rights[: len(rights) - len(rights) % received.itemsize])
            for descriptor in received:
                self._take_terminal(descriptor)
        message = reports.from_bytes(data) if data else None
        if message == {}:
            return
        self._open.discard(self._report.fileno())
        if message is None:
            # The warden is gone without a word; process 1 has ended the rest, or is gone too
            self._is_over = self._line.is_over(END_TIMEOUT_S)
            message = {}
        if "limit" in message:
            self.failure = self.failure or outcome.limit_error(
                message["limit"], self._limits, message["used"], "execution"
            )
        status = message.pop("status", None)
        self._record = {"status": status, "reported": message}

    def _take_terminal(self, descriptor: int) -> None:
        facts = os.fstat(descriptor)
        device = (os.major(facts.st_rdev), os.minor(facts.st_rdev))
        if (
            self._order.window is None
            or self.terminal >= 0
            or not stat.S_ISCHR(facts.st_mode)
            or device != TERMINAL_MULTIPLEXER
        ):
            os.close(descriptor)
        else:
            os.set_blocking(descriptor, False)
            self.terminal = descriptors.held(descriptor, self._ours)

    def _take_output(self, descriptor: int) -> int:
        stream = self._streams[descriptor]
        try:
            piece = os.read(descriptor, READ_BYTES)
        except BlockingIOError:
            return 0
        if not piece:
            self._open.discard(descriptor)
            return 0
        shown = piece[: max(0, self._limits.output_bytes - len(stream.data))]
        stream.data += shown
        if shown and self._on_output is not None and self.failure is None:
            self._observe(self._on_output, stream.name, shown)
        if len(shown) < len(piece):
            self.fail(too_much(stream.name, self._limits))
        return len(piece)

    def _observe(self, on_output: Callable[[str, bytes], None], name: str, piece: bytes) -> None:
        try:
            on_output(name, piece)
        except Exception as error:  # noqa: BLE001 - the caller's own error, raised to it after the execution has ended
            self.fail(error)

    def _drain(self) -> None:
        """Take what is in the pipes now; a copy of their other end may be open in another execution for ever."""
        for descriptor in [each for each in self._open if each in self._streams]:
            left = readable_bytes(descriptor)
            while left > 0:
                left -= self._take_output(descriptor) or left

    def read(self, size: int) -> bytes:
        """Return what is next on an output that is not collected; nothing at its end, or after a failure."""
        while self.failure is None and not self._is_over and self._output >= 0:
            if self.has_ended and readable_bytes(self._output) == 0:
                return b""
            if self._output in self.turn({self._output: select.POLLIN}) or self.has_ended:
                with contextlib.suppress(BlockingIOError):
                    return os.read(self._output, size)
        return b""

    def write(self, data: bytes) -> None:
        """Give the program input.

        Raises:
            BrokenPipeError: It takes no more.
        """
        view = memoryview(data)
        while view:
            if self._input < 0 or self.failure is not None or self.has_ended:
                raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE))
            if self._input in self.turn({self._input: select.POLLOUT}):
                with contextlib.suppress(BlockingIOError):
                    view = view[os.write(self._input, view[:READ_BYTES]) :]

    def close_input(self) -> None:
        """Say that there is no more input. Idempotent."""
        if self._input >= 0:
            os.close(self._input)
            self._input = -1

    def close_output(self) -> None:
        """Read no more of an output that is not collected; whoever goes on writing to it fails. Idempotent."""
        if self._output >= 0:
            os.close(self._output)
            self._output = -1

    def collected(self, name: str) -> bytes:
        """Return what was written to one output so far."""
        return b"".join(bytes(stream.data) for stream in self._streams.values() if stream.name == name)

    def status(self) -> int:
        """Return the exit status, or the negative number of the signal that ended it.

        Raises:
            LimitExceeded: A limit was reached.
            LaunchError: It was not started.
            GuestCrashed: It ended without a result.
            CloisterError: Why the session has ended, when it ended with it.
        """
        if self._is_over or self._record is None:
            ended = self._line.end_error()
            # A limit of the session explains it better than what this side saw of it, but not an earlier failure
            raise self.failure or ended
        if self.failure is not None:
            raise self.failure
        failed = outcome.set_up_failure(self._record)
        if failed is not None:
            raise failed
        reached = outcome.limit_reached(self._record, self._limits)
        if reached is not None:
            raise reached
        status = outcome.exit_of(self._record).status
        if status is None:
            raise outcome.crash(self._record, self.collected("stderr"))
        return status


def readable_bytes(descriptor: int) -> int:
    """Return how many bytes can be read now. Source: pipe(7), FIONREAD."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def too_much(name: str, limits: ResourceLimits) -> LimitExceeded:
    """Return the error for output beyond its bound."""
    return LimitExceeded(
        f"{name} has more than the allowed {limits.output_bytes} bytes",
        limit="output_bytes",
        allowed=limits.output_bytes,
        unit="bytes",
        hint="print less, write a file instead, or raise the limit output_bytes",
    )
