"""The life of a machine: which stage may follow which, and that no machine is used before it is ours, or twice."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from itertools import pairwise

import pytest
from tests.unit.isolation.microvm.agents import Peer, adopt

from cloister.errors import CloisterError, GuestCrashed, InternalError, LaunchError
from cloister.isolation.microvm import live as lives
from cloister.isolation.microvm.guest.frames import VERSION, Kind
from cloister.isolation.microvm.live import LiveMachine, Stage
from cloister.isolation.microvm.vmm import MachineSpec

HELLO = {"version": VERSION, "kernel": "6.1.0", "memory_bytes": 1 << 29, "python": "3.11.2", "drives": []}
LIFE = (Stage.STARTED, Stage.GREETED, Stage.WAITING, Stage.WORKING, Stage.ENDING)


class FakeMachine:
    """What runs a machine whose agent is at the other end of a pair of sockets."""

    def __init__(self) -> None:
        self.acts: list[str] = []
        self.peers: list[Peer] = []
        self.can_connect = True

    def resume(self) -> None:
        self.acts.append("resume")

    def connect(self, timeout_s: float) -> socket.socket:
        del timeout_s
        if not self.can_connect:
            raise LaunchError("its agent does not answer", code="provider.machine")
        ours, theirs = socket.socketpair()
        self.peers.append(Peer(theirs))
        return ours

    def has_ended(self, timeout_s: float = 0.0) -> bool:
        del timeout_s
        return "stop" in self.acts

    def console_tail(self) -> str:
        return "some words"

    def stop(self) -> None:
        self.acts.append("stop")
        for each in self.peers:
            each.connection.close()


class Setting:
    """A machine that was just connected to."""

    def __init__(self) -> None:
        self.machine = FakeMachine()
        self.stopped: list[LiveMachine] = []
        self.live = self.connected()

    def connected(self, *, was_greeted: bool = False) -> LiveMachine:
        return LiveMachine.connected(
            self.machine, MachineSpec(), was_greeted=was_greeted, on_stop=self.stopped.append
        )  # type: ignore[arg-type]  # fmt: skip

    def to(self, stage: Stage) -> LiveMachine:
        for before, each in pairwise(LIFE):
            if self.live.stage is before and before is not stage:
                self.live.turn(each)
        return self.live


@pytest.fixture
def setting(monkeypatch) -> Iterator[Setting]:
    monkeypatch.setattr(lives, "BOOT_TIMEOUT_S", 0.2)
    made = Setting()
    yield made
    made.live.stop()


def test_a_whole_life(setting) -> None:
    live, peer = setting.live, setting.machine.peers[0]
    peer.say_json(0, Kind.HELLO, HELLO)
    live.greet()
    answering = threading.Thread(target=adopt, args=(peer,))
    answering.start()
    live.adopt(time.time_ns(), bytes(64))
    answering.join()
    assert live.stage is Stage.WAITING
    live.turn(Stage.WORKING)
    live.turn(Stage.ENDING)
    live.stop()
    assert (live.stage, setting.machine.acts, setting.stopped) == (Stage.STOPPED, ["resume", "stop"], [live])


@pytest.mark.parametrize("stage", [Stage.STARTED, Stage.GREETED])
@pytest.mark.parametrize("use", [Stage.WORKING, Stage.SESSION])
def test_one_that_is_not_ours_yet_is_not_used(setting, stage, use) -> None:
    with pytest.raises(InternalError):
        setting.to(stage).turn(use)
    assert setting.live.stage is stage


@pytest.mark.parametrize("first", [Stage.WORKING, Stage.SESSION, Stage.ENDING])
@pytest.mark.parametrize("again", [Stage.WAITING, Stage.WORKING, Stage.SESSION])
def test_one_that_was_used_is_never_used_again(setting, first, again) -> None:
    setting.to(Stage.WAITING).turn(first)
    with pytest.raises(InternalError):
        setting.live.turn(again)


def test_of_two_threads_that_want_it_one_gets_it(setting) -> None:
    setting.to(Stage.WAITING)
    refused: list[InternalError] = []
    ready = threading.Barrier(2)

    def want() -> None:
        ready.wait()
        try:
            setting.live.turn(Stage.WORKING)
        except InternalError as error:
            refused.append(error)

    threads = [threading.Thread(target=want) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    assert len(refused) == 1


def test_one_that_was_not_greeted_is_not_adopted_and_is_told_nothing(setting) -> None:
    with pytest.raises(InternalError, match="started cannot be adopted"):
        setting.live.adopt(time.time_ns(), bytes(64))
    with pytest.raises(TimeoutError):
        setting.machine.peers[0].next(0.1)


def test_one_that_was_greeted_before_it_was_saved_need_not_be_again(setting) -> None:
    live = setting.connected(was_greeted=True)
    assert live.stage is Stage.GREETED
    live.stop()


def test_one_that_is_connected_to_anew_is_greeted_anew(setting) -> None:
    setting.to(Stage.GREETED)
    with pytest.raises(GuestCrashed):
        setting.live.greet_anew()
    assert setting.live.stage is Stage.STARTED


@pytest.mark.parametrize("stage", LIFE)
def test_one_can_be_stopped_whatever_it_does_and_stays_so(setting, stage) -> None:
    live = setting.to(stage)
    live.stop()
    live.turn(Stage.ENDING)  # by whoever has used it and does not know
    assert live.stage is Stage.STOPPED
    for each in set(Stage) - {Stage.ENDING}:
        with pytest.raises(InternalError):
            live.turn(each)


def test_one_that_cannot_be_connected_to_is_stopped(setting) -> None:
    setting.machine.can_connect = False
    with pytest.raises(CloisterError, match="does not answer"):
        setting.connected()
    assert setting.machine.acts == ["resume", "resume", "stop"]


def test_whoever_fails_with_it_stops_it(setting) -> None:
    with pytest.raises(ValueError, match="defect"), setting.live.or_stopped():
        raise ValueError("defect")
    assert setting.live.stage is Stage.STOPPED
