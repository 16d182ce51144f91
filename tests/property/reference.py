"""A second engine for core, as plain as can be: it walks the nodes, checks everything and knows no short ways.

It is far too slow for anything but comparing its answers with those of the real engine. It shares the builtins and the
primitive operations with it, and nothing of what they do between them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloister.errors import CloisterError, GuestError
from cloister.lang import core
from cloister.lang.python_engine import operations
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.builtin import arity_error, as_callable, keyword_get
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.check import accepts
from cloister.lang.values import Function, Keyword, Map, Value
from cloister.limits import ResourceLimits

Cells = dict[core.Variable, Value]
UNSET = object()


class Again(Exception):
    """What `recur` asks of the loop around it."""

    def __init__(self, values: list[Value]) -> None:
        self.values = values


class Scope:
    """Variables of one call of a function or one turn of a loop, inside those around it."""

    def __init__(self, around: Scope | None) -> None:
        self.around = around
        self.cells: Cells = {}

    def get(self, variable: core.Variable) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if variable in scope.cells:
                return scope.cells[variable]
            scope = scope.around
        return UNSET


class Closure(Function):
    """A function of the program with the variables it was made among."""

    def __init__(self, engine: ReferenceEngine, node: core.Lambda, scope: Scope) -> None:
        self.engine, self.node, self.scope = engine, node, scope

    def __call__(self, *arguments: Value) -> Value:
        return self.engine.call(self, arguments)


class ReferenceEngine:
    """One run."""

    def __init__(self, limits: ResourceLimits) -> None:
        self.budget = Budget(limits)

    def run(self, program: core.Node) -> Value:
        token = install(self.budget)
        try:
            return self.value(program, Scope(None))
        finally:
            uninstall(token)

    def call(self, closure: Closure, arguments: tuple[Value, ...]) -> Value:
        node, count = closure.node, len(arguments)
        least = len(node.parameters)
        if count < least or (count > least and node.rest is None):
            raise arity_error(node.name, f"at least {least}" if node.rest else str(least), count)
        self.budget.charge_steps(1)
        outer = self.budget.depth_count
        if outer >= self.budget.depth_allowed:
            raise self.budget.depth_error()
        self.budget.depth_count = outer + 1
        scope = Scope(closure.scope)
        scope.cells.update(zip(node.parameters, arguments, strict=False))
        if node.rest:
            scope.cells[node.rest] = arguments[least:]
        try:
            return self.value(node.body, scope)
        finally:
            self.budget.depth_count = outer

    def value(self, node: core.Node, scope: Scope) -> Value:
        rule: Callable[[Any, Scope], Value] = getattr(self, type(node).__name__)
        return rule(node, scope)

    def values(self, nodes: tuple[core.Node, ...], scope: Scope) -> list[Value]:
        return [self.value(node, scope) for node in nodes]

    # One method for each class of node

    def Const(self, node: core.Const, scope: Scope) -> Value:  # noqa: N802
        return node.value

    def Local(self, node: core.Local, scope: Scope) -> Value:  # noqa: N802
        found = scope.get(node.variable)
        return operations.unset(node.variable.name) if found is UNSET else found

    def Latest(self, node: core.Latest, scope: Scope) -> Value:  # noqa: N802
        values = [scope.get(variable) for variable in node.variables]
        return (
            next((value for value in values if value is not UNSET), None)
            if any(value is not UNSET for value in values)
            else operations.unset(node.variables[0].name)
        )

    def Global(self, node: core.Global, scope: Scope) -> Value:  # noqa: N802
        return BUILTINS[node.name]

    def MakeVector(self, node: core.MakeVector, scope: Scope) -> Value:  # noqa: N802
        return tuple(self.values(node.items, scope))

    def MakeMap(self, node: core.MakeMap, scope: Scope) -> Value:  # noqa: N802
        return Map((key, self.value(item, scope)) for key, item in node.entries)

    def Lambda(self, node: core.Lambda, scope: Scope) -> Value:  # noqa: N802
        return Closure(self, node, scope)

    def Let(self, node: core.Let, scope: Scope) -> Value:  # noqa: N802
        for variable, value in node.bindings:
            scope.cells[variable] = self.value(value, scope)
        return self.value(node.body, scope)

    def Define(self, node: core.Define, scope: Scope) -> Value:  # noqa: N802
        scope.cells[node.variable] = value = self.value(node.value, scope)
        return value

    def Sequence(self, node: core.Sequence, scope: Scope) -> Value:  # noqa: N802
        for variable in node.unset:
            scope.cells[variable] = UNSET
        value = None
        for item in node.items:
            value = self.value(item, scope)
        return value

    def Branch(self, node: core.Branch, scope: Scope) -> Value:  # noqa: N802
        for test, body in node.clauses:
            if not is_false(self.value(test, scope)):
                return self.value(body, scope)
        return self.value(node.otherwise, scope)

    def Call(self, node: core.Call, scope: Scope) -> Value:  # noqa: N802
        callee = node.callee
        if isinstance(callee, core.Const) and isinstance(callee.value, Keyword) and 1 <= len(node.arguments) <= 2:
            return keyword_get(callee.value, *self.values(node.arguments, scope))
        function = self.value(callee, scope)
        if not isinstance(callee, core.Global):
            function = as_callable(function, "a call")
        return function(*self.values(node.arguments, scope))

    def Intrinsic(self, node: core.Intrinsic, scope: Scope) -> Value:  # noqa: N802
        return operations.OPERATIONS[node.operation](*self.values(node.arguments, scope))

    def Try(self, node: core.Try, scope: Scope) -> Value:  # noqa: N802
        pending: CloisterError | None = None
        value = None
        try:
            value = self.caught(node, scope)
        except GuestError as error:
            pending = error
        if node.last is not None:
            self.value(node.last, scope)
        if pending is not None:
            raise pending
        return value

    def caught(self, node: core.Try, scope: Scope) -> Value:
        depth = self.budget.depth_count
        try:
            return self.value(node.body, scope)
        except GuestError as error:
            self.budget.depth_count = depth
            for clause in node.catches:
                if clause.kind is None or operations.has_kind(error, clause.kind):
                    for variable in clause.variables:
                        scope.cells[variable] = operations.error_value(error)
                    return self.value(clause.body, scope)
            raise

    def Loop(self, node: core.Loop, scope: Scope) -> Value:  # noqa: N802
        turn = Scope(scope)
        for variable, value in zip(node.variables, node.initials, strict=True):
            turn.cells[variable] = self.value(value, turn)
        while True:
            self.budget.charge_steps(1)
            try:
                return self.value(node.body, turn)
            except Again as again:
                turn = Scope(scope)
                turn.cells.update(zip(node.variables, again.values, strict=True))

    def Recur(self, node: core.Recur, scope: Scope) -> Value:  # noqa: N802
        raise Again(self.values(node.arguments, scope))

    def For(self, node: core.For, scope: Scope) -> Value:  # noqa: N802
        sources = [operations.elements(source) for source in self.values(node.collections, scope)]
        found: list[Value] = []

        def each(position: int, around: Scope) -> None:
            if position == len(sources):
                found.append(self.value(node.body, around))
                return
            for item in sources[position]:
                self.budget.charge_steps(1)
                turn = Scope(around)
                turn.cells[node.variables[position]] = item
                each(position + 1, turn)

        each(0, scope)
        return tuple(found)

    def Dotimes(self, node: core.Dotimes, scope: Scope) -> Value:  # noqa: N802
        value = None
        for number in operations.turns(self.value(node.count, scope)):
            self.budget.charge_steps(1)
            turn = Scope(scope)
            turn.cells[node.variable] = number
            value = self.value(node.body, turn)
        return value

    def Logic(self, node: core.Logic, scope: Scope) -> Value:  # noqa: N802
        value = None
        for item in node.items:
            value = self.value(item, scope)
            if is_false(value) is node.is_and:
                return value
        return value

    def Cast(self, node: core.Cast, scope: Scope) -> Value:  # noqa: N802
        value = self.value(node.value, scope)
        return value if accepts(node.annotation, value) else operations.refuse(value, node.annotation, node.subject)

    def HasType(self, node: core.HasType, scope: Scope) -> Value:  # noqa: N802
        return accepts(node.type, self.value(node.value, scope))


def is_false(value: Value) -> bool:
    return value is None or value is False
