"""Forms of plans: call, step, step-if, step-loop, step-parallel, context values, one-argument get, metadata."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.errors import quoted
from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import Family, misshapen, nothing, require_count
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

CALL: Final = "(call :capability.id argument ...)"
STEP: Final = '(step "name" body ...)'
STEP_IF: Final = "(step-if condition then else?)"
STEP_LOOP: Final = "(step-loop condition body)"
PARALLEL: Final = "(step-parallel form ...)"
CONTEXT: Final = "@name"
GET: Final = "(get :name), or (get collection key default?)"
META: Final = "^{:key value} form"

TURNS_MAX: Final = 10_000
"""Turns of `step-loop` (language reference, section 2.9)."""

_EXPOSURE: Final = frozenset({"expose-context", "context-keys"})
_MERGE_POLICIES: Final = frozenset({"keep-existing", "parent-wins", "overwrite", "child-wins", "merge"})


@FAMILY.form("call", CALL, shadowable=True)
def resolve_call(resolver: Resolver, form: ListForm) -> core.Node:
    """Ask the host to execute a capability."""
    require_count(resolver, form, 1, None, CALL)
    capability = form.items[1]
    if isinstance(capability, LiteralForm) and not isinstance(capability.value, (str, Keyword)):
        raise misshapen(resolver, capability, "compile.capability-id", "this is not a capability id", CALL)
    if isinstance(capability, SymbolForm) and "." in capability.name and not resolver.is_bound(capability.name):
        problem = f'unknown name "{quoted(capability.name, 60)}"; a capability id is a keyword or string'
        raise resolver.error(capability, "compile.unknown-name", problem, f"write (call :{capability.name} ...)")
    wanted, *arguments = resolver.values(form.items[1:])
    return core.HostCall(wanted, tuple(arguments), form.start, form.end)


def _options(
    resolver: Resolver, form: ListForm, parts: Sequence[Form], known: frozenset[str]
) -> tuple[dict[str, Form], Sequence[Form]]:
    # Options are keyword and value pairs in front; the first form that is not one begins the body.
    found: dict[str, Form] = {}
    while len(parts) >= 2 and isinstance(parts[0], LiteralForm) and isinstance(parts[0].value, Keyword):
        name = parts[0].value.name.replace("_", "-")
        if name not in known:
            break
        found[name] = parts[1]
        parts = parts[2:]
    if "expose-context" in found and _literal(found["expose-context"]) not in (True, False):
        raise misshapen(resolver, form, "compile.step-option", ":expose-context is true or false", STEP)
    if "context-keys" in found:
        keys = found["context-keys"]
        if not isinstance(keys, VectorForm) or not all(isinstance(_literal(key), str) for key in keys.items):
            raise misshapen(resolver, keys, "compile.step-option", ":context-keys is a vector of strings", STEP)
    return found, parts


def _literal(form: Form) -> object:
    return form.value if isinstance(form, LiteralForm) else form


@FAMILY.form("step", STEP)
def resolve_step(resolver: Resolver, form: ListForm) -> core.Node:
    """Name a part of the plan; the host is told when it starts and ends."""
    require_count(resolver, form, 1, None, STEP)
    label = form.items[1]
    if isinstance(label, LiteralForm) and not isinstance(label.value, str):
        raise misshapen(resolver, label, "compile.step-name", "the name of a step is a string", STEP)
    name = resolver.value(label)
    options, body = _options(resolver, form, form.items[2:], _EXPOSURE | {"params"})
    resolver.tail = False
    with resolver.block(form):
        if "params" not in options:
            return core.Step(name, resolver.body(body, form.start, form.end), form.start, form.end)
        params = options["params"]
        if not isinstance(params, MapForm) or not all(isinstance(key.value, str) for key, _ in params.entries):
            raise misshapen(resolver, params, "compile.step-option", ":params is a map with string keys", STEP)
        value = resolver.value(params)
        with resolver.new_scope():
            variable = resolver.bind("%params", params.start)
            inner = resolver.scope_body(body, form.start, form.end)
        bound = core.Let(((variable, value),), inner, form.start, form.end)
        return core.Step(name, bound, form.start, form.end)


def _named(form: ListForm, body: core.Node) -> core.Node:
    head = form.items[0]
    name = head.name if isinstance(head, SymbolForm) else "step"
    return core.Step(core.Const(name, head.start, head.end), body, form.start, form.end)


def _has_content(resolver: Resolver, form: Form) -> core.Node:
    return core.Intrinsic(Operation.HAS_CONTENT, (resolver.value(form),), form.start, form.end)


@FAMILY.form("step-if", STEP_IF)
def resolve_step_if(resolver: Resolver, form: ListForm) -> core.Node:
    """Choose as a step; 0 and empty values count as false too."""
    _, parts = _options(resolver, form, form.items[1:], _EXPOSURE)
    if not 2 <= len(parts) <= 3:
        raise misshapen(resolver, form, "compile.arity", f"`step-if` takes 2 to 3 forms, not {len(parts)}", STEP_IF)
    with resolver.block(form):
        test = _has_content(resolver, parts[0])
        with resolver.scope.conditionally():
            then = resolver.value(parts[1])
            other = resolver.value(parts[2]) if len(parts) == 3 else core.Const(None, form.start, form.end)
    return _named(form, core.Branch(((test, then),), other, form.start, form.end))


@FAMILY.form("step-loop", STEP_LOOP, inside=nothing)
def resolve_step_loop(resolver: Resolver, form: ListForm) -> core.Node:
    """Repeat as a step while the condition holds; the value is the last turn's."""
    _, parts = _options(resolver, form, form.items[1:], _EXPOSURE)
    if len(parts) != 2:
        raise misshapen(resolver, form, "compile.arity", f"`step-loop` takes 2 forms, not {len(parts)}", STEP_LOOP)
    place = form.start, form.end
    turn, last = resolver.variable("_", form.start), resolver.variable("_", form.start)
    with resolver.block(form, 2), resolver.new_scope():
        resolver.announce(parts)
        test = _has_content(resolver, parts[0])
        body = resolver.value(parts[1])
        count = core.Intrinsic(Operation.NEXT_TURN, (core.Local(turn, False, *place),), *place)
        again = core.Recur((count, body), *place)
        branch = resolver.marked(core.Branch(((test, again),), core.Local(last, False, *place), *place))
    initials = core.Const(0, *place), core.Const(None, *place)
    return _named(form, core.Loop((turn, last), initials, branch, *place))


