r"""Sets of characters: what one position of a regular expression accepts.

Owns membership: ranges, classes such as `\d` and `\p{Lu}`, negation, and letters that are the same when case does not
matter. All classes are those of Unicode, as the version of Python knows it; POSIX classes are ASCII. Part of the guest
set: standard library only.

Source: Unicode Technical Standard 18, annex C, for `\d \w \s`; POSIX.1-2017, chapter 9.3.5, for the named classes.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Final
from unicodedata import category

CODE_MAX: Final = 0x10FFFF

SPACES: Final = frozenset(
    "\t\n\v\f\r \x85\xa0\u1680\u2028\u2029\u202f\u205f\u3000" + "".join(map(chr, range(0x2000, 0x200B)))
)
"""The characters with the property White_Space."""

_JOINERS: Final = frozenset("\u200c\u200d")
_WORD_CATEGORIES: Final = frozenset({"Nd", "Nl", "Pc"})


def is_word(char: str) -> bool:
    r"""Say whether `\w` takes a character: letters, marks, decimal digits, letter numbers, connectors, joiners."""
    if char.isascii():
        return char.isalnum() or char == "_"
    kind = category(char)
    return kind[0] in "LM" or kind in _WORD_CATEGORIES or char in _JOINERS


def is_space(char: str) -> bool:
    r"""Say whether `\s` takes a character: those with the property White_Space."""
    return char in SPACES


PROPERTIES: Final[Mapping[str, Callable[[str], bool]]] = MappingProxyType({
    "digit": str.isdecimal,
    "word": is_word,
    "space": is_space,
    "alphabetic": str.isalpha,
    "uppercase": str.isupper,
    "lowercase": str.islower,
})  # fmt: skip
"""Tests by name; every other property is a general category or its first letter."""

CATEGORIES: Final = frozenset(
    major + minor
    for major, minors in {
        "L": "ultmo",
        "M": "nce",
        "N": "dlo",
        "P": "cdseifo",
        "S": "mcko",
        "Z": "slp",
        "C": "cfosn",
    }.items()
    for minor in ("", *minors)
)

POSIX: Final[Mapping[str, tuple[tuple[int, int], ...]]] = MappingProxyType({
    name: tuple((ord(pair[0]), ord(pair[1])) for pair in pairs)
    for name, pairs in {
        "alnum": ("09", "AZ", "az"), "alpha": ("AZ", "az"), "ascii": ("\0\x7f",), "blank": ("\t\t", "  "),
        "cntrl": ("\0\x1f", "\x7f\x7f"), "digit": ("09",), "graph": ("!~",), "lower": ("az",), "print": (" ~",),
        "punct": ("!/", ":@", "[`", "{~"), "space": ("\t\r", "  "), "upper": ("AZ",), "word": ("09", "AZ", "__", "az"),
        "xdigit": ("09", "AF", "af"),
    }.items()
})  # fmt: skip
"""Ranges of the classes written `[:name:]`."""


@dataclass(frozen=True, slots=True)
class CharSet:
    """Characters: those of the ranges, of the properties and of the parts; or all others.

    Attributes:
        ranges: Code points from and to, sorted and apart from each other.
        properties: Names of `PROPERTIES` or categories, and whether all others are meant.
        parts: Sets that count as a whole.
        negated: Whether all other characters are meant.
        folded: Whether a character is in when one that differs only in case is.
    """

    ranges: tuple[tuple[int, int], ...] = ()
    properties: tuple[tuple[str, bool], ...] = ()
    parts: tuple[CharSet, ...] = ()
    negated: bool = False
    folded: bool = False
    _starts: tuple[int, ...] = field(default=(), init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_starts", tuple(low for low, _ in self.ranges))

    @property
    def single(self) -> str | None:
        """The only character of the set, when it is written as exactly one."""
        plain = not (self.properties or self.parts or self.negated or self.folded)
        if plain and len(self.ranges) == 1 and self.ranges[0][0] == self.ranges[0][1]:
            return chr(self.ranges[0][0])
        return None

    @property
    def weight(self) -> int:
        """How much work one look at the set is, at least 1."""
        own = 1 + len(self.properties) + sum(part.weight for part in self.parts)
        return own * 4 if self.folded else own

    def has(self, char: str) -> bool:
        """Say whether a character is in the set."""
        if self.folded:
            return any(map(self._has_exactly, variants(char))) is not self.negated
        return self._has_exactly(char) is not self.negated

    def _has_exactly(self, char: str) -> bool:
        code = ord(char)
        index = bisect_right(self._starts, code) - 1
        if index >= 0 and code <= self.ranges[index][1]:
            return True
        for name, others in self.properties:
            if has_property(name, char) is not others:
                return True
        return any(part.has(char) for part in self.parts)


EVERYTHING: Final = CharSet(((0, CODE_MAX),))
NO_LINE_BREAK: Final = CharSet(((10, 10),), negated=True)


def has_property(name: str, char: str) -> bool:
    """Say whether a character has a property of `PROPERTIES`, or a general category."""
    test = PROPERTIES.get(name)
    return test(char) if test else category(char).startswith(name)


def merged(ranges: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
    """Return ranges sorted, with those that touch made one."""
    result: list[tuple[int, int]] = []
    for low, high in sorted(ranges):
        if result and low <= result[-1][1] + 1:
            result[-1] = (result[-1][0], max(high, result[-1][1]))
        else:
            result.append((low, high))
    return tuple(result)


# Characters whose small and capital forms do not lead back to them: micro sign, long s, signs of units (2126 to 212B),
# final sigma and other spellings of Greek letters (0345 to 03F5), sharp s, and Cyrillic ones (1C80 to 1C88).
_SIDE_FORMS: Final = (
    "\u00b5\u017f\u2126\u212a\u212b\u0345\u03c2\u03d0\u03d1\u03d5\u03d6\u03f0\u03f1\u03f4\u03f5\u1e9b\u1e9e\u1fbe"
    "\u1c80\u1c81\u1c82\u1c83\u1c84\u1c85\u1c86\u1c87\u1c88"
)


def fold(char: str) -> str:
    """Return what characters that differ only in case have in common; always one character."""
    folded = char.casefold()
    return folded if len(folded) == 1 else _single(char.lower(), char)


@lru_cache(maxsize=512)
def variants(char: str) -> tuple[str, ...]:
    """Return the characters that differ from this one only in case, itself included."""
    common = fold(char)
    found = {char, common}
    for near in (common, char):
        found |= {_single(near.upper(), near), _single(near.lower(), near), _single(near.title(), near)}
    found |= {form for form in _SIDE_FORMS if fold(form) == common}
    return tuple(sorted(other for other in found if fold(other) == common))


def _single(text: str, otherwise: str) -> str:
    return text if len(text) == 1 else otherwise
