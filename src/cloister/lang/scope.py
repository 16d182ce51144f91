"""Lexical scopes while a program is resolved.

Owns which binding a name means at one place of the text. A scope is filled in source order; a name used inside a
function may also mean a later definition of a surrounding scope, so that siblings can call each other, while code that
runs at once sees only what was defined before it. A hostile text may define one name a hundred thousand times: looking
a name up takes the same time however many bindings a scope has. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from cloister.lang.core import Variable
from cloister.lang.types.expression import Declaration


@dataclass(slots=True)
class Binding:
    """A variable and what is known about it so far.

    Attributes:
        variable: What the engine will see.
        conditional: Whether its definition may be skipped when the program runs.
        needs_mark: Whether some code may read it before it is assigned.
        before: What the name meant in the same scope before a definition that may be skipped.
    """

    variable: Variable
    conditional: bool = False
    needs_mark: bool = False
    before: Binding | None = None


@dataclass(frozen=True, slots=True)
class Found:
    """A name that is bound.

    Attributes:
        variables: The variable it means; when definitions of it may be skipped, all it may mean, the latest first.
        checked: Whether reading it must check which of them were assigned.
        falls_through: Whether all of them may be skipped, so that the name may mean what it means further out.
    """

    variables: tuple[Variable, ...]
    checked: bool
    falls_through: bool = False

    @property
    def variable(self) -> Variable:
        """The variable of the latest definition."""
        return self.variables[0]


@dataclass(slots=True)
class Scope:
    """One scope: the program, a function, a `let`, a loop body.

    Attributes:
        parent: The scope around it.
        level: How many functions are around it, itself included.
        depth: How many scopes are around it.
        bindings: By name, in source order.
        conditions: How many conditional forms of this scope are open.
        reads: How often a name was found in this very scope.
        types: The types its forms declare, by name.
        hidden: Names that its patterns will bind, so that they are no macros there.
    """

    parent: Scope | None
    level: int
    depth: int = 0
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    conditions: int = 0
    reads: int = 0
    types: dict[str, Declaration] = field(default_factory=dict)
    hidden: frozenset[str] = frozenset()
    _announced: dict[tuple[str, int], Binding] = field(default_factory=dict)
    _started: dict[str, Binding] = field(default_factory=dict)
    _defined: dict[str, Binding] = field(default_factory=dict)
    """The last bindings, in the order of evaluation, that functions and all code can see so far."""
    _later: dict[str, Found] = field(default_factory=dict)

    def declare(self, variable: Variable) -> Binding:
        """Announce a definition that comes later in this scope."""
        group = self.bindings.setdefault(variable.name, [])
        binding = Binding(variable)
        group.append(binding)
        self._announced.setdefault((variable.name, variable.start), binding)
        return binding

    def may_skip(self, binding: Binding) -> None:
        """Note that the definition of a binding may be skipped: then the name goes on meaning what it means now."""
        binding.conditional = True
        binding.before = self._started.get(binding.variable.name)

    def start(self, binding: Binding) -> None:
        """Let code inside functions see a binding: its value, a function, is being resolved."""
        self._started[binding.variable.name] = binding

    def define(self, binding: Binding) -> None:
        """Let all code that follows see a binding."""
        self._started[binding.variable.name] = binding
        self._defined[binding.variable.name] = binding

    def define_all(self, start: int, end: int) -> None:
        """Let all code see the definitions announced between two offsets: what makes them was refused.

        Cost:
            Linear in the bindings of the scope.
        """
        for group in self.bindings.values():
            for binding in group:
                if start <= binding.variable.start < end:
                    self.define(binding)

    def bind(self, variable: Variable) -> None:
        """Add a binding that is assigned from here on: a parameter, a loop variable."""
        self.define(self.declare(variable))

    def declared(self, name: str, start: int) -> Binding | None:
        """Take the announced definition of `name` that stands at offset `start`; the next call does not find it."""
        return self._announced.pop((name, start), None)

    def find(self, name: str, level: int) -> Found | None:
        """Return what `name` means for code at function level `level`, or None when it is not bound."""
        scope: Scope | None = self
        skipped: tuple[Variable, ...] = ()
        while scope is not None:
            found = scope.find_here(name, level)
            if found:
                scope.reads += 1
                skipped += found.variables
                if not found.falls_through:
                    return Found(skipped, found.checked)
            scope = scope.parent
        return Found(skipped, checked=True) if skipped else None

    def later(self, name: str) -> Variable | None:
        """Return a definition of `name` that exists but comes after the code now resolved."""
        scope: Scope | None = self
        while scope is not None:
            for binding in scope.bindings.get(name, ()):
                return binding.variable
            scope = scope.parent
        return None

    def find_type(self, name: str) -> Declaration | None:
        """Return the type that is declared here or around under a name, or None."""
        scope: Scope | None = self
        while scope is not None:
            if name in scope.types:
                return scope.types[name]
            scope = scope.parent
        return None

    def names(self) -> Iterator[str]:
        """Yield every name bound here or around, the nearest first, to suggest one of them."""
        scope: Scope | None = self
        while scope is not None:
            yield from scope.bindings
            scope = scope.parent

    def marked(self) -> tuple[Variable, ...]:
        """Return the variables that must be marked as unassigned when the scope is entered."""
        return tuple(binding.variable for group in self.bindings.values() for binding in group if binding.needs_mark)

    @contextmanager
    def conditionally(self) -> Iterator[None]:
        """Treat definitions made inside the `with` block as ones that may not happen."""
        self.conditions += 1
        try:
            yield
        finally:
            self.conditions -= 1

    def find_here(self, name: str, level: int) -> Found | None:
        """Return what `name` means when this scope binds it, else None."""
        delayed = level > self.level
        binding = (self._started if delayed else self._defined).get(name)
        if binding is not None:
            return _found(binding)
        return self._find_later(name) if delayed else None

    def _find_later(self, name: str) -> Found | None:
        """Return what a function means by a name all of whose definitions in this scope come later."""
        group = self.bindings.get(name)
        if not group:
            return None
        found = self._later.get(name)
        if found is None or len(found.variables) < len(group):
            for binding in group:  # any of them may be the one that is assigned when the function is called
                binding.needs_mark = True
            found = Found(tuple(binding.variable for binding in reversed(group)), checked=True)
            self._later[name] = found
        return found


def _found(binding: Binding) -> Found:
    """Return what a visible binding means: itself, or what was before it where its definition was skipped."""
    variables = []
    latest: Binding | None = binding
    while latest is not None and latest.conditional:
        latest.needs_mark = True
        variables.append(latest.variable)
        latest = latest.before
    if latest is not None:
        variables.append(latest.variable)
    return Found(tuple(variables), checked=len(variables) > 1, falls_through=latest is None)
