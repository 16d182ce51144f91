"""What the reader makes of text: forms, each knowing where it stood.

Owns the closed set of form classes. A form holds syntax, not meaning; offsets are in characters of the source text, so
that a line and column are computed only when somebody asks. Forms are never changed after they were made: `Final` has
the type checker see to that, because a class that guards itself is four times slower to make, and a text has hundreds
of thousands. Part of the guest set: standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, TypeAlias

from cloister.lang.values import Keyword

LiteralValue: TypeAlias = None | bool | int | float | str | Keyword


@dataclass(slots=True, unsafe_hash=True)
class LiteralForm:
    """A value that stands for itself: nil, boolean, number, string or keyword."""

    value: Final[LiteralValue]
    start: Final[int]
    end: Final[int]


@dataclass(slots=True, unsafe_hash=True)
class SymbolForm:
    """A name to look up."""

    name: Final[str]
    start: Final[int]
    end: Final[int]


@dataclass(slots=True, unsafe_hash=True)
class ListForm:
    """A parenthesised form: a call or a special form."""

    items: Final[tuple[Form, ...]]
    start: Final[int]
    end: Final[int]


@dataclass(slots=True, unsafe_hash=True)
class VectorForm:
    """A bracketed form."""

    items: Final[tuple[Form, ...]]
    start: Final[int]
    end: Final[int]


@dataclass(slots=True, unsafe_hash=True)
class MapForm:
    """A braced form: pairs in source order. In a map that is a value the keys are literals, in a pattern also names."""

    entries: Final[tuple[tuple[Form, Form], ...]]
    start: Final[int]
    end: Final[int]


Form: TypeAlias = LiteralForm | SymbolForm | ListForm | VectorForm | MapForm
