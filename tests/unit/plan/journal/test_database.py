"""The file of the journal: how it is made and opened, and what is refused."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import pytest
from tests.unit.plan.journal.journals import RUN, opened, tamper

from cloister.errors import JournalError
from cloister.plan.journal.database import JournalFile
from cloister.plan.journal.store import RunStore

INSERT = "INSERT INTO approvals (approval_id, run_id, number, state, requested) VALUES (?, 'r', 0, 'pending', 1)"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "home" / "runs.sqlite3"


def refused(path: Path) -> JournalError:
    """Return what opening a file is refused with."""
    with pytest.raises(JournalError) as caught:
        JournalFile.open(path)
    assert caught.value.code == "journal.store"
    return caught.value


def test_a_new_one_is_its_owners_alone(path: Path) -> None:
    JournalFile.open(path).close()
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]


def test_what_was_written_is_there_after_reopening(path: Path) -> None:
    with closing(JournalFile.open(path)) as file:
        assert file.write(INSERT, ("a",), durable=True) == 1
    with closing(JournalFile.open(path)) as file:
        assert file.read("SELECT approval_id FROM approvals") == [("a",)]
        assert list(file.rows("SELECT approval_id FROM approvals")) == [("a",)]


def test_several_that_make_it_at_once_get_the_same(path: Path) -> None:
    failures: list[Exception] = []

    def write(name: str) -> None:
        try:
            with closing(JournalFile.open(path)) as file:
                file.write(INSERT, (name,), durable=False)
        except Exception as error:  # noqa: BLE001 - told by the assertion below
            failures.append(error)

    threads = [threading.Thread(target=write, args=(str(number),)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    with closing(JournalFile.open(path)) as file:
        assert len(file.read("SELECT approval_id FROM approvals")) == 8


def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"these are no pages of a database, " * 200)
    assert "no journal" in str(refused(path).hint)


def test_a_corrupt_page_is_an_error_of_the_journal(path: Path) -> None:
    with opened(path) as store:
        store.begin_run(RUN)
    size = path.stat().st_size
    with path.open("r+b") as raw:
        raw.seek(4096)  # the schema stays, the pages of the tables go
        raw.write(b"\xff" * (size - 4096))
    with opened(path) as store, pytest.raises(JournalError) as caught:
        store.runs()
    assert caught.value.code == "journal.store"
    assert "restore it from a copy" in str(caught.value.hint)


def test_a_name_that_is_no_text_is_an_error_of_the_journal(path: Path) -> None:
    JournalFile.open(path).close()
    path.write_bytes(path.read_bytes().replace(b"indexapprovals_by_run", b"indexapprovals_by_\xf4un"))
    assert refused(path).code == "journal.store"


def test_another_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    tamper(path, "CREATE TABLE runs (run_id TEXT)")
    assert "some other database" in refused(path).message


def test_another_version_is_refused(path: Path) -> None:
    JournalFile.open(path).close()
    tamper(path, "PRAGMA user_version = 2")
    assert "format 2" in refused(path).message
    tamper(path, "PRAGMA user_version = 1")
    JournalFile.open(path).close()


@pytest.mark.parametrize(
    ("planted", "removed"),
    [
        (
            "CREATE TRIGGER grants AFTER INSERT ON approvals BEGIN UPDATE approvals SET state = 'granted'; END",
            "DROP TRIGGER grants",
        ),
        ("CREATE VIEW other AS SELECT * FROM runs", "DROP VIEW other"),
        ("CREATE TABLE other (a)", "DROP TABLE other"),
        ("ALTER TABLE calls ADD COLUMN other", "ALTER TABLE calls DROP COLUMN other"),
    ],
    ids=["trigger", "view", "table", "column"],
)
def test_what_was_planted_in_the_schema_is_refused(path: Path, planted: str, removed: str) -> None:
    JournalFile.open(path).close()
    tamper(path, planted)
    assert "not the ones Cloister makes" in refused(path).message
    tamper(path, removed)
    JournalFile.open(path).close()


def test_one_that_another_process_holds_is_an_error_and_loses_nothing(path: Path) -> None:
    with closing(JournalFile.open(path, lock_wait_ms=0)) as file:
        with closing(sqlite3.connect(path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(JournalError) as caught:
                file.write(INSERT, ("a",), durable=True)
            assert (caught.value.code, caught.value.hint) == ("journal.store", "another process holds it")
            other.execute("ROLLBACK")
        file.write(INSERT, ("a",), durable=True)
        assert file.read("SELECT approval_id FROM approvals") == [("a",)]


def test_a_full_disk_is_an_error_and_loses_nothing(path: Path) -> None:
    with closing(JournalFile.open(path)) as file:
        file.write(INSERT, ("a",), durable=True)
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    (pages_count,) = connection.execute("PRAGMA page_count").fetchone()
    connection.execute(f"PRAGMA max_page_count = {pages_count}")
    with closing(JournalFile(path, connection)) as file:
        with pytest.raises(JournalError) as caught:
            file.write(INSERT, ("b" * 100_000,), durable=True)
        assert (caught.value.code, "full" in caught.value.message) == ("journal.store", True)
        file.write(INSERT, ("c",), durable=True)
        assert file.read("SELECT approval_id FROM approvals ORDER BY 1") == [("a",), ("c",)]


def test_one_that_was_deleted_is_not_written_to(path: Path) -> None:
    with closing(JournalFile.open(path)) as file:
        file.write(INSERT, ("a",), durable=False)
        path.rename(path.with_suffix(".away"))
        with pytest.raises(JournalError) as caught:
            file.write(INSERT, ("b",), durable=False)
        assert (caught.value.code, "is gone" in caught.value.message) == ("journal.store", True)


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert "cannot open" in refused(tmp_path / "file" / "runs.sqlite3").message


def test_a_closed_one_is_not_used(path: Path) -> None:
    file = JournalFile.open(path)
    assert "open" in repr(file)
    file.close()
    file.close()
    assert "closed" in repr(file)
    with pytest.raises(JournalError) as caught:
        file.read("SELECT 1")
    assert caught.value.code == "journal.store"


def test_a_forked_process_does_not_use_it(path: Path) -> None:
    with closing(JournalFile.open(path)) as file:
        child = os.fork()
        if child == 0:
            try:
                file.read("SELECT 1")
            except JournalError as error:
                os._exit(0 if error.code == "journal.store" else 2)
            os._exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
        assert file.read("SELECT 1") == [(1,)]


def test_a_store_names_its_file(path: Path) -> None:
    with opened(path) as store:
        assert isinstance(store, RunStore)
        assert (store.path, str(path) in repr(store)) == (path, True)
