"""The process that runs a plan, as its agent sees it: bounded before each plan, and used up by a foreign one."""

import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator

import pytest

from cloister.isolation.guest import rehearsal
from cloister.isolation.microvm.guest import worker
from cloister.isolation.microvm.guest.worker import Worker
from cloister.isolation.process import privileges
from cloister.isolation.wire import Channel, Side, frame_bytes
from cloister.limits import ResourceLimits

LIMITS = ResourceLimits(open_files_count=100)


class Group:
    """A control group that remembers what it was told."""

    def __init__(self) -> None:
        self.bounds: list[ResourceLimits] = []
        self.is_counted = False

    def bound(self, limits: ResourceLimits) -> None:
        self.bounds.append(limits)

    def count_from_here(self) -> None:
        self.is_counted = True


class Setting:
    def __init__(self) -> None:
        ours, self.theirs = socket.socketpair()
        self.theirs.settimeout(5)
        self.process = subprocess.Popen(["sleep", "60"])
        self.group = Group()
        self.worker = Worker(self.process.pid, ours, self.group)  # type: ignore[arg-type]
        self._ours = ours

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        self.theirs.close()
        self._ours.close()


@pytest.fixture
def setting() -> Iterator[Setting]:
    made = Setting()
    yield made
    made.close()


def test_it_is_ready_when_it_says_so(setting) -> None:
    setting.theirs.sendall(worker.READY)
    setting.worker.await_ready()
    assert setting.group.is_counted


def test_one_that_ends_before_is_a_defect(setting) -> None:
    setting.theirs.shutdown(socket.SHUT_RDWR)
    with pytest.raises(ChildProcessError):
        setting.worker.await_ready()


def test_it_is_bounded_and_told_what_comes(setting) -> None:
    descriptor = setting.worker.rehearse(LIMITS)
    assert setting.theirs.recv(10) == worker.REHEARSE
    os.close(descriptor)
    assert setting.group.bounds == [LIMITS]
    table = privileges.limits_table(LIMITS)
    for which in (resource.RLIMIT_NOFILE, resource.RLIMIT_FSIZE, resource.RLIMIT_CORE):
        assert resource.prlimit(setting.process.pid, which) == (table[which], table[which])
    assert resource.prlimit(setting.process.pid, resource.RLIMIT_CPU)[0] == table[resource.RLIMIT_CPU] + 1


def test_what_it_has_used_before_is_not_counted(setting) -> None:
    setting.process.kill()
    setting.process.wait()
    source = "import time\nwhile time.process_time() < 1.05: pass\nprint('used', flush=True)\ntime.sleep(60)"
    setting.process = subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE)
    with setting.process.stdout:
        assert setting.process.stdout.readline() == b"used\n"
    setting.worker.pid = setting.process.pid
    os.close(setting.worker.perform(LIMITS))
    table = privileges.limits_table(LIMITS)
    assert resource.prlimit(setting.process.pid, resource.RLIMIT_CPU)[0] == table[resource.RLIMIT_CPU] + 2


def test_the_same_bounds_are_set_once(setting) -> None:
    os.close(setting.worker.rehearse(LIMITS))
    descriptor = setting.worker.perform(LIMITS)
    assert setting.theirs.recv(10) == worker.REHEARSE + worker.PERFORM
    assert setting.group.bounds == [LIMITS]
    os.close(descriptor)
    assert setting.theirs.recv(10) == b""


def test_other_bounds_are_set_again(setting) -> None:
    narrower = ResourceLimits(open_files_count=80)
    os.close(setting.worker.rehearse(LIMITS))
    os.close(setting.worker.perform(narrower))
    assert setting.group.bounds == [LIMITS, narrower]
    assert resource.prlimit(setting.process.pid, resource.RLIMIT_NOFILE) == (80, 80)


def test_what_is_prepared_are_plans_of_our_own_one_after_the_other(setting) -> None:
    seen: list[str] = []

    def live() -> None:
        channel = Channel(setting.theirs, Side.GUEST, frame_bytes(worker.WIDEST))
        while setting.theirs.recv(1) == worker.REHEARSE:
            start = channel.receive()
            assert start is not None
            seen.append(start["workload"]["source"])
            channel.send({"type": "result", "value": 3, "steps": 1})

    thread = threading.Thread(target=live)
    thread.start()
    setting.worker.prepare()
    os.close(setting.worker.perform(LIMITS))
    thread.join(5)
    assert len(seen) == worker.REHEARSALS * len(rehearsal.PLANS)
    assert len(set(seen)) == len(seen)
