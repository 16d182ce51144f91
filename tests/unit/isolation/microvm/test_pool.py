"""Machines that wait: each is used once, the next are made in the background, and nothing is left at the end."""

import threading

import pytest
from tests.unit.isolation.microvm.agents import wait_until

from cloister.errors import LaunchError, ProviderError
from cloister.isolation.microvm.pool import MachinePool, PoolBounds
from cloister.isolation.microvm.vmm import VmmUsage
from cloister.limits import MIB


class Made:
    """A machine that only remembers what became of it."""

    def __init__(self, private_bytes: int = MIB) -> None:
        self.is_stopped = False
        self.is_dead = False
        self._private_bytes = private_bytes

    def usage(self) -> VmmUsage:
        return VmmUsage(private_bytes=self._private_bytes)

    def has_ended(self) -> bool:
        return self.is_dead

    def stop(self) -> None:
        self.is_stopped = True


class Maker:
    """Makes them, and remembers all."""

    def __init__(self, private_bytes: int = MIB) -> None:
        self.made: list[Made] = []
        self.failure: LaunchError | None = None
        self.threads: set[str] = set()
        self._private_bytes = private_bytes

    def __call__(self) -> Made:
        if self.failure is not None:
            raise self.failure
        self.threads.add(threading.current_thread().name)
        self.made.append(Made(self._private_bytes))
        return self.made[-1]


@pytest.fixture
def maker():
    return Maker()


def pool_of(maker: Maker, **bounds: int) -> MachinePool[Made]:
    return MachinePool(maker, PoolBounds(**{"idle_ms": 60_000, **bounds}))


def test_each_machine_is_given_out_once(maker) -> None:
    pool = pool_of(maker)
    taken = []
    for _ in range(6):
        taken.append(pool.take())
        assert pool.wait_until_full(10)
    assert len(set(map(id, taken))) == 6
    pool.close()
    assert [each.is_stopped for each in maker.made if each not in taken] == [True] * (len(maker.made) - 6)


def test_nothing_is_made_before_it_is_asked_for_and_the_next_in_the_background(maker) -> None:
    pool = pool_of(maker)
    assert (maker.made, pool.waiting_count) == ([], 0)
    pool.take()
    assert pool.wait_until_full(10)
    assert pool.waiting_count == 1
    assert maker.threads == {"MainThread", "cloister-machines"}
    pool.close()


def test_more_wait_after_each_time_that_none_did(maker) -> None:
    pool = pool_of(maker, size_max=4)
    seen = []
    for _ in range(8):
        for _ in range(pool.waiting_count + 1):
            pool.take()
        assert pool.wait_until_full(10)
        seen.append(pool.waiting_count)
    assert seen[0] == 1
    assert max(seen) == 4
    pool.close()


def test_the_next_is_made_when_the_last_has_done_its_work(maker, monkeypatch) -> None:
    monkeypatch.setattr("cloister.isolation.microvm.pool.YIELD_S", 60)
    pool = pool_of(maker)
    pool.take()
    assert pool.wait_until_full(10)
    taken = pool.take()
    assert not pool.wait_until_full(0.2)
    pool.retire(taken)
    assert pool.wait_until_full(10)
    assert taken.is_stopped
    pool.close()


def test_a_defect_in_the_background_does_not_keep_what_was_used_from_being_stopped(maker) -> None:
    def broken() -> Made:
        raise RuntimeError("can't start new thread")

    pool: MachinePool[Made] = MachinePool(maker, PoolBounds(), make_ahead=broken)
    for _ in range(3):
        taken = pool.take()
        pool.retire(taken)
        assert wait_until(lambda each=taken: each.is_stopped)  # type: ignore[misc]
    pool.close()


def test_one_that_cannot_be_measured_is_stopped(maker, monkeypatch) -> None:
    def fail(made: Made) -> VmmUsage:
        raise RuntimeError("no figures")

    pool = pool_of(maker)
    monkeypatch.setattr(Made, "usage", fail)
    pool.take()
    assert wait_until(lambda: len(maker.made) > 1 and maker.made[-1].is_stopped)
    pool.close()


def test_those_that_wait_are_made_otherwise_than_those_that_are_asked_for() -> None:
    asked, ahead = Maker(), Maker()
    pool: MachinePool[Made] = MachinePool(asked, PoolBounds(size_max=1), make_ahead=ahead)
    assert pool.take() is asked.made[0]
    assert pool.wait_until_full(10)
    assert pool.take() is ahead.made[0]
    pool.close()


def test_memory_bounds_how_many_wait() -> None:
    maker = Maker(private_bytes=40 * MIB)
    pool = pool_of(maker, size_max=8, memory_bytes=100 * MIB)
    for _ in range(4):
        for _ in range(pool.waiting_count + 1):
            pool.take()
        assert pool.wait_until_full(10)
    assert pool.waiting_count == 2
    pool.close()


def test_one_that_died_waiting_is_not_given_out(maker) -> None:
    pool = pool_of(maker)
    pool.take()
    assert pool.wait_until_full(10)
    waiting = maker.made[-1]
    waiting.is_dead = True
    assert pool.take() is not waiting
    pool.close()
    assert waiting.is_stopped


def test_a_failure_in_the_background_is_told_to_who_asks(maker) -> None:
    pool = pool_of(maker)
    pool.take()
    assert pool.wait_until_full(10)
    maker.failure = LaunchError("no memory left")
    pool.take()
    with pytest.raises(LaunchError, match="no memory left"):
        pool.take()
    maker.failure = None
    assert isinstance(pool.take(), Made)
    pool.close()


def test_without_room_each_is_made_when_it_is_asked_for(maker) -> None:
    pool = pool_of(maker, size_max=0)
    for count in range(1, 4):
        pool.take()
        assert len(maker.made) == count
    pool.close()


def test_those_that_wait_are_let_go_when_nobody_asks(maker) -> None:
    pool = pool_of(maker, idle_ms=50)
    pool.take()
    stopped = threading.Event()
    for _ in range(200):
        if len(maker.made) == 2 and maker.made[1].is_stopped:
            break
        stopped.wait(0.05)
    assert (pool.waiting_count, maker.made[1].is_stopped) == (0, True)
    assert isinstance(pool.take(), Made)
    pool.close()


def test_used_machines_are_stopped_and_closing_is_final(maker) -> None:
    pool = pool_of(maker)
    used = pool.take()
    pool.retire(used)
    pool.close()
    pool.close()
    assert [each.is_stopped for each in maker.made] == [True] * len(maker.made)
    with pytest.raises(ProviderError) as caught:
        pool.take()
    assert caught.value.code == "provider.closed"
    late = Made()
    pool.retire(late)
    assert late.is_stopped
