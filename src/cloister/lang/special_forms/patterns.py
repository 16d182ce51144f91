"""Destructuring: patterns in `let`, parameters and loops become plain bindings of core.

Owns the shapes of patterns (language reference, section 2.3, and section 9 rows 8, 9, 11 to 13). Part of the guest set:
standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import misshapen
from cloister.lang.values import Keyword, Value

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

Bindings: TypeAlias = list[tuple[core.Variable, core.Node]]

PATTERN_SHAPE = "a name, [a b & rest :as all], or {:keys [a b] :as all}"


def bind_pattern(resolver: Resolver, pattern: Form, value: core.Node, out: Bindings) -> None:
    """Bind the names of a pattern in the present scope.

    Args:
        resolver: Its present scope receives the names.
        pattern: The pattern.
        value: What is taken apart; evaluated exactly once, even when nothing is bound.
        out: Receives the bindings, in order.

    Raises:
        CompileError: `compile.pattern`.
    """
    match pattern:
        case SymbolForm(name="_"):
            out.append((resolver.variable("_", pattern.start), value))
        case SymbolForm():
            out.append((resolver.bind(_plain_name(resolver, pattern), pattern.start), value))
        case VectorForm():
            _bind_vector(resolver, pattern, value, out)
        case MapForm():
            _bind_map(resolver, pattern, value, out)
        case _:
            raise misshapen(resolver, pattern, "compile.pattern", "this is not a pattern", PATTERN_SHAPE)


def _plain_name(resolver: Resolver, form: Form) -> str:
    if isinstance(form, SymbolForm) and form.name != "&":
        return form.name
    raise misshapen(resolver, form, "compile.pattern", "a name belongs here", PATTERN_SHAPE)


def _split_vector(resolver: Resolver, pattern: VectorForm) -> tuple[list[Form], Form | None, Form | None]:
    elements = list(pattern.items)
    whole: Form | None = None
    rest: Form | None = None
    if len(elements) >= 2 and _is_keyword(elements[-2], "as"):
        whole = elements[-1]
        del elements[-2:]
    ampersands = [at for at, item in enumerate(elements) if isinstance(item, SymbolForm) and item.name == "&"]
    if ampersands:
        if ampersands != [len(elements) - 2]:
            raise misshapen(resolver, pattern, "compile.pattern", "`&` takes exactly one name, last", PATTERN_SHAPE)
        rest = elements[-1]
        del elements[-2:]
    return elements, rest, whole


def _bind_vector(resolver: Resolver, pattern: VectorForm, value: core.Node, out: Bindings) -> None:
    elements, rest, whole = _split_vector(resolver, pattern)
    place = pattern.start, pattern.end
    shape = core.Const(len(elements), *place), core.Const(rest is None, *place)
    held = resolver.variable("_", pattern.start)
    out.append((held, core.Intrinsic(Operation.CHECK_VECTOR, (value, *shape), value.start, value.end)))
    source = core.Local(held, False, *place)
    for index, element in enumerate(elements):
        item = core.Intrinsic(Operation.ELEMENT, (source, core.Const(index, *place)), element.start, element.end)
        bind_pattern(resolver, element, item, out)
    if rest is not None:
        tail = core.Intrinsic(Operation.TAIL, (source, core.Const(len(elements), *place)), *place)
        out.append((resolver.bind(_plain_name(resolver, rest), rest.start), tail))
    if whole is not None:
        out.append((resolver.bind(_plain_name(resolver, whole), whole.start), source))


@dataclass(slots=True)
class _MapPattern:
    """What a map pattern asks for."""

    entries: list[tuple[Value, Form]]
    defaults: dict[str, Form]
    whole: Form | None = None
    rest: Form | None = None


def _bind_map(resolver: Resolver, pattern: MapForm, value: core.Node, out: Bindings) -> None:
    wanted = _map_pattern(resolver, pattern)
    place = pattern.start, pattern.end
    held = resolver.variable("_", pattern.start)
    out.append((held, core.Intrinsic(Operation.CHECK_MAP, (value,), value.start, value.end)))
    source = core.Local(held, False, *place)
    for key, inner in wanted.entries:
        bind_pattern(resolver, inner, _entry(resolver, source, key, inner, wanted.defaults), out)
    if wanted.rest is not None:
        keys = core.Const(tuple(key for key, _ in wanted.entries), *place)
        rest = core.Intrinsic(Operation.WITHOUT, (source, keys), *place)
        out.append((resolver.bind(_plain_name(resolver, wanted.rest), wanted.rest.start), rest))
    if wanted.whole is not None:
        out.append((resolver.bind(_plain_name(resolver, wanted.whole), wanted.whole.start), source))


def _entry(resolver: Resolver, source: core.Local, key: Value, pattern: Form, defaults: dict[str, Form]) -> core.Node:
    place = pattern.start, pattern.end
    arguments = source, core.Const(key, *place)
    entry = core.Intrinsic(Operation.ENTRY, arguments, *place)
    default = defaults.get(pattern.name) if isinstance(pattern, SymbolForm) else None
    if default is None:
        return entry
    present = core.Intrinsic(Operation.HAS_KEY, arguments, *place)
    return core.Branch(((present, entry),), resolver.closed(default), *place)


def _map_pattern(resolver: Resolver, pattern: MapForm) -> _MapPattern:
    wanted = _MapPattern([], {})
    entries: Sequence[tuple[Form, Form]] = pattern.entries
    for key, item in entries:
        if _is_keyword(key, "keys") and isinstance(item, VectorForm):
            wanted.entries += [(Keyword(_plain_name(resolver, name)), name) for name in item.items]
        elif _is_keyword(key, "strs") and isinstance(item, VectorForm):
            wanted.entries += [(_plain_name(resolver, name), name) for name in item.items]
        elif _is_keyword(key, "or") and isinstance(item, MapForm):
            wanted.defaults |= _defaults(resolver, item)
        elif _is_keyword(key, "as") and isinstance(item, SymbolForm):
            wanted.whole = item
        elif isinstance(key, SymbolForm) and key.name == "&":
            wanted.rest = item
        elif isinstance(key, LiteralForm):
            wanted.entries.append((resolver.map_key(key), item))
        elif isinstance(item, LiteralForm):
            wanted.entries.append((resolver.map_key(item), key))
        else:
            raise misshapen(resolver, key, "compile.pattern", "a pattern and a key belong together", PATTERN_SHAPE)
    return wanted


def _defaults(resolver: Resolver, form: MapForm) -> dict[str, Form]:
    found: dict[str, Form] = {}
    entries: Sequence[tuple[Form, Form]] = form.entries
    for key, item in entries:
        name = key.value.name if isinstance(key, LiteralForm) and isinstance(key.value, Keyword) else None
        found[name or _plain_name(resolver, key)] = item
    return found


def _is_keyword(form: Form, name: str) -> bool:
    return isinstance(form, LiteralForm) and form.value is Keyword(name)
