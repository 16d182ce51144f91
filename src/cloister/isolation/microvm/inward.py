"""Connections to the host that something in a machine asks for.

Owns having each one decided, and the bytes of those that are accepted, as far as there is credit (`guest.flow`). All
are refused while nobody decides. What is asked for and what is sent is hostile: a frame that breaks the protocol ends
the machine, and what a connection may reach is the matter of whoever accepts it.
"""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Callable
from typing import Final, TypeAlias

from cloister.errors import CloisterError, EgressDenied, ProviderError, WireError, quoted
from cloister.isolation.microvm.guest.flow import READ_BYTES, Allowance, Intake
from cloister.isolation.microvm.guest.frames import (
    STREAMS_MAX,
    Frame,
    Kind,
    encode,
    encode_credit,
    encode_json,
)

Acceptor: TypeAlias = Callable[[str], socket.socket]
"""Returns the host's end of a connection for that purpose, a connected stream socket that it gives away, or raises a
CloisterError, of which code and message are told inside. Called in a thread of its own for each connection."""
PURPOSE_CHARS_MAX: Final = 200
MESSAGE_CHARS_MAX: Final = 400
Send = Callable[[bytes], None]


def refusal(purpose: str) -> EgressDenied:
    """Return the error for a connection that nobody accepts."""
    return EgressDenied(
        f'a program asked for a connection to the outside ("{quoted(purpose, 60)}"), and none is granted',
        code="denied.egress",
        hint="nothing in a virtual machine reaches a network unless the host accepts it",
    )


class _Passage:
    """One connection.

    Args:
        number: Of its stream.
        send: Sends frames.
    """

    def __init__(self, number: int, send: Send) -> None:
        self.number = number
        self.peer: socket.socket | None = None
        self._send = send
        self._pending = bytearray()
        self._intake = Intake()
        self._allowance = Allowance()
        self.is_refused = False
        self._is_read = False
        self._is_written = False
        self._is_broken = False

    def connect(self, peer: socket.socket) -> None:
        """Begin to carry."""
        peer.setblocking(False)
        self.peer = peer

    def watched(self, *, can_send: bool) -> dict[int, int]:
        """Return what to wait for at its descriptor, if anything."""
        if self.peer is None:
            return {}
        events = select.POLLIN if can_send and self._allowance.left_bytes > 0 and not self._is_read else 0
        events |= select.POLLOUT if self._pending else 0
        return {self.peer.fileno(): events} if events else {}

    def take(self, frame: Frame) -> None:
        """Take what the agent says.

        Raises:
            WireError: It may not say that now.
        """
        match frame.kind:
            case Kind.OUTPUT if self.peer is not None and not self._is_written:
                self._take_output(frame.body)
            case Kind.CREDIT if self.peer is not None:
                self._allowance.grow(frame.credit())
            case _:
                raise WireError(f"the agent may not say {frame.kind.name} now", code="provider.wire-order")

    def _take_output(self, data: bytes) -> None:
        self._intake.come(len(data))
        self._is_written = not data
        self._pending += data
        self.write()

    def write(self) -> None:
        """Pass on what is pending, as much as fits; what nobody takes any more is dropped."""
        while self._pending and self.peer is not None:
            try:
                count = len(self._pending) if self._is_broken else self.peer.send(self._pending[:READ_BYTES])
            except BlockingIOError:
                return
            except OSError:
                self._is_broken = True
                continue
            del self._pending[:count]
            self._took(count)
        if self._is_written and self.peer is not None:
            with contextlib.suppress(OSError):  # it is gone already
                self.peer.shutdown(socket.SHUT_WR)

    def _took(self, count: int) -> None:
        due_bytes = self._intake.taken(count)
        if due_bytes:
            self._send(encode_credit(self.number, due_bytes))

    def read(self) -> None:
        """Send what the other side of the connection has said."""
        if self.peer is None or self._is_read or self._allowance.left_bytes <= 0:
            return
        try:
            data = self.peer.recv(min(READ_BYTES, self._allowance.left_bytes))
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self._is_read = not data
        self._allowance.spend(len(data))
        self._send(encode(self.number, Kind.INPUT, data))

    def close(self) -> None:
        """Close the host's end."""
        if self.peer is not None:
            self.peer.close()
            self.peer = None


