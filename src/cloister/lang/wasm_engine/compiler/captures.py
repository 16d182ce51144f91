"""Where the value of each variable lives: what functions capture, and what is static.

Owns the facts about variables that cross functions. A variable the program assigns once, outside functions and loops,
is static when a function reads it: it has an address. Any other variable that a function reads from around it is
captured with the function, as a value, or as a cell when it may be assigned after the function was made. A function
that captures nothing is static itself, and calls of it pass nothing but arguments. Must not know instructions.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Final, NamedTuple, TypeAlias

from cloister.lang import core
from cloister.lang.python_engine.functions import Functions

Owner: TypeAlias = core.Lambda | None
"""A function; None for the program outside all of them."""

Scope: TypeAlias = core.Lambda | core.Loop | core.For | core.Dotimes | None
"""What has variables of its own each time it begins: a function, a turn of a loop, the program."""

_LOOPS: Final = (core.Loop, core.For, core.Dotimes)
_BINDING: Final = frozenset({core.Lambda, core.Let, core.Define, core.Sequence, *_LOOPS, core.Try})
_USING: Final = frozenset({core.Call, core.Local, core.Latest})


class _Use(NamedTuple):
    """One place that reads a variable; `is_call` when it only calls the function that it always holds."""

    variable: core.Variable
    function: Owner
    may_be_unset: bool
    is_call: bool


class Captures:
    """The facts of one program.

    Args:
        program: The program.
        functions: What is known of its functions.
    """

    def __init__(self, program: core.Node, functions: Functions) -> None:
        self._facts = functions
        self._parents: dict[int, Owner] = {}
        self._owners: dict[core.Variable, Owner] = {}
        self._scopes: dict[core.Variable, Scope] = {}
        self._late: set[core.Variable] = set()
        self._uses: list[_Use] = []
        self._callees: set[int] = set()
        self._selves: set[int] = set()
        self._lambdas: list[core.Lambda] = []
        self._numbers: dict[int, int] = {}
        self._free: dict[int, dict[core.Variable, int]] = {}
        self.static: set[core.Variable] = set()
        self.cells: set[core.Variable] = set()
        self.checked: set[core.Variable] = set()
        self._cells_of: dict[int | None, list[core.Variable]] = defaultdict(list)
        self._gather(program)
        self._settle()

    def number(self, function: core.Lambda) -> int:
        """Return the number of a function of the program: the same in every process, as its module must be."""
        return self._numbers[id(function)]

    def captured(self, function: core.Lambda) -> tuple[core.Variable, ...]:
        """Return the variables a function captures, in the order it keeps them."""
        return tuple(self._free[id(function)])

    def position(self, function: core.Lambda, variable: core.Variable) -> int | None:
        """Return where among them a variable is; None when a function does not capture it."""
        return self._free[id(function)].get(variable)

    def has_self(self, function: core.Lambda) -> bool:
        """Say whether the code of a function needs the function itself: it captures something, or is a value there."""
        return bool(self._free[id(function)]) or id(function) in self._selves

    def cells_of(self, scope: Scope) -> list[core.Variable]:
        """Return the variables that need a new cell whenever a scope begins."""
        return self._cells_of[id(scope) if scope is not None else None]

    # Gathering

    def _gather(self, program: core.Node) -> None:
        pending: list[tuple[core.Node, Owner, Scope, tuple[core.Variable, ...]]] = [(program, None, None, ())]
        while pending:
            node, function, scope, defining = pending.pop()
            if type(node) in _BINDING:
                self._note_bound(node, function, scope)
            elif type(node) in _USING:
                self._note_use(node, function, defining)
            inner, turn = function, scope
            if isinstance(node, core.Lambda):
                self._parents[id(node)] = function
                self._numbers[id(node)] = len(self._lambdas)
                self._lambdas.append(node)
                inner = turn = node
            elif isinstance(node, _LOOPS):
                self._push_loop(pending, node, function, scope, defining)
                continue
            elif isinstance(node, core.Let):
                for variable, value in node.bindings:
                    pending.append((value, function, scope, (*defining, variable)))
                pending.append((node.body, function, scope, defining))
                continue
            pending.extend((child, inner, turn, defining) for child in core.children(node))

    def _push_loop(
        self,
        pending: list[tuple[core.Node, Owner, Scope, tuple[core.Variable, ...]]],
        node: core.Loop | core.For | core.Dotimes,
        function: Owner,
        scope: Scope,
        defining: tuple[core.Variable, ...],
    ) -> None:
        *outside, body = core.children(node)
        pending.extend((each, function, scope, defining) for each in outside)
        pending.append((body, function, node, defining))

    def _note_bound(self, node: core.Node, function: Owner, scope: Scope) -> None:
        match node:
            case core.Lambda(parameters=parameters, rest=rest):
                self._bind((*parameters, *((rest,) if rest else ())), node, node)
            case core.Let(bindings=bindings):
                self._bind(tuple(variable for variable, _ in bindings), function, scope)
            case core.Define(variable=variable):
                self._bind((variable,), function, scope)
                self._late.add(variable)
            case core.Sequence(unset=unset):
                self._late.update(unset)
            case core.Loop(variables=variables) | core.For(variables=variables):
                self._bind(variables, function, node)
            case core.Dotimes(variable=variable):
                self._bind((variable,), function, node)
            case core.Try(catches=catches):
                for clause in catches:
                    self._bind(clause.variables, function, scope)

    def _bind(self, variables: tuple[core.Variable, ...], function: Owner, scope: Scope) -> None:
        for variable in variables:
            self._owners[variable] = function
            self._scopes[variable] = scope

    def _note_use(self, node: core.Node, function: Owner, defining: tuple[core.Variable, ...]) -> None:
        match node:
            case core.Call() if self._facts.called(node) is not None:
                self._callees.add(id(node.callee))
            case core.Local(variable=variable, checked=checked):
                is_call = id(node) in self._callees
                self._use(_Use(variable, function, checked, is_call), defining)
            case core.Latest(variables=variables):
                for variable in variables:
                    self._use(_Use(variable, function, True, False), defining)

    def is_constant(self, variable: core.Variable) -> bool:
        """Say whether a variable that always holds a function, which captures nothing, holds the same one every time.

        A function that is made again is another one, which `=` sees; one that is only called nobody can compare.
        """
        known = self._facts.known(variable)
        if known is None or variable in self.checked or self.has_self(known):
            return False
        is_once = self._owners.get(variable) is None and self._scopes.get(variable) is None
        return is_once or self._facts.is_closed(known)

    def is_late(self, variable: core.Variable) -> bool:
        """Say whether a variable may be read, or captured, before it is assigned."""
        return variable in self._late or variable in self.checked

    def _use(self, use: _Use, defining: tuple[core.Variable, ...]) -> None:
        self._uses.append(use)
        if use.may_be_unset:
            self.checked.add(use.variable)
        if use.variable in defining and self._facts.known(use.variable) is None:
            self._late.add(use.variable)

    # Settling: a function that turns out to capture something must be captured itself by whoever calls it

    def _settle(self) -> None:
        self._free = {id(each): {} for each in self._lambdas}
        self._note_static()
        by_known: dict[int, list[_Use]] = defaultdict(list)
        for use in self._uses:
            known = self._facts.known(use.variable)
            if known is not None:
                by_known[id(known)].append(use)
        pending = list(self._uses)
        while pending:  # a function comes to have itself once at most, so that every use is looked at twice at most
            for function in self._apply(pending.pop()):
                pending.extend(by_known[id(function)])
        for variable in sorted(self.cells, key=lambda each: each.index):  # the same bytes in every process
            scope = self._scopes[variable]
            self._cells_of[id(scope) if scope is not None else None].append(variable)

    def _note_static(self) -> None:
        for use in self._uses:
            owner = self._owners.get(use.variable)
            if use.function is not None and owner is None and self._scopes.get(use.variable) is None:
                self.static.add(use.variable)

    def _apply(self, use: _Use) -> list[core.Lambda]:
        """Note what one use captures; returns the functions that have themselves since."""
        variable, function = use.variable, use.function
        if self._is_anywhere(use):
            return []
        known, owner = self._facts.known(variable), self._owners.get(variable)
        changed = []
        while function is not None and function is not owner:
            had_self = self.has_self(function)
            if function is known and variable not in self.checked:  # a function knows itself
                self._selves.add(id(function))
            elif variable not in self._free[id(function)]:
                self._free[id(function)][variable] = len(self._free[id(function)])
                if variable in self._late:
                    self.cells.add(variable)
            if self.has_self(function) != had_self:
                changed.append(function)
            if function is known and variable not in self.checked:
                break
            function = self._parents[id(function)]
        return changed

    def _is_anywhere(self, use: _Use) -> bool:
        """Say whether a variable is within reach without being captured."""
        variable = use.variable
        if variable in self.static or use.function is self._owners.get(variable):
            return True
        known = self._facts.known(variable)
        if known is None or use.may_be_unset or variable in self.checked or self.has_self(known):
            return False
        return use.is_call or self.is_constant(variable)
