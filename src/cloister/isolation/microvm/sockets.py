"""Connections to Unix sockets that lie in the directory of a VMM.

Owns the path to them. The VMM may write to that directory, and a VMM that was taken over may put a link there that
leads to another socket of the host: nothing is followed, and whoever answers has to be the VMM.
"""

from __future__ import annotations

import errno
import os
import socket
import stat
import struct
from typing import Final

_CREDENTIALS: Final = struct.Struct("3i")
"""pid, uid, gid; `struct ucred`, unix(7)."""


def connect_beneath(directory_fd: int, name: str, *, timeout_s: float, pid: int | None = None) -> socket.socket:
    """Return a connection to the socket of that name in a directory.

    The length of the directory's path does not matter, which for the address of a Unix socket is 107 bytes at most.

    Args:
        directory_fd: The directory.
        name: Of the socket in it.
        timeout_s: For the connection, and what the socket's timeout is then.
        pid: The process that has to listen there; None for any.

    Raises:
        FileNotFoundError: There is none yet.
        ConnectionRefusedError: Nobody listens.
        PermissionError: It is no socket, or another process listens.
        OSError: Anything else the kernel says.
    """
    place = os.open(name, os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory_fd)
    try:
        if not stat.S_ISSOCK(os.fstat(place).st_mode):
            raise PermissionError(errno.EACCES, "is no socket", name)
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.settimeout(timeout_s)
            connection.connect(f"/proc/self/fd/{place}")
            _check_peer(connection, name, pid)
        except BaseException:
            connection.close()
            raise
        return connection
    finally:
        os.close(place)


def peer_pid(connection: socket.socket) -> int:
    """Return the process that listens at the other end of a connection, as the kernel knows it."""
    facts = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    pid: int = _CREDENTIALS.unpack(facts)[0]
    return pid


def _check_peer(connection: socket.socket, name: str, pid: int | None) -> None:
    if pid is not None and (found := peer_pid(connection)) != pid:
        raise PermissionError(errno.EACCES, f"process {found} listens there, not the VMM", name)
