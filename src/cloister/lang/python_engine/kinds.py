"""Which kinds of value each place of a program can have.

Owns an inference over the whole program: what a variable holds is the union of what is ever assigned to it, what a
function gives is the union of what its body gives, and both are found together, starting from nothing and adding until
nothing is added. It is sound: a run never produces a kind that is not in the answer. It permits code without checks
where an operand can only be an integer, which is what makes counting loops and recursion on numbers fast; an answer of
`ANY` only costs speed. Must not know how code is written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from enum import IntFlag
from typing import Any, ClassVar, Final

from cloister.lang import core
from cloister.lang.python_engine.functions import Functions, fits
from cloister.lang.types.expression import Kind as TypeKind
from cloister.lang.types.expression import Primitive

PASSES_MAX: Final = 8
"""How often the program is gone through; one that needs more, a long chain of functions, is known less well."""


class Kind(IntFlag):
    """A set of kinds of value. The empty one means that evaluation does not get that far."""

    NEVER = 0
    INTEGER = 1
    BOOLEAN = 2
    NIL = 4
    OTHER = 8
    FLOAT = 16
    NUMBER = 17
    ANY = 31


# Plain numbers in the hot loops: operations on members of an IntFlag are many times slower.
_KINDS: Final = tuple(map(Kind, range(Kind.ANY.value + 1)))
_NEVER: Final = Kind.NEVER.value
_INTEGER: Final = Kind.INTEGER.value
_BOOLEAN: Final = Kind.BOOLEAN.value
_NIL: Final = Kind.NIL.value
_OTHER: Final = Kind.OTHER.value
_FLOAT: Final = Kind.FLOAT.value
_NUMBER: Final = Kind.NUMBER.value
_ANY: Final = Kind.ANY.value

_BOOLEAN_BUILTINS: Final = frozenset({
    "=", "!=", "not=", "<", "<=", ">", ">=", "not", "nil?", "int?", "float?", "number?", "string?", "bool?", "map?",
    "vector?", "list?", "keyword?", "symbol?", "fn?", "empty?", "contains?", "even?", "odd?", "zero?", "pos?", "neg?",
    "starts-with?", "string-contains",
})  # fmt: skip
_NUMBER_BUILTINS: Final = frozenset({"+", "-", "*", "inc", "dec", "mod", "rem", "abs"})
"""Builtins that give an integer when all their arguments are integers, a float when one is a float, or fail."""

_OPERATIONS: Final = {
    core.Operation.HAS_KEY: _BOOLEAN, core.Operation.SAME: _BOOLEAN, core.Operation.HAS_CONTENT: _BOOLEAN,
    core.Operation.NEXT_TURN: _INTEGER, core.Operation.THROW: _NEVER, core.Operation.NO_MATCH: _NEVER,
}  # fmt: skip

_OF_CONSTANT: Final[Mapping[type[Any], int]] = {int: _INTEGER, bool: _BOOLEAN, type(None): _NIL, float: _FLOAT}


_CASTS: Final = {TypeKind.INT: _INTEGER, TypeKind.FLOAT: _NUMBER, TypeKind.NUMBER: _NUMBER, TypeKind.BOOL: _BOOLEAN}


class Kinds:
    """The kinds of the nodes of one program.

    Args:
        program: The program.
        functions: What is known of its functions.
    """

    def __init__(self, program: core.Node, functions: Functions) -> None:
        self._functions = functions
        self._variables: dict[core.Variable, int] = {}
        self._results: dict[int, int] = {}
        self._nodes: dict[int, int] = {}
        self._loops: list[core.Loop] = []
        self._changed = False
        self._is_complete = False
        if functions.bound:  # else nothing is worth knowing but what literals say of themselves
            self._infer(program)

    def is_integer(self, node: core.Node) -> bool:
        """Say whether a node always gives an integer, when it gives anything."""
        return self._nodes.get(id(node)) == _INTEGER

    def is_boolean(self, node: core.Node) -> bool:
        """Say whether a node always gives true or false, when it gives anything."""
        return self._nodes.get(id(node)) == _BOOLEAN

    def of(self, node: core.Node) -> Kind:
        """Return every kind of value a node can give."""
        return _KINDS[self._nodes.get(id(node), _ANY)]

    def of_variable(self, variable: core.Variable) -> Kind:
        """Return every kind of value a variable can hold once it is assigned."""
        return _KINDS[self._variables.get(variable, _ANY)] if self._is_complete else Kind.ANY

    def of_result(self, function: core.Lambda) -> Kind:
        """Return every kind of value a function can give."""
        return _KINDS[self._results.get(id(function), _ANY)] if self._is_complete else Kind.ANY

    def may_be_integer(self, node: core.Node) -> bool:
        """Say whether checking for an integer is worth the while."""
        return self._nodes.get(id(node), _ANY) & _INTEGER != 0

    def _infer(self, program: core.Node) -> None:
        # What a pass reads before the same pass adds to it is only right in the next one.
        for _ in range(PASSES_MAX):
            self._changed = False
            self._visit(program)
            if not self._changed:
                self._is_complete = True
                return
        self._nodes.clear()  # unfinished answers are too small, and so unsound

    def _visit(self, node: core.Node) -> int:
        rule = self._RULES.get(type(node))
        if rule is None:  # a node that says nothing of itself: everything in it is looked at, and it can be anything
            for child in core.children(node):
                self._visit(child)
            kind = _ANY
        else:
            kind = rule(self, node)
        self._nodes[id(node)] = kind
        return kind

    def _assign(self, variable: core.Variable, kind: int) -> None:
        before = self._variables.get(variable, _NEVER)
        if before | kind != before:
            self._variables[variable] = before | kind
            self._changed = True
        else:
            self._variables.setdefault(variable, before)

    def _union(self, nodes: Iterable[core.Node]) -> int:
        kind = _NEVER
        for node in nodes:
            kind |= self._visit(node)
        return kind

    # One rule for each kind of node. A variable no rule assigns may hold anything.

    def _const(self, node: core.Const) -> int:
        return _OF_CONSTANT.get(type(node.value), _OTHER)

    def _local(self, node: core.Local) -> int:
        return self._variables.get(node.variable, _NEVER if node.variable in self._functions.bound else _ANY)

    def _collection(self, node: core.MakeVector | core.MakeMap) -> int:
        self._union(core.children(node))
        return _OTHER

    def _lambda(self, node: core.Lambda) -> int:
        if not self._functions.is_closed(node):
            for variable in node.parameters:
                self._assign(variable, _ANY)
        if node.rest:
            self._assign(node.rest, _OTHER)
        loops, self._loops = self._loops, []
        result = self._visit(node.body)
        self._loops = loops
        if self._results.get(id(node), _NEVER) != result:
            self._results[id(node)] = result
            self._changed = True
        return _OTHER

    def _let(self, node: core.Let) -> int:
        for variable, value in node.bindings:
            self._assign(variable, self._visit(value))
        return self._visit(node.body)

    def _define(self, node: core.Define) -> int:
        kind = self._visit(node.value)
        self._assign(node.variable, kind)
        return kind

    def _sequence(self, node: core.Sequence) -> int:
        kind = _NIL
        for item in node.items:
            kind = self._visit(item)
        return kind

    def _branch(self, node: core.Branch) -> int:
        kind = _NEVER
        for test, body in node.clauses:
            self._visit(test)
            kind |= self._visit(body)
        return kind | self._visit(node.otherwise)

    def _logic(self, node: core.Logic) -> int:
        return self._union(node.items)

    def _call(self, node: core.Call) -> int:
        callee = node.callee
        if isinstance(callee, core.Global):
            return self._builtin(callee.name, [self._visit(argument) for argument in node.arguments])
        self._visit(callee)
        given = [self._visit(argument) for argument in node.arguments]
        function = self._functions.called(node)
        if function is None:
            return _ANY
        for variable, kind in zip(function.parameters, given, strict=False):  # the rest, if any, are a vector's
            self._assign(variable, kind)
        return self._results.get(id(function), _NEVER)

    def _builtin(self, name: str, given: list[int]) -> int:
        if not fits(name, len(given)):
            return _NEVER
        if name in _BOOLEAN_BUILTINS:
            return _BOOLEAN
        if name not in _NUMBER_BUILTINS:
            return _INTEGER if name == "count" else _ANY
        if _NEVER in given:
            return _NEVER
        if all(kind == _INTEGER for kind in given):
            return _INTEGER
        return _FLOAT if _FLOAT in given else _NUMBER

    def _intrinsic(self, node: core.Intrinsic) -> int:
        self._union(node.arguments)
        return _OPERATIONS.get(node.operation, _ANY)

    def _step(self, node: core.Step | core.Hinted) -> int:
        return self._last(core.children(node))

    def _last(self, nodes: Iterable[core.Node]) -> int:
        kind = _NIL
        for node in nodes:
            kind = self._visit(node)
        return kind

    def _try(self, node: core.Try) -> int:
        kind = self._visit(node.body)
        for clause in node.catches:
            for variable in clause.variables:
                self._assign(variable, _OTHER)
            kind |= self._visit(clause.body)
        if node.last:
            self._visit(node.last)
        return kind

    def _loop(self, node: core.Loop) -> int:
        for variable, value in zip(node.variables, node.initials, strict=True):
            self._assign(variable, self._visit(value))
        self._loops.append(node)
        kind = self._visit(node.body)
        self._loops.pop()
        return kind

    def _recur(self, node: core.Recur) -> int:
        for variable, value in zip(self._loops[-1].variables, node.arguments, strict=True):
            self._assign(variable, self._visit(value))
        return _NEVER

    def _for(self, node: core.For) -> int:
        self._union(node.collections)
        for variable in node.variables:
            self._assign(variable, _ANY)
        self._visit(node.body)
        return _OTHER

    def _dotimes(self, node: core.Dotimes) -> int:
        self._visit(node.count)
        self._assign(node.variable, _INTEGER)
        return _NIL | self._visit(node.body)

    def _cast(self, node: core.Cast) -> int:
        kind = self._visit(node.value)
        return kind & _CASTS.get(node.annotation.kind, _ANY) if isinstance(node.annotation, Primitive) else kind

    def _has_type(self, node: core.HasType) -> int:
        self._visit(node.value)
        return _BOOLEAN

    _RULES: ClassVar[dict[type[core.Node], Callable[[Kinds, Any], int]]] = {
        core.Const: _const,
        core.Local: _local,
        core.MakeVector: _collection,
        core.MakeMap: _collection,
        core.Lambda: _lambda,
        core.Let: _let,
        core.Define: _define,
        core.Sequence: _sequence,
        core.Branch: _branch,
        core.Logic: _logic,
        core.Call: _call,
        core.Intrinsic: _intrinsic,
        core.Step: _step,
        core.Hinted: _step,
        core.Try: _try,
        core.Loop: _loop,
        core.Recur: _recur,
        core.For: _for,
        core.Dotimes: _dotimes,
        core.Cast: _cast,
        core.HasType: _has_type,
    }
