"""Words, variables, streams, clocks, randomness and waiting, as a guest has them."""

from __future__ import annotations

import errno
import time
from datetime import UTC, datetime

import pytest
from tests.unit.isolation.wasm.driver import Driver, driven

from cloister.clock import ManualClock, SystemClock
from cloister.errors import GuestCrashed, LimitExceeded
from cloister.isolation.wasm.engine import Engine
from cloister.isolation.wasm.room import Given
from cloister.isolation.wasm.wasi import abi
from cloister.isolation.wasm.wasi.basic_calls import ProgramExit
from cloister.limits import ResourceLimits

DAY_NS = 24 * 3600 * 10**9


def texts(guest: Driver, sizes: str, get: str) -> list[str]:
    guest.call(sizes, 0, 4)
    count, length = guest.memory.read_int(0, 4), guest.memory.read_int(4, 4)
    guest.call(get, 100, 65_536)
    places = [guest.memory.read_int(100 + 4 * number, 4) for number in range(count)]
    data = guest.memory.read(65_536, length)
    return [data[place - 65_536 :].split(b"\0")[0].decode() for place in places]


def now(guest: Driver, clock_id: int) -> int:
    guest.call("clock_time_get", clock_id, 0, 0)
    return guest.result(8)


def random(guest: Driver, count: int) -> bytes:
    guest.call("random_get", 65_536, count)
    return guest.memory.read(65_536, count)


def wait(guest: Driver, *asked: tuple[int, int, int, int]) -> list[tuple[int, int]]:
    """Poll for (kind, clock or descriptor, time, flags); return the numbers of what happened, with errors."""
    for number, (kind, which, timeout, flags) in enumerate(asked):
        packed = abi.SUBSCRIPTION.pack(number, kind, which, timeout, 0, flags)
        guest.memory.write(1_024 + number * abi.SUBSCRIPTION.size, packed)
    guest.call("poll_oneoff", 1_024, 65_536, len(asked), 0)
    found = []
    for number in range(guest.result()):
        data, error, *_ = abi.EVENT.unpack(guest.memory.read(65_536 + number * abi.EVENT.size, abi.EVENT.size))
        found.append((data, error))
    return found


