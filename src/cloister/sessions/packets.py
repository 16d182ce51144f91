"""What a command and the holder of a session say to each other.

Owns the packets: one byte that says what it is, then at most 64 KiB. Both ends are processes of one user, which the
holder verifies; each still bounds what it takes. An error crosses as its data and is shown by the command as it is.

Source: unix(7), SO_PEERCRED; `struct ucred` of include/linux/socket.h.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import struct
from collections.abc import Iterator, Mapping
from enum import Enum
from typing import Any, Final

from cloister.errors import CloisterError, ProviderError
from cloister.isolation.session_provider import WindowSize

PIECE_BYTES: Final = 64 * 1024
JSON_BYTES_MAX: Final = 4 * 1024 * 1024
_WINDOW: Final = struct.Struct("=HH")
_CREDENTIALS: Final = struct.Struct("=iII")


class Kind(Enum):
    """The first byte of a packet."""

    JSON_PART = b"j"
    """The beginning of an object that goes on in the next packet."""
    JSON = b"J"
    """The end of an object, or all of it."""
    INPUT = b"i"
    """Standard input, or what was typed; an empty one is its end."""
    WINDOW = b"w"
    """Rows and columns of the user's window."""
    STDOUT = b"o"
    """Standard output, or what the terminal shows."""
    STDERR = b"e"
    """Standard error."""


class HeldError(CloisterError):
    """What the holder of a session reports, with the class and the exit status it had there."""

    def __init__(self, data: Mapping[str, Any], exit_status: int) -> None:
        super().__init__(
            str(data.get("message")),
            code=str(data.get("code")),
            kind=data.get("kind"),
            hint=data.get("hint"),
            details=data.get("details"),
        )
        self.exit_status = exit_status  # type: ignore[misc]  # of the class everywhere else
        self._type = str(data.get("type"))

    def to_dict(self) -> dict[str, Any]:
        """Return the error as it was there."""
        return super().to_dict() | {"type": self._type}


