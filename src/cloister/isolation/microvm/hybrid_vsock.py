"""Connecting to a port of a machine whose vsock ends in a Unix socket of the VMM.

Owns the greeting of Firecracker and Cloud Hypervisor, which is the same: the host writes `CONNECT` and the port, and
the VMM answers `OK` and a number once somebody in the machine has accepted. The machine's context id (CID) is nothing
the host's kernel knows.

Source: Firecracker 1.16, docs/vsock.md, "Host-Initiated Connections"; Cloud Hypervisor 53, docs/vsock.md.
"""

from __future__ import annotations

import contextlib
import re
import socket
import time
from collections.abc import Callable
from typing import Final

from cloister.isolation.microvm.waiting import readable

RETRY_S: Final = 0.004
RETRY_S_MAX: Final = 0.05
GREETING_BYTES_MAX: Final = 32
_ACCEPTED: Final = re.compile(rb"OK [0-9]{1,10}")


def connect(open_socket: Callable[[float], socket.socket], port: int, *, timeout_s: float, ended: int) -> socket.socket:
    """Return a stream to a port of the machine, waiting until somebody listens there.

    Args:
        open_socket: Connects to the VMM's socket within so many seconds.
        port: In the machine.
        timeout_s: For all of it.
        ended: A descriptor that becomes readable when the VMM has ended.

    Raises:
        TimeoutError: Nobody accepted in time.
        ConnectionError: The VMM has ended, or its answer is not the greeting.
        OSError: Anything else the kernel says.
    """
    until_s = time.monotonic() + timeout_s
    pause_s = RETRY_S
    while True:
        left_s = until_s - time.monotonic()
        if readable(ended, timeout_s=0):
            raise ConnectionAbortedError("the VMM has ended")
        if left_s <= 0:
            raise TimeoutError(f"nobody accepted at port {port} in {timeout_s:g} s")
        connection = _attempt(open_socket, port, left_s, ended)
        if connection is not None:
            connection.settimeout(None)
            return connection
        readable(ended, timeout_s=min(pause_s, until_s - time.monotonic()))
        pause_s = min(pause_s * 2, RETRY_S_MAX)


def _attempt(
    open_socket: Callable[[float], socket.socket], port: int, left_s: float, ended: int
) -> socket.socket | None:
    """Try once; return None when that may succeed later."""
    with contextlib.ExitStack() as undo:
        try:
            connection = undo.enter_context(open_socket(left_s))
            connection.sendall(f"CONNECT {port}\n".encode())
            greeting = _line(connection, time.monotonic() + left_s, ended)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError, BrokenPipeError, TimeoutError):
            return None
        if greeting is None:  # the VMM closes the connection when nobody listens in the machine
            return None
        if not _ACCEPTED.fullmatch(greeting):
            raise ConnectionError(f"the VMM greeted with {greeting!r}")
        undo.pop_all()
        return connection


def _line(connection: socket.socket, until_s: float, ended: int) -> bytes | None:
    """Return the first line; not a byte more is taken, for what follows is the agent's. None when there is none."""
    line = b""
    while True:
        left_s = until_s - time.monotonic()
        if connection.fileno() not in readable(connection.fileno(), ended, timeout_s=left_s):
            return None
        byte = connection.recv(1)
        if byte == b"\n":
            return line
        line += byte
        if not byte or len(line) > GREETING_BYTES_MAX:
            return None if not byte else line
