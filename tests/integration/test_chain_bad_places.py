"""Chains on a full disk, under a held lock, in a damaged file, with a clock that jumps: typed errors, nothing lost."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

import cloister
from cloister.audit.chain import ANCHOR_EVERY_COUNT, CausalChain
from cloister.audit.checkpoint import read_checkpoint
from cloister.audit.event import Draft, EventType, Provenance
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.store import ChainStore
from cloister.audit.verify import VerifyReport, verify_chain
from cloister.capabilities.catalog import builtin_catalog
from cloister.clock import ManualClock
from cloister.errors import AppendFailed, AuditError, KeyUnavailable


@pytest.fixture
def home(tmp_path: Path) -> AuditHome:
    return AuditHome(tmp_path / "home")


def verified(home: AuditHome) -> VerifyReport:
    return verify_chain(home.chain_path, PublicKey.load(home.public_key_path), anchor_path=home.anchor_path)


FULL_DISK = """
import json, resource, signal, sys
from pathlib import Path
from cloister.audit.event import Draft, EventType, Provenance
from cloister.audit.home import open_chain
from cloister.clock import SystemClock
from cloister.errors import AppendFailed
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
chain = open_chain(Path(sys.argv[1]), SystemClock())
chain.append(EventType.RUN_STARTED, run_id="r")
largest = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, largest))
done, failed = 1, 0
for number in range(40):
    try:
        chain.append(EventType.STEP_STARTED, run_id="r", body={"text": "x" * 20_000}, durable=number % 2 == 0)
        done += 1
    except AppendFailed as error:
        assert error.code == "audit.append" and error.hint, error
        failed += 1
resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
chain.append(EventType.RUN_FAILED, run_id="r")
chain.close()
print(json.dumps([done + 1, failed]))
"""


def test_a_disk_that_takes_no_more_fails_the_appends_and_loses_nothing(home: AuditHome) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(home.directory)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    recorded_count, failed_count = map(int, done.stdout.strip("[]\n").split(","))
    assert recorded_count > 2
    assert failed_count > 5
    assert verified(home).count == recorded_count


def test_a_run_stops_when_its_record_cannot_be_written(home: AuditHome, tmp_path: Path) -> None:
    target = tmp_path / "target"
    context = cloister.RuntimeContext.controlled(capabilities=["ccos.io.write-file"], write=[str(tmp_path)])
    plan = f'(call :ccos.io.write-file "{target}" "x")'
    store, signer = ChainStore.open(home.chain_path), Signer.open(home.key_path)
    chain = CausalChain(store, signer, ManualClock())
    with cloister.Runtime(chain, home=home.directory, clock=ManualClock(), catalog=builtin_catalog()) as runtime:
        store._live().execute("PRAGMA query_only = ON")
        with pytest.raises(AppendFailed):
            runtime.run(plan, context=context)
        assert not target.exists()
        store._live().execute("PRAGMA query_only = OFF")
        runtime.run(plan, context=context)
        assert target.exists()


def test_a_lock_that_is_held_fails_the_append_of_everybody_who_waits(home: AuditHome) -> None:
    store, signer = ChainStore.open(home.chain_path, lock_wait_ms=1), Signer.open(home.key_path)
    with CausalChain(store, signer, ManualClock()) as chain:
        other = sqlite3.connect(home.chain_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        errors: list[AppendFailed] = []

        def work() -> None:
            with pytest.raises(AppendFailed) as caught:
                chain.append(EventType.RUN_STARTED, run_id="r")
            errors.append(caught.value)

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert {error.hint for error in errors} == {"another process holds it"}
        assert len(errors) == 4
        other.execute("ROLLBACK")
        other.close()
        chain.append(EventType.RUN_STARTED, run_id="r")
    assert verified(home).count == 1


def test_a_damaged_file_is_a_typed_error_for_whoever_opens_it(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        known = Provenance(plan_id="p", intent_id="i", session_id="s")
        draft = Draft(event_type=EventType.STEP_STARTED, run_id="r", capability_id="c", provenance=known)
        chain.append_all([draft, *[replace(draft, parent=0)] * 499])
    whole = home.chain_path.read_bytes()
    for start in range(0, len(whole), 4096):
        home.chain_path.write_bytes(whole[:start] + os.urandom(4096) + whole[start + 4096 :])
        with pytest.raises(AuditError) as caught:
            verified(home)
        assert caught.value.code in {"audit.store", "audit.broken", "audit.format"}
    home.chain_path.write_bytes(whole)
    assert verified(home).count == 500


class JumpingClock(ManualClock):
    """A clock that somebody sets back by a day before every third answer."""

    def __init__(self) -> None:
        super().__init__()
        self.asked_count = 0

    def now(self):  # type: ignore[no-untyped-def]
        self.asked_count += 1
        if self.asked_count % 3 == 0:
            self._now -= timedelta(days=1)
        self._now += timedelta(seconds=1)
        return super().now()


def test_an_index_that_leaves_out_a_record_is_found(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        for number in range(4):
            chain.append(EventType.RUN_STARTED, run_id=f"run-{number}")
    data = home.chain_path.read_bytes()
    assert verified(home).count == 4
    # Of the two places of this text one is the index; the other is the record's column, and one more in its event
    first = data.find(b"run-2")
    for place in (first, data.find(b"run-2", first + 1), data.rfind(b"run-2")):
        home.chain_path.write_bytes(data[:place] + b"run-9" + data[place + 5 :])
        with pytest.raises(AuditError):
            verified(home)
    home.chain_path.write_bytes(data)
    assert verified(home).count == 4


def test_a_clock_that_jumps_back_keeps_the_order_and_is_reported(home: AuditHome) -> None:
    with open_chain(home.directory, JumpingClock()) as chain:
        for number in range(9):
            chain.append(EventType.STEP_STARTED, run_id="r", body={"number": number})
        assert [record.event.body["number"] for record in chain.records()] == list(range(9))
        times = [record.event.at for record in chain.records()]
    assert times != sorted(times)
    assert verified(home).steps_back_count == 3


class MeetingClock(ManualClock):
    """A clock that answers the first commit only when other appends are waiting, and counts its answers."""

    def __init__(self) -> None:
        super().__init__()
        self.chain: CausalChain | None = None
        self.wanted_count = 0
        self.answers_count = 0

    def now(self):  # type: ignore[no-untyped-def]
        while self.chain is not None and len(self.chain._waiting) < self.wanted_count:
            pass
        self.wanted_count = 0
        self.answers_count += 1
        return super().now()


def test_appends_that_meet_are_committed_together(home: AuditHome) -> None:
    clock = MeetingClock()
    with open_chain(home.directory, clock) as chain:
        clock.chain, clock.wanted_count = chain, 5
        bad = Draft(event_type=EventType.CALL_OUTCOME, run_id="r", parent=99)
        outcomes: list[object] = []

        def work(number: int) -> None:
            try:
                drafts = [bad] if number == 3 else [Draft(event_type=EventType.RUN_STARTED, run_id=f"r{number}")]
                outcomes.append(chain.append_all(drafts)[0].event.sequence)
            except AppendFailed as error:
                outcomes.append(error.code)

        threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert clock.answers_count == 2, "one commit for the first, one for the five that waited"
    assert sorted(map(str, outcomes)) == ["0", "1", "2", "3", "4", "audit.append"]
    assert verified(home).count == 5


def noted_count(home: AuditHome) -> int:
    return read_checkpoint(home.anchor_path.read_bytes()).head.count


def test_a_head_that_cannot_be_noted_fails_the_closing_and_nothing_stays_open(home: AuditHome) -> None:
    chain = open_chain(home.directory, ManualClock())
    chain.append(EventType.RUN_STARTED, run_id="r")
    home.anchor_path.mkdir()
    with pytest.raises(AuditError) as caught:
        chain.close()
    assert caught.value.code == "audit.anchor"
    assert str(home.anchor_path) in caught.value.message
    chain.close()
    assert sorted(each.name for each in home.anchor_path.parent.iterdir()) == ["chain.key", "chain.pub", "chain.seen"]
    home.anchor_path.rmdir()
    with open_chain(home.directory, ManualClock()) as twin:
        twin.append(EventType.RUN_COMPLETED, run_id="r")
    assert noted_count(home) == 2


def test_a_head_that_cannot_be_noted_hides_no_other_error(home: AuditHome) -> None:
    def fail(chain: CausalChain) -> None:
        with chain:
            chain.append(EventType.RUN_STARTED, run_id="r")
            home.anchor_path.mkdir()
            raise LookupError

    with pytest.raises(LookupError) as caught:
        fail(open_chain(home.directory, ManualClock()))
    assert caught.value.__notes__[0].startswith("audit.anchor: cannot note the newest head")


def test_an_append_that_should_note_the_head_and_cannot_records_nothing(home: AuditHome) -> None:
    drafts = [Draft(event_type=EventType.RUN_STARTED, run_id="r")] * ANCHOR_EVERY_COUNT
    chain = open_chain(home.directory, ManualClock())
    chain.append_all(drafts)
    home.anchor_path.mkdir()
    with pytest.raises(AppendFailed, match="cannot note the newest head"):
        chain.append(EventType.RUN_COMPLETED, run_id="r")
    assert chain.head().count == ANCHOR_EVERY_COUNT
    home.anchor_path.rmdir()
    chain.append(EventType.RUN_COMPLETED, run_id="r")
    assert noted_count(home) == ANCHOR_EVERY_COUNT, "noted before what comes after it"
    chain.close()


READ_ONLY = """
import os, sys
from pathlib import Path
from cloister.audit.event import EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.signer import PublicKey
from cloister.audit.verify import verify_chain
from cloister.clock import ManualClock
from cloister.errors import AuditError
home = AuditHome(Path(sys.argv[1]))
keys = home.key_path.parent
if os.getuid() == 0:
    os.setuid(65534)
