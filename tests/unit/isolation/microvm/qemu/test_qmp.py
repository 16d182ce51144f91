"""QEMU's control protocol: answers are found among events, and whatever else comes ends in an error in time."""

import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import pytest

from cloister.errors import LaunchError
from cloister.isolation.microvm.qemu.qmp import ANSWER_BYTES_MAX, Qmp


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    with ours, theirs:
        yield Qmp(ours), theirs


def speaking(theirs: socket.socket, *said: object) -> None:
    for each in said:
        theirs.sendall(each if isinstance(each, bytes) else json.dumps(each).encode() + b"\r\n")


def refused(act: Callable[[], object]) -> str:
    with pytest.raises(LaunchError) as caught:
        act()
    assert caught.value.code == "provider.machine"
    return caught.value.message


def test_an_answer_is_found_behind_events(ends) -> None:
    qmp, theirs = ends
    speaking(theirs, {"QMP": {}}, {"return": {}}, {"event": "STOP"}, {"return": {"status": "paused"}})
    qmp.greet()
    assert qmp.command("query-status") == {"status": "paused"}
    sent = theirs.recv(4096).decode()
    assert [json.loads(line)["execute"] for line in sent.replace("}{", "}\n{").splitlines()] == [
        "qmp_capabilities",
        "query-status",
    ]


def test_descriptors_go_with_a_command(ends) -> None:
    qmp, theirs = ends
    speaking(theirs, {"return": {}})
    reading, writing = os.pipe()
    qmp.command("getfd", {"fdname": "x"}, descriptors=[writing])
    data, received, _, _ = socket.recv_fds(theirs, 4096, 4)
    assert json.loads(data) == {"execute": "getfd", "arguments": {"fdname": "x"}}
    os.write(received[0], b"through")
    assert os.read(reading, 10) == b"through"
    for descriptor in (reading, writing, *received):
        os.close(descriptor)


def test_a_refusal_is_told_in_its_words(ends) -> None:
    qmp, theirs = ends
    speaking(theirs, {"error": {"class": "GenericError", "desc": "no such\x1b[2J thing"}})
    message = refused(lambda: qmp.command("migrate"))
    assert "QEMU refuses migrate: no such" in message
    assert "\x1b" not in message


@pytest.mark.parametrize("said", [b"not json\n", b"[1]\n", b'"text"\n', b"\xff\xfe\n"])
def test_nonsense_is_refused(ends, said) -> None:
    qmp, theirs = ends
    speaking(theirs, said)
    assert "QEMU said something" in refused(lambda: qmp.command("stop"))


def test_silence_ends_in_time(ends) -> None:
    qmp, _ = ends
    assert "in time" in refused(lambda: qmp.command("stop", timeout_s=0.1))


def test_a_trickle_does_not_put_the_end_off(ends) -> None:
    qmp, theirs = ends
    stop = threading.Event()

    def trickle() -> None:
        while not stop.wait(0.02):
            theirs.sendall(b" ")

    thread = threading.Thread(target=trickle)
    thread.start()
    try:
        assert "in time" in refused(lambda: qmp.command("stop", timeout_s=0.3))
    finally:
        stop.set()
        thread.join()


def test_floods_are_bounded(ends) -> None:
    qmp, theirs = ends
    with flooding(theirs, b"x" * (2 * ANSWER_BYTES_MAX)):
        assert "in time" in refused(lambda: qmp.command("stop", timeout_s=5))
    events, more = socket.socketpair()
    with events, more, flooding(more, b'{"event": "X"}\n' * 2_000):
        assert "does not come to the answer" in refused(lambda: Qmp(events).command("stop", timeout_s=5))
    qmp.close()


@contextmanager
def flooding(end: socket.socket, data: bytes) -> Iterator[None]:
    """Send meanwhile, until all is read or nobody reads any more."""

    def send() -> None:
        with suppress(ConnectionError):
            end.sendall(data)

    flood = threading.Thread(target=send)
    flood.start()
    try:
        yield
    finally:
        end.shutdown(socket.SHUT_RDWR)
        flood.join()


def test_an_end_is_an_error(ends) -> None:
    qmp, theirs = ends
    theirs.close()
    assert "QEMU ended" in refused(lambda: qmp.command("stop"))
