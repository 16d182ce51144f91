"""The agent heeds nothing before it is adopted; that sets its clock and mixes in randomness, in that machine alone."""

import os
import random
import socket
import threading
import time
from collections.abc import Iterator

import pytest
from tests.unit.isolation.microvm.agents import Peer

from cloister.errors import WireError
from cloister.isolation.microvm.guest import kernel
from cloister.isolation.microvm.guest.agent import ENTROPY_BYTES_MIN, Agent, PoweredOff
from cloister.isolation.microvm.guest.frames import AGENT, Frame, Kind, encode_json

ENTROPY = bytes(range(64))
CLOCK_NS = 1_700_000_000_000_000_000


class Setting:
    """An agent, the host's end of its connection, and what it asked of the kernel."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.host = Peer(ours)
        self._descriptor = theirs.detach()
        self.agent = Agent(self._descriptor, {"version": 1}, can_wait=False)
        self.asked: list[tuple[str, object]] = []

    def adopt(self, entropy: bytes = ENTROPY) -> None:
        self.host.say_json(AGENT, Kind.ADOPT, {"clock_ns": CLOCK_NS, "entropy": entropy.hex()})
        self.agent._receive()  # one turn of its loop, without its executions

    def close(self) -> None:
        self.host.connection.close()
        os.close(self._descriptor)


@pytest.fixture
def setting(monkeypatch) -> Iterator[Setting]:
    made = Setting()
    # The kernel that these would change is that of the host
    monkeypatch.setattr(time, "clock_settime_ns", lambda clock, ns: made.asked.append(("clock", (clock, ns))))
    monkeypatch.setattr(kernel, "mix_in", lambda entropy: made.asked.append(("entropy", entropy)))
    yield made
    made.close()


def test_being_adopted_sets_the_clock_and_mixes_in_what_came(setting) -> None:
    random.seed(1)
    before = random.getstate()
    setting.adopt()
    assert setting.asked == [("clock", (time.CLOCK_REALTIME, CLOCK_NS)), ("entropy", ENTROPY)]
    assert random.getstate() != before
    answer = setting.host.next()
    assert (answer.stream, answer.kind) == (AGENT, Kind.ADOPT)
    assert abs(answer.data()["clock_ns"] - time.time_ns()) < 10**9  # it says what its clock shows, not what it was told


def test_too_little_randomness_is_refused_before_anything_is_set(setting) -> None:
    with pytest.raises(WireError) as caught:
        setting.adopt(bytes(ENTROPY_BYTES_MIN - 1))
    assert (caught.value.code, setting.asked) == ("provider.wire-shape", [])


@pytest.mark.parametrize("kind", [Kind.ORDER, Kind.INPUT, Kind.CREDIT, Kind.END, Kind.RESIZE])
def test_nothing_else_is_heeded_before_it_is_adopted(setting, kind) -> None:
    setting.host.say_json(1, kind, {"do": "plan"})
    with pytest.raises(WireError) as caught:
        setting.agent._receive()
    assert caught.value.code == "provider.wire-order"


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.OUTPUT, Kind.ERRORS, Kind.STATUS])
def test_what_only_an_agent_says_is_refused(setting, kind) -> None:
    setting.adopt()
    setting.host.say_json(1, kind, {})
    with pytest.raises(WireError):
        setting.agent._receive()


@pytest.mark.parametrize("is_adopted", [True, False])
def test_it_may_be_told_to_end_at_any_time(setting, is_adopted) -> None:
    if is_adopted:
        setting.adopt()
    setting.host.say(AGENT, Kind.POWER_OFF)
    with pytest.raises(PoweredOff):
        setting.agent._receive()


def test_a_host_that_is_gone_ends_it(setting) -> None:
    setting.host.connection.shutdown(socket.SHUT_WR)
    with pytest.raises(PoweredOff):
        setting.agent._receive()


def test_a_challenge_where_there_is_no_tpm_is_refused(setting) -> None:
    setting.host.say_json(AGENT, Kind.ATTEST, {})
    with pytest.raises(WireError):
        setting.agent._receive()


def test_a_word_for_an_execution_that_has_just_ended_is_dropped(setting) -> None:
    setting.adopt()
    setting.host.connection.sendall(encode_json(5, Kind.RESIZE, {"rows": 1, "columns": 1}))
    setting.host.give_credit(5, 10)
    setting.host.say(5, Kind.INPUT, b"late")
    setting.agent._receive()
    assert setting.host.next().kind is Kind.ADOPT


def test_a_stream_that_has_begun_does_not_begin_again(setting) -> None:
    setting.adopt()
    with pytest.raises(WireError):
        setting.agent._begin(Frame(AGENT, Kind.ORDER, b'{"do": "plan"}'))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may credit the kernel with randomness")
def test_the_kernel_takes_randomness_that_is_mixed_in() -> None:
    mixing = threading.Thread(target=kernel.mix_in, args=(os.urandom(64),))
    mixing.start()
    mixing.join(5)
    assert not mixing.is_alive()
    kernel.mix_in(os.urandom(64))
