"""Forms that read and write context values: @name, resource:ref, one-argument get, context/get, context/set.

Owns how a program names the inputs of its run. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import ListForm, LiteralForm, SymbolForm
from cloister.lang.special_forms.form import Family, misshapen, require_count
from cloister.lang.special_forms.plan import literal
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

CONTEXT: Final = "@name"
RESOURCE: Final = '(resource:ref "name")'
GET: Final = "(get :name), or (get collection key default?)"
CONTEXT_GET: Final = '(context/get "name")'
CONTEXT_SET: Final = '(context/set "name" value)'
SET_ID: Final = "ccos.context.set"


@FAMILY.form("context-value", CONTEXT, shadowable=True)
def resolve_context_value(resolver: Resolver, form: ListForm) -> core.Node:
    """Read an input of the run by name."""
    require_count(resolver, form, 1, 1, CONTEXT)
    name = literal(form.items[1])
    if isinstance(name, Keyword):  # @:name is the name itself
        return resolver.reference(SymbolForm(name.name, form.items[1].start, form.items[1].end))
    if not isinstance(name, str):
        raise misshapen(resolver, form, "compile.name", "the name of an input belongs here", CONTEXT)
    return core.Input(name, True, form.start, form.end)


@FAMILY.form("resource:ref", RESOURCE)
def resolve_resource_ref(resolver: Resolver, form: ListForm) -> core.Node:
    """Read an input of the run by name, like `@name`."""
    require_count(resolver, form, 1, 1, RESOURCE)
    name = literal(form.items[1])
    if not isinstance(name, str):
        raise misshapen(resolver, form.items[1], "compile.name", "the name of an input belongs here", RESOURCE)
    return core.Input(name, True, form.start, form.end)


@FAMILY.form("get", GET, applies=lambda form: len(form.items) == 2, shadowable=True)
def resolve_get(resolver: Resolver, form: ListForm) -> core.Node:
    """Read a local name or an input; nil when there is none."""
    key = form.items[1]
    name = key.name if isinstance(key, SymbolForm) else literal(key)
    if isinstance(name, Keyword):
        name = name.name
    if not isinstance(name, str) or (isinstance(key, LiteralForm) and not isinstance(key.value, Keyword)):
        raise misshapen(resolver, form, "compile.arity", "`get` with one form takes a keyword or name", GET)
    found = resolver.find(name)
    if found:
        return resolver.read(found, form.start, form.end)
    return core.Input(name, False, form.start, form.end)


def _context_get(resolver: Resolver, form: SymbolForm) -> core.Node:
    place = form.start, form.end
    name = resolver.variable("name", form.start)
    body = core.Intrinsic(Operation.CONTEXT_GET, (core.Local(name, False, *place),), *place)
    return core.Lambda(form.name, (name,), None, body, *place)


@FAMILY.form("context/get", CONTEXT_GET, shadowable=True, as_value=_context_get)
def resolve_context_get(resolver: Resolver, form: ListForm) -> core.Node:
    """Read an input of the run whose name may be computed; nil when there is none."""
    require_count(resolver, form, 1, 1, CONTEXT_GET)
    key = literal(form.items[1])
    name = key.name if isinstance(key, Keyword) else key
    if isinstance(name, str):
        return core.Input(name, False, form.start, form.end)
    return core.Intrinsic(Operation.CONTEXT_GET, (resolver.value(form.items[1]),), form.start, form.end)


def _context_set(resolver: Resolver, form: SymbolForm) -> core.Node:
    place = form.start, form.end
    parameters = resolver.variable("name", form.start), resolver.variable("value", form.start)
    arguments = tuple(core.Local(parameter, False, *place) for parameter in parameters)
    body = core.HostCall(core.Const(SET_ID, *place), arguments, *place)
    return core.Lambda(form.name, parameters, None, body, *place)


@FAMILY.form("context/set", CONTEXT_SET, shadowable=True, as_value=_context_set)
def resolve_context_set(resolver: Resolver, form: ListForm) -> core.Node:
    """Ask the host to keep a context value for later: the capability `ccos.context.set`."""
    require_count(resolver, form, 2, 2, CONTEXT_SET)
    wanted = core.Const(SET_ID, form.start, form.items[0].end)
    return core.HostCall(wanted, resolver.values(form.items[1:]), form.start, form.end)
