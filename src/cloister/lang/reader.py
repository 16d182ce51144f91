"""Tokens to forms: nesting, map shape and reader sugar.

Owns the structure of text: delimiters match, maps have keys and values, prefixes stand before a form. Sugar becomes
plain lists here, so that nothing later knows it existed. Must not give meaning to names. Works with an explicit stack,
so that no text can exhaust Python's own. Handles plan text, which is hostile: whatever it is, the outcome is forms or
a `ReadError`. Part of the guest set: standard library only.

Source: language reference, sections 1.5 to 1.7, and section 9 rows 2 to 5 and 54.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from cloister.errors import ReadError
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.lexer import Mark, tokens
from cloister.lang.source import Source
from cloister.lang.values import Keyword


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """How much text is read.

    Attributes:
        text_chars: Longest text, in characters.
        depth_count: Deepest nesting of delimiters and prefixes.
        forms_count: Most forms: every name, literal, list, vector and map is one.
    """

    text_chars: int = 1024 * 1024
    depth_count: int = 200
    forms_count: int = 200_000


DEFAULT_LIMITS: Final = ReadLimits()
PARAMETERS_MAX: Final = 20
"""Highest `%n` in a `#()` function."""

_CLOSERS: Final = {"(": ")", "#(": ")", "[": "]", "{": "}"}
_PREFIXES: Final = {"'": "quote", "`": "quasiquote", "~": "unquote", "~@": "unquote-splicing", "^": "with-meta"}
_PARAMETER: Final = re.compile(r"%([0-9]+)?(?!.)")
_DELEGATION_FORMS: Final = {"local": 3, "local-model": 4, "remote": 4}
"""How many forms follow `^`, the annotated form included, by the target of `^:delegation`."""


def read(source: Source, limits: ReadLimits = DEFAULT_LIMITS) -> tuple[Form, ...]:
    """Read all forms of a text.

    Args:
        source: The text; its name appears in errors.
        limits: Longest text and deepest nesting.

    Returns:
        The top-level forms in order; empty for a text of blanks and comments.

    Raises:
        ReadError: With a span and a hint. Codes: `read.size`, `read.depth`, `read.character`, `read.unclosed`,
            `read.unexpected-close`, `read.mismatched`, `read.escape`, `read.number`, `read.keyword`, `read.symbol`,
            `read.context`, `read.metadata`, `read.map-key`, `read.map-odd`, `read.prefix`, `read.method`,
            `read.anonymous-function`.
    """
    _check_text(source, limits)
    reader = _Reader(source, limits)
    for token in tokens(source):
        if isinstance(token, Mark):
            reader.mark(token)
        else:
            reader.add(token)
    return reader.finish()


def _check_text(source: Source, limits: ReadLimits) -> None:
    size = len(source.text)
    if size > limits.text_chars:
        raise ReadError(
            f"the text has {size} characters; at most {limits.text_chars} are read",
            code="read.size",
            span=source.span(limits.text_chars, limits.text_chars),
            hint="split the plan, or read data from a file instead of writing it in the plan",
        )
    try:
        source.text.encode()
    except UnicodeEncodeError as error:
        raise ReadError(
            f"half of a surrogate pair (U+{ord(source.text[error.start]):04X}) is not a character",
            code="read.character",
            span=source.span(error.start, error.start + 1),
            hint="decode the file as UTF-8 without ignoring errors",
        ) from None


@dataclass(slots=True)
class _Frame:
    """A delimiter or prefix whose forms are still being collected."""

    opener: str
    start: int
    end: int
    items: list[Form] = field(default_factory=list)
    awaited: int = 0
    """Forms after which a prefix is complete; 0 for delimiters, which are closed instead."""


class _Reader:
    """The frames open at one point of the text."""

    def __init__(self, source: Source, limits: ReadLimits) -> None:
        self._source = source
        self._limits = limits
        self._stack = [_Frame("", 0, 0)]
        self._function: _Parameters | None = None
        self._forms_count = 0

    def mark(self, mark: Mark) -> None:
        if mark.text in _CLOSERS or mark.text in _PREFIXES:
            self._open(mark)
        else:
            self._close(mark)

    def add(self, form: Form) -> None:
        if self._function is not None and type(form) is SymbolForm and form.name[0] == "%":
            form = self._function.note(self._source, form)
        self._forms_count += 1
        if self._forms_count > self._limits.forms_count:
            message = f"the text has more than {self._limits.forms_count} forms"
            hint = "split the plan, or read data from a file instead of writing it in the plan"
            raise self._error(form.start, form.end, "read.size", message, hint)
        frame = self._stack[-1]
        frame.items.append(form)
        while frame.awaited:
            if frame.opener == "^":
                frame.awaited = self._metadata_forms(frame)
            if len(frame.items) < frame.awaited:
                return
            self._stack.pop()
            wrapped = self._wrap(frame)
            frame = self._stack[-1]
            frame.items.append(wrapped)

    def finish(self) -> tuple[Form, ...]:
        frame = self._stack[-1]
        if frame.awaited:
            raise self._lonely_prefix(frame)
        if frame.opener:
            closer = _CLOSERS[frame.opener]
            nested = len(self._stack) - 2
            also = f"; {nested} more around it are open too" if nested else ""
            message = f"`{frame.opener}` is never closed{also}"
            raise self._error(frame.start, frame.end, "read.unclosed", message, f"add the missing `{closer}`")
        return tuple(frame.items)

    def _open(self, mark: Mark) -> None:
        if len(self._stack) > self._limits.depth_count:
            message = f"forms are nested deeper than {self._limits.depth_count} levels"
            hint = "give the inner parts names with let or defn"
            raise self._error(mark.start, mark.end, "read.depth", message, hint)
        if mark.text == "#(":
            if self._function is not None:
                hint = "write the inner one as (fn [x] ...)"
                raise self._error(
                    mark.start, mark.end, "read.anonymous-function", "#() cannot stand inside another #()", hint
                )
            self._function = _Parameters()
        frame = _Frame(mark.text, mark.start, mark.end)
        if mark.text in _PREFIXES:
            frame.awaited = 2 if mark.text == "^" else 1
        self._stack.append(frame)

    def _close(self, mark: Mark) -> None:
        frame = self._stack[-1]
        if frame.awaited:
            raise self._lonely_prefix(frame)
        if not frame.opener:
            hint = "remove it, or look for a missing opening delimiter before it"
            raise self._error(mark.start, mark.end, "read.unexpected-close", f"`{mark.text}` closes nothing", hint)
        expected = _CLOSERS[frame.opener]
        if mark.text != expected:
            place = self._source.span(frame.start, frame.end)
            message = f"`{mark.text}` cannot close `{frame.opener}` of line {place.line}, column {place.column}"
            raise self._error(
                mark.start, mark.end, "read.mismatched", message, f"write `{expected}` before it or instead"
            )
        self._stack.pop()
        self.add(self._build(frame, mark.end))

    def _build(self, frame: _Frame, end: int) -> Form:
        match frame.opener:
            case "(":
                return ListForm(self._method(frame.items), frame.start, end)
            case "[":
                return VectorForm(tuple(frame.items), frame.start, end)
            case "{":
                return self._map(frame, end)
        return self._anonymous_function(frame, end)

    def _method(self, items: list[Form]) -> tuple[Form, ...]:
        head = items[0] if items else None
        if not isinstance(head, SymbolForm) or head.name[0] != ".":
            return tuple(items)
        if len(items) == 1:
            message = f"`{head.name}` needs a target"
            hint = f"write ({head.name} target)"
            raise self._error(head.start, head.end, "read.method", message, hint)
        return SymbolForm(head.name[1:], head.start + 1, head.end), *items[1:]

    def _map(self, frame: _Frame, end: int) -> MapForm:
        keys: list[LiteralForm] = []
        for key in frame.items[::2]:
            if not isinstance(key, LiteralForm) or type(key.value) not in {Keyword, str, int}:
                message = "a map key must be a keyword, a string or an integer"
                hint = "write :name for a keyword; (hash-map k v) takes computed keys"
                raise self._error(key.start, key.end, "read.map-key", message, hint)
            keys.append(key)
        if len(frame.items) % 2:
            last = keys[-1]
            message = "the last key of this map has no value"
            raise self._error(last.start, last.end, "read.map-odd", message, "keys and values alternate: {:a 1 :b 2}")
        return MapForm(tuple(zip(keys, frame.items[1::2], strict=True)), frame.start, end)

    def _anonymous_function(self, frame: _Frame, end: int) -> ListForm:
        parameters = self._function or _Parameters()
        self._function = None
        start = frame.start
        names = [f"%{number}" for number in range(1, parameters.highest + 1)]
        names += ["&", "%&"] if parameters.rest else []
        vector = VectorForm(tuple(SymbolForm(name, start, frame.end) for name in names), start, frame.end)
        body = ListForm(self._method(frame.items), start + 1, end)
        return ListForm((SymbolForm("fn", start, start + 1), vector, body), start, end)

    def _metadata_forms(self, frame: _Frame) -> int:
        first, *more = frame.items
        if isinstance(first, MapForm):
            return 2
        if first == LiteralForm(Keyword("delegation"), first.start, first.end):
            if not more:
                return 3
            target = more[0]
            if isinstance(target, LiteralForm) and isinstance(target.value, Keyword):
                awaited = _DELEGATION_FORMS.get(target.value.name, 0)
                if awaited == 3 or (awaited and (len(more) < 2 or _is_text(more[1]))):
                    return awaited
        place = frame.items[-1]
        hint = 'write ^{:key value}, ^:delegation :local, ^:delegation :local-model "id" or ^:delegation :remote "id"'
        raise self._error(frame.start, place.end, "read.metadata", "this is not metadata", hint)

    def _wrap(self, frame: _Frame) -> ListForm:
        head = SymbolForm(_PREFIXES[frame.opener], frame.start, frame.end)
        items = frame.items
        end = items[-1].end
        if len(items) <= 2:
            return ListForm((head, *items), frame.start, end)
        target = items[1] if len(items) == 3 else VectorForm(tuple(items[1:-1]), items[1].start, items[-2].end)
        key = items[0]
        if not isinstance(key, LiteralForm):
            raise TypeError("delegation metadata starts with a keyword")
        return ListForm((head, MapForm(((key, target),), key.start, target.end), items[-1]), frame.start, end)

    def _lonely_prefix(self, frame: _Frame) -> ReadError:
        message = f"`{frame.opener}` stands before nothing"
        return self._error(frame.start, frame.end, "read.prefix", message, "write a form after it, or remove it")

    def _error(self, start: int, end: int, code: str, message: str, hint: str) -> ReadError:
        return ReadError(message, code=code, span=self._source.span(start, end), hint=hint)


@dataclass(slots=True)
class _Parameters:
    """What the body of an open `#()` says about its parameters."""

    highest: int = 0
    rest: bool = False

    def note(self, source: Source, symbol: SymbolForm) -> SymbolForm:
        """Count a `%` name, and return it as the parameter it means: `%` is `%1`."""
        if symbol.name == "%&":
            self.rest = True
            return symbol
        match = _PARAMETER.match(symbol.name)
        if match is None:
            return symbol
        digits = match.group(1) or "1"
        number = int(digits) if len(digits) <= 3 else 0
        if not 1 <= number <= PARAMETERS_MAX:
            raise ReadError(
                f"parameters of #() are %1 to %{PARAMETERS_MAX}",
                code="read.anonymous-function",
                span=source.span(symbol.start, symbol.end),
                hint="write (fn [a b] ...) and name them",
            )
        self.highest = max(self.highest, number)
        return SymbolForm(f"%{number}", symbol.start, symbol.end)


def _is_text(form: Form) -> bool:
    return isinstance(form, LiteralForm) and isinstance(form.value, str)
