"""What the code generator wants to know about the functions of a program before it writes them.

Owns facts computed from core: which variables always hold a known function, which calls go straight to one, which
functions are also passed around as values, which can nest calls, and which nodes contain functions. Must not change
meaning: every fact only permits a shorter way to write the same.
"""

from __future__ import annotations

from typing import Final

from cloister.lang import core
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Keyword

_BINDING: Final = frozenset({core.Define, core.Let, core.Lambda, core.Loop, core.For, core.Try, core.Dotimes})


class Functions:
    """Facts about the functions of one program.

    Args:
        program: The program.

    Attributes:
        bound: Variables bound by the nodes this module knows; of any other variable nothing may be concluded.
        nests: Whether some function can make calls that nest: only such a program can run out of stack.
    """

    def __init__(self, program: core.Node) -> None:
        self.bound: set[core.Variable] = set()
        self.nests = False
        self._known: dict[core.Variable, core.Lambda] = {}
        self._names: dict[int, core.Variable] = {}
        self._valued: set[core.Variable] = set()
        self._targets: dict[int, core.Lambda] = {}
        self._with_lambda: set[int] = set()
        self._open: set[int] = set()
        nodes = tuple(core.walk(program))
        present = set(map(type, nodes))
        if present & _BINDING:
            for node in nodes:
                if type(node) in _BINDING:
                    self._note_bound(node)
        if core.Lambda in present:
            # Children come after their parents in `walk`, so backwards every child is known before its parent
            for node in reversed(nodes):
                self._note_inside(node)
        if self._known:
            self._note_uses(nodes)

    def known(self, variable: core.Variable) -> core.Lambda | None:
        """Return the function a variable holds once it is assigned, when that is certain."""
        return self._known.get(variable)

    def called(self, node: core.Call) -> core.Lambda | None:
        """Return the known function a call goes straight to; its number of arguments is right."""
        return self._targets.get(id(node))

    def is_known(self, function: core.Lambda) -> bool:
        """Say whether the function is bound to a variable that always holds it."""
        return id(function) in self._names

    def is_closed(self, function: core.Lambda) -> bool:
        """Say whether every call of the function is one of those that go straight to it."""
        return id(function) in self._names and self._names[id(function)] not in self._valued

    def has_lambda(self, node: core.Node) -> bool:
        """Say whether evaluating the node can make a function that captures variables."""
        return id(node) in self._with_lambda

    def is_leaf(self, function: core.Lambda) -> bool:
        """Say whether the function calls nothing that could call back: it cannot nest further."""
        return id(function.body) not in self._open

    def _note_inside(self, node: core.Node) -> None:
        inner = core.children(node)
        is_lambda = isinstance(node, core.Lambda)
        if is_lambda or any(id(child) in self._with_lambda for child in inner):
            self._with_lambda.add(id(node))
        nests = may_call_back(node) or any(id(child) in self._open for child in inner)
        if nests and is_lambda:
            self.nests = True
        elif nests:
            self._open.add(id(node))

    def _note_bound(self, node: core.Node) -> None:
        match node:
            case core.Define(variable=variable, value=value):
                self._bind(variable, value)
            case core.Let(bindings=bindings):
                for variable, value in bindings:
                    self._bind(variable, value)
            case core.Lambda(parameters=variables, rest=rest):
                self.bound.update(variables if rest is None else (*variables, rest))
            case core.Loop(variables=variables) | core.For(variables=variables):
                self.bound.update(variables)
            case core.Try(catches=catches):
                self.bound.update(variable for clause in catches for variable in clause.variables)
            case core.Dotimes(variable=variable):
                self.bound.add(variable)

    def _bind(self, variable: core.Variable, value: core.Node) -> None:
        self.bound.add(variable)
        if isinstance(value, core.Lambda):
            self._known[variable] = value
            self._names[id(value)] = variable

    def _note_uses(self, nodes: tuple[core.Node, ...]) -> None:
        straight: set[int] = set()
        dropped: set[int] = set()
        for node in nodes:
            match node:
                case core.Call(callee=core.Local(variable=variable), arguments=arguments):
                    function = self._known.get(variable)
                    if function is not None and _takes(function, len(arguments)):
                        self._targets[id(node)] = function
                        straight.add(id(node.callee))
                case core.Local(variable=variable) if id(node) not in straight:
                    self._valued.add(variable)
                case core.Latest(variables=variables):
                    self._valued.update(variables)
                case core.Sequence(items=items):
                    dropped.update(id(item) for item in items[:-1])
                case core.Define(variable=variable) if id(node) not in dropped:
                    self._valued.add(variable)  # its value, the function, is used


def _takes(function: core.Lambda, count: int) -> bool:
    least = len(function.parameters)
    return count == least or (function.rest is not None and count > least)


def may_call_back(node: core.Node) -> bool:
    """Say whether a node calls something that can call functions of the program."""
    if not isinstance(node, core.Call):
        return False
    match node.callee:
        case core.Global(name=name):
            return BUILTINS[name].needs_call
        case core.Const(value=Keyword()):
            return False
    return True


def fits(name: str, count: int) -> bool:
    """Say whether a builtin takes that many arguments."""
    builtin = BUILTINS[name]
    return builtin.arity_min <= count and (builtin.arity_max is None or count <= builtin.arity_max)
