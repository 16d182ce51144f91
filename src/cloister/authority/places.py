"""Decides the paths, variables and network places that the arguments of a call name.

Owns the order in which they are looked at and what becomes of each. Decides purely: a `PathResolver` that is handed in
follows links. Arguments come from plans and are hostile; what cannot be told apart from something else is refused.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final, NamedTuple

from cloister.authority.capability import Access, AccessKind, CapabilitySpec
from cloister.authority.context import RuntimeContext
from cloister.authority.decision import Decision, Reason
from cloister.authority.denials import (
    PathQuestion,
    denied_host,
    denied_path,
    denied_url,
    denied_variable,
    lexical_path,
)
from cloister.authority.destination import Destination, destination
from cloister.authority.hosts import HostRule, denying_rule, granting_rule
from cloister.authority.permission import Permission
from cloister.authority.policy import PathResolver, ResolvedPath, covering_root, is_canonical, is_kernel_path, touches
from cloister.authority.rules import Moment
from cloister.errors import GuestError, InternalError, quoted
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Value

_NONE: Final = frozenset[str]()
_FILES: Final = frozenset({Permission.FILE_ACCESS.value})
_VARIABLES: Final = frozenset({Permission.ENVIRONMENT.value})
_NETWORK: Final = frozenset({Permission.NETWORK.value})
_READ, _WRITE, _ENVIRONMENT, _PLACE = AccessKind.READ, AccessKind.WRITE, AccessKind.ENVIRONMENT, AccessKind.NETWORK
"""Under names of their own: looking one up in its class takes as long as a whole comparison."""


class BoundCall(NamedTuple):
    """A call whose capability is granted, with its arguments bound.

    Attributes:
        context: What the run may do.
        spec: The capability.
        arguments: By parameter name; before the run, `UNKNOWN` where only the run has the value.
        moment: When it is decided.
    """

    context: RuntimeContext
    spec: CapabilitySpec
    arguments: Mapping[str, Value]
    moment: Moment


class Places:
    """What the arguments of one call name, as far as it was decided.

    Attributes:
        reads: Canonical paths.
        writes: Canonical paths.
        names: Names of variables.
        hosts: Places on the network.
        resolved: What the resolver said, by parameter name.
    """

    __slots__ = ("hosts", "names", "reads", "resolved", "writes")

    def __init__(self) -> None:
        self.reads: tuple[str, ...] = ()
        self.writes: tuple[str, ...] = ()
        self.names: tuple[str, ...] = ()
        self.hosts: tuple[Destination, ...] = ()
        self.resolved: dict[str, tuple[ResolvedPath, ...]] = {}

    def __repr__(self) -> str:
        return f"Places({self.reads}, {self.writes}, {self.names}, {self.hosts})"

    def add(self, access: Access, found: list[Any]) -> None:
        """Add what the texts of one argument name, all of it decided."""
        if access.kind is _ENVIRONMENT:
            self.names += tuple(found)
        elif access.kind is _PLACE:
            self.hosts += tuple(found)
        else:
            self.resolved[access.parameter] = (*self.resolved.get(access.parameter, ()), *found)
            paths = tuple([each.path for each in found])
            if access.kind is _WRITE:
                self.writes += paths
            else:
                self.reads += paths

    @property
    def permissions(self) -> frozenset[str]:
        """What acting on them needs."""
        needed = _FILES if self.resolved else _NONE
        if self.names:
            needed |= _VARIABLES
        return needed | _NETWORK if self.hosts else needed


class PlaceDecider:
    """Decides places under the grants of a context.

    Args:
        resolver: Says where paths lead.
        protected: Canonical paths of trees that no grant opens, nor any tree around them.
    """

    __slots__ = ("_protected", "_resolver")

    def __init__(self, resolver: PathResolver, protected: Collection[str]) -> None:
        self._resolver = resolver
        self._protected = tuple(protected)

    def decide(self, call: BoundCall) -> Places | Decision:
        """Return what the arguments name, or the denial of the first that is not granted.

        Cost: linear in the texts that name something.
        """
        places = Places()
        for access in call.spec.access:
            found: list[Any] = []
            for text in _texts(call, access.parameter):
                place = self._decide_one(call, access, text)
                if isinstance(place, Decision):
                    return place
                found.append(place)
            if found:
                places.add(access, found)
        return places

    def protected_in(self, context: RuntimeContext, capability_id: str) -> Decision | None:
        """Return the denial when a granted tree holds, or lies in, a protected one."""
        for path in (*context.read_paths, *context.write_paths):
            if touches(path, self._protected):
                question = PathQuestion(context=context, capability_id=capability_id, text=path, kind=AccessKind.READ)
                return denied_path(question, Reason.PATH_PROTECTED)
        return None

    def _decide_one(self, call: BoundCall, access: Access, text: str) -> ResolvedPath | Destination | str | Decision:
        """Return the granted place that a text names, or its denial."""
        kind = access.kind
        if kind is _READ or kind is _WRITE:
            return self._decide_path(call.context, call.spec.id, text, kind)
        if kind is _PLACE:
            return _decide_host(call, access, text)
        context = call.context
        return (
            text
            if context.is_unsafe or text in context.environment_names
            else denied_variable(context, call.spec.id, text)
        )

    def _decide_path(
        self, context: RuntimeContext, capability_id: str, text: str, kind: AccessKind
    ) -> ResolvedPath | Decision:
        """Return where a granted path leads, or the denial."""
        found = self._follow(context, text)
        if isinstance(found, ResolvedPath):
            roots = context.writable_paths if kind is _WRITE else context.readable_paths
            # A new file is decided by its own path: below a granted root its parent is too, and a granted path may be
            # made
            if covering_root(found.path, roots) is not None:
                return found
        question = PathQuestion(context=context, capability_id=capability_id, text=text, kind=kind)
        return (
            denied_path(question, Reason.PATH, found)
            if isinstance(found, ResolvedPath)
            else denied_path(question, found)
        )

    def _follow(self, context: RuntimeContext, text: str) -> ResolvedPath | Reason:
        """Return where a path leads, or why that is no place for any call."""
        is_plain = is_canonical(text)
        if not is_plain and (not text or "\0" in text):
            return Reason.PATH_INVALID
        # Before resolving: following /proc/self/root would lead back to an ordinary path
        if is_kernel_path(text if is_plain else lexical_path(text)):
            return Reason.PATH_KERNEL
        try:
            # POSIX leaves the meaning of two leading slashes open, and Python keeps them; on Linux they are one
            single = "/" + text.lstrip("/") if text.startswith("//") else text
            found = self._resolver.resolve(single, context.readable_paths)
        except (OSError, ValueError):
            return Reason.PATH_UNRESOLVED
        if not (is_plain and found.path == text):
            if not is_canonical(found.path):
                raise InternalError(f'the path resolver answered "{quoted(found.path)}", which is not canonical')
            if is_kernel_path(found.path):
                return Reason.PATH_KERNEL
        if self._protected and touches(found.path, self._protected):
            return Reason.PATH_PROTECTED
        return found


def _decide_host(call: BoundCall, access: Access, url: str) -> Destination | Decision:
    """Return the granted place a URL leads to, or the denial."""
    context = call.context
    method: Value = access.method
    if access.method_parameter:
        method = call.arguments.get(access.method_parameter, method)
    is_open = method is UNKNOWN and call.moment is Moment.BEFORE_RUN
    said = method.name if isinstance(method, Keyword) else method
    place = destination(url, said if isinstance(said, str) else "")
    if place is None:
        return denied_url(context, call.spec.id, url)
    allowed, denied = context.reachable_hosts, context.denied_hosts
    if is_open:
        # Only what is certain whatever the method will be
        allowed, denied = _whatever_method(allowed), tuple(rule for rule in denied if rule.methods is None)
    barred = denying_rule(place, denied)
    if barred is not None:
        return denied_host(context, call.spec.id, place, barred)
    if granting_rule(place, allowed) is None:
        return denied_host(context, call.spec.id, place, None)
    return place


def _whatever_method(rules: tuple[HostRule, ...]) -> tuple[HostRule, ...]:
    return tuple(HostRule(host=rule.host, ports=rule.ports) for rule in rules)


def _texts(call: BoundCall, parameter: str) -> Iterator[str]:
    """Yield the texts an argument names places by, as far as they are known; none when an optional one is absent."""
    value = call.arguments.get(parameter)
    if value is None:
        return
    for item in value if isinstance(value, tuple) else (value,):
        if item is UNKNOWN and call.moment is Moment.BEFORE_RUN:
            continue
        if not isinstance(item, str):
            raise GuestError(
                f"Type error in {call.spec.id}: expected texts in {parameter}, got something else among them",
                kind="TypeError",
                code="guest.type",
            )
        yield item
