"""The launcher and its client, spoken to below the provider."""

import contextlib
import errno
import json
import os
import select
import socket
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from cloister.errors import LaunchError, ProviderError
from cloister.isolation.process import lanes, namespaces, reports
from cloister.isolation.process.lanes import GUESTS, PROGRAMS, Lane
from cloister.isolation.process.nursery import Nursery
from cloister.isolation.process.spec import FIXED_ENVIRONMENT, Grant, SandboxSpec
from cloister.isolation.process.supply import Supply
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


@pytest.fixture
def nursery() -> Iterator[Nursery]:
    made = Nursery(PROGRAMS)
    yield made
    made.close()


def record_of(nursery: Nursery, spec: SandboxSpec) -> dict:
    with nursery.launch(spec) as running:
        running.control.settimeout(30)
        return json.loads(running.control.recv(65536))


def test_a_record_of_the_end(nursery) -> None:
    record = record_of(nursery, TRUE)
    assert (record["status"], record["killed_for"]) == (0, None)
    assert record["wall_us"] > 0


def test_a_replaced_source_is_refused(nursery, tmp_path: Path) -> None:
    place = (tmp_path / "place").resolve()
    place.mkdir()
    seen = place.stat()
    grant = Grant(
        source=str(place), target="/inside", is_writable=False, is_directory=True, device=seen.st_dev, inode=seen.st_ino
    )
    assert record_of(nursery, replace(TRUE, grants=(grant,)))["status"] == 0
    place.rename(tmp_path / "moved")
    place.mkdir()
    assert record_of(nursery, replace(TRUE, grants=(grant,)))["reported"]["failed"] == "grant"
    place.rmdir()
    place.symlink_to(tmp_path / "moved")
    report = record_of(nursery, replace(TRUE, grants=(grant,)))["reported"]
    assert (report["failed"], report["path"]) == ("grant", str(place))
    assert "symbolic link" in report["reason"]


def test_a_link_in_the_middle_of_a_source_is_refused(nursery, tmp_path: Path) -> None:
    base = tmp_path.resolve()
    (base / "real" / "place").mkdir(parents=True)
    (base / "alias").symlink_to(base / "real")
    seen = (base / "real" / "place").stat()
    facts = {"target": "/inside", "is_writable": False, "is_directory": True}
    grant = Grant(source=str(base / "alias/place"), device=seen.st_dev, inode=seen.st_ino, **facts)
    assert record_of(nursery, replace(TRUE, grants=(grant,)))["reported"]["failed"] == "grant"
    direct = replace(grant, source=str(base / "real/place"))
    assert record_of(nursery, replace(TRUE, grants=(direct,)))["status"] == 0


def test_no_place_is_made_in_a_granted_directory(nursery, tmp_path: Path) -> None:
    base = tmp_path.resolve()
    (base / "outer").mkdir()
    (base / "other").mkdir()

    def grant(name: str, target: str) -> Grant:
        seen = (base / name).stat()
        return Grant(
            source=str(base / name), target=target, is_writable=True, is_directory=True, device=seen.st_dev,
            inode=seen.st_ino,
        )  # fmt: skip

    nested = replace(TRUE, grants=(grant("outer", "/outer"), grant("other", "/outer/other")))
    assert record_of(nursery, nested)["reported"]["failed"] == "grant"
    assert list((base / "outer").iterdir()) == []
    (base / "outer" / "other").mkdir()
    assert record_of(nursery, nested)["status"] == 0


def test_closing_the_control_connection_kills(nursery) -> None:
    spec = replace(TRUE, argv=("sh", "-c", "echo begun; exec sleep 1000"))
    with nursery.launch(spec) as running:
        assert os.read(running.stdout, 100) == b"begun\n"
        running.kill()
        running.control.settimeout(30)
        record = json.loads(running.control.recv(65536))
        assert (record["status"], record["killed_for"]) == (None, None)
        assert os.read(running.stdout, 100) == b""


