"""Type annotations: which types programs may name, and whether a value has one.

Owns the type names of this version (the primitive ones of the language reference, section 5.1, with the obvious
synonyms) and the check of a value against one. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.lang.forms import Form, LiteralForm
from cloister.lang.values import Keyword, Value, type_name

_KINDS: Final[dict[str, frozenset[str]]] = {
    "int": frozenset({"integer"}),
    "integer": frozenset({"integer"}),
    "float": frozenset({"float", "integer"}),  # an integer is accepted where a float is expected, not the reverse
    "number": frozenset({"integer", "float"}),
    "string": frozenset({"string"}),
    "bool": frozenset({"boolean"}),
    "boolean": frozenset({"boolean"}),
    "keyword": frozenset({"keyword"}),
    "symbol": frozenset({"symbol"}),
    "nil": frozenset({"nil"}),
    "map": frozenset({"map"}),
    "vector": frozenset({"vector", "list"}),
    "list": frozenset({"list", "vector"}),
    "function": frozenset({"function"}),
    "fn": frozenset({"function"}),
    "any": frozenset(),
}
TYPE_NAMES: Final = frozenset(_KINDS)


@dataclass(frozen=True, slots=True)
class Annotation:
    """A primitive type.

    Attributes:
        name: One of `TYPE_NAMES`.
        optional: Whether nil is accepted too.
    """

    name: str
    optional: bool

    def __str__(self) -> str:
        return f":{self.name}{'?' if self.optional else ''}"

    def accepts(self, value: Value) -> bool:
        """Say whether the value has this type."""
        if self.name == "any" or (self.optional and value is None):
            return True
        return type_name(value) in _KINDS[self.name]


def annotation_of(form: Form) -> Annotation | None:
    """Return the type a form names, or None when it is not the keyword of a known type.

    Names are accepted in lower case and capitalised (`:int`, `:Int`), each optionally with a trailing `?`.
    """
    if not isinstance(form, LiteralForm) or not isinstance(form.value, Keyword):
        return None
    written = form.value.name
    name = written.removesuffix("?")
    lowered = name[:1].lower() + name[1:]
    return Annotation(lowered, written.endswith("?")) if lowered in TYPE_NAMES else None
