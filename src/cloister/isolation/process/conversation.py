"""Keeping up with one execution that runs: its output, its guest's messages, and its end.

Owns moving the bytes, with a bound on each stream, and ending the execution when anything goes wrong on this side. What
the messages mean is `isolation.dialogue`'s; what an end means is `outcome`'s; whether it runs in a sandbox or in a
machine is its provider's. All bytes come from a hostile guest, except the record of the end, which is the host's own.
"""

from __future__ import annotations

import array
import fcntl
import json
import os
import select
import socket
import termios
import time
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from cloister.errors import LaunchError, LimitExceeded, WireError
from cloister.isolation.dialogue import Dialogue
from cloister.isolation.process.lanes import MESSAGE_BYTES_MAX
from cloister.isolation.provider import OutputObserver
from cloister.isolation.wire import FrameDecoder, frame_bytes, frame_elements, pack
from cloister.isolation.wire_messages import GUEST_MESSAGES, HOST_MESSAGES, Message, checked
from cloister.limits import ResourceLimits

READ_BYTES: Final = 64 * 1024
"""At a time. The memory for it is asked for at each read, and more than 128 KiB would be mapped anew each time."""
_AT_ONCE: Final = int(socket.MSG_DONTWAIT)
STOLEN: Final = -1
"""In place of a count: there was something, and now there is nothing, and there may be more."""
GRACE_MS: Final = 10_000
"""How long after the deadline a record of the end is awaited before the launcher itself is given up."""


class LauncherLost(LaunchError):
    """The launcher ended, or stopped answering, while the sandbox ran; the sandbox died with it."""

    default_code = "provider.launcher"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """How an execution ended.

    Attributes:
        record: The launcher's record of it.
        stdout: What was written, up to its bound.
        stderr: What was written, up to its bound.
        failure: What went wrong on this side or was reported by the guest; None when nothing did.
    """

    record: dict[str, Any]
    stdout: bytes
    stderr: bytes
    failure: Exception | None


@dataclass(slots=True)
class _Stream:
    name: str
    descriptor: int
    data: bytearray = field(default_factory=bytearray)
    is_ready: bool = False


class Running(Protocol):
    """An execution that runs, as far as whoever attends to it needs to know it."""

    @property
    def control(self) -> socket.socket:
        """The record of its end arrives on it."""

    @property
    def stdout(self) -> int:
        """Read end."""

    @property
    def stderr(self) -> int:
        """Read end."""

    @property
    def channel(self) -> socket.socket | None:
        """Connection to a guest; None for programs."""

    @property
    def is_plain(self) -> bool:
        """Whether a guest may be concluded as soon as it has given its result."""

    is_over: bool
    """Whether it has ended, and how is known."""

    def prepare_conclusion(self) -> None:
        """Do, while the guest works, what would take time later."""

    def conclude(self) -> dict[str, Any] | None:
        """End a guest that has given its result; return the record of its end, None when that will arrive."""

    def kill(self) -> None:
        """Have it ended with all it has started; its record still arrives."""


