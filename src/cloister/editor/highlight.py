r"""Syntax highlighting of RTFS for Pygments, and for everything that builds on it.

Owns which piece of a text has which colour. It says nothing about whether the text is right: every text is highlighted
to its end, unfinished ones too, and nothing in it is an error token. Registered as the Pygments lexer `rtfs`, so that a
Markdown page can say \`\`\`rtfs.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from types import MappingProxyType
from typing import Any, ClassVar, Final

from pygments.lexer import RegexLexer, default, include
from pygments.token import Comment, Keyword, Name, Number, Operator, Punctuation, String, Text, Token, Whitespace

from cloister.editor.scan import DEFINING

_END: Final = r"(?![^ \t\r\n,()\[\]{}\";])"
_WORD: Final = r"[^ \t\r\n,()\[\]{}\";'`^~][^ \t\r\n,()\[\]{}\";]*"
_TYPES: Final = frozenset(
    {
        "int", "integer", "float", "number", "string", "bool", "boolean", "keyword", "symbol", "nil", "map", "vector",
        "list", "function", "fn", "any",
    }
)  # fmt: skip
_CONSTANTS: Final = frozenset({"true", "false", "nil"})
_NUMBER: Final = re.compile(r"[+-]?[0-9]+(?:\.[0-9]+(?:[eE][+-]?[0-9]+)?)?|##(?:-?Inf|NaN)")
_TIME: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T\S+|[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}")
_TYPED: Final = re.compile(r"(?P<name>[^:]+)(?P<type>:[^0-9/.]+\??)")
_OPERATORS: Final = frozenset({"+", "-", "*", "/", "=", "!=", "<", "<=", ">", ">=", "not=", "->", "->>"})


@cache
def _vocabulary() -> dict[str, Any]:
    """Return the token type of every name of the language."""
    from cloister.lang.special_forms.table import SPECIAL_FORMS  # noqa: PLC0415
    from cloister.lang.stdlib.table import BUILTINS  # noqa: PLC0415

    types = dict.fromkeys(BUILTINS, Name.Builtin) | dict.fromkeys(SPECIAL_FORMS, Keyword)
    return types | dict.fromkeys(_OPERATORS, Operator) | dict.fromkeys(_CONSTANTS, Keyword.Constant)


def _kind(word: str) -> Any:
    if word == ":":
        return Punctuation
    if word[0] == ":":
        if word[1:].rstrip("?").lower() in _TYPES:
            return Keyword.Type
        return Name.Namespace if "." in word else String.Symbol
    if _NUMBER.fullmatch(word):
        return Number.Float if "." in word or word[0] == "#" else Number.Integer
    if word[0] == "@":
        return Name.Variable.Global
    if word[0] == "%" or word == "&":
        return Name.Variable.Magic
    if _TIME.fullmatch(word) or word.startswith("resource://"):
        return Token.Literal.Date if word[0] != "r" else Token.Literal.Other
    return _vocabulary().get(word, Name)


class RtfsLexer(RegexLexer):
    """Highlights RTFS."""

    name = "RTFS"
    aliases: ClassVar[list[str]] = ["rtfs"]
    filenames: ClassVar[list[str]] = ["*.rtfs"]
    mimetypes: ClassVar[list[str]] = ["text/x-rtfs"]
    url = ""
    version_added = ""
    flags = re.DOTALL

    def _word(self, match: re.Match[str]) -> Iterator[tuple[int, Any, str]]:
        word, start = match.group(), match.start()
        typed = _TYPED.fullmatch(word)
        if typed is None:
            yield start, _kind(word), word
        else:
            yield start, _kind(typed["name"]), typed["name"]
            yield typed.start("type") + start, Keyword.Type, typed["type"]

    tokens: ClassVar[dict[str, list[Any]]] = {
        "root": [
            (r"\ufeff?[ \t\r\n,]+|\ufeff", Whitespace),
            (r";[^\n]*", Comment.Single),
            (r"#\|", Comment.Multiline, "comment"),
            (r'"', String, "string"),
            (r"\^(?=\{)|\^:delegation" + _END, Name.Decorator),
            (r"#\(|[()\[\]{}]", Punctuation),
            (r"~@|['`~^]", Operator),
            (rf"(?<=\()(?:{'|'.join(sorted(DEFINING))}){_END}", Keyword.Declaration, "definition"),
            (_WORD, _word),
            (r".", Text),
        ],
        "definition": [
            (r"[ \t\r\n,]+", Whitespace),
            (r"\^(?=\{)", Name.Decorator, "metadata"),
            (r"[^:@ \t\r\n,()\[\]{}\";'`^~][^: \t\r\n,()\[\]{}\";]*", Name.Function, "#pop"),
            default("#pop"),
        ],
        "metadata": [(r"\{", Punctuation, ("#pop", "map")), default("#pop")],
        "map": [(r"\{", Punctuation, "#push"), (r"\}", Punctuation, "#pop"), include("root")],
        "comment": [(r"[^|]+", Comment.Multiline), (r"\|#", Comment.Multiline, "#pop"), (r"\|", Comment.Multiline)],
        "string": [
            (r'[^"\\]+', String),
            (r"\\u\{[0-9a-fA-F]{1,6}\}|\\[ntr\\\"]", String.Escape),
            (r"\\.?", String),
            (r'"', String, "#pop"),
        ],
    }


COLORS: Final = MappingProxyType(
    {
        Keyword: "blue",
        Keyword.Constant: "magenta",
        Keyword.Type: "yellow",
        Name.Builtin: "cyan",
        Name.Namespace: "green",
        Name.Decorator: "brightblack",
        Number: "yellow",
        Token.Literal.Date: "yellow",
        String: "green",
        String.Escape: "yellow",
        String.Symbol: "magenta",
        Comment: "brightblack",
    }
)
"""Colours of the terminal's own palette, so that they fit its background; what is not here has none."""

_CODES: Final = {"blue": 34, "magenta": 35, "yellow": 33, "cyan": 36, "green": 32, "brightblack": 90}


def _color(kind: Any) -> str | None:
    while kind is not None and kind not in COLORS:
        kind = kind.parent
    return COLORS[kind] if kind is not None else None


def for_terminal(text: str) -> str:
    """Return RTFS with the escapes that colour it on a terminal."""
    runs = groupby(RtfsLexer().get_tokens_unprocessed(text), key=lambda found: _color(found[1]))
    pieces = []
    for color, run in runs:
        piece = "".join(each for _, _, each in run)
        pieces.append(f"\x1b[{_CODES[color]}m{piece}\x1b[0m" if color else piece)
    return "".join(pieces)
