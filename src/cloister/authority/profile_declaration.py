"""What `with-security-profile` declares, as the authority understands it.

Owns the comparison of a declaration with what a step needs and with what the context has. A declaration comes from the
plan. It is read from the one form that `lang.special_forms.profile` gives; what is not said in it bounds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import cast

from cloister.authority.capability import AccessKind
from cloister.authority.context import RuntimeContext
from cloister.authority.denials import denied_verdict
from cloister.authority.destination import Destination
from cloister.authority.grants import limit_grant, place_grant
from cloister.authority.hosts import HostRule, checked_hosts, granting_rule, intersect_hosts, uncovered_hosts
from cloister.authority.level import IsolationLevel
from cloister.authority.policy import covering_root, granted_path
from cloister.authority.profile import ClockUse, Feature, PlaceSet, StepProfile
from cloister.authority.registry import CapabilityRegistry
from cloister.errors import ConfigError, quoted
from cloister.lang.values import Map
from cloister.limits import ResourceLimits

_LEVELS = {level.label: level for level in IsolationLevel}


@dataclass(frozen=True, slots=True, kw_only=True)
class Excess:
    """One thing that is declared and that a context does not have.

    Attributes:
        what: What it is, in words.
        grants: The grants that would open it, as command-line options; empty when none would.
        why: What speaks against it, in words.
        advice: What else to do than to leave it out, when no grant opens it.
    """

    what: str
    grants: tuple[str, ...] = ()
    why: str = "which the run was not granted"
    advice: str | None = None

    @property
    def hint(self) -> str:
        """What to do about it."""
        if self.grants:
            return f"grant it with {' '.join(self.grants)}, or leave it out; a profile can only take away"
        return f"{self.advice}; or leave it out" if self.advice else "leave it out: no grant opens it"


@dataclass(frozen=True, slots=True, kw_only=True)
class DeclaredProfile:
    """What a part of a plan declares that it does at most. None where it says nothing.

    Attributes:
        capabilities: Ids as written, aliases allowed.
        read: Paths as written, each for itself and everything below.
        write: Paths as written; they may be read too.
        environment: Names of variables.
        hosts: Rules for places on the network, as texts.
        limits: Limits by field name.
        isolation: The weakest isolation.
        is_deterministic: Whether nothing it calls may depend on time, chance, or what is outside the run.
        features: What else it uses.
    """

    capabilities: frozenset[str] | None = None
    read: tuple[str, ...] | None = None
    write: tuple[str, ...] | None = None
    environment: frozenset[str] | None = None
    hosts: tuple[str, ...] | None = None
    limits: tuple[tuple[str, int], ...] = ()
    isolation: IsolationLevel = IsolationLevel.NONE
    is_deterministic: bool = False
    features: frozenset[Feature] | None = None

    @classmethod
    def from_map(cls, data: Map) -> DeclaredProfile:
        """Read a declaration.

        Args:
            data: As `lang.special_forms.profile.checked_profile` gives it.
        """

        def texts(name: str) -> tuple[str, ...] | None:
            return cast("tuple[str, ...] | None", data.get(name))

        def names(name: str) -> frozenset[str] | None:
            found = texts(name)
            return None if found is None else frozenset(found)

        features, level = texts("features"), texts("isolation")
        limits = cast("Map", data.get("limits") or Map())
        return cls(
            capabilities=names("capabilities"),
            read=texts("read"),
            write=texts("write"),
            environment=names("env"),
            hosts=texts("hosts"),
            limits=tuple((str(name), int(number)) for name, number in limits.items()),
            isolation=IsolationLevel.NONE if level is None else _LEVELS[level[0]],
            is_deterministic=data.get("deterministic") is True,
            features=None if features is None else frozenset(map(Feature, features)),
        )

    def beyond(self, context: RuntimeContext, registry: CapabilityRegistry) -> Iterator[Excess]:
        """Yield what is declared and a context does not have."""
        yield from self._unknown_capabilities(context, registry)
        for kind, paths, roots in (
            (AccessKind.READ, self.read, context.readable_paths),
            (AccessKind.WRITE, self.write, context.writable_paths),
        ):
            for path in paths or ():
                canonical = _path(path)
                if canonical is None or covering_root(canonical, roots) is None:
                    grants = () if canonical is None else (place_grant(kind, canonical),)
                    yield Excess(what=f"the {kind.value} path {quoted(path)}", grants=grants)
        for name in sorted(self.environment or ()):
            if not context.is_unsafe and name not in context.environment_names:
                yield Excess(what=f"the variable {quoted(name)}", grants=(place_grant(AccessKind.ENVIRONMENT, name),))
        yield from self._unheld_hosts(context)
        yield from self._higher_limits(context)
        if Feature.GPU in (self.features or ()):
            yield Excess(what="the feature gpu", why="which nothing here has")

    def _unknown_capabilities(self, context: RuntimeContext, registry: CapabilityRegistry) -> Iterator[Excess]:
        for name in sorted(self.capabilities or ()):
            spec = registry.find(name)
            if spec is None:
                advice = registry.nearest_hint(name)
                yield Excess(what=f"the capability {quoted(name)}", why="which is not known", advice=advice)
                continue
            verdict = context.verdict(registry.subject(spec.id))
            if not verdict.is_allowed:
                decision = denied_verdict(context, spec.id, verdict)
                what, grants = f"the capability {quoted(name)}", decision.denied_grants
                yield Excess(what=what, grants=grants, advice=decision.hint)

    def _higher_limits(self, context: RuntimeContext) -> Iterator[Excess]:
        held, usual = context.limits.to_dict(), ResourceLimits().to_dict()
        for name, number in self.limits:
            if number > held[name]:
                # One that somebody lowered may be that of a policy, which no option raises
                grants = (limit_grant(name, number),) if held[name] >= usual[name] else ()
                advice = "raise it in [limits] of the policy, or where the run was given a lower one"
                yield Excess(what=f"the limit {name} of {number}", grants=grants, advice=advice)

    def _unheld_hosts(self, context: RuntimeContext) -> Iterator[Excess]:
        for text in self.hosts or ():
            try:
                rules = checked_hosts((text,))
            except ConfigError:
                yield Excess(what=f'the host "{quoted(text, 60)}"')
                continue
            for rule in uncovered_hosts(rules, context.reachable_hosts):
                yield Excess(what=f"the host {rule}", grants=(place_grant(AccessKind.NETWORK, str(rule)),))

    def lacks(self, needed: StepProfile, registry: CapabilityRegistry) -> Iterator[str]:
        """Yield, in words, what one effect certainly needs and is not declared.

        What only the run will know is not among it: there the profile is bounded, and the call is refused if need be.
        """
        if self.capabilities is not None:
            ids = self._ids(registry)
            yield from (f"the capability {quoted(each)}" for each in sorted(needed.capabilities - ids))
            if needed.allows_computed:
                yield "a capability of which only the run knows the name"
        reads, writes = self._places()
        if reads is not None:
            yield from (f"to read {quoted(path)}" for path in sorted(needed.reads.exact) if not reads.covers(path))
        if writes is not None:
            yield from (f"to write {quoted(path)}" for path in sorted(needed.writes.exact) if not writes.covers(path))
        if self.environment is not None:
            yield from (f"the variable {quoted(name)}" for name in sorted(needed.environment - self.environment))
        rules = self._rules()
        if rules is not None:
            yield from (f"to reach {place}" for place in needed.destinations if not _admits(place, rules))
        if self.features is not None and not needed.allows_computed:
            yield from (f"the feature {feature.value}" for feature in sorted(needed.features - self.features))

    def applied_to(self, profile: StepProfile, registry: CapabilityRegistry) -> StepProfile:
        """Return a profile bounded by what is declared."""
        reads, writes, rules = *self._places(), self._rules()
        small = replace(
            profile,
            limits=profile.limits.narrow(replace(profile.limits, **dict(self.limits))),
            minimum_isolation=max(profile.minimum_isolation, self.isolation),
        )
        if self.capabilities is not None:
            small = replace(small, capabilities=small.capabilities & self._ids(registry), allows_computed=False)
        if reads is not None:
            small = replace(small, reads=small.reads.intersect(reads))
        if writes is not None:
            small = replace(small, writes=small.writes.intersect(writes))
        if self.environment is not None:
            small = replace(small, environment=small.environment & self.environment)
        if rules is not None:
            places = frozenset(place for place in small.destinations if _admits(place, rules))
            small = replace(small, destinations=places, hosts=intersect_hosts(small.hosts, rules))
        if self.features is not None:
            small = replace(small, features=small.features & self.features)
        return replace(small, clock=ClockUse.NONE) if self.is_deterministic else small

    def _ids(self, registry: CapabilityRegistry) -> frozenset[str]:
        specs = map(registry.find, self.capabilities or ())
        return frozenset(spec.id for spec in specs if spec is not None)

    def _places(self) -> tuple[PlaceSet | None, PlaceSet | None]:
        """Return what may be read, what may be written included, and what may be written."""
        writes = None if self.write is None else _trees(self.write)
        reads = None if self.read is None else _trees((*self.read, *(self.write or ())))
        return reads, writes

    def _rules(self) -> tuple[HostRule, ...] | None:
        if self.hosts is None:
            return None
        found: list[HostRule] = []
        for text in self.hosts:
            try:
                found += checked_hosts((text,))
            except ConfigError:
                continue  # said by `beyond`; here it allows nothing
        return tuple(found)


def _admits(place: Destination, rules: tuple[HostRule, ...]) -> bool:
    if place.method:
        return granting_rule(place, rules) is not None
    return any(replace(rule, methods=None).covers(place) for rule in rules)


def _path(text: str) -> str | None:
    try:
        return granted_path(text)
    except ConfigError:
        return None


def _trees(paths: tuple[str, ...]) -> PlaceSet:
    return PlaceSet(trees=tuple(sorted({path for path in map(_path, paths) if path is not None})))
