"""Forms that declare types: deftype, defstruct; and the place where an annotation cannot stand.

Owns what a program's own types are: names of types, seen like other names of their scope, from its first form on.
Types may refer to one another in any order, and to themselves inside records and collections. Part of the guest set:
standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, SymbolForm
from cloister.lang.special_forms.annotated import type_of
from cloister.lang.special_forms.form import Family, misshapen, nothing, require_count, unwrap_metadata
from cloister.lang.types.expression import (
    Declaration,
    Entry,
    Intersection,
    Named,
    Optional,
    Record,
    Refinement,
    Type,
    Union,
)
from cloister.lang.types.names import PRIMITIVES, is_mark
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

DEFTYPE: Final = "(deftype Name type)"
DEFSTRUCT: Final = "(defstruct Name :field type ...)"
ANNOTATION: Final = "(let [name :type value] ...)"

TYPES_MAX: Final = 500
"""Types one program may declare."""

CHAIN_MAX: Final = 50
"""Names a type may go through until it says what a value is; checking one value nests its calls as deep."""


def announce_type(resolver: Resolver, form: ListForm) -> None:
    """Make the type that a form will declare known in the present scope."""
    name = _declared_name(form)
    if name is None:
        return
    declaration = resolver.scope.types.setdefault(name, Declaration(name))
    resolver.declared_types.append((form, declaration))
    if len(resolver.declared_types) > TYPES_MAX:
        message = f"the program declares more than {TYPES_MAX} types"
        raise resolver.error(form, "compile.too-large", message, "describe data that varies with [:map-of key value]")


def _declared_name(form: ListForm) -> str | None:
    named = unwrap_metadata(form.items[1]) if len(form.items) > 1 else form
    if isinstance(named, SymbolForm):
        return named.name
    if isinstance(named, LiteralForm) and isinstance(named.value, (str, Keyword)):
        return named.value if isinstance(named.value, str) else named.value.name
    return None


@FAMILY.form("deftype", DEFTYPE, inside=nothing, announces=announce_type)
def resolve_deftype(resolver: Resolver, form: ListForm) -> core.Node:
    """Give a type a name; the value is nil."""
    require_count(resolver, form, 2, 3, DEFTYPE)
    declaration = _declaration(resolver, form, DEFTYPE)
    type_ = type_of(resolver, form.items[2])
    if len(form.items) == 4:
        if not is_mark(form.items[3]):
            raise misshapen(resolver, form.items[3], "compile.arity", "`deftype` takes one type", DEFTYPE)
        type_ = Optional(type_)
    _declare(resolver, form, declaration, type_)
    return core.Const(None, form.start, form.end)


@FAMILY.form("defstruct", DEFSTRUCT, defines=True, inside=nothing, announces=announce_type)
def resolve_defstruct(resolver: Resolver, form: ListForm) -> core.Node:
    """Declare a record type, and a function of that name that returns the map it is given when it has that type."""
    require_count(resolver, form, 1, None, DEFSTRUCT)
    name = unwrap_metadata(form.items[1])
    if not isinstance(name, SymbolForm):
        raise misshapen(resolver, name, "compile.name", "the name of the type belongs here", DEFSTRUCT)
    declaration = _declaration(resolver, form, DEFSTRUCT)
    _declare(resolver, form, declaration, Record(_fields(resolver, form.items[2:]), keywords_only=True))
    place = form.start, form.end
    value = resolver.variable("value", name.start)
    body = core.Cast(core.Local(value, False, *place), Named(declaration), name.name, *place)
    constructor = core.Lambda(name.name, (value,), None, body, *place)
    scope = resolver.scope
    binding = scope.declared(name.name, name.start) or scope.declare(resolver.variable(name.name, name.start))
    binding.conditional = scope.conditions > 0
    scope.define(binding)
    return core.Define(binding.variable, constructor, *place)


def _fields(resolver: Resolver, forms: Sequence[Form]) -> tuple[Entry, ...]:
    entries: dict[str, Entry] = {}
    at = 0
    while at < len(forms):
        key = forms[at]
        if not isinstance(key, LiteralForm) or not isinstance(key.value, Keyword):
            raise misshapen(resolver, key, "compile.annotation", "the keyword of a field belongs here", DEFSTRUCT)
        if at + 1 >= len(forms):
            raise misshapen(resolver, key, "compile.annotation", "the last field has no type", DEFSTRUCT)
        type_ = type_of(resolver, forms[at + 1])
        marked = at + 2 < len(forms) and is_mark(forms[at + 2])
        entries[key.value.name] = Entry(key.value.name, type_, marked or isinstance(type_, Optional))
        at += 3 if marked else 2
    return tuple(entries.values())


def _declaration(resolver: Resolver, form: ListForm, shape: str) -> Declaration:
    """Return what was announced under the name a form declares."""
    name = _declared_name(form)
    if name is None or not name:
        raise misshapen(resolver, form, "compile.name", "the name of the type belongs here", shape)
    if name in PRIMITIVES or name[:1].lower() + name[1:] in PRIMITIVES:
        message = f'"{quoted(name, 40)}" is a type of the language'
        raise resolver.error(form.items[1], "compile.type-name", message, "choose another name")
    declaration = resolver.scope.types.setdefault(name, Declaration(name))
    if declaration.type is not None:
        message = f'the type "{quoted(name, 40)}" is declared twice in one scope'
        raise resolver.error(form.items[1], "compile.type-name", message, "choose another name")
    return declaration


def _declare(resolver: Resolver, form: ListForm, declaration: Declaration, type_: Type) -> None:
    declaration.type = type_
    if _reaches_itself(declaration):
        declaration.type = None
        raise _endless(resolver, form, declaration)


def _endless(resolver: Resolver, form: ListForm, declaration: Declaration) -> CompileError:
    message = f'the type "{quoted(declaration.name, 40)}" is defined as itself'
    return resolver.error(
        form, "compile.type-name", message, "a type may stand inside itself only in a record or vector"
    )


def _reaches_itself(declaration: Declaration) -> bool:
    """Say whether a type is made of itself without a record or collection between, so that checking would not end."""
    seen, pending = {id(declaration)}, [declaration]
    while pending:
        for other in stands_for(pending.pop()):
            if other is declaration:
                return True
            if id(other) not in seen:
                seen.add(id(other))
                pending.append(other)
    return False


def stands_for(declaration: Declaration) -> list[Declaration]:
    """Return the declared types that a value of the type may itself have to have, which leaves out those of parts."""
    found: list[Declaration] = []
    pending: list[Type | None] = [declaration.type]
    while pending:
        match pending.pop():
            case Named(declaration=other):
                found.append(other)
            case Optional(inner=inner) | Refinement(base=inner):
                pending.append(inner)
            case Union(members=members) | Intersection(members=members):
                pending.extend(members)
    return found


def refuse_deep_types(resolver: Resolver) -> None:
    """Report the types that go through too many names; to be called once all types are resolved."""
    if not resolver.declared_types:
        return
    forms = {declaration: form for form, declaration in resolver.declared_types}
    next_names = {declaration: stands_for(declaration) for declaration in forms}
    layer = set(forms)
    # In each round what stands for a type that is left is left; nothing is defined as itself, so every round ends some.
    for _ in range(CHAIN_MAX):
        layer = {other for declaration in layer for other in next_names.get(declaration, ())}
        if not layer:
            return
    declaration = min(layer, key=lambda each: each.name)
    form = forms.get(declaration, resolver.declared_types[0][0])
    message = f'the type "{quoted(declaration.name, 40)}" is reached through more than {CHAIN_MAX} other names'
    hint = "let the types refer to it directly"
    resolver.report(resolver.error(form, "compile.type-name", message, hint))


@FAMILY.form("type-annotation", ANNOTATION, inside=nothing)
def resolve_annotation(resolver: Resolver, form: ListForm) -> core.Node:
    """Refuse a type where a value belongs."""
    message = "a type stands where a value belongs"
    raise resolver.error(form, "compile.annotation", message, f"types follow a name or parameters: {ANNOTATION}")