class Connection:
    """One end.

    Args:
        sock: A connected packet socket; closed with this.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._socket = sock

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *exception: object) -> None:
        self._socket.close()

    def fileno(self) -> int:
        """Return the descriptor."""
        return self._socket.fileno()

    def peer(self) -> tuple[int, int]:
        """Return process and user id of the other end, as they were when it connected or began to listen."""
        data = self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        process, user, _ = _CREDENTIALS.unpack(data)
        return process, user

    def limit_waits(self, seconds: float | None) -> None:
        """Let sending and receiving fail with TimeoutError after that time; None for never."""
        self._socket.settimeout(seconds)

    def send(self, kind: Kind, data: bytes = b"", *, is_waiting: bool = True) -> None:
        """Send one packet.

        Args:
            kind: What it is.
            data: At most `PIECE_BYTES`.
            is_waiting: Whether to wait for room.

        Raises:
            BlockingIOError: There is no room now.
            OSError: The other end is gone.
        """
        self._socket.send(kind.value + data, 0 if is_waiting else socket.MSG_DONTWAIT)

    def send_bytes(self, kind: Kind, data: bytes) -> None:
        """Send bytes of any length in as many packets as they need."""
        for start in range(0, len(data), PIECE_BYTES):
            self.send(kind, data[start : start + PIECE_BYTES])

    def send_window(self, size: WindowSize) -> None:
        """Send the size of a window."""
        self.send(Kind.WINDOW, _WINDOW.pack(size.rows, size.columns))

    def send_json(self, value: Mapping[str, Any]) -> None:
        """Send an object."""
        data = json.dumps(value, ensure_ascii=True).encode("ascii")
        pieces = [data[start : start + PIECE_BYTES] for start in range(0, len(data), PIECE_BYTES)]
        for piece in pieces[:-1]:
            self.send(Kind.JSON_PART, piece)
        self.send(Kind.JSON, pieces[-1])

    def receive(self, *, is_waiting: bool = True) -> tuple[Kind, bytes] | None:
        """Return the next packet; None when the other end is gone.

        Raises:
            BlockingIOError: There is none now.
            ProviderError: `provider.session-packet`: it is none of ours.
        """
        flags = 0 if is_waiting else socket.MSG_DONTWAIT
        try:
            data = self._socket.recv(PIECE_BYTES + 1, flags)
        except ConnectionResetError:
            # It left without reading all; what it said before is still there
            data = self._socket.recv(PIECE_BYTES + 1, flags)
        if not data:
            return None
        try:
            return Kind(data[:1]), data[1:]
        except ValueError:
            raise _malformed() from None

    def packets(self) -> Iterator[tuple[Kind, bytes]]:
        """Yield packets until the other end is gone."""
        while (packet := self.receive()) is not None:
            yield packet

    def receive_json(self, first: tuple[Kind, bytes] | None = None) -> dict[str, Any] | None:
        """Return the next object; None when the other end is gone before it is complete.

        Args:
            first: A packet of it that was received already.

        Raises:
            ProviderError: `provider.session-packet`: something else came, or it is too large.
        """
        data = b""
        while (packet := first or self.receive()) is not None:
            first = None
            kind, piece = packet
            data += piece
            if kind not in (Kind.JSON, Kind.JSON_PART) or len(data) > JSON_BYTES_MAX:
                raise _malformed()
            if kind is Kind.JSON:
                with contextlib.suppress(ValueError, RecursionError):
                    value = json.loads(data)
                    if isinstance(value, dict):
                        return value
                raise _malformed()
        return None


def window_of(data: bytes) -> WindowSize:
    """Return the size that `Connection.send_window` sent.

    Raises:
        ProviderError: `provider.session-packet`.
    """
    if len(data) != _WINDOW.size:
        raise _malformed()
    rows, columns = _WINDOW.unpack(data)
    return WindowSize(rows=rows, columns=columns)


def failure(error: CloisterError) -> dict[str, Any]:
    """Return the answer that an error is."""
    return {"ok": False, "error": error.to_dict(), "exit_status": error.exit_status}


def checked_answer(answer: Mapping[str, Any] | None) -> Mapping[str, Any]:
    """Return an answer that tells of success.

    Raises:
        HeldError: It tells of an error.
        ProviderError: `provider.session-stale`: there is none.
    """
    if answer is None:
        raise ProviderError(
            "the process that holds the session ended before it answered",
            code="provider.session-stale",
            hint="`cloister session list` shows which sessions there are, `cloister audit show` what happened",
        )
    if answer.get("ok") is not True:
        raise HeldError(answer.get("error") or {}, int(answer.get("exit_status") or 70))
    return answer


class ConnectionPeer:
    """The user's side of a terminal, at the other end of a connection; implements `TerminalPeer`.

    Args:
        connection: Where to.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def fileno(self) -> int:
        """Return the descriptor of the connection."""
        return self._connection.fileno()

    def receive(self) -> bytes | WindowSize | None:
        """Return what was typed, or a new size; None when the user is gone."""
        packet = self._connection.receive(is_waiting=False)
        if packet is None:
            return None
        kind, data = packet
        if kind is Kind.WINDOW:
            return window_of(data)
        if kind is not Kind.INPUT:
            raise _malformed()
        return data

    def send(self, data: bytes) -> None:
        """Show output, if there is room for it now."""
        self._connection.send(Kind.STDOUT, data, is_waiting=False)


def _malformed() -> ProviderError:
    return ProviderError(
        "the other end of the session's socket does not speak this version's language",
        code="provider.session-packet",
        hint="end the session with the version of cloister that made it",
    )


def require_same_user(connection: Connection) -> None:
    """Accept a connection from a process of this user.

    Raises:
        ProviderError: `provider.session-peer`.
    """
    if connection.peer()[1] != os.geteuid():
        raise ProviderError("another user tried to use this session", code="provider.session-peer")
