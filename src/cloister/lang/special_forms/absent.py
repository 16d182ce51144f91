"""Forms of the language that this version refuses, so that nobody takes them for unknown functions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from cloister.errors import quoted
from cloister.lang import core
from cloister.lang.forms import ListForm, SymbolForm
from cloister.lang.special_forms.form import Family

if TYPE_CHECKING:
    from cloister.lang.resolver import Resolver

FAMILY = Family()

_INSTEAD: Final = {
    "match": "use cond or case, and let with a pattern to take values apart",
    "defmacro": "write a function with defn",
    "defstruct": "use plain maps",
    "deftype": "use plain maps",
    "module": "write the definitions at top level",
    "import": "put everything into one plan",
    "quasiquote": "build data with vector, hash-map and quote",
    "unquote": "build data with vector, hash-map and quote",
    "unquote-splicing": "build data with vector, hash-map and quote",
    "plan": "write the body of the plan at top level",
    "capability": "capabilities are provided by the host; call one with (call :id argument ...)",
    "resource": "pass it as an input of the run",
    "intent": "leave it out; the plan is what runs",
    "action": "leave it out; the plan is what runs",
    "llm-execute": "use (call :ccos.ai.llm-execute {...}) when the host provides it",
    "resource:ref": "pass it as an input of the run",
    "set!": "nothing can be changed in RTFS; bind a new value with let, or use loop and recur",
}


def _refuse(resolver: Resolver, form: ListForm) -> core.Node:
    head = form.items[0]
    name = head.name if isinstance(head, SymbolForm) else "form"
    raise resolver.error(
        form, "compile.not-supported", f"this version does not have `{quoted(name)}`", _INSTEAD.get(name)
    )


for _name in _INSTEAD:
    FAMILY.form(_name, f"({_name} ...)", shadowable=True)(_refuse)
