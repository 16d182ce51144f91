"""Deriving what a step may do from what it was found to need.

Owns the rule: what the plan writes out is taken exactly, what it computes is bounded by what the context grants of that
kind, and what a part of the plan declares of itself bounds both. Nothing is ever made to fit: where the context does
not allow what the step needs, or the step needs more than it declares, or declares more than the context has, that is
said, for admission to refuse. Pure, but for the `PathResolver` of the authorizer. Effects and declarations come from
the plan; the context is the operator's.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cloister.authority.authorizer import Decision, SecurityAuthorizer
from cloister.authority.capability import AccessKind, CapabilitySpec
from cloister.authority.context import RuntimeContext
from cloister.authority.effect import EffectLabel
from cloister.authority.hosts import intersect_hosts
from cloister.authority.permission import Permission
from cloister.authority.profile import ClockUse, Feature, PlaceSet, StepProfile
from cloister.authority.profile_declaration import DeclaredProfile
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import CloisterError, GuestError, ProfileDenied, quoted
from cloister.lang.effects import UNKNOWN, Effect, outline_of
from cloister.lang.step_effects import PlanEffects, StepEffects
from cloister.lang.values import Map, Value

DETERMINED: Final = frozenset({EffectLabel.COMPUTE, EffectLabel.FILESYSTEM, EffectLabel.STATE})
"""Effects whose result follows from what was there before. Reading a granted variable is the one more that does."""
_NOWHERE: Final = -1
"""In place of the place of a step: outside of all steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """One thing that a step needs and does not have.

    Attributes:
        capability_id: What is called; as the plan writes it. None for a computed id, and for what is declared.
        start: Offset of the place in the text.
        end: Offset after it.
        error: What speaks against it, without a place.
        grants: The grants that would allow it, as command-line words; empty when none would.
    """

    capability_id: str | None
    start: int
    end: int
    error: CloisterError
    grants: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """What became of one step.

    Attributes:
        profile: What it may do; without what it lacks.
        shortages: What it lacks, in the order of the text. Admission refuses the plan when there is any.
    """

    profile: StepProfile
    shortages: tuple[Shortage, ...]


def derive_all(
    plan: PlanEffects,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
    registry: CapabilityRegistry,
    inputs: Mapping[str, Value] | None = None,
) -> tuple[Derivation, ...]:
    """Derive the profile of each step of a plan, after that of what is outside of all steps."""
    outside = StepEffects(place=_NOWHERE, name=None, start=0, end=0, effects=plan.outside)
    return tuple(derive(each, context, authorizer, registry, inputs) for each in (outside, *plan.steps))


def derive(
    step: StepEffects,
    context: RuntimeContext,
    authorizer: SecurityAuthorizer,
    registry: CapabilityRegistry,
    inputs: Mapping[str, Value] | None = None,
) -> Derivation:
    """Derive what one step may do.

    Args:
        step: What it can reach, and what it declares.
        context: What the run was granted.
        authorizer: Decides each effect, as far as it is known.
        registry: The capabilities there are.
        inputs: Values of the program's inputs, as far as they are known.
    """
    deriving = _Deriving(step, context, authorizer, registry, inputs or {})
    for effect in step.effects:
        deriving.take(effect)
    for declared in map(DeclaredProfile.from_map, step.declared):
        deriving.bound(declared)
    return Derivation(
        profile=deriving.profile, shortages=tuple(sorted(deriving.shortages, key=lambda each: (each.start, each.end)))
    )


