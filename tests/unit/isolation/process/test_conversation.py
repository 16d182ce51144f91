"""What a conversation makes of the ends of its descriptors; the sandbox is the test's own pipes."""

import json
import os
import socket
import threading
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cloister.errors import LimitExceeded, WireError
from cloister.isolation.process import conversation
from cloister.isolation.process.conversation import Conversation, Ending, LauncherLost
from cloister.isolation.process.running import Aside, RunningSandbox
from cloister.limits import ResourceLimits

RECORD = {"status": 0}


@pytest.fixture
def sandbox() -> Iterator[SimpleNamespace]:
    """Both sides of a sandbox that nobody runs in."""
    control, launcher = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel, guest = socket.socketpair()
    order, inside = socket.socketpair()
    (stdout, out), (stderr, err) = os.pipe(), os.pipe()
    running = RunningSandbox(control=control, order=order, stdout=stdout, stderr=stderr, channel=channel, aside=Aside())
    yield SimpleNamespace(running=running, launcher=launcher, guest=guest, out=out, err=err)
    for each in (control, launcher, channel, guest, order, inside):
        each.close()
    for descriptor in (stdout, stderr, out, err):
        os.close(descriptor)


def attend(sandbox: SimpleNamespace, **limits: int) -> Ending:
    bounds = ResourceLimits(**({"wall_ms": 1_000} | limits))
    return Conversation(sandbox.running, bounds, None, None).attend()


def test_what_was_written_is_read_and_an_open_end_is_not_waited_for(sandbox) -> None:
    os.write(sandbox.out, b"x" * 50_000)
    os.write(sandbox.err, b"said")
    sandbox.launcher.send(json.dumps(RECORD).encode())
    began_s = time.monotonic()
    ending = attend(sandbox)
    assert (ending.record, ending.stdout, ending.stderr, ending.failure) == (RECORD, b"x" * 50_000, b"said", None)
    assert time.monotonic() - began_s < 5


def test_who_writes_on_after_the_end_is_not_listened_to(sandbox) -> None:
    stop = threading.Event()

    def write_on() -> None:
        os.set_blocking(sandbox.out, False)
        while not stop.is_set():
            try:
                os.write(sandbox.out, b"y" * 4096)
            except BlockingIOError:
                time.sleep(0)

    writer = threading.Thread(target=write_on)
    sandbox.launcher.send(json.dumps(RECORD).encode())
    writer.start()
    try:
        ending = attend(sandbox, output_bytes=2**30)
    finally:
        stop.set()
        writer.join()
    assert ending.failure is None
    assert len(ending.stdout) < 2**24


def test_too_much_output_is_found_after_the_end_too(sandbox) -> None:
    os.write(sandbox.out, b"x" * 200)
    sandbox.launcher.send(json.dumps(RECORD).encode())
    ending = attend(sandbox, output_bytes=100)
    assert isinstance(ending.failure, LimitExceeded)
    assert ending.stdout == b"x" * 100


@pytest.mark.parametrize(("sent", "failure"), [(b"", type(None)), (b"\0\0", WireError)])
def test_half_a_message_is_a_broken_conversation(sandbox, sent, failure) -> None:
    sandbox.guest.sendall(sent)
    sandbox.launcher.send(json.dumps(RECORD).encode())
    ending = attend(sandbox)
    assert type(ending.failure) is failure


def test_a_talker_does_not_put_the_deadline_off(sandbox, monkeypatch) -> None:
    monkeypatch.setattr(conversation, "GRACE_MS", 0)
    stop = threading.Event()

    def talk() -> None:
        while not stop.wait(0.01):
            os.write(sandbox.out, b".")

    talker = threading.Thread(target=talk)
    talker.start()
    try:
        with pytest.raises(LauncherLost):
            attend(sandbox, wall_ms=200)
    finally:
        stop.set()
        talker.join()


def test_a_record_in_time_is_no_loss(sandbox, monkeypatch) -> None:
    monkeypatch.setattr(conversation, "GRACE_MS", 0)
    sandbox.launcher.send(json.dumps(RECORD).encode())
    assert attend(sandbox, wall_ms=1).record == RECORD


def test_no_record_is_a_loss(sandbox) -> None:
    sandbox.launcher.close()
    with pytest.raises(LauncherLost):
        attend(sandbox)


def test_output_that_was_stolen_is_not_waited_for(sandbox) -> None:
    """Whoever has the write end of a pipe can open its read end too, and take what was just announced."""
    thief = os.open(f"/proc/self/fd/{sandbox.out}", os.O_RDONLY)
    os.set_blocking(thief, False)
    took: list[bytes] = []

    def steal() -> None:
        for _ in range(200):
            os.write(sandbox.out, b"x")
            try:
                took.append(os.read(thief, 1))
            except BlockingIOError:
                took.append(b"")
        sandbox.launcher.send(json.dumps(RECORD).encode())

    thread = threading.Thread(target=steal)
    thread.start()
    ending = attend(sandbox, wall_ms=20_000)
    thread.join()
    os.close(thief)
    assert ending.record == RECORD
    assert len(ending.stdout) + sum(map(len, took)) == 200
