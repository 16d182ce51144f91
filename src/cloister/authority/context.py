"""The one policy object: everything a run was granted.

Owns `RuntimeContext` and its three levels. A context is handed over, never looked up, and only shrinks. It holds
canonical paths and never asks the file system or the environment; whoever makes one from command-line options follows
links first and reads the variables' values.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from os import PathLike, fspath
from typing import Any, Final, TypeVar

from cloister.authority.level import IsolationLevel
from cloister.authority.policy import granted_path, intersect_roots, outermost
from cloister.errors import ConfigError, quoted
from cloister.limits import ResourceLimits

_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
HALF_CHARACTER: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves that stand for no byte; Python has the others for bytes of the environment that are no UTF-8."""

_EVERYWHERE: Final = ("/",)


class SecurityLevel(StrEnum):
    """How a context decides."""

    PURE = "pure"
    """Nothing at all: code that only computes."""
    CONTROLLED = "controlled"
    """Exactly what is listed."""
    UNSAFE_EVERYTHING = "UnsafeEverything"
    """Every registered capability, path and variable. Spelled out because it is a hole, and recorded as one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RuntimeContext:
    """What a run may do. Make one with `pure`, `controlled` or `unsafe_everything`.

    Attributes:
        level: How the rest is read.
        capabilities: Ids of allowed capabilities, exact; there are no wildcards.
        read_paths: Canonical paths; each grants reading of itself and everything below.
        write_paths: Canonical paths; each grants reading and writing of itself and everything below.
        environment: Names and values of the variables a guest may see, sorted by name. Values never leave in `repr`
            or `to_dict`.
        limits: Upper bounds of every execution of the run.
        minimum_isolation: The weakest isolation this run may have.
        allow_computed: Whether capability ids may be computed at run time; each computed id is still checked.
    """

    level: SecurityLevel = SecurityLevel.PURE
    capabilities: frozenset[str] = frozenset()
    read_paths: tuple[str, ...] = ()
    write_paths: tuple[str, ...] = ()
    environment: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    limits: ResourceLimits = field(default_factory=ResourceLimits)
    minimum_isolation: IsolationLevel = IsolationLevel.NONE
    allow_computed: bool = False

    def __post_init__(self) -> None:
        """Check and normalise every field, because a context may also be built directly."""
        put = object.__setattr__
        put(self, "level", SecurityLevel(self.level))
        put(self, "capabilities", frozenset(_checked_id(capability) for capability in _items(self.capabilities)))
        put(self, "read_paths", outermost(_granted(self.read_paths)))
        put(self, "write_paths", outermost(_granted(self.write_paths)))
        put(self, "environment", _checked_environment(self.environment))
        put(self, "minimum_isolation", IsolationLevel(self.minimum_isolation))
        if self.level is SecurityLevel.PURE and (self.capabilities or self._has_places() or self.allow_computed):
            raise ConfigError(
                "a pure context grants nothing, but grants were given",
                code="config.context",
                hint="use RuntimeContext.controlled",
            )
        if self.level is SecurityLevel.UNSAFE_EVERYTHING and (
            self.capabilities or self.read_paths or self.write_paths or not self.allow_computed
        ):
            raise ConfigError(
                "UnsafeEverything grants everything; single grants beside it would be mistaken for a restriction",
                code="config.context",
                hint="use RuntimeContext.controlled to grant single things",
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
    ) -> RuntimeContext:
        """Return a context that grants exactly what is listed.

        Args:
            capabilities: Exact ids, aliases allowed.
            read: Absolute paths with links followed.
            write: Absolute paths with links followed; includes reading.
            environment: Variables with their values.
            limits: Defaults to `ResourceLimits()`.
            minimum_isolation: The weakest acceptable isolation.
            allow_computed: Whether capability ids may be computed.

        Raises:
            ConfigError: `config.path`, `config.capability`, `config.environment` for a grant that cannot be meant.
        """
        return cls(
            level=SecurityLevel.CONTROLLED,
            capabilities=frozenset(_items(capabilities)),
            read_paths=tuple(_granted(read)),
            write_paths=tuple(_granted(write)),
            environment=tuple((environment or {}).items()),
            limits=limits or ResourceLimits(),
            minimum_isolation=minimum_isolation,
            allow_computed=allow_computed,
        )

    @classmethod
    def unsafe_everything(
        cls,
        *,
        environment: Mapping[str, str] | None = None,
        limits: ResourceLimits | None = None,
        minimum_isolation: IsolationLevel = IsolationLevel.NONE,
    ) -> RuntimeContext:
        """Return a context that allows every registered capability, every path outside the kernel's, every variable.

        Limits still hold, and every record of the run says that it was decided so.
        """
        return cls(
            level=SecurityLevel.UNSAFE_EVERYTHING,
            environment=tuple((environment or {}).items()),
            limits=limits or ResourceLimits(),
            minimum_isolation=minimum_isolation,
            allow_computed=True,
        )

    @property
    def readable_paths(self) -> tuple[str, ...]:
        """Canonical roots of everything that may be read: read and write grants, or `/`."""
        return _EVERYWHERE if self.is_unsafe else self.read_paths + self.write_paths

    @property
    def writable_paths(self) -> tuple[str, ...]:
        """Canonical roots of everything that may be written: write grants, or `/`."""
        return _EVERYWHERE if self.is_unsafe else self.write_paths

    @property
    def is_unsafe(self) -> bool:
        """Whether everything is allowed."""
        return self.level is SecurityLevel.UNSAFE_EVERYTHING

    @property
    def environment_names(self) -> tuple[str, ...]:
        """The names of the granted variables, sorted."""
        return tuple(name for name, _ in self.environment)

    def narrow(
        self,
        *,
        capabilities: Collection[str] | None = None,
        read: Collection[str] | None = None,
        write: Collection[str] | None = None,
        environment: Collection[str] | None = None,
        limits: ResourceLimits | None = None,
        minimum_isolation: IsolationLevel | None = None,
        allow_computed: bool | None = None,
    ) -> RuntimeContext:
        """Return a context with at most the authority of this one. What is not given stays as it is.

        Each argument is intersected with what is held, so asking for more gives nothing more. Capability ids are
        compared as they are spelled in both. Giving up `write` also gives up the reading that it included, unless
        `read` asks for it.

        Raises:
            ConfigError: `config.context` when `UnsafeEverything` is narrowed without naming the capabilities to keep.
        """
        bounds = replace(
            self,
            limits=self.limits.narrow(limits) if limits else self.limits,
            minimum_isolation=max(self.minimum_isolation, minimum_isolation or self.minimum_isolation),
        )
        if capabilities is None and read is None and write is None and environment is None and allow_computed is None:
            return bounds
        if self.level is SecurityLevel.PURE:
            return bounds
        if self.is_unsafe and capabilities is None:
            raise ConfigError(
                "narrowing UnsafeEverything needs the capabilities to keep",
                code="config.context",
                hint="pass capabilities=[...]",
            )
        kept = None if environment is None else frozenset(_items(environment))
        return replace(
            bounds,
            level=SecurityLevel.CONTROLLED,
            capabilities=self._narrowed_capabilities(capabilities),
            read_paths=self._narrowed_paths(read, self.readable_paths, self.read_paths),
            write_paths=self._narrowed_paths(write, self.writable_paths, self.write_paths),
            environment=tuple(pair for pair in self.environment if kept is None or pair[0] in kept),
            allow_computed=self.allow_computed and allow_computed is not False,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the grants as plain data for the chain: texts, integers and booleans; names of variables only."""
        return {
            "level": self.level.value,
            "capabilities": sorted(self.capabilities),
            "read_paths": list(self.read_paths),
            "write_paths": list(self.write_paths),
            "environment": list(self.environment_names),
            "limits": self.limits.to_dict(),
            "minimum_isolation": self.minimum_isolation.name.lower(),
            "allow_computed": self.allow_computed,
        }

    def _has_places(self) -> bool:
        return bool(self.read_paths or self.write_paths or self.environment)

    def _narrowed_capabilities(self, wanted: Collection[str] | None) -> frozenset[str]:
        if wanted is None:
            return self.capabilities
        asked = frozenset(_items(wanted))
        return asked if self.is_unsafe else asked & self.capabilities

    def _narrowed_paths(
        self, wanted: Collection[str] | None, held: tuple[str, ...], unchanged: tuple[str, ...]
    ) -> tuple[str, ...]:
        if wanted is None:
            return held if self.is_unsafe else unchanged
        return intersect_roots((granted_path(path) for path in _items(wanted)), held)


