"""The file of the journal: one SQLite database in WAL mode.

Owns the schema, making and opening the file, transactions, and the translation of every SQLite error into
`JournalError`. Opening compares the whole schema with ours, so that a trigger or view planted in the file is refused.
What a row says may still have been written by anybody who can write the file; whoever reads it compares it with the
signed chain.

Durability: a transaction that asks for it waits until the disk says it has it, and everything before it. The others
survive the end of the process, and may be lost with the power.
"""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from cloister.audit.regular_file import require_regular
from cloister.audit.sqlite_file import create_database
from cloister.errors import JournalError

APPLICATION_ID: Final = 0x436C6F4A
"""`CloJ`; tells the file from other SQLite files (SQLite file format, offset 68)."""
SCHEMA_VERSION: Final = 1
LOCK_WAIT_MS: Final = 10_000

_SCHEMA: Final = {
    "runs": (
        "CREATE TABLE runs (run_id TEXT PRIMARY KEY, state TEXT NOT NULL, plan TEXT NOT NULL, provider TEXT NOT NULL, "
        "created_at TEXT NOT NULL, updated_at TEXT NOT NULL, started INTEGER NOT NULL, order_json BLOB NOT NULL, "
        "result_json BLOB, error_json BLOB, waits_for TEXT, aborts_at INTEGER, undoes_from INTEGER) WITHOUT ROWID"
    ),
    "calls": (
        "CREATE TABLE calls (run_id TEXT NOT NULL, number INTEGER NOT NULL, capability_id TEXT NOT NULL, "
        "arguments_sha256 TEXT NOT NULL, intent INTEGER NOT NULL, state TEXT NOT NULL, outcome INTEGER, "
        "answer_json BLOB, memo_json BLOB, within INTEGER, PRIMARY KEY (run_id, number)) WITHOUT ROWID"
    ),
    "approvals": (
        "CREATE TABLE approvals (approval_id TEXT PRIMARY KEY, run_id TEXT NOT NULL, number INTEGER NOT NULL, "
        "state TEXT NOT NULL, requested INTEGER NOT NULL, decided INTEGER) WITHOUT ROWID"
    ),
    "approvals_by_run": "CREATE INDEX approvals_by_run ON approvals (run_id, number)",
}


class JournalFile:
    """An open journal file, safe for several threads. Get one with `open`.

    Args:
        path: Where it is.
        connection: Open, with its schema checked.
    """

    __slots__ = ("_connection", "_is_flushing", "_lock", "_process", "path")

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._is_flushing: bool | None = None
        self._process = os.getpid()
        self._lock = threading.RLock()

    def __repr__(self) -> str:
        return f"JournalFile({str(self.path)!r}, {'open' if self._connection else 'closed'})"

    @classmethod
    def open(cls, path: Path, *, lock_wait_ms: int = LOCK_WAIT_MS) -> Self:
        """Open a journal; make it, readable to its owner only, when there is none.

        Args:
            path: The file; its directory is made with mode 0700 when missing.
            lock_wait_ms: How long to wait for another process that is writing.

        Raises:
            JournalError: `journal.store`: it cannot be opened, is no journal of this version, or is damaged.
        """
        with _errors(path, "open"):
            if not path.exists():
                create_database(path, _SCHEMA.values(), application_id=APPLICATION_ID, version=SCHEMA_VERSION)
            require_regular(path)
            uri = f"{path.absolute().as_uri()}?mode=rw"
            connection = sqlite3.connect(
                uri, uri=True, isolation_level=None, timeout=lock_wait_ms / 1000, check_same_thread=False
            )
            try:
                connection.execute("PRAGMA trusted_schema = OFF")
                _check_schema(path, connection)
                connection.execute("PRAGMA journal_mode = WAL")
            except BaseException:
                connection.close()
                raise
        return cls(path, connection)

    def write(self, statement: str, values: tuple[Any, ...], *, durable: bool) -> int:
        """Execute one statement as a transaction of its own.

        Args:
            statement: SQL with `?` in the place of values.
            values: These.
            durable: Whether to wait for the disk.

        Returns:
            How many rows it changed.

        Raises:
            JournalError: `journal.store`: nothing was changed.
        """
        with self._lock, _errors(self.path, "write to"):
            connection = self._live()
            self._require_in_place()
            if self._is_flushing is not durable:
                connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._is_flushing = durable
            return connection.execute(statement, values).rowcount

    def read(self, query: str, values: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        """Return all rows of a query.

        Raises:
            JournalError: `journal.store`.
        """
        with self._lock, _errors(self.path, "read"):
            return self._live().execute(query, values).fetchall()

    def rows(self, query: str, values: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of a query one at a time; other threads wait until the last one."""
        with self._lock, _errors(self.path, "read"):
            yield from self._live().execute(query, values)

    def close(self) -> None:
        """Close the file. Idempotent."""
        with self._lock:
            if self._connection is not None and self._process == os.getpid():
                self._connection.close()
            self._connection = None

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise JournalError(f"the journal {self.path} was closed")
        if self._process != os.getpid():
            # SQLite loses its locks in a forked child; going on would damage the file
            raise JournalError(f"the journal {self.path} was opened by another process")
        return self._connection

    def _require_in_place(self) -> None:
        """Refuse to write to a file that was deleted since it was opened: no other process would find it."""
        if not os.path.exists(self.path):  # noqa: PTH110 - at every note, and pathlib takes longer than the look
            raise JournalError(f"the journal {self.path} is gone", hint="find out who removed it; restore it")


@contextmanager
def _errors(path: Path, attempted: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        hint = "another process holds it" if "locked" in str(error) else "check the disk, and who may write there"
        raise JournalError(f"cannot {attempted} the journal {path}: {error}", hint=hint) from error
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for names in the schema
        raise JournalError(
            f"cannot {attempted} the journal {path}: {error}",
            hint="the file is damaged or no journal; restore it from a copy, or move it away to begin a new one",
        ) from error
    except OSError as error:
        raise JournalError(
            f"cannot {attempted} the journal {path}: {error.strerror}",
            hint="check the directory, and who may write there",
        ) from error


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        raise JournalError(f"{path} is no journal but some other database", hint="move it away")
    if version != SCHEMA_VERSION:
        raise JournalError(
            f"the journal {path} has format {version}; this version of Cloister reads format {SCHEMA_VERSION}",
            hint="use the version of Cloister that wrote it, or move it away to begin a new one",
        )
    found = dict(connection.execute("SELECT name, sql FROM sqlite_master WHERE sql IS NOT NULL"))
    if found != _SCHEMA:
        raise JournalError(
            f"the tables of the journal {path} are not the ones Cloister makes",
            hint="something was added to or taken from the file; restore it from a copy",
        )
