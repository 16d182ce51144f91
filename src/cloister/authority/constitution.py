"""The constitution: rules above every grant, that whoever runs plans cannot lift by granting more.

Owns the rules, their order of strictness, the rules that always hold, and the ruling on one call. A constitution only
takes away: a call that no rule is about is left to the grants, and of several rules the strictest wins. It is written
by an operator, signed, and trusted once its signature was checked, which is not done here. Calls come from plans.

Source: CCOS system reference, section 6.5, for the actions and the built-in rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any, Final

from cloister.authority.condition import Condition, Facts, forbidding, granting, parse_conditions
from cloister.authority.operators import HOLDS, OPEN
from cloister.authority.pattern import CapabilityPattern
from cloister.canonical import Plain, encode, sha256_hex
from cloister.errors import CloisterError, ConfigError, quoted
from cloister.lang.values import Value

RULES_COUNT_MAX: Final = 1_000
VERSION_MAX: Final = 2**31 - 1
_ID_CHARS_MAX: Final = 100
_REASON_CHARS_MAX: Final = 500
_BUILTIN_PREFIX: Final = "builtin."
_RULE_KEYS: Final = frozenset({"id", "pattern", "action", "reason", "when"})
_REMEMBERED_COUNT_MAX: Final = 4_096
"""For how many capabilities a constitution remembers which rules are about them."""


class Action(IntEnum):
    """What a rule says, from the mildest to the strictest."""

    ALLOW = 1
    """The grants decide; the rule is named in the record."""
    REQUIRE_HUMAN_APPROVAL = 2
    """A person decides about this very call."""
    REQUIRE_GUARDIAN_APPROVAL = 3
    """A guardian decides: one of the people who may approve what others may not."""
    DENY = 4
    """Nobody decides: it is not done."""

    @property
    def label(self) -> str:
        """As a constitution spells it: `require-human-approval`."""
        return self.name.lower().replace("_", "-")


_ALLOW: Final = Action.ALLOW
"""Under a name of its own: looking a member up in its class takes as long as a whole comparison."""
_ACTIONS: Final = {action.label: action for action in Action}


@dataclass(frozen=True, slots=True, kw_only=True)
class Ruling:
    """What the constitution says of one call.

    Attributes:
        action: The strictest action of the rules that apply; `ALLOW` when none does.
        rule_id: The rule that says so, the first of several; None when none applies.
        reason: That rule's reason; None when none applies.
    """

    action: Action
    rule_id: str | None
    reason: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """One rule.

    Attributes:
        id: Names it in denials, approvals and the record; at most 100 printable characters without blanks.
        pattern: Which capabilities it is about, by id or alias.
        conditions: What the arguments must be for it to apply; all of them.
        action: What it says.
        reason: Why, for whoever is denied or asked; at most 500 characters.
        ruling: What a constitution says when this rule decides.

    Raises:
        ConfigError: `config.constitution` for an id or a reason that cannot be shown.
    """

    id: str
    pattern: CapabilityPattern
    conditions: tuple[Condition, ...] = ()
    action: Action
    reason: str
    ruling: Ruling = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Refuse what could not be shown in a message, and make its ruling once."""
        object.__setattr__(self, "ruling", Ruling(action=self.action, rule_id=self.id, reason=self.reason))
        if not 0 < len(self.id) <= _ID_CHARS_MAX or not self.id.isprintable() or " " in self.id:
            raise _wrong(f'"{quoted(self.id)}" cannot be the id of a rule', "write a short word such as no-deletes")
        if not 0 < len(self.reason) <= _REASON_CHARS_MAX or not self.reason.isprintable():
            raise _wrong(
                f"rule {quoted(self.id)} gives no reason, or one that cannot be shown",
                f"say in one line of at most {_REASON_CHARS_MAX} characters why it is there",
            )

    def applies(self, arguments: Mapping[str, Value] | Facts, *, certainly: bool = False) -> bool:
        """Return whether the rule is about a call of a capability that its pattern describes.

        Args:
            arguments: By parameter name.
            certainly: Count a condition that only the run can answer as not met.
        """
        if not self.conditions:
            return True
        judge = granting if self.action is _ALLOW else forbidding
        said = judge(self.conditions, arguments)
        return said is HOLDS or (said is OPEN and not certainly and self.action is not _ALLOW)

    def to_dict(self) -> dict[str, Plain]:
        """Return the rule as plain data without floats, as it is digested."""
        return {
            "id": self.id,
            "pattern": self.pattern.text,
            "conditions": [_condition_data(condition) for condition in self.conditions],
            "action": self.action.label,
            "reason": self.reason,
        }


