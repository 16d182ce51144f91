"""What the authorizer answers.

Owns the reason codes, the `Decision` record, and the error that a denial becomes. Must not decide anything itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from cloister.authority.context import RuntimeContext
from cloister.authority.destination import Destination
from cloister.authority.policy import ResolvedPath
from cloister.errors import CapabilityDenied, DeniedError, EgressDenied, PathDenied, ProfileDenied
from cloister.lang.values import Value


class Reason(StrEnum):
    """Why a decision is what it is. Denials are the stable error codes of `docs/errors.md`."""

    ALLOWED = "allowed"
    """The grants cover it."""
    ALLOWED_UNSAFE = "allowed.unsafe-everything"
    """Nothing was checked against grants: the context is `UnsafeEverything`."""
    PURE = "denied.pure"
    """The context is pure."""
    UNKNOWN_CAPABILITY = "denied.unknown-capability"
    """No such capability is registered."""
    CAPABILITY = "denied.capability"
    """The capability is not granted."""
    PATTERN = "denied.pattern"
    """A pattern denies the capability, whatever grants it."""
    EFFECT = "denied.effect"
    """The capability does something that is denied, or not among what is allowed."""
    RULE = "denied.rule"
    """A rule over the arguments refuses the call."""
    CEDAR = "denied.cedar"
    """A policy in Cedar does not allow the call."""
    HOST = "denied.host"
    """The place on the network is not granted."""
    HOST_DENIED = "denied.host-denied"
    """The place on the network is denied, whatever grants it."""
    HOST_FORM = "denied.host-form"
    """The URL does not say beyond doubt where it leads, or has a scheme that cannot be granted."""
    STEP_ISOLATION = "denied.step-isolation"
    """The step may not be isolated in the way it asks for."""
    PROFILE = "denied.profile"
    """The call lies outside the profile of its step."""
    PROFILE_ISOLATION = "denied.profile-isolation"
    """The step demands more isolation than there is."""
    CONSTITUTION = "denied.constitution"
    """A rule of the constitution forbids it."""
    MODE = "denied.mode"
    """The mode of the run does not take it."""
    APPROVAL = "denied.approval"
    """Somebody who was asked denied it."""
    APPROVAL_EXPIRED = "denied.approval-expired"
    """Nobody who was asked answered in time."""
    COMPUTED = "denied.computed"
    """The program computes capability ids, and that is not granted."""
    PATH = "denied.path"
    """The path lies outside the grants, or is granted for reading only."""
    PATH_KERNEL = "denied.path-kernel"
    """The path lies in a tree of the kernel."""
    PATH_PROTECTED = "denied.path-protected"
    """The path lies in, or holds, a tree that no grant opens: the record and its keys."""
    PATH_INVALID = "denied.path-invalid"
    """The text is not an absolute path."""
    PATH_UNRESOLVED = "denied.path-unresolved"
    """The links on the path cannot be followed, so where it leads is not known."""
    ENVIRONMENT = "denied.environment"
    """The variable is not granted."""


_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})
_UNSHOWN: Final = frozenset({"context", "arguments", "resolved"})
_PATH_REASONS = frozenset(
    {Reason.PATH, Reason.PATH_PROTECTED, Reason.PATH_KERNEL, Reason.PATH_INVALID, Reason.PATH_UNRESOLVED}
)
_PROFILE_REASONS = frozenset({Reason.PROFILE, Reason.PROFILE_ISOLATION})
_HOST_REASONS = frozenset({Reason.HOST, Reason.HOST_DENIED, Reason.HOST_FORM})


class Decision(NamedTuple):
    """The answer to one question, and everything needed to act on it or to explain it.

    A tuple, because one is made for every call; name the fields when making one.

    Attributes:
        allowed: The answer.
        reason: Why.
        capability_id: Canonical id; for an unknown capability the id as asked.
        context: The grants it was decided under; what is done on the decision's strength must stay inside them.
        permissions: What the execution may do; empty when denied.
        read_paths: Canonical paths that will be read; empty when denied.
        write_paths: Canonical paths that will be written; empty when denied.
        environment: Names of variables that will be seen; empty when denied.
        hosts: Places on the network that will be reached; empty when denied.
        rule_ids: The rules that refused it; empty for every other reason.
        open_rule_ids: Before the run: the rules that will decide at the call, when the arguments are known.
        arguments: The arguments by parameter name, as they were checked. Act on these and not on the original ones.
        resolved: What the resolver said about the paths, by parameter name. Act on these and not on the texts.
        message: One sentence; None when allowed.
        hint: What to do next; None when allowed.
        denied_grants: The grants that would allow it, as command-line words, for example `--read /srv/data`; empty when
            allowed, and when no grant would.
    """

    allowed: bool
    reason: Reason
    capability_id: str
    context: RuntimeContext
    permissions: frozenset[str] = frozenset()
    read_paths: tuple[str, ...] = ()
    write_paths: tuple[str, ...] = ()
    environment: tuple[str, ...] = ()
    hosts: tuple[Destination, ...] = ()
    rule_ids: tuple[str, ...] = ()
    open_rule_ids: tuple[str, ...] = ()
    arguments: Mapping[str, Value] = _NOTHING
    resolved: Mapping[str, tuple[ResolvedPath, ...]] = _NOTHING
    message: str | None = None
    hint: str | None = None
    denied_grants: tuple[str, ...] = ()

    def __repr__(self) -> str:
        """Show what was decided, without the grants and without the values of a plan."""
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name not in _UNSHOWN)
        return f"Decision({', '.join(shown)})"

    def to_dict(self) -> dict[str, Any]:
        """Return the decision as plain data for the chain: no arguments, and of a variable only its name."""
        known: dict[str, Any] = {
            "hosts": [str(place) for place in self.hosts],
            "rule_ids": list(self.rule_ids),
        }
        return {
            "allowed": self.allowed,
            "reason": self.reason.value,
            "capability_id": self.capability_id,
            "permissions": sorted(self.permissions),
            "read_paths": list(self.read_paths),
            "write_paths": list(self.write_paths),
            "environment": list(self.environment),
            "message": self.message,
            "hint": self.hint,
        } | {name: value for name, value in known.items() if value}

    def error(self) -> DeniedError:
        """Return the denial as the error to raise. Meaningless for an allowed decision."""
        details = {
            "operation": "effect_policy" if self.reason is Reason.EFFECT else "capability_authorization",
            "capability": self.capability_id,
            "context": self.context.level.value,
        }
        kind = "UnknownCapability" if self.reason is Reason.UNKNOWN_CAPABILITY else None
        if self.rule_ids:
            details["rules"] = ", ".join(self.rule_ids)
        family: type[DeniedError] = PathDenied if self.reason in _PATH_REASONS else CapabilityDenied
        if self.reason in _HOST_REASONS:
            family = EgressDenied
        elif self.reason in _PROFILE_REASONS:
            family = ProfileDenied
        message = self.message or f'capability "{self.capability_id}" was refused'
        return family(message, code=self.reason.value, kind=kind, hint=self.hint, details=details)

    def refused(self, reason: Reason, message: str, hint: str | None) -> Decision:
        """Return the denial of the same call for another reason; nothing in it can be acted on."""
        return self._replace(
            allowed=False,
            reason=reason,
            permissions=frozenset(),
            read_paths=(),
            write_paths=(),
            environment=(),
            hosts=(),
            message=message,
            hint=hint,
        )

    def require(self) -> Decision:
        """Return the decision itself when it allows.

        Raises:
            CapabilityDenied: Codes `denied.pure`, `denied.unknown-capability`, `denied.capability`, `denied.computed`,
                `denied.environment`, `denied.pattern`, `denied.effect`, `denied.rule`, `denied.cedar`,
                `denied.step-isolation`.
            EgressDenied: Codes `denied.host`, `denied.host-denied`, `denied.host-form`.
            PathDenied: Codes `denied.path`, `denied.path-kernel`, `denied.path-invalid`, `denied.path-unresolved`,
                `denied.path-protected`.
        """
        if not self.allowed:
            raise self.error()
        return self
