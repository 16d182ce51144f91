"""The formatter's front door: text in, text out.

Owns the promise: the result reads as the same forms, keeps every comment, and formatting it again changes nothing.
Handles plan text, which is hostile. Part of the guest set: standard library only.
"""

from __future__ import annotations

from cloister.lang.formatter.layout import lay_out
from cloister.lang.formatter.tree import parse
from cloister.lang.reader import read
from cloister.lang.source import Source


def format_text(text: str, name: str = "<text>") -> str:
    """Lay out a program: indentation, blanks and line breaks; nothing else changes.

    Line breaks stay where they are, and lines longer than 100 characters are broken. Comments stay, one blank line of
    several stays, and sugar stays as it is written.

    Args:
        text: The program.
        name: What errors call the text.

    Returns:
        The text, ending with one line feed; empty for a text of blanks.

    Raises:
        ReadError: The text is not RTFS; see `reader.read`.

    Cost:
        Linear in the text.
    """
    read(Source(name, text))
    return lay_out(parse(text))
