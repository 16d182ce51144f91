"""Figures of processes, on a directory that stands for a sandbox's /proc."""

import os
import resource
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cloister.isolation.process import totals
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.cgroup.v1 import Branch
from cloister.isolation.process.measuring import TICK_MS, Meter
from cloister.limits import ResourceLimits


class Proc:
    """Processes by number."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def put(self, pid: int, own: int, inherited: int = 0, *, io: tuple[int, int] | None = None, start: int = 1) -> None:
        fields = [b"0"] * 50
        for number, value in ((14, own), (16, inherited), (20, 1), (22, start), (24, 10)):
            fields[number - 3] = b"%d" % value
        place = self.root / str(pid)
        place.mkdir(exist_ok=True)
        (place / "stat").write_bytes(b"%d (a ) b) " % pid + b" ".join(fields) + b"\n")
        if io is not None:
            (place / "io").write_text(
                f"rchar: 1\nwchar: 1\nread_bytes: {io[0]}\nwrite_bytes: {io[1]}\ncancelled_write_bytes: 9\n"
            )

    def map(self, pid: int, *, tables_kib: int, share_kib: int) -> None:
        """Say how large the page tables of a process are, and its share of what it has resident."""
        (self.root / str(pid) / "status").write_text(f"Name:\ta\nVmPTE:\t{tables_kib:8} kB\n")
        (self.root / str(pid) / "smaps_rollup").write_text(f"0-1 ---p 0 00:00 0 [rollup]\nPss: {share_kib:14} kB\n")

    def remove(self, pid: int) -> None:
        for file in (self.root / str(pid)).iterdir():
            file.unlink()
        (self.root / str(pid)).rmdir()


@pytest.fixture
def proc(tmp_path: Path) -> Proc:
    (tmp_path / "proc").mkdir()
    return Proc(tmp_path / "proc")


@pytest.fixture
def new_meter(proc) -> Iterator[Callable[..., Meter]]:
    made: list[Meter] = []
    opened: list[int] = []

    def new(group: Group | None = None, *, is_guest: bool = False, before_us: int = 0) -> Meter:
        descriptor = os.open(proc.root, os.O_RDONLY | os.O_DIRECTORY)
        opened.append(descriptor)
        made.append(Meter(descriptor, ResourceLimits(processes_count=3), is_guest, group or Group(), before_us))
        return made[-1]

    yield new
    for descriptor in opened:
        os.close(descriptor)


def test_processor_time_is_added_up(proc, new_meter) -> None:
    """Process 1 counts: it inherits the time of orphans."""
    proc.put(1, 2, 10)
    proc.put(7, 30)
    meter = new_meter()
    assert meter.sample().cpu_ms == 42 * TICK_MS
    proc.put(7, 31)
    assert meter.sample().cpu_ms == 43 * TICK_MS
    assert new_meter(before_us=3 * TICK_MS * 1000).sample().cpu_ms == 40 * TICK_MS


def test_a_child_that_was_waited_for_is_counted_once(proc, new_meter) -> None:
    proc.put(7, 5)
    proc.put(8, 20)
    meter = new_meter()
    meter.sample()
    proc.remove(8)
    proc.put(7, 6, 21)
    assert meter.sample().cpu_ms == 27 * TICK_MS


def test_a_child_that_was_not_waited_for_still_counts(proc, new_meter) -> None:
    """With SIGCHLD ignored the parent inherits nothing."""
    proc.put(7, 5)
    meter = new_meter()
    for turn in range(3):
        proc.put(8, 20, start=turn)  # the same number, another process
        meter.sample()
    proc.remove(8)
    assert meter.sample().cpu_ms == 65 * TICK_MS
    assert meter.sample().cpu_ms == 65 * TICK_MS


def test_storage_is_added_up_over_those_that_can_be_seen(proc, new_meter) -> None:
    proc.put(1, 0)
    proc.put(7, 0, io=(100, 20))
    proc.put(8, 0, io=(1, 2))
    meter = new_meter()
    assert meter.sample().io_bytes == 123
    proc.remove(8)  # nobody inherited it
    assert meter.sample().io_bytes == 123
    assert (meter.io_read_bytes, meter.io_write_bytes) == (101, 22)


def test_storage_that_cannot_be_seen_is_not_zero(proc, new_meter) -> None:
    proc.put(1, 0)
    meter = new_meter(is_guest=True)
    assert meter.sample().io_bytes == 0
    assert (meter.io_read_bytes, meter.io_write_bytes) == (None, None)


def test_the_group_is_believed_about_processor_time_and_shared_memory(proc, new_meter, tmp_path) -> None:
    (tmp_path / "cpuacct.usage").write_text("7000000\n")
    (tmp_path / "memory.oom_control").write_text("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n")
    (tmp_path / "memory.failcnt").write_text("1\n")
    (tmp_path / "tasks").touch()
    group = Group()
    group.add(Branch(str(tmp_path), frozenset({"cpu", "memory"})))
    group.close_entrances()
    proc.put(1, 50)
    proc.put(7, 50)
    sample = new_meter(group).sample()
    assert (sample.cpu_ms, sample.is_out_of_memory) == (7, True)
    assert (new_meter().sample().cpu_ms, new_meter().sample().is_out_of_memory) == (100 * TICK_MS, False)


def test_more_processes_than_allowed_are_not_looked_at(proc, new_meter) -> None:
    for pid in range(1, 6):
        proc.put(pid, 1)
    sample = new_meter().sample()
    assert (sample.processes_count, sample.memory_bytes) == (4, 0)
    proc.remove(5)
    assert new_meter().sample().memory_bytes > 0


def used(**figures: float) -> resource.struct_rusage:
    names = ("utime", "stime", "maxrss", "ixrss", "idrss", "isrss", "minflt", "majflt", "nswap", "inblock", "oublock")
    return resource.struct_rusage([figures.get(name, 0) for name in names] + [0] * 5)


def test_totals_take_whatever_saw_most(proc, new_meter) -> None:
    proc.put(7, 100, io=(5000, 1))
    meter = new_meter()
    meter.sample()
    waited = used(utime=0.5, stime=0.1, maxrss=10, inblock=2, oublock=4)
    total = totals.of_ended(Group(), meter, waited)
    assert (total.cpu_us, total.memory_peak_bytes) == (100 * TICK_MS * 1000, 10 * 1024)
    assert (total.io_read_bytes, total.io_write_bytes, total.io_bytes) == (5000, 2048, 7048)
    assert totals.of_ended(Group(), None, waited).cpu_us == 600_000


def test_a_kernel_that_does_not_count_storage_has_no_figure() -> None:
    total = totals.of_ended(Group(), None, used(inblock=7), is_storage_counted=False)
    assert (total.io_read_bytes, total.io_write_bytes, total.io_bytes) == (None, None, None)


def test_page_tables_count_when_shared_pages_are_counted_once(proc, new_meter) -> None:
    """One page that is mapped many times is one page, but has many entries."""
    proc.put(1, 0)
    for pid in (2, 3):
        proc.put(pid, 0)
        proc.map(pid, tables_kib=100, share_kib=1_000)
    meter = new_meter()
    sample = meter.sample()
    meter.refine(sample)
    assert sample.is_refined
    assert sample.memory_bytes == 2 * 1_100 * 1024


def test_tables_that_are_too_large_by_themselves_are_enough_to_see(proc, new_meter) -> None:
    proc.put(1, 0)
    proc.put(2, 0)
    proc.map(2, tables_kib=ResourceLimits().memory_bytes // 1024 + 1, share_kib=1_000)
    meter = new_meter()
    sample = meter.sample()
    meter.refine(sample)
    assert sample.memory_bytes == ResourceLimits().memory_bytes + 1024
