"""Runs under governance that write every kind of record there is of it, for tests of the record.

Each run is a real one in a home of its own kind: with a signed constitution, a budget, approvals, an undo.
"""

from __future__ import annotations

from pathlib import Path

import pytest

import cloister
from cloister.authority.budget import BudgetLimits, BudgetRules, Exhaustion
from cloister.authority.mode import ExecutionMode
from cloister.plan.approvals.approver import ApprovalAnswer
from cloister.plan.approvals.desk import Approval
from cloister.plan.constitution_file import sign_constitution
from cloister.plan.terms import RunTerms

RULE = """version = 1

[[rule]]
id = "echo"
pattern = "ccos.echo"
action = "require-human-approval"
reason = "somebody looks at what is echoed"
"""
ECHO = cloister.RuntimeContext.controlled(capabilities=["ccos.echo"])
ADD = cloister.RuntimeContext.controlled(capabilities=["ccos.math.add"])
UNDONE = """
(do
  (step "good" :undo (fn [] (call :ccos.math.add 1 2)) 1)
  (step "bad" :undo (fn [] (/ 1 0)) 2)
  (/ 1 0))
"""


class Answers:
    """Gives the same answer to everything."""

    def __init__(self, granted: bool) -> None:
        self.granted = granted

    def decide(self, approval: Approval) -> ApprovalAnswer:
        return ApprovalAnswer(granted=self.granted, by="ada", reason="looked at it")


def sign_rule(home: Path) -> None:
    """Give a home its constitution; before a runtime opens it."""
    (home / "constitution.toml").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    (home / "constitution.toml").write_text(RULE, encoding="utf-8")
    sign_constitution(home / "constitution.toml", home)


def run_governed(runtime: cloister.Runtime) -> None:
    """Make a run of each kind: approved, denied, expired, aborted, undone, out of budget, on with a larger one."""
    plan = '(call :ccos.echo "text")'
    assert runtime.run(plan, context=ECHO, approver=Answers(True)).value == "text"
    with pytest.raises(cloister.DeniedError):
        runtime.run(plan, context=ECHO, approver=Answers(False))
    with pytest.raises(cloister.ApprovalRequired) as asked:
        runtime.run(plan, context=ECHO, terms=RunTerms(approvals_expire_ms=0))
    with pytest.raises(cloister.DeniedError) as late:
        runtime.resume(str(asked.value.details["run_id"]))
    assert late.value.code == "denied.approval-expired"
    with pytest.raises(cloister.ApprovalRequired) as left:
        runtime.run(plan, context=ECHO)
    runtime.abort(str(left.value.details["run_id"]))
    runtime.run(plan, context=ECHO, terms=RunTerms(mode=ExecutionMode.DRY_RUN), approver=Answers(True))
    with pytest.raises(cloister.GuestError):
        runtime.run(UNDONE, context=ADD)
    terms = RunTerms(budget=BudgetLimits(calls_count=2), exhaustion=BudgetRules(calls=Exhaustion.APPROVAL))
    twice = "(do (call :ccos.math.add 1 2) (call :ccos.math.add 1 3) (call :ccos.math.add 1 4))"
    assert runtime.run(twice, context=ADD, terms=terms, approver=Answers(True)).value == 5
