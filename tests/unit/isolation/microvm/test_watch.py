"""The watch over a machine's processor time, from outside: it ends what uses more than it may, and nothing else."""

import contextlib
import threading

import pytest
from tests.unit.isolation.microvm.agents import wait_until

from cloister.errors import InternalError, LimitExceeded
from cloister.isolation.microvm.vmm import VmmUsage
from cloister.isolation.microvm.watch import CpuAccount, CpuWatch, CpuWatcher
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
def short_interval_and_nothing_for_vmms(monkeypatch) -> None:
    monkeypatch.setattr("cloister.isolation.microvm.watch.INTERVAL_S", 0.005)
    monkeypatch.setattr("cloister.isolation.microvm.watch.OWN_MS", 0)


def watched(machine: Machine, limits: ResourceLimits = LIMITS, processors: int = 1) -> CpuWatch:
    watcher = CpuWatcher(processors)
    with CpuWatch(machine, limits, machine.processor_usage(), watcher) as watch:  # type: ignore[arg-type]
        wait_until(lambda: watch.error is not None or machine.looks_count > 10, 1.0)
    watcher.close()
    return watch


def test_a_machine_that_uses_more_is_ended() -> None:
    machine = Machine(500, 900, 1_501)
    error = watched(machine).error
    assert wait_until(lambda: machine.is_stopped)
    assert isinstance(error, LimitExceeded)
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
    assert machine.looks_count == 1  # the one that begins


def test_several_processors_can_use_more_than_the_deadline_has() -> None:
    machine = Machine(0, 100_000)
    assert watched(machine, ResourceLimits(cpu_ms=1_000, wall_ms=1_000), processors=2).error is not None


def threads_count() -> int:
    return sum(thread.name == "cloister-cpu" for thread in threading.enumerate())


def test_the_thread_ends_with_the_watcher() -> None:
    watched(Machine(0))
    assert wait_until(lambda: threads_count() == 0)


def test_one_thread_looks_at_all_ends_when_there_is_nothing_and_begins_again(monkeypatch) -> None:
    monkeypatch.setattr("cloister.isolation.microvm.watch.IDLE_LOOKS", 3)
    assert wait_until(lambda: threads_count() == 0)
    watcher = CpuWatcher(1)
    for _ in range(2):
        machines = [Machine(0, 500), Machine(0, 1_500), Machine(0, 100)]
        watches = [CpuWatch(each, LIMITS, each.processor_usage(), watcher) for each in machines]  # type: ignore[arg-type]
        with contextlib.ExitStack() as watching:
            for each in watches:
                watching.enter_context(each)
            assert threads_count() == 1
            assert wait_until(lambda: min(each.looks_count for each in machines) > 3)  # noqa: B023 - ends in its round
        assert [each.error is not None for each in watches] == [False, True, False]
        assert wait_until(lambda: threads_count() == 0)
    watcher.close()


def test_a_machine_that_cannot_be_looked_at_costs_no_other_its_watch() -> None:
    class Gone(Machine):
        def processor_usage(self) -> VmmUsage:
            raise FileNotFoundError

    watcher, machine = CpuWatcher(1), Machine(0, 1_500)
    with (
        CpuWatch(Gone(0), LIMITS, VmmUsage(), watcher),  # type: ignore[arg-type]
        CpuWatch(machine, LIMITS, VmmUsage(cpu_user_us=0, cpu_system_us=0), watcher) as watch,  # type: ignore[arg-type]
    ):
        assert wait_until(lambda: watch.error is not None)
    watcher.close()


def test_a_machine_that_takes_long_to_stop_costs_no_other_its_watch() -> None:
    class Slow(Machine):
        def stop(self) -> None:
            may_end.wait(5)
            super().stop()

    may_end = threading.Event()
    watcher, slow, machine = CpuWatcher(1), Slow(0, 1_500), Machine(0, 1_500)
    with (
        CpuWatch(slow, LIMITS, slow.processor_usage(), watcher) as first,  # type: ignore[arg-type]
        CpuWatch(machine, LIMITS, machine.processor_usage(), watcher) as second,  # type: ignore[arg-type]
    ):
        assert wait_until(lambda: machine.is_stopped and first.error is not None and second.error is not None)
        assert not slow.is_stopped
    may_end.set()
    assert wait_until(lambda: slow.is_stopped)
    watcher.close()


