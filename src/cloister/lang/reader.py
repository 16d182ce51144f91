"""Pieces to forms: nesting, map shape and reader sugar.

Owns the structure of text: delimiters match, maps have keys and values, prefixes stand before a form. Sugar becomes
plain lists here, so that nothing later knows it existed. Must not give meaning to names. Works with an explicit stack,
so that no text can exhaust Python's own. Handles plan text, which is hostile: whatever it is, the outcome is forms or
a `ReadError`. Part of the guest set: standard library only.

Annotations: a colon before a type becomes `(type-annotation type)`, whether it stands alone (`x : int`), against the
type (`x :[:vector :int]`) or against the name (`x:int`); `:int` by itself is a keyword. A lone `?` is a symbol, except
where a key would stand in a map: `{:key type ?}` becomes `{:key (type-optional type)}`, so that entries stay pairs.

Source: language reference, sections 1.5 to 1.7 and 2.3, and section 9 rows 1 to 5 and 54.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from cloister.errors import ReadError, quoted
from cloister.lang.collector import paused_collector
from cloister.lang.forms import Form, ListForm, LiteralForm, MapForm, SymbolForm, VectorForm
from cloister.lang.lexer import Atom, atom, context_form, is_closed_string, pieces, string_value, typed_forms
from cloister.lang.nesting import CLOSERS, Frame, Nesting
from cloister.lang.problems import Problems
from cloister.lang.source import Source
from cloister.lang.sugar import PARAMETERS_MAX, PREFIXES, Parameters, metadata_forms, optional_folded, wrap
from cloister.lang.wrong_words import unsupported, wrong_word


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadLimits:
    """How much text is read.

    Attributes:
        text_chars: Longest text, in characters.
        depth_count: Deepest nesting of delimiters and prefixes.
        forms_count: Most forms: every name, literal, list, vector and map is one. A form takes 100 to 200 bytes.
    """

    text_chars: int = 1024 * 1024
    depth_count: int = 200
    forms_count: int = 400_000


DEFAULT_LIMITS: Final = ReadLimits()
LARGE_CHARS: Final = 64 * 1024
"""From here on reading takes long enough, and makes enough forms, for the garbage collector to get in the way."""

ATOMS_CACHED: Final = 4_096
"""Different words of one text whose meaning is looked up only once."""


def read(source: Source, limits: ReadLimits = DEFAULT_LIMITS) -> tuple[Form, ...]:
    """Read all forms of a text.

    Args:
        source: The text; its name appears in errors.
        limits: Longest text, deepest nesting, most forms.

    Returns:
        The top-level forms in order; empty for a text of blanks and comments.

    Raises:
        ReadError: The first problem of the text, with a span and a hint; `details["more"]` lists up to 19 others in
            order, as plain data. Codes: `read.size`, `read.depth`, `read.character`, `read.unclosed`,
            `read.unexpected-close`, `read.mismatched`, `read.escape`, `read.number`, `read.keyword`, `read.symbol`,
            `read.context`, `read.metadata`, `read.map-odd`, `read.prefix`, `read.method`, `read.anonymous-function`.

    Cost:
        Linear in the text.
    """
    _check_text(source, limits)
    if len(source.text) < LARGE_CHARS:
        return _Reader(source, limits).read()
    with paused_collector():
        return _Reader(source, limits).read()


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


class _Reader:
    """Reading one text; the problems so far, and the frames open at one point of it."""

    def __init__(self, source: Source, limits: ReadLimits) -> None:
        self._source = source
        self._limits = limits
        self._problems = Problems()
        self._nesting = Nesting(source, self._problems)
        self._frame = self._nesting.frames[-1]
        self._function: Parameters | None = None
        self._atoms: dict[str, Atom] = {}
        self._is_cut = False

    def read(self) -> tuple[Form, ...]:
        self._read_pieces()
        if not self._is_cut:
            self._nesting.finish()
        self._problems.tell()
        return tuple(self._nesting.frames[0].items)

    def _read_pieces(self) -> None:
        # Every form of every text passes here: what most pieces are is decided first, and without calls.
        known_atom, end, items = self._atoms.get, 0, self._frame.items
        room = self._limits.forms_count
        for piece in pieces(self._source.text):
            start = end
            end += len(piece)
            known = known_atom(piece)
            if known is not None:
                make, value = known
                items.append(make(value, start, end))
                if self._frame.awaited:
                    items = self._complete()
            elif piece[0] in " \n\r\t,;\ufeff":
                continue
            elif piece in ")]}":
                items = self._close(piece, start, end)
                continue
            elif piece in CLOSERS:
                items = self._open(piece, start, end)
            else:
                items = self._other(piece, start, end)
            room -= 1
            if room < 0:
                message = f"the text has more than {self._limits.forms_count} forms"
                hint = "split the plan, or read data from a file instead of writing it in the plan"
                self._give_up((start, end), "read.size", message, hint)

    def _other(self, piece: str, start: int, end: int) -> list[Form]:
        """Take a piece that is no known atom; return where the next form goes."""
        if piece in PREFIXES:
            return self._await(piece, start, end)
        if piece.startswith("#|"):
            if end == len(self._source.text) and (len(piece) < 4 or not piece.endswith("|#")):
                self._cut(start)
            return self._frame.items
        if piece[0] != '"':
            return self._word(piece, start, end)
        if end == len(self._source.text) and not is_closed_string(piece):
            self._cut(start)
            return self._frame.items
        try:
            value = string_value(self._source, piece, start)
        except ReadError as error:
            self._problems.note(start, error)
            value = ""
        return self._add(LiteralForm(value, start, end))

    def _cut(self, start: int) -> None:
        self._nesting.unclosed_text(start)
        self._is_cut = True

    def _word(self, word: str, start: int, end: int) -> list[Form]:
        known = atom(word)
        if known is None:
            return self._several(word, start)
        make, value = known
        form: Form = make(value, start, end)
        if word == "?":
            self._frame.optional = True
        elif word[0] == "%":
            form = self._parameter(form)
        elif len(self._atoms) < ATOMS_CACHED:
            self._atoms[word] = known
        return self._add(form)

    def _several(self, word: str, start: int) -> list[Form]:
        """Take a word that is a context value, a name with its type, or wrong."""
        context = context_form(word, start)
        if context is not None:
            return self._add(context)
        typed = typed_forms(word, start)
        if typed is None:
            return self._wrong(word, start)
        forms, colon = typed
        for form in forms:
            self._add(form)
        return self._frame.items if colon is None else self._await(":", colon, colon + 1)

    def _wrong(self, word: str, start: int) -> list[Form]:
        foreign = unsupported(self._source, self._source.text[start : start + 2], start)
        self._problems.note(start, foreign or wrong_word(self._source, word, start))
        if foreign or word[0] == "^":
            return self._frame.items
        # Something stood there: without it, the entries of a map would seem to be incomplete.
        return self._add(LiteralForm(None, start, start + len(word)))

    def _add(self, form: Form) -> list[Form]:
        self._frame.items.append(form)
        return self._complete() if self._frame.awaited else self._frame.items

    def _complete(self) -> list[Form]:
        """End the prefixes whose forms are all there; return where the next form goes."""
        frame = self._frame
        while frame.awaited:
            if frame.opener == "^":
                frame.awaited = self._metadata_forms(frame)
            if len(frame.items) < frame.awaited:
                break
            self._nesting.frames.pop()
            wrapped = wrap(frame)
            self._frame = frame = self._nesting.frames[-1]
            frame.items.append(wrapped)
        return frame.items

    def _open(self, opener: str, start: int, end: int) -> list[Form]:
        if opener[0] == "#":
            self._open_sharp(opener, start, end)
        return self._push(Frame(opener, CLOSERS[opener], start, end))

    def _open_sharp(self, opener: str, start: int, end: int) -> None:
        if opener == "#{":
            self._wrong(opener, start)
        elif self._function is not None:
            message, hint = "#() cannot stand inside another #()", "write the inner one as (fn [x] ...)"
            self._note((start, end), "read.anonymous-function", message, hint)
        else:
            self._function = Parameters()

    def _await(self, prefix: str, start: int, end: int) -> list[Form]:
        return self._push(Frame(prefix, "", start, end, 2 if prefix == "^" else 1))

    def _push(self, frame: Frame) -> list[Form]:
        frames = self._nesting.frames
        if len(frames) == 1:
            self._nesting.opens(frame.start)
        elif len(frames) > self._limits.depth_count:
            message = f"forms are nested deeper than {self._limits.depth_count} levels"
            self._give_up(
                (frame.start, frame.end), "read.depth", message, "give the inner parts names with let or defn"
            )
        self._frame = frame
        frames.append(frame)
        return frame.items

    def _close(self, closer: str, start: int, end: int) -> list[Form]:
        frames = self._nesting.frames
        if self._frame.closer != closer and not self._close_wrongly(closer, start):
            return self._frame.items
        frame = frames.pop()
        form = self._build(frame, end)
        self._frame = around = frames[-1]
        around.items.append(form)
        return self._complete() if around.awaited else around.items

    def _close_wrongly(self, closer: str, start: int) -> bool:
        closes = self._nesting.close_wrongly(closer, start)
        self._frame = self._nesting.frames[-1]
        if not any(frame.opener == "#(" for frame in self._nesting.frames):
            self._function = None
        return closes

    def _build(self, frame: Frame, end: int) -> Form:
        opener = frame.opener
        if opener == "(":
            return ListForm(self._method(frame.items), frame.start, end)
        if opener == "{":
            return self._map(frame, end)
        if opener == "#(":
            return self._anonymous_function(frame, end)
        return VectorForm(tuple(frame.items), frame.start, end)

    def _method(self, items: list[Form]) -> tuple[Form, ...]:
        head = items[0] if items else None
        if type(head) is not SymbolForm or head.name[0] != ".":
            return tuple(items)
        if len(items) < 2:
            message = f"the method call `({quoted(head.name, 60)})` has no target"
            self._misshapen((head.start, head.end), "read.method", message, f"write ({quoted(head.name, 60)} target)")
        return SymbolForm(head.name[1:], head.start + 1, head.end), *items[1:]

    def _map(self, frame: Frame, end: int) -> MapForm:
        items = optional_folded(frame.items) if frame.optional else frame.items
        if len(items) % 2:
            place = items[-1].start, items[-1].end
            message, hint = "the last key of this map has no value", "keys and values alternate: {:a 1 :b 2}"
            self._misshapen(place, "read.map-odd", message, hint)
        return MapForm(tuple(zip(items[::2], items[1::2], strict=False)), frame.start, end)

    def _anonymous_function(self, frame: Frame, end: int) -> ListForm:
        parameters, self._function = self._function or Parameters(), None
        return parameters.function(frame, self._method(frame.items), end)

    def _parameter(self, form: Form) -> Form:
        if self._function is None or not isinstance(form, SymbolForm):
            return form
        meant = self._function.note(form)
        if meant is None:
            message, hint = f"parameters of #() are %1 to %{PARAMETERS_MAX}", "write (fn [a b] ...) and name them"
            self._note((form.start, form.end), "read.anonymous-function", message, hint)
        return meant or form

    def _metadata_forms(self, frame: Frame) -> int:
        awaited = metadata_forms(frame.items)
        if awaited is None:
            place = frame.start, frame.items[-1].end
            hint = 'write ^{:key value} or ^:delegation with :local, :local-model "id" or :remote "id" before the form'
            self._misshapen(place, "read.metadata", "this is not metadata", hint)
        return awaited or len(frame.items)

    def _misshapen(self, place: tuple[int, int], code: str, message: str, hint: str) -> None:
        if not self._nesting.is_doubtful:
            self._note(place, code, message, hint)

    def _note(self, place: tuple[int, int], code: str, message: str, hint: str) -> None:
        error = ReadError(message, code=code, span=self._source.span(*place), hint=hint)
        self._problems.note(place[0], error)

    def _give_up(self, place: tuple[int, int], code: str, message: str, hint: str) -> None:
        self._note(place, code, message, hint)
        self._problems.tell()
