"""The part of the resolver that knows macros and modules.

Owns the look-up of names beyond scopes: imports, macros, and what a macro's own names mean. A program without macros
and modules never gets here. Handles forms of hostile text. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm
from cloister.lang.macros.definition import EarlyCode
from cloister.lang.macros.expander import Expander, Macro, MakeRunner, Trail
from cloister.lang.macros.top_level import resolve_top_level
from cloister.lang.modules import TEXTS_CHARS_MAX, ModuleLoader, Modules, joined, not_exported
from cloister.lang.namespace import DefinitionScope, HomeSymbolForm, Imported, Namespace
from cloister.lang.problems import together
from cloister.lang.resolver_state import FATAL
from cloister.lang.scope import Found, Scope
from cloister.lang.source import JoinedSource, ModuleText, Source
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.types.expression import Declaration

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver


class Extension:
    """What one resolver knows of macros and modules.

    Args:
        resolver: The resolver.
        loader: Where modules come from.
        make_runner: Compiles macros.

    Attributes:
        resolver: The resolver.
        space: The namespace that is being resolved.
        trail: The expansions around the form that is being resolved.
        expander: Expands macros.
        early_code: Definitions as macros see them.
        modules: The modules of the program.
        is_early: Whether what is resolved now will be run by macros, not by the program.
    """

    def __init__(self, resolver: Resolver, loader: ModuleLoader, make_runner: MakeRunner) -> None:
        self.resolver = resolver
        self.space = Namespace(None, resolver.scope)
        self.trail: Trail | None = None
        self.expander = Expander(make_runner)
        self.early_code = EarlyCode()
        self.modules = Modules(loader, TEXTS_CHARS_MAX - len(resolver.source.text))
        self.is_early = False

    # Places and contexts

    def join(self, text: ModuleText) -> int:
        """Add the text of a module to those of the program; returns the offset at which it starts."""
        source: Source = self.resolver.source
        base = source.end if isinstance(source, JoinedSource) else len(source.text) + 1
        self.resolver.source = joined(source, text)
        return base

    @contextmanager
    def namespace(self, name: str) -> Iterator[Namespace]:
        """Resolve the `with` block in a new namespace."""
        resolver, before = self.resolver, (self.space, self.trail)
        self.space, self.trail = Namespace(name), None
        try:
            with resolver.top_scope(self.space.scope):
                yield self.space
        finally:
            self.space, self.trail = before

    @contextmanager
    def early(
        self, space: Namespace, macros: Mapping[str, Macro], position: int | None = None, limit: int | None = None
    ) -> Iterator[None]:
        """Resolve the `with` block as code that macros run.

        Args:
            space: Where the code stands.
            macros: Those it may use.
            position: See `EarlyScope`.
            limit: See `EarlyScope`.

        Raises:
            CompileError: The first problem of that code.
        """
        resolver, before, scope = self.resolver, (self.space, self.trail, self.is_early), space.early
        inputs, errors, macros_before = resolver.inputs, resolver.errors, space.macros
        places = scope.position, scope.limit
        self.space, self.trail, self.is_early = space, None, True
        resolver.inputs, resolver.errors, space.macros = frozenset(), [], macros
        scope.position, scope.limit = position, limit
        try:
            with resolver.top_scope(scope):
                yield
            if resolver.errors:
                raise together(resolver.errors)
        finally:
            resolver.inputs, resolver.errors, space.macros = inputs, errors, macros_before
            scope.position, scope.limit = places
            self.space, self.trail, self.is_early = before

    def top_level(self, forms: Sequence[Form], allowed: frozenset[str] | None = None) -> list[core.Node]:
        """Resolve top-level forms in the present namespace; see `resolve_top_level`."""
        nodes = resolve_top_level(self, forms, allowed)
        unset = self.modules.marked() if self.space.name is None else ()
        return [core.Sequence(tuple(nodes), unset, forms[0].start, forms[-1].end)] if unset else nodes

    # Macros

    def expansion(self, form: Form, *, is_announced: bool = False) -> Trail | None:
        """Return what a form stands for when it uses a macro, else None.

        Args:
            form: Any form.
            is_announced: Whether the names that patterns of the present scope will bind are bound already.

        Raises:
            CompileError: The macro failed, or a bound of expansion was reached.
        """
        head = form.items[0] if isinstance(form, ListForm) and form.items else None
        if not isinstance(form, ListForm) or not isinstance(head, SymbolForm):
            return None
        macros = head.home.macros if isinstance(head, HomeSymbolForm) else self.space.macros
        macro = macros.get(head.name)
        if macro is None or self._is_local(head, is_announced):
            return None
        return self.expander.expand(self, macro, form)

    def announce(self, forms: Sequence[Form]) -> None:
        """Declare the definitions that evaluating these forms makes in the present scope, after expansion."""
        resolver, before = self.resolver, self.trail
        pending = [(form, before) for form in reversed(forms)]
        while pending:
            form, self.trail = pending.pop()
            try:
                inner = self.expansion(form, is_announced=True)
            except CompileError as error:
                if error.code in FATAL:
                    raise
                continue  # it is reported when the form is resolved, if it is a use of a macro then
            if inner is not None:
                pending.append((inner.expansion.form, inner))
                continue
            pending += [(part, self.trail) for part in reversed(resolver.announced(form))]
        self.trail = before

    def expanded(self, form: ListForm) -> core.Node | None:
        """Resolve what a form stands for when it uses a macro; None when it does not."""
        resolver, before = self.resolver, self.trail
        try:
            inner = self.expansion(form)
        except CompileError as error:
            if error.code in FATAL or resolver.is_full:
                raise
            resolver.report(error)
            return core.Const(None, form.start, form.end)
        if inner is None:
            return None
        self.trail = inner
        try:
            return resolver.resolve(inner.expansion.form)
        finally:
            self.trail = before

    def hide(self, patterns: Sequence[Form]) -> None:
        """Note the names that patterns will bind in the present scope: none of them is a macro in it."""
        names, pending = set(), list(patterns)
        while pending:
            form = pending.pop()
            if isinstance(form, SymbolForm):
                names.add(form.name)
            elif isinstance(form, MapForm):
                pending.extend(part for entry in form.entries for part in entry)
            elif not isinstance(form, LiteralForm):
                pending.extend(form.items)
        self.resolver.scope.hidden = frozenset(names)

    def _is_local(self, head: SymbolForm, is_announced: bool) -> bool:
        self.resolver.count_lookup()
        scope: Scope | None = self.resolver.scope
        is_home = isinstance(head, HomeSymbolForm)
        while scope is not None and scope.parent is not None and not isinstance(scope, DefinitionScope):
            if is_home:
                group = scope.bindings.get(head.name, ())
                self.resolver.count_lookup(len(group))
                if any(binding.variable.start is head.start for binding in group):
                    return True
            elif head.name in scope.bindings or (is_announced and head.name in scope.hidden):
                return True
            scope = scope.parent
        return False

    def means_something(self, name: str, home: Namespace) -> bool:
        """Say whether a name has a meaning in a namespace that the place of a macro's use must not change."""
        return name in BUILTINS or name in SPECIAL_FORMS or home.binds(name)

    def explained(self, form: Form, message: str) -> str:
        """Return the message of a problem at `form`, naming the macro that made the form."""
        if self.trail is None:
            return message
        use = self.trail.expansion.use
        if (form.start, form.end) != (use.start, use.end):
            return message  # the form was handed to the macro; its own place says more
        return f"{message} (in the expansion of `{quoted(self.trail.expansion.macro.name, 60)}`)"

    # Names

    def find(self, form: SymbolForm) -> Found | None:
        """Return what a name is bound to in scopes."""
        if not isinstance(form, HomeSymbolForm):
            return self.resolver.find(form.name)
        self.resolver.count_lookup()
        level = self.resolver.scope.level
        written = self._written(form, level)
        if written is not None and not written.falls_through:
            return written
        top = form.home.early if self.is_early else form.home.scope
        found = top.find(form.name, level)
        if written is None or found is None:
            return found or written
        return Found((*written.variables, *found.variables), checked=True)

    def _written(self, form: HomeSymbolForm, level: int) -> Found | None:
        """Return what the use of the macro that wrote a name binds it to; what others bind is passed over.

        It does not count as read there, either.
        """
        scope: Scope | None = self.resolver.scope
        variables: tuple[core.Variable, ...] = ()
        while scope is not None:
            found = scope.find_here(form.name, level)
            if found is not None:
                self.resolver.count_lookup(len(found.variables))
                own = tuple([variable for variable in found.variables if variable.start is form.start])
                scope.reads += bool(own)
                variables += own
                if own and own[-1] is found.variables[-1] and not found.falls_through:
                    return Found(variables, found.checked)
            scope = scope.parent
        return Found(variables, checked=True, falls_through=True) if variables else None

    def imported(self, form: SymbolForm) -> core.Node | None:
        """Return an imported definition, or what else a name means that no scope binds; None when it is neither."""
        space = form.home if isinstance(form, HomeSymbolForm) else self.space
        found = self._found_import(form, space)
        if found is not None:
            return self.resolver.read(found, form.start, form.end)
        used = self._macro_as_value(form, space)
        if used is not None or self.resolver.is_full or form.name in BUILTINS or form.name in self.resolver.inputs:
            return used
        problem = None if self._failed(form, space) else self._problem(form, space)
        if problem is not None:
            self.resolver.report(problem)
        elif not self._failed(form, space):
            return None
        return core.Const(None, form.start, form.end)

    def _found_import(self, form: SymbolForm, space: Namespace) -> Found | None:
        """Return an imported definition as it is seen here: code that runs at once sees what is imported above it."""
        imported = space.imported.get(form.name)
        if imported is None:
            return None
        is_above = self._is_above(form.name, space, imported)
        if not is_above and self.resolver.scope.level <= space.scope.level:
            return None
        found = imported.found_early() if self.is_early else imported.found()
        if is_above or self.is_early or found is None:
            return found
        self.modules.read_before.update(found.variables)
        return Found(found.variables, checked=True)

    def _is_above(self, name: str, space: Namespace, imported: Imported) -> bool:
        """Say whether a name is imported above the code that is being resolved."""
        if not self.is_early:
            return name in space.evaluated
        return space.early.position is None or imported.since < space.early.position

    def _failed(self, form: SymbolForm, space: Namespace) -> bool:
        """Say whether the name is that of a macro or import that is wrong, which was reported."""
        if form.name in space.failed or form.name.rpartition("/")[0] in space.failed:
            return True
        return space.macro_starts.get(form.name, form.start) < form.start

    def _macro_as_value(self, form: SymbolForm, space: Namespace) -> core.Node | None:
        macro = space.macros.get(form.name)
        if macro is None:
            return None
        hint = f"write {macro.shape}, or wrap it in (fn ...)"
        message = f"`{quoted(form.name, 60)}` is a macro, not a value"
        self.resolver.report(self.resolver.error(form, "compile.form-as-value", message, hint))
        return core.Const(None, form.start, form.end)

    def find_type(self, name: str) -> Declaration | None:
        """Return the imported type of that name."""
        found: Imported | None = self.space.imported.get(name)
        if found is None or self.is_early:
            return None
        exported = name.rpartition("/")[2]
        return self.modules.known[found.module].space.scope.find_type(exported)

    def names(self) -> Iterator[str]:
        """Yield the names of macros and imports, to suggest one of them."""
        yield from self.space.names()

    def _problem(self, form: SymbolForm, space: Namespace) -> CompileError | None:
        error, name = self.resolver.error, quoted(form.name, 60)
        defined = space.macro_starts.get(form.name)
        if defined is not None and defined > form.start:
            line = self.resolver.source.span(defined, defined).line
            message = f"the macro `{name}` is used before its definition on line {line}"
            return error(form, "compile.unknown-name", message, "move the definition up")
        imported = space.imported.get(form.name)
        if imported is not None:
            return self._not_usable(form, space, imported)
        prefix, _, last = form.name.rpartition("/")
        module = space.prefixes.get(prefix)
        if module is not None:
            return not_exported(self, form, last, module)
        if prefix in self.modules.known:
            hint = f"write (import {prefix}) above" if space.name != prefix else f"write {last}"
            return error(form, "compile.unknown-name", f"the module {prefix} is not imported here", hint)
        return None

    def _not_usable(self, form: SymbolForm, space: Namespace, imported: Imported) -> CompileError | None:
        """Return the problem of a name that is imported, and all the same means nothing here."""
        name, found = quoted(form.name, 60), imported.found()
        if self.is_early and found is not None and imported.found_early() is None:
            message, hint = f"macros cannot use `{name}`", "they can use what `def` and `defn` define at the top level"
        elif not self._is_above(form.name, space, imported):
            line = self.resolver.source.span(imported.start, imported.start).line
            message, hint = f"`{name}` is used before its import on line {line}", "move the import up"
        elif found is None and imported.space.scope.find_type(imported.exported) is not None:
            message, hint = f"`{name}` is a type, not a value", f"types stand behind a name: [x :{name}]"
        else:
            return None
        return self.resolver.error(form, "compile.unknown-name", message, hint)
