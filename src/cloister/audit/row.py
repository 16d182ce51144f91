"""A row of the table of records, and which fields of an event are copied into it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from cloister.audit.event import Event


class StoredRow(NamedTuple):
    """A row of the table of records as it was found; any field may be of any type SQLite knows."""

    sequence: Any
    run_id: Any
    event_type: Any
    at: Any
    capability_id: Any
    parent: Any
    plan_id: Any
    intent_id: Any
    session_id: Any
    leaf: Any
    event: Any


COLUMNS_COUNT: Final = 9
"""How many columns are copies of fields of the event."""


def columns_in(fields: Mapping[str, Any]) -> tuple[Any, ...]:
    """Return the same as `columns_of` from the plain fields of an event."""
    of = fields["provenance"].get
    return (
        fields["sequence"],
        fields["run_id"],
        fields["event_type"],
        fields["at"],
        fields["capability_id"],
        fields["parent"],
        of("plan_id"),
        of("intent_id"),
        of("session_id"),
    )


def columns_of(event: Event) -> tuple[int, str, str, str, str | None, int | None, str | None, str | None, str | None]:
    """Return the fields of an event that are copied into columns, in their order."""
    of = event.provenance
    return (
        event.sequence,
        event.run_id,
        event.event_type.value,
        event.at,
        event.capability_id,
        event.parent,
        of.plan_id,
        of.intent_id,
        of.session_id,
    )
