"""What commands and holders of sessions say to each other."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator

import pytest

from cloister.errors import LimitExceeded, ProviderError
from cloister.isolation.session_provider import WindowSize
from cloister.sessions.packets import (
    JSON_BYTES_MAX,
    PIECE_BYTES,
    Connection,
    ConnectionPeer,
    HeldError,
    Kind,
    checked_answer,
    failure,
)


@pytest.fixture
def ends() -> Iterator[tuple[Connection, Connection]]:
    first, second = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with Connection(first) as ours, Connection(second) as theirs:
        yield ours, theirs


def test_an_object_of_several_packets_arrives_whole(ends: tuple[Connection, Connection]) -> None:
    value = {"text": "x" * (PIECE_BYTES + 10)}
    ends[0].send_json(value)
    assert ends[1].receive_json() == value


def test_the_end_is_the_end_and_what_came_before_is_heard(ends: tuple[Connection, Connection]) -> None:
    ends[1].send(Kind.INPUT, b"never read")
    ends[0].send_json({"ok": True})
    with ends[0]:
        pass
    assert ends[1].receive_json() == {"ok": True}
    assert ends[1].receive_json() is None


@pytest.mark.parametrize("data", [b"Jnot json", b"J[1]", b"zunknown", b"iinput", b"J" + b"[" * 50_000])
def test_what_is_not_the_language_is_refused(ends: tuple[Connection, Connection], data: bytes) -> None:
    ends[0]._socket.send(data)
    with pytest.raises(ProviderError) as caught:
        ends[1].receive_json()
    assert caught.value.code == "provider.session-packet"


def test_an_object_has_a_bound(ends: tuple[Connection, Connection]) -> None:
    with pytest.raises(ProviderError) as caught:
        ends[1].receive_json((Kind.JSON_PART, b" " * (JSON_BYTES_MAX + 1)))
    assert caught.value.code == "provider.session-packet"


def test_errors_arrive_as_they_were() -> None:
    error = LimitExceeded("too long", limit="wall_ms", allowed=5, used=6, unit="ms", hint="wait less")
    with pytest.raises(HeldError) as caught:
        checked_answer(json.loads(json.dumps(failure(error))))
    assert caught.value.to_dict() == error.to_dict()
    assert caught.value.exit_status == error.exit_status


def test_no_answer_is_an_error() -> None:
    with pytest.raises(ProviderError) as caught:
        checked_answer(None)
    assert caught.value.code == "provider.session-stale"


def test_peer_is_the_process_at_the_other_end(ends: tuple[Connection, Connection]) -> None:
    assert ends[0].peer() == (os.getpid(), os.geteuid())


def test_terminal_peer_hears_keys_sizes_and_the_end(ends: tuple[Connection, Connection]) -> None:
    peer = ConnectionPeer(ends[1])
    with pytest.raises(BlockingIOError):
        peer.receive()
    ends[0].send(Kind.INPUT, b"key")
    ends[0].send_window(WindowSize(rows=50, columns=120))
    assert (peer.receive(), peer.receive()) == (b"key", WindowSize(rows=50, columns=120))
    with ends[0]:
        pass
    assert peer.receive() is None


def test_terminal_peer_takes_nothing_when_there_is_no_room(ends: tuple[Connection, Connection]) -> None:
    peer = ConnectionPeer(ends[1])
    with pytest.raises(BlockingIOError):  # noqa: PT012
        for _ in range(10_000):
            peer.send(b"x" * PIECE_BYTES)
