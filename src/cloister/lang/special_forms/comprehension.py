"""The form for: a vector of values for every combination of elements.

Owns its bindings and the modifiers `:when`, `:while` and `:let`. All collections are evaluated once, before the first
turn (language reference, section 2.5), except those that use a name bound by the same `for`: such a collection is
evaluated for each turn of those before it. Patterns and modifiers are evaluated once for each element of the collection
they belong to, before those after it are gone through. What core's `For` cannot say is written as loops around `conj`.
Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, ListForm, LiteralForm, VectorForm
from cloister.lang.special_forms.annotated import Part, binding_parts, cast
from cloister.lang.special_forms.form import Family, misshapen, nothing, require_count, require_vector
from cloister.lang.special_forms.patterns import Bindings, bind_pattern
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

FOR: Final = "(for [name collection ... :when test :while test :let [name value ...]] body)"
CODE: Final = "compile.for-bindings"
_MODIFIERS: Final = (Keyword("when"), Keyword("while"), Keyword("let"))


@dataclass(slots=True)
class _Level:
    """One collection of a `for` and what belongs to each of its elements.

    Attributes:
        variable: The element.
        collection: What is gone through.
        depends: Whether the collection uses what earlier levels bind.
        parts: In order: bindings, and the tests of `:when` and `:while` with their keyword.
    """

    variable: core.Variable
    collection: core.Node
    depends: bool
    parts: list[Bindings | tuple[Keyword, core.Node]] = field(default_factory=list)

    @property
    def is_plain(self) -> bool:
        """Whether core's `For` can go through it."""
        return not self.depends and all(isinstance(part, list) for part in self.parts)

    def split(self) -> tuple[core.Variable, Bindings]:
        """Return the variable that `For` assigns the elements to, and the bindings to make then."""
        bound = [pair for part in self.parts if isinstance(part, list) for pair in part]
        first, value = bound[0]
        if isinstance(value, core.Local) and value.variable is self.variable:  # a plain name is the variable itself
            return first, bound[1:]
        return self.variable, bound


@FAMILY.form("for", FOR, inside=nothing)
def resolve_for(resolver: Resolver, form: ListForm) -> core.Node:
    """Collect the body's value for each combination of elements."""
    vector = require_vector(resolver, form, CODE, FOR)
    groups = _groups(resolver, vector)
    require_count(resolver, form, 2, 2, FOR)
    with resolver.new_scope():
        levels: list[_Level] = []
        for group in groups:
            _resolve_group(resolver, form, group, levels)
        with resolver.block(form, len(levels)):
            body = resolver.closed(form.items[2])
        return _plain(levels, body, form) or _loops(resolver, levels, body, form)


_Group: TypeAlias = "VectorForm | tuple[Keyword, Form]"


def _groups(resolver: Resolver, vector: VectorForm) -> list[_Group]:
    """Split the binding vector into runs of names with collections, and modifiers."""
    groups: list[_Group] = []
    at = 0
    while at < len(vector.items):
        keyword = _modifier(vector.items[at])
        if keyword is not None:
            if at == 0 or at + 1 == len(vector.items):
                problem = f"`{keyword!r}` stands after a name with its collection, and takes one form"
                raise misshapen(resolver, vector.items[at], CODE, problem, FOR)
            groups.append((keyword, vector.items[at + 1]))
            at += 2
            continue
        end = at
        while end < len(vector.items) and _modifier(vector.items[end]) is None:
            end += 1
        run = vector.items[at:end]
        groups.append(VectorForm(run, run[0].start, run[-1].end))
        at = end
    if not groups:
        raise misshapen(resolver, vector, CODE, "`for` needs at least one collection", FOR)
    return groups


def _modifier(form: Form) -> Keyword | None:
    value = form.value if isinstance(form, LiteralForm) else None
    return value if isinstance(value, Keyword) and value in _MODIFIERS else None


def _resolve_group(resolver: Resolver, form: ListForm, group: _Group, levels: list[_Level]) -> None:
    if isinstance(group, VectorForm):
        for part in binding_parts(resolver, group, CODE, FOR):
            _resolve_level(resolver, form, part, levels)
        return
    keyword, test = group
    with resolver.block(form, len(levels)):
        if keyword is Keyword("let"):
            levels[-1].parts.append(_let(resolver, test))
        else:
            levels[-1].parts.append((keyword, resolver.closed(test)))


