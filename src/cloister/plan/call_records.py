"""What a run tells of its calls when it is over.

Owns that record.
"""

from __future__ import annotations

from dataclasses import dataclass

from cloister.errors import CloisterError
from cloister.isolation.provider import Usage
from cloister.plan.journal.entries import CallEntry


@dataclass(frozen=True, slots=True, kw_only=True)
class CallRecord:
    """One call of a run, as it was decided and ended.

    Attributes:
        capability_id: Canonical identifier; as the plan wrote it when the call was recalled.
        allowed: The decision.
        reason: The rule that decided, as a code; `recalled` when that was before this process.
        error_code: How it failed, or None when it succeeded.
        usage: What its sandboxes used; None when it ran none.
        sequence: Position of its intent record in the causal chain.
        is_recalled: Whether it was made before this process, and its answer taken from the journal.
        is_simulated: Whether nothing was done, and the plan got a made-up result; not known of one that was recalled.
    """

    capability_id: str
    allowed: bool
    reason: str
    error_code: str | None
    usage: Usage | None
    sequence: int
    is_recalled: bool = False
    is_simulated: bool = False


def recalled_record(known: CallEntry, failed: CloisterError | None) -> CallRecord:
    """Return the record of a call that was made before."""
    return CallRecord(
        capability_id=known.capability_id,
        allowed=failed is None or not failed.code.startswith("denied."),
        reason="recalled",
        error_code=None if failed is None else failed.code,
        usage=None,
        sequence=known.intent,
        is_recalled=True,
    )
