"""Processor time by the clocks of a process, which go on while they are read."""

import time

import pytest

from cloister.isolation.process import processor_time
from cloister.isolation.process.processor_time import CpuTime

PROF, VIRT, SCHED = 0, 1, 2
TICK_NS = 4_000_000
PID = 42


@pytest.mark.parametrize("ticks_before", [0, 1, 5])
@pytest.mark.parametrize("is_user", [True, False])
def test_a_tick_between_two_clocks(monkeypatch, ticks_before, is_user) -> None:
    """Each time a clock is read, one more tick has come."""
    ticks = {PROF: ticks_before, VIRT: ticks_before, SCHED: ticks_before}

    def read(clock: int) -> int:
        assert ~(clock >> 3) == PID
        value = ticks[clock & 7] * TICK_NS
        for which in (PROF, SCHED, *((VIRT,) if is_user else ())):
            ticks[which] += 1
        return value

    monkeypatch.setattr(time, "clock_gettime_ns", read)
    used = processor_time.cpu_of(PID)
    assert used.user_us >= 0
    assert used.system_us >= 0
    assert (ticks_before + 2) * TICK_NS // 1000 - (used.user_us + used.system_us) in (0, 1)  # each is rounded down


def test_time_is_divided_as_the_ticks_are(monkeypatch) -> None:
    values = {PROF: 4 * TICK_NS, VIRT: 3 * TICK_NS, SCHED: 20_000_000}
    monkeypatch.setattr(time, "clock_gettime_ns", lambda clock: values[clock & 7])
    assert processor_time.cpu_of(PID) == CpuTime(user_us=15_000, system_us=5_000)
