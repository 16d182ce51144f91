"""What issuing and checking a token compare alike.

Owns one refusal for each kind of fact: paths, variables, limits, isolation. Each takes what is asked and what is
permitted, and raises or does nothing. Must not know who asks.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from operator import le

from cloister.authority.level import IsolationLevel
from cloister.authority.policy import covering_root, is_canonical, is_kernel_path
from cloister.errors import TokenRejected, quoted
from cloister.limits import ResourceLimits


def require_paths(purpose: str, paths: Collection[str], roots: Collection[str]) -> None:
    """Refuse a path that no root covers.

    Raises:
        TokenRejected: `denied.token-path`.
    """
    for path in paths:
        # Most often what is asked is what was granted, word for word
        if path not in roots and covering_root(path, roots) is None:
            raise TokenRejected(
                f'path "{quoted(path)}" is outside what was permitted for {purpose} '
                f"({', '.join(map(quoted, roots)) or 'nothing'})",
                code="denied.token-path",
                hint="grant the directory that holds it, with --read or --write",
            )


def require_scratch(paths: Iterable[str]) -> None:
    """Refuse a path that cannot be a directory made for one execution.

    Raises:
        TokenRejected: `denied.token-path`.
    """
    for path in paths:
        if not is_canonical(path) or path == "/" or is_kernel_path(path):
            raise TokenRejected(f'"{quoted(path)}" cannot be a scratch directory', code="denied.token-path")


def require_names(names: Iterable[str], permitted: Collection[str]) -> None:
    """Refuse a variable that is not among the permitted ones.

    Raises:
        TokenRejected: `denied.token-environment`.
    """
    for name in names:
        if name not in permitted:
            raise TokenRejected(
                f'variable "{quoted(name)}" is not among the permitted ones ({", ".join(permitted) or "none"})',
                code="denied.token-environment",
            )


def require_permission(permission: str | None, permitted: frozenset[str]) -> None:
    """Refuse a kind of act that is not among the permitted ones; None is no act.

    Raises:
        TokenRejected: `denied.token-permission`.
    """
    if permission is not None and permission not in permitted:
        raise TokenRejected(
            f'the token does not carry permission "{quoted(permission)}" '
            f"(it carries {', '.join(sorted(permitted)) or 'none'})",
            code="denied.token-permission",
        )


def require_limits(limits: ResourceLimits, bound: ResourceLimits) -> None:
    """Refuse limits of which one is larger than its bound.

    Raises:
        TokenRejected: `denied.token-limit`.
    """
    if limits is bound or all(map(le, limits.values(), bound.values())):
        return
    for name in ResourceLimits.__slots__:
        asked, permitted = getattr(limits, name), getattr(bound, name)
        if asked > permitted:
            raise TokenRejected(
                f"limit {name} would be {asked}; at most {permitted} is permitted", code="denied.token-limit"
            )


def require_level(level: IsolationLevel, minimum: IsolationLevel) -> None:
    """Refuse isolation that is weaker than the least.

    Raises:
        TokenRejected: `denied.token-level`.
    """
    if level < minimum:
        raise TokenRejected(
            f"isolation {level.name.lower()} is weaker than the required {minimum.name.lower()}",
            code="denied.token-level",
        )
