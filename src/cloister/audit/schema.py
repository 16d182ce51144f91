"""The tables of a chain file: what they are, making an empty file, and refusing any other.

Owns the schema as it is written into the file, which is compared as a whole: a trigger or view that somebody planted is
refused before anything is read.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from cloister.audit.sqlite_file import create_database
from cloister.errors import AuditError

APPLICATION_ID: Final = 0x436C6F69
"""`Cloi`; tells the file from other SQLite files (SQLite file format, offset 68)."""
SCHEMA_VERSION: Final = 2

SCHEMA: Final = {
    "records": (
        "CREATE TABLE records (sequence INTEGER PRIMARY KEY, run_id TEXT NOT NULL, event_type TEXT NOT NULL, "
        "at TEXT NOT NULL, capability_id TEXT, parent INTEGER, plan_id TEXT, intent_id TEXT, session_id TEXT, "
        "leaf BLOB NOT NULL, event BLOB NOT NULL)"
    ),
    "records_by_run": "CREATE INDEX records_by_run ON records (run_id)",
    "records_by_type": "CREATE INDEX records_by_type ON records (event_type)",
    "records_by_capability": (
        "CREATE INDEX records_by_capability ON records (capability_id) WHERE capability_id IS NOT NULL"
    ),
    "records_by_parent": "CREATE INDEX records_by_parent ON records (parent) WHERE parent IS NOT NULL",
    "records_by_plan": "CREATE INDEX records_by_plan ON records (plan_id) WHERE plan_id IS NOT NULL",
    "records_by_intent": "CREATE INDEX records_by_intent ON records (intent_id) WHERE intent_id IS NOT NULL",
    "records_by_session": "CREATE INDEX records_by_session ON records (session_id) WHERE session_id IS NOT NULL",
    "nodes": (
        "CREATE TABLE nodes (level INTEGER NOT NULL, position INTEGER NOT NULL, hash BLOB NOT NULL, "
        "PRIMARY KEY (level, position)) WITHOUT ROWID"
    ),
    "checkpoints": "CREATE TABLE checkpoints (size INTEGER PRIMARY KEY, note BLOB NOT NULL)",
    "head": "CREATE TABLE head (only INTEGER PRIMARY KEY CHECK (only = 1), note BLOB NOT NULL)",
}


def create(path: Path) -> None:
    """Make a complete empty chain. See `create_database`."""
    create_database(path, SCHEMA.values(), application_id=APPLICATION_ID, version=SCHEMA_VERSION)


_OTHER_FORMAT: Final = {
    1: "keep it and verify it with the version of Cloister that wrote it; to go on, choose another home with --home"
}


def check_schema(path: Path, connection: sqlite3.Connection) -> None:
    """Accept a file that has exactly our tables.

    Raises:
        AuditError: `audit.format` when it is a chain of another format; `audit.store` when it is something else.
    """
    application_id = connection.execute("PRAGMA application_id").fetchone()[0]
    version = connection.execute("PRAGMA user_version").fetchone()[0]
    if application_id != APPLICATION_ID:
        raise AuditError(
            f"{path} is not a chain but some other database", code="audit.store", hint="name the file chain.sqlite3"
        )
    if version != SCHEMA_VERSION:
        raise AuditError(
            f"the chain {path} has format {version}; this version of Cloister reads format {SCHEMA_VERSION}",
            code="audit.format",
            hint=_OTHER_FORMAT.get(version, "use the version of Cloister that wrote it"),
        )
    if dict(connection.execute("SELECT name, sql FROM sqlite_master")) != SCHEMA:
        raise AuditError(
            f"the tables of the chain {path} are not the ones Cloister makes",
            code="audit.store",
            hint="something was added to or taken from the file; restore it from a copy",
        )
