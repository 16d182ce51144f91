"""Where a causal chain is kept: one SQLite file in WAL mode.

Owns the schema, opening, transactions, and the translation of every SQLite error into `AuditError`. Knows nothing of
signatures: what it returns may have been written by anybody and is for `verify`, `tree` or `chain` to judge. Opening
compares the whole schema with ours, so that a trigger or view planted in the file is refused.

Durability is chosen for each transaction. A durable one (`synchronous=FULL`) waits until the disk says it has it, so
that after a loss of power no effect is without the record of its intent. The other (`NORMAL`) survives a crash of the
process just as well, but may be lost with the power; it is on the disk as soon as the next durable one is, because both
are in one log.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

from cloister.audit.event import EVENT_BYTES_MAX
from cloister.audit.query import EVERYTHING, RecordQuery
from cloister.audit.regular_file import require_regular
from cloister.audit.row import StoredRow
from cloister.audit.schema import check_schema, create
from cloister.errors import AuditError

LOCK_WAIT_MS: Final = 10_000
VALUE_BYTES_MAX: Final = 4 * EVENT_BYTES_MAX
"""Largest value or row that SQLite gives out."""
_COLUMNS: Final = "sequence, run_id, event_type, at, capability_id, parent, plan_id, intent_id, session_id, leaf"
# The size is limited here as well, so that a huge value that was planted is never loaded
_ROWS: Final = f"SELECT {_COLUMNS}, CASE WHEN length(event) <= :bytes_max THEN event END FROM records "  # noqa: S608


class ChainStore:
    """An open chain file. Get one with `open` or `open_readonly`; not safe for use by two threads at once."""

    __slots__ = ("_connection", "_identity", "_is_durable", "_process", "path")

    def __init__(self, path: Path, connection: sqlite3.Connection) -> None:
        self.path = path
        self._connection: sqlite3.Connection | None = connection
        self._process = os.getpid()
        self._is_durable = True
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
                create(path)
            require_regular(path)
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
            check_schema(path, connection)
            if writing:
                connection.execute("PRAGMA journal_mode = WAL")
                connection.execute("PRAGMA synchronous = FULL")
        except BaseException:
            connection.close()
            raise
        return cls(path, connection)

    @contextmanager
    def transaction(self, *, durable: bool = True) -> Iterator[None]:
        """Hold the one write lock; what was done inside is kept as a whole at the end, or not at all.

        Args:
            durable: Whether the end waits for the disk.
        """
        connection = self._live()
        self._require_in_place()
        with _errors(self.path, "append to"):
            try:
                if durable is not self._is_durable:
                    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                    self._is_durable = durable
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

    def begin_snapshot(self) -> None:
        """See one unchanging state of the file from now until it is closed."""
        with _errors(self.path, "read"):
            self._live().execute("BEGIN")

    def head(self) -> Any:
        """Return the stored note of the head, or None when there is none."""
        return self._value("SELECT note FROM head WHERE only = 1")

    def last(self) -> tuple[Any, Any] | None:
        """Return sequence and leaf of the last record, or None when there is none."""
        with _errors(self.path, "read"):
            query = "SELECT sequence, leaf FROM records ORDER BY sequence DESC LIMIT 1"
            row: tuple[Any, Any] | None = self._live().execute(query).fetchone()
            return row

    def checkpoint(self, size: int) -> Any:
        """Return the stored note of one interior checkpoint, or None when there is none."""
        return self._value("SELECT note FROM checkpoints WHERE size = ?", size)

    def hashes(self, level: int, start: int, end: int) -> list[Any]:
        """Return the stored hashes of a level from one position to another, as many as there are.

        Args:
            level: 0 for leaves, or another level that is stored.
            start: The first.
            end: The one after the last.
        """
        with _errors(self.path, "read"):
            if level == 0:
                query = "SELECT leaf FROM records WHERE sequence >= ? AND sequence < ? ORDER BY sequence"
                found = self._live().execute(query, (start, end))
            else:
                query = "SELECT hash FROM nodes WHERE level = ? AND position >= ? AND position < ? ORDER BY position"
                found = self._live().execute(query, (level, start, end))
            return [value for (value,) in found]

    def check_indexes(self) -> None:
        """Compare the indexes, by which queries find records, with the records, and the pages of the file.

        Raises:
            AuditError: `audit.store` when a query could miss a record, or a page is damaged.

        Cost: linear in the records.
        """
        found = self._value("PRAGMA integrity_check(1)")
        if found != "ok":
            raise AuditError(
                f"the indexes of the chain {self.path} are not those of its records: {found}",
                code="audit.store",
                hint="queries may miss records; restore the file from a copy",
            )

    def checkpoints_count(self) -> int:
        """Return how many interior checkpoints are stored."""
        return int(self._value("SELECT count(*) FROM checkpoints"))

    def nodes_count(self) -> int:
        """Return how many nodes are stored."""
        return int(self._value("SELECT count(*) FROM nodes"))

    def rows(self, query: RecordQuery = EVERYTHING) -> Iterator[StoredRow]:
        """Yield stored rows in order, one at a time."""
        conditions, values = query.conditions()
        text = _ROWS + conditions
        if query.newest_count is not None:
            text = f"SELECT * FROM ({text}) ORDER BY sequence"  # noqa: S608 - made of constants
        # The guard stands inside the generator: a damaged page shows only when the row on it is fetched
        with _errors(self.path, "read"):
            yield from map(StoredRow._make, self._live().execute(text, values | {"bytes_max": EVENT_BYTES_MAX}))

    def row(self, sequence: int) -> StoredRow | None:
        """Return one stored row, or None when there is none."""
        with _errors(self.path, "read"):
            values = {"bytes_max": EVENT_BYTES_MAX, "sequence": sequence}
            row = self._live().execute(_ROWS + "WHERE sequence = :sequence", values).fetchone()
            return None if row is None else StoredRow(*row)

    def insert(self, rows: Iterable[tuple[Any, ...]]) -> None:
        """Add records, each with the values of `columns_of`, its leaf and its bytes; only inside `transaction`."""
        self._live().executemany("INSERT INTO records VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def insert_nodes(self, nodes: Iterable[tuple[int, int, bytes]]) -> None:
        """Add nodes of the tree: level, position, hash; only inside `transaction`."""
        self._live().executemany("INSERT INTO nodes VALUES (?, ?, ?)", nodes)

    def insert_checkpoint(self, size: int, note: bytes) -> None:
        """Add an interior checkpoint, unless there is one of this size; only inside `transaction`."""
        self._live().execute("INSERT OR IGNORE INTO checkpoints VALUES (?, ?)", (size, note))

    def put_head(self, note: bytes) -> None:
        """Replace the head; only inside `transaction`."""
        self._live().execute("INSERT OR REPLACE INTO head VALUES (1, ?)", (note,))

    def close(self) -> None:
        """Close the file. Idempotent."""
        if self._connection is not None and self._process == os.getpid():
            self._connection.close()
        self._connection = None

    @property
    def is_closed(self) -> bool:
        """Whether `close` was called."""
        return self._connection is None

    def _value(self, query: str, *values: int) -> Any:
        with _errors(self.path, "read"):
            row = self._live().execute(query, values).fetchone()
            return None if row is None else row[0]

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
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter for names in the schema
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
    # No value of ours is larger than an event; a larger one that was planted is an error, not memory
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, VALUE_BYTES_MAX)
    return connection
