"""A second engine for core, as plain as can be: it walks the nodes, checks everything and knows no short ways.

It is far too slow for anything but comparing its answers with those of the real engine. It shares the builtins and the
primitive operations with it, and nothing of what they do between them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from cloister.errors import CloisterError, DeniedError, GuestError, InputError, LimitExceeded, ProviderError, Span
from cloister.lang import core
from cloister.lang.bounds import check_crossing
from cloister.lang.host import Host, PureHost
from cloister.lang.python_engine import operations
from cloister.lang.stdlib.budget import Budget, install, uninstall
from cloister.lang.stdlib.builtin import Builtin, arity_error, as_callable, keyword_get, type_error
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.check import accepts
from cloister.lang.values import Function, Keyword, Map, Symbol, Value
from cloister.limits import ResourceLimits

Cells = dict[core.Variable, Value]
UNSET = object()
CATCHABLE = (GuestError, DeniedError, ProviderError, InputError)
SURVIVED = (*CATCHABLE, LimitExceeded)
NOWHERE = Span(source="<reference>", line=1, column=1, end_line=1, end_column=1, text="")


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


class CallFunction(Function):
    """The function `call` as a value."""

    def __init__(self, engine: ReferenceEngine) -> None:
        self.engine = engine

    def __call__(self, *arguments: Value) -> Value:
        if not arguments:
            raise arity_error("call", "at least 1", 0)
        return self.engine.call_host(arguments[0], arguments[1:])


class ReferenceEngine:
    """One run; it calls the host on the thread it runs on.

    Args:
        limits: Steps, depth and size of values are enforced.
        host: The world; give the engine compared with another one of the same class. Left out, one that denies all.
        inputs: Values by name.
    """

    def __init__(
        self, limits: ResourceLimits, host: Host | None = None, inputs: Mapping[str, Value] | None = None
    ) -> None:
        self.limits, self.host, self.inputs = limits, host or PureHost(), inputs or {}
        self.budget = Budget(limits)
        self.call_function = CallFunction(self)
        self.undos: list[tuple[str, int, Any, tuple[Value, ...]]] = []
        self.ways_to_undo: list[list[Any]] = []
        self.is_undoing = False
        self.no_hints: dict[str, Value] = {}
        self.hints = self.hints_told = self.no_hints

    def run(self, program: core.Node) -> Value:
        token = install(self.budget)
        try:
            return check_crossing(self.value(program, Scope(None)), self.limits)
        except SURVIVED as error:
            self.undo(error)
            raise
        finally:
            uninstall(token)

    def undo(self, error: CloisterError) -> None:
        """Undo what was done, last in first out; what fails is told in the details of the error."""
        self.is_undoing = True
        for name, place, function, arguments in reversed(self.undos):
            self.hints = self.no_hints
            self.outside(partial(self.host.undo_started, name, place))
            failure: CloisterError | None = None
            try:
                function(*arguments)
            except SURVIVED as caught:
                failure = caught
                error.details.setdefault("undo_failed", []).append(
                    {"step": name, "place": place, "code": caught.code, "message": caught.message}
                )
                error.details["undo_failed_count"] = len(error.details["undo_failed"])
            self.outside(partial(self.host.undo_ended, name, failure))

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

    def call_host(self, capability: Value, arguments: tuple[Value, ...]) -> Value:
        name = capability.name if isinstance(capability, Keyword) else capability
        if not isinstance(name, str):
            raise type_error("call", "keyword or string", capability)
        crossing = check_crossing(arguments, self.limits)

        def ask() -> Value:
            if self.hints_told is not self.hints:
                self.host.hints_changed(self.hints)
                self.hints_told = self.hints
            return self.host.call(name, crossing)

        return self.outside(ask)

    def outside(self, action: Callable[[], Value]) -> Value:
        """Let the host act: what it does is not charged to the program."""
        token = install(None)
        try:
            return action()
        finally:
            uninstall(token)

    def input(self, name: str, *, required: bool) -> Value:
        if required and name not in self.inputs:
            message = f"Undefined symbol: the input {name} was not given to this run"
            raise GuestError(message, kind="UndefinedSymbol", code="guest.input")
        return self.inputs.get(name)

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
        values = [value for value in map(scope.get, node.variables) if value is not UNSET]
        return values[0] if values else operations.unset(node.variables[0].name)

    def Global(self, node: core.Global, scope: Scope) -> Value:  # noqa: N802
        return BUILTINS[node.name]

    def Input(self, node: core.Input, scope: Scope) -> Value:  # noqa: N802
        return self.input(node.name, required=node.required)

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
        arguments = self.values(node.arguments, scope)
        if node.operation in (core.Operation.UNDO_WITH, core.Operation.UNDO_FOR):
            return self.note_undo(node.operation, arguments[0])
        if node.operation is not core.Operation.CONTEXT_GET:
            return operations.OPERATIONS[node.operation](*arguments)
        name = arguments[0].name if isinstance(arguments[0], (Keyword, Symbol)) else arguments[0]
        if not isinstance(name, str):
            raise type_error("context/get", "keyword or string", arguments[0])
        return self.input(name, required=False)

    def note_undo(self, operation: core.Operation, value: Value) -> None:
        if operation is core.Operation.UNDO_FOR:
            self.ways_to_undo[-1].append(value)
            return
        if isinstance(value, Keyword) or not callable(value):
            raise type_error("step", "function", value)
        least, takes_more = 1, True
        if isinstance(value, Closure):
            least, takes_more = len(value.node.parameters), value.node.rest is not None
        elif isinstance(value, Builtin):
            least, takes_more = value.arity_min, value.arity_max is None or value.arity_max > 0
        if least > 1:
            raise GuestError(
                f"Type error in step: :undo expected a function of at most one parameter, got one of at least {least}",
                kind="TypeError",
                code="guest.type",
            )
        self.ways_to_undo[-1] += [value, least == 1 or takes_more]

    def HostCall(self, node: core.HostCall, scope: Scope) -> Value:  # noqa: N802
        capability, *arguments = self.values((node.capability, *node.arguments), scope)
        return self.call_host(capability, tuple(arguments))

    def HostFunction(self, node: core.HostFunction, scope: Scope) -> Value:  # noqa: N802
        return self.call_function

    def Step(self, node: core.Step, scope: Scope) -> Value:  # noqa: N802
        name = self.value(node.name, scope)
        if not isinstance(name, str):
            raise type_error("step", "string", name)
        self.outside(lambda: self.host.step_started(name, node.options))
        self.ways_to_undo.append([])
        failure: CloisterError | None = None
        try:
            return self.value(node.body, scope)
        except CloisterError as error:
            failure = error
            raise
        finally:
            undo = self.ways_to_undo.pop()
            self.outside(lambda: self.host.step_ended(name, failure))
            if failure is None and undo and not self.is_undoing:
                function, takes_value, value = undo
                self.undos.append((name, node.options.place, function, (value,) if takes_value else ()))

    def Hinted(self, node: core.Hinted, scope: Scope) -> Value:  # noqa: N802
        outer = self.hints
        values = tuple([self.value(value, scope) for _, value in node.hints])
        crossing = check_crossing(values, self.limits)
        self.hints = outer | dict(zip([name for name, _ in node.hints], crossing, strict=True))
        try:
            return self.value(node.body, scope)
        finally:
            self.hints = outer

    def Try(self, node: core.Try, scope: Scope) -> Value:  # noqa: N802
        pending: CloisterError | None = None
        value = None
        try:
            value = self.caught(node, scope)
        except CATCHABLE as error:
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
        except CATCHABLE as error:
            self.budget.depth_count = depth
            error.span = error.span or NOWHERE  # thrown again it is the same error, as one that has a place
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
        sources = [operations.elements(self.value(collection, scope)) for collection in node.collections]
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
