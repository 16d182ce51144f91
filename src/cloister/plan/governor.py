"""What governs the calls of one run beside its grants: step profiles, the constitution, the mode, and approvals.

Owns the order of these checks and what each makes of a call that the grants allow: it is made, it is simulated, it is
refused, or it waits for a person. All of them only take away. Their rules live in `authority`; nothing here decides by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Protocol

from cloister.authority.constitution import Action, Constitution
from cloister.authority.decision import Decision, Reason
from cloister.authority.mode import ExecutionMode, Verdict, mode_verdict
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import CapabilityDenied
from cloister.lang.values import Value
from cloister.plan.approvals.request import ApprovalKind, ApprovalNeed
from cloister.plan.approvals.run_approvals import RunApprovals
from cloister.plan.journal.call_journal import PendingCall


class ProfileInForce(Protocol):
    """The profile of the innermost step."""

    def refusal(self, decision: Decision) -> Decision | None:
        """Return the denial of a call that lies outside it; None when it covers the call."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What governs one call.

    Attributes:
        decision: The grants' decision, or a denial in its place.
        is_simulated: Whether the plan gets a stand-in, and nothing is done.
        rule_id: The rule of the constitution that applies, or None.
        approval_ids: The approvals it rests on.
    """

    decision: Decision
    is_simulated: bool = False
    rule_id: str | None = None
    approval_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Occasion:
    """Where a call stands.

    Attributes:
        call: The call with its number.
        step: Name of the innermost open step, or None.
        profile: The profile in force.
        shown: Its arguments as text, made when somebody has to see them.
    """

    call: PendingCall
    step: str | None
    profile: ProfileInForce
    shown: Callable[[], str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Governor:
    """Rules on the calls of one run.

    Attributes:
        registry: The capabilities and their contracts.
        constitution: The rules of the home.
        mode: How far the run may go by itself.
        approvals: Knows what people decided.
    """

    registry: CapabilityRegistry
    constitution: Constitution
    mode: ExecutionMode
    approvals: RunApprovals

    def rule(self, decision: Decision, occasion: Occasion, extra: Iterable[ApprovalNeed] = ()) -> Ruling:
        """Rule on a call that the grants allow.

        Args:
            decision: The grants' decision.
            occasion: Where the call stands.
            extra: What else somebody has to agree to before it is made.

        Raises:
            ApprovalRequired: Somebody has to decide, and nobody did.
        """
        refused = occasion.profile.refusal(decision)
        if refused is not None:
            return Ruling(decision=refused)
        ruled = self.constitution.decide(
            decision.capability_id, _placed(decision), names=self.registry.names(decision.capability_id)
        )
        if ruled.action is Action.DENY:
            message = f'the constitution denies "{decision.capability_id}": {ruled.reason}'
            hint = f"rule {ruled.rule_id} would have to be changed by whoever signs the constitution"
            return Ruling(decision=denied(decision, Reason.CONSTITUTION, message, hint), rule_id=ruled.rule_id)
        verdict = mode_verdict(self.mode, self.registry.require(decision.capability_id).contract)
        if verdict is Verdict.REFUSE:
            message = f'"{decision.capability_id}" is of more than low risk, and the run is in mode {self.mode.value}'
            return Ruling(
                decision=denied(decision, Reason.MODE, message, "run it with --mode full or --mode require-approval"),
                rule_id=ruled.rule_id,
            )
        if verdict is Verdict.SIMULATE:
            return Ruling(decision=decision, is_simulated=True, rule_id=ruled.rule_id)
        needs = [*_needs(ruled.action, ruled.rule_id, ruled.reason), *_mode_needs(verdict, self.mode), *extra]
        try:
            approved = tuple(self.approved(decision, occasion, need) for need in needs)
        except CapabilityDenied as error:
            return Ruling(decision=denied_by_error(decision, error), rule_id=ruled.rule_id)
        return Ruling(decision=decision, rule_id=ruled.rule_id, approval_ids=approved)

    def approved(self, decision: Decision, occasion: Occasion, need: ApprovalNeed) -> str:
        """Return the approval that a call has; see `RunApprovals.require`."""
        return self.approvals.require(occasion.call, decision.capability_id, occasion.step, occasion.shown(), need)


def denied(decision: Decision, reason: Reason, message: str, hint: str) -> Decision:
    """Return a denial in the place of a decision that allows."""
    return replace(
        decision,
        allowed=False,
        reason=reason,
        permissions=frozenset(),
        read_paths=(),
        write_paths=(),
        environment=(),
        message=message,
        hint=hint,
    )


def denied_by_error(decision: Decision, error: CapabilityDenied) -> Decision:
    """Return the denial that an error tells of."""
    return denied(decision, Reason(error.code), error.message, error.hint or "")


class NoProfile:
    """Stands where there is no step profile: the grants alone decide."""

    def refusal(self, decision: Decision) -> Decision | None:
        """Return that nothing is refused."""
        del decision
        return None


def _placed(decision: Decision) -> dict[str, Value]:
    """Return the arguments with each path in the place it leads to, so that no other spelling goes round a rule."""
    placed = dict(decision.arguments)
    for name, found in decision.resolved.items():
        paths = tuple(each.path for each in found)
        placed[name] = paths if isinstance(placed.get(name), tuple) else paths[0]
    return placed


def _needs(action: Action, rule_id: str | None, reason: str | None) -> list[ApprovalNeed]:
    kinds = {
        Action.REQUIRE_HUMAN_APPROVAL: ApprovalKind.HUMAN,
        Action.REQUIRE_GUARDIAN_APPROVAL: ApprovalKind.GUARDIAN,
    }
    kind = kinds.get(action)
    if kind is None:
        return []
    return [ApprovalNeed(kind=kind, rule=f"constitution:{rule_id}", reason=reason or "", terms={})]


def _mode_needs(verdict: Verdict, mode: ExecutionMode) -> list[ApprovalNeed]:
    if verdict is not Verdict.ASK_HUMAN:
        return []
    reason = f"it is of more than low risk, and the run is in mode {mode.value}"
    return [ApprovalNeed(kind=ApprovalKind.HUMAN, rule=f"mode:{mode.value}", reason=reason, terms={})]
