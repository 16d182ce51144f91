"""QEMU's control protocol, over a connection that was handed to it.

Owns the exchange of commands and answers. QEMU may have been taken over by its guest, so its answers are bounded in
size and time, and only what is expected is read out of them.

Source: QEMU's docs/interop/qmp-spec.rst and the schema in qapi/, version 7.2.
"""

from __future__ import annotations

import array
import json
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from cloister.errors import LaunchError, quoted

ANSWER_BYTES_MAX: Final = 256 * 1024
UNASKED_MAX: Final = 1_000
"""Events that may come before an answer."""
TIMEOUT_S: Final = 10.0


class Qmp:
    """A control connection.

    Args:
        connection: Stream socket to QEMU, closed by `close`.
    """

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._unread = b""

    def greet(self, timeout_s: float = TIMEOUT_S) -> None:
        """Take the greeting and begin; QEMU is set up then.

        Raises:
            LaunchError: As `command`.
        """
        self._next(time.monotonic() + timeout_s)
        self.command("qmp_capabilities")

    def command(
        self,
        name: str,
        arguments: dict[str, Any] | None = None,
        *,
        descriptors: Sequence[int] = (),
        timeout_s: float = TIMEOUT_S,
    ) -> Any:
        """Give a command and return what it answers.

        Args:
            name: Of the command.
            arguments: Of the command.
            descriptors: What goes with it.
            timeout_s: How long to wait for the answer.

        Raises:
            LaunchError: `provider.machine` when QEMU refuses, is gone, or does not answer.
        """
        deadline_s = time.monotonic() + timeout_s
        message = json.dumps({"execute": name, "arguments": arguments or {}}).encode("ascii")
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", descriptors))] if descriptors else []
        try:
            self._connection.settimeout(timeout_s)
            self._connection.sendmsg([message], rights)
        except OSError as error:
            raise _lost(name) from error
        for _ in range(UNASKED_MAX):
            answer = self._next(deadline_s, name)
            if "return" in answer:
                return answer["return"]
            if "error" in answer:
                said = answer["error"].get("desc") if isinstance(answer["error"], dict) else None
                raise LaunchError(f"QEMU refuses {name}: {quoted(str(said))}", code="provider.machine")
        raise LaunchError(f"QEMU does not come to the answer of {name}", code="provider.machine")

    def _next(self, deadline_s: float, name: str = "its greeting") -> dict[str, Any]:
        while b"\n" not in self._unread:
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or len(self._unread) > ANSWER_BYTES_MAX:
                raise LaunchError(f"QEMU does not answer to {name} in time", code="provider.machine")
            try:
                self._connection.settimeout(left_s)
                data = self._connection.recv(ANSWER_BYTES_MAX)
            except TimeoutError:
                continue
            except OSError as error:
                raise _lost(name) from error
            if not data:
                raise _lost(name)
            self._unread += data
        line, _, self._unread = self._unread.partition(b"\n")
        try:
            answer = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise LaunchError("QEMU said something that is not JSON", code="provider.machine") from error
        if not isinstance(answer, dict):
            raise LaunchError("QEMU said something that is not an object", code="provider.machine")
        return answer

    def close(self) -> None:
        """Close the connection. Idempotent."""
        self._connection.close()


def _lost(name: str) -> LaunchError:
    return LaunchError(f"QEMU ended at {name}", code="provider.machine")
