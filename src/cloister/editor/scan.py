"""A text as words and brackets, whatever state it is in.

Owns the tolerant look at a text that somebody is still typing: which word stands where, which lists are open around a
place, what they bind, and what the text defines. The reader refuses a text that is not finished; this never fails. It
knows shapes, not meaning, so what it says is for people: completion, hover, outlines. Handles text that may be hostile;
every scan is linear in it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Final, NamedTuple

from cloister.lang.reader import DEFAULT_LIMITS

DEFINING: Final = frozenset({"def", "defn", "defmacro", "defstruct", "deftype", "module"})
"""Forms whose second item is a name they define."""

FUNCTIONS: Final = frozenset({"defn", "defmacro", "fn", "λ"})
BINDING: Final = frozenset({"let", "loop", "for", "dotimes", "if-let", "when-let"}) | FUNCTIONS
"""Forms whose first vector binds names."""

SCANS_CACHED: Final = 8
SIGNATURE_CHARS_MAX: Final = 200
DOC_CHARS_MAX: Final = 2_000
IMPORT_WORDS_MAX: Final = 200
_SPACE: Final = r" \t\r\n,"

_TOKEN: Final = re.compile(
    rf"""
      (?P<blank>  [{_SPACE}]++ | ;[^\n]*+ )
    | (?P<note>   \#\|(?:[^|]++|\|(?!\#))*+(?:\|\#)?+ )
    | (?P<text>   "(?:[^"\\]++|\\.)*+(?:"|\\?+\Z) )
    | (?P<open>   \#?\(|[\[{{] )
    | (?P<close>  [)\]}}] )
    | (?P<prefix> ['`^] | ~@?+ )
    | (?P<word>   [^{_SPACE}()\[\]{{}}";'`^~][^{_SPACE}()\[\]{{}}";]*+ )
    """,
    re.VERBOSE | re.DOTALL,
)

_NAME: Final = re.compile(r"(?!(?:true|false|nil|_)\Z)[A-Za-z_$λ*!?<>=]|[-+/](?![0-9])")


class Token(NamedTuple):
    """A piece of text that is not blank.

    Attributes:
        kind: `text`, `open`, `close`, `prefix` or `word`; `note` for a block comment.
        text: As it stands there.
        start: Offset of its first character.
    """

    kind: str
    text: str
    start: int

    @property
    def end(self) -> int:
        """Offset after its last character."""
        return self.start + len(self.text)


@dataclass(frozen=True, slots=True, kw_only=True)
class Definition:
    """A name that a text defines at its top level.

    Attributes:
        name: The name.
        form: `defn`, `def` and so on.
        start: Offset of the name.
        form_start: Offset of the form.
        form_end: Offset after the form, or after the text when it is not closed.
        parameters: The vector of parameters as written; empty when there is none.
        doc: The text between name and parameters; empty when there is none.
    """

    name: str
    form: str
    start: int
    form_start: int
    form_end: int
    parameters: str = ""
    doc: str = ""

    @property
    def end(self) -> int:
        """Offset after the name."""
        return self.start + len(self.name)

    @property
    def signature(self) -> str:
        """How it is called, or how it is defined when it is not called."""
        inner = self.parameters[1:-1].strip()
        return f"({self.name} {inner})".replace(" )", ")") if self.parameters else f"({self.form} {self.name} ...)"


@dataclass(slots=True)
class OpenList:
    """A list that is open at a place.

    Attributes:
        opener: `(`, `#(`, `[` or `{`.
        head: Its first item when that is a word, else the empty text.
        items: How many items began in it before the place.
        names: Names its binding vector holds so far, with the offset of each.
    """

    opener: str
    start: int
    head: str = ""
    items: int = 0
    names: dict[str, int] = field(default_factory=dict)


@lru_cache(maxsize=SCANS_CACHED)
def tokens(text: str) -> tuple[Token, ...]:
    """Return the tokens of a text without blanks and line comments; of one that is too long, of its beginning."""
    return tuple(
        Token(str(match.lastgroup), match.group(), match.start())
        for match in _TOKEN.finditer(text, 0, DEFAULT_LIMITS.text_chars)
        if match.lastgroup != "blank"
    )


_BRACKETS: Final = re.compile(r';[^\n]*|"|#\||[()\[\]{}]')
_ENDS: Final = {"text": re.compile(r'\\.|"', re.DOTALL), "note": re.compile(r"\|#")}


class Nesting:
    """Counts brackets of a text that comes in pieces, each of which ends with a line.

    Attributes:
        depth: How many brackets are open; negative when too many were closed.
    """

    def __init__(self) -> None:
        self.depth = 0
        self._inside = ""

    @property
    def is_open(self) -> bool:
        """Whether a bracket, string or comment waits for its end."""
        return self.depth > 0 or bool(self._inside)

    def feed(self, piece: str) -> None:
        """Take the next piece."""
        at = 0
        while at < len(piece):
            found = (_ENDS[self._inside] if self._inside else _BRACKETS).search(piece, at)
            if found is None:
                return
            at = found.end()
            mark = found.group()
            if self._inside:
                self._inside = self._inside if mark[0] == "\\" else ""
            elif mark in {'"', "#|"}:
                self._inside = "text" if mark == '"' else "note"
            elif mark[0] != ";":
                self.depth += 1 if mark in "([{" else -1


def token_at(text: str, offset: int) -> Token | None:
    """Return the token that covers an offset, or else ends at it."""
    before = None
    for token in tokens(text):
        if token.start > offset:
            break
        if token.start <= offset < token.end:
            if token.kind == "word" or before is None or before.end != offset:
                return token
            break
        before = token
    return before if before is not None and before.end == offset else None


def open_lists(text: str, offset: int) -> list[OpenList]:
    """Return the lists that are open at an offset, outermost first."""
    stack: list[OpenList] = []
    for token in tokens(text):
        if token.end > offset:
            break
        if token.kind == "open":
            _enter(stack, token)
        elif token.kind == "close":
            if stack:
                stack.pop()
        elif token.kind in {"word", "text"}:
            _count(stack, token)
    return stack


def _enter(stack: list[OpenList], token: Token) -> None:
    if stack:
        stack[-1].items += 1
    stack.append(OpenList(token.text, token.start))


def _count(stack: list[OpenList], token: Token) -> None:
    if not stack:
        return
    inner = stack[-1]
    inner.items += 1
    if token.kind == "word" and inner.items == 1 and inner.opener == "(":
        inner.head = token.text
    if token.kind == "word" and _NAME.match(token.text):
        binder = _binder(stack)
        if binder is not None:
            binder.names.setdefault(token.text.partition(":")[0], token.start)


def _binder(stack: list[OpenList]) -> OpenList | None:
    """Return the form whose binding vector the innermost list stands in, or None.

    Values are among what stands directly in a vector of pairs too; a name that is one is in scope anyway.
    """
    for depth in range(len(stack) - 1, 0, -1):
        outer = stack[depth - 1]
        if stack[depth].opener not in {"[", "{"}:
            return None
        if stack[depth].opener == "[" and outer.opener == "(" and outer.head in BINDING:
            return outer if outer.items <= (4 if outer.head in FUNCTIONS else 2) else None
    return None


@lru_cache(maxsize=SCANS_CACHED)
def definitions(text: str) -> tuple[Definition, ...]:
    """Return what a text defines at its top level, in order; also inside `module`, `do` and `plan` forms there."""
    found: list[Definition] = []
    items = tokens(text)
    stack: list[_Level] = []
    closed_count = 0  # of the levels in the stack
    for index, token in enumerate(items):
        if token.kind == "open":
            definition = None if closed_count else _defined(items, index)
            if definition is not None:
                found.append(definition)
            stack.append(_Level(None if definition is None else len(found) - 1, _is_open_form(items, index)))
            closed_count += not stack[-1].is_open
        elif token.kind == "close" and stack:
            level = stack.pop()
            closed_count -= not level.is_open
            if level.definition is not None:
                found[level.definition] = replace(found[level.definition], form_end=token.end)
    return tuple(replace(each, form_end=len(text)) if each.form_end < 0 else each for each in found)


_OPEN_FORMS: Final = frozenset({"do", "module", "plan"})
"""Forms whose definitions are those of the text."""


class _Level(NamedTuple):
    definition: int | None
    is_open: bool


def _is_open_form(items: Sequence[Token], index: int) -> bool:
    return index + 1 < len(items) and items[index + 1].text in _OPEN_FORMS


def _defined(items: Sequence[Token], index: int) -> Definition | None:
    """Return the definition that the list opened by a token is, or None."""
    head = items[index + 1] if index + 1 < len(items) else None
    if items[index].text != "(" or head is None or head.text not in DEFINING:
        return None
    after = _after_metadata(items, index + 2)
    name = items[after] if after < len(items) else None
    if name is None or name.kind != "word" or name.text.startswith((":", "@")):
        return None
    parameters, doc = _parameters(items, after + 1) if head.text in FUNCTIONS else ("", "")
    return Definition(
        name=name.text,
        form=head.text,
        start=name.start,
        form_start=items[index].start,
        form_end=-1,
        parameters=parameters,
        doc=doc,
    )


def _after_metadata(items: Sequence[Token], index: int) -> int:
    """Return the index of the first token that is not metadata."""
    while index < len(items) and items[index].text == "^":
        depth, index = 0, index + 1
        while index < len(items):
            depth += {"open": 1, "close": -1}.get(items[index].kind, 0)
            index += 1
            if depth <= 0:
                break
    return index


def _parameters(items: Sequence[Token], index: int) -> tuple[str, str]:
    """Return the vector of parameters and the documentation that follow a name."""
    doc = ""
    if index < len(items) and items[index].kind == "text":
        doc = items[index].text[1:-1].replace('\\"', '"').replace("\\n", "\n")[:DOC_CHARS_MAX]
        index += 1
    index = _after_metadata(items, index)
    if index >= len(items) or items[index].text != "[":
        return "", doc
    return _joined(_until_closed(items, index)), doc


def _until_closed(items: Sequence[Token], index: int) -> Iterator[Token]:
    depth = chars = 0
    for token in items[index:]:
        depth += {"open": 1, "close": -1}.get(token.kind, 0)
        chars += len(token.text) + 1
        yield token
        if depth == 0 or chars > SIGNATURE_CHARS_MAX:
            return


def _joined(parts: Iterator[Token]) -> str:
    """Return tokens as one line, with a blank where the text had any."""
    line, end = "", None
    for token in parts:
        line += (" " if end is not None and token.start > end else "") + token.text
        end = token.end
    return line


@dataclass(frozen=True, slots=True)
class Import:
    """A module that a text imports.

    Attributes:
        module: Its name.
        prefix: What stands before the slash of its names.
        only: Its names that are visible as they are; None when none is.
    """

    module: str
    prefix: str
    only: tuple[str, ...] | None


@lru_cache(maxsize=SCANS_CACHED)
def imports(text: str) -> tuple[Import, ...]:
    """Return what a text imports, in order."""
    found = []
    items = tokens(text)
    for index, token in enumerate(items[:-2]):
        if token.text == "(" and items[index + 1].text == "import" and items[index + 2].kind == "word":
            found.append(_imported(items[index + 2 : index + 2 + IMPORT_WORDS_MAX]))
    return tuple(found)


def _imported(items: Sequence[Token]) -> Import:
    module = items[0].text
    option = items[1].text if len(items) > 2 else ""
    if option == ":as":
        return Import(module, items[2].text, None)
    if option == ":only":
        ends = (at for at, token in enumerate(items) if token.kind == "close")
        names = tuple(token.text for token in items[3 : next(ends, len(items))] if token.kind == "word")
        return Import(module, module, names)
    return Import(module, module, None)
