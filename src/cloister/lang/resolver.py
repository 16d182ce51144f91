"""Forms to core: what each name means and what each form is.

Owns name lookup and the walk over forms; the special forms themselves live in `special_forms`. Wrong names are
collected, so that one check reports them all; a misshapen form stops the top-level form it stands in. Handles forms of
hostile text; whatever they are, the outcome is core or a `CompileError`. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.program_size import too_large
from cloister.lang.scope import Found, Scope
from cloister.lang.source import Source
from cloister.lang.special_forms.form import SpecialForm, unwrap_metadata
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.suggestions import NAME_CHARS_MAX, unknown_name
from cloister.lang.values import Map

ERRORS_MAX = 20
"""Problems reported at once; nothing after them is looked at."""

LOOKUPS_MAX = 2_000_000
"""Scopes looked through for all names of a program; a hostile text nests many and then uses many names."""

BLOCKS_MAX = 16
"""Loops, steps and try forms inside one another in one function; Python code objects allow 20 blocks."""


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
    resolver = Resolver(source, frozenset(inputs))
    node = resolver.program(forms)
    if resolver.errors:
        first, *more = sorted(resolver.errors, key=lambda error: resolver.starts[id(error)])
        if more:
            first.details["more"] = [error.to_dict() for error in more]
        raise first
    return node


@dataclass(slots=True)
class RecurTarget:
    """A loop or function that `recur` repeats: how many values it takes, and whether any `recur` was seen."""

    count: int
    used: bool = False


class Resolver:
    """The state of resolving one program.

    Attributes:
        source: The text.
        inputs: Names of the run's inputs.
        errors: Problems found so far, at most `ERRORS_MAX`.
        starts: Offset of each error, by identity.
        scope: The innermost scope.
        recur: The function or loop that `recur` would repeat, or None where there is none.
        tail: Whether the form now resolved is in tail position of the innermost loop.
    """

    def __init__(self, source: Source, inputs: frozenset[str]) -> None:
        self.source = source
        self.inputs = inputs
        self.errors: list[CompileError] = []
        self.starts: dict[int, int] = {}
        self.scope = Scope(None, 0)
        self.recur: RecurTarget | None = None
        self.tail = False
        self._blocks = 0
        self._variables = 0
        self._lookups = 0

    def program(self, forms: Sequence[Form]) -> core.Node:
        """Resolve all top-level forms, collecting the problems of each."""
        self.announce(forms)
        items = []
        for form in forms:
            try:
                items.append(self.value(form))
            except CompileError as error:
                if error.code == "compile.too-large":
                    raise
                self.report(error, form.start)
            if len(self.errors) >= ERRORS_MAX:
                break
        end = forms[-1].end if forms else 0
        return core.Sequence(tuple(items), self.scope.marked(), 0, end)

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

    def announce(self, forms: Sequence[Form]) -> None:
        """Declare the definitions that evaluating these forms makes in the present scope."""
        pending = list(reversed(forms))
        while pending:
            form = pending.pop()
            if isinstance(form, VectorForm):
                pending.extend(reversed(form.items))
            elif isinstance(form, MapForm):
                pending.extend(item for _, item in reversed(form.entries))
            if not isinstance(form, ListForm) or not form.items:
                continue
            special = self._special(form)
            if special is None:
                pending.extend(reversed(form.items))
                continue
            if special.defines and len(form.items) > 1:
                name = unwrap_metadata(form.items[1])
                if isinstance(name, SymbolForm):
                    self.scope.declare(self.variable(name.name, name.start))
            pending.extend(reversed(special.inside(form)))

    # Scopes and variables

    def variable(self, name: str, start: int) -> core.Variable:
        """Return a new variable."""
        self._variables += 1
        return core.Variable(self._variables, name, start)

    def bind(self, name: str, start: int) -> core.Variable:
        """Return a new variable bound in the present scope from here on."""
        variable = self.variable(name, start)
        self.scope.bind(variable)
        return variable

    @contextmanager
    def new_scope(self, *, function: bool = False) -> Iterator[Scope]:
        """Enter a scope for the duration of the `with` block."""
        outer = self.scope
        self.scope = Scope(outer, outer.level + function, outer.depth + 1)
        try:
            yield self.scope
        finally:
            self.scope = outer

    @contextmanager
    def recur_target(self, count: int, *, function: bool = False) -> Iterator[RecurTarget]:
        """Make `recur` in tail positions of the `with` block take `count` values."""
        outer = self.recur, self.tail, self._blocks
        self.recur, self.tail = RecurTarget(count), True
        if function:
            self._blocks = 0
        try:
            yield self.recur
        finally:
            self.recur, self.tail, self._blocks = outer

    @contextmanager
    def block(self, form: Form, count: int = 1) -> Iterator[None]:
        """Count nested loops, steps and try forms of one function.

        Raises:
            CompileError: `compile.nesting` beyond `BLOCKS_MAX`.
        """
        self._blocks += count
        if self._blocks > BLOCKS_MAX:
            message = f"loops, steps and try forms are nested deeper than {BLOCKS_MAX} in one function"
            raise self.error(form, "compile.nesting", message, "move the inner part into a function of its own")
        try:
            yield
        finally:
            self._blocks -= count

    # Names and calls

    def reference(self, form: SymbolForm, *, is_called: bool = False) -> core.Node:
        """Resolve a name used as a value, or as the head of a call."""
        found = self.find(form.name)
        if found:
            return core.Local(found.variable, found.checked, form.start, form.end)
        if form.name == "call":
            return core.HostFunction(form.start, form.end)
        if form.name in BUILTINS and form.name in self.inputs and len(self.errors) < ERRORS_MAX:
            self.report(self._ambiguous(form), form.start)
        if form.name in BUILTINS:
            return core.Global(form.name, form.start, form.end)
        if form.name in self.inputs:
            return core.Input(form.name, True, form.start, form.end)
        if len(self.errors) < ERRORS_MAX:  # looking for a similar name takes time
            self.report(self._unknown(form, is_called=is_called), form.start)
        return core.Const(None, form.start, form.end)

    def is_bound(self, name: str) -> bool:
        """Say whether the program itself binds the name here."""
        return self.find(name) is not None

    def find(self, name: str) -> Found | None:
        """Return what the program itself binds the name to here.

        Raises:
            CompileError: `compile.too-large` beyond `LOOKUPS_MAX`.
        """
        self._lookups += 1 + self.scope.depth
        if self._lookups > LOOKUPS_MAX:
            raise too_large("lookups_count", self._lookups, LOOKUPS_MAX)
        return self.scope.find(name, self.scope.level)

    def _list(self, form: ListForm) -> core.Node:
        special = self._special(form)
        if special is not None:
            return special.resolve(self, form)
        self.tail = False
        if not form.items:
            return core.Const((), form.start, form.end)
        callee, *arguments = form.items
        head = self.reference(callee, is_called=True) if isinstance(callee, SymbolForm) else self.value(callee)
        return core.Call(head, self.values(arguments), form.start, form.end)

    def _special(self, form: ListForm) -> SpecialForm | None:
        head = form.items[0] if form.items else None
        if not isinstance(head, SymbolForm):
            return None
        special = SPECIAL_FORMS.get(head.name)
        if special is None or not special.applies(form) or (special.shadowable and self.is_bound(head.name)):
            return None
        return special

    def _vector(self, form: VectorForm) -> core.Node:
        items = self.values(form.items)
        constants = [item.value for item in items if isinstance(item, core.Const)]
        if len(constants) == len(items):
            return core.Const(tuple(constants), form.start, form.end)
        return core.MakeVector(items, form.start, form.end)

    def _map(self, form: MapForm) -> core.Node:
        entries = tuple((key.value, self.value(item)) for key, item in form.entries)
        constants = [(key, item.value) for key, item in entries if isinstance(item, core.Const)]
        if len(constants) == len(entries):
            return core.Const(Map(constants), form.start, form.end)
        return core.MakeMap(entries, form.start, form.end)

    # Errors

    def error(self, form: Form, code: str, message: str, hint: str | None = None) -> CompileError:
        """Return a compile error that points at `form`."""
        return CompileError(message, code=code, span=self.source.span(form.start, form.end), hint=hint)

    def report(self, error: CompileError, start: int) -> None:
        """Note a problem and go on; beyond `ERRORS_MAX` problems they are only passed over."""
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(error)
            self.starts[id(error)] = start

    def _ambiguous(self, form: SymbolForm) -> CompileError:
        name = quoted(form.name, 60)
        message = f'"{name}" is both a builtin function and an input of the run'
        return self.error(form, "compile.ambiguous-name", message, f"write @{name}, or give the input another name")

    def _unknown(self, form: SymbolForm, *, is_called: bool) -> CompileError:
        name = quoted(form.name[: NAME_CHARS_MAX + 1], NAME_CHARS_MAX)
        special = SPECIAL_FORMS.get(form.name)
        if special is not None:
            message = f'"{name}" is a form, not a value'
            return self.error(form, "compile.form-as-value", message, f"write {special.shape}, or wrap it in (fn ...)")
        later = self.scope.later(form.name)
        if later is not None:
            line = self.source.span(later.start, later.start).line
            message = f'"{name}" is used before its definition on line {line}'
            return self.error(form, "compile.unknown-name", message, "move the definition up")
        known = chain(BUILTINS, SPECIAL_FORMS, sorted(self.inputs), self.scope.names())
        message, hint = unknown_name(form.name, known, is_called=is_called)
        return self.error(form, "compile.unknown-name", message, hint)
