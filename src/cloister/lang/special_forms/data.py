"""Forms that give code as data: quote."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import Family, nothing, require_count
from cloister.lang.values import List, Map, Symbol, Value

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

QUOTE: Final = "'form or (quote form)"


@FAMILY.form("quote", QUOTE, inside=nothing, shadowable=True)
def resolve_quote(resolver: Resolver, form: ListForm) -> core.Node:
    """Give the form itself as data."""
    require_count(resolver, form, 1, 1, QUOTE)
    return core.Const(as_data(form.items[1]), form.start, form.end)


def as_data(form: Form) -> Value:
    """Return the value a quoted form stands for: symbols, lists, vectors, maps and literals."""
    match form:
        case LiteralForm():
            return form.value
        case SymbolForm():
            return Symbol(form.name)
        case ListForm():
            return List(as_data(item) for item in form.items)
        case VectorForm():
            return tuple(as_data(item) for item in form.items)
        case MapForm():
            return Map((key.value, as_data(item)) for key, item in form.entries)