def test_words_and_variables_are_those_that_were_given(engine: Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOISTER_TEST_SECRET", "of the host")
    given = Given(environment={"NAME": "value", "EMPTY": "", "ODD": "ö=ß"})
    with driven(engine, given, argv=("prog", "", "ä b")) as guest:
        assert texts(guest, "args_sizes_get", "args_get") == ["prog", "", "ä b"]
        assert texts(guest, "environ_sizes_get", "environ_get") == ["NAME=value", "EMPTY=", "ODD=ö=ß"]
    with driven(engine, Given(), argv=()) as guest:
        assert texts(guest, "args_sizes_get", "args_get") == []
        assert texts(guest, "environ_sizes_get", "environ_get") == []


def test_streams(engine: Engine) -> None:
    with driven(engine, Given(limits=ResourceLimits(output_bytes=10)), stdin=b"given") as guest:
        assert [guest.read(0, 3), guest.read(0), guest.read(0)] == [b"giv", b"en", b""]
        guest.write(1, b"0123456789")
        guest.write(2, b"error")
        for number in (1, 2):
            with pytest.raises(OSError, match="EBADF"):
                guest.read(number)
        with pytest.raises(OSError, match="EBADF"):
            guest.write(0, b"x")
        assert (guest.room.stdout.content, guest.room.stderr.content) == (b"0123456789", b"error")
        with pytest.raises(LimitExceeded) as caught:
            guest.write(1, b"x")
        assert caught.value.limit == "output_bytes"


def test_clocks_are_the_hosts_but_how_long_it_has_been_up(engine: Engine) -> None:
    clock = ManualClock(datetime(2026, 5, 1, tzinfo=UTC))
    clock.advance_ms(10**9)
    start_ns = int(clock.now().timestamp()) * 10**9
    with driven(engine, clock=clock) as guest:
        assert now(guest, abi.MONOTONIC) == 0
        assert now(guest, abi.REALTIME) == start_ns
        clock.advance_ms(5)
        assert now(guest, abi.MONOTONIC) == 5_000_000
        assert now(guest, abi.REALTIME) == start_ns + 5_000_000
        assert now(guest, abi.THREAD_TIME) > 0
        guest.call("clock_res_get", abi.REALTIME, 0)
        assert guest.result(8) == 1_000
        with pytest.raises(OSError, match="EINVAL"):
            now(guest, 4)


def test_real_randomness_is_not_the_same_twice(engine: Engine) -> None:
    drawn = []
    for _ in range(2):
        with driven(engine) as guest:
            drawn += [random(guest, 32), random(guest, 32)]
    assert len(set(drawn)) == 4


def test_a_seed_decides_clocks_and_randomness(engine: Engine) -> None:
    def facts(seed: int) -> tuple[object, ...]:
        with driven(engine, Given(seed=seed)) as guest:
            times = [now(guest, clock_id) for clock_id in range(4)]
            drawn = [random(guest, 5), random(guest, 70), random(guest, 0)]
            started = time.monotonic()
            assert wait(guest, (abi.EVENT_CLOCK, abi.MONOTONIC, DAY_NS, 0)) == [(0, 0)]
            assert time.monotonic() - started < 5
            return (times, drawn, now(guest, abi.MONOTONIC))

    first, again, other = facts(1), facts(1), facts(2)
    assert first == again
    assert first[1] != other[1]
    assert first[2] > DAY_NS  # type: ignore[operator]
    assert datetime.fromtimestamp(first[0][0] / 10**9, UTC).year == 2000  # type: ignore[index]


def test_seeded_randomness_does_not_depend_on_how_it_is_drawn(engine: Engine) -> None:
    with driven(engine, Given(seed=7)) as one, driven(engine, Given(seed=7)) as other:
        assert b"".join(random(one, count) for count in (1, 31, 32, 100)) == random(other, 164)


def test_waiting(engine: Engine) -> None:
    with driven(engine, stdin=b"x") as guest:
        before = time.monotonic()
        assert wait(guest, (0, abi.MONOTONIC, 30_000_000, 0), (0, abi.MONOTONIC, DAY_NS, 0)) == [(0, 0)]
        assert time.monotonic() - before >= 0.03
        passed = now(guest, abi.MONOTONIC)
        assert wait(guest, (0, abi.MONOTONIC, passed, abi.ABSOLUTE)) == [(0, 0)]
        assert wait(guest, (abi.EVENT_READ, 0, 0, 0), (0, abi.MONOTONIC, DAY_NS, 0)) == [(0, 0)]
        assert wait(guest, (abi.EVENT_WRITE, 1, 0, 0), (abi.EVENT_READ, 99, 0, 0)) == [
            (0, 0),
            (1, abi.TO_WASI[errno.EBADF]),
        ]
        with pytest.raises(OSError, match="EINVAL"):
            wait(guest)
        with pytest.raises(OSError, match="EINVAL"):
            wait(guest, (7, 0, 0, 0))


def test_who_waits_longer_than_there_is_time_is_ended(engine: Engine) -> None:
    with driven(engine, Given(limits=ResourceLimits(wall_ms=50)), clock=SystemClock()) as guest:
        before = time.monotonic()
        with pytest.raises(LimitExceeded) as caught:
            wait(guest, (0, abi.MONOTONIC, DAY_NS, 0))
        assert caught.value.limit == "wall_ms"
        assert time.monotonic() - before < 10


def test_the_end(engine: Engine) -> None:
    with driven(engine) as guest:
        with pytest.raises(ProgramExit) as caught:
            guest.store.call("proc_exit", 3)
        assert caught.value.status == 3
        with pytest.raises(GuestCrashed):
            guest.raw("proc_raise", 6)
        guest.call("sched_yield")


@pytest.mark.parametrize(
    ("name", "count"), [("sock_accept", 3), ("sock_recv", 6), ("sock_send", 5), ("sock_shutdown", 2)]
)
def test_there_are_no_sockets(engine: Engine, name: str, count: int) -> None:
    with driven(engine) as guest, pytest.raises(OSError, match="ENOTSOCK"):
        guest.call(name, *[0] * count)


@pytest.mark.parametrize(
    ("name", "numbers"),
    [
        ("args_sizes_get", (2**32 - 4, 0)),
        ("random_get", (0, 2**31 - 1)),
        ("random_get", (64 * 65_536, 1)),
        ("fd_write", (1, 64 * 65_536 - 4, 1, 0)),
        ("fd_prestat_get", (3, -1)),
        ("path_open", (3, 0, 2**31 - 10, 20, 0, 2, 0, 0, 0)),
        ("path_open", (3, 0, 0, 1, 0, 2, 0, 0, -1)),
        ("clock_time_get", (0, 0, -8)),
        ("poll_oneoff", (64 * 65_536 - 1, 0, 1, 0)),
        ("fd_fdstat_get", (0, 64 * 65_536 - 23)),
        ("environ_sizes_get", (0, 64 * 65_536 - 3)),
    ],
)  # fmt: skip
def test_places_outside_the_memory_end_the_guest(engine: Engine, name: str, numbers: tuple[int, ...]) -> None:
    with driven(engine) as guest:
        with pytest.raises(GuestCrashed):
            guest.raw(name, *numbers)
        guest.call("args_sizes_get", 0, 4)


def test_more_vectors_than_anybody_has_are_refused(engine: Engine) -> None:
    with driven(engine) as guest:
        with pytest.raises(OSError, match="EINVAL"):
            guest.call("fd_write", 1, 65_536, abi.VECTORS_MAX + 1, 0)
        guest.call("fd_write", 1, 65_536, abi.VECTORS_MAX, 0)
