"""What one module, or the program itself, binds at its top level.

Owns the tables a name is looked up in after all local scopes. Two scopes belong to a namespace: the one of the program
that will run, and the one of the same definitions for macros, which run earlier. Part of the guest set: standard
library only.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cloister.lang.forms import SymbolForm
from cloister.lang.scope import Binding, Found, Scope

if TYPE_CHECKING:
    from cloister.lang.macros.expander import Macro

_NONE: Final[Mapping[str, Macro]] = MappingProxyType({})


@dataclass(slots=True)
class EarlyScope(Scope):
    """The definitions of a namespace as macros see them.

    A definition is resolved when a macro needs it, which may be far below the place where it stands. It means what it
    would mean at its own place all the same: whether something else was used before changes nothing.

    Attributes:
        position: Index of the variable whose definition is resolved; None for the code of a macro, which is resolved
            where it stands.
        limit: Index that tells what stands above the macro which needs it.
    """

    position: int | None = None
    limit: int | None = None

    def find_here(self, name: str, level: int) -> Found | None:
        """Return what `name` means when this scope binds it, else None.

        Cost:
            Logarithmic in the definitions of the name; linear where a function uses it above all of them.
        """
        group = self.bindings.get(name)
        if not group:
            return None
        above = _count_above(group, self.position)
        if above:
            return Found((group[above - 1].variable,), checked=True)
        if level <= self.level:
            return None
        usable = group[: max(1, _count_above(group, self.limit))]
        return Found(tuple([binding.variable for binding in reversed(usable)]), checked=True)


class DefinitionScope(Scope):
    """What one definition defines inside itself, as macros see it.

    For what stands inside it is the top level, but no other definition sees it: whether another one was resolved before
    changes nothing.
    """

    __slots__ = ()


def _count_above(group: Sequence[Binding], position: int | None) -> int:
    return len(group) if position is None else bisect_left(group, position, key=lambda binding: binding.variable.index)


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """A definition of a module as an importing namespace sees it.

    Attributes:
        module: The module it is from.
        space: What that module defines.
        exported: Its name there.
        start: Offset of the import.
        since: Index that tells which definitions that macros see stand below the import.
    """

    module: str
    space: Namespace
    exported: str
    start: int
    since: int

    def found(self) -> Found | None:
        """Return it as the program sees it once the module was evaluated; None for macros and types."""
        return self.space.scope.find(self.exported, 1)

    def found_early(self) -> Found | None:
        """Return it as macros see it, which run before the program; None when they cannot use it."""
        return self.space.early.find(self.exported, 1)


@dataclass(slots=True, eq=False)
class Namespace:
    """The top level of the program or of one module.

    Attributes:
        name: Of the module; None for the program.
        scope: Its definitions.
        early: The same definitions for macros.
        macros: The macros that can be used at the place now looked at. Replaced whenever it changes, so that who
            remembers the table of a place keeps it.
        imported: What `import` makes visible, by the name it has here.
        evaluated: The names among these that code sees which runs at once: those imported above it.
        prefixes: Which module a prefix before `/` means.
        failed: Prefixes and names of imports that could not be made, so that their uses are not reported, too.
        macro_starts: Offsets of all its macro definitions, to explain a use that comes before.
    """

    name: str | None
    scope: Scope = field(default_factory=lambda: Scope(None, 0))
    early: EarlyScope = field(default_factory=lambda: EarlyScope(None, 0))
    macros: Mapping[str, Macro] = field(default_factory=lambda: _NONE)
    imported: dict[str, Imported] = field(default_factory=dict)
    evaluated: set[str] = field(default_factory=set)
    prefixes: dict[str, str] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    macro_starts: dict[str, int] = field(default_factory=dict)

    def add_macro(self, name: str, macro: Macro) -> None:
        """Make a macro usable from here on."""
        self.macros = MappingProxyType({**self.macros, name: macro})

    def remove_macro(self, name: str) -> None:
        """Give a name back to ordinary definitions from here on."""
        if name in self.macros:
            self.macros = MappingProxyType({known: macro for known, macro in self.macros.items() if known != name})

    def binds(self, name: str) -> bool:
        """Say whether the name means something defined or imported here."""
        return name in self.scope.bindings or name in self.imported or name in self.macros

    def defines(self, name: str) -> bool:
        """Say whether the name is that of a value, a macro or a type that was defined here."""
        return name in self.scope.bindings or name in self.scope.types or self._is_own_macro(name)

    def _is_own_macro(self, name: str) -> bool:
        return name in self.macros and self.macros[name].home is self

    def names(self) -> Iterator[str]:
        """Yield the names that are not in a scope, to suggest one of them."""
        yield from self.macros
        yield from self.imported


class ExpansionOffset(int):
    """The offset of one use of a macro, as an object of its own.

    Macros that write uses of other macros give all of them the same offset. Which use wrote a binding is told by the
    identity of this object, which a variable keeps as its `start`.
    """

    __slots__ = ()


class HomeSymbolForm(SymbolForm):
    """A name that a macro wrote and that means something where the macro was defined.

    Whatever the place of the macro's use binds under that name, the meaning stays; only a binding that the same use of
    the macro wrote, whose `start` is the same `ExpansionOffset`, takes precedence.

    Attributes:
        home: The namespace of the macro.
    """

    __slots__ = ("home",)

    def __init__(self, name: str, start: ExpansionOffset, end: int, home: Namespace) -> None:
        super().__init__(name, start, end)
        self.home = home
