"""What a program needs to know of one character of a text.

Owns the classification of characters, kept in a bounded table, and what holds between two characters. Texts are
hostile: they may hold every character there is. Part of the guest set: standard library only.
"""

from __future__ import annotations

from typing import Final

from cloister.lang.regex.charsets import CharSet, is_word
from cloister.lang.regex.program import Program
from cloister.lang.regex.tree import Look

_KNOWN_MAX: Final = 1_024

EDGE: Final = 0
"""Beside a place: the end of the text."""
OTHER: Final = 1
LINE_BREAK: Final = 2
WORD: Final = 3

_CONTEXT_BITS: Final = 2
CONTEXT_MASK: Final = (1 << _CONTEXT_BITS) - 1


class Alphabet(dict[str, int]):
    """For each character a number: in the lowest bits its context, above them a bit for every set it is in."""

    __slots__ = ("_looks", "_others", "_singles")

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._looks = bool(program.looks)
        self._singles: dict[str, int] = {}
        self._others: list[tuple[int, CharSet]] = []
        for number, charset in enumerate(program.sets):
            bit = 1 << (number + _CONTEXT_BITS)
            if charset.single is not None:
                self._singles[charset.single] = bit
            else:
                self._others.append((bit, charset))

    def __missing__(self, char: str) -> int:
        if len(self) >= _KNOWN_MAX:
            self.clear()
        number = self._singles.get(char, 0) | self.context(char)
        for bit, charset in self._others:
            if charset.has(char):
                number |= bit
        self[char] = number
        return number

    def context(self, char: str) -> int:
        """Return what a character is to the place beside it; the empty text stands for the end of the text."""
        if not self._looks:
            return OTHER
        if not char:
            return EDGE
        return LINE_BREAK if char == "\n" else WORD if is_word(char) else OTHER


def accepts(number: int, set_number: int) -> int:
    """Return whether a classified character is in a set, as 1 or 0."""
    return number >> (set_number + _CONTEXT_BITS) & 1


def looks_between(left: int, right: int) -> int:
    """Return all assertions that hold between two contexts."""
    holding = Look.WORD_EDGE if (left == WORD) is not (right == WORD) else Look.NO_WORD_EDGE
    if left == EDGE:
        holding |= Look.TEXT_START | Look.LINE_START
    elif left == LINE_BREAK:
        holding |= Look.LINE_START
    if right == EDGE:
        holding |= Look.TEXT_END | Look.LINE_END
    elif right == LINE_BREAK:
        holding |= Look.LINE_END
    return int(holding)
