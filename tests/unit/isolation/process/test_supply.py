"""The host's end of a lane, with the test in the place of the launcher."""

import array
import os
import resource
import signal
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path

import pytest

from cloister.isolation.process import connections, lanes, reports
from cloister.isolation.process.connections import Connections
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.running import ASIDE_MAX, Aside
from cloister.isolation.process.supply import LauncherGone, Refused, Supply


class FakeLauncher:
    """The launcher's end: gives sandboxes that are connections only, and remembers them."""

    def __init__(self, end: socket.socket) -> None:
        self.end = end
        self.given: list[Connections] = []

    def give(self, generation: int = 0) -> Connections:
        made = connections.make(has_channel=False)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", made.host))]
        self.end.sendmsg([lanes.SANDBOX + f"{generation} 0".encode()], rights)
        connections.close(made.host)
        connections.close(made.inside)
        self.given.append(made)
        return made

    def asked(self) -> list[bytes]:
        self.end.setblocking(False)
        said = []
        while True:
            try:
                said.append(self.end.recv(100))
            except BlockingIOError:
                return said


@pytest.fixture
def launcher() -> Iterator[FakeLauncher]:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    fake = FakeLauncher(theirs)
    fake.supply = Supply(ours, Lane.PROGRAM)
    yield fake
    fake.supply.close()
    theirs.close()
    for made in fake.given:
        made.close_own()


def taken_is(supply: Supply, made: Connections) -> bool:
    """Whether the sandbox that is taken next is this one: what is said on it arrives here."""
    taken = supply.take()
    taken.control.send(b"mine")
    made.control.setblocking(False)
    try:
        return made.control.recv(10) == b"mine"
    except BlockingIOError:
        return False
    finally:
        taken.close()


def test_what_waits_is_taken_in_order_and_nothing_is_asked(launcher) -> None:
    first, second = launcher.give(), launcher.give()
    assert taken_is(launcher.supply, first)
    assert taken_is(launcher.supply, second)
    assert launcher.asked() == []


def test_one_that_has_ended_is_passed_over(launcher) -> None:
    ended, alive = launcher.give(), launcher.give()
    ended.control.close()
    assert taken_is(launcher.supply, alive)


def test_one_of_an_earlier_generation_is_passed_over(launcher) -> None:
    launcher.give(0)
    launcher.supply.renew()
    assert launcher.asked() == [lanes.RENEW + b"1"]
    new = launcher.give(1)
    assert taken_is(launcher.supply, new)


def test_a_refusal_is_told_and_the_answer_to_an_earlier_question_is_not(launcher) -> None:
    report = reports.failure("mechanism", step="namespaces", errno=1, detail="no")
    refusal = lanes.REFUSED + reports.to_bytes(report)
    alive = launcher.give()
    launcher.end.send(refusal)
    assert taken_is(launcher.supply, alive)
    later = launcher.give()
    assert taken_is(launcher.supply, later)  # past the refusal, which nobody waits for
    sent_when_asked(launcher, refusal)
    with pytest.raises(Refused) as caught:
        launcher.supply.take()
    assert caught.value.report == report


def sent_when_asked(launcher: FakeLauncher, answer: bytes) -> None:
    """Answer the next question from a process of its own, once it was asked."""
    if os.fork() == 0:
        launcher.end.setblocking(True)
        status = launcher.end.recv(100) != lanes.MAKE
        launcher.end.send(answer)
        os._exit(status)


def test_a_launcher_that_is_gone_is_noticed(launcher) -> None:
    launcher.end.close()
    with pytest.raises(LauncherGone):
        launcher.supply.take()


def test_closing_tells_whoever_waits_and_whoever_comes_later(launcher) -> None:
    with ThreadPoolExecutor() as threads:
        waiting = threads.submit(launcher.supply.take)
        assert launcher.end.recv(100) == lanes.MAKE  # so it waits for the answer
        closing = threads.submit(launcher.supply.close)
        done, _ = wait([waiting, closing], timeout=10)
        launcher.end.close()  # ends both, had the closing not done it
        assert done == {waiting, closing}
        with pytest.raises(LauncherGone):
            waiting.result()
    with pytest.raises(LauncherGone):
        launcher.supply.take()
    with pytest.raises(LauncherGone):
        launcher.supply.renew()


def test_connections_of_no_use_are_closed_when_it_is_said_and_at_the_end() -> None:
    one, other, late = socket.socketpair(), socket.socketpair(), socket.socketpair()
    aside = Aside()
    aside.put(*one)
    assert [each.fileno() >= 0 for each in one] == [True, True]
    aside.clear()
    assert [each.fileno() for each in one] == [-1, -1]
    aside.put(*other)
    aside.close()
    assert [each.fileno() for each in other] == [-1, -1]
    aside.put(*late)
    assert [each.fileno() for each in late] == [-1, -1]


def test_only_so_many_connections_lie_aside() -> None:
    aside = Aside()
    kept = [each for _ in range(ASIDE_MAX // 2) for each in socket.socketpair()]
    aside.put(*kept)
    assert all(each.fileno() >= 0 for each in kept)
    one, other = socket.socketpair()
    aside.put(one)
    assert [each.fileno() for each in (*kept, one)] == [-1] * (ASIDE_MAX + 1)
    other.close()


@pytest.mark.parametrize("is_ended_here", [True, False])
def test_only_connections_of_a_guest_ended_from_here_are_closed_later(launcher, is_ended_here) -> None:
    made = launcher.give()
    taken = launcher.supply.take()
    if is_ended_here:
        taken.pid = os.fork()
        if taken.pid == 0:
            signal.pause()
            os._exit(0)
        taken.pidfd = os.pidfd_open(taken.pid)
        taken.is_plain = True
        taken.prepare_conclusion()
        assert taken.conclude() is not None
        os.waitpid(taken.pid, 0)
    taken.close()
    made.control.setblocking(False)
    if is_ended_here:
        with pytest.raises(BlockingIOError):
            made.control.recv(1)
        launcher.supply.close()
    assert made.control.recv(1) == b""


def open_descriptors() -> list[int]:
    return sorted(int(path.name) for path in Path("/proc/self/fd").iterdir())


def test_too_few_free_descriptors_leave_none_open(launcher) -> None:
    launcher.give()
    before = open_descriptors()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(before)
    free = sorted(set(range(highest)) - set(before))
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 1 if not free else free[0] + 2, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            launcher.supply.take()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert open_descriptors() == before
    alive = launcher.give()
    assert taken_is(launcher.supply, alive)
