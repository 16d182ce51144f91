"""Connections that a machine asks its host for: the host's end against agents that may lie, and the agent's end."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.isolation.microvm.agents import wait_until

from cloister.errors import EgressDenied, WireError
from cloister.isolation.microvm.guest.door import Door
from cloister.isolation.microvm.guest.frames import (
    BODY_BYTES_MAX,
    INWARD_MAX,
    STREAMS_MAX,
    WINDOW_BYTES,
    Decoder,
    Frame,
    Kind,
    encode,
    encode_credit,
    encode_json,
)
from cloister.isolation.microvm.porter import Porter

TIMEOUT_S = 10.0
FIRST = STREAMS_MAX


class Agent:
    """The other end of a porter, which says what a test tells it to."""

    def __init__(self) -> None:
        self.connection, theirs = socket.socketpair()
        self.connection.settimeout(TIMEOUT_S)
        self.peers: list[socket.socket] = []
        self.porter = Porter(theirs)
        self.porter.start()
        self._decoder = Decoder()
        self._frames: deque[Frame] = deque()

    def say(self, *frames: bytes) -> None:
        self.connection.sendall(b"".join(frames))

    def open(self, number: int = FIRST, purpose: object = "egress") -> None:
        self.say(encode_json(number, Kind.OPEN, {"purpose": purpose}))

    def next(self) -> Frame:
        while not self._frames:
            self._frames.extend(self._decoder.feed(self.connection.recv(65536)))
        return self._frames.popleft()

    def code_lost(self) -> str:
        assert wait_until(lambda: self.porter.lost is not None, TIMEOUT_S)
        assert self.porter.lost is not None
        return self.porter.lost.code


@pytest.fixture
def agent() -> Iterator[Agent]:
    agent = Agent()
    yield agent
    agent.porter.close()
    for each in (agent.connection, *agent.peers):
        each.close()


def accepting(agent: Agent) -> socket.socket:
    """Have the next connection accepted; return its other end."""
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT_S)
    agent.peers.append(ours)
    agent.porter.inward.acceptor = lambda _: theirs
    return ours


def accepted(agent: Agent) -> socket.socket:
    ours = accepting(agent)
    agent.open()
    assert agent.next().data()["accepted"] is True
    return ours


def test_without_anyone_to_decide_it_is_refused_and_its_number_is_free_afterwards(agent: Agent) -> None:
    for _ in range(2):
        agent.open()
        assert agent.next().data().items() >= {"accepted": False, "code": "denied.egress"}.items()
        agent.say(encode(FIRST, Kind.END))
        assert agent.next() == Frame(FIRST, Kind.END, b"")


def test_a_refusal_of_whoever_decides_is_told_with_its_code(agent: Agent) -> None:
    def decide(purpose: str) -> socket.socket:
        raise EgressDenied(f"not {purpose}", code="denied.egress")

    agent.porter.inward.acceptor = decide
    agent.open()
    assert agent.next().data() == {"accepted": False, "code": "denied.egress", "message": "not egress"}


def test_bytes_go_both_ways_and_each_end_is_passed_on(agent: Agent) -> None:
    peer = accepted(agent)
    agent.say(encode(FIRST, Kind.OUTPUT, b"question"), encode(FIRST, Kind.OUTPUT))
    assert peer.recv(100) == b"question"
    assert peer.recv(100) == b""
    peer.sendall(b"answer")
    assert agent.next() == Frame(FIRST, Kind.INPUT, b"answer")
    peer.close()
    assert agent.next() == Frame(FIRST, Kind.INPUT, b"")
    agent.say(encode(FIRST, Kind.END))
    assert agent.next() == Frame(FIRST, Kind.END, b"")


def test_no_more_is_sent_than_there_is_credit_for(agent: Agent) -> None:
    peer = accepted(agent)
    sender = threading.Thread(target=peer.sendall, args=(bytes(3 * WINDOW_BYTES),))
    sender.start()
    received = 0
    while received < WINDOW_BYTES:
        received += len(agent.next().body)
    assert received == WINDOW_BYTES
    agent.connection.settimeout(0.2)
    with pytest.raises(TimeoutError):
        agent.next()
    agent.connection.settimeout(TIMEOUT_S)
    agent.say(encode_credit(FIRST, WINDOW_BYTES))
    while received < 2 * WINDOW_BYTES:
        received += len(agent.next().body)
    agent.say(encode_credit(FIRST, WINDOW_BYTES))
    sender.join()


def test_an_agent_that_sends_more_than_it_has_credit_for_is_lost(agent: Agent) -> None:
    accepted(agent)  # whose other end reads nothing
    with contextlib.suppress(OSError):  # it hangs up in between
        for _ in range(8 * WINDOW_BYTES // BODY_BYTES_MAX):
            agent.say(encode(FIRST, Kind.OUTPUT, bytes(BODY_BYTES_MAX)))
    assert agent.code_lost() == "provider.wire-order"


def test_a_connection_ends_when_its_machine_is_not_used_any_more(agent: Agent) -> None:
    peer = accepted(agent)
    agent.porter.close()
    assert peer.recv(1) == b""


def test_what_is_accepted_too_late_is_closed(agent: Agent) -> None:
    ours, theirs = socket.socketpair()
    ours.settimeout(TIMEOUT_S)
    agent.peers.append(ours)
    asked, may_answer = threading.Event(), threading.Event()

    def decide(_: str) -> socket.socket:
        asked.set()
        may_answer.wait(TIMEOUT_S)
        return theirs

    agent.porter.inward.acceptor = decide
    agent.open()
    assert asked.wait(TIMEOUT_S)
    agent.porter.close()
    may_answer.set()
    assert ours.recv(1) == b""


@pytest.mark.parametrize(
    "frames",
    [
        (encode(FIRST, Kind.OUTPUT, b"x"),),
        (encode_json(1, Kind.OPEN, {"purpose": "egress"}),),
        (encode_json(FIRST, Kind.OPEN, {"purpose": "egress"}),) * 2,
        (encode_json(FIRST, Kind.OPEN, {"purpose": "egress"}), encode(FIRST, Kind.OUTPUT, b"x")),
        (encode_json(FIRST, Kind.OPEN, {"purpose": "egress"}), encode_credit(FIRST, 1)),
        (encode_json(FIRST, Kind.OPEN, {"purpose": "egress"}), encode(FIRST, Kind.INPUT, b"x")),
        (encode(FIRST, Kind.END),),
    ],
)
def test_an_agent_that_breaks_the_order_is_lost(agent: Agent, frames: tuple[bytes, ...]) -> None:
    agent.say(*frames)
    assert agent.code_lost() == "provider.wire-order"


@pytest.mark.parametrize("purpose", [None, 7, "x" * 1000])
def test_an_agent_that_names_no_proper_purpose_is_lost(agent: Agent, purpose: object) -> None:
    agent.open(purpose=purpose)
    assert agent.code_lost() == "provider.wire-shape"


def test_there_are_no_numbers_for_more_than_the_bound() -> None:
    last = FIRST + INWARD_MAX - 1
    assert [frame.stream for frame in Decoder().feed(encode(last, Kind.END))] == [last]
    with pytest.raises(WireError):
        list(Decoder().feed(encode(last + 1, Kind.END)))


# The agent's end -----------------------------------------------------------------------------------------------------


class Inside:
    """A door, and what it says to the host."""

    def __init__(self) -> None:
        self.said: list[Frame] = []
        self._decoder = Decoder()
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = listener.getsockname()
        self.door = Door(listener, lambda data: self.said.extend(self._decoder.feed(data)))

    def connect(self) -> socket.socket:
        connection = socket.create_connection(self.address, TIMEOUT_S)
        self.attend()
        return connection

    def attend(self) -> None:
        for descriptor in self.door.watched():
            self.door.attend(descriptor)

    def tell(self, number: int, kind: Kind, data: dict[str, Any] | bytes = b"") -> None:
        body = data if isinstance(data, bytes) else encode_json(number, kind, data)[8:]
        self.door.take(Frame(number, kind, body))

    def until(self, holds: Callable[[], object]) -> None:
        for _ in range(1000):
            if holds():
                return
            self.attend()
        raise AssertionError(self.said)


@pytest.fixture
def inside() -> Iterator[Inside]:
    inside = Inside()
    yield inside
    inside.door.close()


ACCEPTED = {"accepted": True, "code": "", "message": ""}
REFUSED = {"accepted": False, "code": "denied.egress", "message": "no"}


def test_nothing_is_read_from_a_program_before_the_host_has_accepted(inside: Inside) -> None:
    with inside.connect() as program:
        program.sendall(b"early")
        inside.attend()
        assert [frame.kind for frame in inside.said] == [Kind.OPEN]
        inside.tell(FIRST, Kind.ANSWER, ACCEPTED)
        inside.until(lambda: len(inside.said) > 1)
        assert inside.said[1] == Frame(FIRST, Kind.OUTPUT, b"early")
        inside.tell(FIRST, Kind.INPUT, b"answer")
        assert program.recv(100) == b"answer"


def test_a_program_that_is_refused_is_told_the_code_and_nothing_it_says_goes_out(inside: Inside) -> None:
    with inside.connect() as program:
        program.sendall(b"secret")
        inside.tell(FIRST, Kind.ANSWER, REFUSED)
        assert b'"denied.egress"' in program.recv(1000)
        assert program.recv(1000) == b""
    inside.until(lambda: len(inside.said) > 1)
    assert [frame.kind for frame in inside.said] == [Kind.OPEN, Kind.END]


def test_a_number_is_taken_until_both_sides_have_ended(inside: Inside) -> None:
    with inside.connect():
        inside.tell(FIRST, Kind.ANSWER, ACCEPTED)
    while inside.said[-1].kind is not Kind.END:
        inside.tell(FIRST, Kind.INPUT, b"to nobody")
    inside.tell(FIRST, Kind.INPUT, b"it was on its way")
    with inside.connect():
        assert inside.said[-1][:2] == (FIRST + 1, Kind.OPEN)
    inside.tell(FIRST, Kind.END)
    with inside.connect():
        assert inside.said[-1][:2] == (FIRST, Kind.OPEN)


def test_there_are_only_so_many_at_once(inside: Inside) -> None:
    programs = [inside.connect() for _ in range(INWARD_MAX)]
    with inside.connect():  # waits in the queue of the port
        assert len(inside.said) == INWARD_MAX
    for program in programs:
        program.close()


def test_no_more_is_read_from_a_program_than_there_is_credit_for(inside: Inside) -> None:
    with inside.connect() as program:
        inside.tell(FIRST, Kind.ANSWER, ACCEPTED)
        sender = threading.Thread(target=program.sendall, args=(bytes(2 * WINDOW_BYTES),))
        sender.start()

        def passed_on() -> int:
            return sum(len(frame.body) for frame in inside.said if frame.kind is Kind.OUTPUT)

        while passed_on() < WINDOW_BYTES:
            inside.attend()
        inside.attend()
        assert passed_on() == WINDOW_BYTES
        inside.tell(FIRST, Kind.CREDIT, encode_credit(FIRST, WINDOW_BYTES)[8:])
        while passed_on() < 2 * WINDOW_BYTES:
            inside.attend()
        sender.join()


def test_a_host_that_gives_more_credit_than_there_is_or_sends_more_is_refused(inside: Inside) -> None:
    with inside.connect():
        inside.tell(FIRST, Kind.ANSWER, ACCEPTED)
        with pytest.raises(WireError):
            inside.tell(FIRST, Kind.CREDIT, encode_credit(FIRST, 1)[8:])

        def flood() -> None:
            for _ in range(64 * WINDOW_BYTES // BODY_BYTES_MAX):  # far more than the kernel keeps for the program
                inside.tell(FIRST, Kind.INPUT, bytes(BODY_BYTES_MAX))

        with pytest.raises(WireError):
            flood()
