"""The permission token: a decision in a form that crosses the boundary to a provider and is checked again there.

Owns the token, its authenticator, and the comparison of a token with the execution it is presented for. The token is a
second line of defence against mistakes between decision and execution: mounts, variables or limits that nobody decided.

What it does not do: verifier and issuer share one key in one process, so it does not protect the host from a provider
that was written to deceive it; it may be presented again for the very same execution, whose id must be unique; and it
does not expire.
"""

from __future__ import annotations

import hmac
import json
import posixpath
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields
from operator import attrgetter
from typing import Any, Final

from cloister.authority.decision import Decision
from cloister.authority.level import IsolationLevel
from cloister.authority.policy import is_canonical, is_kernel_path, uncovered
from cloister.clock import Clock
from cloister.errors import InternalError, TokenRejected, quoted
from cloister.limits import ResourceLimits

KEY_BYTES_MIN: Final = 32
TOKEN_ID_BYTES: Final = 8
_DOMAIN: Final = b"cloister/token/v1\n"
_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=True, allow_nan=False)
"""Reads what a text or a list holds, whatever it says of itself."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PermissionToken:
    """Leave for exactly one execution.

    Attributes:
        token_id: Unique per issuer.
        execution_id: The execution it is for.
        capability_id: The capability on whose behalf that runs.
        permissions: What it may do; see `Permission`, plus the capability's own id.
        read_paths: Canonical roots it may see.
        write_paths: Canonical roots it may see and change.
        environment: Names of the variables it may see, sorted.
        limits: Upper bounds.
        minimum_isolation: The weakest provider that may take it.
        mac: HMAC-SHA256 over all the other fields.
    """

    token_id: str
    execution_id: str
    capability_id: str
    permissions: frozenset[str]
    read_paths: tuple[str, ...]
    write_paths: tuple[str, ...]
    environment: tuple[str, ...]
    limits: ResourceLimits
    minimum_isolation: IsolationLevel
    mac: bytes = field(repr=False)


_SEALED: Final = tuple(field.name for field in fields(PermissionToken) if field.name != "mac")
_values: Final = attrgetter(*_SEALED)


def _authenticator(key: bytes, facts: Mapping[str, Any]) -> bytes:
    """Return the seal of a token.

    Args:
        key: The issuer's.
        facts: All its fields but the seal, by name.
    """
    plain = {
        **facts,
        "permissions": sorted(facts["permissions"]),
        "limits": list(facts["limits"].to_dict().values()),
        "minimum_isolation": int(facts["minimum_isolation"]),
    }
    # The values alone, in the order of the fields: it is read by nobody, and never leaves the process
    subject = _ENCODER.encode([plain[name] for name in _SEALED])
    return hmac.digest(key, _DOMAIN + subject.encode("ascii"), "sha256")


class TokenIssuer:
    """Makes tokens from decisions that allow.

    Args:
        key: At least 32 unpredictable bytes, kept in this process only.
        clock: Where the randomness of token ids comes from; time is not read.
    """

    __slots__ = ("_clock", "_key")

    def __init__(self, key: bytes, clock: Clock) -> None:
        if len(key) < KEY_BYTES_MIN:
            raise InternalError(f"a token key has at least {KEY_BYTES_MIN} bytes; got {len(key)}")
        self._key = key
        self._clock = clock

    def __repr__(self) -> str:
        return "TokenIssuer()"

    def verifier(self) -> TokenVerifier:
        """Return the checking side, for a provider of this process."""
        return TokenVerifier(self._key)

    def issue(
        self,
        decision: Decision,
        *,
        execution_id: str,
        limits: ResourceLimits | None = None,
        minimum_isolation: IsolationLevel | None = None,
        read_paths: Collection[str] | None = None,
        write_paths: Collection[str] | None = None,
        environment: Collection[str] | None = None,
        scratch_paths: Collection[str] = (),
    ) -> PermissionToken:
        """Make the token for one execution. Nothing in it exceeds the context the decision was made under.

        Args:
            decision: One that allows.
            execution_id: The execution to be permitted, unique in the process.
            limits: At most the context's; the context's when left out.
            minimum_isolation: At least the context's; the context's when left out.
            read_paths: Roots that will be visible, within the context's grants; the decision's when left out. A
                capability that must show a whole directory names it here.
            write_paths: Roots that will be writable, likewise. Replacing or deleting an entry changes the directory
                that holds it, so for a decision about a granted path itself that one directory may be named too.
            environment: Names of visible variables, within the context's grants; the decision's when left out.
            scratch_paths: Directories that the host made for this execution alone and removes after it. They become
                writable without a grant, so never pass a path that came from a plan.

        Raises:
            InternalError: When the decision denies.
            TokenRejected: `denied.token-path`, `-limit`, `-level`, `-environment` when more is asked than was granted.
        """
        if not decision.allowed:
            raise InternalError(f"a token was asked for a denied decision about {quoted(decision.capability_id)}")
        context = decision.context
        reads = tuple(decision.read_paths if read_paths is None else read_paths)
        writes = tuple(decision.write_paths if write_paths is None else write_paths)
        names = tuple(sorted(set(decision.environment if environment is None else environment)))
        bound = limits or context.limits
        level = context.minimum_isolation if minimum_isolation is None else minimum_isolation
        _require_paths("reading", reads, context.readable_paths)
        _require_paths("writing", writes, context.writable_paths + _entry_directories(decision))
        _require_limits(bound, context.limits)
        _require_level(level, context.minimum_isolation)
        if not context.is_unsafe:
            _require_names(names, context.environment_names)
        _require_canonical(scratch_paths)
        facts: dict[str, Any] = {
            "token_id": f"token-{self._clock.random_bytes(TOKEN_ID_BYTES).hex()}",
            "execution_id": execution_id,
            "capability_id": decision.capability_id,
            "permissions": decision.permissions,
            "read_paths": reads,
            "write_paths": writes + tuple(scratch_paths),
            "environment": names,
            "limits": bound,
            "minimum_isolation": level,
        }
        return PermissionToken(**facts, mac=_authenticator(self._key, facts))


def _facts(token: PermissionToken) -> dict[str, Any]:
    return dict(zip(_SEALED, _values(token), strict=True))


def _entry_directories(decision: Decision) -> tuple[str, ...]:
    """Return the directories that hold a written path which is granted as such; never `/`, which holds everything."""
    granted = set(decision.write_paths).intersection(decision.context.write_paths)
    return tuple(directory for directory in map(posixpath.dirname, sorted(granted)) if directory != "/")


class TokenVerifier:
    """Checks tokens; the provider holds it.

    Args:
        key: The issuer's key. Get a verifier from `TokenIssuer.verifier`.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def __repr__(self) -> str:
        return "TokenVerifier()"

    def check(
        self,
        token: PermissionToken,
        *,
        execution_id: str,
        capability_id: str,
        permission: str | None,
        read_paths: Collection[str] = (),
        write_paths: Collection[str] = (),
        environment: Collection[str] = (),
        limits: ResourceLimits,
        level: IsolationLevel,
    ) -> None:
        """Accept the token for this execution, or raise. Nothing of the execution may happen before.

        Args:
            token: What was presented.
            execution_id: The execution about to start.
            capability_id: On whose behalf.
            permission: What kind of act it is; None only when it is no act at all.
            read_paths: Host paths that would be visible.
            write_paths: Host paths that would be writable.
            environment: Names of host variables that would be visible.
            limits: The limits it would run with.
            level: The isolation it would run in.

        Raises:
            TokenRejected: `denied.token-forged`, `-subject`, `-permission`, `-path`, `-environment`, `-limit`,
                `-level`.
        """
        # The authenticator first: the fields of a forged token must not steer anything, not even the error
        if not hmac.compare_digest(token.mac, _authenticator(self._key, _facts(token))):
            raise TokenRejected(
                "the permission token was not issued by this runtime, or was changed afterwards",
                code="denied.token-forged",
            )
        if (token.execution_id, token.capability_id) != (execution_id, capability_id):
            raise TokenRejected(
                f'the token is for execution "{quoted(token.execution_id)}" of {quoted(token.capability_id)}, '
                f'not for "{quoted(execution_id)}" of {quoted(capability_id)}',
                code="denied.token-subject",
            )
        if permission is not None and permission not in token.permissions:
            raise TokenRejected(
                f'the token does not carry permission "{quoted(permission)}" '
                f"(it carries {', '.join(sorted(token.permissions)) or 'none'})",
                code="denied.token-permission",
            )
        _require_paths("reading", read_paths, token.read_paths + token.write_paths)
        _require_paths("writing", write_paths, token.write_paths)
        _require_names(environment, token.environment)
        _require_limits(limits, token.limits)
        _require_level(level, token.minimum_isolation)


