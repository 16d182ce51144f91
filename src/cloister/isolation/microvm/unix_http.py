"""A small HTTP/1.1 client for the interfaces of VMMs, over a Unix socket.

Owns one request and its answer. The VMM is not trusted: whoever breaks out of a machine is in it. So an answer has a
bound, and the whole exchange has one deadline, however slowly bytes drip in.
"""

from __future__ import annotations

import http.client
import json
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from cloister.errors import LaunchError, quoted

ANSWER_BYTES_MAX: Final = 1024 * 1024
FAULT_CHARS_MAX: Final = 400


class ApiClient:
    """Speaks to one VMM.

    Args:
        connect: Makes a connection within so many seconds; raises OSError.
        timeout_s: For one request and its answer together.
        prefix: Before every path.
        whose: The VMM, for messages.
        fault: Reads the VMM's own message from the JSON value of an answer that refuses.
    """

    def __init__(
        self,
        connect: Callable[[float], socket.socket],
        *,
        whose: str,
        fault: Callable[[Any], str | None],
        timeout_s: float = 10.0,
        prefix: str = "",
    ) -> None:
        self._connect, self._timeout_s, self._prefix = connect, timeout_s, prefix
        self._whose, self._fault = whose, fault

    def call(
        self, method: str, path: str, body: Mapping[str, Any] | None = None, timeout_s: float | None = None
    ) -> Any:
        """Make a request; return the JSON value of its answer, None when that is empty.

        Args:
            method: GET, PUT or PATCH.
            path: Of the endpoint.
            body: JSON.
            timeout_s: Other than the client's.

        Raises:
            LaunchError: `provider.vmm-api`: it refused, with its own message; or did not answer properly.
        """
        endpoint = f"{method} {path}"
        try:
            status, text = self._exchange(method, path, body, self._timeout_s if timeout_s is None else timeout_s)
        except (OSError, http.client.HTTPException) as error:
            raise self._failure(endpoint, f"did not answer: {_said(error)}") from error
        if len(text) > ANSWER_BYTES_MAX:
            raise self._failure(endpoint, f"answered with more than {ANSWER_BYTES_MAX:,} bytes", status)
        value = self._value(endpoint, status, text)
        if not 200 <= status < 300:
            message = self._fault(value) or f"HTTP status {status}"
            raise self._failure(endpoint, f"refused: {quoted(message, FAULT_CHARS_MAX)}", status)
        return value

    def _exchange(self, method: str, path: str, body: Mapping[str, Any] | None, timeout_s: float) -> tuple[int, bytes]:
        connection = _UnixConnection(self._connect, timeout_s)
        try:
            data = None if body is None else json.dumps(body, separators=(",", ":")).encode()
            headers = {"Accept": "application/json"} | ({} if data is None else {"Content-Type": "application/json"})
            connection.request(method, f"{self._prefix}{path}", data, headers)
            response = connection.getresponse()
            text = response.read(ANSWER_BYTES_MAX + 1)
            if len(text) <= ANSWER_BYTES_MAX and response.length:  # asked for so many bytes, it says nothing of fewer
                raise http.client.IncompleteRead(text, response.length)
            return response.status, text
        finally:
            connection.close()

    def _value(self, endpoint: str, status: int, text: bytes) -> Any:
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self._failure(endpoint, "answered with something that is not JSON", status) from error

    def _failure(self, endpoint: str, what: str, status: int | None = None) -> LaunchError:
        return LaunchError(
            f"{self._whose} {what} ({endpoint})",
            code="provider.vmm-api",
            details={"vmm": self._whose, "endpoint": endpoint, "status": status},
        )


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, connect: Callable[[float], socket.socket], timeout_s: float) -> None:
        super().__init__("localhost", timeout=timeout_s)
        self._open = connect
        self._until_s = time.monotonic() + timeout_s

    def connect(self) -> None:
        plain = self._open(max(0.001, self._until_s - time.monotonic()))
        # `http.client` calls what it reads and writes with a socket; this one knows the deadline
        self.sock = cast("socket.socket", _Deadlined(self._until_s, plain.detach()))


class _Deadlined(socket.socket):
    """A socket whose every wait ends at one time."""

    def __init__(self, until_s: float, fileno: int) -> None:
        super().__init__(fileno=fileno)
        self._until_s = until_s

    def recv_into(self, *args: Any, **kwargs: Any) -> int:  # every read of a file made from a socket comes here
        self._bound()
        return super().recv_into(*args, **kwargs)

    def sendall(self, *args: Any, **kwargs: Any) -> None:
        self._bound()
        super().sendall(*args, **kwargs)

    def _bound(self) -> None:
        left_s = self._until_s - time.monotonic()
        if left_s <= 0:
            raise TimeoutError("no whole answer in time")
        self.settimeout(left_s)


def _said(error: Exception) -> str:
    return quoted(str(error) or type(error).__name__, FAULT_CHARS_MAX)
