"""The host's end of the connection to an agent: what a machine says is bounded, ends in time, or ends the machine."""

import contextlib
import errno
import json
import os
import socket
import termios
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.agents import USAGE, Peer, status, wait_until

from cloister.errors import InternalError
from cloister.isolation.microvm import parcel, porter
from cloister.isolation.microvm.guest.flow import CREDIT_STEP_BYTES
from cloister.isolation.microvm.guest.frames import HEADER, ORDER_BYTES_MAX, STREAMS_MAX, WINDOW_BYTES, Kind
from cloister.isolation.microvm.parcel import Parcel, as_record, as_report
from cloister.isolation.microvm.porter import Porter
from cloister.isolation.microvm.statuses import MachineLost


class Carried:
    """An execution that a porter carries, from outside."""

    def __init__(self, carrier: Porter, *, has_output: bool = True, **facts: object) -> None:
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.control.settimeout(10)
        input_fd, self.give = os.pipe2(os.O_CLOEXEC)
        self.take, output_fd = os.pipe2(os.O_CLOEXEC) if has_output else (-1, -1)
        self.take_errors, errors_fd = os.pipe2(os.O_CLOEXEC) if has_output else (-1, -1)
        self.parcel = Parcel(
            input_fd=input_fd,
            output_fd=output_fd,
            errors_fd=errors_fd,
            control=theirs,
            **{"order": {"do": "program"}, "finish": as_record, **facts},  # type: ignore[arg-type]
        )
        carrier.begin(self.parcel)

    def record(self) -> dict:
        return json.loads(self.control.recv(1 << 16) or b"{}")

    def output(self) -> bytes:
        with contextlib.closing(self.control):
            return b"".join(iter(lambda: os.read(self.take, 1 << 16), b""))

    def close(self) -> None:
        self.control.close()
        for descriptor in (self.give, self.take, self.take_errors):
            with contextlib.suppress(OSError):
                os.close(descriptor)


