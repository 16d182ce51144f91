"""What a command can ask of the holder of a session.

Owns the requests and their answers; each is done in the thread of its connection. When the other end goes away, what
was done for it ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from enum import Enum, auto
from typing import Any, Final

from cloister.errors import InputError, LimitExceeded
from cloister.isolation.provider import ExecutionResult
from cloister.isolation.session_provider import CopyFacts, WindowSize
from cloister.plan.session import Session
from cloister.sessions.packets import Connection, ConnectionPeer, Kind

STDIN_BYTES_MAX: Final = 16 * 2**20


class Served(Enum):
    """What becomes of a connection."""

    DONE = auto()
    CLOSE = auto()
    """It asked for the end of the session, and is answered after it."""


def serve_request(session: Session, connection: Connection, describe: Callable[[], dict[str, Any]]) -> Served:
    """Take one request and answer it.

    Args:
        session: What it is about.
        connection: Where it comes from.
        describe: Returns the facts of the session.

    Raises:
        CloisterError: It cannot be done.
        KeyboardInterrupt: The other end is gone.
    """
    request = connection.receive_json()
    if request is None:
        return Served.DONE
    match request.get("do"):
        case "describe":
            connection.send_json({"ok": True, "session": describe()})
        case "execute":
            connection.send_json(_result(_execute(session, connection, request)))
        case "interact":
            connection.send_json(_result(_interact(session, connection, request)))
        case "upload":
            connection.send_json(_copied(session.upload(request["path"], request["host_path"])))
        case "download":
            connection.send_json(_copied(session.download(request["path"], request["host_path"])))
        case "close":
            return Served.CLOSE
        case _:
            raise InputError("the session does not know this request", code="input.session")
    return Served.DONE


def _execute(session: Session, connection: Connection, request: Mapping[str, Any]) -> ExecutionResult:
    stdin = _input(connection) if request["has_stdin"] else b""
    timeout_ms = request["timeout_ms"]
    wall_ms = session.context.limits.wall_ms if timeout_ms is None else timeout_ms
    until_s = time.monotonic() + wall_ms / 1000

    def show(stream: str, piece: bytes) -> None:
        kind = Kind.STDOUT if stream == "stdout" else Kind.STDERR
        # Whoever does not read the output must not put the end off
        connection.limit_waits(max(0.001, until_s - time.monotonic()))
        try:
            connection.send_bytes(kind, piece)
        except TimeoutError:
            return
        finally:
            connection.limit_waits(None)

    return session.execute(
        request["argv"],
        stdin=stdin,
        on_output=show,
        working_directory=request["working_directory"],
        timeout_ms=timeout_ms,
        hangup=connection.fileno(),
    )


def _interact(session: Session, connection: Connection, request: Mapping[str, Any]) -> ExecutionResult:
    return session.interact(
        request["argv"],
        ConnectionPeer(connection),
        size=WindowSize(rows=request["rows"], columns=request["columns"]),
        terminal_type=request["terminal_type"],
        working_directory=request["working_directory"],
        timeout_ms=request["timeout_ms"],
    )


def _input(connection: Connection) -> bytes:
    """Return standard input, which comes in pieces up to an empty one."""
    data = bytearray()
    for kind, piece in connection.packets():
        if kind is not Kind.INPUT or not piece:
            return bytes(data)
        data += piece
        if len(data) > STDIN_BYTES_MAX:
            raise LimitExceeded(
                f"standard input is longer than {STDIN_BYTES_MAX} bytes",
                limit="input_bytes",
                allowed=STDIN_BYTES_MAX,
                unit="bytes",
                hint="copy it into the session as a file",
            )
    raise KeyboardInterrupt


def _result(result: ExecutionResult) -> dict[str, Any]:
    return {"ok": True, "exit_status": result.exit_status, "usage": result.usage.to_dict()}


def _copied(copied: CopyFacts) -> dict[str, Any]:
    return {
        "ok": True,
        "content_bytes": copied.content_bytes,
        "entries_count": copied.entries_count,
        "sha256": copied.sha256,
    }
