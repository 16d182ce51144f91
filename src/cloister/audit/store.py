"""Where a causal chain is kept: one SQLite file in WAL mode.

Owns the schema, opening, transactions, and the translation of every SQLite error into `AuditError`. Knows nothing of
signatures: what it returns may have been written by anybody and is for `verify` or `chain` to judge. Opening compares
the whole schema with ours, so that a trigger or view planted in the file is refused.

Durability: `synchronous=FULL`, that is, every append waits until the disk says it has the record, so that after a loss
of power no effect is without the record of its intent. The drawback is one flush of the disk for each record: about a
millisecond on solid-state disks, around ten on rotating ones. `NORMAL` would be faster, survives a crash of the process
just as well, and may lose the last records with the power.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

from cloister.audit.event import EVENT_BYTES_MAX, Record, SignedHead
from cloister.errors import AuditError

APPLICATION_ID: Final = 0x436C6F69
"""`Cloi`; tells the file from other SQLite files (SQLite file format, offset 68)."""
SCHEMA_VERSION: Final = 1
LOCK_WAIT_MS: Final = 10_000

_SCHEMA: Final = {
    "records": (
        "CREATE TABLE records (sequence INTEGER PRIMARY KEY, run_id TEXT NOT NULL, event BLOB NOT NULL, "
        "previous_sha256 TEXT NOT NULL, record_sha256 TEXT NOT NULL, key_id TEXT NOT NULL, signature BLOB NOT NULL)"
    ),
    "records_by_run": "CREATE INDEX records_by_run ON records (run_id, sequence)",
    "head": (
        "CREATE TABLE head (only INTEGER PRIMARY KEY CHECK (only = 1), count INTEGER NOT NULL, "
        "record_sha256 TEXT NOT NULL, key_id TEXT NOT NULL, signature BLOB NOT NULL)"
    ),
}
# The size is limited here as well, so that a huge value that was planted is never loaded
_ROWS: Final = (
    "SELECT sequence, run_id, CASE WHEN length(event) <= :bytes_max THEN event END, previous_sha256, record_sha256, "
    "key_id, signature FROM records "
)


class StoredRow(NamedTuple):
    """A row of the table of records as it was found; any field may be of any type SQLite knows."""

    sequence: Any
    run_id: Any
    event: Any
    previous_sha256: Any
    record_sha256: Any
    key_id: Any
    signature: Any


class StoredHead(NamedTuple):
    """The row of the signed head as it was found; any field may be of any type SQLite knows."""

    count: Any
    record_sha256: Any
    key_id: Any
    signature: Any


class ChainStore:
    """An open chain file. Get one with `open` or `open_readonly`; not safe for use by two threads at once."""

    __slots__ = ("_connection", "_identity", "_process", "path")

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._process = os.getpid()
        facts = path.stat()
        self._identity = (facts.st_dev, facts.st_ino)

    def __repr__(self) -> str:
        return f"ChainStore({str(self.path)!r}, {'open' if self._connection else 'closed'})"

    @classmethod
    def open(cls, path: Path, *, lock_wait_ms: int = LOCK_WAIT_MS) -> Self:
        """Open a chain file for appending; make it, readable to its owner only, when there is none.

        Args:
            path: The file; its directory is made with mode 0700 when missing.
            lock_wait_ms: How long to wait for another process that is appending.

        Raises:
            AuditError: `audit.store` when it cannot be opened, is not a chain of this version, or is damaged.
        """
        with _errors(path, "open"):
            if not path.exists():
                _create(path)
            connection = _connect(f"{path.absolute().as_uri()}?mode=rw", lock_wait_ms)
            return cls._checked(path, connection, writing=True)

    @classmethod
    def open_readonly(cls, path: Path) -> Self:
        """Open a chain file for reading; it is not changed, and may lie on a read-only medium.

        SQLite may leave its two auxiliary files, `-wal` (empty) and `-shm`, beside a chain that was read.

        Raises:
            AuditError: As `open`, and when there is no such file.
        """
        if not path.is_file():
            raise AuditError(f"there is no chain at {path}", code="audit.store", hint="name the file chain.sqlite3")
        uri = path.absolute().as_uri()
        with _errors(path, "open"):
            try:
                return cls._checked(path, _connect(f"{uri}?mode=ro", LOCK_WAIT_MS), writing=False)
            except sqlite3.OperationalError:
                # WAL mode wants to make a shared-memory file beside the chain. Where the directory cannot be written
                # and no log of another process is waiting there, the file cannot change and is read by itself.
                if os.access(path.parent, os.W_OK) or path.with_name(path.name + "-wal").exists():
                    raise
                return cls._checked(path, _connect(f"{uri}?mode=ro&immutable=1", LOCK_WAIT_MS), writing=False)

    @classmethod
    def _checked(cls, path: Path, connection: sqlite3.Connection, *, writing: bool) -> Self:
        try:
            _check_schema(path, connection)
            if writing:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the one write lock; what was done inside is kept as a whole at the end, or not at all."""
        connection = self._live()
        self._require_in_place()
        with _errors(self.path, "append to"):
            try:
                connection.execute("BEGIN IMMEDIATE")
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                raise

    def _require_in_place(self) -> None:
        """Refuse to append to a file that was deleted or replaced since it was opened: nobody would find the record."""
        try:
            facts = self.path.stat()
        except OSError as error:
            raise AuditError(f"the chain {self.path} is gone: {error.strerror}", code="audit.store") from error
        if (facts.st_dev, facts.st_ino) != self._identity:
            raise AuditError(f"the chain {self.path} was replaced by another file", code="audit.store")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """See one unchanging state of the file inside, whatever other processes append meanwhile."""
        connection = self._live()
        with _errors(self.path, "read"):
            try:
                connection.execute("BEGIN")
                yield
            finally:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")

    def head(self) -> StoredHead | None:
        """Return the stored head, or None when there is none."""
        with _errors(self.path, "read"):
            query = "SELECT count, record_sha256, key_id, signature FROM head WHERE only = 1"
            row = self._live().execute(query).fetchone()
            return None if row is None else StoredHead(*row)

    def last(self) -> tuple[Any, Any] | None:
        """Return sequence and digest of the last record, or None when there is none."""
        with _errors(self.path, "read"):
            query = "SELECT sequence, record_sha256 FROM records ORDER BY sequence DESC LIMIT 1"
            row: tuple[Any, Any] | None = self._live().execute(query).fetchone()
            return row

    def digest_at(self, sequence: int) -> Any:
        """Return the stored digest of one record, or None when it is missing."""
        with _errors(self.path, "read"):
            query = "SELECT record_sha256 FROM records WHERE sequence = ?"
            row = self._live().execute(query, (sequence,)).fetchone()
            return None if row is None else row[0]

    def rows(self, run_id: str | None = None, *, newest_count: int | None = None) -> Iterator[StoredRow]:
        """Yield stored rows in order, one at a time.

        Args:
            run_id: Only of this run; None for all.
            newest_count: Only so many of the newest; None for all.
        """
        where = "WHERE run_id = :run_id " if run_id is not None else ""
        limit = "ORDER BY sequence DESC LIMIT :newest_count" if newest_count is not None else "ORDER BY sequence"
        query = _ROWS + where + limit
        if newest_count is not None:
            query = f"SELECT * FROM ({query}) ORDER BY sequence"  # noqa: S608 - made of constants above
        values = {"bytes_max": EVENT_BYTES_MAX, "run_id": run_id, "newest_count": newest_count}
        # The guard stands inside the generator: a damaged page shows only when the row on it is fetched
        with _errors(self.path, "read"):
            for row in self._live().execute(query, values):
                yield StoredRow(*row)

    def insert(self, record: Record) -> None:
        """Add a record; only inside `transaction`."""
        self._live().execute(
            "INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?)",
            (
                record.event.sequence,
                record.event.run_id,
                record.event_bytes,
                record.previous_sha256,
                record.record_sha256,
                record.key_id,
                record.signature,
            ),
        )

    def put_head(self, signed: SignedHead) -> None:
        """Replace the head; only inside `transaction`."""
        self._live().execute(
            "INSERT OR REPLACE INTO head VALUES (1, ?, ?, ?, ?)",
            (signed.head.count, signed.head.record_sha256, signed.key_id, signed.signature),
        )

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
        self._connection = None

    def _live(self) -> sqlite3.Connection:
        if self._connection is None:
            raise AuditError(f"the chain {self.path} was closed", code="audit.store")
        if self._process != os.getpid():
            # SQLite loses its locks in a forked child; going on would damage the file
            raise AuditError(f"the chain {self.path} was opened by another process", code="audit.store")
        return self._connection


