"""Symbols that nobody wrote: gensym.

Owns how their names look. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.stdlib.budget import current
from cloister.lang.stdlib.builtin import Topic, type_error
from cloister.lang.values import Symbol, Value

TOPIC: Final = Topic()
_builtin = TOPIC.builtin


@_builtin(
    "gensym",
    0,
    1,
    signature="(gensym prefix?)",
    examples=('(symbol? (gensym "x")) ;=> true', "(= (gensym) (gensym)) ;=> false"),
)
def gensym(prefix: Value = "g") -> Value:
    """Return a symbol that is no other one: for names in the code a macro makes.

    Its name is the prefix, `#` and a number, which no symbol in a text can have. The numbers are counted from the start
    of the run, or of the expansion of the macro; expanding a macro twice still gives different names.
    """
    if not isinstance(prefix, str):
        raise type_error("gensym", "string", prefix)
    budget = current()
    budget.charge_value_bytes(len(prefix))
    budget.symbols_count += 1
    return Symbol(f"{prefix}#{budget.symbols_count}")
