from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest

from cloister.audit.event import EventType
from cloister.audit.home import AuditHome, open_chain
from cloister.audit.signer import PublicKey
from cloister.audit.store import ChainStore
from cloister.audit.verify import verify_chain
from cloister.clock import ManualClock
from cloister.errors import AuditError


@pytest.fixture
def home(tmp_path: Path) -> AuditHome:
    home = AuditHome(tmp_path / "home")
    with open_chain(home.directory, ManualClock()) as chain:
        for _ in range(200):
            chain.append(EventType.RUN_STARTED, run_id="r", durable=False)
    return home


def assert_refused(path: Path, code: str = "audit.store") -> str:
    messages = []
    for opening in (ChainStore.open, ChainStore.open_readonly):
        with pytest.raises(AuditError) as caught:
            opening(path)
        assert caught.value.code == code
        assert caught.value.hint
        messages.append(caught.value.message)
    return messages[-1]


def test_ours_opens(home: AuditHome) -> None:
    ChainStore.open(home.chain_path).close()
    ChainStore.open_readonly(home.chain_path).close()


def test_a_file_that_is_no_database(tmp_path: Path) -> None:
    (tmp_path / "chain.sqlite3").write_bytes(b"not a database, but long enough to look like one" * 100)
    assert_refused(tmp_path / "chain.sqlite3")


def test_an_empty_file(tmp_path: Path) -> None:
    (tmp_path / "chain.sqlite3").touch()
    assert "some other database" in assert_refused(tmp_path / "chain.sqlite3")


def test_a_directory(tmp_path: Path) -> None:
    assert_refused(tmp_path)


def test_another_programs_database(tmp_path: Path) -> None:
    other = sqlite3.connect(tmp_path / "other.sqlite3")
    other.execute("CREATE TABLE records (sequence INTEGER PRIMARY KEY)")
    other.close()
    assert "some other database" in assert_refused(tmp_path / "other.sqlite3")


def test_a_later_format(home: AuditHome) -> None:
    tamper(home.chain_path, "PRAGMA user_version = 3")
    assert "format 3" in assert_refused(home.chain_path, code="audit.format")


def test_the_first_format_says_what_to_do_with_it(home: AuditHome) -> None:
    tamper(home.chain_path, "PRAGMA user_version = 1")
    assert "format 1" in assert_refused(home.chain_path, code="audit.format")
    with pytest.raises(AuditError) as caught:
        open_chain(home.directory, ManualClock())
    assert "verify it with the version of Cloister that wrote it" in str(caught.value.hint)
    tamper(home.chain_path, "PRAGMA user_version = 2")
    open_chain(home.directory, ManualClock()).close()


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER quiet AFTER INSERT ON records BEGIN DELETE FROM records WHERE sequence = new.sequence; END",
        "CREATE VIEW extra AS SELECT 1",
        "CREATE TABLE extra (x)",
        "DROP INDEX records_by_run",
        "ALTER TABLE records ADD COLUMN note TEXT",
        "DROP TABLE head",
        "DROP TABLE nodes",
        "DROP TABLE checkpoints",
    ],
)
def test_planted_or_missing_parts_of_the_schema(home: AuditHome, statement: str) -> None:
    tamper(home.chain_path, statement)
    assert_refused(home.chain_path)


def test_no_file_is_made_by_reading(tmp_path: Path) -> None:
    with pytest.raises(AuditError) as caught:
        ChainStore.open_readonly(tmp_path / "none.sqlite3")
    assert caught.value.code == "audit.store"
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_no_text_is_an_audit_error(home: AuditHome) -> None:
    data = home.chain_path.read_bytes()
    assert b"tableheadhead" in data
    home.chain_path.write_bytes(data.replace(b"tableheadhead", b"tablehe\xf4dhead"))
    assert_refused(home.chain_path)


def test_damaged_pages_are_an_audit_error_wherever_they_show(home: AuditHome) -> None:
    key = PublicKey.load(home.public_key_path)
    assert verify_chain(home.chain_path, key).count == 200
    size = home.chain_path.stat().st_size
    with home.chain_path.open("r+b") as file:
        file.seek(4096 * 4)
        file.write(b"\xff" * (size - 4096 * 5))
    with pytest.raises(AuditError) as caught:
        verify_chain(home.chain_path, key)
    assert caught.value.code in {"audit.store", "audit.broken"}


def test_a_file_cut_off_in_the_middle(home: AuditHome) -> None:
    os.truncate(home.chain_path, home.chain_path.stat().st_size // 2)
    with pytest.raises(AuditError) as caught:
        verify_chain(home.chain_path, PublicKey.load(home.public_key_path))
    assert caught.value.code in {"audit.store", "audit.broken"}


def test_a_copy_in_a_directory_that_cannot_be_written(home: AuditHome) -> None:
    key = PublicKey.load(home.public_key_path)
    home.directory.chmod(0o500)
    try:
        assert verify_chain(home.chain_path, key).count == 200
    finally:
        home.directory.chmod(0o700)


def test_reading_changes_nothing_in_the_file(home: AuditHome) -> None:
    before = home.chain_path.read_bytes()
    verify_chain(home.chain_path, PublicKey.load(home.public_key_path))
    assert home.chain_path.read_bytes() == before


def test_verifying_while_another_process_appends_sees_one_state(home: AuditHome) -> None:
    key = PublicKey.load(home.public_key_path)
    reader = ChainStore.open_readonly(home.chain_path)
    with open_chain(home.directory, ManualClock()) as chain, reader.snapshot():
        before = reader.head()
        chain.append(EventType.RUN_STARTED, run_id="r")
        assert reader.head() == before
        assert verify_chain(home.chain_path, key).count == 201
    reader.close()


def test_a_path_with_odd_characters(tmp_path: Path) -> None:
    directory = tmp_path / "a?b#c %20é"
    with open_chain(directory, ManualClock()) as chain:
        chain.append(EventType.RUN_STARTED, run_id="r")
    home = AuditHome(directory)
    assert verify_chain(home.chain_path, PublicKey.load(home.public_key_path)).count == 1


def tamper(path: Path, statement: str) -> None:
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute(statement)
    connection.close()
