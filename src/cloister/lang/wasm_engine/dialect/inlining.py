"""Which functions of the dialect are so short that a call of one costs more than it does.

Owns what takes the place of such a call: the expression a function returns, when it does nothing else. The machine code
compiler does not do it for us: wasmtime puts functions in place only between modules.

Source: wasmtime 50, which offers no setting for it in its C API.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import Final, NamedTuple

PARTS_MAX: Final = 24
"""Largest expression that is put in place of a call, in expressions it consists of."""


class Short(NamedTuple):
    """What a short function returns.

    Attributes:
        parameters: Their names.
        value: The expression.
        constants: What its names that are no parameters stand for.
    """

    parameters: tuple[str, ...]
    value: ast.expr
    constants: Mapping[str, float]


def short_form(definition: ast.FunctionDef, constants: Mapping[str, float], parts_max: int) -> Short | None:
    """Return what a function returns when that is all it does and has few parts; None otherwise."""
    body = [each for each in definition.body if not _is_text(each)]
    if len(body) != 1 or not isinstance(body[0], ast.Return) or body[0].value is None:
        return None
    value = body[0].value
    parts = [each for each in ast.walk(value) if isinstance(each, ast.expr)]
    calls_itself = any(isinstance(each, ast.Name) and each.id == definition.name for each in parts)
    if len(parts) > parts_max or calls_itself:
        return None
    return Short(tuple(each.arg for each in definition.args.args), value, constants)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
