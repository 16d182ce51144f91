"""The other end of a connection to a machine: what a test says there, and an agent that keeps granted files on disk."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloister.isolation.copying.archive import Bounds, CopyRefused, pack
from cloister.isolation.copying.unpacking import Unpacking
from cloister.isolation.microvm.guest.frames import (
    ORDER_BYTES_MAX,
    WINDOW_BYTES,
    Decoder,
    Frame,
    Kind,
    encode,
    encode_credit,
    encode_json,
)

USAGE = {"cpu_user_us": 1, "cpu_system_us": 2, "memory_peak_bytes": 3, "io_read_bytes": 4, "io_write_bytes": 5}
PRIVATE = {"free_bytes": 1, "free_inodes": 1}
ROOM = Bounds(content_bytes=1 << 40, entries_count=1 << 20)


def status(code: int = 0, **facts: object) -> dict[str, Any]:
    """What an agent says of the end of an execution."""
    return {"report": {"status": code, "private": PRIVATE}, "limit": None, "usage": USAGE, **facts}


class Peer:
    """What a test says in the place of an agent."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self._decoder = Decoder(ORDER_BYTES_MAX)
        self._frames: list[Frame] = []

    def next(self, timeout_s: float = 5.0) -> Frame:
        """Return what comes next; the end of the connection is an `EOFError`."""
        self.connection.settimeout(timeout_s)
        while not self._frames:
            data = self.connection.recv(1 << 16)
            if not data:
                raise EOFError
            self._frames += self._decoder.feed(data)
        return self._frames.pop(0)

    def await_kind(self, kind: Kind) -> Frame:
        """Return the next frame of a kind."""
        while (frame := self.next()).kind is not kind:
            pass
        return frame

    def is_hung_up(self) -> bool:
        """Whether the other end closes the connection, whatever it says before."""
        try:
            while True:
                self.next()
        except (EOFError, ConnectionError):
            return True
        except TimeoutError:
            return False

    def say(self, stream: int, kind: Kind, body: bytes = b"") -> None:
        self.connection.sendall(encode(stream, kind, body))

    def say_json(self, stream: int, kind: Kind, data: dict[str, Any]) -> None:
        self.connection.sendall(encode_json(stream, kind, data))

    def give_credit(self, stream: int, count: int) -> None:
        self.connection.sendall(encode_credit(stream, count))


def adopt(peer: Peer, clock_ns: int | None = None) -> None:
    """Answer to being adopted, with the clock that was set or another one; before that, to being prepared."""
    while (frame := peer.next()).kind is Kind.REHEARSE:
        peer.say_json(0, Kind.REHEARSE, {})
    assert frame.kind is Kind.ADOPT
    given = frame.data()
    peer.say_json(0, Kind.ADOPT, {"clock_ns": given["clock_ns"] if clock_ns is None else clock_ns})


class FileAgent:
    """An agent that unpacks what is granted below a directory, and packs what is asked back; for small files.

    Attributes:
        between: Called with the directory of the copies before anything is given back: what an execution would do.
        in_place: What is sent in the place of a copy; None for the copy.
        orders: All that were given.
    """

    def __init__(self, connection: socket.socket, directory: Path) -> None:
        self.between: Callable[[Path], None] = lambda _: None
        self.in_place: bytes | None = None
        self.orders: list[dict[str, Any]] = []
        self._peer = Peer(connection)
        self._directory = directory
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._peer.connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._peer.connection.close()

    def _run(self) -> None:
        with contextlib.suppress(EOFError, OSError):
            adopt(self._peer)
            streams: dict[int, tuple[dict[str, Any], bytearray]] = {}
            while True:
                frame = self._peer.next(30)
                if frame.kind is Kind.ORDER:
                    self.orders.append(frame.data())
                    streams[frame.stream] = (frame.data(), bytearray())
                    if frame.data()["do"] != "grant":
                        self._do(frame.stream, *streams.pop(frame.stream))
                elif frame.kind is Kind.INPUT and frame.stream in streams:
                    order, data = streams[frame.stream]
                    data += frame.body
                    if not frame.body:
                        self._do(frame.stream, order, streams.pop(frame.stream)[1])
                    else:
                        self._peer.give_credit(frame.stream, len(frame.body))

    def _do(self, stream: int, order: dict[str, Any], data: bytearray) -> None:
        code = 0
        try:
            if order["do"] == "grant":
                self._unpack(order["index"], bytes(data))
            elif order["do"] == "give-back":
                self._send(stream, self._packed(order["index"]))
        except CopyRefused as error:
            code = 0x0100
            self._peer.say(stream, Kind.ERRORS, str(error).encode())
        for kind in (Kind.OUTPUT, Kind.ERRORS):
            self._peer.say(stream, kind)
        self._peer.say_json(stream, Kind.STATUS, status(code))

    def _unpack(self, index: int, data: bytes) -> None:
        store = self._directory / str(index)
        store.mkdir(exist_ok=True)
        with Unpacking(str(store), ROOM, may_leave=lambda *_: True) as unpacking:
            unpacking.read(io.BytesIO(data))
            unpacking.commit()

    def _packed(self, index: int) -> bytes:
        (top,) = (self._directory / str(index)).iterdir()
        self.between(top)
        sent = io.BytesIO()
        pack(str(top), sent, ROOM)
        return sent.getvalue() if self.in_place is None else self.in_place

    def _send(self, stream: int, content: bytes) -> None:
        """Send as far as there is credit, until it is not wanted any more."""
        credit = WINDOW_BYTES
        while content:
            piece, content = content[: min(credit, 1 << 15)], content[min(credit, 1 << 15) :]
            self._peer.say(stream, Kind.OUTPUT, piece)
            credit -= len(piece)
            while not credit and (frame := self._peer.next()).kind is not Kind.END:
                credit += frame.credit()
            if not credit:
                return


def wait_until(holds: Callable[[], bool], timeout_s: float = 5.0) -> bool:
    """Look until something holds; return whether it does."""
    deadline_s = time.monotonic() + timeout_s
    while not holds() and time.monotonic() < deadline_s:
        threading.Event().wait(0.005)
    return holds()
