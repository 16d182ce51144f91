"""What a conversation makes of the ends of its descriptors; the sandbox is the test's own pipes."""

import json
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from cloister.errors import LimitExceeded, WireError
from cloister.isolation.dialogue import AHEAD_COUNT_MAX, Dialogue
from cloister.isolation.process import conversation
from cloister.isolation.process.conversation import Conversation, Ending, LauncherLost
from cloister.isolation.process.running import Aside, RunningSandbox
from cloister.isolation.wire import Channel, Side, frame_bytes
from cloister.limits import ResourceLimits
from cloister.testing import RecordingHost

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


LIMITS = ResourceLimits(wall_ms=20_000)


def spoken(sandbox: SimpleNamespace, host: Any, speak: Callable[[Channel], None]) -> tuple[Ending, Dialogue]:
    """Attend to a guest that is a thread; return how it ended and what was said."""
    dialogue = Dialogue(host, LIMITS)

    def guest() -> None:
        speak(Channel(sandbox.guest, Side.GUEST, frame_bytes(LIMITS)))
        sandbox.launcher.send(json.dumps(RECORD).encode())

    thread = threading.Thread(target=guest)
    thread.start()
    ending = Conversation(sandbox.running, LIMITS, dialogue, None).attend()
    thread.join()
    return ending, dialogue


def call(index: int) -> dict[str, Any]:
    return {"type": "call", "index": index, "capability": "test.call", "arguments": [index]}


def test_a_reply_that_is_larger_than_the_socket_holds_arrives_whole(sandbox) -> None:
    large, heard = "x" * 3_000_000, []

    def speak(channel: Channel) -> None:
        for index in range(2):
            channel.send(call(index))
            heard.append(channel.receive())

    ending, _ = spoken(sandbox, RecordingHost({"test.call": large}), speak)
    assert heard == [{"type": "reply", "index": index, "value": large} for index in range(2)]
    assert ending.failure is None


class Recalling(RecordingHost):
    """Answers each call with its argument, as it did before."""

    def __init__(self) -> None:
        super().__init__({"test.call": lambda arguments: arguments[0]})

    def coming_answers(self) -> Iterator[int]:
        yield from range(len(self.calls), 2 * AHEAD_COUNT_MAX)


def test_answers_arrive_before_their_calls_and_each_call_is_taken_in_order(sandbox) -> None:
    heard: list[Any] = []

    def speak(channel: Channel) -> None:
        channel.send(call(0))
        heard.extend(channel.receive() for _ in range(1 + AHEAD_COUNT_MAX))
        for index in range(1, 2 * AHEAD_COUNT_MAX):
            channel.send(call(index))
        heard.extend(channel.receive() for _ in range(AHEAD_COUNT_MAX - 1))
        channel.send({"type": "result", "value": 7, "steps": 5})

    host = Recalling()
    ending, dialogue = spoken(sandbox, host, speak)
    assert [each["value"] for each in heard] == list(range(2 * AHEAD_COUNT_MAX))
    assert [arguments for _, arguments in host.calls] == [[index] for index in range(2 * AHEAD_COUNT_MAX)]
    assert (ending.failure, dialogue.value) == (None, 7)
