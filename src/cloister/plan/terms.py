"""What governs a run beside its grants.

Owns the terms that whoever starts a run sets, and their plain form in the order of the run. The constitution is not
among them: it belongs to the home, and no run sets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any, Final

from cloister.audit.event import NO_PROVENANCE, Provenance
from cloister.authority.budget import BudgetLimits, BudgetRules
from cloister.authority.context import RuntimeContext
from cloister.authority.mode import ExecutionMode
from cloister.errors import JournalError

APPROVAL_EXPIRES_MS: Final = 24 * 60 * 60 * 1000
"""How long a request for approval stands when nobody says otherwise."""


def default_budget(context: RuntimeContext) -> BudgetLimits:
    """Return what a run may spend when nobody says otherwise: never less time than one execution may take."""
    return _usual(context.limits.wall_ms)


@lru_cache(maxsize=64)
def _usual(wall_ms: int) -> BudgetLimits:
    usual = BudgetLimits()
    return replace(usual, wall_ms=max(usual.wall_ms or 0, wall_ms))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunTerms:
    """How far a run may go by itself, and what it may spend.

    Attributes:
        mode: How far.
        budget: Upper bounds of all its calls together; None for those of `default_budget`.
        exhaustion: What follows when one is reached.
        approvals_expire_ms: How long its requests for approval stand.
        provenance: On whose behalf it is, for the record.
    """

    mode: ExecutionMode = ExecutionMode.FULL
    budget: BudgetLimits | None = None
    exhaustion: BudgetRules = field(default_factory=BudgetRules)
    approvals_expire_ms: int = APPROVAL_EXPIRES_MS
    provenance: Provenance = NO_PROVENANCE

    def bounded(self, context: RuntimeContext) -> RunTerms:
        """Return the terms with a budget."""
        return self if self.budget is not None else replace(self, budget=default_budget(context))

    def to_dict(self) -> dict[str, Any]:
        """Return the terms as plain data, for the order of the run."""
        return {
            "mode": self.mode.value,
            "budget": None if self.budget is None else self.budget.to_dict(),
            "exhaustion": self.exhaustion.to_dict(),
            "approvals_expire_ms": self.approvals_expire_ms,
            "provenance": self.provenance.to_dict(),
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> RunTerms:
        """Read what `to_dict` gave, from an order that agrees with the chain.

        Raises:
            JournalError: `journal.damaged`: it was written by another version.
        """
        try:
            return cls(
                mode=ExecutionMode(data["mode"]),
                budget=None if data["budget"] is None else BudgetLimits.from_dict(data["budget"]),
                exhaustion=BudgetRules.from_dict(data["exhaustion"]),
                approvals_expire_ms=data["approvals_expire_ms"],
                provenance=Provenance(**data["provenance"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise JournalError(
                "the journal holds no terms for this run", code="journal.damaged", hint="restore it from a copy"
            ) from error
