r"""Text to tokens: every atom as a finished form, every delimiter and prefix as a mark.

Owns the characters: which belong to a name, what a number looks like, where a word ends. A word always runs to the
next blank, comma, delimiter or string, so `1a` is one wrong number and never a number and a name. Must not know
nesting; that is the reader's. Handles plan text, which is hostile. Part of the guest set: standard library only.

Source: language reference, sections 1.1 to 1.4, and section 9 rows 2 and 54 (commas, word boundaries). The escape
`\u{HEX}` is an addition of ours: without it there is no way to write a control character that can be seen.
"""

from __future__ import annotations

import math
import re
import sys
from collections.abc import Iterator
from typing import Final, NamedTuple, TypeAlias

from cloister.errors import ReadError, quoted
from cloister.lang.forms import ListForm, LiteralForm, LiteralValue, SymbolForm
from cloister.lang.source import Source
from cloister.lang.values import INT_MAX, INT_MIN, Keyword


class Mark(NamedTuple):
    """A token that is not a form by itself: a delimiter, or a prefix such as `'`."""

    text: str
    start: int
    end: int


Token: TypeAlias = LiteralForm | SymbolForm | ListForm | Mark

_WORD: Final = r'[^ \t\r\n,()\[\]{}";]'
_FIRST: Final = r"[A-Za-z_$+\-*/=<>!?%λ]"
_NEXT: Final = r"[A-Za-z_$+\-*/=<>!?%λ0-9.@]"
_NAME: Final = rf"(?![+-][0-9]){_FIRST}{_NEXT}*+(?::v[0-9][0-9.]*+/{_FIRST}{_NEXT}*+)?+"
_HEX: Final = "[0-9a-fA-F]"

# Possessive quantifiers: no token is looked at twice, so reading is linear whatever the text. Not around a group whose
# last turn can fail halfway, as in a block comment: there Python before 3.11.5 loses its place (python/cpython 106052).
_TOKEN: Final = re.compile(
    rf"""
      (?P<space>     [ \t\r\n,]++ | \A\ufeff | ;[^\n]*+ | \#\|.*?\|\# )
    | (?P<mark>      [()\[\]{{}}'`] | \#\( | ~@? | \^(?=[{{:]) )
    | (?P<uuid>      {_HEX}{{8}}(?:-{_HEX}{{4}}){{3}}-{_HEX}{{12}}(?!{_WORD}) )
    | (?P<symbol>    (?: {_NAME} | \.[A-Za-z_$+\-*/=<>!?][A-Za-z_$+\-*/=<>!?0-9.]*+ | %?&| resource:ref )(?!{_WORD}) )
    | (?P<keyword>   :{_NAME}(?!{_WORD}) )
    | (?P<number>    [+-]?+[0-9]++(?:\.[0-9]++(?:[eE][+-]?+[0-9]++)?+)?+(?!{_WORD}) )
    | (?P<string>    "(?:[^"\\]++|\\.)*+" )
    | (?P<context>   @:?+{_NAME}(?!{_WORD}) )
    | (?P<special>   \#\#(?:-?Inf|NaN)(?!{_WORD}) )
    | (?P<timestamp> [0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}T[0-9]{{2}}:[0-9]{{2}}:[0-9]{{2}}(?:_[0-9]{{3}})?Z(?!{_WORD}) )
    | (?P<resource>  resource://{_WORD}++ )
    | (?P<bad>       . )
    """,
    re.VERBOSE | re.DOTALL,
)
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9a-fA-F]{1,6})\}|(.))", re.DOTALL)
_ESCAPES: Final = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"'}
_NAMED_VALUES: Final[dict[str, LiteralValue]] = {"true": True, "false": False, "nil": None}
_SPECIAL_NUMBERS: Final = {"##Inf": math.inf, "##-Inf": -math.inf, "##NaN": math.nan}
_INT_DIGITS_MAX: Final = 19
_KEYWORD: Final = re.compile(rf"{_NAME}(?!.)", re.DOTALL)


def is_keyword_name(name: str) -> bool:
    """Say whether `:name` would be read as a keyword of that name."""
    return _KEYWORD.match(name) is not None


def is_symbol_name(name: str) -> bool:
    """Say whether `name` would be read as a symbol of that name."""
    match = _TOKEN.match(name)
    return match is not None and match.lastgroup == "symbol" and match.end() == len(name) and name not in _NAMED_VALUES