@contextmanager
def _errors(path: Path, attempted: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.OperationalError as error:
        hint = "another process holds it" if "locked" in str(error) else "check the disk, and who may write there"
        raise AuditError(f"cannot {attempted} the chain {path}: {error}", code="audit.store", hint=hint) from error
    except sqlite3.Error as error:
        raise AuditError(
            f"cannot {attempted} the chain {path}: {error}",
            code="audit.store",
            hint="the file is damaged or not a chain; restore it from a copy",
        ) from error
    except OSError as error:
        raise AuditError(
            f"cannot {attempted} the chain {path}: {error.strerror}",
            code="audit.store",
            hint="check the directory, and who may write there",
        ) from error


def _connect(uri: str, lock_wait_ms: int) -> sqlite3.Connection:
    connection = sqlite3.connect(
        uri, uri=True, isolation_level=None, timeout=lock_wait_ms / 1000, check_same_thread=False
    )
    connection.execute("PRAGMA trusted_schema = OFF")
    return connection


def _create(path: Path) -> None:
    """Make a complete empty chain beside the place and link it there, so that nobody ever sees half of one."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            for statement in _SCHEMA.values():
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        try:
            os.link(temporary, path)
        except FileExistsError:
            return  # another process was first
    finally:
        os.unlink(temporary)  # noqa: PTH108 - a text path


def _check_schema(path: Path, connection: sqlite3.Connection) -> None:
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        raise AuditError(
            f"{path} is not a chain but some other database", code="audit.store", hint="name the file chain.sqlite3"
        )
    if version != SCHEMA_VERSION:
        raise AuditError(
            f"the chain {path} has format {version}; this version of Cloister reads format {SCHEMA_VERSION}",
            code="audit.store",
            hint="use the version of Cloister that wrote it",
        )
    if dict(connection.execute("SELECT name, sql FROM sqlite_master")) != _SCHEMA:
        raise AuditError(
            f"the tables of the chain {path} are not the ones Cloister makes",
            code="audit.store",
            hint="something was added to or taken from the file; restore it from a copy",
        )