class Inward:
    """All connections of one machine. For the thread of its porter, but where it says otherwise.

    Args:
        send: Sends frames.
        wake: Has the porter take what was decided meanwhile.
    """

    def __init__(self, send: Send, wake: Callable[[], None]) -> None:
        self.acceptor: Acceptor | None = None
        self._send = send
        self._wake = wake
        self._passages: dict[int, _Passage] = {}
        self._lock = threading.Lock()
        self._decided: list[tuple[_Passage, socket.socket | CloisterError]] = []
        self._is_open = True

    def __repr__(self) -> str:
        return f"Inward({len(self._passages)} connections)"

    def take(self, frame: Frame) -> None:
        """Take a frame for one of them.

        Raises:
            WireError: The agent may not send that.
        """
        passage = self._passages.get(frame.stream)
        if frame.kind is Kind.OPEN and passage is None and frame.stream >= STREAMS_MAX:
            self._open(frame)
        elif passage is None:
            raise WireError("the agent speaks of a connection that is not there", code="provider.wire-order")
        elif frame.kind is Kind.END and (passage.peer is not None or passage.is_refused):
            del self._passages[frame.stream]
            passage.close()
            self._send(encode(frame.stream, Kind.END))
        else:
            passage.take(frame)

    def _open(self, frame: Frame) -> None:
        purpose = frame.data().get("purpose")
        if not isinstance(purpose, str) or len(purpose) > PURPOSE_CHARS_MAX:
            raise WireError("a connection was asked for without a purpose", code="provider.wire-shape")
        passage = self._passages[frame.stream] = _Passage(frame.stream, self._send)
        acceptor = self.acceptor
        if acceptor is None:
            self._refuse(passage, refusal(purpose))
            return
        # In a thread of its own: who carries for all must not wait for a decision
        threading.Thread(
            target=self._decide, args=(passage, acceptor, purpose), name="cloister-acceptor", daemon=True
        ).start()

    def _decide(self, passage: _Passage, acceptor: Acceptor, purpose: str) -> None:
        """Have one decided, in any thread. A defect of whoever decides refuses it."""
        answer: socket.socket | CloisterError = ProviderError(
            "whoever was to decide about a connection failed", code="provider.acceptor"
        )
        try:
            answer = acceptor(purpose)
        except CloisterError as error:
            answer = error
        finally:
            with self._lock:
                is_late = not self._is_open
                if not is_late:
                    self._decided.append((passage, answer))
            if is_late and isinstance(answer, socket.socket):
                answer.close()
            self._wake()

    def take_decided(self) -> None:
        """Answer what was decided meanwhile, and begin to carry what was accepted."""
        with self._lock:
            decided, self._decided = self._decided, []
        for passage, answer in decided:
            if isinstance(answer, CloisterError):
                self._refuse(passage, answer)
            else:
                passage.connect(answer)
                self._answer(passage, accepted=True, code="", message="")

    def _refuse(self, passage: _Passage, error: CloisterError) -> None:
        passage.is_refused = True
        self._answer(passage, accepted=False, code=error.code, message=quoted(error.message, MESSAGE_CHARS_MAX))

    def _answer(self, passage: _Passage, *, accepted: bool, code: str, message: str) -> None:
        body = {"accepted": accepted, "code": code, "message": message}
        self._send(encode_json(passage.number, Kind.ANSWER, body))

    def watched(self, *, can_send: bool) -> dict[int, int]:
        """Return the descriptors to wait for, and what for.

        Args:
            can_send: Whether there is room for what would be read.
        """
        found: dict[int, int] = {}
        for passage in self._passages.values():
            found |= passage.watched(can_send=can_send)
        return found

    def attend(self, descriptor: int) -> None:
        """Do what can be done for a descriptor that is ready."""
        for passage in self._passages.values():
            if passage.peer is not None and passage.peer.fileno() == descriptor:
                passage.write()
                passage.read()

    def close(self) -> None:
        """Close all of them; what is decided from now on is closed, too. Idempotent."""
        with self._lock:
            self._is_open = False
            decided, self._decided = self._decided, []
        for _, answer in decided:
            if isinstance(answer, socket.socket):
                answer.close()
        for passage in self._passages.values():
            passage.close()
        self._passages.clear()
