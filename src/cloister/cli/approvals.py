"""`cloister approvals`: calls that wait for a decision, and deciding them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cloister.cli import complete
from cloister.cli.options import HomeOption, JsonOption, MachineOption
from cloister.cli.output import echo, echo_json, note, reporting
from cloister.cli.runs import GivenEnvOption, GivenPlanOption, open_runtime, plan_name_of, print_table, resume_and_print

if TYPE_CHECKING:
    from cloister.plan.approvals.desk import Approval
    from cloister.runtime import Runtime

approvals_app = typer.Typer(no_args_is_help=True, rich_markup_mode=None)

ApprovalArgument = Annotated[
    str,
    typer.Argument(metavar="APPROVAL", help="What is decided.", autocompletion=complete.approvals, show_default=False),
]
ByOption = Annotated[
    str | None, typer.Option("--by", metavar="NAME", help="Who decides, for the record [default: your login name].")
]
ReasonOption = Annotated[str, typer.Option("--reason", metavar="TEXT", help="Why, for the record.", show_default=False)]
KeyOption = Annotated[
    Path | None, typer.Option("--key", metavar="FILE", help="The guardian's private key, where the guardian decides.")
]
NoResumeOption = Annotated[bool, typer.Option("--no-resume", help="Decide only; `cloister runs resume` goes on.")]
AllOption = Annotated[
    bool, typer.Option("--all", help="Also those that were decided, have expired, or whose run ended.")
]


@approvals_app.command("list", help="List what waits for a decision, the oldest first.")
def list_approvals(everything: AllOption = False, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """List requests for approval."""
    from cloister.cli.approving import approval_data  # noqa: PLC0415
    from cloister.plan.approvals.request import ApprovalState  # noqa: PLC0415

    with reporting(as_json=as_json):
        with open_runtime(home) as runtime:
            found = runtime.approvals()
        chosen = [each for each in found if everything or each.state is ApprovalState.PENDING]
        if as_json:
            echo_json({"ok": True, "approvals": [approval_data(each) for each in chosen]})
        elif chosen:
            print_table(("APPROVAL", "STATE", "RUN", "UNTIL", "CAPABILITY", "WHY"), [_cells(each) for each in chosen])
        else:
            note("nothing waits for a decision" if not everything else "nothing was asked")


def _cells(approval: Approval) -> tuple[str, ...]:
    from cloister.errors import quoted  # noqa: PLC0415

    request = approval.request
    texts = (request.run_id, request.expires_at, request.capability_id, request.in_words())
    return quoted(request.approval_id), approval.state.value, *(quoted(text) for text in texts)


@approvals_app.command("show", help="Show what is asked: call, arguments, rule, reason, until when.")
def show(approval: ApprovalArgument, home: HomeOption = None, as_json: JsonOption = False) -> None:
    """Show one request for approval."""
    from cloister.cli.approving import approval_data, approval_lines  # noqa: PLC0415

    with reporting(as_json=as_json):
        with open_runtime(home) as runtime:
            found = runtime.approval(approval)
            plan = plan_name_of(runtime)(found.request.run_id)
        if as_json:
            echo_json({"ok": True, "approval": approval_data(found) | {"plan": plan}})
        else:
            for line in approval_lines(found, plan):
                echo(line)


@approvals_app.command("approve", help="Approve a call and let its run go on.")
def approve(
    approval: ApprovalArgument,
    by: ByOption = None,
    reason: ReasonOption = "",
    key: KeyOption = None,
    no_resume: NoResumeOption = False,
    plan: GivenPlanOption = None,
    env: GivenEnvOption = None,
    machine: MachineOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Approve a call."""
    decision = _Decision(approval, granted=True, by=by, reason=reason, key=key, as_json=as_json)
    _decide(decision, home, resumes=not no_resume, plan=plan, env=env, machine=machine)


@approvals_app.command("deny", help="Deny a call; its run goes on, and the plan is told of the refusal.")
def deny(
    approval: ApprovalArgument,
    by: ByOption = None,
    reason: ReasonOption = "",
    no_resume: NoResumeOption = False,
    plan: GivenPlanOption = None,
    env: GivenEnvOption = None,
    machine: MachineOption = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Deny a call."""
    decision = _Decision(approval, granted=False, by=by, reason=reason, key=None, as_json=as_json)
    _decide(decision, home, resumes=not no_resume, plan=plan, env=env, machine=machine)


class _Decision:
    """What the command line says about one request."""

    def __init__(
        self, approval_id: str, *, granted: bool, by: str | None, reason: str, key: Path | None, as_json: bool
    ) -> None:
        self._approval_id, self._granted = approval_id, granted
        self._by, self._reason, self._key = by, reason, key
        self.as_json = as_json

    def make(self, runtime: Runtime) -> tuple[str, Mapping[str, Any]]:
        """Decide; return the run that waits, and the decided request as plain data."""
        from cloister.audit.signer import Signer  # noqa: PLC0415
        from cloister.cli.approving import approval_data, login_name  # noqa: PLC0415
        from cloister.errors import quoted  # noqa: PLC0415

        decided = runtime.decide(
            self._approval_id,
            granted=self._granted,
            by=login_name() if self._by is None else self._by,
            reason=self._reason,
            guardian=None if self._key is None else Signer.load(self._key),
        )
        if not self.as_json:
            note(f"{decided.state.value}: {quoted(self._approval_id)}")
        return decided.request.run_id, {"approval": approval_data(decided)}


def _decide(
    decision: _Decision,
    home: Path | None,
    *,
    resumes: bool,
    plan: Path | None,
    env: Sequence[str] | None,
    machine: Sequence[str] | None,
) -> None:
    if resumes:
        resume_and_print(home, None, plan=plan, env=env, machine=machine, as_json=decision.as_json, first=decision.make)
        return
    with reporting(as_json=decision.as_json), open_runtime(home) as runtime:
        _, facts = decision.make(runtime)
        if decision.as_json:
            echo_json({"ok": True, **facts})
