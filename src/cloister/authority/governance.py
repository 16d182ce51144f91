"""Governance of one call: what constitution and mode say together of a call that the grants allow.

Owns how the two are joined, and the denial that comes of it. Decides purely and only takes away: it is asked after the
authorizer has allowed, and nothing here allows what that refused. Neither asks a person nor makes up a result itself.

In this order: a rule that denies; a mode that refuses; a mode that simulates, since nothing happens that a person would
have to agree to; a rule or a mode that asks, the guardian before any person; else the call is performed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from cloister.authority.capability import CapabilitySpec, holds_unknown
from cloister.authority.constitution import Action, Constitution, Ruling
from cloister.authority.decision import Decision
from cloister.authority.mode import ExecutionMode, Verdict, mode_verdict
from cloister.authority.registry import CapabilityRegistry
from cloister.authority.workload import WORKLOADS
from cloister.canonical import Plain
from cloister.errors import CapabilityDenied, quoted
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Value


@dataclass(frozen=True, slots=True, kw_only=True)
class GovernanceRuling:
    """What is to be done about one call, and why.

    Attributes:
        verdict: What is to be done.
        capability: Of what.
        mode: The mode of the run.
        ruling: What the constitution says, also where the mode decided.
    """

    verdict: Verdict
    capability: CapabilitySpec
    mode: ExecutionMode
    ruling: Ruling

    @property
    def rule(self) -> str:
        """What decided: the id of a rule of the constitution, or `mode.` and the mode."""
        decided_by_rule = self.ruling.rule_id is not None and self.verdict is _RULED.get(self.ruling.action)
        return str(self.ruling.rule_id) if decided_by_rule else f"mode.{self.mode.value}"

    def to_dict(self) -> dict[str, Plain]:
        """Return it for the record of the call; `rule_id` is the constitution's, None when no rule is about it."""
        return {
            "verdict": self.verdict.value,
            "rule": self.rule,
            "mode": self.mode.value,
            "risk": self.capability.contract.risk.label,
            "rule_id": self.ruling.rule_id,
        }

    def question(self) -> str:
        """Return why a person is asked, in one sentence, for the request of an approval."""
        if self.verdict is _RULED.get(self.ruling.action):
            return f"rule {self.ruling.rule_id} of the constitution asks for it: {self.ruling.reason}"
        return f"the mode {self.mode.value} asks before anything of {self.capability.contract.risk.label} risk"

    def require(self) -> GovernanceRuling:
        """Return the ruling itself unless it refuses.

        Raises:
            CapabilityDenied: `denied.constitution` or `denied.mode`.
        """
        error = self.refusal()
        if error is not None:
            raise error
        return self

    def refusal(self) -> CapabilityDenied | None:
        """Return why it refuses, `denied.constitution` or `denied.mode`; None when it does not."""
        if self.verdict is not Verdict.REFUSE:
            return None
        subject = f'capability "{quoted(self.capability.id)}" was refused'
        details = {"operation": "governance", "capability": self.capability.id, **self.to_dict()}
        if self.ruling.action is Action.DENY:
            return CapabilityDenied(
                f"{subject}: rule {self.ruling.rule_id} of the constitution forbids it: {self.ruling.reason}",
                code="denied.constitution",
                hint="no grant allows it; `cloister constitution show` prints the rules, and who signs them can "
                "change one",
                details=details,
            )
        risk = self.capability.contract.risk.label
        return CapabilityDenied(
            f"{subject}: it is of {risk} risk, and the mode {self.mode.value} takes only low",
            code="denied.mode",
            hint=f"run it in the mode {ExecutionMode.REQUIRE_APPROVAL.value}, where a person decides, or in the mode "
            f"{ExecutionMode.FULL.value}",
            details=details,
        )


_RULED: Mapping[Action, Verdict] = {
    Action.DENY: Verdict.REFUSE,
    Action.REQUIRE_GUARDIAN_APPROVAL: Verdict.ASK_GUARDIAN,
    Action.REQUIRE_HUMAN_APPROVAL: Verdict.ASK_HUMAN,
}


class _Known(NamedTuple):
    """What is the same for each call of a capability in one run."""

    capability: CapabilitySpec
    names: frozenset[str]
    verdict: Verdict


class Governance:
    """Constitution and mode of one run.

    Args:
        constitution: The rules.
        mode: How far the run may go by itself.
        registry: Knows contracts, and every name of a capability.
    """

    __slots__ = ("_known", "_registry", "constitution", "mode")

    def __init__(self, constitution: Constitution, mode: ExecutionMode, registry: CapabilityRegistry) -> None:
        self.constitution = constitution
        self.mode = mode
        self._registry = registry
        self._known: dict[str, _Known] = {}

    def __repr__(self) -> str:
        return f"Governance({self.mode.value}, constitution {self.constitution.version})"

    def decide(self, decision: Decision) -> GovernanceRuling:
        """Rule on a call that the authorizer allows.

        Args:
            decision: An allowing decision, about a capability or a workload; its arguments and resolved paths are what
                the rules are asked about.
        """
        return self._decide(decision.capability_id, settled_arguments(decision), certainly=False)

    def foresee(self, decision: Decision, outline: Sequence[Value]) -> GovernanceRuling:
        """Rule on a call before the run, from what is known of its arguments; only what is certain is said.

        Args:
            decision: What `SecurityAuthorizer.foresee` answered, when it allows.
            outline: What it was asked about: the arguments, with `UNKNOWN` for what only the run has.
        """
        spec = self._registry.require(decision.capability_id)
        arguments: dict[str, Value] = {parameter.name: UNKNOWN for parameter in spec.parameters}
        if not (len(outline) == 1 and outline[0] is UNKNOWN):  # else it may be a map that names any of them
            arguments = spec.bind(outline, partly=True)
        for name, settled in settled_arguments(decision).items():
            if name in decision.resolved and name in arguments:
                arguments[name] = UNKNOWN if holds_unknown(arguments[name]) else settled
        return self._decide(spec.id, arguments, certainly=True)

    def _decide(self, capability_id: str, arguments: Mapping[str, Value], *, certainly: bool) -> GovernanceRuling:
        known = self._known.get(capability_id) or self._look_up(capability_id)
        spec = known.capability
        ruling = self.constitution.decide(spec.id, arguments, names=known.names, certainly=certainly)
        verdict = _joined(ruling.action, known.verdict)
        return GovernanceRuling(verdict=verdict, capability=spec, mode=self.mode, ruling=ruling)

    def _look_up(self, capability_id: str) -> _Known:
        """Find what is the same for each call of a capability; there are only as many as are registered."""
        spec = WORKLOADS.get(capability_id) or self._registry.require(capability_id)
        verdict = mode_verdict(self.mode, spec.contract)
        found = _Known(capability=spec, names=self._registry.names(spec.id), verdict=verdict)
        self._known[capability_id] = found
        return found


def settled_arguments(decision: Decision) -> Mapping[str, Value]:
    """Return the arguments of a decision with each path replaced by the place it leads to.

    Rules compare places, and a plan could spell one in many ways or go there through a link.
    """
    if not decision.resolved:
        return decision.arguments
    settled = dict(decision.arguments)
    for name, places in decision.resolved.items():
        paths = tuple(place.path for place in places)
        settled[name] = paths if isinstance(settled.get(name), tuple) else paths[0]
    return settled


def _joined(action: Action, verdict: Verdict) -> Verdict:
    if action is Action.DENY or verdict is Verdict.REFUSE:
        return Verdict.REFUSE
    if verdict is Verdict.SIMULATE:
        return verdict
    return _RULED.get(action, verdict)
