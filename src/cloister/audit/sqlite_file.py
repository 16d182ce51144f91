"""Making a file of SQLite whole, or not at all.

Owns that one act, which the chain and the journal share. What the tables are is theirs.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Iterable
from pathlib import Path


def create_database(path: Path, statements: Iterable[str], *, application_id: int, version: int) -> None:
    """Make a complete empty database beside the place and link it there, so that nobody ever sees half of one.

    Args:
        path: Where; its directory is made with mode 0700 when missing. When a file is there already, it stays.
        statements: What makes the tables.
        application_id: Tells the file from other SQLite files (SQLite file format, offset 68).
        version: Of the tables.

    Raises:
        OSError: When the file cannot be made.
        sqlite3.Error: When the database cannot be made in it.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    os.close(descriptor)
    try:
        connection = sqlite3.connect(temporary, isolation_level=None)
        try:
            for statement in statements:
                connection.execute(statement)
            connection.execute(f"PRAGMA application_id = {application_id}")
            connection.execute(f"PRAGMA user_version = {version}")
            connection.execute("PRAGMA journal_mode = WAL")
        finally:
            connection.close()
        try:
            os.link(temporary, path)
        except FileExistsError:
            return  # another process was first
    finally:
        os.unlink(temporary)  # noqa: PTH108 - a text path
