"""Conditions over the arguments of a call, once they are bound to parameters.

Owns how an argument is found and what an answer means when it is not there or of another kind. Policies come from an
operator; arguments come from plans and are hostile. Decides purely: a path is compared as text, so whoever asks puts
the place it leads to in its stead first.

A condition has four answers. `HOLDS` and `FAILS` are plain. `UNFIT` means that the argument is missing, of another
kind, or holds several values of which only some satisfy it: it counts against the call, so a rule that denies takes it
for holding and a rule that allows takes it for failing. `OPEN` means that only the run will know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cloister.authority.operators import (
    EXAMPLE,
    FAILS,
    HOLDS,
    OPEN,
    PRESENCE,
    UNFIT,
    Argument,
    Operator,
    Scalar,
    Test,
    Truth,
    checked_value,
    condition_error,
    make_test,
    truth,
)
from cloister.errors import quoted
from cloister.lang.effects import UNKNOWN
from cloister.lang.values import Keyword, Map, Value, settled

__all__ = ["Condition", "Facts", "Operator", "Truth", "contradiction", "forbidding", "granting", "parse_conditions"]

CONDITIONS_COUNT_MAX: Final = 64
"""As many as one rule may have."""
_DEPTH_MAX: Final = 16
_AMBIGUOUS: Final = object()
"""Stands for a value that two keys of one map give, or that lies inside something that is no map."""


class Facts:
    """The arguments of one call, in which each place is looked up once however many conditions ask for it.

    Args:
        arguments: By parameter name.
    """

    __slots__ = ("_arguments", "_found")

    def __init__(self, arguments: Mapping[str, Value]) -> None:
        self._arguments = arguments
        self._found: dict[tuple[str, ...], Argument] = {}

    def find(self, path: tuple[str, ...]) -> Argument:
        """Return what a path leads to: None when nothing is there, and `_AMBIGUOUS` when it is not clear what."""
        found = self._found.get(path)
        if found is None:
            found = self._found[path] = Argument(self._look_up(path))
        return found

    def _look_up(self, path: tuple[str, ...]) -> Value:
        first = self._arguments.get(path[0])
        if type(first) is str and len(path) == 1:
            return first  # as nearly always: there is nothing to settle
        value = settled(first)
        for name in path[1:]:
            if value is None or value is UNKNOWN:
                return value
            if not isinstance(value, Map):
                return _AMBIGUOUS
            keyword, text = value.get(Keyword(name)), value.get(name)
            if keyword is not None and text is not None:
                return _AMBIGUOUS
            value = settled(text if keyword is None else keyword)
        return plain_value(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """One question about one argument.

    Attributes:
        argument: Name of a parameter; behind dots, keys of maps inside it: `request.url`. A key is a keyword or a text.
        operator: What is asked.
        value: What is compared with: a list for `in`, `not-in`, `matches`, `under` and `host-in` (one text counts as a
            list of one), a number for the bounds, True for `present` and `absent`, any plain value otherwise. A keyword
            argument is compared by its name.

    Raises:
        ConfigError: `config.condition` when it makes no sense.
    """

    argument: str
    operator: Operator
    value: Scalar | tuple[Scalar, ...] = True
    _path: tuple[str, ...] = field(init=False, repr=False, compare=False)
    _is_of_values: bool = field(init=False, repr=False, compare=False)
    _test: Test = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Check it and prepare its test once."""
        put = object.__setattr__
        path = tuple(self.argument.split(".")) if isinstance(self.argument, str) else ()
        if not path or "" in path or len(path) > _DEPTH_MAX or not self.argument.isprintable():
            raise condition_error(
                f'"{quoted(str(self.argument))}" names no argument', "write for example url or request.url"
            )
        put(self, "_path", path)
        put(self, "operator", Operator(self.operator))
        put(self, "value", checked_value(self.operator, self.value))
        put(self, "_is_of_values", self.operator not in PRESENCE and self.operator is not Operator.LENGTH_AT_MOST)
        put(self, "_test", make_test(self.operator, self.value))

    def __str__(self) -> str:
        if self.operator in PRESENCE:
            return f"{self.argument} {self.operator.value}"
        values = self.value if isinstance(self.value, tuple) else (self.value,)
        return f"{self.argument} {self.operator.value} {', '.join(map(str, values))}"

    @property
    def path(self) -> tuple[str, ...]:
        """The argument, and keys of maps inside it."""
        return self._path

    def judge(self, arguments: Mapping[str, Value] | Facts) -> Truth:
        """Return what it says of a call.

        Args:
            arguments: By parameter name; `UNKNOWN` where only the run has the value.
        """
        facts = arguments if isinstance(arguments, Facts) else Facts(arguments)
        found = facts.find(self._path)
        value = found.value
        if value is UNKNOWN:
            return OPEN
        if self._is_of_values:
            return self._judge_values(value) if isinstance(value, tuple) else self._test(found)
        if self.operator is Operator.LENGTH_AT_MOST:
            return self._test(found)
        if value is _AMBIGUOUS:
            return UNFIT
        return truth((value is None) is (self.operator is Operator.ABSENT))

    def judge_value(self, value: Value) -> Truth:
        """Return what it says of a value that is there; of several in a vector, what it says of all of them."""
        if self._is_of_values and isinstance(value, tuple):
            return self._judge_values(value)
        return self._test(Argument(value))

    def is_about_several(self, facts: Facts) -> bool:
        """Return whether the argument holds several values, of which rules may each take some."""
        return isinstance(facts.find(self._path).value, tuple)

    def _judge_values(self, values: tuple[Value, ...]) -> Truth:
        return _of_all([OPEN if item is UNKNOWN else self._test(Argument(plain_value(item))) for item in values])

    def holds(self, arguments: Mapping[str, Value] | Facts) -> bool:
        """Return whether it holds for certain."""
        return self.judge(arguments) is HOLDS

    def to_dict(self) -> dict[str, Any]:
        """Return it as a policy spells it; fractions as `{"float": "0.5"}`, because digests know none."""
        value = list(map(_written, self.value)) if isinstance(self.value, tuple) else _written(self.value)
        return {"argument": self.argument, self.operator.value: value}


