"""The watch over a machine's processor time, from outside: it ends what uses more than it may, and nothing else."""

import threading

import pytest
from tests.unit.isolation.microvm.agents import wait_until

from cloister.isolation.microvm.vmm import VmmUsage
from cloister.isolation.microvm.watch import CpuWatch
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits(cpu_ms=1_000, wall_ms=60_000)


class Machine:
    """A machine that has used what a test says; each look takes the next figure, and the last one stays."""

    def __init__(self, *used_ms: int | None) -> None:
        self._used_ms = list(used_ms)
        self.looks_count = 0
        self.is_stopped = False

    def processor_usage(self) -> VmmUsage:
        self.looks_count += 1
        used_ms = self._used_ms.pop(0) if len(self._used_ms) > 1 else self._used_ms[0]
        if used_ms is None:
            return VmmUsage()
        return VmmUsage(cpu_user_us=used_ms * 600, cpu_system_us=used_ms * 400)

    def stop(self) -> None:
        self.is_stopped = True


@pytest.fixture(autouse=True)
def short_interval(monkeypatch) -> None:
    monkeypatch.setattr("cloister.isolation.microvm.watch.INTERVAL_S", 0.005)


def watched(machine: Machine, limits: ResourceLimits = LIMITS, processors: int = 1) -> CpuWatch:
    with CpuWatch(machine, limits, processors) as watch:
        wait_until(lambda: machine.is_stopped or machine.looks_count > 10, 1.0)
    return watch


def test_a_machine_that_uses_more_is_ended() -> None:
    machine = Machine(500, 900, 1_501)
    error = watched(machine).error
    assert machine.is_stopped
    assert error is not None
    assert (error.limit, error.allowed, error.code) == ("cpu_ms", 1_000, "limit.cpu")


def test_a_machine_that_uses_what_it_may_is_not() -> None:
    machine = Machine(500, 900, 1_500)
    assert watched(machine).error is None
    assert not machine.is_stopped
    assert machine.looks_count > 10


def test_what_was_used_before_does_not_count() -> None:
    assert watched(Machine(100_000, 100_500)).error is None


def test_what_is_not_known_at_first_counts_from_when_it_is() -> None:
    assert watched(Machine(None, None, 5_000, 5_500)).error is None
    assert watched(Machine(None, None, 5_000, 6_500)).error is not None


def test_where_the_deadline_comes_first_nothing_is_watched() -> None:
    machine = Machine(0, 100_000)
    assert watched(machine, ResourceLimits(cpu_ms=1_000, wall_ms=1_000)).error is None
    assert machine.looks_count == 0


def test_several_processors_can_use_more_than_the_deadline_has() -> None:
    machine = Machine(0, 100_000)
    assert watched(machine, ResourceLimits(cpu_ms=1_000, wall_ms=1_000), processors=2).error is not None


def test_the_thread_ends_with_it() -> None:
    before = threading.active_count()
    watched(Machine(0))
    assert threading.active_count() == before
