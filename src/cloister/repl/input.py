"""One input of a conversation as a program: the definitions it mentions, and then the input.

Owns how an input becomes a program that also tells the values of what it defines, and what of it can be kept as text.
Handles text that may be hostile.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from cloister.errors import CloisterError
from cloister.lang.forms import Form, ListForm
from cloister.lang.modules import ModuleLoader
from cloister.lang.program import Program, compile_program
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.values import Value
from cloister.repl.composed import Composed, Piece
from cloister.repl.forms import (
    ALWAYS,
    certain_names,
    chosen_names,
    flattened,
    head_of,
    is_code,
    names_of,
    only_defines,
    text_of,
    words,
)
from cloister.repl.places import definition_names, meanings, silences

NAME: Final = "<session>"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Kept:
    """What stays of an input.

    Attributes:
        names: What it defines; may be empty for an import.
        text: The form.
        source: The input it stood in.
        start: Where.
        always: Whether every input gets it, at the top level.
        macro: The macro whose use it is, when it can stand at the top level only; else None.
        is_inner: Whether nobody is to see what the form defines besides the only name.
        value: The value of its only name, when that was computed; see `has_value`.
        has_value: Whether the value stands for the form.
        mentions: Every word of the form.
    """

    names: tuple[str, ...]
    text: str
    source: Source
    start: int
    always: bool = False
    macro: str | None = None
    is_inner: bool = False
    value: Value = None
    has_value: bool = False
    mentions: frozenset[str] = frozenset()

    def without(self, taken: Collection[str]) -> tuple[Kept, ...]:
        """Return what stays of it when some of its names are defined anew, or forgotten.

        Functions that were computed together stay, each with the other definitions of the form as they were.
        """
        if self.macro is not None and (self.macro in taken or f"{self.macro.rpartition('/')[0]}/" in taken):
            return ()  # without its macro it would be an error in every input
        left = tuple(name for name in self.names if name not in taken)
        if len(left) == len(self.names):
            return (self,)
        if self.always:  # of an import the other names; no other form can stand anywhere but at the top level
            text = self._import_without(taken)
            return (replace(self, names=left, text=text),) if left and text != self.text else ()
        return tuple(replace(self, names=(name,), is_inner=True) for name in left)

    def _import_without(self, taken: Collection[str]) -> str:
        text = self.text
        for form in read(Source(NAME, self.text)):
            for name in chosen_names(form):
                if name.name in taken:
                    text = text[: name.start] + " " * (name.end - name.start) + text[name.end :]
        return text

    def pieces(self, value_name: str) -> list[Piece]:
        """Return what makes its definitions known; `value_name` is the input that carries its value."""
        if self.has_value:
            return [Piece(f"(def {self.names[0]} @{value_name})\n")]
        form = Piece(self.text, self.source, self.start)
        if self.is_inner:
            return [Piece(f"(def {self.names[0]} (let [] "), form, Piece(f" {self.names[0]}))\n")]
        return [form, Piece("\n")]


@dataclass(frozen=True, slots=True)
class Captured:
    """What a run gave.

    Attributes:
        value: The value of the last form.
        values: Of the computed definitions that were made, by name.
    """

    value: Value
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Compiled:
    """A program made for an input.

    Attributes:
        program: The program.
        composed: The pieces it was made of.
        shift: Where the text of the input begins in it.
    """

    program: Program
    composed: Composed
    shift: int


class Input:
    """One input with the definitions it sees.

    Args:
        source: Its text.
        forms: What was read from it, or a part of that.
        visible: The definitions.
        modules: Where the modules come from that it imports.

    Attributes:
        forms: Those of the top level; see `flattened`.
        visible: The definitions.
        plain: The program that gives the value of the last form and nothing else.
        has_effects: Whether it can call a capability.
        defined: Each form that may define something, with the names that are seen after it.

    Raises:
        CloisterError: It is not a program.
    """

    def __init__(
        self, source: Source, forms: Sequence[Form], visible: Sequence[Kept], modules: ModuleLoader | None
    ) -> None:
        self._modules = modules
        self._source = source
        self.visible = visible
        self.forms = flattened(forms)
        self._text = text_of(source.text, self.forms)
        self.plain = self._compiled(text_of(source.text, forms))
        self.has_effects = bool(self.plain.program.effects)
        self._silences = silences(self.plain.program.core, self.plain.shift)
        self.defined = list(self._definitions())
        self._certain, self._possible = self._to_capture()

    def to_run(self, *, needs_value: bool = True) -> Compiled | None:
        """Return a program that gives the value of the last form and of every definition that is computed.

        Args:
            needs_value: Whether the value of the last form is asked for; nil will do otherwise.

        Returns:
            None when no program gives both, because the last form can only stand by itself.
        """
        captures = [*self._certain, *(f"(try [{name}] (catch e nil))" for name in self._possible)]
        if not captures:
            return self.plain
        last, gathered = self.forms[-1], "\n" + "\n".join(captures)
        if needs_value and not only_defines(last):
            try:
                return self._compiled(self._text, gathered, around=last)
            except CloisterError:
                return None
        return self._compiled(self._text, "\n[nil" + gathered + "]")

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

    def kept(self, form: Form, names: tuple[str, ...], *, is_only_for_top: bool = False) -> Kept:
        """Return what stays of a form of this input that is kept as its text; see `is_only_for_top`."""
        text = self._source.text[form.start : form.end]
        return Kept(
            names=names,
            text=text,
            source=self._source,
            start=form.start,
            always=is_only_for_top or head_of(form) in ALWAYS,
            macro=head_of(form) if is_only_for_top else None,
            mentions=frozenset(words(text)),
        )

    def kept_value(self, form: Form, name: str, value: Value) -> Kept:
        """Return what stays of a definition that was computed."""
        text = self._source.text[form.start : form.end]
        return Kept(names=(name,), text=text, source=self._source, start=form.start, value=value, has_value=True)

    def is_silent(self, form: Form) -> bool:
        """Say whether a form came to nothing, or only made macros."""
        return isinstance(form, ListForm) and bool(self._silences.within(form))

    def is_only_for_top(self, form: Form) -> bool:
        """Say whether a form can stand nowhere but at the top level, such as a macro's use that makes a macro.

        Cost:
            Compiles the input.
        """
        try:
            self._compiled(self._text, around=form)
        except CloisterError:
            return True
        return False

    def _compiled(self, text: str, added: str = "", *, around: Form | None = None) -> Compiled:
        """Compile a text of this input with something added: at its end, or with a form of it in a vector.

        Raises:
            CloisterError: It is not a program.
        """
        pieces = [piece for index, kept in enumerate(self.visible) for piece in kept.pieces(input_name(index))]
        before = len(pieces)
        if around is None:
            pieces += [Piece(text, self._source), *([Piece(added)] if added else [])]
        else:
            start, end = around.start, around.end
            pieces += [Piece(text[:start], self._source), Piece("["), Piece(text[start:end], self._source, start)]
            pieces += [Piece(added + "]"), Piece(text[end:], self._source, end)]
        composed = Composed(NAME, pieces)
        inputs = [input_name(index) for index, kept in enumerate(self.visible) if kept.has_value]
        try:
            program = compile_program(composed.source.text, NAME, inputs, self._modules)
        except CloisterError as error:
            raise composed.restore(error) from None
        return Compiled(program, composed, composed.starts[before])

    def _definitions(self) -> Iterator[tuple[Form, tuple[str, ...]]]:
        """Yield each form that may define something, with the names."""
        names = definition_names(self.plain.program.core, self.plain.shift)
        inner = [() if is_code(form) else names.within(form) for form in self.forms]
        doubtful = {
            name
            for form, found in zip(self.forms, inner, strict=True)
            for name in found
            if name not in certain_names(form)
        }
        lasting = self._lasting(sorted(doubtful))
        for form, found in zip(self.forms, inner, strict=True):
            if is_code(form):
                yield form, names_of(form)
                continue
            certain = certain_names(form)
            seen = (name for name in found if name in certain or _is_one_in(lasting.get(name, ()), form))
            unique = tuple(dict.fromkeys(seen))
            if unique or self.is_silent(form):
                yield form, unique

    def _lasting(self, names: Sequence[str]) -> dict[str, list[int]]:
        """Return where the definitions stand that names mean after the input; what is not seen there is left out."""
        if not names:
            return {}
        try:
            compiled = self._compiled(self._text, "\n[" + "\n".join(names) + "]")
        except CloisterError:  # what is defined inside a let is unknown outside
            half = len(names) // 2
            return self._lasting(names[:half]) | self._lasting(names[half:]) if half else {}
        return meanings(compiled.program.core, names, compiled.shift)

    def _to_capture(self) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """Return the computed names that are defined whatever happens, and those that may be."""
        certain: dict[str, None] = {}
        possible: dict[str, None] = {}
        for form, names in self.defined:
            if not is_code(form):
                for name in names:
                    (certain if name in certain_names(form) else possible)[name] = None
        return tuple(certain), tuple(name for name in possible if name not in certain)


def input_name(index: int) -> str:
    """Return the name of the input that carries the value of a definition."""
    return f"session-{index}"


def _is_one_in(places: Sequence[int], form: Form) -> bool:
    return any(form.start <= place < form.end for place in places)
