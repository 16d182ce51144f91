"""What goes wrong for one request or one sandbox goes wrong for no other."""

import array
import json
import os
import resource
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.errors import LaunchError
from cloister.isolation.process import launcher, outcome
from cloister.isolation.process.lanes import PROGRAMS, Lane, PoolSettings
from cloister.isolation.process.nursery import Nursery
from cloister.isolation.process.running import RunningSandbox
from cloister.isolation.process.spec import SandboxSpec
from cloister.limits import ResourceLimits

TRUE = SandboxSpec(
    lane=Lane.PROGRAM,
    argv=("true",),
    script=None,
    grants=(),
    runtime=(),
    environment={},
    working_directory="/tmp",
    limits=ResourceLimits(),
)
WAIT = replace(TRUE, argv=("sh", "-c", "echo begun; exec sleep 1000"), limits=ResourceLimits(wall_ms=20_000))


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery(PROGRAMS, PoolSettings(size_max=0))
    yield made
    made.close()


def record_of(running: RunningSandbox) -> dict:
    running.control.settimeout(30)
    return json.loads(running.control.recv(65536))


def run(nursery: Nursery, spec: SandboxSpec = TRUE) -> dict:
    with nursery.launch(spec) as running:
        return record_of(running)


def open_files_of(pid: int) -> int:
    return len(list(Path(f"/proc/{pid}/fd").iterdir()))


def first_free(pid: int) -> int:
    """Return the lowest number of a descriptor that is free at this moment."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


POLLED = 5
"""One lane, the zygote, and three descriptors of one sandbox. The kernel wants the limit of whoever polls at least as
large."""


def refusal_for_descriptors(nursery: Nursery) -> LaunchError:
    """Return what the launcher answers when it may take one descriptor less than a sandbox needs.

    A moment after a sandbox ended it makes the next one ahead, which needs none any more; so it is asked again until it
    was not yet made.
    """
    pid = nursery.launcher_pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    for _ in range(100):
        assert run(nursery)["status"] == 0
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files_of(pid) + 2, before[1]))
        try:
            run(nursery)
        except LaunchError as error:
            return error
        finally:
            resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    pytest.fail("every sandbox was made, whatever the limit of open files")


def test_a_request_that_lost_descriptors_is_answered(nursery) -> None:
    assert run(nursery)["status"] == 0
    pid = nursery.launcher_pid
    error = refusal_for_descriptors(nursery)
    assert (error.code, "limit of open files" in error.message) == ("provider.launcher", True)
    assert "ulimit -n" in error.hint
    assert run(nursery)["status"] == 0
    assert nursery.launcher_pid == pid


def test_a_sandbox_that_cannot_be_measured_is_ended_alone(nursery) -> None:
    with nursery.launch(WAIT) as first:
        assert os.read(first.stdout, 100) == b"begun\n"
        pid = nursery.launcher_pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        # What is free just now may be what a look at the sandbox has open for a moment; those below are open for good
        assert first_free(pid) >= POLLED
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (POLLED, before[1]))
        record = record_of(first)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert outcome.set_up_failure(record).code == "provider.launcher"
    assert run(nursery)["status"] == 0
    assert nursery.launcher_pid == pid


MADE = """
import json, os, resource, socket, sys
sys.path.insert(0, sys.argv[1])
from tests.unit.isolation.process.test_launcher import TRUE
from cloister.isolation.process import nursery
from cloister.isolation.process import machine as machines
from cloister.isolation.process.cgroup.group import Group
from cloister.isolation.process.cgroup.groups import Groups
from cloister.isolation.process.cgroup.hierarchy import Standing
from cloister.isolation.process.lanes import PROGRAMS, Lane, PoolSettings
from cloister.isolation.process.order import Order
from cloister.isolation.process.pool import Pool
from cloister.isolation.process.spec import FIXED_ENVIRONMENT
from cloister.isolation.process.supply import Supply
from cloister.isolation.process.zygote import Zygote

os.environ.clear()
os.environ.update(FIXED_ENVIRONMENT)
machine = machines.look(PROGRAMS, (), frozenset())
null = os.open(os.devnull, os.O_RDWR)
zygote = Zygote(machine)

def make(groups):
    made = []
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    Pool(lane=Lane.PROGRAM, supply=theirs, settings=PoolSettings(), machine=machine, groups=groups,
         zygote=zygote, watch=made.append).make()
    return Supply(ours, Lane.PROGRAM), made

