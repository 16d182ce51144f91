"""The greeting of an agent and its adoption: whatever is not one of ours is refused, and nothing is waited for long."""

import contextlib
import json
import resource
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.unit.isolation.microvm.agents import Peer, adopt, status, wait_until

from cloister.errors import CloisterError, WireError
from cloister.isolation.microvm import link
from cloister.isolation.microvm.execution import Work
from cloister.isolation.microvm.guest.frames import HEADER, VERSION, Frame, Kind, encode_json
from cloister.isolation.microvm.link import MachineLink
from cloister.isolation.microvm.statuses import MachineLost
from cloister.isolation.provider import ExternalProgram, PlanProgram
from cloister.isolation.wire import frame_bytes, pack
from cloister.limits import ResourceLimits

HELLO = {"version": VERSION, "kernel": "6.1.0", "memory_bytes": 1 << 29, "python": "3.11.2", "drives": ["rootfs"]}
ENTROPY = bytes(64)


@pytest.fixture
def ends():
    ours, theirs = socket.socketpair()
    made = MachineLink(ours)
    yield made, Peer(theirs)
    made.close()
    theirs.close()


def refused(act: Callable[[], object], kind: type[CloisterError] = WireError) -> str:
    with pytest.raises(kind) as caught:
        act()
    return caught.value.code


def adopted(made: MachineLink, peer: Peer, clock_ns: int | None = None) -> None:
    answering = threading.Thread(target=adopt, args=(peer, clock_ns), daemon=True)
    answering.start()
    try:
        made.adopt(1_000_000_000_000, ENTROPY)
    finally:
        answering.join(5)


def test_an_agent_says_who_it_is(ends) -> None:
    made, peer = ends
    peer.say_json(0, Kind.HELLO, HELLO)
    facts = made.hello(5)
    assert (facts.kernel, facts.memory_bytes, facts.python, facts.drives) == ("6.1.0", 1 << 29, "3.11.2", ("rootfs",))


def test_a_greeting_that_comes_in_pieces_is_one(ends) -> None:
    made, peer = ends
    data = encode_json(0, Kind.HELLO, HELLO)
    for begin in range(0, len(data), 7):
        peer.connection.sendall(data[begin : begin + 7])
    assert made.hello(5).kernel == "6.1.0"


def test_what_an_agent_says_of_itself_is_shown_shortened_and_clean(ends) -> None:
    made, peer = ends
    peer.say_json(0, Kind.HELLO, HELLO | {"kernel": "\x1b[2J" * 1000, "drives": ["\ud800\n"]})
    facts = made.hello(5)
    assert len(facts.kernel) <= 100
    assert "\x1b" not in facts.kernel
    assert "\n" not in facts.drives[0]


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"version": VERSION},
        HELLO | {"more": 1},
        HELLO | {"kernel": None},
        HELLO | {"memory_bytes": True},
        HELLO | {"memory_bytes": 1.5},
        HELLO | {"drives": "rootfs"},
        HELLO | {"version": str(VERSION)},
    ],
    ids=str,
)
def test_another_greeting_is_refused(ends, said) -> None:
    made, peer = ends
    peer.say_json(0, Kind.HELLO, said)
    assert refused(lambda: made.hello(5)) == "provider.wire-shape"


def test_another_version_is_refused_with_what_to_do(ends) -> None:
    made, peer = ends
    peer.say_json(0, Kind.HELLO, HELLO | {"version": VERSION + 1})
    with pytest.raises(WireError) as caught:
        made.hello(5)
    assert caught.value.code == "provider.wire-order"
    assert "cloister image build" in (caught.value.hint or "")


@pytest.mark.parametrize(
    ("said", "code"),
    [
        (encode_json(0, Kind.STATUS, HELLO), "provider.wire-shape"),
        (encode_json(1, Kind.HELLO, HELLO), "provider.wire-shape"),
        (encode_json(0, Kind.HELLO, HELLO) * 2, "provider.wire-order"),
        (encode_json(0, Kind.HELLO, HELLO) + b"x", "provider.wire-order"),
        (HEADER.pack(1 << 31, 0, Kind.HELLO), "provider.wire-oversize"),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "provider.wire-oversize"),
        (HEADER.pack(3, 0, Kind.HELLO) + b"[1]", "provider.wire-json"),
    ],
)
def test_garbage_is_no_greeting(ends, said, code) -> None:
    made, peer = ends
    peer.connection.sendall(said)
    assert refused(lambda: made.hello(5)) == code


def test_silence_is_waited_for_so_long_and_no_longer(ends) -> None:
    made, _ = ends
    begun_s = time.monotonic()
    assert refused(lambda: made.hello(0.2), MachineLost) == "provider.machine"
    assert time.monotonic() - begun_s < 2


