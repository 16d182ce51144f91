"""What is asked of a person, and what was answered.

Owns the request, the decision, and their forms in the causal chain. Both are read from the chain only, where they are
signed: the journal lists approvals and decides nothing. A request is bound to one call of one run: its number, step,
capability and arguments. So a decision holds for that call and no other, whatever the plan does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final

from cloister.canonical import Plain
from cloister.errors import JournalError, quoted

TEXT_CHARS_MAX: Final = 2_000


class ApprovalKind(StrEnum):
    """Who has to decide about what."""

    HUMAN = "human"
    """Any person who may use this home."""
    GUARDIAN = "guardian"
    """Who holds the guardian's key."""
    BUDGET = "budget"
    """Any person: whether a budget that is used up is extended."""
    REPEAT = "repeat"
    """Any person: whether a call is made again of which it is not known whether it was made."""


class ApprovalState(StrEnum):
    """How it stands with a request."""

    PENDING = "pending"
    GRANTED = "granted"
    DENIED = "denied"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    """Nobody decided before its run had ended, so that there is nothing left to decide."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalNeed:
    """Why a call needs a decision.

    Attributes:
        kind: Who decides.
        rule: Which rule demands it.
        reason: In words.
        terms: What exactly is asked beside the call, as plain data; for a budget its dimension and amount.
    """

    kind: ApprovalKind
    rule: str
    reason: str
    terms: Mapping[str, Plain]

    def is_same(self, other: ApprovalNeed) -> bool:
        """Return whether the same is asked; how it is put in words may differ."""
        return (self.kind, self.rule, dict(self.terms)) == (other.kind, other.rule, dict(other.terms))


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRequest:
    """What is asked.

    Attributes:
        approval_id: Its identifier.
        run_id: The run that waits.
        number: The call, by its number in the run.
        step: Name of the innermost step around it, or None.
        capability_id: What would be called.
        arguments: As RTFS text, shortened.
        arguments_sha256: Digest of all of them.
        need: Why it is asked.
        requested_at: When, as RFC 3339 text.
        expires_at: Until when it can be decided and used.
        undo_of: Name of the step that is being undone by it, or None.
    """

    approval_id: str
    run_id: str
    number: int
    step: str | None
    capability_id: str
    arguments: str
    arguments_sha256: str
    need: ApprovalNeed
    requested_at: str
    expires_at: str
    undo_of: str | None = None

    def to_body(self) -> dict[str, Plain]:
        """Return it as the body of its record; the run and the capability stand beside that."""
        return {
            "approval_id": self.approval_id,
            "number": self.number,
            "step": self.step,
            "arguments": self.arguments,
            "arguments_sha256": self.arguments_sha256,
            "kind": self.need.kind.value,
            "rule": self.need.rule,
            "reason": self.need.reason,
            "terms": dict(self.need.terms),
            "requested_at": self.requested_at,
            "expires_at": self.expires_at,
            **({} if self.undo_of is None else {"undo_of": self.undo_of}),
        }

    @classmethod
    def from_body(cls, run_id: str, capability_id: str | None, body: Mapping[str, Any]) -> ApprovalRequest:
        """Read the body of a record.

        Raises:
            JournalError: `journal.damaged`: the record was written by another version.
        """
        try:
            need = ApprovalNeed(
                kind=ApprovalKind(body["kind"]), rule=body["rule"], reason=body["reason"], terms=body["terms"]
            )
            return cls(
                approval_id=body["approval_id"],
                run_id=run_id,
                number=body["number"],
                step=body["step"],
                capability_id=capability_id or "",
                arguments=body["arguments"],
                arguments_sha256=body["arguments_sha256"],
                need=need,
                requested_at=body["requested_at"],
                expires_at=body["expires_at"],
                undo_of=body.get("undo_of"),
            )
        except (KeyError, ValueError, TypeError) as error:
            raise JournalError(
                "a request for approval in the chain is not one of this version", code="journal.damaged"
            ) from error

    def is_for(
        self, number: int, capability_id: str, arguments_sha256: str, step: str | None, undo_of: str | None
    ) -> bool:
        """Return whether it is about this very call."""
        bound = (self.number, self.capability_id, self.arguments_sha256, self.step, self.undo_of)
        return bound == (number, capability_id, arguments_sha256, step, undo_of)

    def in_words(self) -> str:
        """Return why it is asked; of a call that undoes a step, which one."""
        reason = self.need.reason
        return reason if self.undo_of is None else f"it is part of the undo of step {quoted(self.undo_of)}; {reason}"

    def binding(self) -> dict[str, Plain]:
        """Return what a decision is about, as it is signed by a guardian."""
        return {"run_id": self.run_id, "capability_id": self.capability_id, **self.to_body()}


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalDecision:
    """What was answered.

    Attributes:
        approval_id: To which request.
        granted: The answer.
        by: Who answered, as they say.
        reason: Why, in their words; empty when they gave none.
        sequence: Its record.
        signature: A guardian's signature, in hexadecimal; None for others.
    """

    approval_id: str
    granted: bool
    by: str
    reason: str
    sequence: int
    signature: str | None = None

    @classmethod
    def from_body(cls, sequence: int, granted: bool, body: Mapping[str, Any]) -> ApprovalDecision:
        """Read the body of a record.

        Raises:
            JournalError: `journal.damaged`: the record was written by another version.
        """
        try:
            return cls(
                approval_id=body["approval_id"],
                granted=granted,
                by=body["by"],
                reason=body["reason"],
                sequence=sequence,
                signature=body["signature"],
            )
        except KeyError as error:
            raise JournalError(
                "a decided approval in the chain is not one of this version", code="journal.damaged"
            ) from error


def shortened(text: str) -> str:
    """Return text of a person fit for a record."""
    return quoted(text, TEXT_CHARS_MAX)
