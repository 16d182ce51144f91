"""Keeping up with one running sandbox: its output, its guest's messages, and its end.

Owns moving the bytes, with a bound on each stream, and ending the sandbox when anything goes wrong on this side. What
the messages mean is `isolation.dialogue`'s; what an end means is `outcome`'s. All bytes come from a hostile guest,
except the record of the end, which is the launcher's.
"""

from __future__ import annotations

import json
import os
import select
import socket
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.errors import LaunchError, LimitExceeded, WireError
from cloister.isolation.dialogue import Dialogue
from cloister.isolation.process.nursery import RECORD_BYTES_MAX, RunningSandbox
from cloister.isolation.provider import OutputObserver
from cloister.isolation.wire import FrameDecoder, frame_bytes, pack
from cloister.isolation.wire_messages import GUEST_MESSAGES, HOST_MESSAGES, Message, checked
from cloister.limits import ResourceLimits

READ_BYTES: Final = 256 * 1024
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


class Conversation:
    """One sandbox being attended to, by one thread.

    Args:
        running: The sandbox; the caller ends it.
        limits: Bounds of the execution.
        dialogue: What the guest says goes there; None for programs.
        on_output: Sees output as it comes.
    """

    def __init__(
        self,
        running: RunningSandbox,
        limits: ResourceLimits,
        dialogue: Dialogue | None,
        on_output: OutputObserver | None,
    ) -> None:
        self._running = running
        self._limits = limits
        self._dialogue = dialogue
        self._on_output = on_output
        self._decoder = FrameDecoder(frame_bytes(limits), GUEST_MESSAGES)
        self._failure: Exception | None = None
        self._record: dict[str, Any] | None = None
        self._streams = {
            descriptor: _Stream(name, descriptor)
            for name, descriptor in (("stdout", running.stdout), ("stderr", running.stderr))
        }
        self._poll = select.poll()

    def attend(self, start: Message | None) -> Ending:
        """Start the guest if there is one, and stay until nothing of the sandbox is left.

        Args:
            start: The message that tells a guest what to do.

        Raises:
            LauncherLost: There will be no record of the end.
        """
        control, channel = self._running.control, self._running.channel
        for descriptor in (control.fileno(), *self._streams):
            self._poll.register(descriptor, select.POLLIN)
        if channel is not None and start is not None:
            self._poll.register(channel.fileno(), select.POLLIN)
            self._say(channel, start)
        open_streams = dict(self._streams)
        while self._record is None or open_streams:
            ready = self._poll.poll(self._limits.wall_ms + GRACE_MS)
            if not ready:
                raise LauncherLost("the launcher of sandboxes did not report the end of one in time")
            for descriptor, _ in ready:
                if descriptor == control.fileno():
                    self._take_record(control)
                elif descriptor in open_streams:
                    if not self._take_output(open_streams[descriptor]):
                        self._poll.unregister(descriptor)
                        del open_streams[descriptor]
                elif channel is not None:
                    self._take_messages(channel)
        stdout, stderr = (bytes(stream.data) for stream in self._streams.values())
        return Ending(record=self._record, stdout=stdout, stderr=stderr, failure=self._failure)

    def _fail(self, failure: Exception) -> None:
        """Remember the first failure and have the sandbox killed; its record is still awaited, so nothing is left."""
        if self._failure is None:
            self._failure = failure
        self._running.kill()

    def _take_record(self, control: socket.socket) -> None:
        try:
            data = control.recv(RECORD_BYTES_MAX)
        except ConnectionError:
            data = b""
        if not data:
            raise LauncherLost("the launcher of sandboxes ended while a sandbox ran")
        self._poll.unregister(control)
        self._record = json.loads(data)

    def _take_output(self, stream: _Stream) -> bool:
        piece = os.read(stream.descriptor, READ_BYTES)
        if not piece:
            return False
        room = self._limits.output_bytes - len(stream.data)
        shown = piece[:room] if room > 0 else b""
        stream.data += shown
        if shown and self._on_output is not None and self._failure is None:
            self._observe(stream.name, shown)
        if len(piece) > room and not isinstance(self._failure, LimitExceeded):
            self._fail(_too_much(stream, self._limits))
        return True

    def _observe(self, name: str, piece: bytes) -> None:
        try:
            assert self._on_output is not None  # noqa: S101 - for the type checker
            self._on_output(name, piece)
        except Exception as error:  # noqa: BLE001 - the caller's own error, raised to it after the sandbox has ended
            self._fail(error)

    def _take_messages(self, channel: socket.socket) -> None:
        try:
            data = channel.recv(READ_BYTES)
        except ConnectionError:
            data = b""
        try:
            if not data:
                self._poll.unregister(channel)
                self._decoder.finish()
                return
            self._decoder.feed(data)
            for message in self._decoder.messages():
                if self._failure is not None:
                    return
                self._answer(channel, message)
        except Exception as error:  # noqa: BLE001 - whatever the host's side raised; it is raised again after the end
            self._fail(error)

    def _answer(self, channel: socket.socket, message: Message) -> None:
        assert self._dialogue is not None  # noqa: S101 - a channel comes with a dialogue
        reply = self._dialogue.handle(message)
        if reply is not None:
            self._say(channel, reply)

    def _say(self, channel: socket.socket, message: Message) -> None:
        try:
            channel.sendall(pack(checked(message, HOST_MESSAGES), frame_bytes(self._limits)))
        except ConnectionError:
            return  # the guest is gone; the record says why
        except WireError as error:
            self._fail(error)


def _too_much(stream: _Stream, limits: ResourceLimits) -> LimitExceeded:
    return LimitExceeded(
        f"{stream.name} has more than the allowed {limits.output_bytes} bytes",
        limit="output_bytes",
        allowed=limits.output_bytes,
        unit="bytes",
        hint="print less, write a file instead, or raise the limit output_bytes",
    )