def test_one_byte_now_and_then_does_not_put_it_off(ends) -> None:
    made, peer = ends
    over = threading.Event()

    def drip() -> None:
        while not over.wait(0.05):
            peer.connection.sendall(b"\0")

    dripping = threading.Thread(target=drip, daemon=True)
    dripping.start()
    assert refused(lambda: made.hello(0.3), MachineLost) == "provider.machine"
    over.set()
    dripping.join(5)


def test_the_end_of_the_connection_is_told(ends) -> None:
    made, peer = ends
    peer.connection.close()
    assert refused(lambda: made.hello(5), MachineLost) == "provider.machine"


def test_an_adopted_agent_carries_executions(ends) -> None:
    made, peer = ends
    adopted(made, peer)
    assert made.porter.parcels_count == 0


@pytest.mark.parametrize("off_ns", [-link.CLOCK_SLACK_NS - 1, 100 * link.CLOCK_SLACK_NS, -(10**18)])
def test_a_clock_that_is_not_the_one_that_was_set_is_refused(ends, off_ns) -> None:
    made, peer = ends
    with pytest.raises(WireError) as caught:
        adopted(made, peer, 1_000_000_000_000 + off_ns)
    assert caught.value.code == "provider.wire-shape"


@pytest.mark.parametrize("said", [{}, {"clock_ns": "now"}, {"clock_ns": True}, {"clock_ns": None}])
def test_an_answer_without_a_clock_is_refused(ends, said) -> None:
    made, peer = ends
    peer.say_json(0, Kind.ADOPT, said)
    assert refused(lambda: made.adopt(0, ENTROPY)) == "provider.wire-shape"


def test_another_answer_to_being_adopted_is_refused(ends) -> None:
    made, peer = ends
    peer.say_json(0, Kind.HELLO, HELLO)
    assert refused(lambda: made.adopt(0, ENTROPY)) == "provider.wire-order"


def test_no_answer_to_being_adopted_is_told(ends, monkeypatch) -> None:
    monkeypatch.setattr(link, "ADOPT_TIMEOUT_S", 0.1)
    assert refused(lambda: ends[0].adopt(0, ENTROPY), MachineLost) == "provider.machine"


def test_one_that_hung_up_before_it_was_adopted_or_challenged_is_told(ends) -> None:
    made, peer = ends
    peer.connection.close()
    assert refused(lambda: made.adopt(0, ENTROPY), MachineLost) == "provider.machine"
    assert refused(lambda: made.attest({}), MachineLost) == "provider.machine"


def run_with(ends, answer: Callable[[Peer], None], work: Work) -> CloisterError:
    """Run something on an agent that answers its order in some way; return what came of it."""
    made, peer = ends
    adopted(made, peer)
    answering = threading.Thread(target=answer, args=(peer,), daemon=True)
    answering.start()
    with pytest.raises(CloisterError) as caught:
        made.execute(work)
    answering.join(5)
    return caught.value


PLAN = Work(workload=PlanProgram(source="1", name="p"), limits=ResourceLimits(wall_ms=5_000))
PROGRAM = Work(workload=ExternalProgram(argv=("true",)), limits=ResourceLimits(wall_ms=5_000))


def test_an_agent_that_hangs_up_in_the_middle_of_a_plan_is_lost(ends) -> None:
    def answer(peer: Peer) -> None:
        peer.await_kind(Kind.ORDER)
        peer.connection.close()

    assert isinstance(run_with(ends, answer, PLAN), MachineLost)


@pytest.mark.parametrize("work", [PLAN, PROGRAM])
def test_what_is_run_in_a_machine_that_was_lost_before_is_told_so(ends, work) -> None:
    made, peer = ends
    adopted(made, peer)
    peer.connection.close()
    assert wait_until(lambda: made.porter.lost is not None)
    assert refused(lambda: made.execute(work), MachineLost) == "provider.machine"


def test_a_plan_whose_guest_says_garbage_is_an_error_of_the_wire(ends) -> None:
    def answer(peer: Peer) -> None:
        number = peer.await_kind(Kind.ORDER).stream
        peer.say(number, Kind.OUTPUT, b"\xff" * 100)
        peer.await_kind(Kind.END)
        peer.say_json(number, Kind.STATUS, status(9))

    assert isinstance(run_with(ends, answer, PLAN), WireError)


def test_an_agent_that_lies_of_a_program_is_an_error_of_the_wire(ends) -> None:
    def answer(peer: Peer) -> None:
        number = peer.await_kind(Kind.ORDER).stream
        peer.say_json(number, Kind.STATUS, {"report": {"status": 0}, "limit": [[], 0], "usage": {}})

    assert run_with(ends, answer, PROGRAM).code == "provider.wire-shape"