class _Deriving:
    """The derivation of one step."""

    def __init__(
        self,
        step: StepEffects,
        context: RuntimeContext,
        authorizer: SecurityAuthorizer,
        registry: CapabilityRegistry,
        inputs: Mapping[str, Value],
    ) -> None:
        self._step = step
        self._context = context
        self._authorizer = authorizer
        self._registry = registry
        self._inputs = inputs
        self._uses: list[tuple[Effect, CapabilitySpec | None, StepProfile]] = []
        self.shortages: list[Shortage] = []
        self.profile = StepProfile(
            step_name=step.name,
            place=None if step.place == _NOWHERE else step.place,
            limits=context.limits,
            minimum_isolation=context.minimum_isolation,
        )

    def take(self, effect: Effect) -> None:
        """Add what one effect needs, or note why the context does not allow it."""
        if effect.capability_id is None:
            decision = self._authorizer.authorize_computed(self._context)
            known = replace(
                self._blank(),
                allows_computed=True,
                has_workdir=True,
                clock=ClockUse.REAL,
                features=frozenset({Feature.MODEL}),
            )
            self._use(effect, None, decision, known, frozenset(AccessKind))
            return
        outline = outline_of(effect, self._inputs)
        try:
            decision = self._authorizer.foresee(self._context, effect.capability_id, outline)
        except GuestError as error:
            self._lack(effect, error)
            return
        spec = self._registry.find(effect.capability_id)
        if spec is None or not decision.allowed:
            self._use(effect, spec, decision, self._blank())
            return
        self._use(effect, spec, decision, self._known(spec, decision), _unknown_kinds(spec, outline))

    def _blank(self) -> StepProfile:
        return StepProfile(step_name=None, place=None, limits=self.profile.limits)

    def _use(
        self,
        effect: Effect,
        spec: CapabilitySpec | None,
        decision: Decision,
        known: StepProfile,
        unknown: frozenset[AccessKind] = frozenset(),
    ) -> None:
        """Add what one effect needs: what is known of it, and whatever the context grants of what is not."""
        if not decision.allowed:
            self._lack(effect, decision.error(), decision.denied_grants)
            return
        self._uses.append((effect, spec, known))
        self.profile = joined(self.profile, known)
        for kind in unknown:
            self.profile = joined(self.profile, _granted(self._blank(), self._context, kind))

    def _lack(self, effect: Effect, error: CloisterError, grants: tuple[str, ...] = ()) -> None:
        self.shortages.append(
            Shortage(capability_id=effect.capability_id, start=effect.start, end=effect.end, error=error, grants=grants)
        )

    def _known(self, spec: CapabilitySpec, decision: Decision) -> StepProfile:
        return replace(
            self._blank(),
            capabilities=frozenset({spec.id}),
            reads=PlaceSet(exact=frozenset(decision.read_paths)),
            writes=PlaceSet(exact=frozenset(decision.write_paths)),
            destinations=frozenset(decision.hosts),
            environment=frozenset(decision.environment),
            has_workdir=spec.permission is not None,
            clock=ClockUse.REAL if _tells_time(spec) else ClockUse.NONE,
            features=frozenset({Feature.MODEL}) if EffectLabel.AI in spec.effects else frozenset(),
        )

    def bound(self, declared: DeclaredProfile) -> None:
        """Bound the profile by what the step declares of itself, and note what it needs beyond."""
        where = self._step
        for excess in declared.beyond(self._context, self._registry):
            error = ProfileDenied(
                f"with-security-profile declares {excess.what}, {excess.why}",
                code="denied.profile-wider",
                hint=excess.hint,
            )
            self.shortages.append(
                Shortage(capability_id=None, start=where.start, end=where.end, error=error, grants=excess.grants)
            )
        for effect, spec, needed in self._uses:
            for problem in (*declared.lacks(needed, self._registry), *self._undetermined(declared, spec)):
                self._lack(effect, _needs_more(problem))
        self.profile = declared.applied_to(self.profile, self._registry)

    @staticmethod
    def _undetermined(declared: DeclaredProfile, spec: CapabilitySpec | None) -> Iterator[str]:
        if not declared.is_deterministic:
            return
        if spec is None:
            yield "a capability of which only the run knows the name, in a part that is to be deterministic"
        elif not _is_determined(spec):
            yield f"{quoted(spec.id)}, whose result is not determined, in a part that is to be deterministic"


def _needs_more(problem: str) -> ProfileDenied:
    return ProfileDenied(
        f"the body of with-security-profile needs {problem}",
        code="denied.profile-needs",
        hint="declare it in the profile, or take it out of the body",
    )


def joined(left: StepProfile, right: StepProfile) -> StepProfile:
    """Return a profile that covers what either does, with the name, place, limits and level of the first."""
    return replace(
        left,
        capabilities=left.capabilities | right.capabilities,
        allows_computed=left.allows_computed or right.allows_computed,
        reads=_both(left.reads, right.reads),
        writes=_both(left.writes, right.writes),
        destinations=left.destinations | right.destinations,
        hosts=tuple(sorted({*left.hosts, *right.hosts}, key=str)),
        environment=left.environment | right.environment,
        has_workdir=left.has_workdir or right.has_workdir,
        clock=ClockUse.REAL if ClockUse.REAL in (left.clock, right.clock) else ClockUse.NONE,
        features=left.features | right.features,
    )


def _both(left: PlaceSet, right: PlaceSet) -> PlaceSet:
    return PlaceSet(exact=left.exact | right.exact, trees=tuple(sorted({*left.trees, *right.trees})))


def _granted(blank: StepProfile, context: RuntimeContext, kind: AccessKind) -> StepProfile:
    """Return everything of one kind that a context grants."""
    match kind:
        case AccessKind.READ:
            return replace(blank, reads=PlaceSet(trees=tuple(sorted(set(context.readable_paths)))))
        case AccessKind.WRITE:
            return replace(blank, writes=PlaceSet(trees=context.writable_paths))
        case AccessKind.ENVIRONMENT:
            return replace(blank, environment=frozenset(context.environment_names))
        case AccessKind.NETWORK:
            return replace(blank, hosts=intersect_hosts(context.reachable_hosts, context.reachable_hosts))


def _unknown_kinds(spec: CapabilitySpec, outline: tuple[Value, ...]) -> frozenset[AccessKind]:
    """Return the kinds of place that arguments name which only the run knows."""
    if len(outline) == 1 and not _is_known(outline[0]) and not isinstance(outline[0], Map):
        # One value that is not known may be a map that names every parameter
        return frozenset(access.kind for access in spec.access)
    bound = spec.bind(outline, partly=True)
    return frozenset(access.kind for access in spec.access if not _is_known(bound.get(access.parameter)))


def _is_known(value: Value) -> bool:
    if isinstance(value, (tuple, Map)):
        return all(map(_is_known, value.values() if isinstance(value, Map) else value))
    return value is not UNKNOWN


def _is_determined(spec: CapabilitySpec) -> bool:
    if spec.permission == Permission.ENVIRONMENT.value:
        return spec.effects <= {*DETERMINED, EffectLabel.SYSTEM}
    return spec.effects <= DETERMINED


def _tells_time(spec: CapabilitySpec) -> bool:
    is_variable = spec.permission == Permission.ENVIRONMENT.value
    return EffectLabel.PROCESS in spec.effects or (EffectLabel.SYSTEM in spec.effects and not is_variable)
