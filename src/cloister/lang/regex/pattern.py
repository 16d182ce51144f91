"""Regular expressions ready for use.

Owns `Pattern`: searching, matching whole texts, cutting, and the groups of a match. Patterns are compiled once and a
few are kept; whatever work a text makes is charged to the caller's budget, in steps that depend on the pattern and
the text alone. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Final

from cloister.lang.regex import tree
from cloister.lang.regex.automaton import NOT_FOUND, Automaton, Charge
from cloister.lang.regex.captures import CaptureMachine
from cloister.lang.regex.parser import parse
from cloister.lang.regex.program import compile_tree
from cloister.lang.regex.tree import Assertion, Look

PATTERNS_KEPT: Final = 32

_PREFIX_CHARS_MAX: Final = 32
_CHARS_PER_STEP: Final = 1_024


@dataclass(frozen=True, slots=True)
class Match:
    """Where a match begins, and where it ends: the position after its last character."""

    start: int
    end: int


class Pattern:
    """A regular expression; `compile_pattern` makes one.

    Attributes:
        text: As it was written.
        groups_count: How many groups keep their text.
        group_names: Numbers of the named groups, from 1.
        size: Parts of its program, repetitions written out; what compiling it is worth in steps.
    """

    def __init__(self, text: str) -> None:
        parsed = parse(text)
        self.text = text
        self.groups_count = parsed.groups_count
        self.group_names = parsed.names
        self.size = parsed.root.size
        self._root = parsed.root
        prefix, self._is_literal = tree.literal_prefix(parsed.root)
        self._is_literal = self._is_literal and bool(prefix)
        self._prefix = prefix if self._is_literal else prefix[:_PREFIX_CHARS_MAX]
        self._anchored = tree.is_anchored(parsed.root)

    @cached_property
    def _forwards(self) -> Automaton:
        return Automaton(compile_tree(self._root), marks_idle=bool(self._prefix))

    @cached_property
    def _backwards(self) -> Automaton:
        return Automaton(compile_tree(self._root, backwards=True))

    @cached_property
    def _whole(self) -> Automaton:
        ends = Assertion(Look.TEXT_START), Assertion(Look.TEXT_END)
        return Automaton(compile_tree(tree.Concat((ends[0], self._root, ends[1]), self.size + 2, 0, False)))

    @cached_property
    def _captures(self) -> CaptureMachine:
        return CaptureMachine(compile_tree(self._root, captures=True), self.groups_count)

    def is_found(self, text: str, charge: Charge) -> bool:
        """Say whether the pattern matches anywhere in the text.

        Args:
            text: What is searched.
            charge: Called with the steps to pay, before much more work is done.

        Raises:
            LimitExceeded: Whatever `charge` raises; so for every method here.

        Cost:
            Length of the text times `size` at worst; so for every single search.
        """
        if self._is_literal:
            return self.search(text, charge) is not None
        return self._end(text, 0, charge, earliest=True) != NOT_FOUND

    def search(self, text: str, charge: Charge, start: int = 0) -> Match | None:
        """Find the first match at or after a position: the leftmost, of several there the one alternatives prefer."""
        if self._is_literal:
            begin = text.find(self._prefix, start)
            charge(1 + ((begin if begin >= 0 else len(text)) - start) // _CHARS_PER_STEP)
            return Match(begin, begin + len(self._prefix)) if begin >= 0 else None
        end = self._end(text, start, charge, earliest=False)
        if end == NOT_FOUND:
            return None
        return Match(start if self._anchored else self._backwards.last_start(text, end, start, charge), end)

    def finditer(self, text: str, charge: Charge) -> Iterator[Match]:
        """Yield the matches from left to right that do not overlap; none is empty and touches the one before.

        Cost:
            A search for every match. A pattern that looks far ahead for each, such as `a.*b|a`, can cost the square of
            the text; every look is charged.
        """
        position, last_end = 0, NOT_FOUND
        while position <= len(text):
            match = self.search(text, charge, position)
            if match is not None and match.start == match.end == last_end:
                match = self.search(text, charge, position + 1) if position < len(text) else None
            if match is None:
                return
            yield match
            position = last_end = match.end

    def fullmatch(self, text: str, charge: Charge) -> Match | None:
        """Return the match of the whole text, if the pattern can match all of it."""
        end = self._whole.first_end(text, 0, charge, prefix="", anchored=True, earliest=False)
        return Match(0, end) if end != NOT_FOUND else None

    def groups(self, text: str, match: Match, charge: Charge) -> tuple[str | None, ...]:
        """Return the text of each group of a match that was found in `text`, from number 1; None for unused ones."""
        if not self.groups_count:
            return ()
        spans = self._captures.groups(text, match.start, match.end, charge)
        return tuple(None if span is None else text[slice(*span)] for span in spans)

    def split(self, text: str, charge: Charge, pieces_max: int = 0) -> Iterator[str]:
        """Yield what stands between the matches; the last of `pieces_max` pieces, if not 0, is all that is left."""
        begin = 0
        for count, match in enumerate(self.finditer(text, charge), 1):
            if count == pieces_max:
                break
            yield text[begin : match.start]
            begin = match.end
        yield text[begin:]

    def _end(self, text: str, start: int, charge: Charge, *, earliest: bool) -> int:
        prefix = "" if self._anchored else self._prefix
        return self._forwards.first_end(text, start, charge, prefix=prefix, anchored=self._anchored, earliest=earliest)


@lru_cache(maxsize=PATTERNS_KEPT)
def compile_pattern(text: str) -> Pattern:
    """Return the pattern of a text; those used last are kept.

    Raises:
        GuestError: `guest.pattern` when it is no regular expression of this dialect.

    Cost:
        Linear in the length of the text and in `Pattern.size`, both bounded.
    """
    return Pattern(text)
