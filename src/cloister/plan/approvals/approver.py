"""Somebody who answers while a run waits, and the loop that lets the run go on with each answer.

Owns the protocol of that somebody, and the order: the run has paused durably before anybody is asked, the answer is
signed into the chain, and then the run is resumed from its journal like any other. So nothing is lost when this process
ends while somebody thinks, and another process may answer first.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from cloister.audit.signer import Signer
from cloister.errors import ApprovalRequired, InputError
from cloister.plan.approvals.desk import Approval, ApprovalDesk
from cloister.plan.result import RunResult


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalAnswer:
    """What somebody says to a request.

    Attributes:
        granted: Whether the call is made.
        by: Who answers, for the record.
        reason: Why, for the record.
        guardian: The guardian's key, for approvals that are theirs to give.
    """

    granted: bool
    by: str
    reason: str = ""
    guardian: Signer | None = None


class Approver(Protocol):
    """Answers requests for approval as they come."""

    def decide(self, approval: Approval) -> ApprovalAnswer | None:
        """Return an answer, or None to leave the run paused.

        Args:
            approval: What is asked. What a plan chose in it, names and arguments, is hostile text.
        """


def run_with(
    approver: Approver | None,
    begin: Callable[[], RunResult],
    resume: Callable[[str], RunResult],
    desk: Callable[[], ApprovalDesk],
) -> RunResult:
    """Run something and let it go on after each approval that the approver decides.

    Args:
        approver: Who is asked; None to ask nobody.
        begin: Runs it for the first time.
        resume: Lets the run of that name go on.
        desk: Where approvals are decided.

    Returns:
        What it returns in the end.

    Raises:
        ApprovalRequired: The approver gave no answer.
        CloisterError: As `begin`, `resume` and `ApprovalDesk.decide`.
    """
    attempt = begin
    while True:
        try:
            return attempt()
        except ApprovalRequired as error:
            if approver is None or not _is_decided(approver, desk(), str(error.details["approval_id"])):
                raise
            attempt = _resuming(resume, str(error.details["run_id"]))


def _resuming(resume: Callable[[str], RunResult], run_id: str) -> Callable[[], RunResult]:
    return lambda: resume(run_id)


def _is_decided(approver: Approver, desk: ApprovalDesk, approval_id: str) -> bool:
    """Have a request decided; return False when it is left open."""
    answer = approver.decide(desk.approval(approval_id))
    if answer is None:
        return False
    try:
        desk.decide(approval_id, granted=answer.granted, by=answer.by, reason=answer.reason, guardian=answer.guardian)
    except InputError as error:
        if error.code != "input.approval-decided":
            raise
        # Somebody else was faster, or its time was over meanwhile: the run finds out which
    return True
