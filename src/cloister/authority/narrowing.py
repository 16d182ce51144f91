"""How a context becomes a smaller one.

Owns the intersection of what a context holds with what is asked for. Nothing here adds authority: lists of grants are
intersected, lists of denials joined, and what looks at arguments is laid on top, so that a call must pass every layer.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict

from cloister.authority.context_checks import checked_effects, checked_patterns, is_same_denied, items, split_grants
from cloister.authority.exposure import ContextExposure
from cloister.authority.hosts import HostRule, checked_hosts, intersect_hosts, uncovered_hosts
from cloister.authority.level import IsolationLevel, StepIsolation
from cloister.authority.pattern import CapabilityPattern
from cloister.authority.policy import granted_path, intersect_roots, uncovered
from cloister.authority.rules import AccessRule
from cloister.errors import ConfigError, quoted
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from cloister.authority.context import RuntimeContext


class Narrowing(TypedDict, total=False):
    """What a smaller context is to keep, and what is to be denied to it beyond. What is left out stays as it is.

    Attributes:
        capabilities: Ids and patterns to keep.
        read: Paths to keep for reading.
        write: Paths to keep for writing.
        connect: Hosts to keep.
        environment: Names of variables to keep.
        allow_effects: Effects to keep.
        step_isolation: Ways of isolating a step to keep.
        parameters: Names of cross-plan parameters to keep.
        deny: Patterns to deny beyond.
        deny_effects: Effects to deny beyond.
        deny_hosts: Hosts to deny beyond.
        rules: One more layer of rules.
        cedar: One more policy in Cedar.
        expose: Who may be told about the run, of those who may be already.
        limits: Upper bounds.
        minimum_isolation: The weakest acceptable isolation.
        allow_computed: False to give up computed ids.
    """

    capabilities: Collection[str] | None
    read: Collection[str] | None
    write: Collection[str] | None
    connect: Collection[HostRule | str] | None
    environment: Collection[str] | None
    allow_effects: Collection[str] | None
    step_isolation: Collection[StepIsolation] | None
    parameters: Collection[str] | None
    deny: Collection[str]
    deny_effects: Collection[str]
    deny_hosts: Collection[HostRule | str]
    rules: Sequence[AccessRule]
    cedar: str | None
    expose: ContextExposure | None
    limits: ResourceLimits | None
    minimum_isolation: IsolationLevel | None
    allow_computed: bool | None


GRANTS = ("capabilities", "read", "write", "connect", "environment", "allow_computed")
"""What `UnsafeEverything` has too much of to keep when one of them is named."""


def narrowed(context: RuntimeContext, asked: Narrowing) -> dict[str, Any]:
    """Return the fields of the smaller context that differ from those of the context.

    Args:
        context: What is held; not pure and not `UnsafeEverything` when grants are asked for.
        asked: What to keep.
    """
    return _restrictions(context, asked) | _bounds(context, asked)


def narrowed_grants(context: RuntimeContext, asked: Narrowing, denied: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields with the grants that are kept.

    Args:
        context: What is held.
        asked: What to keep.
        denied: The fields with everything that is denied afterwards; what is denied by the very same name is dropped.
    """
    exact, patterns = _kept_capabilities(context, asked.get("capabilities"))
    barred, barred_hosts = denied["denied"], denied["denied_hosts"]
    names = asked.get("environment")
    kept = None if names is None else frozenset(items(names))
    return {
        "capabilities": exact - barred,
        "patterns": patterns - barred,
        "read_paths": _kept_paths(asked.get("read"), context.readable_paths, context.read_paths, context),
        "write_paths": _kept_paths(asked.get("write"), context.writable_paths, context.write_paths, context),
        "hosts": tuple(
            rule
            for rule in _kept_hosts(context, asked.get("connect"))
            if not any(is_same_denied(rule, each) for each in barred_hosts)
        ),
        "environment": tuple(pair for pair in context.environment if kept is None or pair[0] in kept),
        "allow_computed": context.allow_computed and asked.get("allow_computed") is not False,
    }


def refuse_wider(parent: RuntimeContext, asked: Narrowing, child: RuntimeContext) -> None:
    """Refuse a child that was to have more than its parent.

    Raises:
        ConfigError: `config.wider`, naming the first thing that the parent does not have.
    """
    excess = next(_excess(parent, asked, child), None)
    if excess is not None:
        raise ConfigError(
            f"a child context asks for {quoted(excess)}, which its parent does not have",
            code="config.wider",
            hint="grant it to the parent, or leave it out; a child only narrows",
        )


def _excess(parent: RuntimeContext, asked: Narrowing, child: RuntimeContext) -> Iterator[str]:
    exact, patterns = split_grants(asked.get("capabilities") or ())
    held = child.capabilities | child.patterns
    yield from (f"capability {name}" for name in sorted((exact | patterns) - held))
    for purpose, paths, roots in (
        ("reading", asked.get("read"), parent.readable_paths),
        ("writing", asked.get("write"), parent.writable_paths),
    ):
        outside = uncovered(map(granted_path, paths or ()), roots)
        if outside is not None:
            yield f"{purpose} of {outside}"
    hosts = checked_hosts(asked.get("connect") or ())
    yield from (f"host {rule}" for rule in uncovered_hosts(hosts, parent.reachable_hosts))
    yield from (f"variable {name}" for name in asked.get("environment") or () if name not in parent.environment_names)
    effects = checked_effects(asked.get("allow_effects") or ())
    allowed = effects if parent.allowed_effects is None else parent.allowed_effects
    yield from (f"effect {label}" for label in sorted(effects - (allowed - parent.denied_effects)))
    yield from _excess_bounds(parent, asked)


