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
from cloister.isolation.process.spec import SandboxSpec
from cloister.isolation.process.supply import RunningSandbox
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
    """Return a number that leaves no descriptor free; the kernel wants it at least as large as what is polled."""
    taken = {int(path.name) for path in Path(f"/proc/{pid}/fd").iterdir()}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def test_a_request_that_lost_descriptors_is_answered(nursery) -> None:
    assert run(nursery)["status"] == 0
    pid = nursery.launcher_pid
    before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files_of(pid) + 2, before[1]))
    with pytest.raises(LaunchError) as caught:
        run(nursery)
    assert (caught.value.code, "limit of open files" in caught.value.message) == ("provider.launcher", True)
    assert "ulimit -n" in caught.value.hint
    resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert run(nursery)["status"] == 0
    assert nursery.launcher_pid == pid


def test_a_sandbox_that_cannot_be_measured_is_ended_alone(nursery) -> None:
    with nursery.launch(WAIT) as first:
        assert os.read(first.stdout, 100) == b"begun\n"
        pid = nursery.launcher_pid
        before = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (first_free(pid), before[1]))
        record = record_of(first)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, before)
    assert outcome.set_up_failure(record).code == "provider.launcher"
    assert run(nursery)["status"] == 0
    assert nursery.launcher_pid == pid


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
