"""The step profiles of one run: looked at when it is admitted, recorded, and in force while its steps are open.

Owns what admission and the call path need of them; `step_profiles` derives them. Which step is open a guest says, which
may have been taken over; it can only ever choose among the profiles of its own plan, all of which lie in the context.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final, NamedTuple

from cloister.audit.event import EventType
from cloister.authority.decision import Decision, Reason
from cloister.authority.level import StepIsolation
from cloister.authority.profile_stack import ProfileStack
from cloister.errors import ProfileDenied
from cloister.lang import core

if TYPE_CHECKING:
    from cloister.authority.authorizer import SecurityAuthorizer
    from cloister.authority.context import RuntimeContext
    from cloister.authority.level import IsolationLevel
    from cloister.errors import CloisterError
    from cloister.lang.program import Program
    from cloister.limits import ResourceLimits
    from cloister.plan.recorder import RunRecorder
    from cloister.plan.step_profiles import PlanProfiles

PROGRAMS_CACHED: Final = 64


class PartRefusal(NamedTuple):
    """What speaks against one part of a plan.

    Attributes:
        error: Why, with its place in the text where it has one.
        grants: The grants that would open it, as command-line options; empty when none would.
    """

    error: CloisterError
    grants: tuple[str, ...] = ()


@lru_cache(maxsize=PROGRAMS_CACHED)
def _ways(program: Program) -> tuple[tuple[StepIsolation, int, int], ...]:
    """Return each way in which steps of a program are isolated, with the first step that is."""
    found: dict[StepIsolation, tuple[int, int]] = {}
    for node in core.walk(program.core):
        if isinstance(node, core.Step):
            found.setdefault(StepIsolation(node.options.isolation), (node.start, node.end))
    return tuple((way, *place) for way, place in found.items())


def isolation_refusals(
    program: Program, context: RuntimeContext, authorizer: SecurityAuthorizer
) -> Iterator[PartRefusal]:
    """Yield what speaks against the ways in which the steps of a plan are isolated; none is given another way."""
    for way, start, end in _ways(program):
        decision = authorizer.authorize_step(context, way)
        if not decision.allowed:
            error = decision.error()
            error.span = program.source.span(start, end)
            yield PartRefusal(error)


def profile_refusals(profiles: PlanProfiles, level: IsolationLevel | None) -> Iterator[PartRefusal]:
    """Yield what speaks against running the plan: a part that declares or needs too much, or a weak provider.

    What the context does not allow at all is not among it; admission says that by itself. Without a level no provider
    is too weak.
    """
    weak = None if level is None else profiles.too_weak(level)
    if weak is not None:
        yield PartRefusal(weak.error())
    for each in profiles.shortages:
        if isinstance(each.error, ProfileDenied):
            yield PartRefusal(each.error, each.grants)


def record_profiles(profiles: PlanProfiles, recorder: RunRecorder, parent: int) -> None:
    """Record each profile of a plan that has steps; else there is no least privilege but that of the run."""
    for profile in (profiles.outside, *profiles.steps) if profiles.steps else ():
        if profile.place is not None or profile.capabilities or profile.allows_computed:
            recorder.append(EventType.STEP_PROFILE_DERIVED, profile.to_dict(), parent=parent, durable=False)


@dataclass(frozen=True, slots=True)
class ProfilesInForce:
    """What the open steps of a run allow.

    Attributes:
        stack: Knows which they are.
    """

    stack: ProfileStack

    def refusal(self, decision: Decision) -> Decision | None:
        """Return the denial of a call that lies outside of them; None when they cover it."""
        violation = self.stack.violation(decision)
        if violation is None:
            return None
        return decision.refused(Reason(violation.code), violation.message, violation.hint)

    def bounds(self) -> tuple[ResourceLimits, IsolationLevel]:
        """Return the limits and the weakest isolation of every execution now."""
        first, *others = self.stack.in_force
        limits, level = first.limits, first.minimum_isolation
        for each in others:
            limits, level = limits.narrow(each.limits), max(level, each.minimum_isolation)
        return limits, level
