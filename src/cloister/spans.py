"""Places in texts, and foreign text in messages.

Owns how a place is named and drawn, and what text of a plan, a script or a file becomes before it stands in a message.
Must not import anything of the package: the errors do, and everything imports them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

QUOTED_CHARS_MAX = 120


def quoted(text: str, limit: int = QUOTED_CHARS_MAX) -> str:
    """Return foreign text fit for a message: printable, one line, at most `limit` characters."""
    if type(text) is str and len(text) <= limit and text.isprintable():
        return text  # as nearly all of it is; and names are quoted for messages that are hardly ever needed
    clean = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in text[: limit + 1])
    return clean if len(clean) <= limit else clean[: limit - 1] + "…"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """A place in a source text, as people count.

    Attributes:
        source: Name of the text: a path, or `<eval>`.
        line: First line, from 1.
        column: First column, from 1, in characters.
        end_line: Last line, from 1.
        end_column: Column after the last character, from 1.
        text: The first line without its line break, cut when it is very long, to draw the caret under; empty when the
            text is not there.
    """

    source: str
    line: int
    column: int
    end_line: int
    end_column: int
    text: str

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"

    def excerpt(self) -> str:
        """Return two lines: the source line and a caret line under the span; nothing when there is no line to show."""
        if not self.text:
            return ""
        shown = quoted(self.text.replace("\t", " "), 200)
        start = min(self.column - 1, len(shown))
        stop = self.end_column - 1 if self.end_line == self.line else len(shown)
        return f"{shown}\n{' ' * start}{'^' * max(1, min(stop, len(shown)) - start)}"

    def to_dict(self) -> dict[str, Any]:
        """Return the fields as plain JSON data."""
        return {
            "source": self.source, "line": self.line, "column": self.column,
            "end_line": self.end_line, "end_column": self.end_column, "text": self.text,
        }  # fmt: skip
