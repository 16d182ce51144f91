"""What is said about words that are none of the language.

Owns the advice: what a wrong word looks like decides the code of its error and what to write instead. Handles plan
text, which is hostile: a word may be as long as the text. Part of the guest set: standard library only.
"""

from __future__ import annotations

import re
from typing import Final

from cloister.errors import ReadError, quoted
from cloister.lang.lexer import FIRST, NEXT
from cloister.lang.source import Source
from cloister.lang.values import INT_MAX, INT_MIN

_NAME_CHARACTER: Final = re.compile(NEXT)
_INTEGER: Final = re.compile(r"[+-]?+[0-9]++")
_FLOAT: Final = re.compile(r"[+-]?+[0-9]++\.[0-9]++(?:[eE][+-]?+[0-9]++)?+")
_UNSUPPORTED: Final = {
    "#{": ("set literals", "use a vector and (distinct v)"),
    "#_": ("discarded forms", "comment it out with ; or with #| and |#"),
    '#"': ("pattern literals", "write the pattern as an ordinary string"),
}
_WRONG_WORDS: Final = tuple(
    (re.compile(pattern), code, message, hint)
    for pattern, code, message, hint in (
        (r"##", "read.number", "is not a number", "the special numbers are ##Inf, ##-Inf and ##NaN"),
        (r"::|:\Z", "read.keyword", "is not a keyword", "a keyword is one colon and a name"),
        (r":", "read.keyword", "is not a keyword", "a colon and a name that starts with a letter, such as :item-1"),
        (r"[+-]?\.[0-9]", "read.number", "is not a number", "a float needs a digit before the dot, such as 0.5"),
        (r"[+-]?[0-9]+\.\Z", "read.number", "is not a number", "a float needs a digit after the dot, such as 1.0"),
        (r"[+-]?[0-9]+[eE][+-]?[0-9]+\Z", "read.number", "is not a number", "a float needs a dot, such as 1.0e3"),
        (r"[+-]?[0-9]+/[0-9]+\Z", "read.number", "is not a number", "there are no fractions; write (/ 1 2)"),
        (r"[+-]?[0-9]", "read.number", "is not a number", "numbers are decimal; a name cannot start with a digit"),
        (r"@", "read.context", "is not a context value", "after @ comes a name, such as @region"),
        (r"\\", "read.character", "is not a form; there are no character literals", 'write a string, such as "a"'),
        (rf"{FIRST}{NEXT}*:", "read.symbol", "is not a name", "a colon stands before a type, or as in name:v1.2/item"),
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
    "#": "# starts only #( ) functions, #| |# comments and ##Inf, ##-Inf, ##NaN, and ends names in quasiquotes",
    "&": "& stands alone, before the name that takes the rest",
}


def unsupported(source: Source, pair: str, start: int) -> ReadError | None:
    """Return the error for two characters that begin something other languages have; None for any others."""
    known = _UNSUPPORTED.get(pair)
    if known is None:
        return None
    what, hint = known
    return _wrong(source, (start, start + 2), "read.character", f"{what} are not part of the language", hint)


def wrong_word(source: Source, word: str, start: int) -> ReadError:
    """Return the error for a word at offset `start` that is nothing of the language."""
    end = start + len(word)
    if _INTEGER.fullmatch(word):
        message = f"integer {quoted(word, 40)} does not fit in 64 bits"
        hint = f"integers go from {INT_MIN} to {INT_MAX}; a float has a dot"
        return _wrong(source, (start, end), "read.number", message, hint)
    if _FLOAT.fullmatch(word):
        message = f"{quoted(word, 40)} is too large for a float"
        return _wrong(source, (start, end), "read.number", message, "write ##Inf or ##-Inf")
    if word[0] == "^":
        message = "metadata must be a map or :delegation"
        return _wrong(source, (start, end), "read.metadata", message, "write ^{:key value} before the form")
    if word[-1] == "'" and source.text[start - 1 : start] == "'":
        place = start - 1, end
        return _wrong(source, place, "read.character", "a text stands in single quotes", _TEXT_QUOTES)
    for pattern, code, message, hint in _WRONG_WORDS:
        if pattern.match(word):
            return _wrong(source, (start, end), code, f"{quoted(word, 40)} {message}", hint)
    return _wrong_character(source, word, start)


def _wrong_character(source: Source, word: str, start: int) -> ReadError:
    # `word` failed as a name, so one of its characters is foreign; all before it could have stood in one.
    offset = next((at for at, char in enumerate(word) if not _NAME_CHARACTER.match(char)), 0)
    char = word[offset]
    shown = char if char.isprintable() else ""
    message = (
        f"unexpected character {shown!r} (U+{ord(char):04X})" if shown else f"unexpected character U+{ord(char):04X}"
    )
    hint = _LOOKALIKES.get(char, "names are made of ASCII letters, digits and _ $ + - * / = < > ! ? % . @")
    return _wrong(source, (start + offset, start + offset + 1), "read.character", message, hint)


def _wrong(source: Source, place: tuple[int, int], code: str, message: str, hint: str) -> ReadError:
    return ReadError(message, code=code, span=source.span(*place), hint=hint)
