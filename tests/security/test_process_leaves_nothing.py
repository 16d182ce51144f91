"""Threat: runs that leave something behind. The soak finds nothing after them, and finds each thing that is left."""

import os
import signal
import subprocess
import sys
import uuid
from collections import Counter
from pathlib import Path

import pytest
from benchmarks.crowd import gather
from benchmarks.direct import Direct
from benchmarks.leftovers import GROUP_PREFIX, Watch, memory
from benchmarks.soak import Outcome, Stage, repeat

from cloister.errors import ProviderError
from cloister.isolation.process.cgroup import hierarchy

SLEEP = ["sleep", "1000"]
LOOK_TWICE = """
import subprocess
from benchmarks.crowd import gather
from benchmarks.direct import Direct
from benchmarks.leftovers import Watch, adopt_orphans
adopt_orphans()
watch = Watch(directories=())
before = watch.look()
subprocess.run({command!r}, check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
left = watch.look().left_since(before)
print(*left)
print(*(thing for things in left.values() for thing in things), sep="\\n")
"""


@pytest.fixture
def watch(tmp_path):
    (tmp_path / "inner").mkdir()
    return Watch(directories=(tmp_path,))


def look_around(*command: str, wrapper: tuple[str, ...] = ()) -> str:
    """What a look finds in a fresh process after a command that it did not find before."""
    script = LOOK_TWICE.format(command=list(command))
    done = subprocess.run(
        [*wrapper, sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.timeout(600)
def test_runs_of_every_kind_leave_nothing() -> None:
    soak = [sys.executable, "-m", "benchmarks.soak", "--runs", "300", "--at-once", "20"]
    done = subprocess.run(soak, capture_output=True, text=True, timeout=540, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing is left, every answer was right" in done.stdout
    counts = {kind: int(count) for count, _, kind in (line.strip().partition(" ") for line in done.stdout.splitlines())
              if count.isdecimal()}  # fmt: skip
    assert counts.pop("at once") >= 20
    assert sum(counts.values()) >= 300
    assert {"plan", "files", "python", "shell", "program", "over its time", "over its memory"} <= counts.keys()


@pytest.mark.timeout(600)
def test_many_sandboxes_at_once_give_the_right_answers() -> None:
    with Direct() as direct:
        gather(direct, 200)


def test_a_sandbox_that_is_missing_in_a_crowd_fails_it() -> None:
    with Direct() as direct:
        direct.provider.close()
        with pytest.raises(ProviderError) as caught:
            gather(direct, 4)
    assert caught.value.code == "provider.closed"


def test_a_process_that_is_left_is_found(watch) -> None:
    before = watch.look()
    process = subprocess.Popen(SLEEP)
    try:
        assert watch.look().left_since(before)["processes"] == Counter({"sleep 1000": 1})
    finally:
        process.kill()
        process.wait()
    assert "processes" not in watch.look().left_since(before)


def test_a_process_that_detached_itself_is_found(marker, leftovers) -> None:
    try:
        assert f"sleep {marker}" in look_around("sh", "-c", f"setsid sleep {marker} &")
    finally:
        for pid in leftovers():
            os.kill(pid, signal.SIGKILL)
    assert "sleep" not in look_around("sh", "-c", f": setsid sleep {marker}")


def test_a_mount_that_is_left_is_found(tmp_path) -> None:
    own_mounts = ("unshare", "--user", "--map-root-user", "--mount")
    if subprocess.run([*own_mounts, "true"], capture_output=True, check=False).returncode != 0:
        pytest.skip("needs user namespaces")
    mount = ("mount", "-t", "tmpfs", "left", str(tmp_path))
    assert look_around(*mount, wrapper=own_mounts).startswith("mounts\n")
    assert look_around("true", wrapper=own_mounts).strip() == ""


def test_a_control_group_that_is_left_is_found(watch) -> None:
    own = hierarchy.look().v1.get("pids")
    if own is None or not os.access(own, os.W_OK):
        pytest.skip("needs control groups of version 1")
    before = watch.look()
    process = subprocess.Popen(SLEEP)
    process.kill()
    process.wait()
    # Ours, then that of a process which is gone, then that of somebody else's living process
    for pid, is_found in ((os.getpid(), True), (process.pid, True), (1, False)):
        group = Path(own) / f"{GROUP_PREFIX}-soak-{pid}"
        group.mkdir()
        try:
            assert ("control_groups" in watch.look().left_since(before)) is is_found
        finally:
            group.rmdir()
    assert "control_groups" not in watch.look().left_since(before)


def test_descriptors_that_are_left_are_found(watch, tmp_path) -> None:
    before = watch.look()
    with (tmp_path / "open").open("w") as file:
        left = watch.look().left_since(before)
        assert left["host_descriptors"].total() == 1
        assert "launcher_descriptors" not in left
        child = subprocess.Popen(SLEEP, pass_fds=(file.fileno(),))
        try:
            assert any("open" in name for name in watch.look().left_since(before)["launcher_descriptors"])
        finally:
            child.kill()
            child.wait()
    assert not {"host_descriptors", "launcher_descriptors"} & watch.look().left_since(before).keys()


def test_files_that_are_left_are_found(watch, tmp_path) -> None:
    before = watch.look()
    for place in (tmp_path / "file", tmp_path / "inner" / "file"):
        place.touch()
        assert watch.look().left_since(before)["files"] == Counter({str(place): 1})
        place.unlink()
    assert "files" not in watch.look().left_since(before)


@pytest.mark.parametrize("directory", ["/tmp", "/dev/shm"])
@pytest.mark.parametrize(("prefix", "is_alone", "is_found"), [
    ("cloister-", False, True),
    ("somebody-", False, False),
    ("somebody-", True, True),
])  # fmt: skip
def test_files_in_shared_directories(directory, prefix, is_alone, is_found) -> None:
    watch = Watch(directories=(), is_alone=is_alone)
    place = Path(directory) / f"{prefix}{uuid.uuid4().hex}"
    before = watch.look()
    place.touch()
    try:
        assert (str(place) in watch.look().left_since(before).get("files", ())) is is_found
    finally:
        place.unlink()


def test_what_ends_shortly_after_is_not_left(watch) -> None:
    before = watch.look()
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    assert watch.look_for_more(before, timeout_s=0).left_since(before)
    assert process.stdin is not None
    process.stdin.close()
    process.wait()
    assert not watch.look_for_more(before, timeout_s=30).left_since(before)


def test_memory_is_measured() -> None:
    before = memory().host
    held = bytearray(b"x") * (64 * 2**20)
    assert memory().host - before > len(held) / 2  # others may have given some back meanwhile


def test_a_soak_is_clean_only_without_leftovers_and_wrong_answers(watch) -> None:
    outcome = Outcome()
    repeat(outcome, {"right": lambda _number: None}, range(4), threads=2)
    assert (outcome.is_clean, outcome.runs) == (True, Counter({"right": 4}))
    stage = Stage(name="after", look=watch.look(), memory=memory(), left={"mounts": Counter(["/left"])})
    assert not Outcome(stages=[stage]).is_clean

    def wrong(number: int) -> None:
        if number == 2:
            raise ValueError("no")

    repeat(outcome, {"wrong": wrong}, range(4), threads=2)
    assert (outcome.is_clean, outcome.failures) == (False, ["wrong, number 2: ValueError: no"])
    assert outcome.runs["wrong"] == 3
