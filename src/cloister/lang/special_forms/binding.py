"""Forms that bind names: let, def, defn, fn and its synonym λ."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, SymbolForm, VectorForm
from cloister.lang.special_forms.annotated import binding_parts, cast, not_a_type, take_annotation
from cloister.lang.special_forms.form import (
    Family,
    misshapen,
    nothing,
    require_count,
    require_vector,
    unwrap_metadata,
)
from cloister.lang.special_forms.metadata import model_call, model_of
from cloister.lang.special_forms.patterns import Bindings, bind_pattern
from cloister.lang.types.expression import Type, Vector

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver
    from cloister.lang.scope import Binding

FAMILY = Family()

LET = "(let [name value ...] body ...)"
FN = "(fn [parameter ...] body ...)"
DEF = "(def name value)"
DEFN = "(defn name [parameter ...] body ...)"


@FAMILY.form("let", LET, inside=nothing)
def resolve_let(resolver: Resolver, form: ListForm) -> core.Node:
    """Bind one name after the other; functions may call themselves and each other."""
    vector = require_vector(resolver, form, "compile.let-bindings", LET)
    parts = binding_parts(resolver, vector, "compile.let-bindings", LET)
    body = form.items[2:]
    if not body:
        raise misshapen(resolver, form, "compile.empty-body", "this `let` has no body", LET)
    tail = resolver.tail
    with resolver.new_scope() as scope:
        if resolver.extension is not None:
            resolver.extension.hide([part.pattern for part in parts])
        for part in parts:
            resolver.announce([part.value])
            if isinstance(part.pattern, SymbolForm) and _is_function(part.value):
                scope.declare(resolver.variable(part.pattern.name, part.pattern.start))
        resolver.announce(body)
        bindings: Bindings = []
        for part in parts:
            name = part.pattern.name if isinstance(part.pattern, SymbolForm) else "a let binding"
            if isinstance(part.pattern, SymbolForm) and _is_function(part.value):
                bindings.append(_assign(resolver, part.pattern, part.annotation, part.value))
            else:
                value = cast(resolver.value(part.value), part.annotation, name)
                bind_pattern(resolver, part.pattern, value, bindings)
        resolver.tail = tail
        inner = core.Let(tuple(bindings), resolver.body(body, form.start, form.end), form.start, form.end)
        return resolver.marked(inner)


def _is_function(form: Form) -> bool:
    form = unwrap_metadata(form)
    head = form.items[0] if isinstance(form, ListForm) and form.items else None
    return isinstance(head, SymbolForm) and head.name in {"fn", "λ"}


def _assign(
    resolver: Resolver, name: SymbolForm, annotation: Type | None, value: Form
) -> tuple[core.Variable, core.Node]:
    # The announced binding becomes visible to its own value when that is a function, else only afterwards.
    scope = resolver.scope
    binding = scope.declared(name.name, name.start) or scope.declare(resolver.variable(name.name, name.start))
    if scope.conditions > 0:
        scope.may_skip(binding)
    if not _is_function(value):
        node = resolver.value(value)
    elif unwrap_metadata(value) is value:
        scope.start(binding)
        node = _function(resolver, value, name.name)
    else:
        node = _hinted_function(resolver, binding, value, name.name)
    scope.define(binding)
    return binding.variable, cast(node, annotation, name.name)


def _hinted_function(resolver: Resolver, binding: Binding, value: Form, name: str) -> core.Node:
    # Its hints are evaluated before it is assigned, and may call functions that read it
    scope, is_conditional = resolver.scope, binding.conditional
    if not is_conditional:
        scope.may_skip(binding)
    scope.start(binding)
    node = _function(resolver, value, name)
    binding.conditional = is_conditional
    return node


def _function(resolver: Resolver, form: Form, name: str) -> core.Node:
    bare = unwrap_metadata(form)
    if bare is form and isinstance(bare, ListForm):
        return _lambda(resolver, bare, name, bare.items[1:], FN)
    return resolver.value(form)


@FAMILY.form("def", DEF, defines=True, inside=lambda form: form.items[2:])
def resolve_def(resolver: Resolver, form: ListForm) -> core.Node:
    """Define a name in the present scope; the value of the form is the value."""
    require_count(resolver, form, 2, 4, DEF)
    name = unwrap_metadata(form.items[1])
    if not isinstance(name, SymbolForm):
        raise misshapen(resolver, name, "compile.name", "the name of a definition belongs here", DEF)
    annotation, parts = take_annotation(resolver, form.items[2:], needed=1)
    if len(parts) > 1:
        raise not_a_type(resolver, parts[0], DEF)
    variable, value = _assign(resolver, name, annotation, parts[0])
    return core.Define(variable, value, form.start, form.end)


@FAMILY.form("defn", DEFN, defines=True, inside=nothing)
def resolve_defn(resolver: Resolver, form: ListForm) -> core.Node:
    """Define a function; a text before the parameters is its documentation."""
    name = unwrap_metadata(form.items[1]) if len(form.items) > 1 else form
    if not isinstance(name, SymbolForm):
        raise misshapen(resolver, name, "compile.name", "the name of the function belongs here", DEFN)
    parts = form.items[2:]
    if parts and isinstance(parts[0], LiteralForm) and isinstance(parts[0].value, str):
        parts = parts[1:]
    scope = resolver.scope
    binding = scope.declared(name.name, name.start) or scope.declare(resolver.variable(name.name, name.start))
    binding.conditional = scope.conditions > 0
    scope.start(binding)
    function = _lambda(resolver, form, name.name, parts, DEFN, model=model_of(resolver, form.items[1]))
    scope.define(binding)
    return core.Define(binding.variable, function, form.start, form.end)


@FAMILY.form("fn", FN, inside=nothing)
@FAMILY.form("λ", FN, inside=nothing)
def resolve_fn(resolver: Resolver, form: ListForm) -> core.Node:
    """Make a function value."""
    return _lambda(resolver, form, "fn", form.items[1:], FN)


@dataclass(slots=True)
class _Parameters:
    """The parameters of a function while it is resolved: variables, and the bindings that take them apart."""

    variables: list[core.Variable]
    rest: core.Variable | None
    bindings: Bindings


def _lambda(
    resolver: Resolver, form: ListForm, name: str, parts: Sequence[Form], shape: str, *, model: str | None = None
) -> core.Lambda:
    vector = unwrap_metadata(parts[0]) if parts else None
    if not isinstance(vector, VectorForm):
        problem = "a vector of parameters belongs here"
        raise misshapen(resolver, parts[0] if parts else form, "compile.parameters", problem, shape)
    model = model or model_of(resolver, parts[0])
    returns, body = take_annotation(resolver, parts[1:], needed=1)
    if not body:
        raise misshapen(resolver, form, "compile.empty-body", f"the function `{name}` has no body", shape)
    with resolver.new_scope(function=True):
        parameters = _parameters(resolver, vector, shape)
        count = len(parameters.variables) + (parameters.rest is not None)
        with resolver.recur_target(count, function=True) as target:
            inner = resolver.scope_body(body, body[0].start, body[-1].end)
    if model is not None:
        variables = (*parameters.variables, *((parameters.rest,) if parameters.rest else ()))
        inner = model_call(model, variables, form)
    if parameters.bindings:
        inner = core.Let(tuple(parameters.bindings), inner, inner.start, inner.end)
    lambda_ = _finish(resolver, parameters, inner, name, form, repeats=target.used and model is None)
    if returns is None:
        return lambda_
    checked = cast(lambda_.body, returns, f"the result of {name}")
    return core.Lambda(name, lambda_.parameters, lambda_.rest, checked, form.start, form.end)


def _finish(
    resolver: Resolver, parameters: _Parameters, body: core.Node, name: str, form: ListForm, *, repeats: bool
) -> core.Lambda:
    variables, rest = tuple(parameters.variables), parameters.rest
    if not repeats:
        return core.Lambda(name, variables, rest, body, form.start, form.end)
    # `recur` rebinds the parameters: they become the variables of a loop that starts with the arguments.
    looped = variables if rest is None else (*variables, rest)
    fresh = tuple(resolver.variable(variable.name, variable.start) for variable in looped)
    initials = tuple(core.Local(variable, False, form.start, form.end) for variable in fresh)
    loop = core.Loop(looped, initials, body, body.start, body.end)
    count = len(variables)
    return core.Lambda(name, fresh[:count], fresh[count] if rest else None, loop, form.start, form.end)


def _parameters(resolver: Resolver, vector: VectorForm, shape: str) -> _Parameters:
    parameters = _Parameters([], None, [])
    items = list(vector.items)
    at = 0
    while at < len(items):
        pattern = items[at]
        is_rest = isinstance(pattern, SymbolForm) and pattern.name == "&"
        if is_rest:
            at += 1
            pattern = items[at] if at < len(items) else vector
            if not isinstance(pattern, SymbolForm):
                problem = "`&` takes one name, for the further arguments"
                raise misshapen(resolver, vector, "compile.parameters", problem, shape)
        at += 1
        annotation, left = take_annotation(resolver, items[at:], needed=0)
        if annotation is None and left and isinstance(left[0], LiteralForm):
            raise not_a_type(resolver, left[0], shape)
        at = len(items) - len(left)
        each = Vector(annotation) if annotation is not None and is_rest else annotation
        variable = _parameter(resolver, pattern, each, parameters.bindings)
        if not is_rest:
            parameters.variables.append(variable)
            continue
        parameters.rest = variable
        if at < len(items):
            raise misshapen(resolver, items[at], "compile.parameters", "nothing can follow the rest name", shape)
    return parameters


def _parameter(resolver: Resolver, pattern: Form, annotation: Type | None, bindings: Bindings) -> core.Variable:
    if isinstance(pattern, SymbolForm) and annotation is None and pattern.name != "_":
        return resolver.bind(pattern.name, pattern.start)
    name = pattern.name if isinstance(pattern, SymbolForm) else "a parameter"
    variable = resolver.variable(name, pattern.start)
    value = core.Local(variable, False, pattern.start, pattern.end)
    bind_pattern(resolver, pattern, cast(value, annotation, name), bindings)
    return variable
