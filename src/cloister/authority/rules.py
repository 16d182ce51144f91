"""Rules that look at the arguments of a call.

Owns `AccessRule`, how a policy spells one, and what a set of rules says of a call. Rules never grant: the capability
must be granted as well. Where rules that allow name a capability, at least one of them must hold; a rule that denies
and holds, or cannot be shown not to hold, refuses. Policies come from an operator; arguments from plans, which are
hostile.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Final, NamedTuple

from cloister.authority.condition import (
    Condition,
    Facts,
    contradiction,
    forbidding,
    granting,
    parse_conditions,
)
from cloister.authority.operators import FAILS, HOLDS, OPEN, VALUES_COUNT_MAX, Operator, Scalar, kind_of
from cloister.authority.pattern import CapabilityPattern
from cloister.authority.rule_index import INDEXED, RuleIndex
from cloister.errors import ConfigError, quoted
from cloister.lang.values import Value

RULES_COUNT_MAX: Final = 1000
"""As many as one context may have in one layer."""
_RULE_ID: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:/-]{0,199}")
_KEYS: Final = frozenset({"id", "capability", "action", "when"})


class RuleAction(StrEnum):
    """What a rule does when it holds."""

    ALLOW = "allow"
    DENY = "deny"


class Moment(StrEnum):
    """When a call is decided."""

    BEFORE_RUN = "before-run"
    """Arguments may be unknown; what could still be allowed is not refused."""
    CALL = "call"
    """Everything is known; what is not known to be allowed is refused."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AccessRule:
    """A condition on calls of the capabilities that a pattern names.

    Attributes:
        id: Names the rule in refusals and in the record; unique in its context.
        pattern: Which capabilities it is about, by any of their names.
        action: What it does.
        conditions: All must hold; with none it always holds.

    Raises:
        ConfigError: `config.rule` for an id that cannot be one, `config.contradiction` when it can never hold.
    """

    id: str
    pattern: CapabilityPattern
    action: RuleAction
    conditions: tuple[Condition, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a rule that could not be named, or never holds."""
        if not isinstance(self.id, str) or not _RULE_ID.fullmatch(self.id):
            raise _malformed(f'"{quoted(str(self.id))}" is no id of a rule', "use letters, digits and . _ - : /")
        object.__setattr__(self, "action", RuleAction(self.action))
        clash = contradiction(self.conditions)
        if clash:
            raise ConfigError(
                f'rule "{self.id}" can never hold: {quoted(clash)}',
                code="config.contradiction",
                hint="change or remove one of its conditions",
            )

    def to_dict(self) -> dict[str, Any]:
        """Return it as a policy spells it."""
        return {
            "id": self.id,
            "capability": self.pattern.text,
            "action": self.action.value,
            "when": [each.to_dict() for each in self.conditions],
        }


class RuleGroup(NamedTuple):
    """Rules that can be passed over together.

    Attributes:
        gate: When it fails, no rule of the group holds; None when nothing can be said of all of them.
        rules: The rules.
        path: Of the argument that `by_value` asks about; empty without that.
        by_value: Knows which of the rules may hold, in place of a gate; None where their values cannot be looked up.
    """

    gate: Condition | None
    rules: tuple[AccessRule, ...]
    path: tuple[str, ...] = ()
    by_value: RuleIndex[AccessRule] | None = None

    def candidates(self, facts: Facts) -> Sequence[AccessRule]:
        """Return the rules that may hold, in their order."""
        if self.by_value is not None:
            return self.by_value.candidates(facts.find(self.path))
        return () if self.gate is not None and self.gate.judge(facts) is FAILS else self.rules


@dataclass(frozen=True, slots=True, kw_only=True)
class RuleSet:
    """The rules of one layer that name a certain capability, grouped so that most are never looked at.

    Attributes:
        allowing: One of them must hold, unless there are none.
        denying: None of them may hold.
    """

    allowing: tuple[RuleGroup, ...]
    denying: tuple[RuleGroup, ...]

    def refusal(self, arguments: Mapping[str, Value] | Facts, moment: Moment) -> tuple[AccessRule, ...]:
        """Return the rules that refuse a call: one that denies, or those that allow and of which none holds.

        Args:
            arguments: By parameter name.
            moment: When it is decided.

        Returns:
            Nothing when the rules have nothing against the call.
        """
        facts = arguments if isinstance(arguments, Facts) else Facts(arguments)
        unsure = moment is _CALL
        for group in self.denying:
            for rule in group.candidates(facts):
                said = forbidding(rule.conditions, facts)
                if said is HOLDS or (unsure and said is OPEN):
                    return (rule,)
        for group in self.allowing:
            for rule in group.candidates(facts):
                said = granting(rule.conditions, facts)
                if said is HOLDS or (not unsure and said is OPEN):
                    return ()
        return tuple(rule for group in self.allowing for rule in group.rules)

    def open_rules(self, arguments: Mapping[str, Value] | Facts) -> tuple[AccessRule, ...]:
        """Return the rules whose answer only the run will know."""
        facts = arguments if isinstance(arguments, Facts) else Facts(arguments)
        denying = (rule for group in self.denying for rule in group.rules)
        allowing = (rule for group in self.allowing for rule in group.rules)
        return (
            *(rule for rule in denying if forbidding(rule.conditions, facts) is OPEN),
            *(rule for rule in allowing if granting(rule.conditions, facts) is OPEN),
        )


_CALL: Final = Moment.CALL
"""Under a name of its own: looking one up in its class takes as long as a whole test."""


def rules_about(rules: Sequence[AccessRule], names: Collection[str]) -> RuleSet | None:
    """Return the rules that name a capability, or None when none does.

    Args:
        rules: Of one layer.
        names: Id and aliases of the capability.
    """
    named = [rule for rule in rules if rule.pattern.matches_any(names)]
    if not named:
        return None
    return RuleSet(
        allowing=_grouped([rule for rule in named if rule.action is RuleAction.ALLOW]),
        denying=_grouped([rule for rule in named if rule.action is RuleAction.DENY]),
    )


_GROUP_COUNT_MAX: Final = 10
"""Rules of one group that are looked at one by one behind an open gate. Of a hundred rules that gives ten gates and ten
rules, which is the least that two steps can cost."""
_GATES: Final = INDEXED | {Operator.MATCHES, Operator.HOST_IN}


def _grouped(rules: Sequence[AccessRule]) -> tuple[RuleGroup, ...]:
    """Return rules in groups whose first conditions ask the same of the same argument."""
    alike: dict[tuple[object, ...], list[AccessRule]] = {}
    for rule in rules:
        alike.setdefault(_likeness(rule), []).append(rule)
    groups = []
    for likeness, members in alike.items():
        if likeness and len(members) > 1 and members[0].conditions[0].operator in INDEXED:
            groups.append(_indexed(members))
            continue
        for start in range(0, len(members), _GROUP_COUNT_MAX):
            part = tuple(members[start : start + _GROUP_COUNT_MAX])
            groups.append(RuleGroup(_gate(part), part))
    return tuple(groups)


def _indexed(rules: Sequence[AccessRule]) -> RuleGroup:
    first = rules[0].conditions[0]
    index = RuleIndex(
        [(rule, _values(rule.conditions[0])) for rule in rules], is_of_trees=first.operator is Operator.UNDER
    )
    return RuleGroup(None, tuple(rules), first.path, index)


def _likeness(rule: AccessRule) -> tuple[object, ...]:
    first = next(iter(rule.conditions), None)
    if first is None or first.operator not in _GATES:
        return ()
    operator = Operator.IN if first.operator is Operator.EQUALS else first.operator
    return (first.argument, operator, kind_of(_values(first)[0]))


def _gate(rules: Sequence[AccessRule]) -> Condition | None:
    """Return a condition that fails only when the first condition of every rule fails."""
    likeness = _likeness(rules[0])
    values = tuple(dict.fromkeys(value for rule in rules for value in _values(rule.conditions[0]))) if likeness else ()
    if len(rules) == 1 or not likeness or len(values) > VALUES_COUNT_MAX:
        return None
    first = rules[0].conditions[0]
    operator = Operator.IN if first.operator is Operator.EQUALS else first.operator
    return Condition(argument=first.argument, operator=operator, value=values)


def _values(condition: Condition) -> tuple[Scalar, ...]:
    return condition.value if isinstance(condition.value, tuple) else (condition.value,)


def parse_rules(data: Any) -> tuple[AccessRule, ...]:
    """Return rules from plain data, a list of tables with `id`, `capability`, `action` and `when`.

    Raises:
        ConfigError: `config.rule` when one is malformed; `config.pattern`, `config.condition`, `config.contradiction`
            as for what they consist of.
    """
    if not isinstance(data, (list, tuple)):
        raise _malformed("rules are a list of tables", _EXAMPLE)
    return checked_rules(tuple(map(_parsed, data)))


def checked_rules(rules: tuple[AccessRule, ...]) -> tuple[AccessRule, ...]:
    """Return the rules of one layer when they can stand beside each other.

    Raises:
        ConfigError: `config.rule` for too many or two of one id; `config.contradiction` when one allows exactly what
            another denies.
    """
    if len(rules) > RULES_COUNT_MAX:
        raise _malformed(f"there are {len(rules)} rules; at most {RULES_COUNT_MAX} are taken", "merge some of them")
    seen: dict[str, AccessRule] = {}
    subjects: dict[tuple[str, frozenset[Condition]], AccessRule] = {}
    for rule in rules:
        if seen.setdefault(rule.id, rule) is not rule:
            raise _malformed(f'two rules have the id "{rule.id}"', "give each its own")
        subject = (rule.pattern.text, frozenset(rule.conditions))
        other = subjects.setdefault(subject, rule)
        if other.action is not rule.action:
            raise ConfigError(
                f'rules "{other.id}" and "{rule.id}" allow and deny the very same calls of {rule.pattern}',
                code="config.contradiction",
                hint="remove one of them; a denial would always win",
            )
    return rules


_EXAMPLE: Final = 'write [[rules]] with id, capability, action = "allow" or "deny", and when = [...]'


def _malformed(message: str, hint: str) -> ConfigError:
    return ConfigError(message, code="config.rule", hint=hint)


def _parsed(table: Any) -> AccessRule:
    if not isinstance(table, Mapping) or not isinstance(table.get("capability"), str):
        raise _malformed("a rule is no table, or names no capability", _EXAMPLE)
    unknown = sorted(map(str, table.keys() - _KEYS))
    if unknown:
        raise _malformed(f'a rule has "{quoted(unknown[0])}", which says nothing', _EXAMPLE)
    try:
        action = RuleAction(table.get("action", ""))
    except ValueError:
        shown = quoted(str(table.get("action", "")))
        raise _malformed(f'a rule has the action "{shown}"', "it is allow or deny") from None
    rule_id = table.get("id")
    return AccessRule(
        id=rule_id if isinstance(rule_id, str) else "",
        pattern=CapabilityPattern(table["capability"]),
        action=action,
        conditions=parse_conditions(table.get("when", ()), f"rule {rule_id}"),
    )
