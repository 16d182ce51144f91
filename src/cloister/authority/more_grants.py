"""Grants and restrictions beyond the usual ones, as `RuntimeContext.controlled` takes them by name.

Owns their names and how they become fields of a context. Whether they can be meant is checked by the context.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, TypedDict

from cloister.authority.context_checks import items
from cloister.authority.exposure import ContextExposure
from cloister.authority.hosts import HostRule, checked_hosts
from cloister.authority.level import StepIsolation
from cloister.authority.parameters import checked_parameters
from cloister.authority.rules import AccessRule
from cloister.canonical import Plain


class MoreGrants(TypedDict, total=False):
    """What a context may be given beside capabilities, paths, variables and limits."""

    deny: Collection[str]
    """Ids and globs that are refused whatever grants them."""
    allow_effects: Collection[str] | None
    """Effects that capabilities may have; every effect when left out."""
    deny_effects: Collection[str]
    """Effects they may not have."""
    rules: Sequence[AccessRule]
    """Rules over the arguments of calls."""
    cedar: str | None
    """A policy in Cedar that must allow each call as well."""
    connect: Collection[HostRule | str]
    """Hosts, for example `api.example.com` or `GET *.example.com:8443`."""
    deny_hosts: Collection[HostRule | str]
    """Hosts that are refused whatever grants them."""
    step_isolation: Collection[StepIsolation]
    """Ways in which a step may be isolated; all of them when left out."""
    expose: ContextExposure | None
    """Which capabilities may be told about the run; none when left out."""
    parameters: Mapping[str, Plain] | None
    """Plain values that are carried from plan to plan; they are recorded."""


def more_fields(more: MoreGrants) -> dict[str, Any]:
    """Return them as fields of a context.

    Raises:
        TypeError: There is no grant or restriction of that name; a misspelt restriction must not be none.
    """
    unknown = sorted(more.keys() - MoreGrants.__annotations__.keys())
    if unknown:
        raise TypeError(f"a context has no {unknown[0]!r}; there are {', '.join(MoreGrants.__annotations__)}")
    effects, cedar, expose = more.get("allow_effects"), more.get("cedar"), more.get("expose")
    return {
        "denied": frozenset(items(more.get("deny", ()))),
        "allowed_effects": None if effects is None else frozenset(items(effects)),
        "denied_effects": frozenset(items(more.get("deny_effects", ()))),
        "rules": (tuple(more.get("rules", ())),),
        "cedar_policies": () if cedar is None else (cedar,),
        "hosts": checked_hosts(items(more.get("connect", ()))),
        "denied_hosts": checked_hosts(items(more.get("deny_hosts", ())), denying=True),
        "step_isolation": frozenset(items(more.get("step_isolation", tuple(StepIsolation)))),
        "exposures": () if expose is None else (expose,),
        "encoded_parameters": checked_parameters(more.get("parameters") or {}),
    }
