"""Making a token out of a decision that allows.

Owns the issuer, which holds the key. A token never exceeds the grants the decision was made under; what is asked
beyond them is refused here already, before any provider sees it.
"""

from __future__ import annotations

import posixpath
from collections.abc import Collection
from itertools import count
from typing import Final

from cloister.authority.decision import Decision
from cloister.authority.level import IsolationLevel
from cloister.authority.policy import covering_root
from cloister.authority.tokens import rules
from cloister.authority.tokens.checking import TokenVerifier
from cloister.authority.tokens.permission_token import NO_ARGUMENTS_SHA256, PermissionToken, root_seal
from cloister.authority.tokens.used import UsedTokens
from cloister.clock import Clock
from cloister.errors import InternalError, quoted
from cloister.limits import ResourceLimits

KEY_BYTES_MIN: Final = 32
KEY_BYTES_MAX: Final = 64
"""As many as the authenticator takes; more would not make it stronger. Source: RFC 7693, section 2.1."""
ISSUER_ID_BYTES: Final = 8
TOKEN_LIFETIME_MS: Final = 30_000
"""From the decision to the provider's check, which comes before anything of the execution; not the execution itself."""
_NS_PER_MS: Final = 1_000_000


class TokenIssuer:
    """Makes tokens from decisions that allow.

    Args:
        key: 32 to 64 unpredictable bytes, kept in this process only.
        clock: Tells when tokens end, by its monotonic time, and gives the randomness of their ids.
        lifetime_ms: How long a token can be used, at least 1.
    """

    __slots__ = ("_clock", "_key", "_lifetime_ns", "_numbers", "_prefix", "_used")

    def __init__(self, key: bytes, clock: Clock, *, lifetime_ms: int = TOKEN_LIFETIME_MS) -> None:
        if not KEY_BYTES_MIN <= len(key) <= KEY_BYTES_MAX:
            raise InternalError(f"a token key has {KEY_BYTES_MIN} to {KEY_BYTES_MAX} bytes; got {len(key)}")
        if lifetime_ms < 1:
            raise InternalError(f"a token lives for at least 1 ms; got {lifetime_ms}")
        self._key = key
        self._clock = clock
        self._lifetime_ns = lifetime_ms * _NS_PER_MS
        self._used = UsedTokens()
        # Ids need to be unique, not secret: the seal is what cannot be guessed
        self._prefix = f"token-{clock.random_bytes(ISSUER_ID_BYTES).hex()}"
        self._numbers = count(1)

    def __repr__(self) -> str:
        return "TokenIssuer()"

    def verifier(self) -> TokenVerifier:
        """Return the checking side, for a provider of this process. All of them know which tokens were used."""
        return TokenVerifier(self._key, self._clock, self._used)

    def issue(
        self,
        decision: Decision,
        *,
        execution_id: str,
        step_id: str | None = None,
        arguments_sha256: str = NO_ARGUMENTS_SHA256,
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
            step_id: The step it belongs to; None outside all steps.
            arguments_sha256: Digest of the arguments of the call it serves, as `plan.recorder.wire_digest` makes it.
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
        reads = decision.read_paths if read_paths is None else tuple(read_paths)
        writes = decision.write_paths if write_paths is None else tuple(write_paths)
        names = decision.environment if environment is None else tuple(environment)
        bound = limits or context.limits
        level = context.minimum_isolation if minimum_isolation is None else minimum_isolation
        _require_within(decision, reads, writes, names)
        rules.require_limits(bound, context.limits)
        rules.require_level(level, context.minimum_isolation)
        if scratch_paths:
            rules.require_scratch(scratch_paths)
            writes = (*writes, *scratch_paths)
        return self._sealed(
            (execution_id, step_id, decision.capability_id, arguments_sha256),
            decision.permissions,
            (reads, writes, tuple(sorted(set(names))) if names else ()),
            (bound, level),
        )

    def _sealed(
        self,
        subject: tuple[str, str | None, str, str],
        permissions: frozenset[str],
        places: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
        bounds: tuple[ResourceLimits, IsolationLevel],
    ) -> PermissionToken:
        execution_id, step_id, capability_id, arguments_sha256 = subject
        limits, level = bounds
        token_id = f"{self._prefix}-{next(self._numbers)}"
        expires_at_ns = self._clock.monotonic_ns() + self._lifetime_ns
        try:
            mac = root_seal(
                self._key,
                (token_id, *subject),
                permissions,
                places,
                (limits, level, expires_at_ns),
            )
        except ValueError as error:
            raise InternalError("a token was asked for with what are no plain texts and numbers") from error
        return PermissionToken(
            token_id=token_id,
            execution_id=execution_id,
            step_id=step_id,
            capability_id=capability_id,
            arguments_sha256=arguments_sha256,
            permissions=permissions,
            read_paths=places[0],
            write_paths=places[1],
            environment=places[2],
            limits=limits,
            minimum_isolation=level,
            expires_at_ns=expires_at_ns,
            mac=mac,
        )


def _require_within(
    decision: Decision, reads: tuple[str, ...], writes: tuple[str, ...], names: tuple[str, ...]
) -> None:
    """Refuse places beyond the context that the decision was made under."""
    context = decision.context
    if reads:
        rules.require_paths("reading", reads, context.readable_paths)
    if writes:
        _require_writes(writes, decision)
    if names and not context.is_unsafe:
        rules.require_names(names, context.environment_names)


def _require_writes(writes: Collection[str], decision: Decision) -> None:
    """Refuse what is beyond the grants, unless it is the directory of an entry that may be replaced."""
    granted = decision.context.writable_paths
    for path in writes:
        if covering_root(path, granted) is None:
            rules.require_paths("writing", (path,), granted + _entry_directories(decision))


def _entry_directories(decision: Decision) -> tuple[str, ...]:
    """Return the directories that hold a written path which is granted as such; never `/`, which holds everything."""
    granted = set(decision.write_paths).intersection(decision.context.write_paths)
    return tuple(directory for directory in map(posixpath.dirname, sorted(granted)) if directory != "/")
