"""What the reader makes of text: forms, each knowing where it stood.

Owns the closed set of form classes. A form holds syntax, not meaning; offsets are in characters of the source text, so
that a line and column are computed only when somebody asks. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias

from cloister.lang.values import Keyword

LiteralValue: TypeAlias = None | bool | int | float | str | Keyword


@dataclass(frozen=True, slots=True)
class LiteralForm:
    """A value that stands for itself: nil, boolean, number, string or keyword."""

    value: LiteralValue
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SymbolForm:
    """A name to look up."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ListForm:
    """A parenthesised form: a call or a special form."""

    items: tuple[Form, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class VectorForm:
    """A bracketed form."""

    items: tuple[Form, ...]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class MapForm:
    """A braced form: key and value forms in source order; keys are keyword, string or integer literals."""

    entries: tuple[tuple[LiteralForm, Form], ...]
    start: int
    end: int


Form: TypeAlias = LiteralForm | SymbolForm | ListForm | VectorForm | MapForm
