"""A guest that has given its result, and waits to be ended: whoever ends it, it does not wait to its deadline."""

import array
import json
import os
import select
import signal
import socket
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from cloister.isolation.process import lanes, payloads, reports
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.lanes import Lane
from cloister.isolation.process.running import Aside, RunningSandbox
from cloister.isolation.process.supervision import Sandbox
from cloister.limits import ResourceLimits

LIMITS = json.dumps(ResourceLimits().to_dict()).encode()


@dataclass
class Guest:
    """A process that waits, watched by a launcher's sandbox; the host's end and that of the guest are the test's."""

    sandbox: Sandbox
    host: socket.socket
    inside: socket.socket

    def report_proc(self) -> None:
        descriptor = os.open("/proc", os.O_RDONLY | os.O_DIRECTORY)
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
        self.inside.sendmsg([reports.to_bytes({"private_bytes": 0})], rights)
        os.close(descriptor)

    def is_ended(self) -> bool:
        poll = select.poll()
        poll.register(self.sandbox.pidfd, select.POLLIN)
        return bool(poll.poll(10_000))

    def record(self) -> dict:
        data = self.host.recv(lanes.MESSAGE_BYTES_MAX)
        assert data
        return json.loads(data)


@pytest.fixture
def guest() -> Iterator[Guest]:
    pid = os.fork()
    if pid == 0:
        signal.pause()
        os._exit(0)
    control, host = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    report, inside = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    sandbox = Sandbox(pid=pid, pidfd=os.pidfd_open(pid), control=control, report=report, lane=Lane.PLAN, group=Group())
    host.send(LIMITS)
    sandbox.hear()
    yield Guest(sandbox, host, inside)
    if not sandbox.is_answered:
        sandbox.kill()
        sandbox.finish()
    host.close()
    inside.close()


NOBODY = 2**22 + 1
"""No process has this number: it is above the most that the kernel gives."""


def running(control: socket.socket, pid: int) -> RunningSandbox:
    """The host's ends of a sandbox, of which these tests need no other than the control connection."""
    return RunningSandbox(
        control=control, order=control, stdout=-1, stderr=-1, channel=None, aside=Aside(), pid=pid, pidfd=-1
    )


def test_it_does_not_outlive_its_host() -> None:
    ours, theirs = socket.socketpair()
    pid = os.fork()
    if pid == 0:
        ours.close()
        payloads.stay(theirs)
        os._exit(7)
    theirs.close()
    poll = select.poll()
    pidfd = os.pidfd_open(pid)
    poll.register(pidfd, select.POLLIN)
    assert not poll.poll(100)
    ours.close()
    has_ended = bool(poll.poll(10_000))
    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    assert (has_ended, os.waitpid(pid, 0)[1]) == (True, 7 << 8)
    os.close(pidfd)


@pytest.mark.parametrize("is_reported", [True, False])
def test_the_launcher_ends_it(guest, is_reported) -> None:
    # Its first word may still be unread when the host says that it is done
    if is_reported:
        guest.report_proc()
        guest.sandbox.take_report()
    guest.host.send(lanes.DONE)
    guest.sandbox.hear()
    assert guest.is_ended()
    assert guest.sandbox.is_answered == is_reported
    guest.sandbox.finish()
    assert guest.record()["killed_for"] is None


def test_the_host_has_the_launcher_end_what_it_cannot_measure(guest) -> None:
    assert running(guest.host, pid=NOBODY).conclude() is None
    guest.sandbox.hear()
    assert guest.is_ended()
    guest.sandbox.finish()
    assert guest.record()["killed_for"] is None


def test_one_that_has_failed_while_it_waited_is_begun_all_the_same(guest) -> None:
    # The record of its end says why, and a sandbox that cannot be measured has none of its own
    running(guest.host, pid=NOBODY).begin(LIMITS)
    guest.sandbox.hear()
    assert guest.sandbox.started_s is not None
