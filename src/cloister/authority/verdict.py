"""What the grants of a context say of a capability, before any argument is looked at.

Owns `Verdict` and how it is found: the grant, the pattern that denies, the effect that is not allowed, and the rules
that will look at the arguments. A context finds it once for each capability and keeps it, so that a decision costs the
same with one rule as with a thousand. Pure; ids and effects come from a registry and are trusted.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

from cloister.authority.effect import EffectLabel
from cloister.authority.pattern import CapabilityPattern
from cloister.authority.rules import AccessRule, RuleSet, rules_about


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A capability as grants see it.

    Attributes:
        capability_id: Canonical id.
        names: The id and all aliases.
        effects: Labels of what it does.
    """

    capability_id: str
    names: frozenset[str]
    effects: frozenset[str]


WORKLOAD_EFFECTS = frozenset({EffectLabel.PROCESS.value})
"""What a workload of Cloister's own does: it runs other code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What grants say of a capability.

    Attributes:
        is_granted: Whether an id or pattern grants it.
        denied_by: The pattern that denies it, or None.
        denied_effect: One of its effects that is denied, or None.
        missing_effect: One of its effects that is not among the allowed ones, or None.
        rules: For each layer of rules that names it, those rules.
    """

    is_granted: bool
    denied_by: str | None = None
    denied_effect: str | None = None
    missing_effect: str | None = None
    rules: tuple[RuleSet, ...] = ()

    @property
    def is_allowed(self) -> bool:
        """Whether nothing speaks against it but, perhaps, its rules."""
        return self.is_granted and self.denied_by is None and self.denied_effect is None and self.missing_effect is None


def judge(
    subject: Subject,
    *,
    is_granted: Callable[[Subject], bool],
    denied: Iterable[str],
    allowed_effects: Collection[str] | None,
    denied_effects: Collection[str],
    layers: Iterable[tuple[AccessRule, ...]],
) -> Verdict:
    """Find what grants say of a capability.

    Cost: linear in patterns and rules.
    """
    effects = sorted(subject.effects)
    denials = (text for text in sorted(denied) if CapabilityPattern(text).matches_any(subject.names))
    sets = (rules_about(rules, subject.names) for rules in layers)
    return Verdict(
        is_granted=is_granted(subject),
        denied_by=next(denials, None),
        denied_effect=next((label for label in effects if label in denied_effects), None),
        missing_effect=next(
            (label for label in effects if allowed_effects is not None and label not in allowed_effects), None
        ),
        rules=tuple(found for found in sets if found is not None),
    )


def grants(subject: Subject, capabilities: Collection[str], patterns: Iterable[str]) -> bool:
    """Return whether ids or patterns grant a capability: an id by any of its names, a pattern by its canonical id."""
    return not subject.names.isdisjoint(capabilities) or any(
        CapabilityPattern(text).matches(subject.capability_id) for text in patterns
    )
