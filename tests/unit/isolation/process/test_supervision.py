"""The end of a sandbox is judged by its last figures too: what it did after the last look counts."""

import errno
import json
import os
import socket
import time
from pathlib import Path

import pytest

from cloister.isolation.process.cgroup.files import GroupRefused
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.cgroup.v1 import Branch
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.supervision import Sandbox
from cloister.limits import MIB, ResourceLimits


def ended_with(directory: Path, *, is_killed: bool = False, **files: str | int) -> dict:
    """Return the record of a process that ended at once, with a group that says what the files hold."""
    for name, text in ({"tasks": "", "memory__failcnt": 9} | files).items():
        (directory / name.replace("__", ".")).write_text(f"{text}\n")
    group = Group(remove=lambda path: None)
    group.add(Branch(str(directory), frozenset({"memory", "cpu"})))
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, first = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    pid = os.posix_spawn("/bin/true", ["true"], {})
    sandbox = Sandbox(
        pid=pid,
        pidfd=os.pidfd_open(pid),
        control=theirs,
        report=report,
        lane=Lane.OPERATION,
        limits=ResourceLimits(cpu_ms=500),
        started_s=time.monotonic(),
        group=group,
    )
    if is_killed:
        sandbox.kill("wall_ms", 1)
    first.close()
    sandbox.finish()
    with ours:
        return json.loads(ours.recv(65536))


def oom(count: int) -> str:
    return f"oom_kill_disable 0\nunder_oom 0\noom_kill {count}"


def test_a_kill_by_the_kernel_after_the_last_look(tmp_path) -> None:
    peak = {"memory__max_usage_in_bytes": 700 * MIB}
    assert ended_with(tmp_path, memory__oom_control=oom(1), **peak)["killed_for"] == ["memory_bytes", 700 * MIB]
    record = ended_with(tmp_path, memory__oom_control=oom(0), **peak)
    assert (record["killed_for"], record["memory_peak_bytes"]) == (None, 700 * MIB)
    assert record["resident_peak_bytes"] < 700 * MIB


def test_processor_time_after_the_last_look(tmp_path) -> None:
    assert ended_with(tmp_path, cpuacct__usage=501_000_000)["killed_for"] == ["cpu_ms", 501]
    assert ended_with(tmp_path, cpuacct__usage=500_999_999)["killed_for"] is None


def test_what_it_was_killed_for_stands(tmp_path) -> None:
    record = ended_with(tmp_path, is_killed=True, cpuacct__usage=501_000_000, memory__oom_control=oom(1))
    assert record["killed_for"] == ["wall_ms", 1]


def test_without_figures_of_a_group_the_process_is_asked(tmp_path) -> None:
    record = ended_with(tmp_path)
    assert record["killed_for"] is None
    assert record["memory_peak_bytes"] == record["resident_peak_bytes"] > 0


class Full(Group):
    """Refuses a limit, as a group of version 1 does that holds more than it."""

    def __init__(self, code: int) -> None:
        super().__init__()
        self._code = code

    def limit(self, limits: ResourceLimits) -> None:
        raise GroupRefused(self._code, os.strerror(self._code), "memory.limit_in_bytes")

    def charged_bytes(self) -> int:
        return 900 * MIB


@pytest.mark.parametrize("code", [errno.EBUSY, errno.ENODEV])
def test_more_than_the_hard_limit_before_that_was_set(code) -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, first = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    first.close()
    pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
    sandbox = Sandbox(
        pid=pid, pidfd=os.pidfd_open(pid), control=theirs, report=report, lane=Lane.PROGRAM, group=Full(code)
    )
    limits = json.dumps(ResourceLimits().to_dict()).encode()
    if code == errno.EBUSY:
        sandbox.begin(limits)
    else:
        with pytest.raises(GroupRefused):
            sandbox.begin(limits)
        sandbox.kill()
    sandbox.finish()
    with ours:
        record = json.loads(ours.recv(65536))
    assert record["killed_for"] == (["memory_bytes", 900 * MIB] if code == errno.EBUSY else None)
