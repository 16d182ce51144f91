"""Forms that repeat: loop, recur, dotimes.

Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.forms import Form, ListForm, SymbolForm, VectorForm
from cloister.lang.special_forms.annotated import binding_parts, cast
from cloister.lang.special_forms.form import Family, misshapen, nothing, require_count, require_vector
from cloister.lang.special_forms.patterns import Bindings, bind_pattern

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

LOOP: Final = "(loop [name value ...] body ...)"
RECUR: Final = "(recur value ...)"
DOTIMES: Final = "(dotimes [name count] body)"


@FAMILY.form("loop", LOOP, inside=nothing, shadowable=True)
def resolve_loop(resolver: Resolver, form: ListForm) -> core.Node:
    """Bind names; `recur` in the tail of the body binds them anew and repeats it."""
    vector = require_vector(resolver, form, "compile.loop-bindings", LOOP)
    parts = binding_parts(resolver, vector, "compile.loop-bindings", LOOP)
    body = form.items[2:]
    if not body:
        raise misshapen(resolver, form, "compile.empty-body", "this `loop` has no body", LOOP)
    with resolver.new_scope(), resolver.block(form):
        variables, initials, inner_bindings, checks = [], [], [], []
        for part in parts:
            subject = part.pattern.name if isinstance(part.pattern, SymbolForm) else "a loop binding"
            initials.append(cast(resolver.closed(part.value), part.annotation, subject))
            if isinstance(part.pattern, SymbolForm) and part.pattern.name != "_":
                variables.append(resolver.bind(part.pattern.name, part.pattern.start))
                if part.annotation is not None:  # for the values of `recur`
                    again = core.Local(variables[-1], False, part.pattern.start, part.pattern.end)
                    checks.append(cast(again, part.annotation, subject))
            else:
                variables.append(resolver.variable("_", part.pattern.start))
                inner_bindings.append((part.pattern, core.Local(variables[-1], False, form.start, form.end)))
        bindings: Bindings = []
        for pattern, value in inner_bindings:
            bind_pattern(resolver, pattern, value, bindings)
        with resolver.recur_target(len(parts)):
            inner = resolver.scope_body(body, form.start, form.end)
    inner = core.Let(tuple(bindings), inner, form.start, form.end) if bindings else inner
    inner = core.Sequence((*checks, inner), (), form.start, form.end) if checks else inner
    return core.Loop(tuple(variables), tuple(initials), inner, form.start, form.end)


@FAMILY.form("recur", RECUR, shadowable=True)
def resolve_recur(resolver: Resolver, form: ListForm) -> core.Node:
    """Repeat the innermost loop or function with new values."""
    target = resolver.recur
    if target is None or not resolver.tail:
        problem = (
            "`recur` can only be the last thing a `loop` or function does" if target else "there is no `loop` here"
        )
        hint = "call the function by its name, or make `recur` the last form of every branch it stands in"
        raise resolver.error(form, "compile.recur-position", problem, hint)
    count = len(form.items) - 1
    if count != target.count:
        problem = f"`recur` gives {count} values to a loop or function of {target.count}"
        raise misshapen(resolver, form, "compile.arity", problem, RECUR)
    target.used = True
    return core.Recur(resolver.values(form.items[1:]), form.start, form.end)


def _count(form: ListForm) -> Sequence[Form]:
    """Return the number of turns, which is evaluated in the scope around the form."""
    vector = form.items[1] if len(form.items) > 1 else None
    return vector.items[1:] if isinstance(vector, VectorForm) else ()


@FAMILY.form("dotimes", DOTIMES, inside=_count)
def resolve_dotimes(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate the body a number of times."""
    vector = require_vector(resolver, form, "compile.dotimes-bindings", DOTIMES)
    name = vector.items[0] if len(vector.items) == 2 else vector
    if not isinstance(name, SymbolForm):
        problem = "one name and one count belong here"
        raise misshapen(resolver, vector, "compile.dotimes-bindings", problem, DOTIMES)
    require_count(resolver, form, 2, 2, DOTIMES)
    turns = resolver.value(vector.items[1])
    with resolver.new_scope(), resolver.block(form):
        variable = resolver.bind(name.name, name.start)
        body = resolver.closed(form.items[2])
    return core.Dotimes(variable, turns, body, form.start, form.end)