def reports_of(supply, made):
    nursery._begin(supply.take(), TRUE.limits, Order.encode(TRUE), [null])
    reports = []
    try:
        while message := made[0].report.recv(65536):
            reports.append(json.loads(message))
    except ConnectionResetError:
        pass  # it ended without having read its order
    made[0].kill()
    made[0].finish()
    print(json.dumps(reports))
"""
"""A script that makes sandboxes without a launcher, and says what one of them reports."""

SHORT = """
soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
few, made = null, []
while not made:
    few += 1
    resource.setrlimit(resource.RLIMIT_NOFILE, (few, hard))
    try:
        supply, made = make(Groups(Standing(), os.getppid()))
    except OSError:
        pass
resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
reports_of(supply, made)
"""


def test_a_sandbox_that_was_made_when_files_were_short_is_none_the_worse() -> None:
    """It inherits the limit of that moment, and what it builds needs more than a clone does."""
    root = Path(__file__).parents[4]
    ended = subprocess.run(
        [sys.executable, "-c", MADE + SHORT, str(root)],
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(ended.stdout)[-1]["status"] == 0, ended.stdout


@pytest.mark.parametrize("request_text", [b"nonsense", b"x" * 1000])
def test_requests_that_are_none(nursery, request_text) -> None:
    assert run(nursery)["status"] == 0
    pid = nursery.launcher_pid
    nursery._launcher.supplies[Lane.PROGRAM]._connection.send(request_text)
    assert run(nursery)["status"] == 0
    assert nursery.launcher_pid == pid


@pytest.mark.parametrize("limits", [b"no json", b"{}x", b'{"wall_ms": 0}', b'{"unknown": 1}'])
def test_limits_that_are_none_end_one_sandbox(nursery, limits) -> None:
    assert run(nursery)["status"] == 0
    pid = nursery.launcher_pid
    with nursery._take(Lane.PROGRAM) as taken:
        taken.control.send(limits)
        assert outcome.set_up_failure(record_of(taken)).code == "provider.launcher"
    assert run(nursery)["status"] == 0
    assert nursery.launcher_pid == pid


def test_an_order_that_is_none_ends_one_sandbox(nursery) -> None:
    with nursery._take(Lane.PROGRAM) as taken, Path(os.devnull).open("rb") as null:
        taken.control.send(json.dumps(TRUE.limits.to_dict()).encode())
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [null.fileno()]))]
        taken.order.sendmsg([b"nonsense"], rights)
        assert record_of(taken)["status"] is None
    assert run(nursery)["status"] == 0


MANY = """
import json, os, resource, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 120))
sys.path.insert(0, sys.argv[1])
from tests.unit.isolation.process.test_launcher import WAIT, LaunchError, Nursery, PROGRAMS, record_of, run
from cloister.isolation.process import outcome
from cloister.isolation.process.launcher import sandboxes_max
nursery = Nursery(PROGRAMS)
running = [nursery.launch(WAIT) for _ in range(sandboxes_max(120))]
begun = [os.read(each.stdout, 100).decode() for each in running]
try:
    error = outcome.set_up_failure(run(nursery))
except LaunchError as refused:
    error = refused
for each in running[:2]:
    each.__exit__(None, None, None)
status = run(nursery)["status"]
print(json.dumps([len(begun), set(begun) == {"begun\\n"}, error.code, error.message, status]))
"""


def test_there_is_room_for_so_many_at_once() -> None:
    root = Path(__file__).parents[4]
    ended = subprocess.run(
        [sys.executable, "-c", MANY, str(root)], capture_output=True, text=True, check=True, stdin=subprocess.DEVNULL
    )
    count, all_begun, code, message, status = json.loads(ended.stdout)
    assert (count, all_begun, code, status) == (launcher.sandboxes_max(120), True, "provider.launcher", 0)
    assert "limit of open files" in message


def test_a_host_without_room_says_so_and_keeps_nothing_open(nursery) -> None:
    assert run(nursery)["status"] == 0
    count = open_files_of(os.getpid())
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for spare in range(1, 12):
        resource.setrlimit(resource.RLIMIT_NOFILE, (count + spare - 1, hard))
        try:
            nursery.launch(TRUE).__exit__(None, None, None)
        except LaunchError as error:
            assert "limit of open files" in error.message  # noqa: PT017 - the last of them is launched
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        assert open_files_of(os.getpid()) == count
    assert run(nursery)["status"] == 0
