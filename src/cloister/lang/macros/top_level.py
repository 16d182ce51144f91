"""The top level of a program, or of a module, that defines macros or uses modules.

Owns the order of work there. Definitions are announced before anything is resolved, so that functions can call each
other; macros must be expanded before that, because they may make definitions, and defined before they are expanded. So
the forms are gone through twice: once to define macros, import modules and announce, each with what stands above it;
then to resolve them, where code that runs at once sees only what was imported above it. Handles forms of hostile text.
Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, SymbolForm
from cloister.lang.macros.definition import define_macro
from cloister.lang.modules import resolve_import, resolve_module
from cloister.lang.special_forms.form import unwrap_metadata

if TYPE_CHECKING:
    from cloister.lang.macros.expander import Macro, Trail
    from cloister.lang.macros.resolving import Extension

WORDS: Final = ("defmacro", "module", "import")
"""A text without any of these has neither macros nor modules."""


@dataclass(frozen=True, slots=True)
class _Item:
    """A top-level form on its way: core already, or a form with the macros it may use; and what it imports."""

    form: Form
    node: core.Node | None
    trail: Trail | None
    macros: Mapping[str, Macro]
    imports: tuple[str, ...]


def resolve_top_level(ext: Extension, forms: Sequence[Form], allowed: frozenset[str] | None = None) -> list[core.Node]:
    """Resolve top-level forms in the present namespace.

    Args:
        ext: The state of resolving.
        forms: The forms.
        allowed: Heads of the forms that may stand there; None for every form.
    """
    outer, space = ext.trail, ext.space
    items = _TopLevel(ext, allowed).items(forms)
    last = space.macros
    nodes: list[core.Node] = []
    for item in items:
        if item.node is not None:
            nodes.append(item.node)
            space.evaluated.update(item.imports)
            continue
        space.macros, ext.trail = item.macros, item.trail
        nodes += ext.resolver.collected(item.form)
        if ext.resolver.is_full:
            break
    space.macros, ext.trail = last, outer
    return nodes


class _TopLevel:
    def __init__(self, ext: Extension, allowed: frozenset[str] | None) -> None:
        self._ext = ext
        self._allowed = allowed
        self._items: list[_Item] = []
        self._pending: list[tuple[Form, Trail | None]] = []

    def items(self, forms: Sequence[Form]) -> list[_Item]:
        """Define macros, import modules and announce definitions, in the order of the text."""
        ext = self._ext
        outer = ext.trail
        self._pending = [(form, outer) for form in reversed(forms)]
        self._note_macros(forms)
        while self._pending and not ext.resolver.is_full:
            form, ext.trail = self._pending.pop()
            with ext.resolver.collecting(form):
                self._take(form)
        ext.trail = outer
        return self._items

    def _note_macros(self, forms: Sequence[Form]) -> None:
        starts = self._ext.space.macro_starts
        for form in forms:
            match form:
                case ListForm(items=(SymbolForm(name="defmacro"), SymbolForm(name=name), *_)):
                    starts.setdefault(name, form.start)
                case ListForm(items=(SymbolForm(name="do"), *inner)):
                    self._note_macros(inner)

    def _take(self, form: Form) -> None:
        ext = self._ext
        inner = ext.expansion(form)
        if inner is not None:
            self._pending.append((inner.expansion.form, inner))
            return
        special = ext.resolver.special(form) if isinstance(form, ListForm) else None
        name = special.name if special is not None else None
        if self._allowed is not None and name not in self._allowed:
            raise self._misplaced(form)
        if name == "do" and isinstance(form, ListForm) and len(form.items) > 1:
            self._pending += [(item, ext.trail) for item in reversed(form.items[1:])]
        elif name == "defmacro" and isinstance(form, ListForm):
            define_macro(ext, form)
            self._add(form, core.Const(None, form.start, form.end))
        elif name == "module" and isinstance(form, ListForm):
            self._add(form, resolve_module(ext, form))
        elif name == "import" and isinstance(form, ListForm):
            self._add(form, *resolve_import(ext, form))
        else:
            if special is not None and special.defines and isinstance(form, ListForm):
                self._define(form, special.name)
            ext.resolver.announce([form])
            self._add(form, None)

    def _add(self, form: Form, node: core.Node | None, imports: tuple[str, ...] = ()) -> None:
        self._items.append(_Item(form, node, self._ext.trail, self._ext.space.macros, imports))

    def _define(self, form: ListForm, word: str) -> None:
        name = unwrap_metadata(form.items[1]) if len(form.items) > 1 else None
        if isinstance(name, SymbolForm):
            self._ext.space.remove_macro(name.name)
            if word in {"def", "defn"}:
                self._ext.early_code.add(self._ext, name, form)

    def _misplaced(self, form: Form) -> CompileError:
        is_text = isinstance(form, LiteralForm) and isinstance(form.value, str)
        what = "a text" if is_text else "this"
        words = ", ".join(sorted(self._allowed or ()))
        hint = f"a module holds {quoted(words)}; code that runs belongs into the program"
        return self._ext.resolver.error(form, "compile.module", f"{what} is no definition", hint)
