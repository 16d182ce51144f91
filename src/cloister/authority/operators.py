"""The operators of conditions: what each compares with, and what it says of a value.

Owns how a policy spells an operator, which values it takes, and its test. A test answers `UNFIT` for a value of another
kind instead of guessing. Policies come from an operator; the values that are tested come from plans and are hostile.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import Enum, StrEnum
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from cloister.authority.destination import Destination, canonical_host, destination
from cloister.authority.pattern import STAR, Glob
from cloister.authority.policy import granted_path, is_canonical
from cloister.errors import ConfigError, quoted
from cloister.lang.values import Map, Value

VALUES_COUNT_MAX: Final = 1000
"""As many values as one condition may list."""
EXAMPLE: Final = 'write for example { argument = "url", host-in = ["api.example.com"] }'

Scalar: TypeAlias = str | int | float | bool


class Operator(StrEnum):
    """What a condition asks of an argument, as a policy spells it."""

    EQUALS = "equals"
    NOT_EQUALS = "not-equals"
    IN = "in"
    NOT_IN = "not-in"
    MATCHES = "matches"
    """A text that one of the globs describes."""
    UNDER = "under"
    """A canonical path that is one of those given, or lies below it, by component."""
    HOST_IN = "host-in"
    """A URL whose host is one of those given; `*.example.com` stands for every host below it."""
    AT_MOST = "at-most"
    AT_LEAST = "at-least"
    LENGTH_AT_MOST = "length-at-most"
    """A text of so many characters, or a vector or map of so many entries."""
    PRESENT = "present"
    ABSENT = "absent"


class Truth(Enum):
    """What a condition says of a call."""

    HOLDS = "holds"
    FAILS = "fails"
    UNFIT = "unfit"
    """It cannot be said, so it counts against the call."""
    OPEN = "open"
    """It cannot be said yet: the value is not known before the run."""


HOLDS: Final = Truth.HOLDS
FAILS: Final = Truth.FAILS
UNFIT: Final = Truth.UNFIT
OPEN: Final = Truth.OPEN
"""The members under names of their own: looking one up in its class takes as long as a whole test."""


class Argument:
    """A value that is tested, with what several tests ask of it found once.

    Args:
        value: Settled, keywords by their name; None when there is nothing.
    """

    __slots__ = ("_is_canonical", "_place", "kind", "value")

    def __init__(self, value: Value) -> None:
        self.value = value
        self.kind = kind_of(value)
        self._is_canonical: bool | None = None
        self._place: Destination | None | Truth = OPEN

    @property
    def is_canonical(self) -> bool:
        """Whether it is a canonical path."""
        if self._is_canonical is None:
            self._is_canonical = self.kind == "text" and is_canonical(self.value)
        return self._is_canonical

    @property
    def place(self) -> Destination | None:
        """Where it leads as a URL, or None."""
        if isinstance(self._place, Truth):
            self._place = destination(self.value) if self.kind == "text" else None
        return self._place


Test: TypeAlias = Callable[[Argument], Truth]

PRESENCE: Final = frozenset({Operator.PRESENT, Operator.ABSENT})
"""Operators that are answered without a test."""
_LISTS: Final = frozenset({Operator.IN, Operator.NOT_IN, Operator.MATCHES, Operator.UNDER, Operator.HOST_IN})
_TEXTS: Final = frozenset({Operator.MATCHES, Operator.UNDER, Operator.HOST_IN})


def make_test(operator: Operator, value: Any) -> Test:
    """Return what tests an argument against a value that was checked."""
    return _TESTS[operator](value)


def truth(answer: bool) -> Truth:
    """Return the plain answer."""
    return HOLDS if answer else FAILS


def condition_error(message: str, hint: str) -> ConfigError:
    """Return the error for a condition that makes no sense."""
    return ConfigError(message, code="config.condition", hint=hint)


def checked_value(operator: Operator, value: Any) -> Scalar | tuple[Scalar, ...]:
    """Return the value in the form its operator takes.

    Raises:
        ConfigError: `config.condition`.
    """
    if operator in PRESENCE:
        if value is not True:
            raise condition_error(
                f"{operator.value} takes true and nothing else", "leave the condition out, or use the other"
            )
        return True
    if operator in _LISTS:
        return _checked_list(operator, value)
    if operator in {Operator.AT_MOST, Operator.AT_LEAST, Operator.LENGTH_AT_MOST}:
        whole = operator is Operator.LENGTH_AT_MOST
        fits = kind_of(value) == "number" and (not whole or (isinstance(value, int) and value >= 0))
        if not fits or not math.isfinite(value):
            raise condition_error(
                f"{operator.value} takes a {'whole ' if whole else ''}number", "write for example 1000"
            )
        return _scalar(value)
    if kind_of(value) is None:
        raise condition_error(f"{operator.value} takes one text, number or boolean", EXAMPLE)
    return _scalar(value)


def _checked_list(operator: Operator, value: Any) -> tuple[Scalar, ...]:
    items = value if isinstance(value, tuple) else (value,)
    kinds = {kind_of(item) for item in items}
    if not 0 < len(items) <= VALUES_COUNT_MAX or len(kinds) != 1 or None in kinds:
        raise condition_error(
            f"{operator.value} takes a list of 1 to {VALUES_COUNT_MAX} texts, of numbers or of booleans", EXAMPLE
        )
    if operator in _TEXTS and kinds != {"text"}:
        raise condition_error(f"{operator.value} takes texts", EXAMPLE)
    if operator is Operator.UNDER:
        return tuple(dict.fromkeys(map(granted_path, items)))
    if operator is Operator.HOST_IN:
        return tuple(dict.fromkeys(map(_checked_host, items)))
    return tuple(dict.fromkeys(map(_scalar, items)))


def _checked_host(text: str) -> str:
    wild = text.startswith("*.")
    host = canonical_host(text[2:] if wild else text)
    if host is None or STAR in host or (wild and (":" in host or host.replace(".", "").isdigit())):
        raise condition_error(f'"{quoted(text)}" is no host', "write api.example.com, *.example.com or 192.0.2.1")
    return f"*.{host}" if wild else host


def _scalar(value: Any) -> Scalar:
    """Return a plain value; there is one zero, and a whole float is the integer, as in comparisons."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    scalar: Scalar = value
    return scalar