def test_an_agent_that_says_that_the_root_could_not_be_closed_runs_nothing(ends) -> None:
    orders = []

    def answer(peer: Peer) -> None:
        frame = peer.await_kind(Kind.ORDER)
        orders.append(json.loads(frame.body)["do"])
        failed = {"failed": "mechanism", "step": "root", "errno": 1, "detail": "no"}
        peer.say_json(frame.stream, Kind.STATUS, status(report=failed))

    assert run_with(ends, answer, PROGRAM).code.startswith("provider.")
    assert orders == ["close-root"]


def frames_of_a_plan_begun_ahead(ends, work: Work) -> list[Frame]:
    """Run something in a machine that has begun a plan ahead, until its agent hangs up; return what that was told."""
    made, peer = ends
    told: list[Frame] = []
    adopted(made, peer)
    made.begin_ahead()
    told.append(peer.next())

    def listen() -> None:
        with contextlib.suppress(TimeoutError):
            while True:
                told.append(peer.next(0.5))
        peer.connection.close()

    listening = threading.Thread(target=listen, daemon=True)
    listening.start()
    with pytest.raises(CloisterError):
        made.execute(work)
    listening.join(5)
    return told


def test_a_plan_goes_on_where_one_was_begun_ahead(ends) -> None:
    work = Work(workload=PlanProgram(source="1", name="p"), limits=ResourceLimits())
    told = frames_of_a_plan_begun_ahead(ends, work)
    assert [frame.kind for frame in told] == [Kind.ORDER, Kind.INPUT]
    assert told[0].data() == {"do": "plan", "limits": ResourceLimits().to_dict()}
    assert b"start" in told[1].body


def test_a_plan_with_other_limits_goes_on_within_them(ends) -> None:
    told = frames_of_a_plan_begun_ahead(ends, PLAN)
    assert [frame.kind for frame in told] == [Kind.ORDER, Kind.BOUND, Kind.INPUT]
    assert told[1].data() == PLAN.limits.to_dict()


def test_what_is_no_plan_leaves_the_one_that_was_begun_ahead_alone(ends) -> None:
    told = frames_of_a_plan_begun_ahead(ends, PROGRAM)
    assert [(frame.kind, frame.stream) for frame in told] == [(Kind.ORDER, 1), (Kind.ORDER, 2)]


def test_a_machine_with_a_plan_that_nobody_wanted_gives_everything_back(ends) -> None:
    made, peer = ends
    before = len(list(Path("/proc/self/fd").iterdir()))
    adopted(made, peer)
    made.begin_ahead()
    peer.await_kind(Kind.ORDER)
    made.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1  # the connection, too


@pytest.mark.parametrize("is_ahead", [True, False])
def test_the_ends_of_a_plan_that_is_over_are_given_back_with_its_machine(ends, is_ahead) -> None:
    made, peer = ends
    before = len(list(Path("/proc/self/fd").iterdir()))
    adopted(made, peer)
    if is_ahead:
        made.begin_ahead()

    def answer() -> None:
        number = peer.await_kind(Kind.ORDER).stream
        peer.await_kind(Kind.INPUT)
        result = pack({"type": "result", "value": 3, "steps": 1}, frame_bytes(PLAN.limits))
        peer.say(number, Kind.OUTPUT, result)

    answering = threading.Thread(target=answer, daemon=True)
    answering.start()
    result = made.execute(PLAN)
    answering.join(5)
    assert (result.value, result.usage.cpu_user_us) == (3, None)
    made.close()
    assert len(list(Path("/proc/self/fd").iterdir())) == before - 1


def test_a_machine_that_is_lost_in_the_middle_of_a_message_is_lost(ends) -> None:
    def answer(peer: Peer) -> None:
        number = peer.await_kind(Kind.ORDER).stream
        peer.say(number, Kind.OUTPUT, b"\0\0\1")
        peer.connection.close()

    assert isinstance(run_with(ends, answer, PLAN), MachineLost)


def test_a_machine_whose_plan_has_ended_before_anybody_wanted_it_is_given_to_nobody(ends) -> None:
    made, peer = ends
    adopted(made, peer)
    made.begin_ahead()
    number = peer.await_kind(Kind.ORDER).stream
    assert not made.is_lost
    peer.say_json(number, Kind.STATUS, status(9))
    assert wait_until(lambda: made.is_lost)


def test_what_cannot_be_begun_gives_everything_back(ends) -> None:
    made, peer = ends
    adopted(made, peer)
    before = len(list(Path("/proc/self/fd").iterdir()))
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    begun_count = 0
    for room in range(1, 12):
        resource.setrlimit(resource.RLIMIT_NOFILE, (before - 1 + room, limits[1]))
        try:
            made.begin_ahead()
        except OSError:
            pass
        else:
            begun_count += 1
            break
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        assert len(list(Path("/proc/self/fd").iterdir())) == before, room
    assert begun_count == 1
