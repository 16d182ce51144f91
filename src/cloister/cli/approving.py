"""Asking whoever sits at the terminal whether a call is made.

Owns how a request for approval is shown, the prompt, and who answers when nobody says. What a plan chose (names,
arguments, reasons that hold them) is hostile: it is shown on one line each, without what would act on a terminal. Keys
that were pressed before the question stood there are no answer to it.
"""

from __future__ import annotations

import json
import os
import pwd
import sys
import termios
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Final

from cloister.cli.output import note
from cloister.errors import quoted

if TYPE_CHECKING:
    from cloister.plan.approvals.approver import ApprovalAnswer
    from cloister.plan.approvals.desk import Approval

QUESTION: Final = "approve this call? [y/N] "
ARGUMENTS_CHARS_MAX: Final = 2_000
_ANSWERS: Final = {"y": True, "yes": True, "n": False, "no": False, "": False}


def can_ask(*, as_json: bool) -> bool:
    """Return whether somebody is at the terminal who can be asked.

    Args:
        as_json: Whether the command is to print one JSON object and nothing else.
    """
    return not as_json and sys.stdin is not None and os.isatty(0) and sys.stderr.isatty()


def login_name() -> str:
    """Return who runs this process, for the record; by the user database, for variables say what anybody wants."""
    user_id = os.getuid()
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"user {user_id}"


def approval_lines(approval: Approval, plan: str | None) -> Iterator[str]:
    """Yield a request for a person.

    Args:
        approval: The request, and how it stands with it.
        plan: Name of the plan; None when it is not known.
    """
    request, decision = approval.request, approval.decision
    rows = {
        "state": approval.state.value,
        "capability": f"{quoted(request.capability_id)} (call {request.number})",
        "arguments": quoted(request.arguments, ARGUMENTS_CHARS_MAX) or "none",
        "step": "none" if request.step is None else quoted(request.step),
        **({} if request.undo_of is None else {"undo of": f"step {quoted(request.undo_of)}"}),
        "plan": "not known" if plan is None else quoted(plan),
        "run": quoted(request.run_id),
        "rule": quoted(request.need.rule),
        "reason": quoted(request.need.reason, ARGUMENTS_CHARS_MAX),
        "kind": request.need.kind.value,
        "until": quoted(request.expires_at),
    }
    if request.need.terms:
        rows["terms"] = quoted(json.dumps(dict(request.need.terms), ensure_ascii=False), ARGUMENTS_CHARS_MAX)
    if len(request.arguments) >= ARGUMENTS_CHARS_MAX:
        rows["cut"] = "the arguments are longer than what is shown; approve what you know otherwise"
    if decision is not None:
        because = f": {quoted(decision.reason, ARGUMENTS_CHARS_MAX)}" if decision.reason else ""
        rows["decided by"] = f"{quoted(decision.by)}{because} (record {decision.sequence})"
    yield quoted(request.approval_id)
    yield from (f"  {name:<11} {text}" for name, text in rows.items())


def approval_data(approval: Approval) -> dict[str, Any]:
    """Return a request as plain data."""
    request, decision = approval.request, approval.decision
    return {
        "approval_id": request.approval_id,
        "state": approval.state.value,
        "run_id": request.run_id,
        "capability": request.capability_id,
        **{name: value for name, value in request.to_body().items() if name != "approval_id"},
        "undo_of": request.undo_of,
        "record": approval.requested,
        "decision": None
        if decision is None
        else {
            "granted": decision.granted,
            "by": decision.by,
            "reason": decision.reason,
            "signature": decision.signature,
            "record": decision.sequence,
        },
    }


class TerminalApprover:
    """Asks at the terminal; standard output stays free for the result.

    Args:
        plan_of: Name of the plan of a run, or None when it is not known.
        before: Called before anything is shown; for example to stop a live display.
    """

    def __init__(self, plan_of: Callable[[str], str | None], before: Callable[[], None]) -> None:
        self._plan_of = plan_of
        self._before = before

    def decide(self, approval: Approval) -> ApprovalAnswer | None:
        """Show a request and ask; see `Approver.decide`."""
        from cloister.plan.approvals.approver import ApprovalAnswer  # noqa: PLC0415
        from cloister.plan.approvals.request import ApprovalKind  # noqa: PLC0415

        self._before()
        for line in approval_lines(approval, self._plan_of(approval.request.run_id)):
            note(line)
        if approval.request.need.kind is ApprovalKind.GUARDIAN:
            return None  # it takes their key, which nobody types; the hint of the error says how
        granted = _answer()
        return None if granted is None else ApprovalAnswer(granted=granted, by=login_name())


def _answer() -> bool | None:
    """Return what is typed; None when the user leaves with Ctrl-D or Ctrl-C."""
    try:
        while True:
            # A terminal hands out a line at a time, so what was typed behind one that is no answer is still there
            termios.tcflush(0, termios.TCIFLUSH)
            sys.stderr.write(QUESTION)
            sys.stderr.flush()
            line = sys.stdin.readline()
            if not line:
                break
            answer = _ANSWERS.get(line.strip().lower())
            if answer is not None:
                return answer
    except KeyboardInterrupt:
        pass  # the run has paused and waits; that is what leaving means here
    note("")
    return None
