"""The token itself, its seal, and how a holder makes a weaker one.

Owns the fields, the bytes that are sealed, and the chain of seals. A token is opened by an authenticator under the
issuer's key, and every caveat that a holder adds is sealed under the seal before it: a holder can add caveats without
the key, and can take none away, because no earlier seal is in the token and none can be computed from a later one.

What it does not do: issuer and verifier share one key in one process, so it does not protect the host from a provider
that was written to deceive it. Nothing here reads a clock or decides whether a token holds.

Source: A. Birgisson et al., "Macaroons: Cookies with Contextual Caveats for Decentralized Authorization in the Cloud",
NDSS 2014, sections II and V. Only first-party caveats are used.
"""

from __future__ import annotations

import hashlib
import hmac
import marshal
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from cloister.authority.level import IsolationLevel
from cloister.errors import TokenRejected
from cloister.limits import ResourceLimits

CAVEATS_MAX: Final = 16
"""More than any real holder adds; checking costs one authenticator for each."""
NO_ARGUMENTS_SHA256: Final = hashlib.sha256(b"[]").hexdigest()
"""What an execution has that comes from no arguments: the digest of an empty list as `arguments_sha256` is made."""

_ROOT_DOMAIN: Final = b"cloister.token.3"
_CAVEAT_DOMAIN: Final = b"cloister.caveat3"
"""Sixteen bytes each, as the personalisation of BLAKE2b takes them."""
_SEAL_BYTES: Final = 32
_ENCODING: Final = 0
"""The form of `marshal` without references and without a difference between interned and other texts, so that equal
values have equal bytes. It writes each type apart and with its length, so different values have different bytes, and it
takes nothing but the plain types themselves: a class of its own may say of itself what it likes. The bytes are read by
nobody and never leave the process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Caveat:
    """One thing that a holder took away from a token. What is None stays as it was; nothing can be added.

    Attributes:
        permissions: The only ones left.
        read_paths: Canonical roots; what lies outside them may not be seen, unless it may be changed.
        write_paths: Canonical roots; what lies outside them may not be changed.
        environment: The only variables left.
        limits: Upper bounds beside those of the token.
        minimum_isolation: The weakest provider that may take it.
        expires_at_ns: When it ends, on the monotonic clock of the issuer.
    """

    permissions: frozenset[str] | None = None
    read_paths: tuple[str, ...] | None = None
    write_paths: tuple[str, ...] | None = None
    environment: tuple[str, ...] | None = None
    limits: ResourceLimits | None = None
    minimum_isolation: IsolationLevel | None = None
    expires_at_ns: int | None = None


class PermissionToken(NamedTuple):
    """Leave for exactly one execution, once. A tuple, because one is made for every execution.

    Attributes:
        token_id: Unique per issuer.
        execution_id: The execution it is for.
        step_id: The step of the plan that runs; None outside all steps.
        capability_id: The capability on whose behalf that runs.
        arguments_sha256: Digest of the arguments of the call it serves; `NO_ARGUMENTS_SHA256` when there are none.
        permissions: What it may do; see `Permission`, plus the capability's own id.
        read_paths: Canonical roots it may see.
        write_paths: Canonical roots it may see and change.
        environment: Names of the variables it may see, sorted.
        limits: Upper bounds.
        minimum_isolation: The weakest provider that may take it.
        expires_at_ns: When it ends, on the monotonic clock of the issuer; the wall clock has no part in it.
        mac: The last seal of the chain: keyed BLAKE2b of 32 bytes.
        caveats: What holders took away, in that order.
    """

    token_id: str
    execution_id: str
    step_id: str | None
    capability_id: str
    arguments_sha256: str
    permissions: frozenset[str]
    read_paths: tuple[str, ...]
    write_paths: tuple[str, ...]
    environment: tuple[str, ...]
    limits: ResourceLimits
    minimum_isolation: IsolationLevel
    expires_at_ns: int
    mac: bytes
    caveats: tuple[Caveat, ...] = ()

    def __repr__(self) -> str:
        """Show what it is for, without its seal, which is all that a thief would need."""
        shown = (f"{name}={value!r}" for name, value in self._asdict().items() if name != "mac")
        return f"PermissionToken({', '.join(shown)})"

    def attenuate(
        self,
        *,
        permissions: Collection[str] | None = None,
        read_paths: Collection[str] | None = None,
        write_paths: Collection[str] | None = None,
        environment: Collection[str] | None = None,
        limits: ResourceLimits | None = None,
        minimum_isolation: IsolationLevel | None = None,
        expires_at_ns: int | None = None,
    ) -> PermissionToken:
        """Return a weaker token. It needs no key, and what it names beyond this one gives nothing.

        The original and all that were made of it are one token: whichever is used first uses up the others.

        Args:
            permissions: Keep these only.
            read_paths: See nothing outside these canonical roots, but for what may be changed.
            write_paths: Change nothing outside these canonical roots.
            environment: See these variables only.
            limits: Stay within these too.
            minimum_isolation: Run in nothing weaker.
            expires_at_ns: End by then, on the monotonic clock of the issuer.

        Raises:
            TokenRejected: `denied.token-caveats`: it has `CAVEATS_MAX` already.
        """
        if len(self.caveats) >= CAVEATS_MAX:
            raise too_many_caveats(len(self.caveats) + 1)
        caveat = Caveat(
            permissions=None if permissions is None else frozenset(permissions),
            read_paths=None if read_paths is None else tuple(read_paths),
            write_paths=None if write_paths is None else tuple(write_paths),
            environment=None if environment is None else tuple(environment),
            limits=limits,
            minimum_isolation=minimum_isolation,
            expires_at_ns=expires_at_ns,
        )
        return self._replace(caveats=(*self.caveats, caveat), mac=_next_seal(self.mac, caveat))


def root_seal(
    key: bytes,
    subject: tuple[str, str, str | None, str, str],
    permissions: frozenset[str],
    places: tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]],
    bounds: tuple[ResourceLimits, IsolationLevel, int],
) -> bytes:
    """Return the first seal of a token.

    Args:
        key: The issuer's.
        subject: Token, execution, step, capability, and digest of the arguments.
        permissions: What it may do.
        places: Readable roots, writable roots, names of variables.
        bounds: Limits, weakest isolation, and end.

    Raises:
        ValueError: A field is not of the plain type it should be.
    """
    limits, level, expires_at_ns = bounds
    plain = (subject, sorted(permissions), places, limits.values(), int(level), expires_at_ns)
    return _seal(key, _ROOT_DOMAIN, plain)


def is_genuine(token: PermissionToken, key: bytes) -> bool:
    """Return whether the issuer with this key made the token, and holders only added caveats to it.

    Cost: one authenticator, and one for each caveat; there must not be more than `CAVEATS_MAX`.
    """
    try:
        seal = root_seal(
            key,
            (token.token_id, token.execution_id, token.step_id, token.capability_id, token.arguments_sha256),
            token.permissions,
            (token.read_paths, token.write_paths, token.environment),
            (token.limits, token.minimum_isolation, token.expires_at_ns),
        )
        for caveat in token.caveats:
            seal = _next_seal(seal, caveat)
        return hmac.compare_digest(token.mac, seal)
    except (TypeError, ValueError, AttributeError):  # a field that no issuer ever sealed
        return False


def too_many_caveats(count: int) -> TokenRejected:
    """Return the refusal of a token that was weakened too often."""
    return TokenRejected(
        f"the permission token would have {count} caveats; at most {CAVEATS_MAX} are checked",
        code="denied.token-caveats",
    )


def _next_seal(seal: bytes, caveat: Caveat) -> bytes:
    level = caveat.minimum_isolation
    plain = (
        None if caveat.permissions is None else sorted(caveat.permissions),
        caveat.read_paths,
        caveat.write_paths,
        caveat.environment,
        None if caveat.limits is None else caveat.limits.values(),
        None if level is None else int(level),
        caveat.expires_at_ns,
    )
    return _seal(seal, _CAVEAT_DOMAIN, plain)


def _seal(key: bytes, domain: bytes, plain: tuple[Any, ...]) -> bytes:
    """Return the authenticator of plain data: keyed BLAKE2b. Source: RFC 7693, section 2.9."""
    data = marshal.dumps(plain, _ENCODING)
    return hashlib.blake2b(data, digest_size=_SEAL_BYTES, key=key, person=domain).digest()
