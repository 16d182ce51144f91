"""Forms that choose and order: if, if-not, do, when, when-not, cond, case, and, or, if-let, when-let.

Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, ListForm, SymbolForm, VectorForm
from cloister.lang.special_forms.annotated import Part, binding_parts, cast
from cloister.lang.special_forms.form import Family, misshapen, require_count, require_vector
from cloister.lang.special_forms.patterns import Bindings, bind_pattern

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

IF: Final = "(if condition then else?)"
IF_NOT: Final = "(if-not condition then else?)"
WHEN: Final = "(when condition body ...)"
WHEN_NOT: Final = "(when-not condition body ...)"
COND: Final = "(cond test value ... :else value)"
CASE: Final = "(case expression constant value (constant constant) value ... default?)"
IF_LET: Final = "(if-let [name value] then else?)"
WHEN_LET: Final = "(when-let [name value] body ...)"


def conditional(resolver: Resolver, form: Form, tail: bool) -> core.Node:
    """Resolve a form that may not be evaluated."""
    with resolver.scope.conditionally():
        return resolver.in_tail(form, tail)


def _conditional_body(resolver: Resolver, forms: Sequence[Form], form: Form, tail: bool) -> core.Node:
    with resolver.scope.conditionally():
        resolver.tail = tail
        return resolver.body(forms, form.start, form.end)


def _nil(form: Form) -> core.Node:
    return core.Const(None, form.start, form.end)


@FAMILY.form("if", IF)
def resolve_if(resolver: Resolver, form: ListForm) -> core.Node:
    """Choose by a condition; only false and nil are false."""
    require_count(resolver, form, 2, 3, IF)
    tail = resolver.tail
    _, test, then, *otherwise = form.items
    clause = resolver.value(test), conditional(resolver, then, tail)
    other = conditional(resolver, otherwise[0], tail) if otherwise else _nil(form)
    return core.Branch((clause,), other, form.start, form.end)


@FAMILY.form("if-not", IF_NOT, shadowable=True)
def resolve_if_not(resolver: Resolver, form: ListForm) -> core.Node:
    """Choose by a condition that must be false or nil."""
    require_count(resolver, form, 2, 3, IF_NOT)
    tail = resolver.tail
    _, test, then, *otherwise = form.items
    condition, inner = resolver.value(test), conditional(resolver, then, tail)
    other = conditional(resolver, otherwise[0], tail) if otherwise else _nil(form)
    return core.Branch(((condition, other),), inner, form.start, form.end)


@FAMILY.form("do", "(do form ...)")
def resolve_do(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate in order."""
    return resolver.body(form.items[1:], form.start, form.end)