def tokens(source: Source) -> Iterator[Token]:
    """Yield the tokens of a text in order, without blanks and comments.

    Raises:
        ReadError: On the first piece of text that is no token; every code of this module's error functions.
    """
    for match in _TOKEN.finditer(source.text):
        kind = match.lastgroup
        if kind == "space":
            continue
        start, end = match.span()
        text = match.group()
        if kind == "mark":
            yield Mark(text, start, end)
        elif kind == "symbol":
            if text in _NAMED_VALUES:
                yield LiteralForm(_NAMED_VALUES[text], start, end)
            else:
                yield SymbolForm(text, start, end)
        elif kind == "keyword":
            yield LiteralForm(Keyword(text[1:]), start, end)
        elif kind == "string":
            yield LiteralForm(_string(source, text, start), start, end)
        else:
            yield _rare(source, str(kind), text, start, end)


def _rare(source: Source, kind: str, text: str, start: int, end: int) -> Token:
    match kind:
        case "number":
            return LiteralForm(_number(source, text, start, end), start, end)
        case "context":
            return _context(text, start, end)
        case "special":
            return LiteralForm(_SPECIAL_NUMBERS[text], start, end)
        case "timestamp" | "uuid" | "resource":
            return LiteralForm(text, start, end)
    raise bad_text(source, start)


def _number(source: Source, text: str, start: int, end: int) -> int | float:
    if "." in text:
        value = float(text)
        if math.isfinite(value):
            return value
        message = f"{quoted(text, 40)} is too large for a float"
        raise _error(source, (start, end), "read.number", message, "write ##Inf or ##-Inf")
    # Digits are counted first: turning thousands of them into a number is slow, and Python refuses it in its own way.
    digits = text.lstrip("+-0") or "0"
    magnitude = int(digits) if len(digits) <= _INT_DIGITS_MAX else INT_MAX + 2
    integer = -magnitude if text[0] == "-" else magnitude
    if INT_MIN <= integer <= INT_MAX:
        return integer
    message = f"integer {quoted(text, 40)} does not fit in 64 bits"
    hint = f"integers go from {INT_MIN} to {INT_MAX}; a float has a dot"
    raise _error(source, (start, end), "read.number", message, hint)


def _string(source: Source, text: str, start: int) -> str:
    body = text[1:-1]
    if "\\" not in body:
        return body

    def unescape(match: re.Match[str]) -> str:
        digits, letter = match.groups()
        known = _ESCAPES.get(letter) if digits is None else _character(int(digits, 16))
        if known is not None:
            return known
        at = start + 1 + match.start()
        hint = 'the escapes are \\n \\t \\r \\\\ \\" and \\u{HEX}; other characters are written as they are'
        message = f"unknown escape {quoted(match.group())} in a string"
        raise _error(source, (at, at + len(match.group())), "read.escape", message, hint)

    return _ESCAPE.sub(unescape, body)


def _character(code: int) -> str | None:
    """Return a character by its number, or None when there is none: half a surrogate pair, or beyond Unicode."""
    return chr(code) if code <= sys.maxunicode and not 0xD800 <= code <= 0xDFFF else None


def _context(text: str, start: int, end: int) -> SymbolForm | ListForm:
    if text[1] == ":":
        return SymbolForm(text[2:], start, end)
    head = SymbolForm("context-value", start, start + 1)
    return ListForm((head, LiteralForm(text[1:], start + 1, end)), start, end)


def bad_text(source: Source, start: int) -> ReadError:
    """Return the error for text at `start` that is no token: what it looks like decides the code and the advice."""
    text = source.text
    pair = text[start : start + 2]
    if pair[0] == '"':
        message, hint = "the string that starts here is never closed", 'end it with "; a quote inside is written \\"'
        return _error(source, (start, start + 1), "read.unclosed", message, hint)
    if pair == "#|":
        message = "the comment that starts here is never closed"
        return _error(source, (start, start + 2), "read.unclosed", message, "end it with |#")
    if pair in _UNSUPPORTED:
        what, hint = _UNSUPPORTED[pair]
        return _error(source, (start, start + 2), "read.character", f"{what} are not part of the language", hint)
    found = _WORD_RUN.match(text, start)
    word = found.group() if found else pair[0]
    end = start + len(word)
    if word[0] == "^":
        message = "metadata must be a map or :delegation"
        return _error(source, (start, end), "read.metadata", message, "write ^{:key value} before the form")
    if word[-1] == "'" and text[start - 1 : start] == "'":
        return _error(source, (start - 1, end), "read.character", "a text stands in single quotes", _TEXT_QUOTES)
    for pattern, code, message, hint in _WRONG_WORDS:
        if pattern.match(word):
            return _error(source, (start, end), code, f"{quoted(word, 40)} {message}", hint)
    return _bad_character(source, word, start)