def _resolve_level(resolver: Resolver, form: ListForm, part: Part, levels: list[_Level]) -> None:
    reads = resolver.scope.reads
    # Whether it depends on the loops of the levels so far, and so stands in them, is not known before it is resolved
    with resolver.block(form, len(levels)):
        collection = resolver.closed(part.value)
    place = part.pattern.start, part.pattern.end
    level = _Level(resolver.variable("_", place[0]), collection, resolver.scope.reads > reads)
    levels.append(level)
    element = cast(core.Local(level.variable, False, *place), part.annotation, "an element")
    bindings: Bindings = []
    with resolver.block(form, len(levels)):  # defaults of a pattern
        bind_pattern(resolver, part.pattern, element, bindings)
    level.parts.append(bindings)


def _let(resolver: Resolver, form: Form) -> Bindings:
    if not isinstance(form, VectorForm):
        raise misshapen(resolver, form, CODE, "`:let` takes a vector of names and values", FOR)
    bindings: Bindings = []
    for part in binding_parts(resolver, form, CODE, FOR):
        value = cast(resolver.closed(part.value), part.annotation, "a binding of :let")
        bind_pattern(resolver, part.pattern, value, bindings)
    return bindings


def _plain(levels: Sequence[_Level], body: core.Node, form: ListForm) -> core.Node | None:
    """Write the levels as one `For`; None when it cannot say them.

    It evaluates nothing between one level and the next: a binding of an outer level would be made once for each turn of
    the innermost one, and never where an inner collection is empty.
    """
    split = [level.split() for level in levels]
    if not all(level.is_plain for level in levels) or any(bindings for _, bindings in split[:-1]):
        return None
    bindings = tuple(split[-1][1])
    inner = core.Let(bindings, body, form.start, form.end) if bindings else body
    collections = tuple(level.collection for level in levels)
    return core.For(tuple(variable for variable, _ in split), collections, inner, form.start, form.end)


def _loops(resolver: Resolver, levels: Sequence[_Level], body: core.Node, form: ListForm) -> core.Node:
    sources = [resolver.variable("_", form.start) for _ in levels]
    before = [(source, _elements(level)) for source, level in zip(sources, levels, strict=True) if not level.depends]
    empty = core.Const((), form.start, form.end)
    loop = _loop(resolver, list(zip(sources, levels, strict=True)), empty, body)
    return core.Let(tuple(before), loop, form.start, form.end)


def _elements(level: _Level) -> core.Node:
    return core.Intrinsic(Operation.ELEMENTS, (level.collection,), level.collection.start, level.collection.end)


def _loop(
    resolver: Resolver, levels: Sequence[tuple[core.Variable, _Level]], found: core.Node, body: core.Node
) -> core.Node:
    """Write the loops of these levels, the first outermost; `found` is the vector so far, the value that vector after.

    Args:
        resolver: Makes the variables.
        levels: Each with the variable of its elements.
        found: What earlier turns gave.
        body: Evaluated for each turn of the innermost loop.
    """
    source, level = levels[0]
    place = level.collection.start, level.collection.end
    index, so_far = resolver.variable("_", place[0]), resolver.variable("_", place[0])
    position, present = core.Local(index, False, *place), core.Local(so_far, False, *place)
    items = core.Local(source, False, *place)
    following = _builtin("inc", place, position)
    if len(levels) > 1:
        grown = _loop(resolver, levels[1:], present, body)
    else:
        grown = _builtin("conj", (body.start, body.end), present, body)
    turn: core.Node = core.Recur((following, grown), *place)
    for part in reversed(level.parts):
        if isinstance(part, list):
            turn = core.Let(tuple(part), turn, *place)
            continue
        keyword, test = part
        other = present if keyword is Keyword("while") else core.Recur((following, present), *place)
        turn = core.Branch(((test, turn),), other, test.start, test.end)
    element = core.Intrinsic(Operation.ELEMENT, (items, position), *place)
    turn = core.Let(((level.variable, element),), turn, *place)
    more = _builtin("<", place, position, _builtin("count", place, items))
    branch = core.Branch(((more, turn),), present, *place)
    loop = core.Loop((index, so_far), (core.Const(0, *place), found), branch, *place)
    return core.Let(((source, _elements(level)),), loop, *place) if level.depends else loop


def _builtin(name: str, place: tuple[int, int], *arguments: core.Node) -> core.Node:
    return core.Call(core.Global(name, *place), arguments, *place)
