"""What is known of the size of integers where a node stands.

Owns the ranges of variables, as far as the tests that were passed on the way tell, and what they say of sums and
products. Must not know how code is written.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeAlias

from cloister.lang import core
from cloister.lang.python_engine.kinds import Kinds
from cloister.lang.values import INT_MAX, INT_MIN

Ranges: TypeAlias = dict[core.Variable, tuple[int, int]]
"""The smallest and largest integer that variables can hold."""

_MIRRORED: Final = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "=": "="}
_OPPOSITE: Final = {"<": ">=", "<=": ">", ">": "<=", ">=": "<"}

_ANY: Final = (INT_MIN, INT_MAX)


def result_range(ranges: Ranges, name: str, nodes: Sequence[core.Node]) -> tuple[int, int]:
    """Return the range of the exact sum, difference or product of two integers; it may leave 64 bits."""
    (low, high), (other_low, other_high) = (_range_of(ranges, node) for node in nodes)
    if name == "+":
        return low + other_low, high + other_high
    if name == "-":
        return low - other_high, high - other_low
    products = [one * other for one in (low, high) for other in (other_low, other_high)]
    return min(products), max(products)


def _range_of(ranges: Ranges, node: core.Node) -> tuple[int, int]:
    if isinstance(node, core.Const):
        return node.value, node.value
    return ranges.get(node.variable, _ANY) if isinstance(node, core.Local) else _ANY


def narrowed(kinds: Kinds, ranges: Ranges, test: core.Node, *, outcome: bool) -> Ranges:
    """Return the ranges of integers where a test had an outcome."""
    match test:
        case core.Call(callee=core.Global(name=name), arguments=(core.Local() as local, core.Const(value=number))):
            pass
        case core.Call(callee=core.Global(name=name), arguments=(core.Const(value=number), core.Local() as local)):
            name = _MIRRORED.get(name, name)
        case _:
            return ranges
    relation = name if outcome else _OPPOSITE.get(name)
    if type(number) is not int or relation not in _MIRRORED or not kinds.is_integer(local):
        return ranges
    low, high = ranges.get(local.variable, _ANY)
    if relation in {">", ">=", "="}:
        low = max(low, number + (relation == ">"))
    if relation in {"<", "<=", "="}:
        high = min(high, number - (relation == "<"))
    return {**ranges, local.variable: (low, high)}
