"""The client of VMMs' interfaces, against a real server on a Unix socket that behaves well, badly and slowly."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cloister.errors import LaunchError
from cloister.isolation.microvm.cloud_hypervisor.api import error_chain
from cloister.isolation.microvm.firecracker.api import FirecrackerApi, fault_message
from cloister.isolation.microvm.unix_http import ANSWER_BYTES_MAX, ApiClient


class Server:
    """Answers each connection with what it is told to."""

    def __init__(self, path: Path) -> None:
        self.path, self.seen = path, b""
        self.answers: list[Callable[[socket.socket], None]] = []
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(10)
                self.seen += asked(connection)
                self.answers.pop(0)(connection)

    def say(self, *parts: bytes, pause_s: float = 0.0) -> None:
        def answer(connection: socket.socket) -> None:
            for part in parts:
                connection.sendall(part)
                time.sleep(pause_s)

        self.answers.append(answer)

    def connect(self, timeout_s: float) -> socket.socket:
        connection = socket.socket(socket.AF_UNIX)
        connection.settimeout(timeout_s)
        connection.connect(str(self.path))
        return connection

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)


def asked(connection: socket.socket) -> bytes:
    """Return a whole request."""
    data = b""
    while b"\r\n\r\n" not in data:
        data += connection.recv(65536)
    head, _, body = data.partition(b"\r\n\r\n")
    lengths = [int(line.split(b":")[1]) for line in head.splitlines() if line.lower().startswith(b"content-length:")]
    while len(body) < sum(lengths):
        body += connection.recv(65536)
    return head + b"\r\n\r\n" + body


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = Server(tmp_path / "api")
    yield server
    server.close()


@pytest.fixture
def client(server: Server) -> ApiClient:
    return ApiClient(server.connect, whose="the VMM", fault=fault_message, timeout_s=5.0)


def answer(status: str, body: bytes) -> bytes:
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


def refused(act: Callable[[], Any]) -> LaunchError:
    with pytest.raises(LaunchError) as caught:
        act()
    assert caught.value.code == "provider.vmm-api"
    return caught.value


def test_a_request_is_made_and_its_answer_returned(server: Server, client: ApiClient) -> None:
    server.say(answer("200 OK", b'{"state": "Running"}'))
    assert client.call("GET", "/") == {"state": "Running"}
    server.say(answer("204 No Content", b""))
    assert client.call("PUT", "/vsock", {"guest_cid": 3}) is None
    assert b"PUT /vsock HTTP/1.1\r\n" in server.seen
    assert b"\r\nContent-Type: application/json\r\n" in server.seen
    assert server.seen.endswith(b'\r\n\r\n{"guest_cid":3}')


def test_a_refusal_has_the_vmms_own_message(server: Server, client: ApiClient) -> None:
    server.say(answer("400 Bad Request", b'{"fault_message": "no such\\u001b thing"}'))
    error = refused(lambda: client.call("PUT", "/actions", {}))
    assert "no such\N{REPLACEMENT CHARACTER} thing" in error.message
    assert error.details == {"vmm": "the VMM", "endpoint": "PUT /actions", "status": 400}


def test_a_refusal_without_a_message_has_its_status(server: Server, client: ApiClient) -> None:
    server.say(answer("500 Internal Server Error", b""))
    assert "HTTP status 500" in refused(lambda: client.call("GET", "/")).message


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (answer("200 OK", b"<html>"), "not JSON"),
        (answer("200 OK", b"[" * 100_000), "not JSON"),
        (b"SSH-2.0-OpenSSH\r\n", "did not answer"),
        (b"", "did not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "did not answer"),
        (b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 1000, "did not answer"),
        (answer("200 OK", b" " * (ANSWER_BYTES_MAX + 1)), "more than"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b" " * (ANSWER_BYTES_MAX + 9), "more than"),
    ],
)
def test_what_is_no_proper_answer_is_an_error(server: Server, client: ApiClient, said: bytes, words: str) -> None:
    server.say(said)
    assert words in refused(lambda: client.call("GET", "/")).message


def test_an_answer_of_the_largest_size_is_taken(server: Server, client: ApiClient) -> None:
    text = b'"' + b"x" * (ANSWER_BYTES_MAX - 2) + b'"'
    server.say(answer("200 OK", text))
    assert len(client.call("GET", "/")) == ANSWER_BYTES_MAX - 2


def test_an_answer_that_drips_has_one_deadline(server: Server, client: ApiClient) -> None:
    server.say(*[bytes([byte]) for byte in answer("200 OK", b'"slow"')], pause_s=0.1)
    start_s = time.monotonic()
    refused(lambda: client.call("GET", "/", timeout_s=0.5))
    assert time.monotonic() - start_s < 2.5  # the whole answer takes five seconds


def test_nobody_there_is_an_error(tmp_path: Path) -> None:
    def connect(_: float) -> socket.socket:
        raise FileNotFoundError(2, "No such file or directory")

    client = ApiClient(connect, whose="the VMM", fault=fault_message)
    assert "No such file" in refused(lambda: client.call("GET", "/")).message


def test_requests_end_with_the_first_refusal(server: Server) -> None:
    server.say(answer("204 No Content", b""))
    server.say(answer("400 Bad Request", b'{"fault_message": "bad path"}'))
    api = FirecrackerApi(server.connect)
    assert "bad path" in refused(api.load).message
    assert b"/snapshot/load" not in server.seen


def test_cloud_hypervisors_messages_are_joined() -> None:
    assert error_chain(["outer", "inner"]) == "outer: inner"
    assert error_chain([]) is error_chain({"a": 1}) is error_chain([1]) is None
