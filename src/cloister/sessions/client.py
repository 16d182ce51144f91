"""What commands do with a session that another process holds.

Owns the requests to the holder. Joining the user's terminal is the command line's.
"""

from __future__ import annotations

import contextlib
import os
import select
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from cloister.errors import ProviderError
from cloister.isolation.session_provider import WindowSize
from cloister.sessions.packets import Connection, HeldError, Kind, checked_answer
from cloister.sessions.place import SessionPlace

DESCRIBE_TIMEOUT_S: Final = 5.0
END_TIMEOUT_S: Final = 30.0

_STREAMS: Final = {Kind.STDOUT: "stdout", Kind.STDERR: "stderr"}


class SessionClient:
    """The sessions of a home, from outside.

    Args:
        home: The home directory.
    """

    def __init__(self, home: Path) -> None:
        self._place = SessionPlace(home)

    def list(self) -> list[dict[str, Any]]:
        """Return the facts of every session; of one whose holder is gone or does not answer, its name and state."""
        return [self._described(name) for name in self._place.names()]

    def _described(self, name: str) -> dict[str, Any]:
        try:
            with self._connect(name) as connection:
                connection.limit_waits(DESCRIBE_TIMEOUT_S)
                connection.send_json({"do": "describe"})
                facts: dict[str, Any] = checked_answer(connection.receive_json())["session"]
                return facts
        except TimeoutError:
            return {"name": name, "state": "silent"}
        except (ProviderError, HeldError, OSError):
            return {"name": name, "state": "stale"}

    def execute(
        self,
        name: str,
        argv: Sequence[str],
        *,
        stdin: bytes | None,
        on_output: Callable[[str, bytes], None],
        working_directory: str | None,
        timeout_ms: int | None,
    ) -> Mapping[str, Any]:
        """Run a command in a session; return its `exit_status` and `usage`.

        Raises:
            InputError, ProviderError: There is no such session.
            HeldError: What the holder reports.
        """
        with self._connect(name) as connection:
            connection.send_json(
                {
                    "do": "execute",
                    "argv": list(argv),
                    "has_stdin": stdin is not None,
                    "working_directory": working_directory,
                    "timeout_ms": timeout_ms,
                }
            )
            if stdin is not None:
                connection.send_bytes(Kind.INPUT, stdin)
                connection.send(Kind.INPUT)
            for kind, data in connection.packets():
                if kind in _STREAMS:
                    on_output(_STREAMS[kind], data)
                else:
                    return checked_answer(connection.receive_json((kind, data)))
        return checked_answer(None)

    def interact(
        self,
        name: str,
        argv: Sequence[str],
        *,
        size: WindowSize,
        terminal_type: str,
        working_directory: str | None,
        timeout_ms: int | None,
    ) -> Connection:
        """Ask for a command on a terminal; return the connection, for the caller to join and close."""
        connection = self._connect(name)
        with contextlib.ExitStack() as cleanup:
            cleanup.enter_context(connection)
            connection.send_json(
                {
                    "do": "interact",
                    "argv": list(argv),
                    "rows": size.rows,
                    "columns": size.columns,
                    "terminal_type": terminal_type,
                    "working_directory": working_directory,
                    "timeout_ms": timeout_ms,
                }
            )
            cleanup.pop_all()
        return connection

    def copy(self, name: str, direction: str, host_path: str, path: str) -> Mapping[str, Any]:
        """Copy a file or directory in (`upload`) or out (`download`); return its size, entries and digest."""
        with self._connect(name) as connection:
            connection.send_json({"do": direction, "host_path": host_path, "path": path})
            return checked_answer(connection.receive_json())

    def close(self, name: str) -> None:
        """End a session and wait until its holder is gone; remove what a dead one left.

        Raises:
            InputError: There is no such session.
            ProviderError: `provider.session-stuck`: its holder does not end.
        """
        try:
            connection = self._connect(name)
        except ProviderError as error:
            if error.code != "provider.session-stale":
                raise
            self._place.remove(name)
            return
        with connection:
            holder = _opened(connection.peer()[0])
            try:
                connection.send_json({"do": "close"})
                connection.limit_waits(END_TIMEOUT_S)
                answer = connection.receive_json()
                if answer is not None:  # else it was ending by itself already
                    checked_answer(answer)
                _await_end(holder)
            except TimeoutError as error:
                raise ProviderError(
                    f"the process that holds session {name} does not end",
                    code="provider.session-stuck",
                    hint=f"end it: kill -9 {connection.peer()[0]}; its sandbox dies with it",
                ) from error
            finally:
                if holder >= 0:
                    os.close(holder)

    def _connect(self, name: str) -> Connection:
        return Connection(self._place.connect(name))


def _opened(process: int) -> int:
    """Return a descriptor of a process; -1 when it is gone."""
    try:
        return os.pidfd_open(process)
    except ProcessLookupError:
        return -1


def _await_end(holder: int) -> None:
    if holder < 0:
        return
    poll = select.poll()
    poll.register(holder, select.POLLIN)
    if not poll.poll(int(END_TIMEOUT_S * 1000)):
        raise TimeoutError
