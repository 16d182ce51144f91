"""The profiles of a plan's steps, before it runs.

Owns the way from a compiled plan to the profiles that its calls are held to, and to the refusals of those that do not
fit. Decides only; recording and raising are the caller's.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from cloister.authority.authorizer import SecurityAuthorizer
from cloister.authority.context import RuntimeContext
from cloister.authority.level import IsolationLevel
from cloister.authority.profile import ProfileViolation, StepProfile
from cloister.authority.profile_derivation import Derivation, Shortage, derive_all
from cloister.authority.profile_stack import ProfileStack
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import CloisterError
from cloister.lang.program import Program
from cloister.lang.step_effects import PlanEffects, step_effects
from cloister.lang.values import Value

PROGRAMS_CACHED: Final = 64


@lru_cache(maxsize=PROGRAMS_CACHED)
def _effects(program: Program) -> PlanEffects:
    return step_effects(program.core)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanProfiles:
    """What the steps of one plan may do.

    Attributes:
        outside: What is outside of all steps may do.
        steps: What each step may do, in the order of the text.
        shortages: What speaks against running the plan, each once, and its error with its place. Beside those that
            admission finds itself, they are about what parts of the plan declare (`ProfileDenied`).
    """

    outside: StepProfile
    steps: tuple[StepProfile, ...]
    shortages: tuple[Shortage, ...]

    @property
    def refusals(self) -> tuple[CloisterError, ...]:
        """The errors of the shortages."""
        return tuple(each.error for each in self.shortages)

    def stack(self) -> ProfileStack:
        """Return what holds calls to them in one run."""
        return ProfileStack(self.outside, self.steps)

    def too_weak(self, level: IsolationLevel) -> ProfileViolation | None:
        """Return why a provider of that level cannot run the plan; None when it can."""
        return next((found for each in self.steps if (found := each.refuses_level(level)) is not None), None)


def derive_profiles(
    program: Program,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
    registry: CapabilityRegistry,
    inputs: Mapping[str, Value] | None = None,
) -> PlanProfiles:
    """Derive the profile of each step of a plan.

    Args:
        program: What is to run.
        context: What it was granted.
        authorizer: Decides each effect, as far as it is known.
        registry: The capabilities there are.
        inputs: Values of the program's inputs, as far as they are known.

    Cost:
        One decision for each effect of each step it can be reached from.
    """
    first, *steps = derive_all(_effects(program), context, authorizer, registry, inputs)
    return PlanProfiles(
        outside=first.profile,
        steps=tuple(each.profile for each in steps),
        shortages=tuple(_placed(program, (first, *steps))),
    )


def _placed(program: Program, derivations: Iterable[Derivation]) -> Iterable[Shortage]:
    found: dict[tuple[int, int, str, str], Shortage] = {}
    for derivation in derivations:
        for each in derivation.shortages:
            found.setdefault((each.start, each.end, each.error.code, each.error.message), each)
    for _, each in sorted(found.items(), key=lambda item: item[0]):
        each.error.span = program.source.span(each.start, each.end)
        yield each