@FAMILY.form("step-parallel", PARALLEL)
def resolve_step_parallel(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate independent parts as a step, in order; the value is the vector of theirs."""
    options, parts = _options(resolver, form, form.items[1:], _EXPOSURE | {"merge-policy"})
    if not parts:
        raise misshapen(resolver, form, "compile.arity", "`step-parallel` takes at least 1 form", PARALLEL)
    if "merge-policy" in options:
        policy = _literal(options["merge-policy"])
        written = policy.name if isinstance(policy, Keyword) else policy
        if not isinstance(written, str) or written.replace("_", "-") not in _MERGE_POLICIES:
            problem = f":merge-policy is one of {', '.join(sorted(_MERGE_POLICIES))}"
            raise misshapen(resolver, options["merge-policy"], "compile.step-option", problem, PARALLEL)
    with resolver.block(form):
        return _named(form, core.MakeVector(resolver.values(parts), form.start, form.end))


@FAMILY.form("context-value", CONTEXT, shadowable=True)
def resolve_context_value(resolver: Resolver, form: ListForm) -> core.Node:
    """Read an input of the run by name."""
    require_count(resolver, form, 1, 1, CONTEXT)
    name = _literal(form.items[1])
    if isinstance(name, Keyword):  # @:name is the name itself
        return resolver.reference(SymbolForm(name.name, form.items[1].start, form.items[1].end))
    if not isinstance(name, str):
        raise misshapen(resolver, form, "compile.name", "the name of an input belongs here", CONTEXT)
    return core.Input(name, True, form.start, form.end)


@FAMILY.form("get", GET, applies=lambda form: len(form.items) == 2, shadowable=True)
def resolve_get(resolver: Resolver, form: ListForm) -> core.Node:
    """Read a local name or an input; nil when there is none."""
    key = form.items[1]
    name = key.name if isinstance(key, SymbolForm) else _literal(key)
    if isinstance(name, Keyword):
        name = name.name
    if not isinstance(name, str) or (isinstance(key, LiteralForm) and not isinstance(key.value, Keyword)):
        raise misshapen(resolver, form, "compile.arity", "`get` with one form takes a keyword or name", GET)
    found = resolver.find(name)
    if found:
        return core.Local(found.variable, found.checked, form.start, form.end)
    return core.Input(name, False, form.start, form.end)


@FAMILY.form("with-meta", META, inside=lambda form: form.items[2:], shadowable=True)
def resolve_with_meta(resolver: Resolver, form: ListForm) -> core.Node:
    """Ignore descriptive metadata; refuse metadata that would change how the form runs."""
    tail = resolver.tail
    require_count(resolver, form, 2, 2, META)
    metadata = form.items[1]
    if not isinstance(metadata, MapForm):
        raise misshapen(resolver, metadata, "compile.metadata", "metadata is a map", META)
    for key, value in metadata.entries:
        name = key.value.name if isinstance(key.value, Keyword) else str(key.value)
        local = name == "delegation" and _literal(value) is Keyword("local")
        if name.startswith("runtime.") or (name == "delegation" and not local):
            message = f"this version does not have the metadata `{quoted(name, 60)}`, which changes how a form runs"
            raise resolver.error(key, "compile.not-supported", message, "remove it")
    return resolver.in_tail(form.items[2], tail)