def _bad_character(source: Source, word: str, start: int) -> ReadError:
    # `word` failed as a name, so one of its characters is foreign; all before it could have stood in one.
    offset = next((at for at, char in enumerate(word) if not _NAME_CHARACTER.match(char)), 0)
    char = word[offset]
    shown = char if char.isprintable() else ""
    message = (
        f"unexpected character {shown!r} (U+{ord(char):04X})" if shown else f"unexpected character U+{ord(char):04X}"
    )
    hint = _LOOKALIKES.get(char, "names are made of ASCII letters, digits and _ $ + - * / = < > ! ? % . @")
    return _error(source, (start + offset, start + offset + 1), "read.character", message, hint)


def _error(source: Source, place: tuple[int, int], code: str, message: str, hint: str) -> ReadError:
    return ReadError(message, code=code, span=source.span(*place), hint=hint)


_WORD_RUN: Final = re.compile(f"{_WORD}+")
_NAME_CHARACTER: Final = re.compile(_NEXT)
_UNSUPPORTED: Final = {
    "#{": ("set literals", "use a vector and (distinct v)"),
    "#_": ("discarded forms", "comment it out with ; or with #| and |#"),
    '#"': ("pattern literals", "write the pattern as an ordinary string"),
}
_WRONG_WORDS: Final = tuple(
    (re.compile(pattern), code, message, hint)
    for pattern, code, message, hint in (
        (r"##", "read.number", "is not a number", "the special numbers are ##Inf, ##-Inf and ##NaN"),
        (r"::|:\Z", "read.keyword", "is not a keyword", "a keyword is one colon and a name, without a blank between"),
        (r":", "read.keyword", "is not a keyword", "a colon and a name that starts with a letter, such as :item-1"),
        (r"[+-]?\.[0-9]", "read.number", "is not a number", "a float needs a digit before the dot, such as 0.5"),
        (r"[+-]?[0-9]+\.\Z", "read.number", "is not a number", "a float needs a digit after the dot, such as 1.0"),
        (r"[+-]?[0-9]+[eE][+-]?[0-9]+\Z", "read.number", "is not a number", "a float needs a dot, such as 1.0e3"),
        (r"[+-]?[0-9]+/[0-9]+\Z", "read.number", "is not a number", "there are no fractions; write (/ 1 2)"),
        (r"[+-]?[0-9]", "read.number", "is not a number", "numbers are decimal; a name cannot start with a digit"),
        (r"@", "read.context", "is not a context value", "after @ comes a name, such as @region"),
        (r"\\", "read.character", "is not a form; there are no character literals", 'write a string, such as "a"'),
        (rf"{_FIRST}{_NEXT}*:", "read.symbol", "is not a name", "a colon inside is allowed only as in name:v1.2/item"),
        (r"\.", "read.symbol", "is not a name", "after the first dot comes a letter, as in (.getMessage e)"),
    )
)  # fmt: skip
_TEXT_QUOTES: Final = 'strings are written in double quotes, such as "text"'
_LOOKALIKES: Final = {
    "\N{NO-BREAK SPACE}": "this is a no-break space; write an ordinary one",
    "\N{LEFT DOUBLE QUOTATION MARK}": 'strings are written in straight quotes: "',
    "\N{RIGHT DOUBLE QUOTATION MARK}": 'strings are written in straight quotes: "',
    "\N{LEFT SINGLE QUOTATION MARK}": "a form is quoted with a straight quote: '",
    "\N{RIGHT SINGLE QUOTATION MARK}": "a form is quoted with a straight quote: '",
    "\N{EN DASH}": "write an ordinary hyphen: -",
    "\N{EM DASH}": "write an ordinary hyphen: -",
    "'": f"a quote stands before a form, not inside a name; {_TEXT_QUOTES}",
    "|": "a block comment is written #| like this |#",
    "#": "# starts only #( ) functions, #| |# comments and ##Inf, ##-Inf, ##NaN",
    "&": "& stands alone, before the name that takes the rest",
}
