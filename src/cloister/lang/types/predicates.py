"""The conditions a refined type can put on a value.

Owns the table of predicates (language reference, section 5.2): how each is written, and the test it makes. A predicate
that does not apply to a value's kind is not met. Lengths count characters; texts come from programs, so every test is
linear in the value and charges the run's budget. Part of the guest set: standard library only.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

from cloister.lang.growing import COLLECTIONS, MAPS
from cloister.lang.regex.pattern import compile_pattern
from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.comparison import same
from cloister.lang.types.expression import Predicate
from cloister.lang.values import Keyword, Value

Test: TypeAlias = Callable[[Value], bool]
"""Says whether a value meets a condition."""


@dataclass(frozen=True, slots=True)
class Rule:
    """How one predicate is written and what it tests.

    Attributes:
        shape: How it is written.
        takes: Whether the literals after its name are what it takes.
        make: Makes the test from those literals.
    """

    shape: str
    takes: Callable[[tuple[Value, ...]], bool]
    make: Callable[..., Test]


def make_test(predicate: Predicate) -> Test:
    """Return the test a predicate makes.

    Raises:
        GuestError: The regular expression of `matches-regex` is none.
    """
    return PREDICATES[predicate.name].make(*(argument.value for argument in predicate.arguments))


def _is_number(value: Value) -> bool:
    return type(value) is int or type(value) is float


def _same_kind(value: Value, bound: int | float) -> bool:
    # An integer is accepted where a float is expected, not the reverse: [:> 0] takes no 1.5, [:> 0.0] takes 1.
    return type(value) is int or (type(value) is float and type(bound) is float)


def _comparing(compare: Callable[[Value, Value], bool]) -> Callable[[int | float], Test]:
    def make(bound: int | float) -> Test:
        return lambda value: _same_kind(value, bound) and compare(value, bound)

    return make


def _in_range(low: int | float, high: int | float) -> Test:
    return lambda value: _same_kind(value, low) and _same_kind(value, high) and low <= value <= high


def _characters(compare: Callable[[int, int], bool]) -> Callable[[int], Test]:
    def make(bound: int) -> Test:
        return lambda value: type(value) is str and compare(len(value), bound)

    return make


def _elements(compare: Callable[[int, int], bool]) -> Callable[[int], Test]:
    def make(bound: int) -> Test:
        return lambda value: _is_collection(value) and compare(len(value), bound)

    return make


def _is_collection(value: Value) -> bool:
    return isinstance(value, COLLECTIONS)


def _non_empty() -> Test:
    return lambda value: (type(value) is str or _is_collection(value)) and len(value) > 0


def _matches(pattern: str) -> Test:
    compiled = compile_pattern(pattern)

    def test(value: Value) -> bool:
        return type(value) is str and compiled.is_found(value, current().charge_steps)

    return test


def _has_keys(*keys: Keyword) -> Test:
    def test(value: Value) -> bool:
        return isinstance(value, MAPS) and all(key in value for key in keys)

    return test


def is_url(text: str) -> bool:
    """Say whether a text is a web address: http or https, and a host after it, with nothing blank inside."""
    for scheme in ("http://", "https://"):
        if text.startswith(scheme):
            host = text[len(scheme) :].partition("/")[0]
            return bool(host) and _is_solid(text)
    return False


def is_email(text: str) -> bool:
    """Say whether a text has the shape of a mail address: `local@domain.name`, with nothing blank inside."""
    local, at, domain = text.partition("@")
    labels = domain.split(".")
    return bool(local and at) and "@" not in domain and len(labels) > 1 and all(labels) and _is_solid(text)


def _is_solid(text: str) -> bool:
    return text.isprintable() and not any(map(str.isspace, text))


def _of_text(check: Callable[[str], bool]) -> Callable[[], Test]:
    def test(value: Value) -> bool:
        if type(value) is not str:
            return False
        current().charge_scan(len(value))
        return check(value)

    return lambda: test


def _numbers(count: int) -> Callable[[tuple[Value, ...]], bool]:
    return lambda literals: len(literals) == count and all(map(_is_number, literals))


def _one(literals: tuple[Value, ...]) -> bool:
    return len(literals) == 1


def _size(literals: tuple[Value, ...]) -> bool:
    return len(literals) == 1 and type(literals[0]) is int and literals[0] >= 0


def _none(literals: tuple[Value, ...]) -> bool:
    return not literals


def _pattern(literals: tuple[Value, ...]) -> bool:
    return len(literals) == 1 and type(literals[0]) is str


def _keyword(literals: tuple[Value, ...]) -> bool:
    return len(literals) == 1 and type(literals[0]) is Keyword


def _keywords(literals: tuple[Value, ...]) -> bool:
    return len(literals) == 1 and type(literals[0]) is tuple and all(type(key) is Keyword for key in literals[0])


PREDICATES: Final[Mapping[str, Rule]] = MappingProxyType({
    ">": Rule("[:> number]", _numbers(1), _comparing(operator.gt)),
    "<": Rule("[:< number]", _numbers(1), _comparing(operator.lt)),
    ">=": Rule("[:>= number]", _numbers(1), _comparing(operator.ge)),
    "<=": Rule("[:<= number]", _numbers(1), _comparing(operator.le)),
    "=": Rule("[:= literal]", _one, lambda wanted: lambda value: same(value, wanted)),
    "!=": Rule("[:!= literal]", _one, lambda wanted: lambda value: not same(value, wanted)),
    "in-range": Rule("[:in-range low high]", _numbers(2), _in_range),
    "min-length": Rule("[:min-length characters]", _size, _characters(operator.ge)),
    "max-length": Rule("[:max-length characters]", _size, _characters(operator.le)),
    "length": Rule("[:length characters]", _size, _characters(operator.eq)),
    "matches-regex": Rule('[:matches-regex "pattern"]', _pattern, _matches),
    "min-count": Rule("[:min-count elements]", _size, _elements(operator.ge)),
    "max-count": Rule("[:max-count elements]", _size, _elements(operator.le)),
    "count": Rule("[:count elements]", _size, _elements(operator.eq)),
    "non-empty": Rule("[:non-empty]", _none, _non_empty),
    "has-key": Rule("[:has-key :name]", _keyword, _has_keys),
    "required-keys": Rule("[:required-keys [:a :b]]", _keywords, lambda keys: _has_keys(*keys)),
    "is-url": Rule("[:is-url]", _none, _of_text(is_url)),
    "is-email": Rule("[:is-email]", _none, _of_text(is_email)),
})  # fmt: skip
"""Every predicate by name."""
