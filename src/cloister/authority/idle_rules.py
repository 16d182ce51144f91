"""Rules that are about nothing that is here: a misspelt pattern or argument protects from nothing, without a word.

Owns finding them, as warnings: a program may register capabilities that are not here now, so they are no errors.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches

from cloister.authority.constitution import BUILTIN_RULES, Rule
from cloister.authority.pattern import RESERVED_PREFIX
from cloister.authority.registry import CapabilityRegistry
from cloister.authority.rules import AccessRule
from cloister.errors import quoted


def idle_rules(rules: Iterable[Rule | AccessRule], registry: CapabilityRegistry) -> tuple[str, ...]:
    """Return, in a sentence each, what in rules is about no capability, or about an argument that none has.

    Args:
        rules: Of a policy or a constitution; the built-in ones are left out.
        registry: The capabilities there are.
    """
    return tuple(
        sentence
        for rule in rules
        if rule not in BUILTIN_RULES and not rule.pattern.text.startswith(RESERVED_PREFIX)
        for sentence in _idle(rule, registry)
    )


def _idle(rule: Rule | AccessRule, registry: CapabilityRegistry) -> Iterable[str]:
    about = [spec for spec in registry if rule.pattern.matches_any(registry.names(spec.id))]
    named = f'rule "{quoted(rule.id)}"'
    if not about:
        known = sorted({name for spec in registry for name in registry.names(spec.id)})
        hint = _meant(rule.pattern.text, known)
        yield f"{named} is about {quoted(rule.pattern.text)}, and no capability here has such a name{hint}"
        return
    parameters = sorted({parameter.name for spec in about for parameter in spec.parameters})
    for condition in rule.conditions:
        if condition.argument.partition(".")[0] not in parameters:
            hint = _meant(condition.argument, parameters)
            yield f'{named} asks for the argument "{quoted(condition.argument)}", which nothing it is about has{hint}'


def _meant(name: str, known: list[str]) -> str:
    close = get_close_matches(name[:200], known, 1)
    return f"; did you mean {close[0]}?" if close else ""
