"""Why a chain does not verify: the reasons, and the error that names the first bad record."""

from __future__ import annotations

from enum import StrEnum

from cloister.errors import ChainBroken


class BreakReason(StrEnum):
    """Why a record, or the end of the chain, is bad."""

    UNDECODABLE = "undecodable"
    """A field has the wrong type or size, or proven bytes are not an event."""
    MISSING = "missing sequence"
    """The record with this number is not there, but later ones are."""
    REORDERED = "reordered"
    """The record that stands here was written for another position, or one for this position stands elsewhere."""
    HASH_MISMATCH = "hash mismatch"
    """Its content is not what its leaf in the tree says."""
    UNPROVEN = "not proven"
    """From here on the records are not those that the next signed checkpoint covers."""
    TREE_MISMATCH = "tree mismatch"
    """A stored node of the tree is not the hash of what is below it."""
    CHECKPOINT_INVALID = "checkpoint invalid"
    """A signed checkpoint is missing, has the wrong form, or its signature is wrong."""
    FOREIGN_KEY = "foreign key"
    """Another key than the given one, or one that it was followed by, signed."""
    MISFILED = "misfiled"
    """It is stored under another run, type, capability, parent or time than the signed one."""
    TRUNCATED = "truncated"
    """The head counts more records than there are."""
    BEYOND_HEAD = "beyond the head"
    """The head counts fewer records than there are."""
    HEAD_MISSING = "head missing"
    """There is no signed head."""
    HEAD_INVALID = "head invalid"
    """The head has the wrong form, or its signature is wrong."""
    ROLLED_BACK = "rolled back"
    """The chain does not contain a head that was noted before."""


def broken(sequence: object, reason: BreakReason, explanation: str, *, proven_count: int | None = None) -> ChainBroken:
    """Return the error that names a bad record.

    Args:
        sequence: The first record known to be bad.
        reason: Why.
        explanation: The rest of the sentence.
        proven_count: So many records from the start are proven to be intact; None when they are up to the bad one, or
            when this was not looked into.
    """
    number = sequence if isinstance(sequence, int) else -1
    intact = number if proven_count is None else proven_count
    known = f"records before {intact} are intact" if intact > 0 else "`cloister audit verify` looks at all of it"
    return ChainBroken(
        f"the chain is broken at record {number}: {reason.value}; {explanation}",
        hint=f"keep the file as evidence and compare it with a copy; {known}",
        details={"sequence": number, "reason": reason.value}
        | ({} if proven_count is None or proven_count == number else {"proven_count": proven_count}),
    )
