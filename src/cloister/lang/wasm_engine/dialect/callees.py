"""What translating a function needs to know about the others."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import NamedTuple


class DialectError(Exception):
    """A mistake in a source of the dialect, with its place."""


class Expression(NamedTuple):
    """What a function is that only returns an expression: callers put that in place of a call.

    Attributes:
        names: Of its parameters.
        value: The expression.
        constants: What names stand for in its module.
    """

    names: tuple[str, ...]
    value: ast.expr
    constants: Mapping[str, float]


class Callee(NamedTuple):
    """A function that can be called.

    Attributes:
        number: Its index.
        parameters: Their types.
        results: Types of what it returns, at most one.
        expression: What it is, when it is short enough to be put in place of calls.
    """

    number: int
    parameters: tuple[int, ...]
    results: tuple[int, ...]
    expression: Expression | None = None
