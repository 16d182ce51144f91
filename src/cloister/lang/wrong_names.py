"""What is said about names that mean nothing, or two things, where they stand.

Handles names of hostile text. Part of the guest set: standard library only.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING

from cloister.errors import CompileError, quoted
from cloister.lang.forms import SymbolForm
from cloister.lang.special_forms.table import SPECIAL_FORMS
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.suggestions import NAME_CHARS_MAX, unknown_name

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver


def ambiguous(resolver: Resolver, form: SymbolForm) -> CompileError:
    """Return the error for a name that is a builtin function and an input."""
    name = quoted(form.name, 60)
    message = f'"{name}" is both a builtin function and an input of the run'
    return resolver.error(form, "compile.ambiguous-name", message, f"write @{name}, or give the input another name")


def unknown(resolver: Resolver, form: SymbolForm, *, is_called: bool) -> CompileError:
    """Return the error for a name that nothing binds."""
    name = quoted(form.name[: NAME_CHARS_MAX + 1], NAME_CHARS_MAX)
    special = SPECIAL_FORMS.get(form.name)
    if special is not None:
        message = f'"{name}" is a form, not a value'
        return resolver.error(form, "compile.form-as-value", message, f"write {special.shape}, or wrap it in (fn ...)")
    if form.name.endswith("#"):
        message = f'"{name}" means something only inside a template'
        return resolver.error(form, "compile.template", message, "put a ` before the form around it, or drop the #")
    later = resolver.scope.later(form.name)
    if later is not None:
        line = resolver.source.span(later.start, later.start).line
        message = f'"{name}" is used before its definition on line {line}'
        return resolver.error(form, "compile.unknown-name", message, "move the definition up")
    known = chain(BUILTINS, SPECIAL_FORMS, sorted(resolver.inputs), resolver.scope.names())
    if resolver.extension is not None:
        known = chain(resolver.extension.names(), known)
    message, hint = unknown_name(form.name, known, is_called=is_called)
    return resolver.error(form, "compile.unknown-name", message, hint)
