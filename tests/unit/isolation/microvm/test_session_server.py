"""A session served over a machine: its orders become executions, and it ends by its terms, or with the machine."""

import array
import contextlib
import errno
import json
import os
import socket
import termios
import threading
import time
import tty
from collections.abc import Iterator
from dataclasses import replace

import pytest
from tests.unit.isolation.microvm.agents import PRIVATE, Peer, adopt, status, wait_until

from cloister.isolation.microvm.guest.frames import Kind
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.session_server import SessionServer
from cloister.isolation.microvm.vmm import VmmUsage
from cloister.isolation.session import orders
from cloister.isolation.session.orders import Order, OrderKind
from cloister.isolation.session_provider import SessionContext
from cloister.limits import ResourceLimits

CONTEXT = SessionContext(
    execution_id="e",
    capability_id="c",
    token=None,  # type: ignore[arg-type]
    environment={"SET": "1"},
    limits=ResourceLimits(),
    idle_ms=60_000,
)
PROGRAM = Order(kind=OrderKind.PROGRAM, argv=("true",), environment={"MORE": "2"}, working_directory="/tmp")


class FakeMachine:
    """A VMM that runs until a test says that it has ended."""

    def __init__(self) -> None:
        self._reading, self.writing = os.pipe()

    def fileno(self) -> int:
        return self._reading

    def close(self) -> None:
        os.close(self._reading)
        with contextlib.suppress(OSError):
            os.close(self.writing)


class FakeReady:
    """A machine whose agent is at the other end of a socket pair."""

    def __init__(self, link: MachineLink) -> None:
        self.machine = FakeMachine()
        self.link = link
        self.usage = VmmUsage(cpu_user_us=5, cpu_system_us=None)

    def processor_usage(self) -> VmmUsage:
        return self.usage


