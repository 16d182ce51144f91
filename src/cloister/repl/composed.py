"""Several texts read as one, and places in the whole told as places in the texts.

Owns the way back: an error in a program that was put together points into the input somebody typed, not into a text
they never saw.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from cloister.errors import FURTHER, CloisterError, Span
from cloister.lang.source import Source

_FRAME: Final = re.compile(r"(?P<name>.*) at (?P<source>[^\n]*):(?P<line>[0-9]+):(?P<column>[0-9]+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a composed text.

    Attributes:
        text: What it adds.
        source: The text it was taken from; None for what was put in between.
        start: Where it begins there.
    """

    text: str
    source: Source | None = None
    start: int = 0


class Composed:
    """Pieces as one text.

    Args:
        name: What the whole is called in errors.
        pieces: In order.

    Attributes:
        source: The whole.
        starts: Offset of each piece.
    """

    def __init__(self, name: str, pieces: list[Piece]) -> None:
        self._pieces = pieces
        self.starts: list[int] = []
        length = 0
        for piece in pieces:
            self.starts.append(length)
            length += len(piece.text)
        self.source = Source(name, "".join(piece.text for piece in pieces))
        self._lines = [0, *(match.end() for match in re.finditer("\n", self.source.text))]

    def restore(self, error: CloisterError) -> CloisterError:
        """Let an error, and all that were found with it, point into the texts the pieces were taken from."""
        error.trace = tuple(self._frame(line) for line in error.trace)
        if error.span is not None:
            error.span = self._span(error.span)
        error.details = self._details(error.details)
        return error

    def _details(self, details: Mapping[str, Any]) -> dict[str, Any]:
        restored = dict(details)
        for key in FURTHER:
            if isinstance(restored.get(key), (list, tuple)):
                restored[key] = [self._plain(other) for other in restored[key]]
        return restored

    def _plain(self, error: Mapping[str, Any]) -> dict[str, Any]:
        restored = dict(error)
        if restored.get("span"):
            span = self._span(Span(**restored["span"]))
            restored["span"] = span.to_dict() if span else None
        if restored.get("trace"):
            restored["trace"] = [self._frame(line) for line in restored["trace"]]
        if restored.get("details"):
            restored["details"] = self._details(restored["details"])
        return restored

    def _span(self, span: Span) -> Span | None:
        if span.source != self.source.name:
            return span
        start, end = self._offset(span.line, span.column), self._offset(span.end_line, span.end_column)
        at = bisect_right(self.starts, start) - 1
        piece = self._pieces[at] if at >= 0 else None
        if piece is None or piece.source is None:
            return None
        inner = piece.start + start - self.starts[at]
        return piece.source.span(inner, inner + end - start)

    def _offset(self, line: int, column: int) -> int:
        return self._lines[max(0, min(line, len(self._lines)) - 1)] + column - 1

    def _frame(self, line: str) -> str:
        found = _FRAME.fullmatch(line)
        if found is None or found["source"] != self.source.name:
            return line
        row, column = int(found["line"]), int(found["column"])
        place = self._span(
            Span(source=self.source.name, line=row, column=column, end_line=row, end_column=column, text="")
        )
        return f"{found['name']} at {place}" if place is not None else found["name"]
