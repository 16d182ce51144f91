"""When the launcher is told that a plan runs: once it takes a while, or asks for something, and never after that."""

import os
import signal
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from cloister.isolation.dialogue import Dialogue
from cloister.isolation.process.conversation import Conversation, Ending, Withdrawn
from cloister.isolation.process.supply import RunningSandbox
from cloister.isolation.wire import frame_bytes, pack
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits(wall_ms=5_000)
ANNOUNCED = b"limits"
RESULT = {"type": "result", "value": 3, "steps": 1}
CALL = {"type": "call", "index": 0, "capability": "test.once", "arguments": []}
STEP = {"type": "step", "event": "started", "name": "one", "error": None}


@pytest.fixture
def plan() -> Iterator[SimpleNamespace]:
    """Both sides of a sandbox for plans that was just ordered; a process that sleeps is its guest."""
    control, launcher = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    channel, guest = socket.socketpair()
    order, inside = socket.socketpair()
    pipes = [os.pipe(), os.pipe()]
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    pidfd = os.pidfd_open(pid)
    running = RunningSandbox(
        control=control,
        order=order,
        stdout=pipes[0][0],
        stderr=pipes[1][0],
        channel=channel,
        is_plain=True,
        pid=pid,
        pidfd=pidfd,
    )
    running.begin(ANNOUNCED)
    launcher.setblocking(False)
    yield SimpleNamespace(running=running, launcher=launcher, guest=guest)
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    os.waitpid(pid, 0)
    running.close()
    for each in (launcher, guest, inside):
        each.close()
    for _, writing in pipes:
        os.close(writing)


class Host:
    """Answers one call, and notes what the launcher had been told by then."""

    def __init__(self, plan: SimpleNamespace) -> None:
        self._plan = plan
        self.told: list[bytes] = []

    def _note(self) -> None:
        self.told.append(heard(self._plan.launcher))
        say(self._plan, RESULT)

    def call(self, capability_id: str, arguments: list[object]) -> None:
        self._note()

    def step_started(self, name: str, options: object) -> None:
        self._note()


def say(plan: SimpleNamespace, message: dict) -> None:
    plan.guest.sendall(pack(message, frame_bytes(LIMITS)))


def heard(launcher: socket.socket) -> bytes:
    try:
        return launcher.recv(100)
    except BlockingIOError:
        return b""


def attend(plan: SimpleNamespace, host: Host | None = None, *, announces: bool = False) -> Ending:
    return Conversation(plan.running, LIMITS, Dialogue(host, LIMITS), None).attend(announces=announces)


def test_a_quick_plan_is_over_before_anybody_is_told(plan) -> None:
    say(plan, RESULT)
    assert attend(plan).record["status"] == 0
    assert heard(plan.launcher) == b""


def test_one_that_takes_longer_is_announced(plan) -> None:
    told = []

    def give_the_result_once_it_is_known() -> None:
        plan.launcher.settimeout(30)
        told.append(plan.launcher.recv(100))
        say(plan, RESULT)

    guest = threading.Thread(target=give_the_result_once_it_is_known)
    guest.start()
    assert attend(plan).record["status"] == 0
    guest.join()
    assert told == [ANNOUNCED]


@pytest.mark.parametrize("message", [CALL, STEP])
def test_nothing_is_done_for_it_before_it_is_announced(plan, message) -> None:
    say(plan, message)
    host = Host(plan)
    assert attend(plan, host).record["status"] == 0
    assert host.told == [ANNOUNCED]
    assert heard(plan.launcher) == b""


@pytest.mark.parametrize("message", [CALL, STEP])
def test_nothing_is_done_for_one_that_was_withdrawn(plan, message) -> None:
    plan.launcher.shutdown(socket.SHUT_RDWR)
    say(plan, message)
    host = Host(plan)
    with pytest.raises(Withdrawn):
        attend(plan, host)
    assert host.told == []


def test_one_that_has_its_result_needs_no_launcher(plan) -> None:
    say(plan, RESULT)
    plan.launcher.shutdown(socket.SHUT_RD)  # as withdrawing does
    assert attend(plan).record["status"] == 0


def test_one_that_ended_unannounced_is_not_blamed(plan) -> None:
    plan.launcher.send(b'{"status": 9, "killed_for": null, "reported": {}, "wall_us": 0}')
    plan.guest.close()
    with pytest.raises(Withdrawn):
        attend(plan)


def test_one_that_was_announced_at_once_is(plan) -> None:
    record = b'{"status": 9, "killed_for": null, "reported": {}, "wall_us": 0}'
    plan.launcher.send(record)
    plan.guest.close()
    assert attend(plan, announces=True).record["status"] == 9
    assert heard(plan.launcher) == ANNOUNCED


def test_a_failure_on_this_side_is_announced_before_the_end_is_asked_for(plan) -> None:
    plan.guest.sendall(b"\0\0\0\1x")
    plan.launcher.send(b'{"status": 9, "killed_for": null, "reported": {}, "wall_us": 0}')
    assert attend(plan).failure is not None
    assert heard(plan.launcher) == ANNOUNCED
