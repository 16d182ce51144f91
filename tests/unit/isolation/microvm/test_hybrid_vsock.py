"""The greeting of Firecracker's and Cloud Hypervisor's vsock sockets, against a listener that speaks it."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.isolation.microvm import hybrid_vsock
from cloister.isolation.microvm.sockets import connect_beneath


class Vmm:
    """Listens like a VMM; each connection gets the next answer, None for a hang-up."""

    def __init__(self, directory: Path, *answers: bytes | None) -> None:
        self.seen: list[bytes] = []
        self.kept: list[socket.socket] = []
        self._answers = answers
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(directory / "vsock"))
        self._listener.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        for answer in self._answers:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self.seen.append(connection.recv(64))
            if answer is None:
                connection.close()
            else:
                connection.sendall(answer)
                self.kept.append(connection)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(5)
        for connection in self.kept:
            connection.close()


@pytest.fixture
def alive() -> Iterator[tuple[int, int]]:
    """A descriptor that becomes readable when the other one is closed, as a pidfd does at a process's end."""
    read_end, write_end = os.pipe()
    yield read_end, write_end
    os.close(read_end)


def connected(directory: Path, ended: int, timeout_s: float = 5.0) -> socket.socket:
    place = os.open(directory, os.O_RDONLY)
    try:
        return hybrid_vsock.connect(
            lambda left_s: connect_beneath(place, "vsock", timeout_s=left_s), 1024, timeout_s=timeout_s, ended=ended
        )
    finally:
        os.close(place)


def test_the_port_is_asked_for_and_what_follows_is_the_agents(tmp_path: Path, alive: tuple[int, int]) -> None:
    vmm = Vmm(tmp_path, b"OK 1073741824\nhello\n")
    with connected(tmp_path, alive[0]) as stream:
        assert stream.recv(64) == b"hello\n"
        assert stream.gettimeout() is None
    assert vmm.seen == [b"CONNECT 1024\n"]
    vmm.close()


def test_it_waits_until_somebody_listens(tmp_path: Path, alive: tuple[int, int]) -> None:
    vmm = Vmm(tmp_path, None, None, b"OK 7\n")
    connected(tmp_path, alive[0]).close()
    assert len(vmm.seen) == 3
    vmm.close()


def test_nobody_is_an_error_in_time(tmp_path: Path, alive: tuple[int, int]) -> None:
    with pytest.raises(TimeoutError):
        connected(tmp_path, alive[0], timeout_s=0.2)  # there is not even a socket


def test_an_answer_that_never_comes_is_an_error_in_time(tmp_path: Path, alive: tuple[int, int]) -> None:
    vmm = Vmm(tmp_path, b"")
    with pytest.raises(TimeoutError):
        connected(tmp_path, alive[0], timeout_s=0.2)
    vmm.close()


@pytest.mark.parametrize("greeting", [b"NO 1\n", b"OK \n", b"OK 1 2\n", b"OK " + b"1" * 100, b"\n"])
def test_another_greeting_is_an_error(tmp_path: Path, alive: tuple[int, int], greeting: bytes) -> None:
    vmm = Vmm(tmp_path, greeting)
    with pytest.raises(ConnectionError):
        connected(tmp_path, alive[0])
    vmm.close()


def test_the_end_of_the_vmm_is_an_error_at_once(tmp_path: Path, alive: tuple[int, int]) -> None:
    vmm = Vmm(tmp_path, b"")
    threading.Timer(0.1, os.close, [alive[1]]).start()
    with pytest.raises(ConnectionAbortedError):
        connected(tmp_path, alive[0], timeout_s=30.0)
    vmm.close()
