"""What one step of a plan may do: what it was found to need, within what the run was granted.

Owns `StepProfile`: what it covers, what it is together with another, and its one form for the record. It only ever
takes away: whatever it covers has still to be allowed by the context. Pure. How it is derived is in
`profile_derivation`; holding calls to it is for whoever runs the plan.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any, Final

from cloister.authority.capability import AccessKind
from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision
from cloister.authority.destination import Destination
from cloister.authority.grants import capability_grant, host_grant, place_grant
from cloister.authority.hosts import HostRule, granting_rule, intersect_hosts
from cloister.authority.level import IsolationLevel
from cloister.authority.policy import covering_root, intersect_roots
from cloister.canonical import encode, sha256_hex
from cloister.errors import ProfileDenied, quoted
from cloister.limits import ResourceLimits

OUTSIDE: Final = "outside of all steps"


class Feature(StrEnum):
    """Something that is open to a step only when it says so."""

    MODEL = "model"
    """Asking a language model."""
    GPU = "gpu"
    """No capability of this version has one, so no step does."""


class ClockUse(StrEnum):
    """What a step sees of the time of day and of chance."""

    NONE = "none"
    """Nothing: it calls nothing that gives either."""
    REAL = "real"
    """The machine's."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceSet:
    """Paths, in two kinds, because what is written in a plan is exact and what it computes is not.

    Attributes:
        exact: Canonical paths, each for itself alone.
        trees: Canonical roots, each for itself and everything below.
    """

    exact: frozenset[str] = frozenset()
    trees: tuple[str, ...] = ()

    def covers(self, path: str) -> bool:
        """Return whether a canonical path is in it."""
        return path in self.exact or covering_root(path, self.trees) is not None

    def intersect(self, other: PlaceSet) -> PlaceSet:
        """Return what is in both."""
        exact = {path for path in self.exact if other.covers(path)} | {p for p in other.exact if self.covers(p)}
        return PlaceSet(exact=frozenset(exact), trees=intersect_roots(self.trees, other.trees))

    def roots(self) -> tuple[str, ...]:
        """Return everything as roots: more than it covers, when an exact path is a directory."""
        return tuple(sorted({*self.exact, *self.trees}))

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data."""
        return {"exact": sorted(self.exact), "trees": list(self.trees)}


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileViolation:
    """What a step's profile does not cover.

    Attributes:
        code: Which rule it breaks, a code of `docs/errors.md`.
        message: One sentence.
        hint: What would allow it.
    """

    code: str
    message: str
    hint: str

    def error(self) -> ProfileDenied:
        """Return it as the error to raise."""
        return ProfileDenied(self.message, code=self.code, hint=self.hint)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepProfile:
    """What one step may do.

    Attributes:
        step_name: Its name; None when the plan computes it.
        place: Its `StepOptions.place`; None for what is outside of all steps.
        capabilities: Canonical ids.
        allows_computed: Whether ids may be computed: then it covers every capability, and the context decides.
        reads: Paths that may be read, those that may be written included.
        writes: Paths that may be written.
        destinations: Places on the network that are written in the plan.
        hosts: Rules for places that the plan computes.
        environment: Names of variables.
        has_workdir: Whether a sandbox of a call has a directory of its own, which is gone afterwards.
        limits: Upper bounds of every execution of the step.
        minimum_isolation: The weakest isolation that its calls may have.
        clock: What it sees of the time of day and of chance.
        features: What else is open to it.
    """

    step_name: str | None
    place: int | None
    capabilities: frozenset[str] = frozenset()
    allows_computed: bool = False
    reads: PlaceSet = PlaceSet()
    writes: PlaceSet = PlaceSet()
    destinations: frozenset[Destination] = frozenset()
    hosts: tuple[HostRule, ...] = ()
    environment: frozenset[str] = frozenset()
    has_workdir: bool = False
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    minimum_isolation: IsolationLevel = IsolationLevel.NONE
    clock: ClockUse = ClockUse.NONE
    features: frozenset[Feature] = frozenset()
    _digest: list[str] = field(init=False, repr=False, compare=False, default_factory=list)

    @property
    def profile_id(self) -> str:
        """Digest of all of it, as 64 hexadecimal digits; the second time it costs nothing."""
        if not self._digest:
            self._digest.append(sha256_hex(b"cloister/step-profile/v1\n" + encode(self._data())))
        return self._digest[0]

    def to_dict(self) -> dict[str, Any]:
        """Return it as plain data for the record."""
        return {"profile_id": self.profile_id, **self._data()}

    def _data(self) -> dict[str, Any]:
        return {
            "step_name": None if self.step_name is None else quoted(self.step_name),
            "place": self.place,
            "capabilities": sorted(self.capabilities),
            "allows_computed": self.allows_computed,
            "filesystem": {
                "reads": self.reads.to_dict(),
                "writes": self.writes.to_dict(),
                "has_workdir": self.has_workdir,
            },
            "network": {
                "destinations": sorted(f"{each.scheme} {each}" for each in self.destinations),
                "rules": [str(rule) for rule in self.hosts],
            },
            "environment": sorted(self.environment),
            "limits": self.limits.to_dict(),
            "minimum_isolation": self.minimum_isolation.label,
            "clock": self.clock.value,
            "features": sorted(each.value for each in self.features),
        }

    def covers(self, decision: Decision) -> ProfileViolation | None:
        """Return what of an allowed decision the profile does not cover; None when it covers all.

        Args:
            decision: About one call, with the places it names.
        """
        if decision.capability_id not in self.capabilities and not self.allows_computed:
            name = quoted(decision.capability_id)
            message = f"{self._subject()} may not call {name}: the plan does not say that it does"
            hint = f"call it in the step itself, or declare it; the run needs {capability_grant(name)} as well"
            return ProfileViolation(code="denied.profile", message=message, hint=hint)
        for path in decision.write_paths:
            if not self.writes.covers(path):
                return self._violation(decision, f"may not write {quoted(path)}", place_grant(AccessKind.WRITE, path))
        for path in decision.read_paths:
            if not self.reads.covers(path) and not self.writes.covers(path):
                return self._violation(decision, f"may not read {quoted(path)}", place_grant(AccessKind.READ, path))
        for place in decision.hosts:
            if not self._reaches(place):
                return self._violation(decision, f"may not reach {quoted(str(place))}", host_grant(place))
        for name in decision.environment:
            if name not in self.environment:
                return self._violation(
                    decision, f"may not see the variable {quoted(name)}", place_grant(AccessKind.ENVIRONMENT, name)
                )
        return None

    def refuses_level(self, level: IsolationLevel) -> ProfileViolation | None:
        """Return why a provider of that level is too weak for the step; None when it is not."""
        if level >= self.minimum_isolation:
            return None
        return ProfileViolation(
            code="denied.profile-isolation",
            message=f"{self._subject()} needs the isolation {self.minimum_isolation.label}; there is {level.label}",
            hint="choose a provider with a higher level, see cloister doctor, or demand less in the plan",
        )

    def intersect(self, other: StepProfile) -> StepProfile:
        """Return what both cover, with the name and place of this one: a step inside another has no more than it."""
        both = self.capabilities & other.capabilities
        mine = self.capabilities if other.allows_computed else frozenset()
        theirs = other.capabilities if self.allows_computed else frozenset()
        rules = intersect_hosts(self.hosts, other.hosts)
        wanted = {*self._destinations(other), *other._destinations(self)}
        exact = {place for place in wanted if self._reaches(place) and other._reaches(place)}
        return StepProfile(
            step_name=self.step_name,
            place=self.place,
            capabilities=both | mine | theirs,
            allows_computed=self.allows_computed and other.allows_computed,
            reads=self._readable().intersect(other._readable()),
            writes=self.writes.intersect(other.writes),
            destinations=frozenset(exact),
            hosts=rules,
            environment=self.environment & other.environment,
            has_workdir=self.has_workdir and other.has_workdir,
            limits=self.limits.narrow(other.limits),
            minimum_isolation=max(self.minimum_isolation, other.minimum_isolation),
            clock=self.clock if self.clock is other.clock else ClockUse.NONE,
            features=self.features & other.features,
        )

    def narrow(self, context: RuntimeContext) -> RuntimeContext:
        """Return the context with no more places, variables and limits than the profile has.

        What sandboxes of the step are built from. `covers` is asked as well, which is more exact: here an exact path is
        a root, capabilities stay as they are, and of what is allowed without limits only limits get smaller.
        """
        if context.is_unsafe:
            return context.narrow(limits=self.limits, minimum_isolation=self.minimum_isolation)
        exact = [HostRule(host=each.host, ports=frozenset({each.port})) for each in self.destinations]
        return context.narrow(
            read=self._readable().roots(),
            write=self.writes.roots(),
            connect=(*self.hosts, *exact),
            environment=tuple(self.environment),
            limits=self.limits,
            minimum_isolation=self.minimum_isolation,
        )

    def _readable(self) -> PlaceSet:
        trees = tuple(sorted({*self.reads.trees, *self.writes.trees}))
        return PlaceSet(exact=self.reads.exact | self.writes.exact, trees=trees)

    def _destinations(self, other: StepProfile) -> Iterator[Destination]:
        """Yield the places that are written, those for every method also with each method the other knows."""
        methods = {place.method for place in other.destinations}
        methods.update(*(rule.methods for rule in other.hosts if rule.methods is not None))
        for place in self.destinations:
            yield place
            if not place.method:
                yield from (replace(place, method=method) for method in methods)

    def _reaches(self, place: Destination) -> bool:
        alike = (each for each in self.destinations if (each.scheme, each.host, each.port) == _where(place))
        return any(each.method in ("", place.method) for each in alike) or granting_rule(place, self.hosts) is not None

    def _subject(self) -> str:
        if self.place is None:
            return "the plan outside of its steps"
        return "the step" if self.step_name is None else f'the step "{quoted(self.step_name, 60)}"'

    def _violation(self, decision: Decision, what: str, grant: str) -> ProfileViolation:
        hint = f"call it in the step itself, or declare it in with-security-profile; the run needs {grant} as well"
        message = f"{self._subject()} {what}, which {quoted(decision.capability_id)} wants"
        return ProfileViolation(code="denied.profile", message=message, hint=hint)


def _where(place: Destination) -> tuple[str, str, int]:
    return place.scheme, place.host, place.port
