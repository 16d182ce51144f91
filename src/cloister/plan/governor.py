"""What governs the calls of one run beside its grants: step profiles, the constitution, the mode, and approvals.

Owns the order of these checks and what each makes of a call that the grants allow: it is made, it is simulated, it is
refused, or it waits for a person. All of them only take away. Their rules live in `authority`; nothing here decides by
itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from cloister.authority.decision import Decision, Reason
from cloister.authority.governance import Governance, GovernanceRuling
from cloister.authority.mode import Verdict
from cloister.canonical import Plain
from cloister.errors import CapabilityDenied
from cloister.plan.approvals.request import ApprovalKind, ApprovalNeed
from cloister.plan.approvals.run_approvals import RunApprovals
from cloister.plan.journal.call_journal import PendingCall
from cloister.plan.profiling import ProfilesInForce


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
        undo_of: Name of the step that is being undone, or None.
    """

    call: PendingCall
    step: str | None
    profile: ProfilesInForce
    shown: Callable[[], str]
    undo_of: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Governor:
    """Rules on the calls of one run.

    Attributes:
        governance: Constitution and mode.
        approvals: Knows what people decided.
    """

    governance: Governance
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
        ruled = self.governance.decide(decision)
        rule_id = ruled.ruling.rule_id
        if ruled.verdict is Verdict.SIMULATE:
            return Ruling(decision=decision, is_simulated=True, rule_id=rule_id)
        try:
            ruled.require()
            needs = [_placed(need, decision) for need in (*_needs(ruled), *extra)]
            approved = tuple([self.approved(decision, occasion, need) for need in needs]) if needs else ()
        except CapabilityDenied as error:
            return Ruling(decision=denied_by_error(decision, error), rule_id=rule_id)
        return Ruling(decision=decision, rule_id=rule_id, approval_ids=approved)

    def approved(self, decision: Decision, occasion: Occasion, need: ApprovalNeed) -> str:
        """Return the approval that a call has; see `RunApprovals.require`."""
        return self.approvals.require(
            occasion.call,
            decision.capability_id,
            occasion.step,
            occasion.shown(),
            need,
            undo_of=occasion.undo_of,
        )


def denied_by_error(decision: Decision, error: CapabilityDenied) -> Decision:
    """Return the denial that an error tells of."""
    return decision.refused(Reason(error.code), error.message, error.hint)


def _placed(need: ApprovalNeed, decision: Decision) -> ApprovalNeed:
    """Return a need that is about the places to which the paths of a call lead, beside its arguments.

    An argument that names a link stays the same when somebody lets that lead elsewhere, and the approval must not.
    """
    found: dict[str, tuple[str, ...]] = {"reads": decision.read_paths, "writes": decision.write_paths}
    places: dict[str, Plain] = {kind: list(paths) for kind, paths in found.items() if paths}
    return replace(need, terms={**need.terms, **places}) if places else need


def _needs(ruled: GovernanceRuling) -> list[ApprovalNeed]:
    kind = _ASKED.get(ruled.verdict)
    return [] if kind is None else [ApprovalNeed(kind=kind, rule=ruled.rule, reason=ruled.question(), terms={})]


_ASKED = {Verdict.ASK_HUMAN: ApprovalKind.HUMAN, Verdict.ASK_GUARDIAN: ApprovalKind.GUARDIAN}