class Conversation:
    """One execution being attended to, by one thread.

    Args:
        running: It; the caller ends it.
        limits: Bounds of the execution.
        dialogue: What the guest says goes there; None for programs.
        on_output: Sees output as it comes.
    """

    def __init__(
        self,
        running: Running,
        limits: ResourceLimits,
        dialogue: Dialogue | None,
        on_output: OutputObserver | None,
    ) -> None:
        self._running = running
        self._limits = limits
        self._dialogue = dialogue
        self._on_output = on_output
        self._decoder = FrameDecoder(frame_bytes(limits), GUEST_MESSAGES, frame_elements(limits))
        self._failure: Exception | None = None
        self._record: dict[str, Any] | None = None
        self._streams = {
            descriptor: _Stream(name, descriptor)
            for name, descriptor in (("stdout", running.stdout), ("stderr", running.stderr))
        }
        self._open = set(self._streams)
        self._poll = select.poll()

    def attend(self) -> Ending:
        """Stay until nothing of the sandbox is left.

        Raises:
            LauncherLost: There will be no record of the end.
        """
        control, channel = self._running.control, self._running.channel
        self._running.prepare_conclusion()
        for descriptor in (control.fileno(), *self._streams):
            self._poll.register(descriptor, select.POLLIN)
        if channel is not None:
            self._open.add(channel.fileno())
            self._poll.register(channel.fileno(), select.POLLIN)
        deadline_s = time.monotonic() + self._patience_s
        while self._record is None:
            # Absolute: a guest that keeps talking must not put it off
            ready = self._poll.poll(max(0, (deadline_s - time.monotonic()) * 1000))
            descriptors = [descriptor for descriptor, _ in ready]
            if time.monotonic() >= deadline_s and control.fileno() not in descriptors:
                raise LauncherLost("the launcher of sandboxes did not report the end of one in time")
            for descriptor in descriptors:
                self._attend_to(descriptor)
        self._drain()
        stdout, stderr = (bytes(stream.data) for stream in self._streams.values())
        return Ending(record=self._record, stdout=stdout, stderr=stderr, failure=self._failure)

    @property
    def _patience_s(self) -> float:
        return (self._limits.wall_ms + GRACE_MS) / 1000

    def _attend_to(self, descriptor: int) -> int:
        """Take what is there from one descriptor; return how many bytes, 0 when there will be no more, or `STOLEN`."""
        if descriptor == self._running.control.fileno():
            taken = self._take_record(self._running.control)
        elif descriptor in self._streams:
            taken = self._take_output(self._streams[descriptor])
        else:
            taken = self._take_messages()
        if taken == 0:
            self._poll.unregister(descriptor)
            self._open.discard(descriptor)
        return taken

    def _drain(self) -> None:
        """Take what is in the pipes and the channel at this moment, and wait for no more.

        Nothing of the sandbox is left, so all it wrote is there. A copy of the other end that it gave away may stay
        open for as long as its holder likes, and may go on writing; that is not waited for.
        """
        for descriptor, _ in self._poll.poll(0):
            if descriptor not in self._open:
                continue
            remaining = _readable_bytes(descriptor)
            while remaining > 0 and (taken := self._attend_to(descriptor)) > 0:
                remaining -= taken
        if self._running.channel is not None and self._running.channel.fileno() in self._open:
            self._end_of_messages()

    def _fail(self, failure: Exception) -> None:
        """Remember the first failure and have the sandbox killed; its record is still awaited, so nothing is left."""
        if self._failure is None:
            self._failure = failure
        self._running.kill()

    def _take_record(self, control: socket.socket) -> int:
        try:
            data = control.recv(MESSAGE_BYTES_MAX)
        except ConnectionResetError:
            # It closed its end before it read all that was said from here. What it said itself is still there.
            data = control.recv(MESSAGE_BYTES_MAX)
        if not data:
            raise LauncherLost("the launcher of sandboxes ended while a sandbox ran")
        self._record = json.loads(data)
        self._running.is_over = True
        return len(data)

    def _take_output(self, stream: _Stream) -> int:
        if not stream.is_ready:
            os.set_blocking(stream.descriptor, False)
            stream.is_ready = True
        try:
            piece = os.read(stream.descriptor, READ_BYTES)
        except BlockingIOError:
            return STOLEN  # by whoever has the other end, and so can open this one as well
        room = self._limits.output_bytes - len(stream.data)
        shown = piece[:room] if room > 0 else b""
        stream.data += shown
        if shown and self._on_output is not None and self._failure is None:
            self._observe(stream.name, shown)
        if len(piece) > room and not isinstance(self._failure, LimitExceeded):
            self._fail(_too_much(stream, self._limits))
        return len(piece)

    def _observe(self, name: str, piece: bytes) -> None:
        try:
            assert self._on_output is not None  # noqa: S101 - for the type checker
            self._on_output(name, piece)
        except Exception as error:  # noqa: BLE001 - the caller's own error, raised to it after the sandbox has ended
            self._fail(error)

    def _take_messages(self) -> int:
        channel = self._running.channel
        assert channel is not None  # noqa: S101 - for the type checker
        try:
            data = channel.recv(READ_BYTES, _AT_ONCE)
        except BlockingIOError:
            return STOLEN
        except ConnectionError:
            data = b""
        if not data:
            self._end_of_messages()
            return 0
        try:
            self._decoder.feed(data)
            for message in self._decoder.messages():
                if self._failure is not None:
                    break
                self._answer(channel, message)
            if self._failure is None and (ahead := self._ahead()):
                self._say(channel, *ahead)
        except Exception as error:  # noqa: BLE001 - whatever the host's side raised; it is raised again after the end
            self._fail(error)
        return len(data)

    def _end_of_messages(self) -> None:
        try:
            self._decoder.finish()
        except WireError as error:
            self._fail(error)

    def _ahead(self) -> list[Message]:
        return [] if self._dialogue is None else self._dialogue.ahead()

    def _answer(self, channel: socket.socket, message: Message) -> None:
        assert self._dialogue is not None  # noqa: S101 - a channel comes with a dialogue
        reply = self._dialogue.handle(message)
        if reply is not None:
            self._say(channel, reply)
        elif self._dialogue.is_ended and self._running.is_plain:
            self._record = self._running.conclude()

    def _say(self, channel: socket.socket, *messages: Message) -> None:
        bytes_max = frame_bytes(self._limits)
        try:
            frames = b"".join([pack(checked(message, HOST_MESSAGES), bytes_max) for message in messages])
            _send(channel, frames, self._patience_s)
        except (ConnectionError, TimeoutError):
            return  # the guest is gone; the record says why
        except WireError as error:
            self._fail(error)


def _send(channel: socket.socket, frames: bytes, patience_s: float) -> None:
    """Send frames: at once when there is room, which costs one system call, else as they are read.

    Raises:
        ConnectionError: The other end is gone.
        TimeoutError: It was not read in time: someone else may hold the guest's end, and never read.
    """
    try:
        sent = channel.send(frames, _AT_ONCE)
    except BlockingIOError:
        sent = 0
    if sent < len(frames):
        channel.settimeout(patience_s)
        try:
            channel.sendall(memoryview(frames)[sent:])
        finally:
            channel.settimeout(None)


def _readable_bytes(descriptor: int) -> int:
    """Return how many bytes can be read from a pipe or a stream socket now. Source: pipe(7) and unix(7), FIONREAD."""
    count = array.array("i", [0])
    fcntl.ioctl(descriptor, termios.FIONREAD, count)
    return count[0]


def _too_much(stream: _Stream, limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        f"{stream.name} has more than the allowed {limits.output_bytes} bytes",
        limit="output_bytes",
        allowed=limits.output_bytes,
        unit="bytes",
        hint="print less, write a file instead, or raise the limit output_bytes",
    )
