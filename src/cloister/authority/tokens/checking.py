"""Checking a token against the execution it is presented for.

Owns the verifier that every provider holds, and the order of its checks: the seal before anything else, because the
fields of a forged token must not steer anything, and the memory of used tokens last, because only an accepted token is
used up. A token is a second line of defence against mistakes between decision and execution: mounts, variables or
limits that nobody decided.
"""

from __future__ import annotations

from collections.abc import Collection

from cloister.authority.level import IsolationLevel
from cloister.authority.tokens import rules
from cloister.authority.tokens.permission_token import (
    CAVEATS_MAX,
    NO_ARGUMENTS_SHA256,
    Caveat,
    PermissionToken,
    is_genuine,
    too_many_caveats,
)
from cloister.authority.tokens.used import UsedTokens
from cloister.clock import Clock
from cloister.errors import TokenRejected, quoted
from cloister.limits import ResourceLimits


class TokenVerifier:
    """Checks tokens; the provider holds it.

    Args:
        key: The issuer's key. Get a verifier from `TokenIssuer.verifier`.
        clock: The issuer's clock; only its monotonic time is read.
        used: The tokens of the issuer that were used.
    """

    __slots__ = ("_clock", "_key", "_used")

    def __init__(self, key: bytes, clock: Clock, used: UsedTokens) -> None:
        self._key = key
        self._clock = clock
        self._used = used

    def __repr__(self) -> str:
        return "TokenVerifier()"

    def check(
        self,
        token: PermissionToken,
        *,
        execution_id: str,
        step_id: str | None = None,
        capability_id: str,
        arguments_sha256: str = NO_ARGUMENTS_SHA256,
        permission: str | None,
        read_paths: Collection[str] = (),
        write_paths: Collection[str] = (),
        environment: Collection[str] = (),
        limits: ResourceLimits,
        level: IsolationLevel,
    ) -> None:
        """Accept the token for this execution and use it up, or raise. Nothing of the execution may happen before.

        Args:
            token: What was presented.
            execution_id: The execution about to start.
            step_id: The step it belongs to; None outside all steps.
            capability_id: On whose behalf.
            arguments_sha256: Digest of the arguments of the call it serves.
            permission: What kind of act it is; None only when it is no act at all.
            read_paths: Host paths that would be visible.
            write_paths: Host paths that would be writable.
            environment: Names of host variables that would be visible.
            limits: The limits it would run with.
            level: The isolation it would run in.

        Raises:
            TokenRejected: `denied.token-forged`, `-caveats`, `-expired`, `-subject`, `-step`, `-arguments`,
                `-permission`, `-path`, `-environment`, `-limit`, `-level`, `-replayed`, `-memory`.
        """
        _require_genuine(token, self._key)
        now_ns = self._clock.monotonic_ns()
        _require_unexpired(token.expires_at_ns, now_ns)
        _require_subject(token, execution_id, capability_id, step_id, arguments_sha256)
        rules.require_permission(permission, token.permissions)
        if read_paths:
            rules.require_paths("reading", read_paths, token.read_paths + token.write_paths)
        rules.require_paths("writing", write_paths, token.write_paths)
        rules.require_names(environment, token.environment)
        rules.require_limits(limits, token.limits)
        rules.require_level(level, token.minimum_isolation)
        for caveat in token.caveats:
            _require_time_and_kind(caveat, now_ns, permission)
            _require_places(caveat, token, read_paths, write_paths, environment)
            _require_bounds(caveat, limits, level)
        self._used.use(token.token_id, token.expires_at_ns, now_ns)


def _require_genuine(token: PermissionToken, key: bytes) -> None:
    # Counted first: each costs an authenticator
    if len(token.caveats) > CAVEATS_MAX:
        raise too_many_caveats(len(token.caveats))
    if not is_genuine(token, key):
        raise TokenRejected(
            "the permission token was not issued by this runtime, or was changed afterwards",
            code="denied.token-forged",
        )


def _require_subject(
    token: PermissionToken, execution_id: str, capability_id: str, step_id: str | None, arguments_sha256: str
) -> None:
    if token.execution_id != execution_id or token.capability_id != capability_id:
        raise TokenRejected(
            f'the token is for execution "{quoted(token.execution_id)}" of {quoted(token.capability_id)}, '
            f'not for "{quoted(execution_id)}" of {quoted(capability_id)}',
            code="denied.token-subject",
        )
    if token.step_id != step_id:
        raise TokenRejected(
            f"the token is for {_step_text(token.step_id)}, not for {_step_text(step_id)}", code="denied.token-step"
        )
    if token.arguments_sha256 != arguments_sha256:
        raise TokenRejected(
            f"the token is for a call with the arguments sha256:{quoted(token.arguments_sha256)}, "
            f"not with sha256:{quoted(arguments_sha256)}",
            code="denied.token-arguments",
        )


# What a holder took away. The token itself is checked before, so whatever a caveat names gives nothing.


def _require_time_and_kind(caveat: Caveat, now_ns: int, permission: str | None) -> None:
    if caveat.expires_at_ns is not None:
        _require_unexpired(caveat.expires_at_ns, now_ns)
    if caveat.permissions is not None:
        rules.require_permission(permission, caveat.permissions)


def _require_places(
    caveat: Caveat,
    token: PermissionToken,
    read_paths: Collection[str],
    write_paths: Collection[str],
    environment: Collection[str],
) -> None:
    writable = token.write_paths if caveat.write_paths is None else caveat.write_paths
    if caveat.read_paths is not None:
        rules.require_paths("reading", read_paths, caveat.read_paths + writable)
    rules.require_paths("writing", write_paths, writable)
    if caveat.environment is not None:
        rules.require_names(environment, caveat.environment)


def _require_bounds(caveat: Caveat, limits: ResourceLimits, level: IsolationLevel) -> None:
    if caveat.limits is not None:
        rules.require_limits(limits, caveat.limits)
    if caveat.minimum_isolation is not None:
        rules.require_level(level, caveat.minimum_isolation)


def _require_unexpired(expires_at_ns: int, now_ns: int) -> None:
    if now_ns >= expires_at_ns:
        raise TokenRejected(
            f"the permission token expired {(now_ns - expires_at_ns) // 1_000_000} ms ago", code="denied.token-expired"
        )


def _step_text(step_id: str | None) -> str:
    return "no step" if step_id is None else f'step "{quoted(step_id)}"'
