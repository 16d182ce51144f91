"""The forms that only the top level knows: defmacro, module, import.

Owns what is said where they stand elsewhere; what they do is in `lang.macros` and `lang.modules`. Part of the guest
set: standard library only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloister.lang import core
from cloister.lang.forms import ListForm, SymbolForm
from cloister.lang.special_forms.form import Family, nothing

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

DEFMACRO: Final = "(defmacro name [parameter ...] body ...)"
MODULE: Final = "(module name (:exports [name ...]) definition ...)"
IMPORT: Final = "(import name), (import name :as short) or (import name :only [name ...])"


@FAMILY.form("defmacro", DEFMACRO, inside=nothing, shadowable=True)
@FAMILY.form("module", MODULE, inside=nothing, shadowable=True)
@FAMILY.form("import", IMPORT, inside=nothing, shadowable=True)
def refuse_inside(resolver: Resolver, form: ListForm) -> core.Node:
    """Refuse it, because the top level takes those that stand there."""
    head = form.items[0]
    name = head.name if isinstance(head, SymbolForm) else "form"
    message = f"`{name}` stands at the top level only"
    raise resolver.error(form, "compile.top-level", message, "move it out of the form around it")
