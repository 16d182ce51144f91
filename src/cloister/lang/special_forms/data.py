"""Forms that give code as data: quote and quasiquote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloister.errors import CompileError
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import Family, nothing, require_count
from cloister.lang.special_forms.templates import Template
from cloister.lang.values import List, Symbol, Value
from cloister.lang.wide_map import map_of

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

QUOTE: Final = "'form or (quote form)"
QUASIQUOTE: Final = "`form or (quasiquote form)"


@FAMILY.form("quote", QUOTE, inside=nothing, shadowable=True)
def resolve_quote(resolver: Resolver, form: ListForm) -> core.Node:
    """Give the form itself as data."""
    require_count(resolver, form, 1, 1, QUOTE)
    return core.Const(as_data(resolver, form.items[1]), form.start, form.end)


def as_data(resolver: Resolver, form: Form) -> Value:
    """Return the value a quoted form stands for: symbols, lists, vectors, maps and literals.

    Raises:
        CompileError: `compile.map-key` for a map with a key that no value can have.
    """
    match form:
        case LiteralForm():
            return form.value
        case SymbolForm():
            return Symbol(form.name)
        case ListForm():
            return List(as_data(resolver, item) for item in form.items)
        case VectorForm():
            return tuple(as_data(resolver, item) for item in form.items)
        case MapForm():
            keys = [resolver.map_key(key) for key, _ in form.entries]
            return map_of(keys, [as_data(resolver, item) for _, item in form.entries])


@FAMILY.form("quasiquote", QUASIQUOTE, inside=nothing, shadowable=True)
def resolve_quasiquote(resolver: Resolver, form: ListForm) -> core.Node:
    """Give the form as data, with the values of what is unquoted in it."""
    require_count(resolver, form, 1, 1, QUASIQUOTE)
    return Template(resolver).resolve(form.items[1])


@FAMILY.form("unquote", "~form", shadowable=True)
@FAMILY.form("unquote-splicing", "~@form", shadowable=True)
def refuse_unquote(resolver: Resolver, form: ListForm) -> core.Node:
    """Refuse it: a template takes those that stand in it."""
    raise outside(resolver, form)


def outside(resolver: Resolver, form: Form) -> CompileError:
    """Return the error for an unquoted form that is in no template."""
    message = "`~` and `~@` mean something only inside a template"
    return resolver.error(form, "compile.template", message, "put a ` before the form around it")
