"""Who drives a run: one, and nobody once that process has ended."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from cloister.errors import JournalError
from cloister.plan.journal.lock import RunLock, is_driven


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "runs.lock"


def test_one_at_a_time_also_in_one_process(path: Path) -> None:
    lock = RunLock.take(path, "run-1")
    assert is_driven(path, "run-1")
    with pytest.raises(JournalError) as caught:
        RunLock.take(path, "run-1")
    assert (caught.value.code, "run-1" in caught.value.message) == ("journal.busy", True)
    lock.release()
    lock.release()
    assert not is_driven(path, "run-1")
    RunLock.take(path, "run-1").release()


def test_another_run_is_free(path: Path) -> None:
    first = RunLock.take(path, "run-1")
    assert not is_driven(path, "run-2")
    second = RunLock.take(path, "run-2")
    first.release()
    assert is_driven(path, "run-2")
    second.release()


def test_looking_does_not_let_go(path: Path) -> None:
    """Closing any descriptor of a file lets go of the older kind of lock."""
    lock = RunLock.take(path, "run-1")
    for _ in range(3):
        assert is_driven(path, "run-1")
    with pytest.raises(JournalError):
        RunLock.take(path, "run-1")
    lock.release()


def test_the_kernel_lets_go_when_the_holder_is_killed(path: Path) -> None:
    ready, told = os.pipe()
    child = os.fork()
    if child == 0:
        RunLock.take(path, "run-1")
        os.write(told, b"!")
        signal.pause()
        os._exit(1)
    assert os.read(ready, 1) == b"!"
    with pytest.raises(JournalError) as caught:
        RunLock.take(path, "run-1")
    assert caught.value.code == "journal.busy"
    assert is_driven(path, "run-1")
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert not is_driven(path, "run-1")
    RunLock.take(path, "run-1").release()
    os.close(ready)
    os.close(told)


def test_a_lock_that_leads_elsewhere_is_not_followed(path: Path, tmp_path: Path) -> None:
    path.symlink_to(tmp_path / "elsewhere")
    for attempt in (RunLock.take, is_driven):
        with pytest.raises(JournalError) as caught:
            attempt(path, "run-1")
        assert caught.value.code == "journal.store"
    assert not (tmp_path / "elsewhere").exists()


def test_its_file_is_its_owners_alone(path: Path) -> None:
    RunLock.take(path, "run-1").release()
    assert path.stat().st_mode & 0o777 == 0o600


def test_who_waits_gets_it_when_it_is_free(path: Path) -> None:
    lock = RunLock.take(path, "approval-1")
    taken: list[str] = []
    begun = threading.Event()

    def wait() -> None:
        begun.set()
        RunLock.take(path, "approval-1", waits=True).release()
        taken.append("second")

    thread = threading.Thread(target=wait)
    thread.start()
    begun.wait()
    taken.append("first")
    lock.release()
    thread.join()
    assert taken == ["first", "second"]
