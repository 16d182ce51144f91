"""Forms of plans: call, the step forms, and llm-execute.

Owns what reaches the host by the program's own wish. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from cloister.errors import quoted
from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.host import StepOptions
from cloister.lang.special_forms.form import Family, misshapen, nothing, require_count
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

CALL: Final = "(call :capability.id argument ...)"
STEP: Final = '(step "name" :params {"key" value}? :undo (fn [result] ...)? body ...)'
LOG: Final = "(step :level value ...)"
STEP_IF: Final = "(step-if condition then else?)"
STEP_LOOP: Final = "(step-loop condition body)"
PARALLEL: Final = "(step-parallel form ...)"
LLM: Final = '(llm-execute "model" "prompt"), or (llm-execute :model "model" :prompt "prompt" :system "system")'

TURNS_MAX: Final = 10_000
"""Turns of `step-loop` (language reference, section 2.9)."""

CONTEXT_KEYS_MAX: Final = 100
CONTEXT_KEY_CHARS_MAX: Final = 200
"""How many context values a step may name, and how long a name; each step is a record of the host."""

LOG_ID: Final = "ccos.io.log"
LLM_ID: Final = "ccos.ai.llm-execute"

_EXPOSURE: Final = frozenset({"expose-context", "context-keys"})
_STEP_OPTIONS: Final = _EXPOSURE | {"params", "undo"}
_PARALLEL_OPTIONS: Final = _EXPOSURE | {"merge-policy"}
_SAID: Final = _EXPOSURE | {"merge-policy"}
"""Options that are the same in every run."""
_MERGE_POLICIES: Final = frozenset({"keep-existing", "parent-wins", "overwrite", "child-wins", "merge"})
_LLM_OPTIONS: Final = ("model", "prompt", "system")


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


def _split_options(parts: Sequence[Form], known: frozenset[str]) -> tuple[dict[str, Form], Sequence[Form]]:
    # Options are keyword and value pairs in front; the first form that is not one begins the body.
    found: dict[str, Form] = {}
    while len(parts) >= 2 and isinstance(parts[0], LiteralForm) and isinstance(parts[0].value, Keyword):
        name = parts[0].value.name.replace("_", "-")
        if name not in known:
            break
        found[name] = parts[1]
        parts = parts[2:]
    return found, parts


def _options(resolver: Resolver, place: int, found: dict[str, Form], shape: str) -> StepOptions:
    said = {name: _option(resolver, name, form, shape) for name, form in found.items() if name in _SAID}
    exposes, keys, policy = (said.get(name) for name in ("expose-context", "context-keys", "merge-policy"))
    return StepOptions(
        place=place,
        expose_context=exposes if isinstance(exposes, bool) else None,
        context_keys=keys if isinstance(keys, tuple) else None,
        merge_policy=policy if isinstance(policy, str) else None,
        has_undo="undo" in found,
    )


def _option(resolver: Resolver, name: str, form: Form, shape: str) -> bool | tuple[str, ...] | str:
    value = literal(form)
    if name == "expose-context":
        if isinstance(value, bool):
            return value
        problem = ":expose-context is true or false"
    elif name == "context-keys":
        items = [literal(item) for item in form.items] if isinstance(form, VectorForm) else [None]
        keys = tuple(item for item in items if isinstance(item, str) and len(item) <= CONTEXT_KEY_CHARS_MAX)
        if len(keys) == len(items) <= CONTEXT_KEYS_MAX:
            return keys
        most = f"at most {CONTEXT_KEYS_MAX} of at most {CONTEXT_KEY_CHARS_MAX} characters"
        problem = f":context-keys is a vector of strings, {most}"
    else:
        written = value.name if isinstance(value, Keyword) else value
        policy = written.replace("_", "-") if isinstance(written, str) else ""
        if policy in _MERGE_POLICIES:
            return policy
        problem = f":merge-policy is one of {', '.join(sorted(_MERGE_POLICIES))}"
    raise misshapen(resolver, form, "compile.step-option", problem, shape)


def literal(form: Form) -> object:
    """Return the value of a literal form, any other form as it is."""
    return form.value if isinstance(form, LiteralForm) else form


def _shared_with_step(form: ListForm) -> Sequence[Form]:
    # The body of a step with :params has a scope of its own; the values of :params have not.
    found, _ = _split_options(form.items[2:], _STEP_OPTIONS)
    return (*form.items[1:2], found["params"]) if "params" in found else form.items[1:]


@FAMILY.form("step", STEP, inside=_shared_with_step)
def resolve_step(resolver: Resolver, form: ListForm) -> core.Node:
    """Name a part of the plan; the host is told when it starts and ends. A keyword first logs instead."""
    require_count(resolver, form, 1, None, STEP)
    label = form.items[1]
    if isinstance(label, LiteralForm) and isinstance(label.value, Keyword):
        return _log(resolver, form)
    if isinstance(label, LiteralForm) and not isinstance(label.value, str):
        raise misshapen(resolver, label, "compile.step-name", "the name of a step is a string", STEP)
    place = form.start, form.end
    name = resolver.value(label)
    found, body = _split_options(form.items[2:], _STEP_OPTIONS)
    _require_no_late_option(resolver, body)
    options = _options(resolver, form.start, found, STEP)
    resolver.tail = False
    if "params" not in found:
        with resolver.block(form):
            inner = _undoable(resolver, form, found, lambda: resolver.body(body, *place))
        return core.Step(name, options, inner, *place)
    held, params = resolver.variable("_", label.start), _params(resolver, found["params"])
    with resolver.new_scope(), resolver.block(form):
        variable = resolver.bind("%params", found["params"].start)
        inner = _undoable(resolver, form, found, lambda: resolver.scope_body(body, *place))
    step = core.Step(core.Local(held, False, name.start, name.end), options, inner, *place)
    return core.Let(((held, name), (variable, params)), step, *place)


def _require_no_late_option(resolver: Resolver, body: Sequence[Form]) -> None:
    """Refuse an option that comes after the body began: it would be a keyword without effect, and its value be done."""
    for each in body[:-1]:
        name = literal(each)
        if isinstance(name, Keyword) and name.name.replace("_", "-") in _STEP_OPTIONS:
            problem = f":{name.name} is an option of the step here, and options come before the body"
            raise misshapen(resolver, each, "compile.step-option", problem, STEP)


def _undoable(resolver: Resolver, form: ListForm, found: dict[str, Form], body: Callable[[], core.Node]) -> core.Node:
    """Return the body of a step, between the evaluation of its `:undo` and the note of its value, when it has one."""
    if "undo" not in found:
        return body()
    place = form.start, form.end
    function = resolver.value(found["undo"])
    if isinstance(function, core.Lambda) and len(function.parameters) > 1:
        problem = f":undo is a function of at most one parameter, not {len(function.parameters)}"
        raise misshapen(resolver, found["undo"], "compile.step-option", problem, STEP)
    begun = core.Intrinsic(Operation.UNDO_WITH, (function,), function.start, function.end)
    value = resolver.variable("_", form.start)
    held = core.Local(value, False, *place)
    done = core.Sequence((core.Intrinsic(Operation.UNDO_FOR, (held,), *place), held), (), *place)
    return core.Sequence((begun, core.Let(((value, body()),), done, *place)), (), *place)


def _params(resolver: Resolver, form: Form) -> core.Node:
    if isinstance(form, MapForm) and all(isinstance(literal(key), str) for key, _ in form.entries):
        return resolver.value(form)
    raise misshapen(resolver, form, "compile.step-option", ":params is a map with string keys", STEP)


def _log(resolver: Resolver, form: ListForm) -> core.Node:
    require_count(resolver, form, 2, None, LOG)
    wanted = core.Const(LOG_ID, form.start, form.items[0].end)
    return core.HostCall(wanted, resolver.values(form.items[1:]), form.start, form.end)


def _named(form: ListForm, options: StepOptions, body: core.Node) -> core.Node:
    head = form.items[0]
    name = head.name if isinstance(head, SymbolForm) else "step"
    return core.Step(core.Const(name, head.start, head.end), options, body, form.start, form.end)


def _has_content(resolver: Resolver, form: Form) -> core.Node:
    return core.Intrinsic(Operation.HAS_CONTENT, (resolver.value(form),), form.start, form.end)


@FAMILY.form("step-if", STEP_IF)
def resolve_step_if(resolver: Resolver, form: ListForm) -> core.Node:
    """Choose as a step; 0 and empty values count as false too."""
    found, parts = _split_options(form.items[1:], _EXPOSURE)
    options = _options(resolver, form.start, found, STEP_IF)
    if not 2 <= len(parts) <= 3:
        raise misshapen(resolver, form, "compile.arity", f"`step-if` takes 2 to 3 forms, not {len(parts)}", STEP_IF)
    with resolver.block(form):
        test = _has_content(resolver, parts[0])
        with resolver.scope.conditionally():
            then = resolver.value(parts[1])
            other = resolver.value(parts[2]) if len(parts) == 3 else core.Const(None, form.start, form.end)
    return _named(form, options, core.Branch(((test, then),), other, form.start, form.end))


@FAMILY.form("step-loop", STEP_LOOP, inside=nothing)
def resolve_step_loop(resolver: Resolver, form: ListForm) -> core.Node:
    """Repeat as a step while the condition holds; the value is the last turn's."""
    found, parts = _split_options(form.items[1:], _EXPOSURE)
    options = _options(resolver, form.start, found, STEP_LOOP)
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
    return _named(form, options, core.Loop((turn, last), initials, branch, *place))


