from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from cloister.audit.chain import CausalChain
from cloister.audit.checkpoint import read_checkpoint
from cloister.audit.event import EVENT_BYTES_MAX, GENESIS, EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.merkle import node_hash
from cloister.audit.query import RecordQuery
from cloister.audit.signer import PublicKey, Signer
from cloister.audit.store import ChainStore
from cloister.audit.verify import VerifyReport, verify_chain
from cloister.clock import ManualClock
from cloister.errors import AppendFailed, AuditError, ChainBroken, KeyUnavailable


@pytest.fixture
def home(tmp_path: Path) -> AuditHome:
    return AuditHome(tmp_path / "home")


def verified(home: AuditHome) -> VerifyReport:
    return verify_chain(home.chain_path, PublicKey.load(home.public_key_path))


def test_an_empty_chain_verifies(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        assert chain.head() == GENESIS
    report = verified(home)
    assert (report.count, report.head, report.first_at, report.last_at) == (0, GENESIS, None, None)


def test_records_are_linked_signed_and_read_back(home: AuditHome) -> None:
    clock = ManualClock()
    with open_chain(home.directory, clock) as chain:
        first = chain.append(EventType.RUN_STARTED, run_id="r1", body={"plan": "p", "numbers": [1, None, True]})
        clock.advance_ms(1)
        second = chain.append(EventType.CALL_INTENT, run_id="r1", capability_id="c.a", parent=0)
        assert chain.head().root == node_hash(first.leaf, second.leaf)
        assert (first.event.sequence, second.event.sequence) == (0, 1)
        assert first.record_sha256 == hashlib.sha256(b"\0" + first.event_bytes).hexdigest()
        assert list(chain.records()) == [first, second]
    report = verified(home)
    assert (report.count, report.runs_count, report.head.root) == (2, 1, node_hash(first.leaf, second.leaf))
    assert (report.first_at, report.last_at) == ("2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.001000Z")


def test_the_chain_goes_on_after_reopening(home: AuditHome) -> None:
    for number in range(3):
        with open_chain(home.directory, ManualClock()) as chain:
            assert chain.append(EventType.RUN_STARTED, run_id=f"r{number}").event.sequence == number
    assert verified(home).count == 3


def test_records_of_one_run(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        for number in range(4):
            chain.append(EventType.RUN_STARTED, run_id=f"r{number % 2}")
        assert [record.event.sequence for record in chain.records("r1")] == [1, 3]
        assert list(chain.records("r9")) == []


def test_the_newest_rows(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        for number in range(5):
            chain.append(EventType.RUN_STARTED, run_id=f"r{number % 2}")
    store = ChainStore.open_readonly(home.chain_path)
    try:
        assert [row.sequence for row in store.rows(RecordQuery(newest_count=2))] == [3, 4]
        assert [row.sequence for row in store.rows(RecordQuery(run_id="r0", newest_count=2))] == [2, 4]
    finally:
        store.close()


def test_two_chains_of_one_process_extend_one_line(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as first, open_chain(home.directory, ManualClock()) as second:
        for number in range(6):
            (first, second)[number % 2].append(EventType.RUN_STARTED, run_id="r")
        assert first.head() == second.head()
    assert verified(home).count == 6


def test_threads_share_a_chain(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:

        def work() -> None:
            for _ in range(20):
                chain.append(EventType.STEP_STARTED, run_id="r")

        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert verified(home).count == 80


APPENDER = """
import sys
from pathlib import Path
from cloister.audit.event import EventType
from cloister.audit.home import open_chain
from cloister.clock import SystemClock
print("ready", flush=True)
sys.stdin.readline()
with open_chain(Path(sys.argv[1]), SystemClock()) as chain:
    for number in range(40):
        chain.append(EventType.RUN_STARTED, run_id=sys.argv[2], body={"number": number})
"""


def test_processes_that_make_and_extend_a_chain_at_once_keep_one_line(home: AuditHome) -> None:
    workers = [
        subprocess.Popen(
            [sys.executable, "-c", APPENDER, str(home.directory), f"run-{number}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for number in range(4)
    ]
    for worker in workers:
        assert worker.stdout is not None
        assert worker.stdout.readline() == b"ready\n"
    for worker in workers:
        assert worker.stdin is not None
        worker.stdin.write(b"go\n")
        worker.stdin.flush()
    for worker in workers:
        _, errors = worker.communicate(timeout=60)
        assert (worker.returncode, errors) == (0, b"")
    assert verified(home).count == 160
    with open_chain(home.directory, ManualClock()) as chain:
        for number in range(4):
            numbers = [record.event.body["number"] for record in chain.records(f"run-{number}")]
            assert numbers == list(range(40))
    assert sorted(path.name for path in home.directory.rglob("*")) == [
        "chain.key",
        "chain.pub",
        "chain.seen",
        "chain.sqlite3",
        "keys",
    ]


def test_only_the_owner_can_read_what_is_made(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
        modes = {path.name: path.stat().st_mode & 0o777 for path in [home.directory, *home.directory.rglob("*")]}
    assert modes.pop("chain.pub") == 0o644
    assert modes == {
        "home": 0o700,
        "keys": 0o700,
        "chain.key": 0o600,
        "chain.sqlite3": 0o600,
        "chain.sqlite3-wal": 0o600,
        "chain.sqlite3-shm": 0o600,
    }


@pytest.mark.parametrize(
    "body", [{"x": 1.5}, {"x": 2**64}, {1: "x"}, {"x": object()}], ids=["float", "large", "key", "object"]
)
def test_a_body_that_is_not_plain_data_is_not_recorded(home: AuditHome, body: dict[str, object]) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        with pytest.raises(AppendFailed) as caught:
            chain.append(EventType.RUN_STARTED, run_id="r", body=body)  # type: ignore[arg-type]
        assert caught.value.code == "audit.append"
        assert chain.append(EventType.RUN_STARTED, run_id="r", body={"x": 1}).event.sequence == 0
    assert verified(home).count == 1


def test_an_event_that_is_too_large_is_not_recorded(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        with pytest.raises(AppendFailed):
            chain.append(EventType.RUN_STARTED, run_id="r", body={"x": "y" * EVENT_BYTES_MAX})
        chain.append(EventType.RUN_STARTED, run_id="r", body={"x": "y" * (EVENT_BYTES_MAX - 1000)})
    assert verified(home).count == 1


@pytest.mark.parametrize("parent", [0, 5, -1])
def test_a_parent_must_be_an_earlier_record(home: AuditHome, parent: int) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        with pytest.raises(AppendFailed):
            chain.append(EventType.CALL_OUTCOME, run_id="r", parent=parent)
        chain.append(EventType.CALL_INTENT, run_id="r")
        assert chain.append(EventType.CALL_OUTCOME, run_id="r", parent=0).event.parent == 0


def failing_append(chain: CausalChain) -> AppendFailed:
    with pytest.raises(AppendFailed) as caught:
        chain.append(EventType.RUN_STARTED, run_id="r", body={"x": "y" * 100_000})
    assert caught.value.code == "audit.append"
    assert caught.value.hint
    return caught.value


def test_a_full_disk_fails_the_append_and_keeps_the_chain(home: AuditHome) -> None:
    store, signer = ChainStore.open(home.chain_path), Signer.open(home.key_path)
    with CausalChain(store, signer, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
        # SQLite itself answers SQLITE_FULL when it may not grow the file any further
        store._live().execute("PRAGMA max_page_count = 18")
        assert "full" in failing_append(chain).message
        store._live().execute("PRAGMA max_page_count = 1000000")
        chain.append(EventType.RUN_STARTED, run_id="r")
    assert verified(home).count == 2


def test_a_store_that_may_not_be_written_fails_the_append(home: AuditHome) -> None:
    store, signer = ChainStore.open(home.chain_path), Signer.open(home.key_path)
    with CausalChain(store, signer, ManualClock()) as chain:
        store._live().execute("PRAGMA query_only = ON")
        failing_append(chain)
        store._live().execute("PRAGMA query_only = OFF")
        chain.append(EventType.RUN_STARTED, run_id="r")


def test_a_lock_held_too_long_fails_the_append(home: AuditHome) -> None:
    store, signer = ChainStore.open(home.chain_path, lock_wait_ms=1), Signer.open(home.key_path)
    with CausalChain(store, signer, ManualClock()) as chain:
        other = sqlite3.connect(home.chain_path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        assert failing_append(chain).hint == "another process holds it"
        other.execute("ROLLBACK")
        other.close()
        chain.append(EventType.RUN_STARTED, run_id="r")


def test_a_closed_chain_does_not_append(home: AuditHome) -> None:
    chain = open_chain(home.directory, ManualClock())
    chain.close()
    chain.close()
    failing = "was closed"
    with pytest.raises(AppendFailed, match=failing):
        chain.append(EventType.RUN_STARTED, run_id="r")


FORKED = """
import os, sys
from pathlib import Path
from cloister.audit.event import EventType
from cloister.audit.home import open_chain
from cloister.clock import SystemClock
from cloister.errors import AppendFailed
chain = open_chain(Path(sys.argv[1]), SystemClock())
child = os.fork()
if child == 0:
    try:
        chain.append(EventType.RUN_STARTED, run_id="child")
    except AppendFailed as error:
        os._exit(7 if "another process" in error.message else 8)
    os._exit(9)
_, status = os.waitpid(child, 0)
chain.append(EventType.RUN_STARTED, run_id="parent")
chain.close()
sys.exit(os.waitstatus_to_exitcode(status))
"""


def test_a_forked_child_does_not_append_through_its_parents_file(home: AuditHome) -> None:
    done = subprocess.run([sys.executable, "-c", FORKED, str(home.directory)], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (7, b"")
    assert verified(home).count == 1


def test_a_lost_key_is_not_replaced_under_an_existing_chain(home: AuditHome) -> None:
    open_chain(home.directory, ManualClock()).close()
    kept = home.key_path.read_bytes()
    home.key_path.unlink()
    with pytest.raises(KeyUnavailable, match="missing"):
        open_chain(home.directory, ManualClock())
    assert not home.key_path.exists()
    descriptor = os.open(home.key_path, os.O_WRONLY | os.O_CREAT, 0o600)
    os.write(descriptor, kept)
    os.close(descriptor)
    open_chain(home.directory, ManualClock()).close()


def test_another_key_cannot_extend_the_chain(home: AuditHome, tmp_path: Path) -> None:
    open_chain(home.directory, ManualClock()).close()
    store = ChainStore.open(home.chain_path)
    with pytest.raises(ChainBroken) as caught:
        CausalChain(store, Signer.open(tmp_path / "foreign.key"), ManualClock())
    assert caught.value.details["reason"] == "foreign key"
    CausalChain(store, Signer.open(home.key_path), ManualClock()).close()


def test_a_home_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(AuditError) as caught:
        open_chain(tmp_path / "file" / "home", ManualClock())
    assert caught.value.code == "audit.store"


def test_event_bytes_are_canonical_json_over_all_fields(home: AuditHome) -> None:
    with open_chain(home.directory, ManualClock()) as chain:
        record = chain.append(EventType.CALL_INTENT, run_id="r", capability_id="c", body={"b": 1, "a": "é"})
    assert record.event_bytes == (
        b'{"at":"2026-01-01T00:00:00.000000Z","body":{"a":"\\u00e9","b":1},"capability_id":"c",'
        b'"event_type":"call.intent","parent":null,"provenance":{},"run_id":"r","sequence":0}'
    )
    assert json.loads(record.event_bytes)["body"] == record.event.body
    assert record.event.to_bytes() == record.event_bytes


def test_only_a_head_that_is_on_the_disk_is_noted(home: AuditHome) -> None:
    """After a loss of power the chain may lack what was not; it must contain what was noted."""

    def noted_count() -> int:
        return read_checkpoint(home.anchor_path.read_bytes()).head.count

    with open_chain(home.directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
        chain.append(EventType.STEP_STARTED, run_id="r", durable=False)
    assert noted_count() == 1
    with open_chain(home.directory, ManualClock()) as first, open_chain(home.directory, ManualClock()) as second:
        first.append(EventType.STEP_ENDED, run_id="r")
        second.append(EventType.RUN_COMPLETED, run_id="r")
        second.close()
        assert noted_count() == 4
    assert noted_count() == 4, "the first closes later, but knows an older head"
    assert verified(home).count == 4