def _require_paths(purpose: str, paths: Iterable[str], roots: Collection[str]) -> None:
    outside = uncovered(paths, roots)
    if outside is not None:
        raise TokenRejected(
            f'path "{quoted(outside)}" is outside what was permitted for {purpose} '
            f"({', '.join(map(quoted, roots)) or 'nothing'})",
            code="denied.token-path",
            hint="grant the directory that holds it, with --read or --write",
        )


def _require_canonical(paths: Iterable[str]) -> None:
    for path in paths:
        if not is_canonical(path) or path == "/" or is_kernel_path(path):
            raise TokenRejected(f'"{quoted(path)}" cannot be a scratch directory', code="denied.token-path")


def _require_names(names: Iterable[str], permitted: Collection[str]) -> None:
    for name in names:
        if name not in permitted:
            raise TokenRejected(
                f'variable "{quoted(name)}" is not among the permitted ones ({", ".join(permitted) or "none"})',
                code="denied.token-environment",
            )


def _require_limits(limits: ResourceLimits, bound: ResourceLimits) -> None:
    if limits is bound:
        return
    for name in ResourceLimits.__slots__:
        asked, permitted = getattr(limits, name), getattr(bound, name)
        if asked > permitted:
            raise TokenRejected(
                f"limit {name} would be {asked}; at most {permitted} is permitted", code="denied.token-limit"
            )


def _require_level(level: IsolationLevel, minimum: IsolationLevel) -> None:
    if level < minimum:
        raise TokenRejected(
            f"isolation {level.name.lower()} is weaker than the required {minimum.name.lower()}",
            code="denied.token-level",
        )
