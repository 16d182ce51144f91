"""What speaks against a plan before any of it runs: the one judgement, which admission acts on and `explain` shows.

Owns putting together what grants, governance, step isolation and profiles say. Decides only; recording, raising and
showing are the caller's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.governance import Governance, GovernanceRuling
from cloister.authority.level import IsolationLevel
from cloister.lang.program import Program
from cloister.lang.values import Value
from cloister.plan.admission import Requirement, requirements
from cloister.plan.profiling import PartRefusal, isolation_refusals, profile_refusals
from cloister.plan.step_profiles import PlanProfiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """What was found about one plan.

    Attributes:
        found: Every place where it touches the world, in the order of the text.
        rulings: What constitution and mode say of each, as far as that is certain, and as if all were granted that a
            grant opens; None where they are not asked.
        parts: What speaks against its parts: how steps are isolated, and what they declare of themselves.
    """

    found: tuple[Requirement, ...]
    rulings: tuple[GovernanceRuling | None, ...]
    parts: tuple[PartRefusal, ...]


def judge(
    program: Program,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
    governance: Governance,
    profiles: PlanProfiles,
    *,
    level: IsolationLevel | None,
    inputs: Mapping[str, Value] | None = None,
) -> Judgement:
    """Judge a plan as a whole.

    Args:
        program: What is to run.
        context: What it may do.
        authorizer: Decides each effect.
        governance: Constitution and mode.
        profiles: Those of its parts, derived under the same context and inputs.
        level: That of the provider; None when none is chosen yet, and then none is too weak.
        inputs: Values of its inputs, as far as they are known.
    """
    found = requirements(program, context, authorizer, inputs)
    return Judgement(
        found=found,
        rulings=tuple(_ruling(item, governance) for item in found),
        parts=(*isolation_refusals(program, context, authorizer), *profile_refusals(profiles, level)),
    )


def _ruling(item: Requirement, governance: Governance) -> GovernanceRuling | None:
    if item.effect.capability_id is None or item.problem is not None or not item.granted.allowed:
        return None
    return governance.foresee(item.granted, item.outline)
