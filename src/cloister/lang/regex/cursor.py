"""A place in the text of a pattern, and what both parsers of patterns share.

Owns looking ahead, and escapes. Patterns are hostile; numbers and names are bounded. Part of the guest set: standard
library only.
"""

from __future__ import annotations

from typing import Final

from cloister.errors import GuestError
from cloister.lang.regex.charsets import CATEGORIES, CODE_MAX, CharSet
from cloister.lang.regex.problems import pattern_error

_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v", "a": "\a"}
_PERL: Final = {"d": "digit", "w": "word", "s": "space"}
_HEX_DIGITS: Final = {"x": 2, "u": 4, "U": 8}
_HEX: Final = frozenset("0123456789abcdefABCDEF")
_BRACED_CHARS_MAX: Final = 32

_LONG_NAMES: Final = {
    "letter": "L", "mark": "M", "number": "N", "punctuation": "P", "symbol": "S", "separator": "Z", "other": "C",
    "uppercaseletter": "Lu", "lowercaseletter": "Ll", "titlecaseletter": "Lt", "decimalnumber": "Nd",
    "alphabetic": "alphabetic", "uppercase": "uppercase", "lowercase": "lowercase", "whitespace": "space",
    "any": "any",
}  # fmt: skip


class Cursor:
    """A pattern and how far it was read.

    Attributes:
        text: The pattern.
        position: The next character.
    """

    __slots__ = ("position", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.position = 0

    @property
    def at_end(self) -> bool:
        """Whether everything was read."""
        return self.position >= len(self.text)

    def peek(self, count: int = 1) -> str:
        """Return the next characters without reading them; fewer at the end."""
        return self.text[self.position : self.position + count]

    def take(self) -> str:
        """Read one character; an empty text at the end."""
        char = self.peek()
        self.position += len(char)
        return char

    def skip(self, expected: str) -> bool:
        """Read a text if it stands here."""
        if self.text.startswith(expected, self.position):
            self.position += len(expected)
            return True
        return False

    def until(self, end: str, chars_max: int) -> str | None:
        """Read up to and over a character; None, and nothing read, when it is not near."""
        stop = self.text.find(end, self.position, self.position + chars_max + 1)
        if stop < 0:
            return None
        found = self.text[self.position : stop]
        self.position = stop + 1
        return found

    def refusal(self, problem: str, hint: str | None = None, position: int | None = None) -> GuestError:
        """Return the error for a problem here, or at a position."""
        return pattern_error(self.text, self.position if position is None else position, problem, hint)


def read_escape(cursor: Cursor) -> str | CharSet:
    """Read what follows a backslash: the character it stands for, or a class.

    Raises:
        GuestError: `guest.pattern` for an escape that is none, and for what a linear-time engine cannot do.
    """
    start = cursor.position - 1
    char = cursor.take()
    if char in _CONTROLS:
        return _CONTROLS[char]
    if char.lower() in _PERL and char:
        return CharSet(properties=((_PERL[char.lower()], char.isupper()),))
    if char in _HEX_DIGITS:
        return _hexadecimal(cursor, start, _HEX_DIGITS[char])
    if char in {"p", "P"}:
        return _property(cursor, start, others=char == "P")
    if char and char.isascii() and not char.isalnum() and char not in "<>":
        return char
    if not char:
        raise cursor.refusal("a backslash ends the pattern", "write \\\\ for a backslash itself", start)
    if char.isdigit() or char in "kg":
        hint = "references to earlier groups cannot be matched in linear time; compare groups with re-groups and ="
        raise cursor.refusal("back-references cannot be used", hint, start)
    hint = "write \\z for the end of the text" if char == "Z" else "letters are escaped only where it has a meaning"
    raise cursor.refusal("unknown escape", hint, start)


def _hexadecimal(cursor: Cursor, start: int, count: int) -> str:
    if cursor.skip("{"):
        digits = cursor.until("}", _BRACED_CHARS_MAX) or ""
    else:
        digits = cursor.peek(count)
        cursor.position += len(digits)
        if len(digits) < count:
            digits = ""
    code = int(digits, 16) if digits and _HEX.issuperset(digits) else -1
    if not 0 <= code <= CODE_MAX or 0xD800 <= code <= 0xDFFF:
        raise cursor.refusal("this is no character", "write for example \\x41 or \\u{1F600}", start)
    return chr(code)


def _property(cursor: Cursor, start: int, *, others: bool) -> CharSet:
    name = cursor.until("}", _BRACED_CHARS_MAX) if cursor.skip("{") else cursor.take()
    name = name or ""
    if name.startswith("^"):
        name, others = name[1:], not others
    known = name if name in CATEGORIES else _LONG_NAMES.get(name.lower().replace("_", "").replace(" ", ""))
    if known is None:
        hint = "there are general categories such as \\pL, \\p{Lu}, \\p{Nd}, and Alphabetic, Uppercase, Lowercase"
        raise cursor.refusal("unknown property of characters", hint, start)
    if known == "any":
        return CharSet(negated=not others)
    return CharSet(properties=((known, others),))
