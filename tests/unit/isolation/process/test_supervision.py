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
    peak_bytes = 2**40  # more than the process that stands in for one, a copy of this one, can have
    peak = {"memory__max_usage_in_bytes": peak_bytes}
    assert ended_with(tmp_path, memory__oom_control=oom(1), **peak)["killed_for"] == ["memory_bytes", peak_bytes]
    record = ended_with(tmp_path, memory__oom_control=oom(0), **peak)
    assert (record["killed_for"], record["memory_peak_bytes"]) == (None, peak_bytes)
    assert record["resident_peak_bytes"] < peak_bytes


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


GOOD_END = {"status": 0, "private": {"free_bytes": 1, "free_inodes": 1}}
COUNTED = {
    "cpuacct.usage": 9_000_000,
    "cpuacct.usage_all": "cpu user system\n0 1000000 8000000\n1 3000000 0",
    "memory.max_usage_in_bytes": 3 * MIB,
    "memory.oom_control": oom(0),
}
"""In nanoseconds; ticks have seen a third of it in user mode."""


class Reporting:
    """A first process that does not end by itself, and what it says of its payload."""

    def __init__(self, directory: Path, *, counted: dict = COUNTED, processes: tuple[str, ...] = ("1",)) -> None:
        for name, text in counted.items():
            (directory / name).write_text(f"{text}\n")
        for name in processes:
            (directory / "proc" / name).mkdir(parents=True)
            (directory / "proc" / name / "io").write_text("read_bytes: 4096\nwrite_bytes: 8192\n")
        group = Group(remove=lambda path: None)
        (directory / "tasks").write_text("")
        group.add(Branch(str(directory), frozenset({"memory", "cpu"})))
        self.host, control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        report, self.first = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        pid = os.posix_spawn("/bin/sleep", ["sleep", "1000"], {})
        self.sandbox = Sandbox(
            pid=pid,
            pidfd=os.pidfd_open(pid),
            control=control,
            report=report,
            lane=Lane.PROGRAM,
            limits=ResourceLimits(cpu_ms=500),
            started_s=time.monotonic(),
            group=group,
        )
        proc_fd = os.open(directory / "proc", os.O_RDONLY | os.O_DIRECTORY)
        self._say({}, [proc_fd])
        os.close(proc_fd)

    def _say(self, message: dict, descriptors: list[int]) -> None:
        socket.send_fds(self.first, [json.dumps(message).encode()], descriptors)
        assert self.sandbox.take_report()

    def end(self, report: dict = GOOD_END) -> tuple[bool, dict]:
        """Report the end; return whether it was answered before the reaping, and the answer."""
        self._say(report, [])
        is_early = self.sandbox.is_answered
        self.sandbox.kill()  # a no-op where it was killed already
        os.waitid(os.P_PID, self.sandbox.pid, os.WEXITED | os.WNOWAIT)
        self.sandbox.finish()
        self.first.close()
        with self.host:
            return is_early, json.loads(self.host.recv(65536))


def test_a_payload_that_ended_well_is_answered_for_before_the_reaping(tmp_path) -> None:
    is_early, record = Reporting(tmp_path).end()
    assert is_early
    assert (record["status"], record["killed_for"]) == (0, None)
    assert (record["cpu_user_us"], record["cpu_system_us"]) == (3000, 6000)
    assert record["memory_peak_bytes"] == 3 * MIB
    assert (record["io_read_bytes"], record["io_write_bytes"]) == (4096, 8192)


def test_no_answer_while_something_of_it_is_left(tmp_path) -> None:
    is_early, record = Reporting(tmp_path, processes=("1", "7")).end()
    assert (is_early, record["status"]) == (False, 0)


def test_no_early_answer_for_a_payload_that_failed(tmp_path) -> None:
    is_early, record = Reporting(tmp_path).end(GOOD_END | {"status": 256})
    assert (is_early, record["status"]) == (False, 256)
    assert record["resident_peak_bytes"] > 0


@pytest.mark.parametrize("missing", ["cpuacct.usage_all", "cpuacct.usage", "memory.max_usage_in_bytes"])
def test_no_early_answer_without_the_figures(tmp_path, missing) -> None:
    is_early, record = Reporting(tmp_path, counted={k: v for k, v in COUNTED.items() if k != missing}).end()
    assert (is_early, record["status"]) == (False, 0)


def test_an_early_answer_is_held_against_the_limits(tmp_path) -> None:
    is_early, record = Reporting(tmp_path, counted=COUNTED | {"cpuacct.usage": 501_000_000}).end()
    assert (is_early, record["killed_for"]) == (True, ["cpu_ms", 501])
