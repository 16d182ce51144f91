"""Forms that pass a value through steps: ->, ->>, as->, cond-> and cond->>.

Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.forms import Form, ListForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import Family, misshapen, nothing, require_count
from cloister.lang.special_forms.patterns import Bindings

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

THREAD: Final = "(-> value (function argument ...) ...)"
THREAD_LAST: Final = "(->> value (function argument ...) ...)"
THREAD_AS: Final = "(as-> value name form ...)"
THREAD_IF: Final = "(cond-> value test (function argument ...) ...)"
THREAD_LAST_IF: Final = "(cond->> value test (function argument ...) ...)"


def _hidden(number: int, place: Form) -> SymbolForm:
    return SymbolForm(f" value {number}", place.start, place.end)  # a blank: no program can write this name


def _thread(resolver: Resolver, form: ListForm, shape: str, *, last: bool) -> core.Node:
    require_count(resolver, form, 1, None, shape)
    tail = resolver.tail
    first, *steps = form.items[1:]
    if not steps:
        return resolver.in_tail(first, tail)
    names = [_hidden(number, place) for number, place in enumerate(form.items[1:-1])]
    calls = [_insert(resolver, step, name, shape, last=last) for step, name in zip(steps, names, strict=True)]
    with resolver.new_scope():
        resolver.announce([first, *calls])
        bindings: Bindings = []
        value = resolver.value(first)
        for name, call in zip(names, calls, strict=True):
            bindings.append((resolver.bind(name.name, name.start), value))
            value = resolver.in_tail(call, tail and call is calls[-1])
        return resolver.marked(core.Let(tuple(bindings), value, form.start, form.end))


def _insert(resolver: Resolver, step: Form, value: SymbolForm, shape: str, *, last: bool) -> ListForm:
    if not isinstance(step, ListForm):
        if isinstance(step, VectorForm):
            raise misshapen(resolver, step, "compile.thread", "a vector cannot be called", shape)
        return ListForm((step, value), step.start, step.end)
    if not step.items:
        raise misshapen(resolver, step, "compile.thread", "this step is empty", shape)
    head, *rest = step.items
    items = (head, *rest, value) if last else (head, value, *rest)
    return ListForm(items, step.start, step.end)


@FAMILY.form("->", THREAD, inside=nothing, shadowable=True)
def resolve_thread(resolver: Resolver, form: ListForm) -> core.Node:
    """Pass a value through calls, as their first argument."""
    return _thread(resolver, form, THREAD, last=False)


@FAMILY.form("->>", THREAD_LAST, inside=nothing, shadowable=True)
def resolve_thread_last(resolver: Resolver, form: ListForm) -> core.Node:
    """Pass a value through calls, as their last argument."""
    return _thread(resolver, form, THREAD_LAST, last=True)


@FAMILY.form("as->", THREAD_AS, inside=nothing, shadowable=True)
def resolve_thread_as(resolver: Resolver, form: ListForm) -> core.Node:
    """Bind a name to a value, then to the value of each form in turn."""
    require_count(resolver, form, 2, None, THREAD_AS)
    tail = resolver.tail
    first, name, *steps = form.items[1:]
    if not isinstance(name, SymbolForm):
        raise misshapen(resolver, name, "compile.thread", "the name for the value belongs here", THREAD_AS)
    with resolver.new_scope():
        resolver.announce([first, *steps])
        bindings: Bindings = []
        value = resolver.value(first)
        for number, step in enumerate(steps):
            bindings.append((resolver.bind(name.name, name.start), value))
            value = resolver.in_tail(step, tail and number == len(steps) - 1)
        return resolver.marked(core.Let(tuple(bindings), value, form.start, form.end))


def _thread_if(resolver: Resolver, form: ListForm, shape: str, *, last: bool) -> core.Node:
    require_count(resolver, form, 1, None, shape)
    first, *parts = form.items[1:]
    if len(parts) % 2:
        raise misshapen(resolver, parts[-1], "compile.thread", "this test has no step", shape)
    tests = parts[::2]
    names = [_hidden(number, test) for number, test in enumerate(tests)]
    calls = [_insert(resolver, step, name, shape, last=last) for step, name in zip(parts[1::2], names, strict=True)]
    with resolver.new_scope():
        resolver.announce([first, *(part for pair in zip(tests, calls, strict=True) for part in pair)])
        bindings: Bindings = []
        value = resolver.value(first)
        for name, test, call in zip(names, tests, calls, strict=True):
            variable = resolver.bind(name.name, test.start)
            bindings.append((variable, value))
            condition = resolver.value(test)
            with resolver.scope.conditionally():
                changed = resolver.value(call)
            same = core.Local(variable, False, test.start, test.end)
            value = core.Branch(((condition, changed),), same, test.start, call.end)
        return resolver.marked(core.Let(tuple(bindings), value, form.start, form.end))


@FAMILY.form("cond->", THREAD_IF, inside=nothing, shadowable=True)
def resolve_thread_if(resolver: Resolver, form: ListForm) -> core.Node:
    """Pass a value through those calls whose test is true, as their first argument."""
    return _thread_if(resolver, form, THREAD_IF, last=False)


@FAMILY.form("cond->>", THREAD_LAST_IF, inside=nothing, shadowable=True)
def resolve_thread_last_if(resolver: Resolver, form: ListForm) -> core.Node:
    """Pass a value through those calls whose test is true, as their last argument."""
    return _thread_if(resolver, form, THREAD_LAST_IF, last=True)
