"""What a budget writes into the causal chain.

Owns the bodies of the records `budget.allocated`, `budget.consumed`, `budget.warned`, `budget.exhausted` and
`budget.extended`, made of what the meter returned. Amounts are in the counted unit of their dimension, which is named
beside them. Must not append: whoever calls knows the run, and what the record belongs to.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, assert_never

from cloister.authority.budget import (
    BudgetAllocated,
    BudgetConsumed,
    BudgetEvent,
    BudgetExtended,
    BudgetSpent,
    BudgetWarned,
    Dimension,
)
from cloister.canonical import Plain
from cloister.errors import quoted

FAMILY: Final = "budget"
ID_CHARS_MAX: Final = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class BudgetRecord:
    """One record to append.

    Attributes:
        event_type: The name of the event, `budget.` and a word.
        body: Its facts.
    """

    event_type: str
    body: Mapping[str, Plain]


class BudgetRecords:
    """Turns what a meter returned into records, each kind by a method of its own."""

    def of(self, events: Iterable[BudgetEvent]) -> tuple[BudgetRecord, ...]:
        """Return the records of some events, in their order."""
        return tuple(
            BudgetRecord(
                event_type=f"{FAMILY}.{event.word}",
                body={"budget_id": quoted(event.budget_id, ID_CHARS_MAX), **self._facts(event)},
            )
            for event in events
        )

    def _facts(self, event: BudgetEvent) -> dict[str, Plain]:
        match event:
            case BudgetAllocated():
                return self.allocated(event)
            case BudgetConsumed():
                return self.consumed(event)
            case BudgetWarned():
                return self.warned(event)
            case BudgetSpent():
                return self.exhausted(event)
            case BudgetExtended():
                return self.extended(event)
        assert_never(event)

    def allocated(self, event: BudgetAllocated) -> dict[str, Plain]:
        """Return what a budget began with: bounds as they were written, and rules."""
        parent_id = None if event.parent_id is None else quoted(event.parent_id, ID_CHARS_MAX)
        return {"parent_id": parent_id, "limits": event.limits.to_dict(), "rules": event.rules.to_dict()}

    def consumed(self, event: BudgetConsumed) -> dict[str, Plain]:
        """Return what was charged, and which of it was not measured."""
        return {
            "amounts": _amounts(event.amounts),
            "totals": _amounts(event.totals),
            "estimated": [each.used_field for each in event.estimated],
            "unmeasured": [each.used_field for each in event.unmeasured],
        }

    def warned(self, event: BudgetWarned) -> dict[str, Plain]:
        """Return which part of which bound was reached."""
        return {**_bound(event.dimension, event.allowed), "used": event.used, "percent": event.percent}

    def exhausted(self, event: BudgetSpent) -> dict[str, Plain]:
        """Return which bound was reached, and what follows; what is used is null when nobody knows it."""
        return {**_bound(event.dimension, event.allowed), "used": event.used, "policy": event.rule.value}

    def extended(self, event: BudgetExtended) -> dict[str, Plain]:
        """Return which bound was raised, by how much, and by which approval."""
        approval_id = quoted(event.approval_id, ID_CHARS_MAX)
        return {**_bound(event.dimension, event.allowed), "amount": event.amount, "approval_id": approval_id}


def _amounts(amounts: Mapping[Dimension, int]) -> dict[str, Plain]:
    return {each.used_field: amount for each, amount in amounts.items()}


def _bound(dimension: Dimension, allowed: int) -> dict[str, Plain]:
    return {"dimension": dimension.value, "unit": dimension.unit, "allowed": allowed}
