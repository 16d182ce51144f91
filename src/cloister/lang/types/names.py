"""Names of types, and forms that may be one.

Owns which names mean a type by themselves, how declared ones come in, and the exception for a form that is no type.
Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeAlias

from cloister.lang.forms import Form, ListForm, LiteralForm, SymbolForm, VectorForm
from cloister.lang.types import expression
from cloister.lang.types.expression import Declaration, Kind, Named, Type, optional
from cloister.lang.values import Keyword

Names: TypeAlias = Callable[[str], Declaration | None]
"""Finds the type a program declares under a name; None when there is none."""

_SYNONYMS: Final = {
    "integer": Kind.INT,
    "boolean": Kind.BOOL,
    "list": Kind.VECTOR,
    "fn": Kind.FUNCTION,
}
PRIMITIVES: Final = {kind.value: type_ for kind, type_ in expression.PRIMITIVES.items()} | {
    name: expression.PRIMITIVES[kind] for name, kind in _SYNONYMS.items()
}
"""The types without parts, by each of their names; each may also be written with a capital letter."""


class TypeProblem(Exception):
    """A form that is no type.

    Attributes:
        form: Where the problem is.
        message: What is wrong.
        hint: What to write instead.
    """

    def __init__(self, form: Form, message: str, hint: str) -> None:
        super().__init__(message)
        self.form = form
        self.message = message
        self.hint = hint


def no_names(name: str) -> None:
    """Find no declared type."""
    del name


def named_type(name: str, names: Names = no_names) -> Type | None:
    """Return the type of a name written without its colon, or None when nothing has that name.

    Names of the program come first, then the primitive ones in lower case or capitalised; with a `?` at the end nil is
    taken too.
    """
    declared = names(name)
    if declared is not None:
        return Named(declared)
    if name.endswith("?") and len(name) > 1:
        inner = named_type(name.removesuffix("?"), names)
        return None if inner is None else optional(inner)
    return PRIMITIVES.get(name) or PRIMITIVES.get(name[:1].lower() + name[1:])


def is_mark(form: Form) -> bool:
    """Say whether a form is the `?` that makes the type before it optional."""
    return isinstance(form, SymbolForm) and form.name == "?"


def head_name(form: Form) -> str | None:
    """Return the name a list or vector begins with, without colon; None when it begins with something else."""
    items = form.items if isinstance(form, (ListForm, VectorForm)) else ()
    return written_name(items[0]) if items else None


def written_name(form: Form) -> str | None:
    """Return the name a keyword or symbol is, without colon; nil is the name of its type."""
    if isinstance(form, SymbolForm):
        return form.name
    if isinstance(form, LiteralForm):
        return form.value.name if isinstance(form.value, Keyword) else "nil" if form.value is None else None
    return None
