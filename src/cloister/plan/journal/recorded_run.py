"""What the chain says of a run that is to go on, read once.

Owns the one pass over its records. Each was proven when it is read; none is kept longer than it is looked at, except
what the others made of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from cloister.audit.event import EventType, Record
from cloister.plan.approvals.run_approvals import RecordedApprovals
from cloister.plan.journal.reconciling import RecordedCalls


@dataclass(slots=True)
class RecordedRun:
    """What the chain says of a run.

    Attributes:
        calls: What it did.
        approvals: What was asked and decided.
        completed: The record of its end, when it returned a value.
    """

    calls: RecordedCalls = field(default_factory=RecordedCalls)
    approvals: RecordedApprovals = field(default_factory=RecordedApprovals)
    completed: Record | None = None

    @classmethod
    def read(cls, records: Iterable[Record], began: Callable[[RecordedCalls], None]) -> RecordedRun:
        """Collect it.

        Args:
            records: Those of the run, each of which was checked.
            began: Told as soon as it is known with which order the run began.
        """
        found = cls()
        for record in records:
            found.calls.note(record)
            found.approvals.note(record)
            if record.event.event_type is EventType.RUN_STARTED:
                began(found.calls)
            elif record.event.event_type is EventType.RUN_COMPLETED and found.completed is None:
                found.completed = record
        return found
