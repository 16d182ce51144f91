"""Forms for errors: try with catch and finally, throw."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from cloister.errors import quoted
from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.forms import Form, ListForm, LiteralForm, SymbolForm
from cloister.lang.special_forms.form import Family, misshapen, require_count
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

TRY: Final = "(try body ... (catch kind name handler ...) (finally cleanup ...))"
CATCH: Final = "(catch kind? name handler ...)"
FINALLY: Final = "(finally cleanup ...)"
THROW: Final = "(throw value)"

ERROR_KINDS: Final = frozenset({
    "TypeError", "UndefinedSymbol", "ArityMismatch", "ArithmeticOverflow", "DivisionByZero", "IndexOutOfBounds",
    "KeyNotFound",
    "InvalidArgument", "InvalidArguments", "TypeValidationError", "MatchError", "SecurityViolation",
    "UnknownCapability", "BudgetExhausted", "NotImplemented", "NotCallable", "InvalidProgram", "IoError",
    "NetworkError", "JsonError", "StorageError", "ResourceError", "ApplicationError",
})  # fmt: skip
"""Kinds a catch clause can select (language reference, section 3.6); every other name catches all, `Generic` too."""

SHORT_KIND_CHARS: Final = 7
"""So long is `IoError`. Two letters make another word of it, such as `Error`, which catches everything."""

_BY_FOLDED: Final = {kind.lower(): kind for kind in ERROR_KINDS}


@FAMILY.form("try", TRY, inside=lambda form: tuple(_shared(form)))
def resolve_try(resolver: Resolver, form: ListForm) -> core.Node:
    """Evaluate the body and hand errors to the first clause that takes their kind."""
    body, catches, last = _split(form)
    if not catches and last is None:
        raise misshapen(resolver, form, "compile.try", "this `try` has neither `catch` nor `finally`", TRY)
    for item in body:
        if _head(item) in {"catch", "finally"}:
            raise misshapen(resolver, item, "compile.try", "clauses stand last, and `finally` after `catch`", TRY)
    with resolver.block(form, 2), resolver.scope.conditionally():
        resolver.tail = False
        inner = resolver.body(body, form.start, form.end)
        clauses = tuple(_catch(resolver, clause) for clause in catches)
    cleanup = None
    if last is not None:
        require_count(resolver, last, 1, None, FINALLY)
        cleanup = resolver.body(last.items[1:], last.start, last.end)
    return core.Try(inner, clauses, cleanup, form.start, form.end)


def _split(form: ListForm) -> tuple[Sequence[Form], list[ListForm], ListForm | None]:
    items = form.items[1:]
    last: ListForm | None = None
    if items and isinstance(items[-1], ListForm) and _head(items[-1]) == "finally":
        last, items = items[-1], items[:-1]
    catches: list[ListForm] = []
    while items and isinstance(items[-1], ListForm) and _head(items[-1]) == "catch":
        catches.append(items[-1])
        items = items[:-1]
    return items, catches[::-1], last


def _shared(form: ListForm) -> Sequence[Form]:
    body, _, last = _split(form)
    return [*body, *(last.items[1:] if last else ())]


def _head(form: Form) -> str | None:
    head = form.items[0] if isinstance(form, ListForm) and form.items else None
    return head.name if isinstance(head, SymbolForm) else None


def _catch(resolver: Resolver, form: ListForm) -> core.Catch:
    require_count(resolver, form, 2, None, CATCH)
    pattern, *handler = form.items[1:]
    names = [pattern] if isinstance(pattern, SymbolForm) else []
    if isinstance(pattern, LiteralForm) and isinstance(pattern.value, Keyword):
        written = pattern.value.name
    elif isinstance(pattern, SymbolForm):
        written = pattern.name
    else:
        raise misshapen(resolver, pattern, "compile.catch", "a kind of error or a name belongs here", CATCH)
    if len(handler) > 1 and isinstance(handler[0], SymbolForm):
        names.append(handler[0])
        handler = handler[1:]
    folded = written.replace("-", "").replace("_", "").lower()
    kind = _BY_FOLDED.get(folded)
    if kind is None and (isinstance(pattern, LiteralForm) or len(names) == 2):
        _refuse_misspelt(resolver, pattern, written, folded)
    with resolver.new_scope():
        variables = tuple(resolver.bind(name.name, name.start) for name in names)
        resolver.tail = False
        body = resolver.scope_body(handler, form.start, form.end)
    return core.Catch(kind, variables, body, form.start, form.end)


def _refuse_misspelt(resolver: Resolver, form: Form, written: str, folded: str) -> None:
    # An unknown kind catches everything, which a misspelt one was not meant to.
    for known, kind in _BY_FOLDED.items():
        if is_misspelt(folded, known):
            message = f'"{quoted(written, 40)}" is no kind of error; did you mean "{kind}"?'
            hint = f"write (catch :{kind} e ...); (catch e ...) takes every error"
            raise resolver.error(form, "compile.catch", message, hint)


def is_misspelt(written: str, known: str) -> bool:
    """Say whether a word is another with one or two letters added, lost, changed or swapped; one in a short word."""
    most = 2 if len(known) > SHORT_KIND_CHARS else 1
    if abs(len(written) - len(known)) > most:
        return False
    before: list[int] = []
    row = list(range(len(known) + 1))
    for at, letter in enumerate(written, 1):
        following = [at]
        for other, wanted in enumerate(known, 1):
            cost = min(row[other] + 1, following[other - 1] + 1, row[other - 1] + (letter != wanted))
            if at > 1 and other > 1 and letter == known[other - 2] and written[at - 2] == wanted:
                cost = min(cost, before[other - 2] + 1)
            following.append(cost)
        before, row = row, following
    return row[-1] <= most


def _lonely(resolver: Resolver, form: ListForm) -> core.Node:
    raise misshapen(resolver, form, "compile.try", f"`{_head(form)}` stands outside of `try`", TRY)


FAMILY.form("catch", CATCH, shadowable=True)(_lonely)
FAMILY.form("finally", FINALLY, shadowable=True)(_lonely)


@FAMILY.form("throw", THROW, shadowable=True)
def resolve_throw(resolver: Resolver, form: ListForm) -> core.Node:
    """Raise an error: an error value again, or a new one with a message or data."""
    require_count(resolver, form, 1, 1, THROW)
    return core.Intrinsic(Operation.THROW, (resolver.value(form.items[1]),), form.start, form.end)
