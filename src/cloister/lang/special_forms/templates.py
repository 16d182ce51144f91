"""Templates: what a quasiquoted form means.

Owns levels of quasiquotes inside one another, splicing, and the fresh symbols that `name#` stands for. Part of the
guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.values import Keyword, List, Symbol
from cloister.lang.wide_map import map_of

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

UNQUOTE: Final = "unquote"
SPLICE: Final = "unquote-splicing"
QUASIQUOTE: Final = "quasiquote"
_KEYS: Final = {Keyword, str, int}
"""Kinds of constant keys that are checked already; all others are looked at when the template is evaluated."""


class Template:
    """One template while it is resolved.

    Args:
        resolver: Resolves what is unquoted.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._fresh: dict[str, core.Variable] = {}

    def resolve(self, form: Form) -> core.Node:
        """Return core whose value is the template's."""
        node = self._node(form, 1)
        if not self._fresh:
            return node
        start, end = form.start, form.end
        gensym = core.Global("gensym", start, end)
        bindings = tuple(
            (variable, core.Call(gensym, (core.Const(name[:-1], start, end),), start, end))
            for name, variable in self._fresh.items()
        )
        return core.Let(bindings, node, start, end)

    def _node(self, form: Form, level: int) -> core.Node:
        match form:
            case LiteralForm():
                return core.Const(form.value, form.start, form.end)
            case SymbolForm():
                return self._symbol(form, level)
            case VectorForm():
                return self._joined(form, form.items, level)
            case MapForm():
                return self._map(form, level)
            case ListForm():
                return self._list(form, level)

    def _symbol(self, form: SymbolForm, level: int) -> core.Node:
        if level > 1 or len(form.name) < 2 or not form.name.endswith("#"):
            return core.Const(Symbol(form.name), form.start, form.end)
        variable = self._fresh.get(form.name)
        if variable is None:
            variable = self._fresh[form.name] = self._resolver.variable(form.name, form.start)
        return core.Local(variable, False, form.start, form.end)

    def _list(self, form: ListForm, level: int) -> core.Node:
        word = _word(form)
        if word == UNQUOTE and level == 1:
            return self._resolver.value(form.items[1])
        if word == SPLICE and level == 1:
            message = "`~@` splices into a list or a vector, and there is none around it"
            raise self._resolver.error(form, "compile.template", message, "write ~ to insert one value")
        inner = level + 1 if word == QUASIQUOTE else level - 1 if word in {UNQUOTE, SPLICE} else level
        return self._joined(form, form.items, inner)

    def _joined(self, form: ListForm | VectorForm, items: Sequence[Form], level: int) -> core.Node:
        """Return core for a list or vector: runs of items, and between them what is spliced in."""
        is_list = isinstance(form, ListForm)
        parts: list[core.Node] = []
        run: list[core.Node] = []
        for item in items:
            if level == 1 and isinstance(item, ListForm) and _word(item) == SPLICE:
                parts += [*_run(run), self._resolver.value(item.items[1])]
                run = []
            else:
                run.append(self._node(item, level))
        constants = [node.value for node in run if isinstance(node, core.Const)]
        if not parts and len(constants) == len(run):
            return core.Const(List(constants) if is_list else tuple(constants), form.start, form.end)
        operation = Operation.JOIN_LIST if is_list else Operation.JOIN_VECTOR
        return core.Intrinsic(operation, (*parts, *_run(run)), form.start, form.end)

    def _map(self, form: MapForm, level: int) -> core.Node:
        entries: list[tuple[core.Node, core.Node]] = []
        for key, item in form.entries:
            is_computed = isinstance(key, ListForm) and _word(key) == UNQUOTE and level == 1
            written = self._node(key, level) if is_computed or self._takes_any_key() else self._key(key)
            entries.append((written, self._node(item, level)))
        constants = [
            (key.value, item.value)
            for key, item in entries
            if isinstance(key, core.Const) and type(key.value) in _KEYS and isinstance(item, core.Const)
        ]
        if len(constants) == len(entries):
            entire = map_of([key for key, _ in constants], [item for _, item in constants])
            return core.Const(entire, form.start, form.end)
        operation = Operation.JOIN_CODE_MAP if self._takes_any_key() else Operation.JOIN_MAP
        return core.Intrinsic(operation, tuple(part for pair in entries for part in pair), form.start, form.end)

    def _takes_any_key(self) -> bool:
        # What a macro makes is code, and a pattern may have names where a map has keys
        return self._resolver.extension is not None and self._resolver.extension.is_early

    def _key(self, form: Form) -> core.Node:
        return core.Const(self._resolver.map_key(form), form.start, form.end)


def _word(form: ListForm) -> str | None:
    """Return which of the words of templates a form starts with, if it has the shape."""
    if len(form.items) == 2 and isinstance(form.items[0], SymbolForm):
        name = form.items[0].name
        return name if name in {UNQUOTE, SPLICE, QUASIQUOTE} else None
    return None


def _run(items: list[core.Node]) -> list[core.Node]:
    if not items:
        return []
    start, end = items[0].start, items[-1].end
    constants = [node.value for node in items if isinstance(node, core.Const)]
    if len(constants) == len(items):
        return [core.Const(tuple(constants), start, end)]
    return [core.MakeVector(tuple(items), start, end)]
