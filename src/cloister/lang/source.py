"""A text with a name, and how offsets in it become lines and columns.

Owns the arithmetic of places. Offsets are what forms and core nodes carry; lines are computed only when somebody asks,
usually because of an error. Handles plan text, which is hostile. Part of the guest set: standard library only.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from cloister.errors import Span

LINE_CHARS_MAX: Final = 1_000
"""Longest line a place carries. A whole text may be one line, and a run can make very many places."""


@dataclass(frozen=True, slots=True)
class Source:
    """A text and what to call it in messages.

    Attributes:
        name: A path, or a name in angle brackets such as `<eval>`.
        text: The whole text.
    """

    name: str
    text: str
    _line_starts: tuple[int, ...] = field(default=(), init=False, repr=False, compare=False)

    def span(self, start: int, end: int) -> Span:
        """Return the place between two offsets.

        Args:
            start: Offset of the first character; clamped into the text.
            end: Offset after the last character; clamped to lie at or after `start`.

        Cost:
            The first call on a text is linear in its length.
        """
        start = max(0, min(start, len(self.text)))
        end = max(start, min(end, len(self.text)))
        line, column = self._position(start)
        end_line, end_column = self._position(end)
        return Span(
            source=self.name,
            line=line,
            column=column,
            end_line=end_line,
            end_column=end_column,
            text=self._line(line),
        )

    def _position(self, offset: int) -> tuple[int, int]:
        if not self._line_starts:
            object.__setattr__(self, "_line_starts", _line_starts(self.text))  # a cache; the value never differs
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def _line(self, line: int) -> str:
        start = self._line_starts[line - 1]
        stop = self._line_starts[line] - 1 if line < len(self._line_starts) else len(self.text)
        return self.text[start : min(stop, start + LINE_CHARS_MAX)].removesuffix("\r")


@dataclass(frozen=True, slots=True)
class ModuleText:
    """The text of a module.

    Attributes:
        name: The name it is imported by.
        source: The text, named by its path.
    """

    name: str
    source: Source


@dataclass(frozen=True, slots=True)
class JoinedSource(Source):
    """The text of a program and those of its modules, as if each stood one character behind the one before.

    Attributes:
        modules: The modules, in the order in which they were joined.
    """

    modules: tuple[ModuleText, ...] = ()
    _bases: tuple[int, ...] = field(default=(), init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        lengths = (len(self.text), *(len(module.source.text) for module in self.modules))
        object.__setattr__(self, "_bases", (0, *accumulate(length + 1 for length in lengths)))

    @property
    def end(self) -> int:
        """The offset of the next text that is joined."""
        return self._bases[-1]

    def span(self, start: int, end: int) -> Span:
        """Return the place between two offsets, in the text in which they lie; see `Source.span`."""
        index = bisect_right(self._bases, start, hi=len(self._bases) - 1) - 1
        if index <= 0:
            return Source.span(self, start, end)
        base = self._bases[index]
        return self.modules[index - 1].source.span(start - base, end - base)


def _line_starts(text: str) -> tuple[int, ...]:
    # Only line feeds end lines: what editors and terminals call a line, and what columns are counted from.
    starts = [0]
    position = text.find("\n")
    while position >= 0:
        starts.append(position + 1)
        position = text.find("\n", position + 1)
    return tuple(starts)
