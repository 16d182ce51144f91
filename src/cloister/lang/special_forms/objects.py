"""Forms that describe instead of compute: plan, capability, intent, action, resource.

Owns the objects that stand at the top level of a program (language reference, section 2.11). Each is a map of its
properties under their names as strings; the values are evaluated in order. Part of the guest set: standard library
only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.errors import quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm
from cloister.lang.special_forms.form import Family, misshapen, require_count
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

SHAPES: Final = {
    "plan": '(plan "name" :key value ...)',
    "capability": '(capability "id" :key value ...)',
    "intent": '(intent "name" :key value ...)',
    "action": '(action "name" :key value ...)',
}
RESOURCE: Final = "(resource name (property :key value) ...)"
PROPERTY: Final = "(property :key value)"


def _resolve_object(resolver: Resolver, form: ListForm) -> core.Node:
    shape = SHAPES[_head(form)]
    _require_top(resolver, form, shape)
    require_count(resolver, form, 1, None, shape)
    first, *rest = form.items[1:]
    if isinstance(first, LiteralForm) and isinstance(first.value, Keyword):
        return _properties(resolver, form, _pairs(resolver, form.items[1:], shape), shape)
    if not isinstance(first, LiteralForm) or not isinstance(first.value, str):
        raise misshapen(resolver, first, "compile.object", "the name, a string, belongs here", shape)
    if len(rest) == 1 and isinstance(rest[0], MapForm):
        return _properties(resolver, form, rest[0].entries, shape)
    return _properties(resolver, form, _pairs(resolver, rest, shape), shape)


for _name, _shape in SHAPES.items():
    FAMILY.form(_name, _shape, shadowable=True)(_resolve_object)


@FAMILY.form("resource", RESOURCE, shadowable=True)
def resolve_resource(resolver: Resolver, form: ListForm) -> core.Node:
    """Describe a resource by its properties."""
    _require_top(resolver, form, RESOURCE)
    require_count(resolver, form, 1, None, RESOURCE)
    name, *parts = form.items[1:]
    if not isinstance(name, SymbolForm):
        raise misshapen(resolver, name, "compile.object", "the name of the resource belongs here", RESOURCE)
    pairs: list[tuple[Form, Form]] = []
    for part in parts:
        if not isinstance(part, ListForm) or len(part.items) != 3 or _head(part) != "property":
            raise misshapen(resolver, part, "compile.object", f"a property belongs here: {PROPERTY}", RESOURCE)
        pairs.append((part.items[1], part.items[2]))
    return _properties(resolver, form, pairs, RESOURCE)


def _head(form: ListForm) -> str:
    head = form.items[0] if form.items else None
    return head.name if isinstance(head, SymbolForm) else ""


def _require_top(resolver: Resolver, form: ListForm, shape: str) -> None:
    if resolver.top_form is not form:
        message = f"`{_head(form)}` stands inside another form; it describes something at the top level of a program"
        raise resolver.error(form, "compile.object", message, f"move it out: {shape}")


def _pairs(resolver: Resolver, parts: Sequence[Form], shape: str) -> list[tuple[Form, Form]]:
    if len(parts) % 2:
        raise misshapen(resolver, parts[-1], "compile.object", "this has no value, or is no property", shape)
    return list(zip(parts[::2], parts[1::2], strict=True))


def _properties(resolver: Resolver, form: ListForm, pairs: Sequence[tuple[Form, Form]], shape: str) -> core.Node:
    entries: dict[str, core.Node] = {}
    for key, value in pairs:
        name = key.value.name if isinstance(key, LiteralForm) and isinstance(key.value, Keyword) else None
        if name is None:
            raise misshapen(resolver, key, "compile.object", "the name of a property is a keyword", shape)
        if name in entries:
            problem = f"the property `:{quoted(name, 40)}` is given twice"
            raise misshapen(resolver, key, "compile.object", problem, shape)
        entries[name] = resolver.value(value)
    return core.MakeMap(tuple(entries.items()), form.start, form.end)
