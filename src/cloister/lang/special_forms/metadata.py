"""Metadata: execution hints, and functions whose calls go to a model.

Owns what `^{...}` and `^:delegation` mean (language reference, sections 1.7 and 2.4). Part of the guest set: standard
library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import Family, misshapen, require_count
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.errors import CompileError
    from cloister.lang.resolver import Resolver

FAMILY = Family()

META: Final = "^{:key value} form"
DELEGATION: Final = '(fn ^:delegation :remote "model" [parameter ...] body ...)'

HINT_PREFIX: Final = "runtime."
MODEL_PREFIX: Final = "model-call:"
"""What a call of a delegated function asks the host for, in front of the model's id."""

MODEL_CHARS_MAX: Final = 150
"""Longest id of a model; capability ids have at most 200 characters."""

_MODEL_TARGETS: Final = (Keyword("local-model"), Keyword("remote"))


@FAMILY.form("with-meta", META, inside=lambda form: form.items[1:], shadowable=True)
def resolve_with_meta(resolver: Resolver, form: ListForm) -> core.Node:
    """Give `runtime.` metadata to the host with the calls of the form; other metadata only describes."""
    tail = resolver.tail
    require_count(resolver, form, 2, 2, META)
    entries = _entries(resolver, form)
    if model_of(resolver, form) is not None:
        problem = "delegation belongs to functions: before the parameters of `fn`, or before the name in `defn`"
        raise misshapen(resolver, form.items[1], "compile.delegation", problem, DELEGATION)
    hints = [(name, value) for name, value in entries if name.startswith(HINT_PREFIX)]
    if not hints:
        return resolver.in_tail(form.items[2], tail)
    values = tuple((name, resolver.value(value)) for name, value in hints)
    with resolver.block(form):
        return core.Hinted(values, resolver.value(form.items[2]), form.start, form.end)


def _entries(resolver: Resolver, form: ListForm) -> list[tuple[str, Form]]:
    metadata = form.items[1]
    if not isinstance(metadata, MapForm):
        raise misshapen(resolver, metadata, "compile.metadata", "metadata is a map", META)
    keys = [resolver.map_key(key) for key, _ in metadata.entries]
    names = [key.name if isinstance(key, Keyword) else str(key) for key in keys]
    return list(zip(names, (value for _, value in metadata.entries), strict=True))


def model_of(resolver: Resolver, form: Form) -> str | None:
    """Return the id of the model that metadata around a form delegates to, or None when it runs here.

    Raises:
        CompileError: `compile.delegation` for a target that does not exist, `compile.metadata`.
    """
    model: str | None = None
    while isinstance(form, ListForm) and len(form.items) == 3 and _is_metadata(form.items[0]):
        for name, target in _entries(resolver, form):
            if name == "delegation":
                model = _target(resolver, target)
        form = form.items[2]
    return model


def _is_metadata(head: Form) -> bool:
    return isinstance(head, SymbolForm) and head.name == "with-meta"


def _target(resolver: Resolver, form: Form) -> str | None:
    if isinstance(form, LiteralForm) and form.value is Keyword("local"):
        return None
    if not isinstance(form, VectorForm) or len(form.items) != 2:
        raise _no_target(resolver, form)
    kind, model = form.items
    if not isinstance(kind, LiteralForm) or kind.value not in _MODEL_TARGETS:
        raise _no_target(resolver, form)
    if not isinstance(model, LiteralForm) or not isinstance(model.value, str):
        raise _no_target(resolver, form)
    if not 1 <= len(model.value) <= MODEL_CHARS_MAX:
        problem = f"the id of a model has 1 to {MODEL_CHARS_MAX} characters"
        raise misshapen(resolver, model, "compile.delegation", problem, DELEGATION)
    return model.value


def _no_target(resolver: Resolver, form: Form) -> CompileError:
    problem = 'delegation is to :local, :local-model "id" or :remote "id"'
    return misshapen(resolver, form, "compile.delegation", problem, DELEGATION)


def model_call(model: str, parameters: Sequence[core.Variable], form: Form) -> core.Node:
    """Return what a delegated function does: ask the host for the model, with the arguments."""
    place = form.start, form.end
    arguments = tuple(core.Local(parameter, False, *place) for parameter in parameters)
    return core.HostCall(core.Const(MODEL_PREFIX + model, *place), arguments, *place)
