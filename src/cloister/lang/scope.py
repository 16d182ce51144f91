"""Lexical scopes while a program is resolved.

Owns which binding a name means at one place of the text. A scope is filled in source order; a name used inside a
function may also mean a later definition of a surrounding scope, so that siblings can call each other, while code that
runs at once sees only what was defined before it. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum

from cloister.lang.core import Variable


class State(IntEnum):
    """How far a binding has come while its scope is resolved."""

    DECLARED = 0
    STARTED = 1
    """Its value, a function, is being resolved: the function may call itself."""
    DEFINED = 2


@dataclass(slots=True)
class Binding:
    """A variable and what is known about it so far.

    Attributes:
        variable: What the engine will see.
        state: How far it has come.
        conditional: Whether its definition may be skipped when the program runs.
        needs_mark: Whether some code may read it before it is assigned.
    """

    variable: Variable
    state: State
    conditional: bool = False
    needs_mark: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """A name that is bound: the variable, and whether reading it must check that it was assigned."""

    variable: Variable
    checked: bool


@dataclass(slots=True)
class Scope:
    """One scope: the program, a function, a `let`, a loop body.

    Attributes:
        parent: The scope around it.
        level: How many functions are around it, itself included.
        bindings: By name, in source order.
        conditions: How many conditional forms of this scope are open.
    """

    parent: Scope | None
    level: int
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    conditions: int = 0

    def declare(self, variable: Variable) -> Binding:
        """Announce a definition that comes later in this scope."""
        binding = Binding(variable, State.DECLARED)
        self.bindings.setdefault(variable.name, []).append(binding)
        return binding

    def bind(self, variable: Variable) -> None:
        """Add a binding that is assigned from here on: a parameter, a loop variable."""
        self.declare(variable).state = State.DEFINED

    def declared(self, name: str, start: int) -> Binding | None:
        """Return the announced definition of `name` that stands at offset `start`."""
        for binding in self.bindings.get(name, ()):
            if binding.variable.start == start and binding.state is State.DECLARED:
                return binding
        return None

    def find(self, name: str, level: int) -> Found | None:
        """Return what `name` means for code at function level `level`, or None when it is not bound."""
        scope: Scope | None = self
        while scope is not None:
            found = scope.find_here(name, level)
            if found:
                return found
            scope = scope.parent
        return None

    def later(self, name: str) -> Variable | None:
        """Return a definition of `name` that exists but comes after the code now resolved."""
        scope: Scope | None = self
        while scope is not None:
            for binding in scope.bindings.get(name, ()):
                return binding.variable
            scope = scope.parent
        return None

    def names(self) -> set[str]:
        """Return every name bound here or around, to suggest one of them."""
        around = self.parent.names() if self.parent else set()
        return around | self.bindings.keys()

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
        group = self.bindings.get(name, ())
        delayed = level > self.level
        wanted = State.STARTED if delayed else State.DEFINED
        for binding in reversed(group):
            if binding.state >= wanted:
                binding.needs_mark = binding.needs_mark or binding.conditional
                return Found(binding.variable, binding.conditional)
        if delayed and group:
            group[0].needs_mark = True
            return Found(group[0].variable, True)
        return None
