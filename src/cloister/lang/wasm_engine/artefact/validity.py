"""Whether what has the shape of core is a program.

Owns what the resolver promises to engines, checked again for core that did not come from it: every variable is bound
once, in one function, and read only where it is there; `recur` stands at the end of its loop; operations have the
operands they take, names of builtins and kinds of errors exist, and types can be checked. What is not checked is which
values flow where: a program made by hand may confuse itself, inside of its own memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.host import STEP_ISOLATIONS
from cloister.lang.program_size import check_size
from cloister.lang.special_forms.errors import ERROR_KINDS
from cloister.lang.special_forms.metadata import HINT_PREFIX
from cloister.lang.special_forms.profile import is_checked_profile
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Keyword, Value
from cloister.lang.wasm_engine.artefact.octets import NUMBER_MAX, damaged
from cloister.lang.wasm_engine.artefact.type_validity import check_types

MAP_KEYS: Final = frozenset({Keyword, str, int})


def check_core(program: core.Node) -> None:
    """Accept a program as the resolver could have made it.

    Args:
        program: What `decode_core` gave.

    Raises:
        InputError: `input.artefact`: it is none.
        CompileError: `compile.too-large`: it is larger than programs may be.

    Cost:
        Linear in the program.
    """
    check_size(program)
    check_types(program)
    _Walk().check(program)


@dataclass(slots=True)
class _Function:
    """A function whose inside is being looked at; the outermost one is the program.

    Attributes:
        level: How many functions are around it.
        own: Its variables.
        marked: Variables that it marks before they are assigned.
    """

    level: int
    own: list[core.Variable] = field(default_factory=list)
    marked: list[core.Variable] = field(default_factory=list)


class _Seen(NamedTuple):
    level: int
    is_assigned: bool


class _Walk:
    """One pass over a program, in the order of its evaluation."""

    def __init__(self) -> None:
        self._pending: list[Callable[[], None]] = []
        self._functions = [_Function(0)]
        self._bound: set[core.Variable] = set()
        self._visible: dict[core.Variable, _Seen] = {}
        self._marked: dict[core.Variable, int] = {}

    def check(self, program: core.Node) -> None:
        """Check everything."""
        self._then(lambda: self._node(program, None), self._leave)
        while self._pending:
            self._pending.pop()()

    def _then(self, *acts: Callable[[], None]) -> None:
        """Do these next, in this order."""
        self._pending.extend(reversed(acts))

    # Variables

    @property
    def _level(self) -> int:
        return self._functions[-1].level

    def _bind(self, variable: core.Variable) -> None:
        if variable in self._bound:
            raise damaged(f"variable {variable.index} is bound twice")
        if self._marked.get(variable, self._level) != self._level:
            raise damaged(f"variable {variable.index} is marked by another function than the one that binds it")
        self._bound.add(variable)
        self._functions[-1].own.append(variable)
        self._visible[variable] = _Seen(self._level, False)

    def _assign(self, variable: core.Variable) -> None:
        self._visible[variable] = _Seen(self._level, True)

    def _take(self, variables: Sequence[core.Variable]) -> None:
        """Bind variables that have a value at once."""
        for variable in variables:
            self._bind(variable)
            self._assign(variable)

    def _mark(self, variables: Sequence[core.Variable]) -> None:
        for variable in variables:
            if variable in self._marked or variable in self._bound:
                raise damaged(f"variable {variable.index} is marked twice, or too late")
            self._marked[variable] = self._level
            self._functions[-1].marked.append(variable)

    def _read(self, variable: core.Variable, *, is_checked: bool) -> None:
        seen = self._visible.get(variable)
        if seen is not None and (seen.is_assigned or self._level > seen.level):
            return
        if not is_checked or variable not in self._marked:
            raise damaged(f"variable {variable.index} is read where it is not bound")

    def _enter(self) -> None:
        self._functions.append(_Function(self._level + 1))

    def _leave(self) -> None:
        function = self._functions.pop()
        for variable in function.marked:
            del self._marked[variable]
            if variable not in self._bound:
                raise damaged(f"variable {variable.index} is marked and never bound")
        for variable in function.own:
            del self._visible[variable]

    # Nodes

    def _node(self, node: core.Node, loop: core.Loop | None) -> None:
        """Check a node; it is in tail position of a loop when there is one."""
        check = _CHECKS.get(type(node))
        if check is not None:
            check(self, node, loop)
            return
        self._then(*[self._later(each) for each in core.children(node)])

    def _later(self, node: core.Node, loop: core.Loop | None = None) -> Callable[[], None]:
        return lambda: self._node(node, loop)

    def _bindings(self, bindings: Sequence[tuple[core.Variable, core.Node]]) -> list[Callable[[], None]]:
        acts: list[Callable[[], None]] = []
        for variable, value in bindings:
            acts += [_bound(self._bind, variable), self._later(value), _bound(self._assign, variable)]
        return acts

    def local(self, node: core.Local, _: core.Loop | None) -> None:
        self._read(node.variable, is_checked=node.checked)

    def latest(self, node: core.Latest, _: core.Loop | None) -> None:
        _require(node.variables, "a name means nothing")
        for variable in node.variables:
            self._read(variable, is_checked=True)

    def function(self, node: core.Lambda, _: core.Loop | None) -> None:
        parameters = (*node.parameters, *((node.rest,) if node.rest else ()))
        self._then(self._enter, lambda: self._take(parameters), self._later(node.body), self._leave)

    def let(self, node: core.Let, loop: core.Loop | None) -> None:
        self._then(*self._bindings(node.bindings), self._later(node.body, loop))

    def define(self, node: core.Define, _: core.Loop | None) -> None:
        self._then(*self._bindings(((node.variable, node.value),)))

    def sequence(self, node: core.Sequence, loop: core.Loop | None) -> None:
        self._mark(node.unset)
        acts = [self._later(each) for each in node.items[:-1]]
        self._then(*acts, *(self._later(each, loop) for each in node.items[-1:]))

    def branch(self, node: core.Branch, loop: core.Loop | None) -> None:
        acts = [act for test, body in node.clauses for act in (self._later(test), self._later(body, loop))]
        self._then(*acts, self._later(node.otherwise, loop))

    def logic(self, node: core.Logic, loop: core.Loop | None) -> None:
        _require(node.items, "an `and` or `or` has no items")
        self._then(*[self._later(each) for each in node.items[:-1]], self._later(node.items[-1], loop))

    def loop(self, node: core.Loop, _: core.Loop | None) -> None:
        if len(node.variables) != len(node.initials):
            raise damaged("a loop has not as many values as variables")
        acts = self._bindings(tuple(zip(node.variables, node.initials, strict=True)))
        self._then(*acts, self._later(node.body, node))

    def recur(self, node: core.Recur, loop: core.Loop | None) -> None:
        if loop is None or len(node.arguments) != len(loop.variables):
            raise damaged("a `recur` does not stand at the end of a loop of as many variables")
        self._then(*[self._later(each) for each in node.arguments])

    def each(self, node: core.For, _: core.Loop | None) -> None:
        if not node.variables or len(node.variables) != len(node.collections):
            raise damaged("a `for` has not as many sequences as variables")
        acts = [self._later(each) for each in node.collections]
        self._then(*acts, lambda: self._take(node.variables), self._later(node.body))

    def times(self, node: core.Dotimes, _: core.Loop | None) -> None:
        self._then(self._later(node.count), lambda: self._take((node.variable,)), self._later(node.body))

    def attempt(self, node: core.Try, _: core.Loop | None) -> None:
        if not node.catches and node.last is None:
            raise damaged("a `try` has no clauses")
        acts = [self._later(node.body)]
        for clause in node.catches:
            if clause.kind is not None and clause.kind not in ERROR_KINDS:
                raise damaged("a `catch` takes a kind of error that there is not")
            acts += [_bound(self._take, clause.variables), self._later(clause.body)]
        self._then(*acts, *([self._later(node.last)] if node.last is not None else ()))

    def hinted(self, node: core.Hinted, _: core.Loop | None) -> None:
        if not node.hints or not all(name.startswith(HINT_PREFIX) for name, _ in node.hints):
            raise damaged("a hint has a name that no hint has")
        self._then(*[self._later(each) for each in core.children(node)])

    def step(self, node: core.Step, _: core.Loop | None) -> None:
        options = node.options
        exposes, keys, policy = options.expose_context, options.context_keys, options.merge_policy
        is_keys = keys is None or (type(keys) is tuple and all(type(each) is str for each in keys))
        is_plain = isinstance(exposes, bool | None) and is_keys and isinstance(policy, str | None)
        if not is_plain or type(options.has_undo) is not bool or options.isolation not in STEP_ISOLATIONS:
            raise damaged("a step has options that no step has")
        if options.profile is not None and not is_checked_profile(options.profile):
            raise damaged("a step declares a security profile that is none")
        if type(options.place) is not int or options.place != node.start:
            raise damaged("a step says that it stands where it does not")
        self._then(self._later(node.name), self._later(node.body))

    def builtin(self, node: core.Global, _: core.Loop | None) -> None:
        if node.name not in BUILTINS:
            raise damaged("it names a builtin that this version does not have")

    def new_map(self, node: core.MakeMap, _: core.Loop | None) -> None:
        if not all(type(key) in MAP_KEYS for key, _ in node.entries):
            raise damaged("a map has a key that is none")
        self._then(*[self._later(value) for _, value in node.entries])

    def intrinsic(self, node: core.Intrinsic, _: core.Loop | None) -> None:
        if not _OPERANDS[node.operation](node.arguments):
            raise damaged(f"the operation {node.operation} has operands that it does not take")
        self._then(*[self._later(each) for each in node.arguments])


def _bound(act: Callable[[Any], None], value: Any) -> Callable[[], None]:
    return lambda: act(value)


def _require(items: Sequence[object], problem: str) -> None:
    if not items:
        raise damaged(problem)


def _are_keys(values: Sequence[Value]) -> bool:
    return all(type(each) in MAP_KEYS for each in values) and len(set(values)) == len(values)


_CHECKS: Final[dict[type, Callable[[_Walk, Any, core.Loop | None], None]]] = {
    core.Local: _Walk.local,
    core.Latest: _Walk.latest,
    core.Global: _Walk.builtin,
    core.MakeMap: _Walk.new_map,
    core.Lambda: _Walk.function,
    core.Let: _Walk.let,
    core.Define: _Walk.define,
    core.Sequence: _Walk.sequence,
    core.Branch: _Walk.branch,
    core.Logic: _Walk.logic,
    core.Intrinsic: _Walk.intrinsic,
    core.Step: _Walk.step,
    core.Hinted: _Walk.hinted,
    core.Try: _Walk.attempt,
    core.Loop: _Walk.loop,
    core.Recur: _Walk.recur,
    core.For: _Walk.each,
    core.Dotimes: _Walk.times,
}

# Operands of operations

_Operand = Callable[[core.Node], bool]


def _any(_: core.Node) -> bool:
    return True


def _number(node: core.Node) -> bool:
    return isinstance(node, core.Const) and type(node.value) is int and 0 <= node.value <= NUMBER_MAX


def _index(node: core.Node) -> bool:
    return _number(node) or isinstance(node, core.Local)


def _truth(node: core.Node) -> bool:
    return isinstance(node, core.Const) and type(node.value) is bool


def _key(node: core.Node) -> bool:
    return isinstance(node, core.Const) and type(node.value) in MAP_KEYS


def _keys(node: core.Node) -> bool:
    return isinstance(node, core.Const) and type(node.value) is tuple and _are_keys(node.value)


def _exactly(*operands: _Operand) -> Callable[[Sequence[core.Node]], bool]:
    def takes(nodes: Sequence[core.Node]) -> bool:
        return len(nodes) == len(operands) and all(map(lambda takes, node: takes(node), operands, nodes))

    return takes


def _pairs(nodes: Sequence[core.Node]) -> bool:
    return len(nodes) % 2 == 0


_OPERANDS: Final[dict[Operation, Callable[[Sequence[core.Node]], bool]]] = {
    Operation.CHECK_VECTOR: _exactly(_any, _number, _truth),
    Operation.CHECK_MAP: _exactly(_any),
    Operation.ELEMENT: _exactly(_any, _index),
    Operation.TAIL: _exactly(_any, _number),
    Operation.ENTRY: _exactly(_any, _key),
    Operation.HAS_KEY: _exactly(_any, _key),
    Operation.WITHOUT: _exactly(_any, _keys),
    Operation.THROW: _exactly(_any),
    Operation.NO_MATCH: _exactly(_any),
    Operation.NEXT_TURN: _exactly(_any),
    Operation.HAS_CONTENT: _exactly(_any),
    Operation.SAME: _exactly(_any, _any),
    Operation.MATCH_VECTOR: _exactly(_any, _number, _truth),
    Operation.MATCH_MAP: _exactly(_any, _keys, _truth),
    Operation.ELEMENTS: _exactly(_any),
    Operation.JOIN_LIST: lambda _: True,
    Operation.JOIN_VECTOR: lambda _: True,
    Operation.JOIN_MAP: _pairs,
    Operation.JOIN_CODE_MAP: _pairs,
    Operation.CONTEXT_GET: _exactly(_any),
    Operation.UNDO_WITH: _exactly(_any),
    Operation.UNDO_FOR: _exactly(_any),
}
