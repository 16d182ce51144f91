"""Short constructors for nodes of Python's syntax tree.

Every node carries a line number, which is not a line of any text but the number of a place in the RTFS program: the
interpreter then reports places in tracebacks at no cost to running code. Must not know RTFS. Names passed in are made
by the code generator, never taken from a program.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence


class Emitter:
    """Makes nodes at the present place.

    Attributes:
        at: Line number given to every node made.
    """

    def __init__(self) -> None:
        self.at = 1

    def _place(self) -> dict[str, int]:
        return {"lineno": self.at, "col_offset": 0, "end_lineno": self.at, "end_col_offset": 0}

    def name(self, name: str) -> ast.Name:
        """Return a read of a name."""
        return ast.Name(name, ast.Load(), **self._place())

    def store(self, name: str) -> ast.Name:
        """Return a target that assigns a name."""
        return ast.Name(name, ast.Store(), **self._place())

    def constant(self, value: None | bool | int | float | str) -> ast.Constant:
        """Return a constant of the code object."""
        return ast.Constant(value, None, **self._place())

    def call(self, function: ast.expr | str, *arguments: ast.expr) -> ast.Call:
        """Return a call with positional arguments."""
        callee = self.name(function) if isinstance(function, str) else function
        return ast.Call(callee, list(arguments), [], **self._place())

    def attribute(self, value: ast.expr, name: str, *, store: bool = False) -> ast.Attribute:
        """Return an attribute; `name` is one of ours."""
        return ast.Attribute(value, name, ast.Store() if store else ast.Load(), **self._place())

    def items(self, items: Sequence[ast.expr], *, store: bool = False) -> ast.Tuple:
        """Return a tuple, or a target that takes one apart."""
        return ast.Tuple(list(items), ast.Store() if store else ast.Load(), **self._place())

    def mapping(self, keys: Sequence[ast.expr], values: Sequence[ast.expr]) -> ast.Dict:
        """Return a dict display."""
        return ast.Dict(list(keys), list(values), **self._place())

    def walrus(self, name: str, value: ast.expr) -> ast.NamedExpr:
        """Return an assignment inside an expression."""
        return ast.NamedExpr(self.store(name), value, **self._place())

    def compare(self, left: ast.expr, operator: ast.cmpop, right: ast.expr) -> ast.Compare:
        """Return one comparison."""
        return ast.Compare(left, [operator], [right], **self._place())

    def between(self, low: ast.expr, value: ast.expr, high: ast.expr) -> ast.Compare:
        """Return `low <= value <= high`."""
        return ast.Compare(low, [ast.LtE(), ast.LtE()], [value, high], **self._place())

    def both(self, *values: ast.expr) -> ast.expr:
        """Return the conjunction of Python booleans."""
        return values[0] if len(values) == 1 else ast.BoolOp(ast.And(), list(values), **self._place())

    def invert(self, value: ast.expr) -> ast.UnaryOp:
        """Return the negation of a Python boolean."""
        return ast.UnaryOp(ast.Not(), value, **self._place())

    def element(self, value: ast.expr, index: ast.expr) -> ast.Subscript:
        """Return one element of a tuple."""
        return ast.Subscript(value, index, ast.Load(), **self._place())

    def binary(self, left: ast.expr, operator: ast.operator, right: ast.expr) -> ast.BinOp:
        """Return a binary operation."""
        return ast.BinOp(left, operator, right, **self._place())

    def choose(self, test: ast.expr, then: ast.expr, otherwise: ast.expr) -> ast.IfExp:
        """Return a conditional expression."""
        return ast.IfExp(test, then, otherwise, **self._place())

    def assign(self, target: ast.expr | str, value: ast.expr) -> ast.Assign:
        """Return an assignment statement."""
        return self.assign_all([self.store(target) if isinstance(target, str) else target], value)

    def assign_all(self, targets: Sequence[ast.expr], value: ast.expr) -> ast.Assign:
        """Return an assignment of one value to several targets."""
        return ast.Assign(list(targets), value, None, **self._place())

    def add_to(self, name: str, value: int) -> ast.AugAssign:
        """Return `name += value`."""
        return ast.AugAssign(self.store(name), ast.Add(), self.constant(value), **self._place())

    def evaluate(self, value: ast.expr) -> ast.Expr:
        """Return an expression statement."""
        return ast.Expr(value, **self._place())

    def returns(self, value: ast.expr) -> ast.Return:
        """Return a return statement."""
        return ast.Return(value, **self._place())

    def raises(self, value: ast.expr) -> ast.Raise:
        """Return a raise statement."""
        return ast.Raise(value, None, **self._place())

    def when(self, test: ast.expr, then: list[ast.stmt], otherwise: list[ast.stmt] | None = None) -> ast.If:
        """Return an if statement."""
        return ast.If(test, then or [self.nothing()], otherwise or [], **self._place())

    def forever(self, body: list[ast.stmt]) -> ast.While:
        """Return an endless loop."""
        return ast.While(self.constant(True), body, [], **self._place())

    def each(self, name: str, items: ast.expr, body: list[ast.stmt]) -> ast.For:
        """Return a for statement."""
        return ast.For(self.store(name), items, body, [], None, **self._place())

    def leave(self) -> ast.Break:
        """Return a break statement."""
        return ast.Break(**self._place())

    def again(self) -> ast.Continue:
        """Return a continue statement."""
        return ast.Continue(**self._place())

    def nothing(self) -> ast.Pass:
        """Return a statement without effect."""
        return ast.Pass(**self._place())

    def outer(self, names: Sequence[str]) -> ast.Nonlocal:
        """Return a nonlocal statement."""
        return ast.Nonlocal(list(names), **self._place())

    def guarded(self, body: list[ast.stmt], kinds: str, bound: str, handler: list[ast.stmt]) -> ast.Try:
        """Return a try statement with one except clause."""
        clause = ast.ExceptHandler(self.name(kinds), bound, handler, **self._place())
        return ast.Try(body, [clause], [], [], **self._place())

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
        definition = ast.FunctionDef(name, arguments, body, [], None, None, **self._place())
        if "type_params" in definition._fields:  # Python 3.12 and later
            definition.type_params = []  # type: ignore[attr-defined,unused-ignore]
        return definition

    def _argument(self, name: str) -> ast.arg:
        return ast.arg(name, None, None, **self._place())
