"""Reader sugar: which plain list a prefix, a `#()` function, metadata or an optional field stands for.

Owns the spelling of sugar and what it becomes, so that nothing after the reader knows it existed. Handles forms of
hostile text. Part of the guest set: standard library only.

Source: language reference, sections 1.6 and 1.7, and section 9 rows 1 and 3 to 5.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.nesting import Frame
from cloister.lang.values import Keyword

PREFIXES: Final = {"'": "quote", "`": "quasiquote", "~": "unquote", "~@": "unquote-splicing", "^": "with-meta"}
"""The head of the list that each prefix stands for. A colon is one too, where it is no part of a word."""

PARAMETERS_MAX: Final = 20
"""Highest `%n` in a `#()` function."""

_PARAMETER: Final = re.compile(r"%([0-9]+)?")
_DELEGATION_FORMS: Final = {"local": 3, "local-model": 4, "remote": 4}
"""How many forms follow `^`, the annotated form included, by the target of `^:delegation`."""


def wrap(frame: Frame) -> Form:
    """Return the list that a prefix with all its forms stands for."""
    start, items = frame.start, frame.items
    end = items[-1].end
    head = SymbolForm(PREFIXES.get(frame.opener, "type-annotation"), start, frame.end)
    if len(items) <= 2:
        return ListForm((head, *items), start, end)
    key, *targets, annotated = items
    target = targets[0] if len(targets) == 1 else VectorForm(tuple(targets), targets[0].start, targets[-1].end)
    return ListForm((head, MapForm(((key, target),), key.start, target.end), annotated), start, end)


def metadata_forms(items: Sequence[Form]) -> int | None:
    """Return how many forms a `^` takes, as far as those after it tell; None when they are no metadata."""
    first, *more = items
    if isinstance(first, MapForm):
        return 2
    if first != LiteralForm(Keyword("delegation"), first.start, first.end):
        return None
    if not more:
        return 3
    target = more[0].value if isinstance(more[0], LiteralForm) else None
    awaited = _DELEGATION_FORMS.get(target.name, 0) if isinstance(target, Keyword) else 0
    if awaited == 3 or (awaited and (len(more) < 2 or _is_text(more[1]))):
        return awaited
    return None


def _is_text(form: Form) -> bool:
    return isinstance(form, LiteralForm) and isinstance(form.value, str)


def optional_folded(items: Sequence[Form]) -> list[Form]:
    """Return the forms of a map with every lone `?` where a key would stand made part of the value before it."""
    folded: list[Form] = []
    for item in items:
        if type(item) is SymbolForm and item.name == "?" and folded and len(folded) % 2 == 0:
            kind = folded.pop()
            head = SymbolForm("type-optional", item.start, item.end)
            folded.append(ListForm((head, kind), kind.start, item.end))
        else:
            folded.append(item)
    return folded


@dataclass(slots=True)
class Parameters:
    """What the body of an open `#()` says about its parameters."""

    highest: int = 0
    rest: bool = False

    def note(self, symbol: SymbolForm) -> SymbolForm | None:
        """Count a name that begins with `%`, and return it as the parameter it means: `%` is `%1`.

        Returns:
            None when its number is out of range.
        """
        match = _PARAMETER.fullmatch(symbol.name)
        if match is None:
            self.rest |= symbol.name == "%&"
            return symbol
        digits = match.group(1) or "1"
        number = int(digits) if len(digits) <= 3 else 0
        if not 1 <= number <= PARAMETERS_MAX:
            return None
        self.highest = max(self.highest, number)
        return SymbolForm(f"%{number}", symbol.start, symbol.end)

    def function(self, frame: Frame, body: tuple[Form, ...], end: int) -> ListForm:
        """Return the `fn` form that `#(body)` stands for."""
        start = frame.start
        names = [f"%{number}" for number in range(1, self.highest + 1)]
        names += ["&", "%&"] if self.rest else []
        vector = VectorForm(tuple(SymbolForm(name, start, frame.end) for name in names), start, frame.end)
        return ListForm((SymbolForm("fn", start, start + 1), vector, ListForm(body, start + 1, end)), start, end)
