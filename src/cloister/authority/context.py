"""The one policy object: everything a run was granted, and everything denied to it.

Owns `RuntimeContext` and its three levels. A context is handed over, never looked up, and only shrinks. It holds
canonical paths and never asks the file system or the environment; whoever makes one from command-line options follows
links first and reads the variables' values. Denials win over grants at every level.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from os import PathLike
from typing import Any, Final, Unpack

from cloister.authority.cedar import check_policy
from cloister.authority.context_checks import (
    HALF_CHARACTER,
    checked_effects,
    checked_environment,
    checked_patterns,
    granted_paths,
    items,
    refuse_contradictions,
    refuse_mixed_levels,
    split_grants,
)
from cloister.authority.context_data import context_data, context_fields
from cloister.authority.exposure import ContextExposure
from cloister.authority.hosts import EVERY_HOST, HostRule, checked_hosts
from cloister.authority.level import IsolationLevel, SecurityLevel, StepIsolation
from cloister.authority.more_grants import MoreGrants, more_fields
from cloister.authority.narrowing import GRANTS, Narrowing, narrowed, narrowed_grants, refuse_wider
from cloister.authority.parameters import checked_texts, decoded
from cloister.authority.policy import outermost
from cloister.authority.rules import AccessRule, checked_rules
from cloister.authority.verdict import Subject, Verdict, grants, judge
from cloister.canonical import encode
from cloister.errors import ConfigError
from cloister.limits import ResourceLimits

__all__ = ["HALF_CHARACTER", "RuntimeContext", "SecurityLevel"]

_EVERYWHERE: Final = ("/",)
_LAYERS_COUNT_MAX: Final = 100
"""As many times as rules can be laid over rules; each layer is asked at every call."""
_DOMAIN: Final = b"cloister/context/v1\n"
_VARIABLES_DOMAIN: Final = b"cloister/context-variables/v1\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeContext:
    """What a run may do. Make one with `pure`, `controlled` or `unsafe_everything`.

    Attributes:
        level: How the rest is read.
        capabilities: Ids of allowed capabilities, exact; aliases allowed.
        patterns: Globs over canonical ids of allowed capabilities, for example `ccos.io.*`.
        denied: Ids and globs of capabilities that are refused, by any of their names, whatever grants them.
        allowed_effects: What capabilities may do at all; None when every effect is allowed.
        denied_effects: What they may not do, whatever is allowed.
        rules: Layers of rules over the arguments of calls; a call must pass each.
        cedar_policies: Policies in Cedar, each of which must allow a call too.
        read_paths: Canonical paths; each grants reading of itself and everything below.
        write_paths: Canonical paths; each grants reading and writing of itself and everything below.
        hosts: Places on the network that may be reached.
        denied_hosts: Places that may not, whatever is allowed.
        environment: Names and values of the variables a guest may see, sorted by name. Values never leave in `repr`
            or `to_dict`.
        limits: Upper bounds of every execution of the run.
        minimum_isolation: The weakest isolation this run may have.
        step_isolation: How a step of the plan may ask to stand to what is around it.
        allow_computed: Whether capability ids may be computed at run time; each computed id is still checked.
        exposures: Layers that say which capabilities may be told about the run; a capability must be in each, and with
            no layer none is.
        encoded_parameters: Cross-plan parameters as canonical JSON, by name; see `parameters`.
        parent_id: The `context_id` of the context this one is a child of; empty when it is none.
        readable_paths: Canonical roots of everything that may be read: read and write grants, or `/`.
        writable_paths: Canonical roots of everything that may be written: write grants, or `/`.
        is_unsafe: Whether everything is allowed that is not denied.
    """

    level: SecurityLevel = SecurityLevel.PURE
    capabilities: frozenset[str] = frozenset()
    patterns: frozenset[str] = frozenset()
    denied: frozenset[str] = frozenset()
    allowed_effects: frozenset[str] | None = None
    denied_effects: frozenset[str] = frozenset()
    rules: tuple[tuple[AccessRule, ...], ...] = ()
    cedar_policies: tuple[str, ...] = ()
    read_paths: tuple[str, ...] = ()
    write_paths: tuple[str, ...] = ()
    hosts: tuple[HostRule, ...] = ()
    denied_hosts: tuple[HostRule, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    minimum_isolation: IsolationLevel = IsolationLevel.NONE
    step_isolation: frozenset[StepIsolation] = frozenset(StepIsolation)
    allow_computed: bool = False
    exposures: tuple[ContextExposure, ...] = ()
    encoded_parameters: tuple[tuple[str, str], ...] = ()
    parent_id: str = ""
    readable_paths: tuple[str, ...] = field(init=False, repr=False, compare=False)
    writable_paths: tuple[str, ...] = field(init=False, repr=False, compare=False)
    is_unsafe: bool = field(init=False, repr=False, compare=False)
    _verdicts: dict[Subject, Verdict] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Check and normalise every field, because a context may also be built directly."""
        put = object.__setattr__
        put(self, "level", SecurityLevel(self.level))
        exact, patterns = split_grants(self.capabilities)
        put(self, "capabilities", exact)
        put(self, "patterns", patterns | checked_patterns(self.patterns))
        put(self, "read_paths", outermost(granted_paths(self.read_paths)))
        put(self, "write_paths", outermost(granted_paths(self.write_paths)))
        put(self, "hosts", checked_hosts(items(self.hosts)))
        put(self, "environment", checked_environment(self.environment))
        put(self, "minimum_isolation", IsolationLevel(self.minimum_isolation))
        self._check_restrictions()
        self._refuse_mixed_levels()
        # Found once: every decision asks for them
        is_unsafe = self.level is SecurityLevel.UNSAFE_EVERYTHING
        put(self, "is_unsafe", is_unsafe)
        put(self, "readable_paths", _EVERYWHERE if is_unsafe else self.read_paths + self.write_paths)
        put(self, "writable_paths", _EVERYWHERE if is_unsafe else self.write_paths)

    def _check_restrictions(self) -> None:
        put = object.__setattr__
        put(self, "denied", checked_patterns(self.denied, denying=True))
        if self.allowed_effects is not None:
            put(self, "allowed_effects", checked_effects(self.allowed_effects))
        put(self, "denied_effects", checked_effects(self.denied_effects))
        put(self, "denied_hosts", checked_hosts(items(self.denied_hosts), denying=True))
        put(self, "rules", tuple(checked_rules(tuple(layer)) for layer in self.rules if layer))
        put(self, "step_isolation", frozenset(map(StepIsolation, items(self.step_isolation))))
        put(self, "encoded_parameters", checked_texts(self.encoded_parameters))
        for policy in self.cedar_policies:
            check_policy(policy)
        if max(len(self.rules), len(self.cedar_policies), len(self.exposures)) > _LAYERS_COUNT_MAX:
            raise ConfigError(
                f"a context has more than {_LAYERS_COUNT_MAX} layers of one kind",
                code="config.context",
                hint="put rules that belong together into one layer",
            )
        refuse_contradictions(
            granted=self.capabilities | self.patterns,
            denied=self.denied,
            allowed_effects=self.allowed_effects or (),
            denied_effects=self.denied_effects,
            hosts=self.hosts,
            denied_hosts=self.denied_hosts,
        )

    def _refuse_mixed_levels(self) -> None:
        named = self.capabilities or self.patterns or self.read_paths or self.write_paths or self.hosts
        refuse_mixed_levels(
            self.level,
            has_grants=bool(named),
            has_variables=bool(self.environment),
            allows_computed=self.allow_computed,
        )

    @classmethod
    def pure(
        cls, *, limits: ResourceLimits | None = None, minimum_isolation: IsolationLevel = IsolationLevel.NONE
    ) -> RuntimeContext:
        """Return a context that grants nothing."""
        return cls(limits=limits or ResourceLimits(), minimum_isolation=minimum_isolation)

    @classmethod
    def controlled(
        cls,
        *,
        capabilities: Collection[str] = (),
        read: Collection[str | PathLike[str]] = (),
        write: Collection[str | PathLike[str]] = (),
        environment: Mapping[str, str] | None = None,
        limits: ResourceLimits | None = None,
        minimum_isolation: IsolationLevel = IsolationLevel.NONE,
        allow_computed: bool = False,
        **more: Unpack[MoreGrants],
    ) -> RuntimeContext:
        """Return a context that grants exactly what is listed.

        Args:
            capabilities: Ids, aliases allowed, and globs over canonical ids such as `ccos.io.*`.
            read: Absolute paths with links followed.
            write: Absolute paths with links followed; includes reading.
            environment: Variables with their values.
            limits: Defaults to `ResourceLimits()`.
            minimum_isolation: The weakest acceptable isolation.
            allow_computed: Whether capability ids may be computed.
            more: The rest, by name; see `MoreGrants`.

        Raises:
            ConfigError: `config.` and the part for what cannot be meant; `config.contradiction`.
        """
        return cls(
            level=SecurityLevel.CONTROLLED,
            capabilities=frozenset(items(capabilities)),
            read_paths=tuple(granted_paths(read)),
            write_paths=tuple(granted_paths(write)),
            environment=tuple((environment or {}).items()),
            limits=limits or ResourceLimits(),
            minimum_isolation=minimum_isolation,
            allow_computed=allow_computed,
            **more_fields(more),
        )

    @classmethod
    def unsafe_everything(
        cls,
        *,
        environment: Mapping[str, str] | None = None,
        limits: ResourceLimits | None = None,
        minimum_isolation: IsolationLevel = IsolationLevel.NONE,
    ) -> RuntimeContext:
        """Return a context that allows every registered capability, host and variable, every path but the kernel's.

        Limits still hold, `narrow` can deny things, and every record of the run says that it was decided so.
        """
        return cls(
            level=SecurityLevel.UNSAFE_EVERYTHING,
            environment=tuple((environment or {}).items()),
            limits=limits or ResourceLimits(),
            minimum_isolation=minimum_isolation,
            allow_computed=True,
        )

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], environment: Mapping[str, str] | None = None) -> RuntimeContext:
        """Return the context that `to_dict` wrote.

        Args:
            data: As `to_dict` gave it, not trusted to be well formed.
            environment: The values of the variables it names, which are not in the data.

        Raises:
            ConfigError: `config.context` for data of another form, `config.environment` for other variables, and as
                for `controlled`.
        """
        return cls(**context_fields(data, environment or {}))

    @property
    def reachable_hosts(self) -> tuple[HostRule, ...]:
        """Rules for the places that may be reached, but for those that are denied."""
        return EVERY_HOST if self.is_unsafe else self.hosts

    @property
    def environment_names(self) -> tuple[str, ...]:
        """The names of the granted variables, sorted."""
        return tuple(name for name, _ in self.environment)

    @property
    def parameters(self) -> dict[str, Any]:
        """The cross-plan parameters; each time new values."""
        return decoded(self.encoded_parameters)

    @property
    def sha256(self) -> str:
        """Digest of everything but the values of variables, as 64 hexadecimal digits; see `variables_sha256`."""
        return hashlib.sha256(_DOMAIN + encode(self.to_dict())).hexdigest()

    @property
    def context_id(self) -> str:
        """What a child calls this context by: its digest."""
        return self.sha256

    def variables_sha256(self, key: bytes) -> str:
        """Return a keyed digest of the variables with their values, to compare them without keeping them.

        Args:
            key: A secret of whoever compares. Without one, anybody who reads the digest could try values against it.
        """
        pairs = encode([list(pair) for pair in self.environment])
        return hmac.new(key, _VARIABLES_DOMAIN + pairs, "sha256").hexdigest()

    def verdict(self, subject: Subject) -> Verdict:
        """Return what the grants say of a capability; the second time it costs nothing."""
        found = self._verdicts.get(subject)
        if found is None:
            found = self._verdicts[subject] = judge(
                subject,
                is_granted=self._is_granted,
                denied=self.denied,
                allowed_effects=self.allowed_effects,
                denied_effects=self.denied_effects,
                layers=self.rules,
            )
        return found

    def is_step_isolation_allowed(self, way: StepIsolation) -> bool:
        """Return whether a step of the plan may ask to be isolated in that way."""
        return way in self.step_isolation

    def is_context_exposure_allowed_for(self, capability_id: str, tags: Collection[str] = ()) -> bool:
        """Return whether a capability may be told about the run it is called in.

        Args:
            capability_id: Canonical id.
            tags: Its tags.
        """
        return bool(self.exposures) and all(each.is_for(capability_id, tags) for each in self.exposures)

    def narrow(self, **asked: Unpack[Narrowing]) -> RuntimeContext:
        """Return a context with at most the authority of this one. What is not given stays as it is.

        Each grant that is named is intersected with what is held, so asking for more gives nothing more; each denial is
        added. Capability ids are compared as they are spelled in both. Giving up `write` also gives up the reading that
        it included, unless `read` asks for it. See `Narrowing` for what can be given.

        Raises:
            ConfigError: `config.context` when grants of `UnsafeEverything` are narrowed without naming the
                capabilities to keep; and as for `controlled`.
        """
        smaller = narrowed(self, asked)
        if self.level is SecurityLevel.PURE:
            return replace(self, **smaller)
        if self.is_unsafe and all(asked.get(name) is None for name in GRANTS):
            return replace(self, **smaller)
        if self.is_unsafe and asked.get("capabilities") is None:
            raise ConfigError(
                "narrowing UnsafeEverything needs the capabilities to keep",
                code="config.context",
                hint="pass capabilities=[...]",
            )
        kept = narrowed_grants(self, asked, smaller)
        return replace(self, level=SecurityLevel.CONTROLLED, **smaller, **kept)

    def child(self, **asked: Unpack[Narrowing]) -> RuntimeContext:
        """Return a narrower context that names this one as its parent, and refuse one that would be wider.

        Raises:
            ConfigError: `config.wider` when it asks for what this context does not have; otherwise as for `narrow`.
        """
        smaller = self.narrow(**asked)
        refuse_wider(self, asked, smaller)
        return replace(smaller, parent_id=self.context_id)

    def to_dict(self) -> dict[str, Any]:
        """Return the grants as plain data for the chain: texts, integers and booleans; names of variables only."""
        return context_data(self)

    def _is_granted(self, subject: Subject) -> bool:
        match self.level:
            case SecurityLevel.CONTROLLED:
                return grants(subject, self.capabilities, self.patterns)
            case SecurityLevel.UNSAFE_EVERYTHING:
                return True
            case _:
                return False