def _granted(given: Iterable[str | PathLike[str]]) -> Iterable[str]:
    """Return paths in canonical form; a path object counts as its text."""
    return (granted_path(fspath(path)) for path in _items(given))


_Item = TypeVar("_Item")


def _items(given: Iterable[_Item]) -> Iterable[_Item]:
    """Refuse a single text where a collection belongs: its characters would be taken for grants (`/` among them)."""
    if isinstance(given, (str, bytes, PathLike)):
        raise ConfigError(
            f'grants are given as a list; got the single item "{quoted(str(given))}"',
            code="config.context",
            hint="write [...] around it",
        )
    return given


def _checked_id(capability_id: str) -> str:
    if not isinstance(capability_id, str) or not _ID.fullmatch(capability_id):
        raise ConfigError(
            f'"{quoted(str(capability_id))}" is not a capability id; there are no wildcards',
            code="config.capability",
            hint="name each capability, for example ccos.io.read-file",
        )
    return capability_id


def _checked_environment(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    found: dict[str, str] = {}
    for name, value in pairs:
        if not isinstance(name, str) or not _VARIABLE.fullmatch(name) or name in found:
            raise ConfigError(
                f'"{quoted(str(name))}" is not the name of an environment variable, or it is granted twice',
                code="config.environment",
                hint="name a variable with letters, digits and underscores, once",
            )
        if not isinstance(value, str) or "\0" in value or HALF_CHARACTER.search(value):
            raise ConfigError(f"the value of variable {name} is not text", code="config.environment")
        found[name] = value
    return tuple(sorted(found.items()))