def _excess_bounds(parent: RuntimeContext, asked: Narrowing) -> Iterator[str]:
    limits = asked.get("limits")
    if limits is not None and parent.limits.narrow(limits) != limits:
        held, wanted = parent.limits.to_dict(), limits.to_dict()
        yield from (f"limit {name} of {wanted[name]}" for name in held if wanted[name] > held[name])
    minimum = asked.get("minimum_isolation")
    if minimum is not None and minimum < parent.minimum_isolation:
        yield f"isolation {minimum.label}"
    if asked.get("allow_computed") and not parent.allow_computed:
        yield "computed capability ids"
    yield from (
        f"step isolation {way.value}"
        for way in sorted(frozenset(asked.get("step_isolation") or ()) - parent.step_isolation)
    )
    known = dict(parent.encoded_parameters)
    yield from (f"cross-plan parameter {name}" for name in asked.get("parameters") or () if name not in known)
    if asked.get("expose") is not None and not parent.exposures:
        yield "an exposure of the run"


def _restrictions(context: RuntimeContext, asked: Narrowing) -> dict[str, Any]:
    """Return the denials of both, and the layers of both."""
    rules, cedar, expose = tuple(asked.get("rules") or ()), asked.get("cedar"), asked.get("expose")
    denied_effects = context.denied_effects | checked_effects(asked.get("deny_effects") or ())
    return {
        "denied": context.denied | checked_patterns(asked.get("deny") or (), denying=True),
        "denied_effects": denied_effects,
        "denied_hosts": checked_hosts(
            (*context.denied_hosts, *checked_hosts(asked.get("deny_hosts") or (), denying=True))
        ),
        "allowed_effects": _kept_effects(context.allowed_effects, asked.get("allow_effects"), denied_effects),
        "rules": _with_layer(context.rules, rules if rules else None),
        "cedar_policies": _with_layer(context.cedar_policies, cedar),
        # Nothing is told to anybody unless it was before; a layer can only take away
        "exposures": _with_layer(context.exposures, expose) if context.exposures else (),
    }


def _bounds(context: RuntimeContext, asked: Narrowing) -> dict[str, Any]:
    limits, minimum, ways = asked.get("limits"), asked.get("minimum_isolation"), asked.get("step_isolation")
    names = asked.get("parameters")
    kept = None if names is None else frozenset(items(names))
    return {
        "limits": context.limits.narrow(limits) if limits else context.limits,
        "minimum_isolation": max(context.minimum_isolation, minimum or context.minimum_isolation),
        "step_isolation": context.step_isolation if ways is None else context.step_isolation & frozenset(ways),
        "encoded_parameters": tuple(pair for pair in context.encoded_parameters if kept is None or pair[0] in kept),
    }


def _with_layer(layers: tuple[Any, ...], layer: Any) -> tuple[Any, ...]:
    return layers if layer is None or layer in layers else (*layers, layer)


def _kept_effects(
    held: frozenset[str] | None, wanted: Collection[str] | None, denied: frozenset[str]
) -> frozenset[str] | None:
    if held is None and wanted is None:
        return None
    asked = None if wanted is None else checked_effects(wanted)
    both = held if asked is None else asked if held is None else held & asked
    return None if both is None else both - denied


def _kept_capabilities(
    context: RuntimeContext, wanted: Collection[str] | None
) -> tuple[frozenset[str], frozenset[str]]:
    """Return ids and patterns that both name.

    Of two patterns the one inside the other is kept; two that only overlap leave nothing. An id that is held through a
    pattern is kept as a pattern without a star: a pattern names canonical ids only, an id aliases too.
    """
    if wanted is None:
        return context.capabilities, context.patterns
    exact, globs = split_grants(wanted)
    if context.is_unsafe:
        return exact, globs
    held = tuple(map(CapabilityPattern, context.patterns))
    kept = {name for name in exact - context.capabilities if any(each.matches(name) for each in held)}
    for asked in map(CapabilityPattern, globs):
        kept |= {asked.text for each in held if each.covers(asked)}
        kept |= {each.text for each in held if asked.covers(each)}
    by_pattern = {name for name in context.capabilities if any(CapabilityPattern(text).matches(name) for text in globs)}
    return (exact & context.capabilities) | by_pattern, frozenset(kept)


def _kept_paths(
    wanted: Collection[str] | None, held: tuple[str, ...], unchanged: tuple[str, ...], context: RuntimeContext
) -> tuple[str, ...]:
    if wanted is None:
        return held if context.is_unsafe else unchanged
    return intersect_roots((granted_path(path) for path in items(wanted)), held)


def _kept_hosts(context: RuntimeContext, wanted: Collection[HostRule | str] | None) -> tuple[HostRule, ...]:
    if wanted is None:
        return context.reachable_hosts
    return intersect_hosts(checked_hosts(items(wanted)), context.reachable_hosts)