NO_RULE: Final = Ruling(action=Action.ALLOW, rule_id=None, reason=None)


def _builtin(name: str, pattern: str, action: Action, reason: str) -> Rule:
    return Rule(id=_BUILTIN_PREFIX + name, pattern=CapabilityPattern(pattern), action=action, reason=reason)


BUILTIN_RULES: Final = (
    _builtin(
        "configuration",
        "*cli.config.*",
        Action.REQUIRE_HUMAN_APPROVAL,
        "a change of the configuration changes all runs",
    ),
    _builtin("discovery", "*cli.discovery.*", Action.ALLOW, "looking for capabilities changes nothing"),
    _builtin(
        "approval", "*cli.approval.approve", Action.REQUIRE_HUMAN_APPROVAL, "a plan must not approve its own calls"
    ),
    _builtin("weapons", "*launch-nukes*", Action.DENY, "nothing may set off weapons"),
)
"""Rules that hold whatever a file adds. The star in front takes the ids with a family name before them too."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Constitution:
    """A set of rules with a version and a digest.

    Attributes:
        version: Counts up with each change, from 1; 0 is the built-in rules alone.
        rules: The built-in rules and those added to them, in order.
        sha256: Digest over version and rules.

    Raises:
        ConfigError: `config.constitution` for two rules of one id, rules that contradict each other, or too many.
    """

    version: int
    rules: tuple[Rule, ...]
    sha256: str = field(init=False)
    _about: dict[str, tuple[Rule, ...]] = field(init=False, repr=False, compare=False, default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse rules that cannot be told apart, and digest the others."""
        if self.rules[: len(BUILTIN_RULES)] != BUILTIN_RULES:
            object.__setattr__(self, "rules", (*BUILTIN_RULES, *self.rules))
        _check_rules(self.rules)
        plain: Plain = {"version": self.version, "rules": [rule.to_dict() for rule in self.rules]}
        object.__setattr__(self, "sha256", sha256_hex(encode(plain)))

    def decide(
        self,
        capability_id: str,
        arguments: Mapping[str, Value],
        *,
        names: Collection[str] = (),
        certainly: bool = False,
    ) -> Ruling:
        """Rule on one call.

        Args:
            capability_id: Canonical id.
            arguments: Bound arguments by parameter name, with each path replaced by the place it leads to.
            names: Every name of the capability, so that a rule about an alias holds; the id alone by default.
            certainly: Say only what is certain before the run, when `arguments` has `UNKNOWN` in it.

        Cost: linear in the rules about the capability, which are found once for each id.
        """
        rules = self._rules_about(capability_id, names)
        facts = Facts(arguments)
        for rule in rules:
            if rule.applies(facts, certainly=certainly):
                return rule.ruling
        return NO_RULE

    def _rules_about(self, capability_id: str, names: Collection[str]) -> tuple[Rule, ...]:
        """Return the rules about a capability, the strictest first and else in their order."""
        known = self._about.get(capability_id)
        if known is None:
            every = {capability_id, *names}
            about = (rule for rule in self.rules if rule.pattern.matches_any(every))
            known = tuple(sorted(about, key=lambda rule: -rule.action))
            if len(self._about) < _REMEMBERED_COUNT_MAX:
                self._about[capability_id] = known
        return known

    def to_dict(self) -> dict[str, Plain]:
        """Return version, digest and rules as plain data."""
        return {"version": self.version, "sha256": self.sha256, "rules": [rule.to_dict() for rule in self.rules]}


