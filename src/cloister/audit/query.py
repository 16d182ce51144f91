"""Which records are wanted.

Owns the conditions and their SQL. Values go into the statement as parameters only. The columns that are asked are
copies of signed fields: a row that answers is checked by whoever reads it, a row that was made not to answer is found
by `verify` alone.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from cloister.audit.event_type import EventType


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordQuery:
    """Conditions that all must hold; None and an empty set are no condition.

    Attributes:
        run_id: Of this run.
        plan_id: Of this plan, by its provenance.
        intent_id: Of this intent, by its provenance.
        session_id: Of this session, by its provenance.
        event_types: Of one of these types.
        capability_prefix: About a capability whose id begins so.
        parent: Belonging to this record.
        since: At this time or later: RFC 3339, UTC, as in the records.
        until: Before this time.
        from_sequence: At this position or later.
        newest_count: Only so many of the newest, at least 1.
    """

    run_id: str | None = None
    plan_id: str | None = None
    intent_id: str | None = None
    session_id: str | None = None
    event_types: frozenset[EventType] = field(default_factory=frozenset)
    capability_prefix: str | None = None
    parent: int | None = None
    since: str | None = None
    until: str | None = None
    from_sequence: int | None = None
    newest_count: int | None = None

    def conditions(self) -> tuple[str, dict[str, str | int]]:
        """Return the SQL after the table's name, made of constants, and the values of its parameters."""
        values: dict[str, str | int] = {
            name: value for name in _CONDITIONS if (value := getattr(self, name)) is not None
        }
        clauses = [_CONDITIONS[name] for name in values]
        if self.event_types:
            names = {f"type_{number}": each.value for number, each in enumerate(sorted(self.event_types))}
            clauses.append(f"event_type IN ({', '.join(':' + name for name in names)})")
            values |= names
        text = f"WHERE {' AND '.join(clauses)} " if clauses else ""
        if self.newest_count is None:
            return text + "ORDER BY sequence", values
        return text + "ORDER BY sequence DESC LIMIT :newest_count", values | {"newest_count": self.newest_count}


EVERYTHING: Final = RecordQuery()

_CONDITIONS: Final = {
    "run_id": "run_id = :run_id",
    "plan_id": "plan_id = :plan_id",
    "intent_id": "intent_id = :intent_id",
    "session_id": "session_id = :session_id",
    "capability_prefix": (
        "capability_id >= :capability_prefix AND substr(capability_id, 1, length(:capability_prefix)) = "
        ":capability_prefix"
    ),
    "parent": "parent = :parent",
    "since": "at >= :since",
    "until": "at < :until",
    "from_sequence": "sequence >= :from_sequence",
}