class Setting:
    def __init__(self, context: SessionContext) -> None:
        ours, theirs = socket.socketpair()
        self.link, self.peer = MachineLink(ours), Peer(theirs)
        answering = threading.Thread(target=adopt, args=(self.peer,))
        answering.start()
        self.link.adopt(time.time_ns(), bytes(64))
        answering.join()
        self.ready = FakeReady(self.link)
        self.channel, their_channel = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.stops = 0
        server = SessionServer(self.ready, their_channel, their_control, context, self._stop)  # type: ignore[arg-type]
        server.start()
        self.channel.settimeout(5)
        self.control.settimeout(5)
        assert self.channel.recv(100) == orders.READY

    def _stop(self) -> None:
        self.stops += 1
        self.link.close()

    def order(self, order: Order) -> tuple[socket.socket, int]:
        """Give an order; return where its report comes, and where its output is read."""
        report, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report.settimeout(5)
        text = os.memfd_create("order")
        os.write(text, order.to_bytes())
        reading, writing = os.pipe()
        null = os.open(os.devnull, os.O_RDWR)
        sent = [text, theirs.fileno(), null, writing, null]
        self.channel.sendmsg([orders.ORDER], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", sent))])
        theirs.close()
        for each in (text, writing, null):
            os.close(each)
        return report, reading

    def record(self) -> dict:
        return json.loads(self.control.recv(1 << 16))

    def close(self) -> None:
        for each in (self.channel, self.control):
            each.close()
        wait_until(lambda: self.stops > 0)
        self.link.close()
        self.peer.connection.close()
        self.ready.machine.close()


@pytest.fixture
def setting(request) -> Iterator[Setting]:
    made = Setting(getattr(request, "param", CONTEXT))
    yield made
    made.close()


def test_an_order_becomes_an_execution_and_its_report_comes_back(setting) -> None:
    report, reading = setting.order(PROGRAM)
    frame = setting.peer.await_kind(Kind.ORDER)
    told = frame.data()
    assert (told["do"], told["argv"], told["directory"], told["window"]) == ("program", ["true"], "/tmp", None)
    assert (told["environment"]["SET"], told["environment"]["MORE"]) == ("1", "2")
    setting.peer.say(frame.stream, Kind.OUTPUT, b"out")
    setting.peer.say_json(frame.stream, Kind.STATUS, status(0x0300))
    assert json.loads(report.recv(1 << 16)) == {"status": 0x0300, "private": PRIVATE}
    assert os.read(reading, 100) == b"out"
    report.close()
    os.close(reading)


@pytest.mark.parametrize("kind", [OrderKind.PACK, OrderKind.UNPACK])
def test_a_copy_names_its_path(setting, kind) -> None:
    report, reading = setting.order(replace(PROGRAM, kind=kind, path="/tmp/x"))
    told = setting.peer.await_kind(Kind.ORDER).data()
    assert (told["do"], told["path"]) == (kind.value, "/tmp/x")
    report.close()
    os.close(reading)


def open_descriptors() -> int:
    return len(list(os.scandir("/proc/self/fd")))


@pytest.mark.parametrize(
    ("owner", "step", "error"),
    [
        (os, "openpty", OSError(errno.ENOSPC, "No space left on device")),
        (tty, "setraw", termios.error(errno.ENOSPC, "No space left on device")),
        (termios, "tcsetwinsize", termios.error(errno.ENOSPC, "No space left on device")),
    ],
)
def test_a_terminal_that_cannot_be_had_ends_its_order_and_not_the_session(
    setting, monkeypatch, owner, step, error
) -> None:
    def fail(*_: object) -> tuple[int, int]:
        raise error

    before = open_descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(owner, step, fail)
        report, reading = setting.order(replace(PROGRAM, window=(24, 80)))
        told = json.loads(report.recv(1 << 16))
    assert (told["failed"], told["step"], told["errno"]) == ("mechanism", "terminal", errno.ENOSPC)
    report.close()
    os.close(reading)
    assert wait_until(lambda: open_descriptors() == before)
    report, reading = setting.order(PROGRAM)
    assert setting.peer.await_kind(Kind.ORDER).data()["argv"] == ["true"]
    report.close()
    os.close(reading)


def test_a_terminal_that_nobody_waits_for_any_more_leaves_nothing_open(setting, monkeypatch) -> None:
    gone, opening, openpty = threading.Event(), threading.Event(), os.openpty

    def late() -> tuple[int, int]:
        opening.set()
        assert gone.wait(5)
        return openpty()

    before = open_descriptors()
    with monkeypatch.context() as patched:
        patched.setattr(os, "openpty", late)
        report, reading = setting.order(replace(PROGRAM, window=(24, 80)))
        assert opening.wait(5)
        report.close()
        gone.set()
        os.close(reading)
        assert wait_until(lambda: open_descriptors() == before)
    assert setting.stops == 0


def test_a_terminal_is_handed_out_and_carried(setting) -> None:
    report, reading = setting.order(replace(PROGRAM, window=(24, 80)))
    _, received, _, _ = socket.recv_fds(report, 100, 1)
    frame = setting.peer.await_kind(Kind.ORDER)
    assert frame.data()["window"] == [24, 80]
    os.write(received[0], b"\x03typed\n")
    assert setting.peer.await_kind(Kind.INPUT).body == b"\x03typed\n"  # the terminal in the machine does the rest
    setting.peer.say(frame.stream, Kind.OUTPUT, b"shown\r\n")
    assert os.read(received[0], 100) == b"shown\r\n"
    os.close(received[0])
    os.close(reading)
    report.close()


def test_closing_it_stops_the_machine_and_tells_the_record(setting) -> None:
    setting.control.shutdown(socket.SHUT_WR)
    record = setting.record()
    assert (record["status"], record["cpu_user_us"], "cpu_system_us" in record) == (0, 5, False)
    assert setting.stops == 1


def test_the_end_of_the_vmm_ends_it_and_what_runs_in_it(setting) -> None:
    report, reading = setting.order(PROGRAM)
    setting.peer.await_kind(Kind.ORDER)
    os.close(setting.ready.machine.writing)
    assert "status" not in setting.record()
    assert report.recv(100) == b""
    assert os.read(reading, 100) == b""
    report.close()
    os.close(reading)


def test_an_agent_that_breaks_the_protocol_ends_it(setting) -> None:
    setting.peer.connection.sendall(b"\xff" * 64)
    assert "status" not in setting.record()
    assert setting.stops == 1


@pytest.mark.parametrize("setting", [replace(CONTEXT, idle_ms=300)], indirect=True)
def test_one_that_nobody_uses_ends_and_says_so(setting) -> None:
    assert setting.channel.recv(100) == orders.ENDED_IDLE
    assert setting.record()["status"] == 0


@pytest.mark.parametrize("setting", [replace(CONTEXT, idle_ms=300)], indirect=True)
def test_one_in_which_something_runs_is_used(setting) -> None:
    report, reading = setting.order(PROGRAM)
    frame = setting.peer.await_kind(Kind.ORDER)
    threading.Event().wait(1.0)
    assert setting.stops == 0
    setting.peer.say_json(frame.stream, Kind.STATUS, status())
    assert report.recv(1 << 16)
    report.close()
    os.close(reading)


@pytest.mark.parametrize("setting", [replace(CONTEXT, limits=ResourceLimits(wall_ms=300))], indirect=True)
def test_its_time_is_bounded(setting) -> None:
    limit, lasted_ms = setting.record()["killed_for"]
    assert (limit, lasted_ms >= 300) == ("wall_ms", True)


@pytest.mark.parametrize("setting", [replace(CONTEXT, limits=ResourceLimits(cpu_ms=1_000))], indirect=True)
def test_its_processor_time_is_bounded_from_outside(setting) -> None:
    setting.ready.usage = VmmUsage(cpu_user_us=7_000_000, cpu_system_us=1_000_000)
    threading.Event().wait(0.6)
    assert setting.stops == 0  # what was used before it began to count
    setting.ready.usage = VmmUsage(cpu_user_us=10_000_000, cpu_system_us=3_000_000)
    limit, used_ms = setting.record()["killed_for"]
    assert (limit, 4_000 < used_ms <= 5_000) == ("cpu_ms", True)
    assert setting.stops == 1


@pytest.mark.parametrize("setting", [replace(CONTEXT, limits=ResourceLimits(cpu_ms=1_000))], indirect=True)
def test_each_execution_has_processor_time_of_its_own(setting) -> None:
    setting.ready.usage = VmmUsage(cpu_user_us=0, cpu_system_us=0)
    waiting = [setting.order(PROGRAM) for _ in range(2)]
    threading.Event().wait(0.6)
    setting.ready.usage = VmmUsage(cpu_user_us=5_000_000, cpu_system_us=0)
    threading.Event().wait(0.6)
    assert setting.stops == 0
    for report, reading in waiting:
        report.close()
        os.close(reading)


def test_what_is_no_order_ends_it(setting) -> None:
    setting.channel.send(b"something else")
    assert setting.record()["status"] == 0
