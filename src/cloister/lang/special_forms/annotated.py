"""Type annotations of bindings: where they stand, and the checks they become.

Owns the reading of `pattern annotation? value` vectors and of what may follow a name or the parameters of a function
(language reference, section 2.3, and section 9 row 1), and the cast node. The grammar of types is in `types.parse`.
Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, LiteralForm, SymbolForm, VectorForm
from cloister.lang.special_forms.form import misshapen
from cloister.lang.types.expression import ANY, Type, optional
from cloister.lang.types.names import TypeProblem, head_name, is_mark, named_type
from cloister.lang.types.parse import COMPOUND_NAMES, read_type
from cloister.lang.values import Keyword

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver


@dataclass(frozen=True, slots=True)
class Part:
    """One `pattern annotation? value` of a binding vector."""

    pattern: Form
    annotation: Type | None
    value: Form


def type_of(resolver: Resolver, form: Form) -> Type:
    """Return the type that a form in the place of one describes.

    Raises:
        CompileError: `compile.annotation` when it describes none.
    """
    try:
        return read_type(form, resolver.find_type)
    except TypeProblem as problem:
        raise resolver.error(problem.form, "compile.annotation", problem.message, problem.hint) from None


def is_annotation(resolver: Resolver, form: Form) -> bool:
    """Say whether a form can only be an annotation, or is the keyword of a known type."""
    if isinstance(form, LiteralForm) and isinstance(form.value, Keyword):
        return named_type(form.value.name, resolver.find_type) is not None
    return _is_marked(form)


def type_pattern(resolver: Resolver, form: Form) -> Type | None:
    """Return the type that a bracketed pattern of `match` describes; None when it is a pattern of elements.

    `[:vector :int]` is a type; `[:vector x]` takes two elements, for what stands inside it is no type.
    """
    if not isinstance(form, VectorForm) or not form.items or not isinstance(form.items[0], LiteralForm):
        return None
    if head_name(form) not in COMPOUND_NAMES:
        return None
    try:
        return read_type(form, resolver.find_type)
    except TypeProblem:
        return None


def take_annotation(resolver: Resolver, forms: Sequence[Form], *, needed: int) -> tuple[Type | None, Sequence[Form]]:
    """Split the annotation off the front of some forms.

    A keyword is one only when it names a known type; in any case `needed` forms must be left after it.

    Returns:
        The type, None when there is no annotation, and the forms that are left.
    """
    if len(forms) <= needed or not is_annotation(resolver, forms[0]):
        return None, forms
    type_, left = type_of(resolver, forms[0]), forms[1:]
    if len(left) > needed and is_mark(left[0]):
        return optional(type_), left[1:]
    return type_, left


def not_a_type(resolver: Resolver, form: Form, shape: str) -> CompileError:
    """Return the error for a form that stands where only an annotation can, and is none."""
    try:
        type_of(resolver, form)
    except CompileError as error:
        return error
    return misshapen(resolver, form, "compile.annotation", "a type cannot stand here", shape)


def cast(value: core.Node, annotation: Type | None, subject: str) -> core.Node:
    """Return `value` checked against the annotation, when there is one that says anything."""
    if annotation is None or annotation == ANY:
        return value
    return core.Cast(value, annotation, subject, value.start, value.end)


def binding_parts(resolver: Resolver, vector: VectorForm, code: str, shape: str) -> list[Part]:
    """Split a binding vector into its parts.

    A keyword after a pattern is an annotation only when it names a type and a value still follows; of several ways to
    read the vector, the one with values as early as possible is taken.

    Raises:
        CompileError: With the given code when there is no way to read it.
    """
    items = vector.items
    steps = _readings(resolver, items)
    if not steps[0]:
        raise _unreadable(resolver, vector, code, shape)
    parts, at = [], 0
    while at < len(items):
        size = steps[at]
        annotation, _ = take_annotation(resolver, items[at + 1 : at + size], needed=1) if size > 2 else (None, ())
        parts.append(Part(items[at], annotation, items[at + size - 1]))
        at += size
    return parts


def _readings(resolver: Resolver, items: Sequence[Form]) -> list[int]:
    # From the end: how many forms the part that starts at each place takes, 0 when nothing readable starts there.
    steps = [0] * len(items) + [1, 0, 0]
    for at in range(len(items) - 2, -1, -1):
        if isinstance(items[at], LiteralForm) or _is_marked(items[at]) or is_mark(items[at]):
            continue
        if steps[at + 2] and not _is_marked(items[at + 1]):
            steps[at] = 2
        elif steps[at + 3] and is_annotation(resolver, items[at + 1]):
            steps[at] = 3
        elif at + 4 <= len(items) and steps[at + 4] and is_mark(items[at + 2]):
            steps[at] = 4 if is_annotation(resolver, items[at + 1]) else 0
    return steps


def _is_marked(form: Form) -> bool:
    return isinstance(form, ListForm) and head_name(form) == "type-annotation"


def _unreadable(resolver: Resolver, vector: VectorForm, code: str, shape: str) -> CompileError:
    items = vector.items
    for before, item in pairwise(items):
        if not isinstance(item, LiteralForm) or not isinstance(item.value, Keyword):
            continue
        if isinstance(before, SymbolForm) and len(items) % 2 and not is_annotation(resolver, item):
            try:
                type_of(resolver, item)
            except CompileError as error:
                return error
    for item in items[::2]:
        if isinstance(item, LiteralForm):
            return misshapen(resolver, item, code, "a value stands where a name or pattern belongs", shape)
    for item in items:
        if is_mark(item):
            message = "`?` stands where a name or pattern belongs"
            return misshapen(resolver, item, "compile.annotation", message, "name :type? value")
    last = items[-1]
    problem = (
        f"`{quoted(last.name, 40)}` has no value" if isinstance(last, SymbolForm) else "the last pattern has no value"
    )
    return misshapen(resolver, vector, code, problem, shape)
