"""The step profiles of one run: derived when it is admitted, recorded, and in force while its steps are open.

Owns what admission and the call path need of them. Deriving is `authority`'s. Which step is open a guest says, which
may have been taken over; it can only ever choose among the profiles of its own plan, all of which lie in the context.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from cloister.audit.event import EventType
from cloister.authority.decision import Decision, Reason
from cloister.authority.level import StepIsolation
from cloister.authority.profile_derivation import Derivation, derive_all
from cloister.authority.profile_stack import ProfileStack
from cloister.lang import core
from cloister.lang.step_effects import PlanEffects, step_effects

if TYPE_CHECKING:
    from cloister.authority.authorizer import SecurityAuthorizer
    from cloister.authority.context import RuntimeContext
    from cloister.authority.level import IsolationLevel
    from cloister.authority.registry import CapabilityRegistry
    from cloister.errors import CloisterError
    from cloister.lang.program import Program
    from cloister.lang.values import Value
    from cloister.limits import ResourceLimits
    from cloister.plan.recorder import RunRecorder

PROGRAMS_CACHED: Final = 64


@lru_cache(maxsize=PROGRAMS_CACHED)
def _effects(program: Program) -> PlanEffects:
    return step_effects(program.core)


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
) -> Iterator[CloisterError]:
    """Yield what speaks against the ways in which the steps of a plan are isolated; none is given another way."""
    for way, start, end in _ways(program):
        decision = authorizer.authorize_step(context, way)
        if not decision.allowed:
            error = decision.error()
            error.span = program.source.span(start, end)
            yield error


@dataclass(frozen=True, slots=True)
class DerivedProfiles:
    """The profiles of a plan: that of what is outside of all steps first.

    Attributes:
        derivations: With what each lacks.
    """

    derivations: tuple[Derivation, ...]

    @classmethod
    def of(
        cls,
        program: Program,
        context: RuntimeContext,
        authorizer: SecurityAuthorizer,
        registry: CapabilityRegistry,
        inputs: Mapping[str, Value],
    ) -> DerivedProfiles:
        """Derive them."""
        return cls(derive_all(_effects(program), context, authorizer, registry, inputs))

    def refusals(self, program: Program, level: IsolationLevel) -> list[CloisterError]:
        """Return what speaks against running the plan: a part that declares or needs too much, or a weak provider.

        What the context does not allow at all is not among it; admission says that by itself.
        """
        found: list[CloisterError] = []
        for derivation in self.derivations:
            weak = derivation.profile.refuses_level(level)
            if weak is not None and derivation.profile.place is not None:
                found.append(weak.error())
            for shortage in derivation.shortages:
                if shortage.error.code.startswith("denied.profile"):
                    error = shortage.error
                    error.span = program.source.span(shortage.start, shortage.end)
                    found.append(error)
        return found

    def record(self, recorder: RunRecorder, parent: int) -> None:
        """Record each profile of a plan that has steps; else there is no least privilege but that of the run."""
        for derivation in self.derivations if len(self.derivations) > 1 else ():
            profile = derivation.profile
            if profile.place is not None or profile.capabilities or profile.allows_computed:
                recorder.append(EventType.STEP_PROFILE_DERIVED, profile.to_dict(), parent=parent, durable=False)

    def stack(self) -> ProfileStack:
        """Return them as the stack of a run that begins."""
        outside, *steps = (derivation.profile for derivation in self.derivations)
        return ProfileStack(outside, steps)


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
        return replace(
            decision,
            allowed=False,
            reason=Reason(violation.code),
            permissions=frozenset(),
            read_paths=(),
            write_paths=(),
            environment=(),
            hosts=(),
            message=violation.message,
            hint=violation.hint,
        )

    def bounds(self) -> tuple[ResourceLimits, IsolationLevel]:
        """Return the limits and the weakest isolation of every execution now."""
        first, *others = self.stack.in_force
        limits, level = first.limits, first.minimum_isolation
        for each in others:
            limits, level = limits.narrow(each.limits), max(level, each.minimum_isolation)
        return limits, level