def granting(conditions: Sequence[Condition], arguments: Mapping[str, Value] | Facts) -> Truth:
    """Return whether all conditions of a rule that allows hold: `HOLDS`, `FAILS` or `OPEN`."""
    return _together(conditions, arguments, unfit=FAILS)


def forbidding(conditions: Sequence[Condition], arguments: Mapping[str, Value] | Facts) -> Truth:
    """Return whether all conditions of a rule that denies hold, or cannot be shown not to: `HOLDS`, `FAILS`, `OPEN`."""
    return _together(conditions, arguments, unfit=HOLDS)


def parse_conditions(data: Any, subject: str) -> tuple[Condition, ...]:
    """Return conditions from plain data: a list of tables, each with `argument` and one or more operators.

    Args:
        data: `[{"argument": "request.url", "host-in": ["*.example.com"]}]`; several operators in one table must all
            hold, as must all tables.
        subject: What they belong to, for messages, for example `rule "small-files"`.

    Raises:
        ConfigError: `config.condition` when they make no sense, or can never hold together; `config.path` for a root
            that is no canonical path.
    """
    if not isinstance(data, (list, tuple)) or len(data) > CONDITIONS_COUNT_MAX:
        raise condition_error(
            f"the conditions of {quoted(subject)} are no list of at most {CONDITIONS_COUNT_MAX} tables", EXAMPLE
        )
    found: list[Condition] = []
    for table in data:
        if not isinstance(table, Mapping) or not isinstance(table.get("argument"), str) or len(table) < 2:
            raise condition_error(f"a condition of {quoted(subject)} names no argument, or no operator", EXAMPLE)
        for key, value in table.items():
            if key != "argument":
                found.append(_parsed(table["argument"], key, value, subject))
    conditions = tuple(found)
    clash = contradiction(conditions)
    if clash:
        raise condition_error(
            f"the conditions of {quoted(subject)} can never hold together: {quoted(clash)}", "change one"
        )
    return conditions


def contradiction(conditions: Sequence[Condition]) -> str | None:
    """Return in words why conditions can never hold together, or None when nothing obvious speaks against it.

    What is found: `absent` beside a condition that needs a value, values that are listed but fail the other conditions,
    and bounds that cross.
    """
    by_argument: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_argument.setdefault(condition.argument, []).append(condition)
    for argument, group in by_argument.items():
        if any(each.operator is Operator.ABSENT for each in group) and len({each.operator for each in group}) > 1:
            return f"{argument} is to be absent, and to have a value"
        if not _has_candidate(group) or _bounds_cross(group):
            return " and ".join(map(str, group))
    return None


def _parsed(argument: str, key: Any, value: Any, subject: str) -> Condition:
    try:
        operator = Operator(key)
    except ValueError:
        known = ", ".join(member.value for member in Operator)
        raise condition_error(
            f'"{quoted(str(key))}" in {quoted(subject)} is no operator', f"the operators are {known}"
        ) from None
    plain = tuple(map(_read, value)) if isinstance(value, (list, tuple)) else _read(value)
    return Condition(argument=argument, operator=operator, value=plain)


def _written(value: Scalar) -> Any:
    return {"float": repr(value)} if isinstance(value, float) else value


def _read(value: Any) -> Any:
    if isinstance(value, Mapping) and value.keys() == {"float"}:
        try:
            return float(value["float"])
        except (TypeError, ValueError):
            return None
    return value


def _together(conditions: Sequence[Condition], arguments: Mapping[str, Value] | Facts, *, unfit: Truth) -> Truth:
    facts = arguments if isinstance(arguments, Facts) else Facts(arguments)
    answer = HOLDS
    for condition in conditions:
        said = condition.judge(facts)
        if said is UNFIT:
            said = unfit
        if said is FAILS:
            return FAILS
        if said is OPEN:
            answer = OPEN
    return answer


def _of_all(truths: Sequence[Truth]) -> Truth:
    """Return what several values say together: only when all agree is it plain."""
    distinct = set(truths)
    if len(distinct) == 1:
        return truths[0]
    return OPEN if OPEN in distinct else UNFIT


def plain_value(value: Value) -> Value:
    """Return a value as conditions compare it: settled, and a keyword by its name."""
    value = settled(value)
    return value.name if isinstance(value, Keyword) else value


def _has_candidate(group: Sequence[Condition]) -> bool:
    """Return whether some listed value satisfies every condition; True when none lists its values."""
    listing = next((each for each in group if each.operator in {Operator.EQUALS, Operator.IN}), None)
    if listing is None:
        return True
    values = listing.value if isinstance(listing.value, tuple) else (listing.value,)
    others = [each for each in group if each.operator not in PRESENCE]
    return any(all(each.judge_value(value) is HOLDS for each in others) for value in values)


def _bounds_cross(group: Sequence[Condition]) -> bool:
    highest: list[Any] = [each.value for each in group if each.operator is Operator.AT_MOST]
    lowest: list[Any] = [each.value for each in group if each.operator is Operator.AT_LEAST]
    return bool(highest and lowest) and min(highest) < max(lowest)
