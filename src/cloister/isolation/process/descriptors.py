"""The descriptors of one request, made so that none is left open when one of them cannot be.

Owns the making, and waiting for the other end of a connection; who holds which end is the nursery's.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import socket
from typing import Final

PACKET_BYTES_MAX: Final = 64 * 1024
_SEALS: Final = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


def connection(
    kind: int, ours: contextlib.ExitStack, theirs: contextlib.ExitStack
) -> tuple[socket.socket, socket.socket]:
    """Return two connected sockets; the first is closed with `ours`, the second with `theirs`."""
    mine, other = socket.socketpair(socket.AF_UNIX, kind)
    return ours.enter_context(mine), theirs.enter_context(other)


def await_end(connection: socket.socket, timeout_s: float) -> None:
    """Wait until the other end of a connection is closed, and drop what is said on it until then.

    Args:
        connection: It, of packets that come whole.
        timeout_s: How long each of them is waited for; whoever stays longer is not waited for.
    """
    connection.settimeout(timeout_s)
    with contextlib.suppress(OSError):
        while connection.recv(PACKET_BYTES_MAX):
            pass


def pipe(ours: contextlib.ExitStack, theirs: contextlib.ExitStack) -> tuple[int, int]:
    """Return the read end of a pipe, closed with `ours`, and the write end, closed with `theirs`."""
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    return held(read_end, ours), held(write_end, theirs)


def held(descriptor: int, by: contextlib.ExitStack) -> int:
    """Return a descriptor that is closed with `by`."""
    by.callback(os.close, descriptor)
    return descriptor


def sealed(data: bytes) -> int:
    """Return a file in memory that nobody can change, at its start."""
    descriptor = os.memfd_create("cloister", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    with open(descriptor, "wb", closefd=False) as file:
        file.write(data)
    fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor


def input_file(data: bytes) -> int:
    """Return what a program finds on its standard input: a sealed file, or nothing."""
    return sealed(data) if data else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
