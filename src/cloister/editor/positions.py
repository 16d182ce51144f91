"""Places in a text as editors count them, and as we do.

Owns the arithmetic between offsets in characters and the positions of the Language Server Protocol: lines and columns
from 0, columns in the units that client and server agreed on, UTF-16 unless they chose another. Positions come from
another process: each is clamped into the text.

Source: Language Server Protocol 3.17, "Position" and "Text Documents": a line ends with LF, CRLF or CR.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Final

_LINE_END: Final = re.compile(r"\r\n|\n|\r")
UTF8, UTF16, UTF32 = "utf-8", "utf-16", "utf-32"


class Positions:
    """The lines of one text.

    Args:
        text: The text.
        encoding: What a column counts: `utf-8`, `utf-16` or `utf-32`.
    """

    def __init__(self, text: str, encoding: str = UTF16) -> None:
        self._text = text
        self._encoding = encoding
        self._starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        self._feeds = [0, *(match.end() for match in re.finditer("\n", text))]

    def position(self, offset: int) -> tuple[int, int]:
        """Return line and column of an offset."""
        offset = max(0, min(offset, len(self._text)))
        line = bisect_right(self._starts, offset) - 1
        return line, self._units(self._text[self._starts[line] : offset])

    def offset(self, line: int, column: int) -> int:
        """Return the offset of a line and column; beyond the end of a line, its end."""
        if line >= len(self._starts):
            return len(self._text)
        start = self._starts[max(0, line)]
        stop = self._starts[line + 1] if line + 1 < len(self._starts) else len(self._text)
        whole = self._text[start:stop].rstrip("\r\n")
        if self._encoding == UTF32 or whole.isascii():
            return start + max(0, min(column, len(whole)))
        units = 0
        for index, char in enumerate(whole):
            if units >= column:
                return start + index
            units += self._units(char)
        return start + len(whole)

    def offset_of_span(self, line: int, column: int) -> int:
        """Return the offset of a place of an error: from 1, in characters, lines ended by LF only."""
        start = self._feeds[max(0, min(line - 1, len(self._feeds) - 1))]
        return min(start + max(0, column - 1), len(self._text))

    def _units(self, text: str) -> int:
        if self._encoding == UTF32 or text.isascii():
            return len(text)
        if self._encoding == UTF8:
            return len(text.encode("utf-8", "surrogatepass"))
        return len(text) + sum(char > "\uffff" for char in text)
