"""Which of many rules are worth looking at for one call.

Owns an index over rules whose first conditions compare the same argument with values, or with the roots of trees. It
only leaves out rules whose first condition fails for certain, and whoever asks judges the others in full; so what it
answers is never a decision. Rules come from an operator; arguments come from plans and are hostile.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Generic, TypeVar

from cloister.authority.condition import plain_value
from cloister.authority.operators import Argument, Operator, Scalar, kind_of
from cloister.lang.values import Value

INDEXED: Final = frozenset({Operator.EQUALS, Operator.IN, Operator.UNDER})
"""Operators that an index can answer."""

RuleT = TypeVar("RuleT")


class RuleIndex(Generic[RuleT]):
    """Rules by what their first conditions compare one argument with.

    Args:
        is_of_trees: Whether the values are roots, below which a condition holds too.
        rules: Each with the values of its first condition, all of one kind.
    """

    __slots__ = ("_by_value", "_is_of_trees", "_kind", "_lengths", "_rules")

    def __init__(self, rules: Sequence[tuple[RuleT, Sequence[Scalar]]], *, is_of_trees: bool) -> None:
        self._is_of_trees = is_of_trees
        self._kind = kind_of(rules[0][1][0])
        self._rules = tuple(rule for rule, _ in rules)
        places: dict[Scalar, list[int]] = {}
        for place, (_, values) in enumerate(rules):
            for value in dict.fromkeys(values):
                places.setdefault(value, []).append(place)
        self._by_value = {value: tuple(found) for value, found in places.items()}
        # Looked up by the lengths that roots have: a path may have any number of parts
        self._lengths = sorted({len(value) for value in places if isinstance(value, str) and value != "/"})

    def candidates(self, found: Argument) -> Sequence[RuleT]:
        """Return the rules whose first condition may hold, in their order.

        Args:
            found: The argument; of several values in a vector every one counts.

        Cost: a look-up for each value; of a path, for each length that a root has.
        """
        value = found.value
        places = self._of_several(value) if isinstance(value, tuple) else self._places(found)
        if places is None:
            return self._rules
        return [self._rules[place] for place in places]

    def _of_several(self, values: Sequence[Value]) -> Sequence[int] | None:
        together: set[int] = set()
        if not values:
            return None
        for value in values:
            places = self._places(Argument(plain_value(value)))
            if places is None:
                return None
            together.update(places)
        return sorted(together)

    def _places(self, found: Argument) -> Sequence[int] | None:
        """Return the positions of rules for one value; None when of none of them it is certain that it fails."""
        if self._is_of_trees:
            if not found.is_canonical:
                return None
            return self._above(found.value)
        if found.kind != self._kind:
            return None
        return self._by_value.get(found.value, ())

    def _above(self, path: str) -> Sequence[int]:
        """Return the positions of rules about a canonical path itself or a directory above it."""
        found = self._by_value.get("/", ())
        for length in self._lengths:
            if length > len(path):
                break
            if length < len(path) and path[length] != "/":
                continue
            more = self._by_value.get(path[:length])
            if more:
                found = more if not found else tuple(sorted({*found, *more}))
        return found
