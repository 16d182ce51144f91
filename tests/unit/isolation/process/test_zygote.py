"""The zygote keeps nothing of what it cloned, and does not outlive its launcher; nor does that go on without it."""

import errno
import json
import os
import select
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.unit.isolation.process.test_launcher import TRUE, record_of

from cloister.isolation.process import connections, zygote
from cloister.isolation.process import machine as machines
from cloister.isolation.process.cgroup.files import GroupRefused
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.lanes import PROGRAMS, Lane, PoolSettings
from cloister.isolation.process.mechanisms import Mechanism
from cloister.isolation.process.nursery import Nursery


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery(PROGRAMS, PoolSettings(size_max=0))
    yield made
    made.close()


def run(nursery: Nursery) -> int | None:
    with nursery.launch(TRUE) as running:
        return record_of(running)["status"]


def zygote_of(launcher_pid: int) -> int:
    """Return the oldest child of a launcher."""
    return int(Path(f"/proc/{launcher_pid}/task/{launcher_pid}/children").read_text().split()[0])


def await_end(pidfd: int) -> None:
    with open(pidfd):
        assert select.select([pidfd], [], [], 30)[0], "it is still there"


def test_it_has_nothing_open_but_its_connection(nursery) -> None:
    for _ in range(3):
        assert run(nursery) == 0
    pid = zygote_of(nursery.launcher_pid)
    assert sorted(int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()) == [0, 1, 2, zygote.CONNECTION_FD]


def test_a_launcher_that_has_lost_it_is_replaced(nursery) -> None:
    assert run(nursery) == 0
    launcher_pid = nursery.launcher_pid
    ending = os.pidfd_open(launcher_pid)
    os.kill(zygote_of(launcher_pid), signal.SIGKILL)
    await_end(ending)
    assert run(nursery) == 0
    assert nursery.launcher_pid != launcher_pid


def test_it_ends_with_its_launcher(nursery) -> None:
    assert run(nursery) == 0
    ending = os.pidfd_open(zygote_of(nursery.launcher_pid))
    os.kill(nursery.launcher_pid, signal.SIGKILL)
    await_end(ending)


@pytest.fixture
def made() -> Iterator[zygote.Zygote]:
    made = zygote.Zygote(machines.look(PROGRAMS, (), frozenset(), has_clocks=False))
    yield made
    made.close()


def test_a_group_that_is_none_is_refused_and_the_next_clone_is_made(made) -> None:
    ends = connections.make(has_channel=False)
    group = Group()
    group.into = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    made.ask(Lane.PROGRAM, ends.inside, group, is_spare=False)
    with pytest.raises(GroupRefused) as caught:
        made.answer()
    assert caught.value.errno == errno.EBADF
    group.close_entrances()
    made.ask(Lane.PROGRAM, ends.inside, group, is_spare=False)
    pid = made.answer()
    connections.close(ends.inside)
    assert "private_bytes" in json.loads(ends.report.recv(65536))
    connections.close(ends.host)  # nobody will order anything
    assert os.waitpid(pid, 0) == (pid, 0)
    ends.close_own()


def test_groups_that_a_test_leaves_out_are_not_entered() -> None:
    without = frozenset({Mechanism.CONTROL_GROUP})
    made = zygote.Zygote(machines.look(PROGRAMS, (), without, has_clocks=False))
    ends = connections.make(has_channel=False)
    group = Group()
    group.into = os.open("/", os.O_RDONLY | os.O_DIRECTORY)
    made.ask(Lane.PROGRAM, ends.inside, group, is_spare=False)
    pid = made.answer()
    made.close()
    group.close_entrances()
    connections.close((*ends.inside, *ends.host))
    assert os.waitpid(pid, 0)[0] == pid
    ends.close_own()
