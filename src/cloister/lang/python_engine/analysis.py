"""What the code generator wants to know about a program before writing it.

Owns facts computed from core: which variables always hold a known function, which nodes contain functions, which nodes
give booleans. Must not change meaning: every fact only permits a shorter way to write the same.
"""

from __future__ import annotations

from typing import Final

from cloister.lang import core
from cloister.lang.stdlib.table import BUILTINS

_BOOLEAN_BUILTINS: Final = frozenset({
    "=", "!=", "not=", "<", "<=", ">", ">=", "not", "nil?", "int?", "float?", "number?", "string?", "bool?", "map?",
    "vector?", "list?", "keyword?", "symbol?", "fn?", "empty?", "contains?", "even?", "odd?", "zero?", "pos?", "neg?",
    "starts-with?", "string-contains",
})  # fmt: skip
_BOOLEAN_OPERATIONS: Final = frozenset({core.Operation.HAS_KEY, core.Operation.SAME, core.Operation.HAS_CONTENT})


class Analysis:
    """Facts about one program."""

    def __init__(self, program: core.Node) -> None:
        self._functions: dict[core.Variable, core.Lambda] = {}
        self._with_lambda: set[int] = set()
        self._open: set[int] = set()
        self._scan(program)

    def known_function(self, node: core.Node) -> core.Lambda | None:
        """Return the function a node always evaluates to, when that is certain."""
        if isinstance(node, core.Local) and not node.checked:
            return self._functions.get(node.variable)
        return None

    def has_lambda(self, node: core.Node) -> bool:
        """Say whether evaluating the node can make a function that captures variables."""
        return id(node) in self._with_lambda

    def is_leaf(self, function: core.Lambda) -> bool:
        """Say whether the function calls nothing that could call back: it cannot nest further."""
        return id(function.body) not in self._open

    def is_boolean(self, node: core.Node) -> bool:
        """Say whether the node always gives a boolean."""
        match node:
            case core.Call(callee=core.Global(name=name), arguments=arguments):
                return name in _BOOLEAN_BUILTINS and fits(name, len(arguments))
            case core.Intrinsic(operation=operation):
                return operation in _BOOLEAN_OPERATIONS
            case core.Const(value=value):
                return isinstance(value, bool)
        return False

    def _scan(self, program: core.Node) -> None:
        # Children come after their parents in `walk`, so backwards every child is known before its parent.
        for node in reversed(tuple(core.walk(program))):
            inner = tuple(core.children(node))
            if isinstance(node, core.Lambda) or any(id(child) in self._with_lambda for child in inner):
                self._with_lambda.add(id(node))
            nests = _may_nest(node) or any(id(child) in self._open for child in inner)
            if nests and not isinstance(node, core.Lambda):
                self._open.add(id(node))
            match node:
                case core.Define(variable=variable, value=core.Lambda() as function):
                    self._functions[variable] = function
                case core.Let(bindings=bindings):
                    for variable, value in bindings:
                        if isinstance(value, core.Lambda):
                            self._functions[variable] = value


def _may_nest(node: core.Node) -> bool:
    if not isinstance(node, core.Call):
        return False
    callee = node.callee
    return not (isinstance(callee, core.Global) and not BUILTINS[callee.name].needs_call)


def fits(name: str, count: int) -> bool:
    """Say whether a builtin takes that many arguments."""
    builtin = BUILTINS[name]
    return builtin.arity_min <= count and (builtin.arity_max is None or count <= builtin.arity_max)
