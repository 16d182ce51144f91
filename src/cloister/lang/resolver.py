"""Forms to core: what each name means and what each form is.

Owns name lookup and the walk over forms; the special forms themselves live in `special_forms`. Wrong names are
collected, so that one check reports them all; a misshapen form stops the top-level form it stands in. Handles forms of
hostile text; whatever they are, the outcome is core or a `CompileError`. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import cast

from cloister.errors import CloisterError, CompileError
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.macros.expander import MakeRunner
from cloister.lang.macros.resolving import Extension
from cloister.lang.macros.top_level import WORDS
from cloister.lang.modules import ModuleLoader
from cloister.lang.problems import together
from cloister.lang.resolver_state import ERRORS_MAX, FATAL, ResolverState
from cloister.lang.scope import Found
from cloister.lang.source import Source
from cloister.lang.special_forms.form import SpecialForm, unwrap_metadata
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.special_forms.types import refuse_deep_types
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.checker import type_error
from cloister.lang.types.expression import Declaration
from cloister.lang.types.static import check_types
from cloister.lang.values import Keyword, List
from cloister.lang.wide_map import map_of
from cloister.lang.wrong_names import ambiguous, unknown


def resolve(forms: Sequence[Form], source: Source, inputs: Collection[str] = ()) -> core.Node:
    """Turn the forms of a program into one core node.

    Args:
        forms: All top-level forms.
        source: Where they were read from, for the places in errors.
        inputs: Names that stand for values handed to the run.

    Returns:
        A node whose value is the value of the last form, nil for an empty program.

    Raises:
        CompileError: The first problem; `details["more"]` holds further ones as plain data.
    """
    return _resolved(Resolver(source, frozenset(inputs)), forms)


def resolve_program(
    forms: Sequence[Form], source: Source, inputs: Collection[str], loader: ModuleLoader, make_runner: MakeRunner
) -> tuple[core.Node, Source]:
    """Expand the macros of a program, find its modules, and turn all of it into one core node.

    Args:
        forms: All top-level forms.
        source: Where they were read from.
        inputs: Names that stand for values handed to the run.
        loader: Where modules come from.
        make_runner: Compiles macros.

    Returns:
        The node as `resolve` returns it, and the source with the texts of all modules that were loaded.

    Raises:
        CloisterError: As `resolve`; what the loader and the reader raise for a module.
    """
    resolver = Resolver(source, frozenset(inputs))
    if any(word in source.text for word in WORDS):
        resolver.extension = Extension(resolver, loader, make_runner)
    return _resolved(resolver, forms), resolver.source


def _resolved(resolver: Resolver, forms: Sequence[Form]) -> core.Node:
    node = resolver.program(forms)
    refuse_deep_types(resolver)
    for finding in check_types(node, is_whole=not resolver.errors).errors[: ERRORS_MAX - len(resolver.errors)]:
        resolver.report(type_error(finding, resolver.source))
    if resolver.errors:
        raise together(sorted(resolver.errors, key=_place))
    return node


def _place(error: CloisterError) -> tuple[int, int]:
    return (error.span.line, error.span.column) if error.span else (0, 0)


class Resolver(ResolverState):
    """The walk over the forms of one program; see `ResolverState` for what it knows."""

    def program(self, forms: Sequence[Form]) -> core.Node:
        """Resolve all top-level forms, collecting the problems of each."""
        if self.extension is not None:
            items = self.extension.top_level(forms)
        else:
            self.announce(forms)
            items = []
            for form in forms:
                items += self.collected(form)
                if self.is_full:
                    break
        end = forms[-1].end if forms else 0
        return core.Sequence(tuple(items), self.scope.marked(), 0, end)

    def collected(self, form: Form) -> list[core.Node]:
        """Resolve a top-level form; none when that is impossible, which is then noted."""
        nodes: list[core.Node] = []
        with self.collecting(form):
            nodes.append(self.value(form))
        return nodes

    # Walking

    def resolve(self, form: Form) -> core.Node:
        """Resolve one form; it is in tail position when the form around it is and said so."""
        if isinstance(form, ListForm):
            return self._list(form)
        self.tail = False
        match form:
            case LiteralForm():
                return core.Const(form.value, form.start, form.end)
            case SymbolForm():
                return self.reference(form)
            case VectorForm():
                return self._vector(form)
            case MapForm():
                return self._map(form)

    def value(self, form: Form) -> core.Node:
        """Resolve a form whose value is used further: `recur` cannot stand there."""
        self.tail, outer = False, self.tail
        try:
            return self.resolve(form)
        finally:
            self.tail = outer

    def values(self, forms: Sequence[Form]) -> tuple[core.Node, ...]:
        """Resolve forms whose values are used further."""
        return tuple(self.value(form) for form in forms)

    def in_tail(self, form: Form, tail: bool) -> core.Node:
        """Resolve a form that is in tail position when `tail` says so."""
        self.tail, outer = tail, self.tail
        try:
            return self.resolve(form)
        finally:
            self.tail = outer

    def body(self, forms: Sequence[Form], start: int, end: int) -> core.Node:
        """Resolve forms evaluated in order in the present scope; the last one keeps the tail position."""
        tail = self.tail
        items = [self.value(form) for form in forms[:-1]]
        items += [self.in_tail(form, tail) for form in forms[-1:]]
        return items[0] if len(items) == 1 else core.Sequence(tuple(items), (), start, end)

    def scope_body(self, forms: Sequence[Form], start: int, end: int) -> core.Node:
        """Resolve the forms of a scope that was just entered: announces their definitions first."""
        self.announce(forms)
        return self.marked(self.body(forms, start, end))

    def marked(self, body: core.Node) -> core.Node:
        """Return `body` with the variables the present scope must mark as unassigned first."""
        unset = self.scope.marked()
        return core.Sequence((body,), unset, body.start, body.end) if unset else body

    def closed(self, form: Form) -> core.Node:
        """Resolve a form whose value is used further and whose definitions only it sees: one that a turn repeats."""
        with self.new_scope():
            self.announce([form])
            return self.marked(self.value(form))

    def announce(self, forms: Sequence[Form]) -> None:
        """Declare the definitions that evaluating these forms makes in the present scope."""
        if self.extension is not None:
            self.extension.announce(forms)
            return
        pending = list(reversed(forms))
        while pending:
            pending.extend(reversed(self.announced(pending.pop())))

    def announced(self, form: Form) -> Sequence[Form]:
        """Declare what a form itself defines, and return those of its parts that define in the same scope."""
        if isinstance(form, VectorForm):
            return form.items
        if isinstance(form, MapForm):
            return [item for _, item in form.entries]
        if not isinstance(form, ListForm) or not form.items:
            return ()
        special = self.special(form)
        if special is None:
            return form.items
        if special.announces is not None:
            special.announces(self, form)
        if special.defines and len(form.items) > 1:
            name = unwrap_metadata(form.items[1])
            if isinstance(name, SymbolForm):
                self.scope.declare(self.variable(name.name, name.start))
        return special.inside(form)

    # Names and calls

    def reference(self, form: SymbolForm, *, is_called: bool = False) -> core.Node:
        """Resolve a name used as a value, or as the head of a call."""
        found = self.find(form.name) if self.extension is None else self.extension.find(form)
        if found:
            return self.read(found, form.start, form.end)
        if self.extension is not None:
            imported = self.extension.imported(form)
            if imported is not None:
                return imported
        if form.name == "call":
            return core.HostFunction(form.start, form.end)
        special = SPECIAL_FORMS.get(form.name)
        if special is not None and special.as_value is not None:
            return special.as_value(self, form)
        if form.name in BUILTINS and form.name in self.inputs and len(self.errors) < ERRORS_MAX:
            self.report(ambiguous(self, form))
        if form.name in BUILTINS:
            return core.Global(form.name, form.start, form.end)
        if form.name in self.inputs:
            return core.Input(form.name, True, form.start, form.end)
        if len(self.errors) < ERRORS_MAX:  # looking for a similar name takes time
            self.report(unknown(self, form, is_called=is_called))
        return core.Const(None, form.start, form.end)

    def read(self, found: Found, start: int, end: int) -> core.Node:
        """Return what reads a name that is bound.

        Raises:
            CompileError: `compile.too-large` beyond `LOOKUPS_MAX`.
        """
        if len(found.variables) == 1:
            return core.Local(found.variable, found.checked, start, end)
        self.count_lookup(len(found.variables))
        return core.Latest(found.variables, start, end)

    def is_bound(self, name: str) -> bool:
        """Say whether the program itself binds the name here."""
        return self.find(name) is not None

    def find(self, name: str) -> Found | None:
        """Return what the program itself binds the name to here.

        Raises:
            CompileError: `compile.too-large` beyond `LOOKUPS_MAX`.
        """
        self.count_lookup()
        found = self.scope.find(name, self.scope.level)
        if found is not None and len(found.variables) > 1:
            self.count_lookup(len(found.variables))
        return found

    def find_type(self, name: str) -> Declaration | None:
        """Return the type the program declares under the name, as seen here.

        Raises:
            CompileError: `compile.too-large` beyond `LOOKUPS_MAX`.
        """
        if not self.declared_types:
            return None
        self.count_lookup()
        found = self.scope.find_type(name)
        return self.extension.find_type(name) if found is None and self.extension is not None else found

    def _list(self, form: ListForm) -> core.Node:
        if self.extension is not None:
            expanded = self.extension.expanded(form)
            if expanded is not None:
                return expanded
        special = self.special(form)
        if special is not None:
            return self._special_form(special, form)
        self.tail = False
        if not form.items:
            return core.Const(List(), form.start, form.end)
        callee, *arguments = form.items
        head = self.reference(callee, is_called=True) if isinstance(callee, SymbolForm) else self.value(callee)
        return core.Call(head, self.values(arguments), form.start, form.end)

    def _special_form(self, special: SpecialForm, form: ListForm) -> core.Node:
        # A misshapen form is noted, and everything around it is still looked at.
        try:
            return special.resolve(self, form)
        except CompileError as error:
            if error.code in FATAL or self.is_full:
                raise
            self.report(error)
            self.scope.define_all(form.start, form.end)
            return core.Const(None, form.start, form.end)

    def special(self, form: ListForm) -> SpecialForm | None:
        """Return the special form that a list is, or None."""
        head = form.items[0] if form.items else None
        if not isinstance(head, SymbolForm):
            return None
        special = SPECIAL_FORMS.get(head.name)
        if special is None or not special.applies(form) or (special.shadowable and self._is_own(head)):
            return None
        return special

    def _is_own(self, head: SymbolForm) -> bool:
        return (self.find(head.name) if self.extension is None else self.extension.find(head)) is not None

    def _vector(self, form: VectorForm) -> core.Node:
        items = self.values(form.items)
        constants = [item.value for item in items if isinstance(item, core.Const)]
        if len(constants) == len(items):
            return core.Const(tuple(constants), form.start, form.end)
        return core.MakeVector(items, form.start, form.end)

    def _map(self, form: MapForm) -> core.Node:
        entries = tuple((self.map_key(key), self.value(item)) for key, item in form.entries)
        constants = [(key, item.value) for key, item in entries if isinstance(item, core.Const)]
        if len(constants) == len(entries):
            entire = map_of([key for key, _ in constants], [item for _, item in constants])
            return core.Const(entire, form.start, form.end)
        return core.MakeMap(entries, form.start, form.end)

    def map_key(self, form: Form) -> str | int | Keyword:
        """Return the key that a form of a map stands for.

        Raises:
            CompileError: `compile.map-key` when it is no keyword, string or integer.
        """
        if isinstance(form, LiteralForm) and type(form.value) in {Keyword, str, int}:
            return cast("str | int | Keyword", form.value)
        message = "a map key must be a keyword, a string or an integer"
        hint = "write :name for a keyword; (hash-map k v) takes computed keys"
        raise self.error(form, "compile.map-key", message, hint)
