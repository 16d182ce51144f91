"""Short constructors for nodes of Python's syntax tree.

Every node carries a line number, which is not a line of any text but the number of a place in the RTFS program: the
interpreter then reports places in tracebacks at no cost to running code. Must not know RTFS. Names passed in are made
by the code generator, never taken from a program.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import Final

_LOAD: Final = ast.Load()
_STORE: Final = ast.Store()


class Emitter:
    """Makes nodes at the present place.

    Attributes:
        at: Line number given to every node made.
    """

    def __init__(self) -> None:
        self.at = 1

    def name(self, name: str) -> ast.Name:
        """Return a read of a name."""
        return ast.Name(name, _LOAD, lineno=self.at, col_offset=0)

    def store(self, name: str) -> ast.Name:
        """Return a target that assigns a name."""
        return ast.Name(name, _STORE, lineno=self.at, col_offset=0)

    def constant(self, value: None | bool | int | float | str) -> ast.Constant:
        """Return a constant of the code object."""
        return ast.Constant(value, lineno=self.at, col_offset=0)

    def call(self, function: ast.expr | str, *arguments: ast.expr) -> ast.Call:
        """Return a call with positional arguments."""
        callee = self.name(function) if isinstance(function, str) else function
        return ast.Call(callee, list(arguments), [], lineno=self.at, col_offset=0)

    def attribute(self, value: ast.expr, name: str, *, store: bool = False) -> ast.Attribute:
        """Return an attribute; `name` is one of ours."""
        return ast.Attribute(value, name, _STORE if store else _LOAD, lineno=self.at, col_offset=0)

    def items(self, items: Sequence[ast.expr], *, store: bool = False) -> ast.Tuple:
        """Return a tuple, or a target that takes one apart."""
        return ast.Tuple(list(items), _STORE if store else _LOAD, lineno=self.at, col_offset=0)

    def mapping(self, keys: Sequence[ast.expr], values: Sequence[ast.expr]) -> ast.Dict:
        """Return a dict display."""
        return ast.Dict(list(keys), list(values), lineno=self.at, col_offset=0)

    def walrus(self, name: str, value: ast.expr) -> ast.NamedExpr:
        """Return an assignment inside an expression."""
        return ast.NamedExpr(self.store(name), value, lineno=self.at, col_offset=0)

    def compare(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.Compare:
        """Return one comparison."""
        return ast.Compare(left, [operator], [right], lineno=self.at, col_offset=0)

    def between(self, low: ast.expr, value: ast.expr, high: ast.expr) -> ast.Compare:
        """Return `low <= value <= high`."""
        return ast.Compare(low, [ast.LtE(), ast.LtE()], [value, high], lineno=self.at, col_offset=0)

    def both(self, *values: ast.expr) -> ast.expr:
        """Return the conjunction of Python booleans."""
        return values[0] if len(values) == 1 else ast.BoolOp(ast.And(), list(values), lineno=self.at, col_offset=0)

    def either(self, *values: ast.expr) -> ast.expr:
        """Return the disjunction of Python booleans."""
        return values[0] if len(values) == 1 else ast.BoolOp(ast.Or(), list(values), lineno=self.at, col_offset=0)

    def invert(self, value: ast.expr) -> ast.UnaryOp:
        """Return the negation of a Python boolean."""
        return ast.UnaryOp(ast.Not(), value, lineno=self.at, col_offset=0)

    def spread(self, value: ast.expr) -> ast.Starred:
        """Return the elements of a tuple as arguments of a call."""
        return ast.Starred(value, _LOAD, lineno=self.at, col_offset=0)

    def element(self, value: ast.expr, index: ast.expr) -> ast.Subscript:
        """Return one element of a tuple."""
        return ast.Subscript(value, index, _LOAD, lineno=self.at, col_offset=0)

    def binary(self, left: ast.expr, operator: ast.operator, right: ast.expr) -> ast.BinOp:
        """Return a binary operation."""
        return ast.BinOp(left, operator, right, lineno=self.at, col_offset=0)

    def choose(self, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> ast.IfExp:
        """Return a conditional expression."""
        return ast.IfExp(test, then, otherwise, lineno=self.at, col_offset=0)

    def assign(self, target: ast.expr | str, value: ast.expr) -> ast.Assign:
        """Return an assignment statement."""
        return self.assign_all([self.store(target) if isinstance(target, str) else target], value)

    def assign_all(self, targets: Sequence[ast.expr], value: ast.expr) -> ast.Assign:
        """Return an assignment of one value to several targets."""
        return ast.Assign(list(targets), value, None, lineno=self.at, col_offset=0)

    def add_to(self, name: str, value: int) -> ast.AugAssign:
        """Return `name += value`."""
        return ast.AugAssign(self.store(name), ast.Add(), self.constant(value), lineno=self.at, col_offset=0)

    def evaluate(self, value: ast.expr) -> ast.Expr:
        """Return an expression statement."""
        return ast.Expr(value, lineno=self.at, col_offset=0)

    def returns(self, value: ast.expr) -> ast.Return:
        """Return a return statement."""
        return ast.Return(value, lineno=self.at, col_offset=0)

    def raises(self, value: ast.expr) -> ast.Raise:
        """Return a raise statement."""
        return ast.Raise(value, None, lineno=self.at, col_offset=0)

    def when(self, test: ast.expr, then: list[ast.stmt], otherwise: list[ast.stmt] | None = None) -> ast.If:
        """Return an if statement."""
        return ast.If(test, then or [self.nothing()], otherwise or [], lineno=self.at, col_offset=0)

    def forever(self, body: list[ast.stmt]) -> ast.While:
        """Return an endless loop."""
        return ast.While(self.constant(True), body, [], lineno=self.at, col_offset=0)

    def each(self, name: str, items: ast.expr, body: list[ast.stmt]) -> ast.For:
        """Return a for statement."""
        return ast.For(self.store(name), items, body, [], None, lineno=self.at, col_offset=0)

    def leave(self) -> ast.Break:
        """Return a break statement."""
        return ast.Break(lineno=self.at, col_offset=0)

    def again(self) -> ast.Continue:
        """Return a continue statement."""
        return ast.Continue(lineno=self.at, col_offset=0)

    def nothing(self) -> ast.Pass:
        """Return a statement without effect."""
        return ast.Pass(lineno=self.at, col_offset=0)

    def outer(self, names: Sequence[str]) -> ast.Nonlocal:
        """Return a nonlocal statement."""
        return ast.Nonlocal(list(names), lineno=self.at, col_offset=0)

    def guarded(self, body: list[ast.stmt], kinds: str, bound: str, handler: list[ast.stmt]) -> ast.Try:
        """Return a try statement with one except clause."""
        clause = ast.ExceptHandler(self.name(kinds), bound, handler, lineno=self.at, col_offset=0)
        return ast.Try(body, [clause], [], [], lineno=self.at, col_offset=0)

    def function(self, name: str, parameters: Sequence[str], rest: str | None, body: list[ast.stmt]) -> ast.FunctionDef:
        """Return a function definition with exact positional parameters."""
        arguments = ast.arguments(
            posonlyargs=[self._argument(parameter) for parameter in parameters],
            args=[],
            vararg=self._argument(rest) if rest else None,
            kwonlyargs=[],
            kw_defaults=[],
            kwarg=None,
            defaults=[],
        )
        definition = ast.FunctionDef(name, arguments, body, [], None, None, lineno=self.at, col_offset=0)
        if "type_params" in definition._fields:  # Python 3.12 and later
            definition.type_params = []  # type: ignore[attr-defined,unused-ignore]
        return definition

    def _argument(self, name: str) -> ast.arg:
        return ast.arg(name, None, None, lineno=self.at, col_offset=0)
