"""How many sandboxes a lane keeps, by what each of them says it holds."""

import errno
import os
import resource
import signal
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cloister.isolation.process import machine as machines
from cloister.isolation.process import pool as pools
from cloister.isolation.process.cgroup.groups import Groups
from cloister.isolation.process.lanes import PROGRAMS, Lane, PoolSettings
from cloister.isolation.process.pool import Pool
from cloister.isolation.process.supervision import Sandbox
from cloister.isolation.process.zygote import Zygote

HELD_BYTES = 10


@pytest.fixture
def lane() -> Iterator[tuple[Pool, list[Sandbox]]]:
    """A lane with room for 25 bytes, and sandboxes whose first process is one that only sleeps."""
    supply, host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    machine = machines.look(PROGRAMS, (), frozenset(), has_clocks=False)
    zygote = Zygote(machine)
    pool = Pool(
        lane=Lane.PROGRAM,
        supply=supply,
        settings=PoolSettings(size_max=4, memory_bytes=25),
        machine=machine,
        groups=Groups(None, os.getpid()),
        zygote=zygote,
        watch=lambda _: None,
    )
    sandboxes = [sleeper(pool) for _ in range(3)]
    yield pool, sandboxes
    for sandbox in sandboxes:
        sandbox.kill()
        sandbox.finish()
    zygote.close()
    supply.close()
    host.close()


def sleeper(pool: Pool) -> Sandbox:
    control, _ = pair = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.fork()
    if pid == 0:
        inside.recv(1)
        os._exit(0)
    pair[1].close()
    inside.close()
    sandbox = Sandbox(
        pid=pid,
        pidfd=os.pidfd_open(pid),
        control=control,
        report=report,
        lane=Lane.PROGRAM,
        is_spare=True,
        group=Groups(None, os.getpid()).new(),
    )
    pool._waiting.add(sandbox)
    return sandbox


def test_only_so_many_wait_as_the_memory_allows(lane) -> None:
    pool, sandboxes = lane
    for sandbox in sandboxes[:2]:
        sandbox.private_bytes = HELD_BYTES
        pool.fit(sandbox)
    assert [sandbox.is_waiting for sandbox in sandboxes[:2]] == [False, True]
    pool.expect()
    pool.expect()
    assert not pool.is_short


def test_one_that_was_asked_for_is_never_let_go(lane) -> None:
    pool, sandboxes = lane
    sandboxes[0].is_spare = False
    sandboxes[0].private_bytes = 100 * HELD_BYTES
    pool.fit(sandboxes[0])
    assert [sandbox.is_waiting for sandbox in sandboxes] == [True, True, True]


def open_files() -> set[str]:
    return {path.name for path in Path("/proc/self/fd").iterdir()}


def test_what_is_prepared_for_a_lane_in_use_is_closed_with_it(lane) -> None:
    pool, _ = lane
    before = open_files()
    pool.prepare()
    assert open_files() == before  # nobody has asked for one yet
    pool.expect()
    pool.prepare()
    prepared = open_files()
    pool.prepare()
    assert open_files() == prepared != before
    pool.close()
    assert open_files() == before


def test_a_clone_that_cannot_be_watched_is_ended() -> None:
    pid = os.fork()
    if pid == 0:
        signal.pause()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, limits[1]))
    with pytest.raises(OSError, match=os.strerror(errno.EMFILE)):
        pools._watched(pid)
    resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    with pytest.raises(ChildProcessError):
        os.waitpid(pid, 0)
