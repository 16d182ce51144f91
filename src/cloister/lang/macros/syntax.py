"""Forms as values and back, so that what a macro was given keeps its place.

Owns the correspondence between the forms handed to macros and the values that stand for them. A value is recognised
by its identity: a macro that passes on what it was given, or a part of it, passes on the very form. Whatever it makes
itself gets the place of the macro's use. Handles the results of hostile macros. Part of the guest set: standard
library only.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.values import Keyword, List, Map, Symbol, Value, settled, type_name
from cloister.lang.wide_map import map_of

SymbolMaker: TypeAlias = Callable[[str], Form]
"""Makes the form of a symbol that a macro made itself."""

FRESH: Final = re.compile(r"#[0-9]+(?!.)", re.DOTALL)
"""How the name of a symbol from `gensym` ends; no reader makes one (see `stdlib.symbols`)."""

_ATOMS: Final = (type(None), bool, int, float, str, Keyword)


class NotCodeError(Exception):
    """A macro gave something that is not code; the argument says what. Caught by the expander."""


class TooMuchCodeError(Exception):
    """A macro made more forms than it may. Caught by the expander."""


@dataclass(frozen=True, slots=True)
class Code:
    """The form that a macro's result stands for.

    Attributes:
        form: It.
        made_count: Forms that the macro made itself.
        size: Forms it has in all, those handed on counted as often as they appear.
        height: How deep those are nested that the macro made itself.
    """

    form: Form
    made_count: int
    size: int
    height: int


class Syntax:
    """The forms that were handed to macros, and their values. Every value lives as long as this, so identities hold."""

    def __init__(self) -> None:
        self._values: dict[int, tuple[Form, Value]] = {}
        self._forms: dict[int, tuple[Value, Form]] = {}
        self._sizes: dict[int, tuple[Form, int]] = {}

    def value(self, form: Form) -> Value:
        """Return the value that stands for a form: the same one every time.

        Raises:
            NotCodeError: For a map with a key that no value can stand for.

        Cost:
            Linear in the form the first time.
        """
        if isinstance(form, LiteralForm):
            return form.value
        known = self._values.get(id(form))
        if known is not None:
            return known[1]
        value = self._made(form)
        self._values[id(form)] = form, value
        if value != ():  # Python has only one empty tuple
            self._forms[id(value)] = value, form
        return value

    def _made(self, form: Form) -> Value:
        match form:
            case SymbolForm():
                return Symbol(form.name)
            case ListForm():
                return List([self.value(item) for item in form.items])
            case VectorForm():
                return tuple([self.value(item) for item in form.items])
            case MapForm():
                keys = [self._key(key) for key, _ in form.entries]
                return map_of(keys, [self.value(item) for _, item in form.entries])
            case LiteralForm():
                return form.value

    def _key(self, form: Form) -> Value:
        key = self.value(form)
        try:
            hash(key)
        except TypeError:
            raise NotCodeError("a map inside it has a map as a key") from None
        return key

    def size(self, form: Form) -> int:
        """Return how many forms there are in a form, itself included.

        Cost:
            Linear in the form the first time.
        """
        if isinstance(form, (LiteralForm, SymbolForm)):
            return 1
        known = self._sizes.get(id(form))
        if known is not None:
            return known[1]
        items = [part for entry in form.entries for part in entry] if isinstance(form, MapForm) else form.items
        size = 1 + sum(self.size(item) for item in items)
        self._sizes[id(form)] = form, size
        return size

    def form(self, value: Value) -> Form | None:
        """Return the form that was handed out as this very value, or None."""
        known = self._forms.get(id(value))
        return known[1] if known is not None else None

    def code(self, value: Value, start: int, end: int, symbol: SymbolMaker, most: int) -> Code:
        """Return the form that a value stands for.

        Args:
            value: What a macro gave.
            start: Where the macro's use starts.
            end: Where it ends.
            symbol: Makes the forms of symbols.
            most: How many forms there may be, those handed on included.

        Raises:
            NotCodeError: A part of it is no code.
            TooMuchCodeError: There are more forms.
        """
        reading = _Reading(self, start, end, symbol, most)
        form, height = reading.form(value)
        return Code(form, reading.made_count, reading.size, height)


class _Reading:
    """One result while it is turned into forms."""

    def __init__(self, syntax: Syntax, start: int, end: int, symbol: SymbolMaker, most: int) -> None:
        self._syntax = syntax
        self._start = start
        self._end = end
        self._symbol = symbol
        self._most = most
        self.made_count = 0
        self.size = 0

    def form(self, value: Value) -> tuple[Form, int]:
        """Return the form of a value, and how deep the forms are nested that are made for it."""
        known = self._syntax.form(value)
        if known is not None:
            self._count(self._syntax.size(known))
            return known, 0
        self._count(1)
        self.made_count += 1
        if isinstance(value, _ATOMS):
            return LiteralForm(value, self._start, self._end), 1
        if isinstance(value, Symbol):
            return self._symbol(value.name), 1
        value = settled(value)
        if isinstance(value, Map):
            return self._map(value)
        if not isinstance(value, tuple):
            raise NotCodeError(f"its result holds a value of the kind {type_name(value)}")
        parts = [self.form(item) for item in value]
        items = tuple(form for form, _ in parts)
        height = 1 + max((height for _, height in parts), default=0)
        if isinstance(value, List):
            return ListForm(items, self._start, self._end), height
        return VectorForm(items, self._start, self._end), height

    def _map(self, value: Map) -> tuple[Form, int]:
        parts = [(self.form(key), self.form(item)) for key, item in value.items()]
        entries = tuple((key, item) for (key, _), (item, _) in parts)
        height = 1 + max((height for pair in parts for _, height in pair), default=0)
        return MapForm(entries, self._start, self._end), height

    def _count(self, forms: int) -> None:
        self.size += forms
        if self.size > self._most:
            raise TooMuchCodeError