def kind_of(value: Any) -> str | None:
    """Return what kind of plain value it is: text, number or boolean; None for anything else."""
    if type(value) is str:
        return "text"  # as most arguments are, and every rule asks
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, (int, float)):
        # What is not a number compares as neither more nor less, so it would slip through a bound
        return None if value != value else "number"  # noqa: PLR0124 - NaN alone differs from itself
    return "text" if isinstance(value, str) else None


def _equal_to(value: Any) -> Test:
    return _one_of((value,))


def _other_than(value: Any) -> Test:
    return _none_of((value,))


def _one_of(values: Any) -> Test:
    kind, known = kind_of(values[0]), frozenset(values)
    return lambda found: truth(found.value in known) if found.kind == kind else UNFIT


def _none_of(values: Any) -> Test:
    kind, known = kind_of(values[0]), frozenset(values)
    return lambda found: truth(found.value not in known) if found.kind == kind else UNFIT


def _matching(texts: Any) -> Test:
    exact = frozenset(text for text in texts if STAR not in text)
    # Globs with one star at the end are most of those there are, and looking at beginnings is a single operation
    starts = tuple(text[:-1] for text in texts if text.find(STAR) == len(text) - 1)
    globs = tuple(Glob(text) for text in texts if -1 < text.find(STAR) < len(text) - 1)

    def test(found: Argument) -> Truth:
        if found.kind != "text":
            return UNFIT
        text = found.value
        return truth(text in exact or text.startswith(starts) or any(glob.matches(text) for glob in globs))

    return test


def _under(roots: Any) -> Test:
    exact, below = frozenset(roots), tuple("/" if root == "/" else root + "/" for root in roots)

    def test(found: Argument) -> Truth:
        if not found.is_canonical:
            return UNFIT
        path = found.value
        return HOLDS if path in exact or path.startswith(below) else FAILS

    return test


def _host_in(hosts: Any) -> Test:
    exact = frozenset(hosts)
    below = tuple(host[1:] for host in hosts if host.startswith("*."))

    def test(found: Argument) -> Truth:
        place = found.place
        return UNFIT if place is None else truth(place.host in exact or place.host.endswith(below))

    return test


def _at_most(bound: Any) -> Test:
    return lambda found: truth(found.value <= bound) if found.kind == "number" else UNFIT


def _at_least(bound: Any) -> Test:
    return lambda found: truth(found.value >= bound) if found.kind == "number" else UNFIT


def _length_at_most(bound: Any) -> Test:
    return lambda found: truth(len(found.value) <= bound) if isinstance(found.value, (str, tuple, Map)) else UNFIT


def _never(_value: Any) -> Test:
    return lambda _found: UNFIT  # presence is answered before any test


_TESTS: Final[Mapping[Operator, Callable[[Any], Test]]] = MappingProxyType(
    {
        Operator.EQUALS: _equal_to,
        Operator.NOT_EQUALS: _other_than,
        Operator.IN: _one_of,
        Operator.NOT_IN: _none_of,
        Operator.MATCHES: _matching,
        Operator.UNDER: _under,
        Operator.HOST_IN: _host_in,
        Operator.AT_MOST: _at_most,
        Operator.AT_LEAST: _at_least,
        Operator.LENGTH_AT_MOST: _length_at_most,
        Operator.PRESENT: _never,
        Operator.ABSENT: _never,
    }
)
