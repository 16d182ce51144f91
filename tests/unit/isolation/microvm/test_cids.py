"""CIDs are held by one machine at a time, on the whole host, and freed by the end of the holder."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cloister.errors import LaunchError, ProviderUnavailable
from cloister.isolation.microvm.cids import CID_MIN, CIDS_COUNT, Cids


def test_two_runs_that_ask_for_one_cid(tmp_path: Path) -> None:
    first, second = Cids(tmp_path / "cids"), Cids(tmp_path / "cids")
    with first.hold(77) as held:
        assert held.number == 77
        with pytest.raises(LaunchError) as caught:
            second.hold(77)
        assert caught.value.code == "provider.cid"
        assert caught.value.details == {"cid": 77}
        second.hold(78).release()
    second.hold(77).release()


def test_numbers_that_nobody_asked_for_are_different(tmp_path: Path) -> None:
    cids = Cids(tmp_path / "cids")
    held = [cids.hold() for _ in range(5)]
    assert [each.number for each in held] == list(range(CID_MIN, CID_MIN + 5))
    held[1].release()
    held[1].release()
    assert cids.hold().number == CID_MIN + 1


@pytest.mark.parametrize("number", [0, 1, 2, CID_MIN + CIDS_COUNT, -1])
def test_numbers_that_are_not_for_machines(tmp_path: Path, number: int) -> None:
    with pytest.raises(LaunchError) as caught:
        Cids(tmp_path / "cids").hold(number)
    assert caught.value.code == "provider.cid"


def test_the_end_of_a_process_frees_its_numbers(tmp_path: Path) -> None:
    program = (
        "import sys, time; from pathlib import Path; from cloister.isolation.microvm.cids import Cids\n"
        f"held = Cids(Path({str(tmp_path / 'cids')!r})).hold(5); print('held', flush=True); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout:
        assert process.stdout.readline() == b"held\n"
        with pytest.raises(LaunchError):
            Cids(tmp_path / "cids").hold(5)
        process.kill()
        process.wait()
    Cids(tmp_path / "cids").hold(5).release()


def test_one_number_is_never_held_twice_while_others_let_go(tmp_path: Path) -> None:
    cids = Cids(tmp_path / "cids")
    holders, most = [0], [0]
    lock = threading.Lock()

    def compete() -> None:
        for _ in range(200):
            try:
                held = cids.hold(9)
            except LaunchError:
                continue
            with lock:
                holders[0] += 1
                most[0] = max(most[0], holders[0])
            with lock:
                holders[0] -= 1
            held.release()

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # threads change between opening a file and locking it
    try:
        threads = [threading.Thread(target=compete) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval_s)
    assert most == [1]
    assert list((tmp_path / "cids").iterdir()) == []


def test_a_directory_others_may_write_to_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "cids"
    place.mkdir()
    place.chmod(0o777)
    with pytest.raises(ProviderUnavailable, match="others may write"):
        Cids(place)
    place.chmod(0o755)
    Cids(place)
