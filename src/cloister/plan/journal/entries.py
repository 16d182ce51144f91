"""What is known of a run: how it stands, its calls, and its steps.

Owns the shape of each and their states. Everything is plain data: values as they cross the wall of a sandbox, errors as
a plan may see them.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from cloister.isolation.provider import WireValue


class RunState(StrEnum):
    """How it stands with a run."""

    RUNNING = "running"
    """Somebody runs it now; without a lock of its own it was interrupted instead."""
    INTERRUPTED = "interrupted"
    """Its process ended in the middle: killed, or the machine went down."""
    PAUSED = "paused"
    """It waits for an approval."""
    STOPPED = "stopped"
    """A limit, a provider or the record ended it, not the plan; it can go on."""
    COMPLETED = "completed"
    """It returned a value."""
    FAILED = "failed"
    """The plan failed by itself, and what it had done was undone as far as it says how."""
    REFUSED = "refused"
    """Admission refused it; nothing ran."""
    ABORTED = "aborted"
    """Somebody ended it, and what it had done was undone as far as it says how."""

    @property
    def can_resume(self) -> bool:
        """Whether a run in this state can go on."""
        return self in {RunState.INTERRUPTED, RunState.PAUSED, RunState.STOPPED}


class CallState(StrEnum):
    """How it stands with a call."""

    INTENDED = "intended"
    """It was about to be made. Whether it was is not known."""
    SUCCEEDED = "succeeded"
    """It returned what the entry holds."""
    FAILED = "failed"
    """It was refused or failed with the error that the entry holds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Abort:
    """Where a run was aborted.

    Attributes:
        at: Number of the call in whose place it ends.
        undoes_from: Number of the first call of what is undone; one more when it is not known whether that call was
            made, because its entry stays.
    """

    at: int
    undoes_from: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunEntry:
    """A run.

    Attributes:
        run_id: Its identifier, as in the chain.
        state: How it stands.
        plan: Name of the plan.
        provider: Name of the provider.
        created_at: When it began, as RFC 3339 text.
        updated_at: When its state last changed.
        started: Sequence of its `run.started` record.
        order: All it takes to run it again; see `RunOrder`.
        result: The value it returned, when it completed.
        error: Why it ended, as plain data; None when it did not.
        waits_for: The approval that it waits for, or None.
        abort: Where somebody aborted it; None otherwise.
    """

    run_id: str
    state: RunState
    plan: str
    provider: str
    created_at: str
    updated_at: str
    started: int
    order: dict[str, Any]
    result: WireValue = None
    error: dict[str, Any] | None = None
    waits_for: str | None = None
    abort: Abort | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallEntry:
    """A call of a run.

    Attributes:
        number: Position among the calls of the run, from 0.
        capability_id: As the plan wrote it.
        arguments_sha256: Digest of its arguments; see `wire_digest`.
        intent: Sequence of its intent record.
        state: How it stands.
        outcome: Sequence of its outcome record; None when that was not written any more.
        answer: The value it returned, or the error as plain data.
        memo: What the capability needs to know of it in a resumed run, or None.
        within: Number of the call in whose place it was made, as its fallback; None for one that the plan made.
    """

    number: int
    capability_id: str
    arguments_sha256: str
    intent: int
    state: CallState
    outcome: int | None
    answer: WireValue
    memo: WireValue
    within: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class IntentEntry:
    """The intent of a call, as the chain has it.

    Attributes:
        capability_id: What was to be called.
        arguments_sha256: Digest of its arguments.
        is_allowed: Whether it was let through to be made.
        is_simulated: Whether nothing was to be done, and the plan given a stand-in.
        may_write: Whether it was allowed to write files.
        number: Of the call; None for one that admission refused.
        within: Number of the call whose fallback it is, or None.
    """

    capability_id: str
    arguments_sha256: str
    is_allowed: bool
    is_simulated: bool = False
    may_write: bool = False
    number: int | None = None
    within: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEntry:
    """A step of a run, as the chain has it.

    Attributes:
        number: Position among the steps of the run in the order they began, from 0.
        name: Its name, as records have it.
        started: Sequence of its `step.started` record.
        has_ended: Whether there is a `step.ended` record, or that of an undo.
        is_undo: Whether it is the undoing of a step.
        error_code: What it ended with; None when it ended well, or did not end.
    """

    number: int
    name: str
    started: int
    has_ended: bool
    is_undo: bool = False
    error_code: str | None = None