def head():
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
head()
os.chmod(keys, 0o500)
try:
    head()
except AuditError as error:
    assert error.code == "audit.anchor", error
else:
    raise AssertionError("it was opened although no head could be noted")
os.chmod(home.directory, 0o500)
report = verify_chain(home.chain_path, PublicKey.load(home.public_key_path), anchor_path=home.anchor_path)
assert report.count == 1, report
os.chmod(home.directory, 0o700)
os.chmod(keys, 0o700)
head()
"""


def test_a_home_whose_keys_cannot_be_written_is_refused_and_still_verified() -> None:
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o777)
        done = subprocess.run(
            [sys.executable, "-c", READ_ONLY, f"{name}/home"], capture_output=True, text=True, check=False
        )
    assert (done.returncode, done.stderr) == (0, "")


FULL_AT_FIRST = """
import resource, signal, sys
from cloister.errors import AuditError, CloisterError, JournalError, KeyUnavailable
from cloister.runtime import Runtime
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
largest = resource.getrlimit(resource.RLIMIT_FSIZE)[1]
codes = []
for size in map(int, sys.argv[2:]):
    home = f"{sys.argv[1]}/home-{size}"
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, largest))
    try:
        Runtime.open(home).close()
        codes.append("made")
    except CloisterError as error:
        codes.append(error.code)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, largest))
    with Runtime.open(home) as runtime:
        assert list(runtime.records()) == []
print(*codes)
"""


def test_a_home_that_is_made_on_a_full_disk_is_made_later(tmp_path: Path) -> None:
    sizes = [0, 50, 200, 1_000, 5_000, 20_000, 33_000, 40_000, 60_000, 70_000, 1_000_000]
    done = subprocess.run(
        [sys.executable, "-c", FULL_AT_FIRST, str(tmp_path), *map(str, sizes)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    codes = done.stdout.split()
    assert set(codes[:-1]) & {"audit.store", "journal.store"}
    assert "audit.broken" not in codes
    assert codes[-1] == "made"
    for size in sizes:
        assert verified(AuditHome(tmp_path / f"home-{size}")).count == 0


def test_a_home_that_was_cut_off_before_its_key_goes_on_and_one_that_lost_it_does_not(home: AuditHome) -> None:
    ChainStore.open(home.chain_path).close()
    home.key_path.parent.mkdir()
    home.anchor_path.touch()
    with pytest.raises(KeyUnavailable):
        open_chain(home.directory, ManualClock())
    home.anchor_path.unlink()
    open_chain(home.directory, ManualClock()).close()
    assert verified(home).count == 0
    for each in home.key_path.parent.iterdir():
        each.unlink()
    with pytest.raises(KeyUnavailable):  # its head was signed
        open_chain(home.directory, ManualClock())


PIPES = """
import os, signal, sys
from pathlib import Path
from cloister.authority.context import RuntimeContext
from cloister.errors import CloisterError
from cloister.plan.constitution_file import sign_constitution
from cloister.runtime import Runtime
home = Path(sys.argv[1])
def use():
    with Runtime.open(home) as runtime:
        runtime.run("1", context=RuntimeContext.pure(), provider="mock")
use()
(home / "constitution.toml").write_text("version = 1\\n")
sign_constitution(home / "constitution.toml", home)
use()
for place in sorted(each for each in home.rglob("*") if each.is_file() and not each.name.endswith(("-wal", "-shm"))):
    kept = place.with_name("kept")
    place.rename(kept)
    os.mkfifo(place)
    signal.alarm(20)
    try:
        use()
        print(place.name, "none")
    except CloisterError as error:
        print(place.name, error.code)
    signal.alarm(0)
    place.unlink()
    kept.rename(place)
    use()
"""


def test_a_pipe_in_the_place_of_any_file_of_a_home_is_a_typed_error(home: AuditHome) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PIPES, str(home.directory)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert dict(line.split() for line in done.stdout.splitlines()) == {
        "chain.key": "attestation.key",
        "chain.pub": "attestation.key",
        "chain.seen": "audit.anchor",
        "chain.sqlite3": "audit.store",
        "constitution.key": "none",  # only who signs one reads it
        "constitution.pub": "attestation.key",
        "constitution.toml": "input.constitution",
        "constitution.toml.sig": "input.constitution",
        "runs.lock": "none",  # nothing is read of it or written to it, and its bytes are locked as well
        "runs.sqlite3": "journal.store",
    }