class Setting:
    """A porter, and the agent's end of its connection."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.connection = ours
        self.peer = Peer(theirs)
        self.porter = Porter(ours)
        self._carried: list[Carried] = []

    def begin(self, **facts: object) -> Carried:
        self._carried.append(Carried(self.porter, **facts))
        return self._carried[-1]

    def close(self) -> None:
        self.porter.close()
        self.peer.connection.close()
        for each in self._carried:
            each.close()


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    made.porter.start()
    yield made
    made.close()


@pytest.fixture
def short_grace(monkeypatch) -> None:
    monkeypatch.setattr(porter, "GRACE_S", 0.1)


def lost_code(setting: Setting) -> str:
    """The code of what the machine was given up for."""
    assert wait_until(lambda: setting.porter.lost is not None)
    assert setting.peer.is_hung_up()
    assert setting.porter.lost is not None
    return setting.porter.lost.code


def test_an_execution_is_carried_both_ways_and_its_end_is_told(setting) -> None:
    carried = setting.begin()
    assert setting.peer.await_kind(Kind.ORDER).data() == {"do": "program"}
    os.write(carried.give, b"in")
    assert setting.peer.await_kind(Kind.INPUT).body == b"in"
    os.close(carried.give)
    assert setting.peer.await_kind(Kind.INPUT).body == b""
    setting.peer.say(1, Kind.OUTPUT, b"out")
    setting.peer.say(1, Kind.ERRORS, b"err")
    setting.peer.say_json(1, Kind.STATUS, status(0x0700))
    record = carried.record()
    assert record["status"] == 0x0700
    assert record["cpu_user_us"] == USAGE["cpu_user_us"]
    assert record["wall_us"] > 0
    assert (carried.output(), os.read(carried.take_errors, 10)) == (b"out", b"err")
    assert setting.porter.parcels_count == 0
    assert setting.porter.lost is None


def test_executions_have_numbers_of_their_own(setting) -> None:
    for _ in range(3):
        setting.begin()
    assert {setting.peer.await_kind(Kind.ORDER).stream for _ in range(3)} == {1, 2, 3}


def test_input_waits_for_credit_and_goes_on_with_it(setting) -> None:
    carried = setting.begin()
    threading.Thread(target=os.write, args=(carried.give, bytes(WINDOW_BYTES + 1000)), daemon=True).start()
    taken = 0
    while taken < WINDOW_BYTES:
        taken += len(setting.peer.await_kind(Kind.INPUT).body)
    with pytest.raises(TimeoutError):
        setting.peer.next(0.1)
    setting.peer.give_credit(1, 400)
    assert len(setting.peer.await_kind(Kind.INPUT).body) == 400


def test_output_that_is_taken_is_credited(setting) -> None:
    setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.say(1, Kind.OUTPUT, bytes(CREDIT_STEP_BYTES))
    assert setting.peer.await_kind(Kind.CREDIT).credit() == CREDIT_STEP_BYTES


def test_output_that_nobody_wants_is_credited_too(setting) -> None:
    setting.begin(has_output=False)
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.say(1, Kind.OUTPUT, bytes(CREDIT_STEP_BYTES))
    assert setting.peer.await_kind(Kind.CREDIT).credit() == CREDIT_STEP_BYTES


def test_more_credit_than_there_is_ends_the_machine(setting) -> None:
    setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.give_credit(1, 1)
    assert lost_code(setting) == "provider.wire-order"


def test_more_output_than_was_asked_for_ends_the_machine(setting) -> None:
    """Nobody reads it: the pipe has room for 64 KiB, and one window is kept beside that."""
    setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    with contextlib.suppress(ConnectionError):
        for _ in range(2 * WINDOW_BYTES // (1 << 15)):
            setting.peer.say(1, Kind.OUTPUT, bytes(1 << 15))
    assert lost_code(setting) == "provider.wire-order"


def test_a_window_of_output_is_kept_for_a_slow_reader(setting) -> None:
    carried = setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    for _ in range(WINDOW_BYTES // (1 << 15)):
        setting.peer.say(1, Kind.OUTPUT, b"x" * (1 << 15))
    setting.peer.say_json(1, Kind.STATUS, status())
    taken = b""
    while len(taken) < WINDOW_BYTES:
        taken += os.read(carried.take, 1 << 16)
    assert carried.record()["status"] == 0
    assert setting.porter.lost is None


@pytest.mark.parametrize("kind", [Kind.OUTPUT, Kind.ERRORS])
def test_output_after_its_end_ends_the_machine(setting, kind) -> None:
    setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.say(1, kind)
    setting.peer.say(1, kind, b"more")
    assert lost_code(setting) == "provider.wire-order"


@pytest.mark.parametrize("stream", [0, 2, STREAMS_MAX - 1])
def test_a_word_on_an_execution_that_is_not_there_ends_the_machine(setting, stream) -> None:
    setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.say(stream, Kind.OUTPUT, b"x")
    assert lost_code(setting) == "provider.wire-order"


def test_a_word_after_the_last_ends_the_machine_and_not_the_execution(setting) -> None:
    carried = setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.say_json(1, Kind.STATUS, status(0x0100))
    assert carried.record()["status"] == 0x0100
    setting.peer.say_json(1, Kind.STATUS, status())
    assert lost_code(setting) == "provider.wire-order"


@pytest.mark.parametrize(
    "kind", [Kind.HELLO, Kind.ADOPT, Kind.ORDER, Kind.INPUT, Kind.RESIZE, Kind.END, Kind.POWER_OFF, Kind.ATTEST]
)
def test_what_an_agent_may_not_say_ends_the_machine(setting, kind) -> None:
    setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.say(1, kind)
    assert lost_code(setting) == "provider.wire-order"


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (HEADER.pack(1 << 30, 1, Kind.OUTPUT), "provider.wire-oversize"),
        (HEADER.pack(0, 1, 99), "provider.wire-shape"),
        (HEADER.pack(1, 1, Kind.CREDIT) + b"x", "provider.wire-shape"),
        (HEADER.pack(2, 1, Kind.STATUS) + b"[]", "provider.wire-json"),
        (HEADER.pack(2, 1, Kind.STATUS) + b"{}", "provider.wire-shape"),
    ],
)
def test_garbage_ends_the_machine_with_what_it_was(setting, said, code) -> None:
    carried = setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.connection.sendall(said)
    assert lost_code(setting) == code
    assert "status" not in carried.record()


def test_a_flood_of_empty_credits_does_not_put_off_a_deadline(setting, short_grace) -> None:
    carried = setting.begin(deadline_s=time.monotonic() + 0.3)
    setting.peer.await_kind(Kind.ORDER)
    begun_s = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < begun_s + 10:
            setting.peer.give_credit(1, 0)
    assert time.monotonic() - begun_s < 5
    assert carried.record()["killed_for"][0] == "wall_ms"


def test_an_execution_is_ended_at_its_deadline(setting) -> None:
    carried = setting.begin(deadline_s=time.monotonic() + 0.1)
    setting.peer.await_kind(Kind.END)
    setting.peer.say_json(1, Kind.STATUS, status(9))
    assert carried.record()["killed_for"][0] == "wall_ms"
    assert setting.porter.lost is None


def test_an_agent_that_says_nothing_after_a_deadline_loses_the_machine(setting, short_grace) -> None:
    carried = setting.begin(deadline_s=time.monotonic() + 0.1)
    assert lost_code(setting) == "provider.wire-order"
    assert carried.record()["killed_for"][0] == "wall_ms"


def test_an_agent_that_does_not_end_what_is_not_wanted_loses_the_machine(setting, short_grace) -> None:
    carried = setting.begin()
    carried.control.shutdown(socket.SHUT_WR)
    setting.peer.await_kind(Kind.END)
    assert lost_code(setting) == "provider.wire-order"
    assert "killed_for" not in carried.record()


def test_what_is_not_wanted_any_more_is_ended_once(setting) -> None:
    carried = setting.begin()
    carried.control.shutdown(socket.SHUT_WR)
    setting.peer.await_kind(Kind.END)
    with pytest.raises(TimeoutError):
        setting.peer.next(0.2)
    setting.peer.say_json(1, Kind.STATUS, status(9))
    assert carried.record()["status"] == 9


def test_waiting_for_an_end_takes_no_processor_time(setting) -> None:
    carried = setting.begin()
    carried.control.close()
    setting.peer.await_kind(Kind.END)
    before_s = time.process_time()
    threading.Event().wait(0.5)
    assert time.process_time() - before_s < 0.05


def test_the_end_of_the_connection_ends_all_executions(setting) -> None:
    carried = [setting.begin() for _ in range(3)]
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.connection.close()
    assert all("status" not in each.record() for each in carried)
    assert isinstance(setting.porter.lost, MachineLost)
    assert carried[0].output() == b""


@pytest.mark.parametrize(("length", "is_sent"), [(1_000_000, True), (ORDER_BYTES_MAX, False)])
def test_an_order_that_no_agent_takes_is_an_error_of_its_own(setting, length, is_sent) -> None:
    carried = setting.begin(order={"do": "program", "argv": ["/bin/echo", "x" * length]})
    if is_sent:
        assert len(setting.peer.await_kind(Kind.ORDER).data()["argv"][1]) == length
        return
    record = carried.record()
    assert (record["reported"]["failed"], record["reported"]["errno"]) == ("exec", errno.E2BIG)
    setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    assert setting.porter.lost is None


def test_what_begins_after_the_end_ends_at_once(setting) -> None:
    setting.peer.connection.close()
    assert wait_until(lambda: setting.porter.lost is not None)
    carried = setting.begin()
    assert "status" not in carried.record()
    assert carried.output() == b""


def test_what_is_closed_is_not_lost() -> None:
    made = Setting()
    made.porter.start()
    carried = made.begin()
    made.peer.await_kind(Kind.ORDER)
    made.porter.close()
    made.porter.close()
    assert "status" not in carried.record()
    assert made.porter.lost is None
    assert made.connection.fileno() == -1
    made.close()


def test_one_that_never_started_can_be_closed() -> None:
    made = Setting()
    carried = made.begin()
    made.porter.close()
    assert "status" not in carried.record()
    made.close()


def test_beginning_and_closing_at_the_same_time_leaves_nobody_waiting_and_no_descriptor() -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(30):
        made = Setting()
        made.porter.start()
        closing = threading.Thread(target=made.porter.close)
        closing.start()
        carried = [made.begin() for _ in range(4)]
        assert all("status" not in each.record() for each in carried)
        closing.join()
        made.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_more_executions_than_there_are_numbers_end_and_the_others_go_on(setting) -> None:
    carried = [setting.begin(has_output=False) for _ in range(STREAMS_MAX - 1)]
    drained = threading.Thread(target=lambda: [setting.peer.await_kind(Kind.ORDER) for _ in carried], daemon=True)
    drained.start()
    drained.join(10)
    assert "status" not in setting.begin(has_output=False).record()
    setting.peer.say_json(1, Kind.STATUS, status())
    assert carried[0].record()["status"] == 0
    assert setting.porter.lost is None


def test_a_terminal_that_is_gone_does_not_cost_the_machine(setting) -> None:
    master, slave = os.openpty()
    carried = setting.begin(window=(1, 1))
    os.dup2(slave, carried.parcel.output_fd)
    os.close(slave)
    termios.tcsetwinsize(master, (30, 90))
    assert setting.peer.await_kind(Kind.RESIZE).data() == {"rows": 30, "columns": 90}
    os.close(master)
    with pytest.raises(TimeoutError):
        setting.peer.next(2.5 * parcel.TERMINAL_TURN_S)
    setting.peer.say_json(1, Kind.STATUS, status())
    assert carried.record()["status"] == 0
    assert setting.porter.lost is None


def test_a_defect_that_nobody_thought_of_ends_the_machine_and_is_named(setting) -> None:
    def fail(_: object) -> bytes:
        raise KeyError("defect")

    carried = setting.begin(finish=fail)
    other = setting.begin()
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.say_json(1, Kind.STATUS, status())
    assert carried.record() == {}
    assert "status" not in other.record()
    assert isinstance(setting.porter.lost, InternalError)
    assert "KeyError" in setting.porter.lost.message


def test_records_are_in_the_words_of_the_process_provider() -> None:
    parcel_end = porter.statuses.checked(status(0x0100, limit=["cpu_ms", 5]))
    record = json.loads(as_record(parcel_end))
    assert record["killed_for"] == ["cpu_ms", 5]
    assert record["status"] == 0x0100
    assert record["reported"] == {"private": status()["report"]["private"]}
    assert json.loads(as_report(parcel_end)) == {"limit": "cpu_ms", "used": 5}
    parcel_end.limit = None
    assert json.loads(as_report(parcel_end)) == parcel_end.report
    parcel_end.report = None
    assert as_report(parcel_end) == b""


def test_an_execution_that_was_begun_ahead_goes_on_when_it_is_wanted(setting) -> None:
    carried = setting.begin(is_ahead=True)
    assert setting.peer.await_kind(Kind.ORDER).stream == 1
    os.write(carried.give, b"in")
    with pytest.raises(TimeoutError):
        setting.peer.next(0.2)
    setting.porter.go_on(carried.parcel, parcel.NEVER_S, None)
    assert setting.peer.next().body == b"in"
    os.write(carried.give, b"more")
    assert setting.peer.next().body == b"more"


def test_other_limits_are_told_before_the_input_of_one_that_was_begun_ahead(setting) -> None:
    carried = setting.begin(is_ahead=True)
    setting.peer.await_kind(Kind.ORDER)
    os.write(carried.give, b"in")
    setting.porter.go_on(carried.parcel, parcel.NEVER_S, {"wall_ms": 7})
    bound = setting.peer.next()
    assert (bound.kind, bound.stream, bound.data()) == (Kind.BOUND, 1, {"wall_ms": 7})
    assert setting.peer.next().body == b"in"


def test_the_time_of_one_that_was_begun_ahead_counts_from_when_it_is_wanted(setting) -> None:
    carried = setting.begin(is_ahead=True)
    setting.peer.await_kind(Kind.ORDER)
    time.sleep(0.3)
    setting.porter.go_on(carried.parcel, time.monotonic() + 0.2, None)
    assert setting.peer.await_kind(Kind.END).stream == 1
    setting.peer.say_json(1, Kind.STATUS, status(9))
    limit, took_ms = carried.record()["killed_for"]
    assert limit == "wall_ms"
    assert 200 <= took_ms < 300


def test_one_that_was_begun_ahead_in_a_machine_that_was_lost_has_ended(setting) -> None:
    carried = setting.begin(is_ahead=True)
    setting.peer.await_kind(Kind.ORDER)
    setting.peer.connection.close()
    assert wait_until(lambda: setting.porter.lost is not None)
    setting.porter.go_on(carried.parcel, parcel.NEVER_S, {"wall_ms": 7})
    assert "status" not in carried.record()
    assert carried.control.recv(1) == b""
