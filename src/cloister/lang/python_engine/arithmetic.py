"""The short way to write arithmetic and comparison of two integers.

Owns the fast paths. Each falls back to the builtin whenever an operand is not an integer or the result does not fit in
64 bits, so that the builtin alone decides what those cases mean. What is known already is not checked again: an operand
whose kind was inferred, a side of the range that cannot be left.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

from cloister.lang import core
from cloister.lang.python_engine.generator import Generator
from cloister.lang.python_engine.ranges import result_range
from cloister.lang.values import INT_MAX, INT_MIN

_COMPARISONS: Final[dict[str, type[ast.cmpop]]] = {
    "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE, "=": ast.Eq,
}  # fmt: skip
_OPERATORS: Final[dict[str, type[ast.operator]]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult}
_STEPS: Final = {"inc": ("+", 1), "dec": ("-", 1)}

NEAR: Final = 2**30 - 1
"""CPython compares integers up to here, of one digit each, several times faster than larger ones."""


def write_arithmetic(g: Generator, name: str, nodes: Sequence[core.Node]) -> ast.expr | None:
    """Write a call of a builtin in the short way.

    Args:
        g: The generator.
        name: The builtin.
        nodes: Its arguments.

    Returns:
        The expression, or None when there is no short way; then nothing was written.
    """
    fallback = name
    if name in _STEPS and len(nodes) == 1:
        name, step = _STEPS[name]
        nodes = (nodes[0], core.Const(step, nodes[0].start, nodes[0].end))
    if len(nodes) != 2 or (name not in _OPERATORS and name not in _COMPARISONS):
        return None
    checked = [not _is_integer(g, node) for node in nodes]
    if not any(map(_may_vary, nodes)) or not all(_may_be_integer(g, node) for node in nodes):
        return None
    sides = g.expressions(nodes)
    if any(checked):
        sides = [g.hold(side) for side in sides]
    checks = [_check(g, side) for side, is_checked in zip(sides, checked, strict=True) if is_checked]
    if name in _COMPARISONS:
        short: ast.expr = g.emit.compare(sides[0], _COMPARISONS[name](), sides[1])
        return g.emit.choose(g.emit.both(*checks), short, _slow(g, fallback, sides)) if checks else short
    result = g.temporary()
    computed = g.emit.walrus(result, g.emit.binary(sides[0], _OPERATORS[name](), sides[1]))
    near, fits = _fits(g, result, computed, result_range(g.ranges, name, nodes))
    if near is None:
        return (
            g.emit.choose(g.emit.both(*checks), computed.value, _slow(g, fallback, sides)) if checks else computed.value
        )
    if not checks:  # whether it fits is all that is left to ask
        far = g.emit.call("r_fit", g.emit.name(result), g.emit.constant(fallback))
        return g.emit.choose(near, g.emit.name(result), far)
    return g.emit.choose(
        g.emit.both(*checks, g.emit.either(near, fits)), g.emit.name(result), _slow(g, fallback, sides)
    )


def _slow(g: Generator, name: str, sides: Sequence[ast.expr]) -> ast.expr:
    return g.emit.call(g.builtin(name, checked=False), *sides[: 1 if name in _STEPS else 2])


def _may_vary(node: core.Node) -> bool:
    return not isinstance(node, core.Const)


def _is_integer(g: Generator, node: core.Node) -> bool:
    return type(node.value) is int if isinstance(node, core.Const) else g.kinds.is_integer(node)


def _may_be_integer(g: Generator, node: core.Node) -> bool:
    return type(node.value) is int if isinstance(node, core.Const) else g.kinds.may_be_integer(node)


def _check(g: Generator, value: ast.expr) -> ast.expr:
    return g.emit.compare(g.emit.attribute(value, "__class__"), ast.Is(), g.emit.name("I"))


def _fits(g: Generator, result: str, computed: ast.expr, reach: tuple[int, int]) -> tuple[ast.expr | None, ast.expr]:
    """Return the quick and the whole test that a result fits, of the sides it can leave; None when it always fits."""
    value = g.emit.name(result)
    tests: list[ast.expr] = []
    for first, limit in ((computed, NEAR), (value, INT_MAX)):
        low, high = g.emit.constant(-limit if limit == NEAR else INT_MIN), g.emit.constant(limit)
        if reach[0] >= INT_MIN and reach[1] <= INT_MAX:
            return None, value
        if reach[0] >= INT_MIN:
            tests.append(g.emit.compare(first, ast.LtE(), high))
        elif reach[1] <= INT_MAX:
            tests.append(g.emit.compare(low, ast.LtE(), first))
        else:
            tests.append(g.emit.between(low, first, high))
    return tests[0], tests[1]
