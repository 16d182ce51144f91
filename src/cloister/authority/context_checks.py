"""What a grant must look like to be meant.

Owns the checks of the plain parts of a context: lists, ids, patterns, effects, variables; and of parts that contradict
each other. Grants come from an operator: what is refused here is a mistake, and the hint says what was probably meant.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from os import PathLike, fspath
from typing import Final, TypeVar

from cloister.authority.effect import effect_label
from cloister.authority.hosts import HostRule
from cloister.authority.level import SecurityLevel
from cloister.authority.pattern import STAR, CapabilityPattern
from cloister.authority.policy import granted_path
from cloister.errors import ConfigError, quoted

PATTERNS_COUNT_MAX: Final = 10_000
_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
HALF_CHARACTER: Final = re.compile("[\ud800-\udc7f\udd00-\udfff]")
"""Halves that stand for no byte; Python has the others for bytes of the environment that are no UTF-8."""

_Item = TypeVar("_Item")


def items(given: Iterable[_Item]) -> Iterable[_Item]:
    """Refuse a single text where a collection belongs: its characters would be taken for grants (`/` among them)."""
    if isinstance(given, (str, bytes, PathLike)):
        raise ConfigError(
            f'grants are given as a list; got the single item "{quoted(str(given))}"',
            code="config.context",
            hint="write [...] around it",
        )
    return given


def granted_paths(given: Iterable[str | PathLike[str]]) -> Iterable[str]:
    """Return paths in canonical form; a path object counts as its text."""
    return (granted_path(fspath(path)) for path in items(given))


def split_grants(given: Iterable[str]) -> tuple[frozenset[str], frozenset[str]]:
    """Return the exact ids and the patterns among granted capabilities.

    Raises:
        ConfigError: `config.capability` for what is no id, `config.pattern` for what is no pattern.
    """
    names = frozenset(items(given))
    stars = frozenset(name for name in names if isinstance(name, str) and STAR in name)
    return frozenset(map(_checked_id, names - stars)), checked_patterns(stars)


def checked_patterns(given: Iterable[str], *, denying: bool = False) -> frozenset[str]:
    """Return patterns in their one form.

    Args:
        given: Globs and ids.
        denying: Whether they deny; then a star alone is one too.

    Raises:
        ConfigError: `config.pattern`.
    """
    found = frozenset(CapabilityPattern(text).text for text in items(given))
    if len(found) > PATTERNS_COUNT_MAX:
        raise ConfigError(
            f"there are {len(found)} patterns; at most {PATTERNS_COUNT_MAX} are taken",
            code="config.pattern",
            hint="use * to say several of them in one",
        )
    if STAR in found and not denying:
        raise ConfigError(
            'the pattern "*" would grant every capability there will ever be',
            code="config.pattern",
            hint="name families such as ccos.io.*; whoever means everything says UnsafeEverything",
        )
    return found


def checked_effects(given: Iterable[str]) -> frozenset[str]:
    """Return effects as their labels.

    Raises:
        ConfigError: `config.effect` for one that is not known.
    """
    return frozenset(effect_label(text).value for text in items(given))


def checked_environment(pairs: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return variables sorted by name.

    Raises:
        ConfigError: `config.environment`.
    """
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


def is_same_denied(allowed: HostRule, denied: HostRule) -> bool:
    """Return whether one rule denies everything that the other allows by the same name of a host."""
    ports = denied.ports is None or (allowed.ports is not None and allowed.ports <= denied.ports)
    methods = denied.methods is None or (allowed.methods is not None and allowed.methods <= denied.methods)
    return allowed.host == denied.host and ports and methods


def refuse_contradictions(
    *,
    granted: Collection[str],
    denied: Collection[str],
    allowed_effects: Collection[str],
    denied_effects: Collection[str],
    hosts: Iterable[HostRule],
    denied_hosts: Collection[HostRule],
) -> None:
    """Refuse grants that a denial of the very same thing takes back: nobody can mean both.

    A narrower denial inside a wider grant is no contradiction, and neither is the reverse: the denial wins.

    Raises:
        ConfigError: `config.contradiction`, naming the thing.
    """
    both = sorted(set(granted) & set(denied))
    both += [f"effect {label}" for label in sorted(set(allowed_effects) & set(denied_effects))]
    both += [f"host {rule}" for rule in hosts if any(is_same_denied(rule, each) for each in denied_hosts)]
    if both:
        raise ConfigError(
            f"{quoted(both[0])} is both granted and denied",
            code="config.contradiction",
            hint="take out one of the two; a denial would always win",
        )


def refuse_mixed_levels(level: SecurityLevel, *, has_grants: bool, has_variables: bool, allows_computed: bool) -> None:
    """Refuse grants beside a level that has none, or has all.

    Raises:
        ConfigError: `config.context`.
    """
    if level is SecurityLevel.PURE and (has_grants or has_variables or allows_computed):
        raise ConfigError(
            "a pure context grants nothing, but grants were given",
            code="config.context",
            hint="use RuntimeContext.controlled",
        )
    if level is SecurityLevel.UNSAFE_EVERYTHING and (has_grants or not allows_computed):
        raise ConfigError(
            "UnsafeEverything grants everything; single grants beside it would be mistaken for a restriction",
            code="config.context",
            hint="use RuntimeContext.controlled to grant single things",
        )


def _checked_id(capability_id: str) -> str:
    if not isinstance(capability_id, str) or not _ID.fullmatch(capability_id):
        raise ConfigError(
            f'"{quoted(str(capability_id))}" is not a capability id',
            code="config.capability",
            hint="name a capability or a family of them, for example ccos.io.read-file or ccos.io.*",
        )
    return capability_id