@FAMILY.form("step-parallel", PARALLEL)
def resolve_step_parallel(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate independent parts as a step, in order; the value is the vector of theirs."""
    found, parts = _split_options(form.items[1:], _PARALLEL_OPTIONS)
    options = replace(_options(resolver, form.start, found, PARALLEL), isolation="isolated")
    if not parts:
        raise misshapen(resolver, form, "compile.arity", "`step-parallel` takes at least 1 form", PARALLEL)
    with resolver.block(form):
        return _named(form, options, core.MakeVector(resolver.values(parts), form.start, form.end))


@FAMILY.form("llm-execute", LLM, shadowable=True)
def resolve_llm_execute(resolver: Resolver, form: ListForm) -> core.Node:
    """Ask the host for a language model's answer: `ccos.ai.llm-execute` with one map."""
    parts = form.items[1:]
    first = literal(parts[0]) if parts else None
    if isinstance(first, Keyword):
        named = _llm_options(resolver, parts)
    elif len(parts) == 2:
        named = dict(zip(_LLM_OPTIONS, parts, strict=False))
    else:
        problem = f"`llm-execute` takes a model and a prompt, or named options, not {len(parts)} forms"
        raise misshapen(resolver, form, "compile.arity", problem, LLM)
    for name, part in named.items():
        if isinstance(part, LiteralForm) and not isinstance(part.value, str):
            raise misshapen(resolver, part, "compile.llm-option", f"the {name} is a string", LLM)
    entries = tuple((Keyword(name), resolver.value(part)) for name, part in named.items())
    wanted = core.Const(LLM_ID, form.start, form.items[0].end)
    return core.HostCall(wanted, (core.MakeMap(entries, form.start, form.end),), form.start, form.end)


def _llm_options(resolver: Resolver, parts: Sequence[Form]) -> dict[str, Form]:
    found: dict[str, Form] = {}
    for at in range(0, len(parts), 2):
        key = literal(parts[at])
        if not isinstance(key, Keyword) or key.name not in _LLM_OPTIONS or key.name in found or at + 1 == len(parts):
            problem = "the options are :model, :prompt and :system, each once and with a value"
            raise misshapen(resolver, parts[at], "compile.llm-option", problem, LLM)
        found[key.name] = parts[at + 1]
    if "prompt" not in found:
        raise misshapen(resolver, parts[0], "compile.llm-option", "there is no :prompt", LLM)
    return found