def builtin_constitution() -> Constitution:
    """Return the rules that always hold, and no other."""
    return Constitution(version=0, rules=BUILTIN_RULES)


def parse_constitution(data: Mapping[str, Any]) -> Constitution:
    """Return the constitution that plain data describes; the built-in rules come first in it.

    Args:
        data: `version`, an integer from 1, and `rule`, a list of tables with `id`, `pattern`, `action`, `reason` and,
            where it does not apply to every call, `when`: a list of conditions.

    Raises:
        ConfigError: `config.constitution`, or `config.pattern` and `config.condition` for what is inside a rule.
    """
    unknown = sorted(data.keys() - {"version", "rule"})
    if unknown:
        raise _wrong(f'a constitution has no "{quoted(unknown[0])}"', "it has version, and [[rule]] tables")
    version, tables = data.get("version"), data.get("rule", [])
    if type(version) is not int or not 1 <= version <= VERSION_MAX:
        raise _wrong("the version of a constitution is a whole number from 1", "write version = 1, and count up")
    if not isinstance(tables, list) or len(tables) > RULES_COUNT_MAX:
        raise _wrong(f"the rules are no list of at most {RULES_COUNT_MAX} tables", "write [[rule]] before each")
    return Constitution(version=version, rules=(*BUILTIN_RULES, *map(_parsed_rule, tables)))


def _parsed_rule(table: Any) -> Rule:
    if not isinstance(table, Mapping) or not isinstance(table.get("id"), str):
        raise _wrong("a rule has no id", 'write id = "no-deletes" in it')
    name = quoted(table["id"])
    for key in sorted(table.keys() - _RULE_KEYS):
        raise _wrong(f'rule {name} has an unknown "{quoted(key)}"', f"a rule has {', '.join(sorted(_RULE_KEYS))}")
    texts = [table.get(key) for key in ("pattern", "action", "reason")]
    if not all(isinstance(text, str) for text in texts):
        raise _wrong(f"rule {name} needs pattern, action and reason, each a text", "write them in quotes")
    if table["id"].startswith(_BUILTIN_PREFIX):
        raise _wrong(f"rule {name} takes a name that is kept for built-in rules", f"leave out {_BUILTIN_PREFIX}")
    action = _ACTIONS.get(table["action"])
    if action is None:
        raise _wrong(
            f'rule {name} has the unknown action "{quoted(table["action"])}"', f"the actions are {', '.join(_ACTIONS)}"
        )
    return Rule(
        id=table["id"],
        pattern=CapabilityPattern(table["pattern"]),
        conditions=parse_conditions(table.get("when", []), f"rule {name}"),
        action=action,
        reason=table["reason"],
    )


def _check_rules(rules: tuple[Rule, ...]) -> None:
    ids: set[str] = set()
    said: dict[tuple[str, tuple[Condition, ...]], Rule] = {}
    for rule in rules:
        if rule.id in ids:
            raise _wrong(f"two rules have the id {quoted(rule.id)}", "rename one")
        ids.add(rule.id)
        other = said.setdefault((rule.pattern.text, rule.conditions), rule)
        if other.action is not rule.action:
            raise _wrong(
                f"the rules {quoted(other.id)} and {quoted(rule.id)} contradict each other: the same calls, "
                f"{other.action.label} and {rule.action.label}",
                "remove one, or tell their calls apart with conditions",
            )


def _condition_data(condition: Condition) -> Plain:
    plain = condition.to_dict()
    return {name: list(_exact(value)) for name, value in plain.items()}


def _exact(value: Any) -> Iterator[Plain]:
    """Yield values as the digest takes them, each with its kind, so that `1`, `1.0` and `"1"` stay apart."""
    for item in value if isinstance(value, list) else [value]:
        yield [type(item).__name__, repr(item) if isinstance(item, float) else item]


def _wrong(message: str, hint: str) -> CloisterError:
    return ConfigError(message, code="config.constitution", hint=hint)
