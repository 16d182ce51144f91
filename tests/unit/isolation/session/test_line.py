"""The two connections of any session: whatever is at their other ends, its end is noticed, and told as what it was."""

from __future__ import annotations

import json
import os
import socket
import threading
from collections.abc import Iterator
from types import TracebackType
from typing import Any

import pytest

from cloister.errors import CloisterError, LaunchError, LimitExceeded, ProviderError
from cloister.isolation.session import line as lines
from cloister.isolation.session import orders
from cloister.isolation.session.line import SessionLine
from cloister.limits import ResourceLimits

ENDED = {"status": 0, "reported": {}}


class Ends:
    """What a provider ends its sessions with."""

    def __init__(self, control: socket.socket) -> None:
        self.control = control
        self.acts: list[str] = []

    def kill(self) -> None:
        self.acts.append("kill")

    def __enter__(self) -> None:
        self.acts.append("enter")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.acts.append("leave")
        self.control.close()


class Setting:
    """A line, and what is at its other ends."""

    def __init__(self) -> None:
        control, self.control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        channel, self.channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.ends = Ends(control)
        self.line = SessionLine(self.ends, channel, ResourceLimits())

    def end(self, record: dict[str, Any] | None, last_words: bytes = b"") -> None:
        if last_words:
            self.channel.send(last_words)
        self.channel.close()
        if record is not None:
            self.control.send(json.dumps(record).encode())
        self.control.close()

    def refusal(self) -> CloisterError:
        with pytest.raises(CloisterError) as caught:
            self.line.send(0, [])
        return caught.value

    def close(self) -> None:
        self.control.close()
        self.channel.close()
        self.line.close()


@pytest.fixture
def setting(monkeypatch) -> Iterator[Setting]:
    monkeypatch.setattr(lines, "END_TIMEOUT_S", 0.2)
    made = Setting()
    yield made
    made.close()


def test_one_that_takes_orders_gets_them_with_their_descriptors(setting) -> None:
    setting.channel.send(orders.READY)
    setting.line.await_ready()
    assert setting.line.end_reason is None
    reading, writing = os.pipe()
    setting.line.send(reading, [writing])
    message, received, _, _ = socket.recv_fds(setting.channel, 100, 5)
    assert (message, len(received)) == (orders.ORDER, 2)
    for each in (reading, writing, *received):
        os.close(each)


def test_one_that_takes_no_more_orders_says_so_and_goes_on(setting) -> None:
    refused = None
    while refused is None:
        try:
            setting.line.send(0, [])
        except LaunchError as error:
            refused = error
    assert refused.code == "provider.launcher"
    assert setting.line.end_reason is None


@pytest.mark.parametrize(
    ("record", "words", "code", "reason"),
    [
        (ENDED, orders.ENDED_IDLE, "provider.session", "idle limit"),
        (ENDED, orders.ENDED_UNCONTROLLED, "provider.session", "left behind"),
        (ENDED, b"", "provider.session", "first process ended"),
        (ENDED, b"something else", "provider.session", "first process ended"),
        (None, b"", "provider.session", "launcher of sandboxes ended"),
        ({"killed_for": ["cpu_ms", 7], "reported": {}}, b"", "limit.cpu", "processor time"),
    ],
)
def test_its_end_is_told_to_whoever_gives_an_order(setting, record, words, code, reason) -> None:
    setting.end(record, words)
    error = setting.refusal()
    assert error.code == code
    assert reason in error.message
    assert setting.line.end_reason == error.message


def test_a_limit_of_the_session_names_what_was_measured(setting) -> None:
    setting.end({"killed_for": ["wall_ms", 12], "reported": {}})
    error = setting.refusal()
    assert isinstance(error, LimitExceeded)
    assert (error.limit, error.used) == ("wall_ms", 12)


def test_one_that_was_not_completed_says_why(setting) -> None:
    setting.end({"status": 1, "reported": {"failed": "exec", "program": "x", "errno": 2}})
    with pytest.raises(LaunchError, match="could not be started"):
        setting.line.await_ready()


def test_one_that_hangs_up_and_does_not_end_does_not_answer(setting) -> None:
    setting.channel.close()
    error = setting.refusal()
    assert isinstance(error, LaunchError)
    assert "does not answer" in error.message


def test_what_it_used_is_known_at_its_end(setting) -> None:
    assert setting.line.usage.wall_us is None
    setting.end({"status": 0, "reported": {}, "wall_us": 5})
    assert setting.line.is_over(1)
    assert setting.line.usage.wall_us == 5


def test_closing_ends_it_once_and_nothing_is_done_with_it_afterwards(setting) -> None:
    ending = threading.Thread(target=setting.end, args=(ENDED,))
    ending.start()
    setting.line.close()
    setting.line.close()
    ending.join()
    assert setting.ends.acts == ["kill", "enter", "leave"]
    assert setting.line.end_reason == "it was closed"
    assert isinstance(setting.line.end_error(), ProviderError)
