"""What one module, or the program itself, binds at its top level.

Owns the tables a name is looked up in after all local scopes. Two scopes belong to a namespace: the one of the program
that will run, and the one of the same definitions for macros, which run earlier. Part of the guest set: standard
library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from cloister.lang.core import Variable
from cloister.lang.forms import SymbolForm
from cloister.lang.scope import Scope

if TYPE_CHECKING:
    from cloister.lang.macros.expander import Macro

_NONE: Final[Mapping[str, Macro]] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Imported:
    """A definition of a module as an importing namespace sees it.

    Attributes:
        module: The module it is from.
        variable: It in the program; None when only macros have it, or it is a macro.
        early: It in macros, which run before the program; None when they cannot use it.
        macro: The macro; None for every other definition.
    """

    module: str
    variable: Variable | None
    early: Variable | None
    macro: Macro | None


@dataclass(slots=True, eq=False)
class Namespace:
    """The top level of the program or of one module.

    Attributes:
        name: Of the module; None for the program.
        scope: Its definitions.
        early: The same definitions for macros; every one may be missing, because only what is needed is evaluated.
        macros: The macros that can be used at the place now looked at. Replaced whenever it changes, so that who
            remembers the table of a place keeps it.
        imported: What `import` made visible, by the name it has here.
        prefixes: Which module a prefix before `/` means.
        failed: Prefixes and names of imports that could not be made, so that their uses are not reported, too.
        macro_starts: Offsets of all its macro definitions, to explain a use that comes before.
    """

    name: str | None
    scope: Scope = field(default_factory=lambda: Scope(None, 0))
    early: Scope = field(default_factory=lambda: Scope(None, 0, conditions=1))
    macros: Mapping[str, Macro] = field(default_factory=lambda: _NONE)
    imported: dict[str, Imported] = field(default_factory=dict)
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
