"""The one way from inside a machine to its host: a port of the loopback, whose connections the host decides about.

Owns the port, asking, and the bytes of what the host has accepted, as far as there is credit (`flow`). It decides
nothing: what the host refuses is told why in one line and gets nothing else. There are only so many connections at once
as there are numbers for them. Whoever connects is hostile, and so is all they send. Part of the guest set: standard
library only.
"""

from __future__ import annotations

import contextlib
import json
import socket
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Final

from cloister.errors import WireError
from cloister.isolation.microvm.guest.flow import READ_BYTES, Allowance, Intake
from cloister.isolation.microvm.guest.frames import (
    INWARD_MAX,
    STREAMS_MAX,
    Frame,
    Kind,
    encode,
    encode_credit,
    encode_json,
)

PORT: Final = 3128
"""Where programs find it, at 127.0.0.1: the number that is usual for proxies."""
PURPOSE: Final = "egress"
BACKLOG: Final = 16
Send = Callable[[bytes], None]


class _State(Enum):
    ASKED = auto()
    ACCEPTED = auto()
    REFUSED = auto()
    OVER = auto()
    """Its connection is closed and the host was told; the host has not said so itself yet."""


class _Passage:
    """One connection.

    Args:
        number: Of its stream.
        connection: From whoever asked.
        send: Sends frames.
    """

    def __init__(self, number: int, connection: socket.socket, send: Send) -> None:
        connection.setblocking(False)
        self.state = _State.ASKED
        self.is_ended_by_host = False
        self._number = number
        self._connection = connection
        self._descriptor = connection.fileno()
        self._send = send
        self._pending = bytearray()
        self._intake = Intake()
        self._allowance = Allowance()
        self._is_read = False
        self._is_input_over = False

    def watched(self) -> dict[int, bool]:
        """Return its descriptor if it is to be waited for: whether for writing, too."""
        is_open = self.state in {_State.ACCEPTED, _State.REFUSED}
        wants_more = is_open and not self._is_read and (self.state is _State.REFUSED or self._allowance.left_bytes > 0)
        if not wants_more and not self._pending:
            return {}
        return {self._descriptor: bool(self._pending)}

    def take(self, frame: Frame) -> None:
        """Take what the host says.

        Raises:
            WireError: `provider.wire-order` for what it may not say now.
        """
        match frame.kind:
            case Kind.ANSWER if self.state is _State.ASKED:
                self._take_answer(frame.data())
            case Kind.INPUT if not self._is_input_over:
                self._take_input(frame.body)
            case Kind.CREDIT:
                self._allowance.grow(frame.credit())
            case Kind.END if not self.is_ended_by_host:
                self.is_ended_by_host = True
                self.end()
            case _:
                raise WireError(f"the host may not say {frame.kind.name} now", code="provider.wire-order")

    def _take_answer(self, answer: dict[str, Any]) -> None:
        if answer["accepted"]:
            self.state = _State.ACCEPTED
            return
        self.state = _State.REFUSED
        line = json.dumps({"code": answer["code"], "message": answer["message"]}).encode("ascii") + b"\n"
        self._is_input_over = True
        self._pending += line
        self.write()

    def _take_input(self, data: bytes) -> None:
        if self.state is _State.OVER:
            return  # it was on its way when this side ended
        if self.state is not _State.ACCEPTED:
            raise WireError("something came for a connection before its answer", code="provider.wire-order")
        self._intake.come(len(data))
        self._is_input_over = not data
        self._pending += data
        self.write()

    def write(self) -> None:
        """Pass on what is pending, as much as fits."""
        while self._pending:
            try:
                count = self._connection.send(self._pending[:READ_BYTES])
            except BlockingIOError:
                return
            except OSError:  # nobody is there to read it any more
                self.end()
                return
            del self._pending[:count]
            self._took(count)
        if self._is_input_over and self.state is not _State.OVER:
            with contextlib.suppress(OSError):  # it is gone already
                self._connection.shutdown(socket.SHUT_WR)
            self._end_if_done()

    def _took(self, count: int) -> None:
        if self.state is _State.ACCEPTED:  # the line of a refusal did not come from the host
            due_bytes = self._intake.taken(count)
            if due_bytes:
                self._send(encode_credit(self._number, due_bytes))

    def read(self) -> None:
        """Pass on what was sent from inside; of a connection that was refused it is dropped."""
        room = READ_BYTES if self.state is _State.REFUSED else min(READ_BYTES, self._allowance.left_bytes)
        if self.state not in {_State.ACCEPTED, _State.REFUSED} or self._is_read or room <= 0:
            return
        try:
            data = self._connection.recv(room)
        except BlockingIOError:
            return
        except OSError:
            self.end()
            return
        self._is_read = not data
        if self.state is _State.ACCEPTED:
            self._allowance.spend(len(data))
            self._send(encode(self._number, Kind.OUTPUT, data))
        self._end_if_done()

    def _end_if_done(self) -> None:
        if self._is_read and self._is_input_over and not self._pending:
            self.end()

    def end(self) -> None:
        """Close it and say so. Idempotent."""
        if self.state is not _State.OVER:
            self.state = _State.OVER
            self._pending.clear()
            self.close()
            self._send(encode(self._number, Kind.END))

    def close(self) -> None:
        """Close it. Idempotent."""
        self._connection.close()


class Door:
    """The port and all its connections.

    Args:
        listener: The listening socket.
        send: Sends frames.
    """

    def __init__(self, listener: socket.socket, send: Send) -> None:
        listener.setblocking(False)
        self._listener = listener
        self._send = send
        self._passages: dict[int, _Passage] = {}

    @classmethod
    def at_loopback(cls, send: Send) -> Door:
        """Open it in the network namespace of this process, whose loopback device is up."""
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        listener.bind(("127.0.0.1", PORT))
        listener.listen(BACKLOG)
        return cls(listener, send)

    def watched(self) -> dict[int, bool]:
        """Return the descriptors to wait for: whether for writing, too."""
        found = {self._listener.fileno(): False} if len(self._passages) < INWARD_MAX else {}
        for passage in self._passages.values():
            found |= passage.watched()
        return found

    def attend(self, descriptor: int) -> None:
        """Do what can be done for a descriptor that is ready."""
        if descriptor == self._listener.fileno():
            self._accept()
            return
        for passage in self._passages.values():
            if descriptor in passage.watched():
                passage.write()
                passage.read()
                break
        self._forget()

    def take(self, frame: Frame) -> None:
        """Take a frame of the host for one of the streams that were opened here.

        Raises:
            WireError: `provider.wire-order` for one that it may not send.
        """
        passage = self._passages.get(frame.stream)
        if passage is None:
            raise WireError("the host speaks of a connection that is not there", code="provider.wire-order")
        passage.take(frame)
        self._forget()

    def _forget(self) -> None:
        done = [
            number
            for number, each in self._passages.items()
            if each.state is _State.OVER and each.is_ended_by_host
        ]  # fmt: skip
        for number in done:
            del self._passages[number]

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except OSError:  # whoever asked has gone
            return
        number = next(each for each in range(STREAMS_MAX, STREAMS_MAX + INWARD_MAX) if each not in self._passages)
        self._passages[number] = _Passage(number, connection, self._send)
        self._send(encode_json(number, Kind.OPEN, {"purpose": PURPOSE}))

    def close(self) -> None:
        """Close the port and all connections, which the host is not told."""
        self._listener.close()
        for passage in self._passages.values():
            passage.close()
