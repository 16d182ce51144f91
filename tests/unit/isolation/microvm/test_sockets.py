"""Sockets in a directory that somebody else writes to: no link is followed, and the right process answers."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.isolation.microvm.sockets import connect_beneath, peer_pid


@pytest.fixture
def place(tmp_path: Path) -> Iterator[int]:
    deep = tmp_path / ("d" * 100) / ("e" * 100)  # no address of a socket is that long
    deep.mkdir(parents=True)
    descriptor = os.open(deep, os.O_RDONLY)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"/proc/self/fd/{descriptor}/real")
    listener.listen()
    yield descriptor
    listener.close()
    os.close(descriptor)


def test_a_socket_is_connected_to_however_long_its_path(place: int) -> None:
    with connect_beneath(place, "real", timeout_s=5, pid=os.getpid()) as connection:
        assert peer_pid(connection) == os.getpid()


def test_a_link_is_not_followed(place: int) -> None:
    os.symlink("real", "link", dir_fd=place)
    with pytest.raises(PermissionError):
        connect_beneath(place, "link", timeout_s=5)


def test_a_file_is_no_socket(place: int) -> None:
    os.close(os.open("file", os.O_WRONLY | os.O_CREAT, dir_fd=place))
    with pytest.raises(PermissionError):
        connect_beneath(place, "file", timeout_s=5)


def test_another_process_is_refused(place: int) -> None:
    with pytest.raises(PermissionError, match="not the VMM"):
        connect_beneath(place, "real", timeout_s=5, pid=1)


def test_nothing_is_not_found(place: int) -> None:
    with pytest.raises(FileNotFoundError):
        connect_beneath(place, "none", timeout_s=5)
