"""The one way out of a machine, in a real one: refused unless the host accepts it, and then only what it accepts."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloister.authority.token import TokenIssuer
from cloister.clock import SystemClock
from cloister.isolation.microvm.execution import Work
from cloister.isolation.microvm.guest.door import PORT, PURPOSE
from cloister.isolation.microvm.inward import Acceptor
from cloister.isolation.microvm.provider import MicroVMProvider
from cloister.isolation.provider import ExternalProgram
from cloister.limits import ResourceLimits

ASK = f"""
import socket, sys
with socket.create_connection(("127.0.0.1", {PORT})) as door:
    door.sendall(b"ask " * 100000)
    door.shutdown(socket.SHUT_WR)
    said = bytearray()
    try:
        while piece := door.recv(65536):
            said += piece
    except ConnectionResetError:
        pass
print(said[:200].decode(), len(said))
"""


@pytest.fixture(scope="module")
def provider(machine_home: Path) -> Iterator[MicroVMProvider]:
    provider = MicroVMProvider(TokenIssuer(bytes(32), SystemClock()).verifier(), machine_home)
    yield provider
    provider.close()


def asked(provider: MicroVMProvider, acceptor: Acceptor | None) -> str:
    limits = ResourceLimits()
    stock = provider.stock(limits)
    ready = stock.take()
    try:
        ready.link.accept_with(acceptor)
        program = ExternalProgram(argv=("/usr/bin/python3", "-c", ASK))
        result = ready.link.execute(Work(workload=program, limits=limits))
        assert result.exit_status == 0, result.stderr
        return result.stdout.decode().strip()
    finally:
        stock.retire(ready)


def test_a_connection_that_nobody_decides_about_is_refused_with_a_code(provider: MicroVMProvider) -> None:
    line, _, _ = asked(provider, None).rpartition("\n")
    assert json.loads(line)["code"] == "denied.egress"


def test_a_connection_that_is_accepted_carries_bytes_both_ways(provider: MicroVMProvider) -> None:
    ours, theirs = socket.socketpair()
    purposes: list[str] = []

    def accept(purpose: str) -> socket.socket:
        purposes.append(purpose)
        return theirs

    server = threading.Thread(target=answering(ours))
    server.start()
    said = asked(provider, accept)
    server.join()
    assert said == "got 400000;" + "." * 189 + " 300011"
    assert purposes == [PURPOSE]


def answering(connection: socket.socket) -> Callable[[], None]:
    def answer() -> None:
        with connection:
            count = 0
            while piece := connection.recv(65536):
                count += len(piece)
            connection.sendall(f"got {count};".encode() + b"." * 300_000)

    return answer
