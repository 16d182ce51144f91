"""The agent's process for plans: rehearsed before the machine is saved and while it waits, and used for one plan."""

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator

import pytest
from tests.unit.isolation.microvm.agents import Peer

from cloister.errors import WireError
from cloister.isolation.microvm.guest import agent as agents
from cloister.isolation.microvm.guest.agent import Agent
from cloister.isolation.microvm.guest.frames import AGENT, Kind
from cloister.isolation.microvm.guest.streams import Rehearsal
from cloister.limits import ResourceLimits

ORDER = {"limits": ResourceLimits().to_dict()}


class Group:
    """A control group in which nothing is."""

    def count_from_here(self) -> None:
        pass

    def end(self) -> bool:
        return True

    def remove(self) -> None:
        pass


class WaitingProcess:
    """A process for plans that notes what it is told."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(["sleep", "60"])
        self.pid = self.process.pid
        self.group = Group()
        self.told: list[str] = []
        self.bounds: list[ResourceLimits] = []

    def prepare(self) -> None:
        self.told.append("prepare")

    def rehearse(self, _: ResourceLimits) -> int:
        self.told.append("rehearse")
        return self._connection()

    def perform(self, _: ResourceLimits) -> int:
        self.told.append("perform")
        return self._connection()

    def bound(self, limits: ResourceLimits) -> None:
        self.bounds.append(limits)

    def _connection(self) -> int:
        ours, theirs = socket.socketpair()
        theirs.close()
        return ours.detach()


class Setting:
    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.host = Peer(ours)
        self._descriptor = theirs.detach()
        self.agent = Agent(self._descriptor, {"version": 1}, can_wait=False)
        self.agent._is_adopted = True
        self.waiting = WaitingProcess()
        self.agent._worker = self.waiting  # type: ignore[assignment]

    def order(self, number: int, what: str) -> None:
        self.host.say_json(number, Kind.ORDER, {**ORDER, "do": what})
        self.agent._receive()

    def say(self, number: int, kind: Kind, body: bytes) -> None:
        self.host.say(number, kind, body)
        self.agent._receive()

    def close(self) -> None:
        self.waiting.process.kill()
        self.waiting.process.wait()
        for stream in self.agent._streams.values():
            stream.close()
        self.host.connection.close()
        os.close(self._descriptor)


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    yield made
    made.close()


def test_the_host_is_told_when_it_is_rehearsed(setting) -> None:
    setting.host.say_json(AGENT, Kind.REHEARSE, {})
    setting.agent._receive()
    assert (setting.waiting.told, setting.host.next().kind) == (["prepare"], Kind.REHEARSE)


def test_it_runs_one_plan(setting) -> None:
    setting.order(1, "plan")
    assert setting.waiting.told == ["perform"]
    with pytest.raises(WireError) as caught:
        setting.order(2, "plan")
    assert caught.value.code == "provider.wire-order"
    assert list(setting.agent._streams) == [1]


def test_nothing_is_rehearsed_after_the_plan(setting) -> None:
    setting.order(1, "plan")
    with pytest.raises(WireError) as caught:
        setting.order(2, "rehearse")
    assert caught.value.code == "provider.wire-order"


def test_nothing_is_prepared_after_the_plan(setting) -> None:
    setting.order(1, "plan")
    setting.host.say_json(AGENT, Kind.REHEARSE, {})
    with pytest.raises(WireError) as caught:
        setting.agent._receive()
    assert caught.value.code == "provider.wire-order"


def test_a_rehearsal_leaves_the_process_for_the_plan_and_ends_when_the_next_comes(setting) -> None:
    setting.order(1, "rehearse")
    rehearsal = setting.agent._streams[1]
    assert isinstance(rehearsal, Rehearsal)
    assert not rehearsal.is_over
    setting.order(2, "plan")
    assert setting.waiting.told == ["rehearse", "perform"]
    assert rehearsal.is_over
    assert setting.waiting.process.poll() is None


def test_what_executions_use_is_looked_at_now_and_then(setting, monkeypatch) -> None:
    setting.order(1, "plan")
    setting.say(1, Kind.INPUT, b"start")
    looks: list[int] = []
    turns_count = 0
    monkeypatch.setattr(setting.agent._streams[1], "check", lambda: looks.append(turns_count))
    until_s = time.monotonic() + 3 * agents.TURN_MS / 1000
    while time.monotonic() < until_s:
        setting.agent._check()
        turns_count += 1
    assert 2 <= len(looks) <= 3
    assert turns_count > 10 * len(looks)


def test_a_plan_without_input_is_not_looked_after(setting) -> None:
    setting.order(1, "plan")
    time.sleep(2 * agents.TURN_MS / 1000)
    assert setting.agent._timeout_ms() is None
    setting.say(1, Kind.INPUT, b"start")
    assert setting.agent._timeout_ms() == agents.TURN_MS
    # and is not for a while: what it has used is not worth a look yet
    assert setting.agent._check_s > time.monotonic()


def test_the_limits_of_a_plan_can_be_changed_until_it_has_input(setting) -> None:
    setting.order(1, "plan")
    narrow = ResourceLimits(cpu_ms=7)
    setting.say(1, Kind.BOUND, json.dumps(narrow.to_dict()).encode())
    assert (setting.waiting.bounds, setting.agent._streams[1].limits) == ([narrow], narrow)
    setting.say(1, Kind.INPUT, b"start")
    with pytest.raises(WireError) as caught:
        setting.say(1, Kind.BOUND, json.dumps(ResourceLimits().to_dict()).encode())
    assert caught.value.code == "provider.wire-order"
    assert setting.agent._streams[1].limits == narrow


def test_the_limits_of_nothing_else_can_be_changed(setting) -> None:
    setting.order(1, "rehearse")
    with pytest.raises(WireError) as caught:
        setting.say(1, Kind.BOUND, json.dumps(ResourceLimits().to_dict()).encode())
    assert caught.value.code == "provider.wire-order"
