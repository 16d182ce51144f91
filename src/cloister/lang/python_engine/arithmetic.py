"""The short way to write arithmetic and comparison of two integers.

Owns the fast paths. Each falls back to the builtin whenever an operand is not an integer or the result does not fit in
64 bits, so that the builtin alone decides what those cases mean.
"""

from __future__ import annotations

import ast
from typing import Final

from cloister.lang.python_engine.generator import Generator
from cloister.lang.values import INT_MAX, INT_MIN

_COMPARISONS: Final[dict[str, type[ast.cmpop]]] = {
    "<": ast.Lt, "<=": ast.LtE, ">": ast.Gt, ">=": ast.GtE, "=": ast.Eq,
}  # fmt: skip
_OPERATORS: Final[dict[str, type[ast.operator]]] = {"+": ast.Add, "-": ast.Sub, "*": ast.Mult}
_STEPS: Final = {"inc": ("+", 1), "dec": ("-", 1)}


def write_arithmetic(g: Generator, name: str, arguments: list[ast.expr]) -> ast.expr | None:
    """Write a builtin call in the short way.

    Args:
        g: The generator.
        name: The builtin.
        arguments: The written arguments, to be evaluated in order.

    Returns:
        The expression, or None when there is no short way.
    """
    fallback = name
    if name in _STEPS and len(arguments) == 1:
        name, step = _STEPS[name]
        arguments = [arguments[0], g.emit.constant(step)]
    if len(arguments) != 2 or (name not in _OPERATORS and name not in _COMPARISONS):
        return None
    if any(isinstance(argument, ast.Constant) and type(argument.value) is not int for argument in arguments):
        return None
    left, right = (g.hold(argument) for argument in arguments)
    checks = [_is_integer(g, side) for side in (left, right) if not isinstance(side, ast.Constant)]
    if not checks:
        return None
    count = 1 if fallback in _STEPS else 2
    slow = g.emit.call(g.builtin(fallback, checked=False), *(left, right)[:count])
    if name in _COMPARISONS:
        return g.emit.choose(g.emit.both(*checks), g.emit.compare(left, _COMPARISONS[name](), right), slow)
    result = g.temporary()
    computed = g.emit.walrus(result, g.emit.binary(left, _OPERATORS[name](), right))
    fits = g.emit.between(g.emit.constant(INT_MIN), computed, g.emit.constant(INT_MAX))
    return g.emit.choose(g.emit.both(*checks, fits), g.emit.name(result), slow)


def _is_integer(g: Generator, value: ast.expr) -> ast.expr:
    return g.emit.compare(g.emit.attribute(value, "__class__"), ast.Is(), g.emit.name("I"))
