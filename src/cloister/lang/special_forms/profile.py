"""`with-security-profile`: what a part of a plan may do at most.

Owns the reading of what is declared into plain data. What it means, and whether the context has it, is for the
authority to say; nothing here grants anything. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Final

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, VectorForm
from cloister.lang.host import StepOptions
from cloister.lang.special_forms.form import Family, misshapen, require_count
from cloister.lang.values import Keyword, Map, Value
from cloister.limits import ResourceLimits

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

NAME: Final = "with-security-profile"
SHAPE: Final = (
    "(with-security-profile {:capabilities [...] :read [...] :write [...] :env [...] :hosts [...] :limits {...} "
    ":isolation :process :deterministic true :features [...]} body ...)"
)
CODE: Final = "compile.profile"

ITEMS_MAX: Final = 100
TEXT_CHARS_MAX: Final = 4096
"""How many things one option may list, and how long each may be. Source: linux/limits.h, PATH_MAX."""
LEVELS: Final = ("process-reduced", "process", "wasm", "user-kernel", "machine-reduced", "machine")
"""The labels of `authority.level.IsolationLevel` that a plan can demand."""
FEATURES: Final = ("gpu", "model")
LIMITS: Final = frozenset(each.name for each in fields(ResourceLimits))
INTEGER_MAX: Final = 2**63 - 1

_Problem = str
"""What is wrong with a value, in words."""


def _texts(value: Value) -> tuple[str, ...] | None:
    if not isinstance(value, tuple) or len(value) > ITEMS_MAX:
        return None
    texts = [item.name if isinstance(item, Keyword) else item for item in value]
    if not all(isinstance(text, str) and 0 < len(text) <= TEXT_CHARS_MAX for text in texts):
        return None
    return tuple(sorted(set(texts)))


def _listed(name: str, value: Value) -> Value | _Problem:
    texts = _texts(value)
    return f":{name} is a vector of at most {ITEMS_MAX} texts or keywords" if texts is None else texts


def _paths(name: str, value: Value) -> Value | _Problem:
    texts = _texts(value)
    if texts is None or not all(text.startswith("/") and "\0" not in text for text in texts):
        return f":{name} is a vector of at most {ITEMS_MAX} absolute paths"
    return texts


def _features(name: str, value: Value) -> Value | _Problem:
    texts = _texts(value)
    if texts is None or not set(texts) <= set(FEATURES):
        return f":{name} is a vector of these: {', '.join(':' + each for each in FEATURES)}"
    return texts


def _limits(name: str, value: Value) -> Value | _Problem:
    if not isinstance(value, Map) or not value:
        return f":{name} is a map of limits, for example {{:wall-ms 1000}}"
    found: dict[Value, Value] = {}
    for key, number in value.items():
        limit = (key.name if isinstance(key, Keyword) else str(key)).replace("-", "_")
        if limit not in LIMITS:
            return f'there is no limit "{quoted(limit, 60)}"; cloister run has an option for each there is'
        if type(number) is not int or not 1 <= number <= INTEGER_MAX:
            return f"the limit {limit} is a whole number of at least 1"
        found[limit] = number
    return Map(sorted(found.items(), key=lambda entry: str(entry[0])))


def _isolation(name: str, value: Value) -> Value | _Problem:
    level = value.name if isinstance(value, Keyword) else value
    known = isinstance(level, str) and level in LEVELS
    return (level,) if known else f":{name} is one of {', '.join(':' + each for each in LEVELS)}"


def _truth(name: str, value: Value) -> Value | _Problem:
    return value if isinstance(value, bool) else f":{name} is true or false"


_OPTIONS: Final[Mapping[str, Callable[[str, Value], Value | _Problem]]] = {
    "capabilities": _listed, "read": _paths, "write": _paths, "env": _listed, "hosts": _listed, "limits": _limits,
    "isolation": _isolation, "deterministic": _truth, "features": _features,
}  # fmt: skip


def checked_profile(declared: Map) -> Map | str:
    """Return what is declared in the one form the authority reads, or what is wrong with it.

    Args:
        declared: Keywords and values as written.

    Returns:
        A map from option names, as text and in order, to vectors of texts, the limits by field name, and truth values.
    """
    found: dict[str, Value] = {}
    for key, value in declared.items():
        name = key.name if isinstance(key, Keyword) else key
        check = _OPTIONS.get(name) if isinstance(name, str) else None
        if check is None or name in found:
            shown = ", ".join(":" + each for each in _OPTIONS)
            return f"a security profile has these options, each once: {shown}"
        read = check(name, value)
        if isinstance(read, str):
            return read
        found[name] = read
    return Map(sorted(found.items()))


def is_checked_profile(value: object) -> bool:
    """Return whether a value is what `checked_profile` gives: an artefact may be anybody's."""
    if not isinstance(value, Map):
        return False
    again = checked_profile(Map((name, part[0] if name == "isolation" else part) for name, part in value.items()))
    return isinstance(again, Map) and again == value and list(again) == list(value)


@FAMILY.form(NAME, SHAPE)
def resolve_profile(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate the body as a step that may do no more than is declared; admission refuses a body that needs more."""
    require_count(resolver, form, 2, None, SHAPE)
    declared = _literal(resolver, form.items[1])
    if not isinstance(declared, Map):
        raise misshapen(resolver, form.items[1], CODE, "what a part of a plan may do is a map", SHAPE)
    profile = checked_profile(declared)
    if isinstance(profile, str):
        raise misshapen(resolver, form.items[1], CODE, profile, SHAPE)
    place, head = (form.start, form.end), form.items[0]
    resolver.tail = False
    with resolver.block(form):
        body = resolver.body(form.items[2:], *place)
    options = StepOptions(place=form.start, profile=profile)
    return core.Step(core.Const(NAME, head.start, head.end), options, body, *place)


def _literal(resolver: Resolver, form: Form) -> Value:
    match form:
        case LiteralForm(value=value):
            return value
        case VectorForm(items=items):
            return tuple(_literal(resolver, item) for item in items)
        case MapForm(entries=entries):
            pairs = [(_literal(resolver, key), _literal(resolver, value)) for key, value in entries]
            if len(dict(pairs)) == len(pairs):
                return Map(pairs)
    raise _not_literal(resolver, form)


def _not_literal(resolver: Resolver, form: Form) -> CompileError:
    return misshapen(
        resolver, form, CODE, "a security profile is written out: it holds literals alone, each once", SHAPE
    )
