"""One input of a conversation as a program: the definitions it mentions, and then the input.

Owns how an input becomes a program that also tells the values of what it defines, and what of it can be kept as text.
Handles text that may be hostile.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Final

from cloister.editor.composed import Composed, Piece
from cloister.editor.scan import tokens
from cloister.errors import CloisterError
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, SymbolForm, VectorForm
from cloister.lang.modules import ModuleLoader
from cloister.lang.program import Program, compile_program
from cloister.lang.source import Source
from cloister.lang.special_forms.form import unwrap_metadata
from cloister.lang.values import Value

NAME: Final = "<session>"
_CODE: Final = frozenset({"defn", "defmacro", "defstruct", "deftype", "import", "module"})
"""Forms that are kept as their text."""
_IMPORT: Final = "import"
_FUNCTIONS: Final = frozenset({"fn", "λ"})
_ALWAYS: Final = _CODE - {"defn"}
"""What an input may use without mentioning the name under which it was defined."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """What stays of an input.

    Attributes:
        names: What it defines; may be empty for an import.
        text: The form.
        source: The input it stood in.
        start: Where.
        always: Whether every input gets it.
        value: The value of its only name, when that was computed; see `has_value`.
        has_value: Whether the value stands for the form.
        mentions: Every word of the form.
    """

    names: tuple[str, ...]
    text: str
    source: Source
    start: int
    always: bool = False
    value: Value = None
    has_value: bool = False
    mentions: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Captured:
    """What a run gave.

    Attributes:
        value: The value of the last form.
        values: Of the computed definitions that were made, by name.
    """

    value: Value
    values: Mapping[str, Value]


class Input:
    """One input with the definitions it sees.

    Args:
        source: Its text.
        forms: What was read from it.
        visible: The definitions.
        modules: Where the modules come from that it imports.

    Attributes:
        composed: The program that was compiled last.
        has_effects: Whether it can call a capability.
        defined: Each form that defines something, with the names.

    Raises:
        CloisterError: It is not a program.
    """

    def __init__(
        self, source: Source, forms: Sequence[Form], visible: list[Kept], modules: ModuleLoader | None
    ) -> None:
        self._modules = modules
        self.source = source
        self.forms = forms
        self.visible = visible
        self.composed = self._compose(())
        plain = self._compiled()
        self.has_effects = bool(plain.effects)
        self.defined = list(self._definitions(plain))
        self._certain, self._possible = self._to_capture()
        self._program = plain

    def program(self) -> Program:
        """Return the program to run: it gives the value of the last form and of every definition that is computed."""
        if self._possible:
            # What is defined inside a let is not seen from outside, and cannot be captured there
            self._possible = tuple(name for name in self._possible if self._is_visible(name))
        if self._certain or self._possible:
            self._program = self._capturing(self._certain, self._possible)
        return self._program

    def _capturing(self, certain: Sequence[str], possible: Sequence[str]) -> Program:
        self.composed = self._compose((*certain, *(f"(try [{name}] (catch e nil))" for name in possible)))
        return self._compiled()

    def _is_visible(self, name: str) -> bool:
        try:
            self._capturing((), (name,))
        except CloisterError:
            return False
        finally:
            self.composed = self._compose(())
        return True

    def captured(self, value: Value) -> Captured:
        """Take the value of a run apart."""
        if not self._certain and not self._possible:
            return Captured(value, {})
        if not isinstance(value, tuple):
            raise TypeError("a program that captures gives a vector")
        first, *others = value
        sure = dict(zip(self._certain, others, strict=False))
        unsure = dict(zip(self._possible, others[len(self._certain) :], strict=True))
        return Captured(first, sure | {name: held[0] for name, held in unsure.items() if held})

    def kept(self, form: Form, names: tuple[str, ...], **value: Value) -> Kept:
        """Return what stays of a form of this input."""
        text = self.source.text[form.start : form.end]
        return Kept(
            names=names,
            text=text,
            source=self.source,
            start=form.start,
            always=head_of(form) in _ALWAYS,
            value=value.get("value"),
            has_value="value" in value,
            mentions=frozenset() if value else frozenset(words(text)),
        )

    def _compose(self, captures: Sequence[str]) -> Composed:
        text, pieces = self.source.text, []
        for index, kept in enumerate(self.visible):
            if kept.has_value:
                pieces.append(Piece(f"(def {kept.names[0]} @{input_name(index)})\n"))
            else:
                pieces += [Piece(kept.text, kept.source, kept.start), Piece("\n")]
        if not captures:
            return Composed(NAME, [*pieces, Piece(text, self.source)])
        last = self.forms[-1]
        gathered = "\n" + "\n".join(captures) + "]"
        if only_defines(last):
            return Composed(NAME, [*pieces, Piece(text, self.source), Piece("\n[nil" + gathered)])
        parts = [
            Piece(text[: last.start], self.source),
            Piece("["),
            Piece(text[last.start : last.end], self.source, last.start),
            Piece(gathered),
            Piece(text[last.end :], self.source, last.end),
        ]
        return Composed(NAME, [*pieces, *parts])

    def _compiled(self) -> Program:
        inputs = [input_name(index) for index, kept in enumerate(self.visible) if kept.has_value]
        try:
            return compile_program(self.composed.source.text, NAME, inputs, self._modules)
        except CloisterError as error:
            raise self.composed.restore(error) from None

    def _definitions(self, program: Program) -> Iterator[tuple[Form, tuple[str, ...]]]:
        """Yield each form that defines something, with the names."""
        shift = self.composed.starts[-1]
        places = [(node.start - shift, node.variable.name) for node in _defines(program.core)]
        for form in self.forms:
            names = names_of(form) if is_code(form) else (name for at, name in places if form.start <= at < form.end)
            unique = tuple(dict.fromkeys(names))
            if unique or only_defines(form):
                yield form, unique

    def _to_capture(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the computed names that are defined whatever happens, and those that may be."""
        certain: dict[str, None] = {}
        possible: dict[str, None] = {}
        for form, names in self.defined:
            if not is_code(form):
                (certain if head_of(form) == "def" else possible).update(dict.fromkeys(names))
        return tuple(certain), tuple(name for name in possible if name not in certain)