def test_leaving_without_waiting_kills(nursery) -> None:
    with nursery.launch(replace(TRUE, argv=("sleep", "1000"))) as running:
        kept = os.dup(running.stdout)
    with os.fdopen(kept, "rb") as stdout:
        assert stdout.read() == b""


def test_a_dead_launcher_is_replaced(nursery) -> None:
    assert record_of(nursery, TRUE)["status"] == 0
    pid = nursery.launcher_pid
    watch = os.pidfd_open(pid)
    os.kill(pid, 9)
    select.select([watch], [], [], 30)
    os.close(watch)
    with contextlib.suppress(ValueError):
        # A request may be lost with it: the sandbox it had just cloned can hold the connection for a moment
        record_of(nursery, TRUE)
    assert record_of(nursery, TRUE)["status"] == 0
    assert nursery.launcher_pid != pid


def test_one_that_was_begun_early_is_the_one_that_is_used(nursery) -> None:
    nursery.begin()
    pid = nursery.launcher_pid
    nursery.begin()
    assert record_of(nursery, TRUE)["status"] == 0
    assert pid is not None
    assert nursery.launcher_pid == pid


def test_one_that_died_before_it_was_waited_for_is_told_and_replaced(nursery) -> None:
    nursery.begin()
    pid = nursery.launcher_pid
    os.kill(pid, 9)
    with pytest.raises(LaunchError) as caught:
        nursery.prepare()
    assert caught.value.code == "provider.launcher"
    assert record_of(nursery, TRUE)["status"] == 0
    assert nursery.launcher_pid != pid


def test_a_launcher_has_no_environment_of_the_host(nursery, monkeypatch) -> None:
    monkeypatch.setenv("SECRET_OF_THE_HOST", "1")
    record_of(nursery, TRUE)
    names = {line.split(b"=")[0] for line in Path(f"/proc/{nursery.launcher_pid}/environ").read_bytes().split(b"\0")}
    assert names == {name.encode() for name in FIXED_ENVIRONMENT} | {b""}


def test_a_forked_host_starts_its_own_launcher(nursery) -> None:
    record_of(nursery, TRUE)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            status = record_of(nursery, TRUE)["status"]
            os.write(writer, json.dumps([status, nursery.launcher_pid]).encode())
            nursery.close()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answers:
        status, launcher_pid = json.loads(answers.read())
    os.waitpid(child, 0)
    assert (status, launcher_pid != nursery.launcher_pid) == (0, True)
    assert record_of(nursery, TRUE)["status"] == 0


@pytest.mark.parametrize("is_forked", [True, False])
def test_a_fork_takes_nothing_that_waits_for_its_parent(nursery, *, is_forked: bool) -> None:
    """A thread of the parent may have asked for it, and would wait for ever. The parent itself does clean up."""
    record_of(nursery, TRUE)
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    kept = ours.dup()
    with theirs, kept:
        nursery._launcher.supplies[Lane.PROGRAM].close()
        nursery._launcher.supplies[Lane.PROGRAM] = Supply(ours, Lane.PROGRAM)
        theirs.send(lanes.REFUSED + reports.to_bytes(reports.from_error("namespaces", OSError(errno.ENOSPC, "full"))))
        if is_forked:
            child = os.fork()
            if child == 0:
                os._exit(0)  # what is done in a child is done already
            os.waitpid(child, 0)
        else:
            nursery.close()
        assert bool(kept.recv(100, socket.MSG_DONTWAIT)) is is_forked


def test_closing_is_for_good_and_twice_is_fine() -> None:
    nursery = Nursery(GUESTS)
    nursery.close()
    nursery.close()
    for attempt in (lambda: nursery.launch(replace(TRUE, lane=Lane.PLAN, argv=())), nursery.begin):
        with pytest.raises(ProviderError) as caught:
            attempt()
        assert caught.value.code == "provider.closed"


@pytest.mark.parametrize("code", [errno.EPERM, errno.ENOSPC, errno.ENOSYS])
def test_a_refusal_is_explained(code) -> None:
    reason, remedy = namespaces.explain_refusal(code)
    assert "user namespace" in reason or "clone3" in reason
    assert remedy
