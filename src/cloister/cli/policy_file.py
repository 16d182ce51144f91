"""The file of `--policy`, and the context it makes together with the grant options.

Owns reading the file and putting both together: grants of the options are added to those of the file, denials of either
win, and of two limits the lower one holds. Paths in a file start in its directory. What a policy may say is
`authority.document`'s.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from cloister.audit.regular_file import open_regular
from cloister.authority.cedar import CEDAR_CHARS_MAX
from cloister.authority.context import RuntimeContext
from cloister.authority.document import PolicyDocument, parse_document
from cloister.authority.hosts import checked_hosts
from cloister.authority.level import StepIsolation
from cloister.authority.pattern import RESERVED_PREFIX
from cloister.cli.options import parse_environment, parse_isolation, resolved
from cloister.errors import ConfigError, quoted
from cloister.limits import ResourceLimits

POLICY_BYTES_MAX: Final = 1_048_576


def read_policy(path: Path | None) -> PolicyDocument | None:
    """Return the policy in a file, or None when no file is named.

    Raises:
        ConfigError: `config.policy` when it cannot be read or is no TOML; otherwise as for `parse_document`.
    """
    if path is None:
        return None
    text = _text(path, POLICY_BYTES_MAX)
    try:
        data = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ConfigError(
            f"policy {quoted(str(path))} is no TOML: {quoted(str(error))}",
            code="config.policy",
            hint="the message says where",
        ) from error
    return parse_document(data)


def combined_context(
    document: PolicyDocument | None,
    path: Path | None,
    *,
    allow: Sequence[str] | None = None,
    deny: Sequence[str] | None = None,
    allow_effect: Sequence[str] | None = None,
    deny_effect: Sequence[str] | None = None,
    connect: Sequence[str] | None = None,
    allow_computed: bool = False,
    read: Sequence[Path] | None = None,
    write: Sequence[Path] | None = None,
    env: Sequence[str] | None = None,
    limits: ResourceLimits,
    isolation: str | None = None,
) -> RuntimeContext:
    """Return the context of a policy and of grant options.

    Args:
        document: The policy; None for the options alone.
        path: Where it was read from; its paths start there.
        allow: Capabilities and patterns to grant beyond.
        deny: Those to deny beyond.
        allow_effect: Effects to allow beyond; with neither these nor those of the policy every effect is allowed.
        deny_effect: Effects to deny beyond.
        connect: Hosts to grant beyond.
        allow_computed: Whether ids may be computed; the policy may say so too.
        read: Paths to grant beyond.
        write: Paths to grant beyond.
        env: Variables to grant beyond, `NAME` or `NAME=VALUE`.
        limits: Of both.
        isolation: The weakest acceptable isolation; the stronger of both holds.

    Raises:
        ConfigError: As for `RuntimeContext.controlled`.
    """
    policy = document or PolicyDocument()
    effects = _effects(policy, allow_effect)
    variables = parse_environment([*(name for name in policy.variables if not _given(name, env)), *(env or ())])
    # A command that is a workload grants it by being typed; that a policy denies it is a denial, no contradiction
    granted = [name for name in allow or () if not (name.startswith(RESERVED_PREFIX) and name in policy.denied)]
    return RuntimeContext.controlled(
        capabilities=(*policy.capabilities, *granted),
        deny=(*policy.denied, *(deny or ())),
        allow_effects=effects,
        deny_effects=(*policy.denied_effects, *(deny_effect or ())),
        rules=policy.rules,
        cedar=_cedar(policy, path),
        read=(*_beside(path, policy.read), *resolved(read)),
        write=(*_beside(path, policy.write), *resolved(write)),
        connect=(*policy.hosts, *checked_hosts(connect or ())),
        deny_hosts=policy.denied_hosts,
        environment=variables,
        limits=limits,
        minimum_isolation=max(parse_isolation(isolation), parse_isolation(policy.minimum_isolation)),
        step_isolation=tuple(StepIsolation) if policy.step_isolation is None else policy.step_isolation,
        allow_computed=allow_computed or policy.allow_computed,
        expose=policy.expose,
        parameters=policy.parameters,
    )


def _effects(policy: PolicyDocument, allow_effect: Sequence[str] | None) -> list[str] | None:
    if policy.allowed_effects is None and not allow_effect:
        return None
    return sorted({*(policy.allowed_effects or ()), *(allow_effect or ())})


def _given(name: str, env: Sequence[str] | None) -> bool:
    """Return whether an option gives the variable, so that the environment is not asked for it."""
    return any(item.partition("=")[0] == name for item in env or ())


def _beside(path: Path | None, texts: Sequence[str]) -> tuple[str, ...]:
    start = path.parent if path else Path()
    return resolved([start / Path(text).expanduser() for text in texts])


def _cedar(policy: PolicyDocument, path: Path | None) -> str | None:
    if policy.cedar_file is None:
        return policy.cedar
    # At most four bytes for a character; the number of characters is checked when the context is made
    return _text((path.parent if path else Path()) / policy.cedar_file, 4 * CEDAR_CHARS_MAX)


def _text(path: Path, bytes_max: int) -> str:
    shown = quoted(str(path))
    try:
        with open_regular(path) as file:
            data = file.read(bytes_max + 1)
        text = data.decode("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError(
            f"policy {shown} cannot be read: {why}", code="config.policy", hint="name a readable text file"
        ) from error
    if len(data) > bytes_max:
        raise ConfigError(
            f"policy {shown} has more than {bytes_max} bytes", code="config.policy", hint="split it, or say it shorter"
        )
    return text