def test_a_defect_of_a_watch_ends_its_machine_and_costs_no_other_its_watch() -> None:
    class Defective(Machine):
        def processor_usage(self) -> VmmUsage:
            raise ValueError("a defect")

    watcher, defective, machine = CpuWatcher(1), Defective(0), Machine(0, 1_500)
    with (
        CpuWatch(defective, LIMITS, VmmUsage(), watcher) as first,  # type: ignore[arg-type]
        CpuWatch(machine, LIMITS, machine.processor_usage(), watcher) as second,  # type: ignore[arg-type]
    ):
        assert wait_until(lambda: machine.is_stopped and defective.is_stopped)
    assert isinstance(first.error, InternalError)
    assert isinstance(second.error, LimitExceeded)
    watcher.close()


class Books:
    """An account of executions of 1,000 ms each, of which the host lets each use twice that."""

    def __init__(self) -> None:
        self._account = CpuAccount(1_000, now_s=0.0)
        self._now_s = 0.0
        self._used_us = 7_000_000
        self._begun_count = 0
        self.look()

    def look(self, spent_ms: int = 0, *, begins: int = 0, running: int = 0, lasts_s: float = 0.0) -> int | None:
        self._now_s += lasts_s
        self._used_us += 1_000 * spent_ms
        self._begun_count += begins
        usage = VmmUsage(cpu_user_us=self._used_us, cpu_system_us=0)
        return self._account.overdrawn_ms(usage, self._now_s, begun_count=self._begun_count, running_count=running)


def test_an_execution_may_use_what_is_its_own_and_no_more() -> None:
    books = Books()
    assert books.look(begins=1, running=1) is None
    assert books.look(1_900, running=1) is None
    assert books.look(200, running=1) == 2_100


def test_executions_that_run_at_once_have_each_its_own() -> None:
    books = Books()
    assert books.look(begins=3, running=3) is None
    assert books.look(5_900, running=3) is None
    assert books.look(200, running=3) == 6_100


def test_one_after_the_other_they_have_each_its_own_however_many() -> None:
    books = Books()
    for _ in range(50):
        assert books.look(begins=1, running=1) is None
        assert books.look(1_900, running=1) is None
        assert books.look() is None


def test_what_earlier_ones_did_not_need_is_not_saved_up() -> None:
    books = Books()
    for _ in range(50):
        books.look(begins=1, running=1)
        books.look()
    assert books.look(1_900) is None
    assert books.look(200) == 2_100


def test_an_execution_that_lasts_is_not_paid_for_by_short_ones_beside_it() -> None:
    books = Books()
    books.look(begins=1, running=1)
    for _ in range(50):
        books.look(begins=1, running=2)
        books.look(running=1)
    assert books.look(2_100, running=1) == 2_100


def test_a_machine_in_which_nothing_runs_may_use_a_little_all_the_time_and_not_much() -> None:
    books = Books()
    for _ in range(1_000):
        assert books.look(90, lasts_s=1.0) is None
    found = [books.look(900, lasts_s=1.0) for _ in range(4)]
    assert found[:2] == [None, None]
    assert found[3] is not None


def test_what_cannot_be_measured_now_is_booked_later() -> None:
    books = Books()
    assert books._account.overdrawn_ms(VmmUsage(), 1.0, begun_count=0, running_count=0) is None
    assert books.look(2_100) == 2_100


def test_a_vmm_may_use_some_for_itself(monkeypatch) -> None:
    monkeypatch.setattr("cloister.isolation.microvm.watch.OWN_MS", 500)
    books = Books()
    assert books.look(begins=1, running=1) is None
    assert books.look(2_400, running=1) is None
    assert books.look(200, running=1) == 2_600