def input_name(index: int) -> str:
    """Return the name of the input that carries the value of a definition."""
    return f"session-{index}"


def words(text: str) -> Iterator[str]:
    """Yield the words of a text, and the parts of those that are made of several names."""
    for token in tokens(text):
        if token.kind == "word":
            yield token.text
            for part in token.text.replace(":", " ").replace("@", " ").replace("/", " ").split():
                yield part
                yield part.strip(".#?")


def head_of(form: Form) -> str | None:
    """Return the name a list begins with; None for anything else."""
    head = form.items[0] if isinstance(form, ListForm) and form.items else None
    return head.name if isinstance(head, SymbolForm) else None


def names_of(form: Form) -> tuple[str, ...]:
    """Return the names under which what a form defines is known."""
    if not isinstance(form, ListForm) or len(form.items) < 2:
        return ()
    name, last = unwrap_metadata(form.items[1]), form.items[-1]
    if head_of(form) != _IMPORT:
        return (name.name,) if isinstance(name, SymbolForm) else ()
    if isinstance(last, VectorForm):  # :only [name ...]
        return tuple(item.name for item in last.items if isinstance(item, SymbolForm))
    return (f"{last.name}/",) if isinstance(last, SymbolForm) else ()  # the name itself, or :as short


def only_defines(form: Form) -> bool:
    """Say whether a form is one of those that are kept as their text, so that its value says nothing."""
    return head_of(form) in _CODE


def is_code(form: Form) -> bool:
    """Say whether a form only defines code: keeping its text keeps its meaning, and running it again costs nothing."""
    if only_defines(form):
        return True
    return head_of(form) == "def" and isinstance(form, ListForm) and head_of(form.items[-1]) in _FUNCTIONS


def _defines(node: object) -> Iterator[core.Define]:
    """Yield the definitions of a program that stand outside of functions."""
    pending = [node]
    while pending:
        each = pending.pop()
        if isinstance(each, core.Define):
            yield each
        if isinstance(each, core.Lambda):
            continue
        if isinstance(each, tuple):
            pending.extend(reversed(each))
        elif is_dataclass(each):
            pending.extend(getattr(each, field.name) for field in reversed(fields(each)))
