r"""Text to pieces, and pieces to values: where a word ends, what a number looks like, which characters a name has.

Owns the characters. `pieces` cuts a text into blanks, comments, delimiters, prefixes, strings and words, and loses
none of it; the reader and the formatter both start from there. A word always runs to the next blank, comma, delimiter
or string, so `1a` is one wrong number and never a number and a name. Must not know nesting; that is the reader's.
Handles plan text, which is hostile. Part of the guest set: standard library only.

Source: language reference, sections 1.1 to 1.4, and section 9 rows 2 and 54 (commas, word boundaries). The escape
`\u{HEX}` is an addition of ours: without it there is no way to write a control character that can be seen.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeAlias

from cloister.errors import ReadError, quoted
from cloister.lang.forms import Form, ListForm, LiteralForm, LiteralValue, SymbolForm
from cloister.lang.source import Source
from cloister.lang.values import INT_MAX, INT_MIN, Keyword

Atom: TypeAlias = tuple[Callable[[Any, int, int], "LiteralForm | SymbolForm"], Any]
"""A word that is one form wherever it stands: the class of the form, and the value or name."""

WORD: Final = r'[^ \t\r\n,()\[\]{}";]'
"""Any character of a word, as a pattern."""
FIRST: Final = r"[A-Za-z_$+\-*/=<>!?%λ]"
NEXT: Final = r"[A-Za-z_$+\-*/=<>!?%λ0-9.@]"
_NAME: Final = rf"(?![+-][0-9]){FIRST}{NEXT}*+(?::v[0-9][0-9.]*+/{FIRST}{NEXT}*+)?+"
_HEX: Final = "[0-9a-fA-F]"

# Possessive quantifiers: nothing is looked at twice, so cutting is linear whatever the text. Not around a group whose
# last turn can fail halfway, as in a block comment: there Python before 3.11.5 loses its place (python/cpython 106052);
# that is why a backslash may be the last character of the repeated group in a string.
_PIECE: Final = re.compile(
    rf"""
      [ \t\r\n,]++
    | [()\[\]{{}}]
    | [^ \t\r\n,()\[\]{{}}";'`~^\#]{WORD}*+
    | "(?:[^"\\]++|\\.?+)*+"
    | ;[^\n]*+
    | ['`] | ~@?+ | \^(?=[{{:])
    | \#\|.*?\|\# | \#[({{_]
    | (?:\#(?!\|)|\^){WORD}*+
    | .++  # a string or comment that is never closed takes the rest
    """,
    re.VERBOSE | re.DOTALL,
)
_ATOM: Final = re.compile(
    rf"""
      (?P<uuid>      {_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}} )
    | (?P<symbol>    {_NAME}\#?+ | \.[A-Za-z_$+\-*/=<>!?][A-Za-z_$+\-*/=<>!?0-9.]*+ | %?& | resource:ref )
    | (?P<keyword>   :{_NAME} )
    | (?P<integer>   [+-]?+[0-9]++ )
    | (?P<float>     [+-]?+[0-9]++\.[0-9]++(?:[eE][+-]?+[0-9]++)?+ )
    | (?P<special>   \#\#(?:-?Inf|NaN) )
    | (?P<timestamp> [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:_[0-9]{{3}})?Z )
    | (?P<resource>  resource://.++ )
    """,
    re.VERBOSE,
)
_TYPED: Final = re.compile(rf"(?P<name>{_NAME})?+:(?P<type>:?+{_NAME})?+")
_CONTEXT: Final = re.compile(rf"@:?+{_NAME}")
_CLOSED_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.?+)*+"', re.DOTALL)
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"'}
_NAMED_VALUES: Final[dict[str, LiteralValue]] = {"true": True, "false": False, "nil": None}
_SPECIAL_NUMBERS: Final = {"##Inf": math.inf, "##-Inf": -math.inf, "##NaN": math.nan}
INT_DIGITS_MAX: Final = 19
"""Digits of the largest integer. They are counted first: turning thousands of digits into a number is slow, and Python
refuses it in its own way."""


def is_keyword_name(name: str) -> bool:
    """Say whether `:name` would be read as a keyword of that name."""
    match = _ATOM.fullmatch(":" + name)
    return match is not None and match.lastgroup == "keyword"


def is_symbol_name(name: str) -> bool:
    """Say whether `name` would be read as a symbol of that name."""
    match = _ATOM.fullmatch(name)
    return match is not None and match.lastgroup == "symbol" and name not in _NAMED_VALUES


def pieces(text: str) -> Iterator[str]:
    """Yield the pieces of a text in order; joined they are the text again.

    A piece is a run of blanks and commas, a comment, a string, a delimiter (`#(` and `#{` too), a prefix, `#_`, or a
    word. A byte order mark at the beginning is a piece of its own. A string or block comment that is never closed is
    the last piece.

    Cost:
        Linear in the text, and lazy.
    """
    begin = 1 if text.startswith("\ufeff") else 0
    if begin:
        yield "\ufeff"
    yield from map(re.Match[str].group, _PIECE.finditer(text, begin))


def is_closed_string(piece: str) -> bool:
    """Say whether a piece that begins with a quote ends with one."""
    return _CLOSED_STRING.fullmatch(piece) is not None


def atom(word: str) -> Atom | None:
    """Return what a word is when it is one literal or symbol; None when it is several, or wrong."""
    match = _ATOM.fullmatch(word)
    kind = match.lastgroup if match else None
    if kind is None:
        return None
    if kind == "symbol":
        return (LiteralForm, _NAMED_VALUES[word]) if word in _NAMED_VALUES else (SymbolForm, word)
    if kind == "keyword":
        return LiteralForm, Keyword(word[1:])
    if kind == "special":
        return LiteralForm, _SPECIAL_NUMBERS[word]
    if kind not in {"integer", "float"}:
        return LiteralForm, word
    number = _float(word) if kind == "float" else _integer(word)
    return None if number is None else (LiteralForm, number)


def _float(word: str) -> float | None:
    value = float(word)
    return value if math.isfinite(value) else None


def _integer(word: str) -> int | None:
    digits = word.lstrip("+-0") or "0"
    if len(digits) > INT_DIGITS_MAX:
        return None
    integer = -int(digits) if word[0] == "-" else int(digits)
    return integer if INT_MIN <= integer <= INT_MAX else None


def context_form(word: str, start: int) -> SymbolForm | ListForm | None:
    """Return the form that `@name` or `@:name` stands for; None when the word is neither."""
    if not _CONTEXT.fullmatch(word):
        return None
    end = start + len(word)
    if word[1] == ":":
        return SymbolForm(word[2:], start, end)
    return ListForm((SymbolForm("context-value", start, start + 1), LiteralForm(word[1:], start + 1, end)), start, end)


def typed_forms(word: str, start: int) -> tuple[tuple[Form, ...], int | None] | None:
    """Return the forms of a word with a colon inside: `name:type`, `::type`, `name:` and `:`.

    Returns:
        The name and the type as `(type-annotation :type)`, whichever are there, and the offset of a colon that still
        waits for its type; None when the word is no such thing.
    """
    match = _TYPED.fullmatch(word)
    if match is None:
        return None
    colon, end = start + (match.end("name") if match["name"] else 0), start + len(word)
    forms: list[Form] = [SymbolForm(match["name"], start, colon)] if match["name"] else []
    if match["type"] is None:
        return tuple(forms), colon
    kind = LiteralForm(Keyword(match["type"].removeprefix(":")), end - len(match["type"].removeprefix(":")) - 1, end)
    forms.append(ListForm((SymbolForm("type-annotation", colon, colon + 1), kind), colon, end))
    return tuple(forms), None


def string_value(source: Source, piece: str, start: int) -> str:
    """Return what a string that is closed says.

    Raises:
        ReadError: `read.escape`.
    """
    body = piece[1:-1]
    if "\\" not in body:
        return body

    def unescape(match: re.Match[str]) -> str:
        digits, letter = match.groups()
        known = _ESCAPES.get(letter) if digits is None else _character(int(digits, 16))
        if known is not None:
            return known
        at = start + 1 + match.start()
        raise ReadError(
            f"unknown escape {quoted(match.group())} in a string",
            code="read.escape",
            span=source.span(at, at + len(match.group())),
            hint='the escapes are \\n \\t \\r \\\\ \\" and \\u{HEX}; other characters are written as they are',
        )

    return _ESCAPE.sub(unescape, body)


def _character(code: int) -> str | None:
    """Return a character by its number, or None when there is none: half a surrogate pair, or beyond Unicode."""
    return chr(code) if code <= sys.maxunicode and not 0xD800 <= code <= 0xDFFF else None