@FAMILY.form("when", WHEN, shadowable=True)
def resolve_when(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate the body only when the condition is true."""
    require_count(resolver, form, 1, None, WHEN)
    tail = resolver.tail
    test = resolver.value(form.items[1])
    body = _conditional_body(resolver, form.items[2:], form, tail)
    return core.Branch(((test, body),), _nil(form), form.start, form.end)


@FAMILY.form("when-not", WHEN_NOT, shadowable=True)
def resolve_when_not(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate the body only when the condition is false."""
    require_count(resolver, form, 1, None, WHEN_NOT)
    tail = resolver.tail
    test = resolver.value(form.items[1])
    body = _conditional_body(resolver, form.items[2:], form, tail)
    return core.Branch(((test, _nil(form)),), body, form.start, form.end)


@FAMILY.form("cond", COND, shadowable=True)
def resolve_cond(resolver: Resolver, form: ListForm) -> core.Node:
    """Take the value after the first true test."""
    tail = resolver.tail
    parts = form.items[1:]
    if len(parts) % 2:
        raise misshapen(resolver, parts[-1], "compile.arity", "this test of `cond` has no value", COND)
    clauses = []
    with resolver.scope.conditionally():
        for test, value in zip(parts[::2], parts[1::2], strict=True):
            clauses.append((resolver.value(test), resolver.in_tail(value, tail)))
    return core.Branch(tuple(clauses), _nil(form), form.start, form.end)


@FAMILY.form("case", CASE, shadowable=True)
def resolve_case(resolver: Resolver, form: ListForm) -> core.Node:
    """Take the value after the constant that equals the expression."""
    require_count(resolver, form, 2, None, CASE)
    tail = resolver.tail
    subject = resolver.variable("_", form.start)
    held = core.Local(subject, False, form.items[1].start, form.items[1].end)
    bindings = ((subject, resolver.value(form.items[1])),)
    parts = form.items[2:]
    clauses = []
    for constant, value in zip(parts[::2], parts[1::2], strict=False):
        clauses.append((_equals_one(resolver, held, constant), conditional(resolver, value, tail)))
    other: core.Node = core.Intrinsic(Operation.NO_MATCH, (held,), form.start, form.end)
    if len(parts) % 2:
        other = conditional(resolver, parts[-1], tail)
    branch = core.Branch(tuple(clauses), other, form.start, form.end)
    return core.Let(bindings, branch, form.start, form.end)


def _equals_one(resolver: Resolver, held: core.Local, constant: Form) -> core.Node:
    place = constant.start, constant.end
    choices: Sequence[Form] = (constant,)
    if isinstance(constant, ListForm) and not _is_quote(constant):
        choices = constant.items
    tests: list[core.Node] = []
    for choice in choices:
        known = resolver.value(choice) if not isinstance(choice, SymbolForm) else None
        if not isinstance(known, core.Const):
            hint = "write a literal, 'symbol, or several of them in parentheses; cond takes any test"
            raise resolver.error(choice, "compile.case", "`case` compares with constants", hint)
        tests.append(core.Intrinsic(Operation.SAME, (held, known), *place))
    if not tests:
        raise misshapen(resolver, constant, "compile.case", "there is no constant between the parentheses", CASE)
    return tests[0] if len(tests) == 1 else core.Logic(False, tuple(tests), *place)


def _is_quote(form: ListForm) -> bool:
    head = form.items[0] if form.items else None
    return isinstance(head, SymbolForm) and head.name == "quote"


def _logic(resolver: Resolver, form: ListForm, *, is_and: bool) -> core.Node:
    tail = resolver.tail
    parts = form.items[1:]
    if not parts:
        return core.Const(is_and, form.start, form.end)
    if len(parts) == 1:
        return resolver.in_tail(parts[0], tail)
    first = resolver.value(parts[0])
    with resolver.scope.conditionally():
        items = (first, *resolver.values(parts[1:-1]), resolver.in_tail(parts[-1], tail))
    return core.Logic(is_and, items, form.start, form.end)


@FAMILY.form("and", "(and form ...)", shadowable=True)
def resolve_and(resolver: Resolver, form: ListForm) -> core.Node:
    """Give the first false value, else the last."""
    return _logic(resolver, form, is_and=True)


@FAMILY.form("or", "(or form ...)", shadowable=True)
def resolve_or(resolver: Resolver, form: ListForm) -> core.Node:
    """Give the first true value, else the last."""
    return _logic(resolver, form, is_and=False)


def _condition_part(resolver: Resolver, form: ListForm, shape: str) -> Part:
    vector = require_vector(resolver, form, "compile.let-bindings", shape)
    parts = binding_parts(resolver, vector, "compile.let-bindings", shape)
    if len(parts) != 1:
        problem = f"one name and one value belong here, not {len(parts)}"
        raise misshapen(resolver, vector, "compile.let-bindings", problem, shape)
    return parts[0]


def _tested(form: ListForm) -> Sequence[Form]:
    """Return the value of the binding vector, which is evaluated in the scope around the form."""
    vector = form.items[1] if len(form.items) > 1 else None
    return vector.items[-1:] if isinstance(vector, VectorForm) else ()


def _binding_branch(
    resolver: Resolver, form: ListForm, part: Part, then: Sequence[Form], otherwise: Form | None
) -> core.Node:
    tail = resolver.tail
    subject = resolver.variable("_", part.pattern.start)
    held = core.Local(subject, False, part.value.start, part.value.end)
    value = cast(resolver.value(part.value), part.annotation, "the value")
    with resolver.new_scope():
        bindings: Bindings = []
        bind_pattern(resolver, part.pattern, held, bindings)
        resolver.announce(then)
        resolver.tail = tail
        body = resolver.marked(resolver.body(then, form.start, form.end))
    bound = core.Let(tuple(bindings), body, form.start, form.end)
    other = conditional(resolver, otherwise, tail) if otherwise else _nil(form)
    branch = core.Branch(((held, bound),), other, form.start, form.end)
    return core.Let(((subject, value),), branch, form.start, form.end)


@FAMILY.form("if-let", IF_LET, inside=lambda form: (*_tested(form), *form.items[3:]), shadowable=True)
def resolve_if_let(resolver: Resolver, form: ListForm) -> core.Node:
    """Bind a value and choose by it."""
    require_count(resolver, form, 2, 3, IF_LET)
    part = _condition_part(resolver, form, IF_LET)
    otherwise = form.items[3] if len(form.items) == 4 else None
    return _binding_branch(resolver, form, part, form.items[2:3], otherwise)


@FAMILY.form("when-let", WHEN_LET, inside=_tested, shadowable=True)
def resolve_when_let(resolver: Resolver, form: ListForm) -> core.Node:
    """Bind a value and evaluate the body when it is true."""
    require_count(resolver, form, 2, None, WHEN_LET)
    return _binding_branch(resolver, form, _condition_part(resolver, form, WHEN_LET), form.items[2:], None)
