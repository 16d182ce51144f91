"""A conversation with the language: inputs one after the other, each seeing what those before it defined.

Owns what an input can see and what of it stays. Each input is a program of its own: the definitions it mentions, and
then the input. A definition that is code stays as its text; a definition that was computed stays as its value, so that
nothing is computed or called again. Redefining a name replaces it for everybody. An input that fails leaves everything
as it was. Handles text that may be hostile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from cloister.clock import SystemClock
from cloister.editor.session_input import (
    NAME,
    Captured,
    Input,
    Kept,
    input_name,
    is_code,
    names_of,
    only_defines,
    words,
)
from cloister.errors import CloisterError, ReadError
from cloister.lang.forms import Form
from cloister.lang.host import PureHost
from cloister.lang.modules import ModuleLoader
from cloister.lang.program import Program, run_program
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.transport import from_python, to_python
from cloister.lang.values import Value
from cloister.limits import ResourceLimits

Executor = Callable[[Program, Mapping[str, Any]], Value]
"""Runs a program that calls capabilities, with inputs as Python data."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What an input gave.

    Attributes:
        value: The value of its last form.
        defined: The names it defined, in order.
        is_empty: Whether there was nothing but blanks and comments.
        ends_in_definition: Whether its last form only defines, so that its value says nothing.
        lost: Names whose value could not be kept: it holds a function that calls made.
        steps_count: Steps it took; None when it ran in a sandbox.
        elapsed_ns: How long it took.
    """

    value: Value
    defined: tuple[str, ...]
    is_empty: bool
    ends_in_definition: bool
    lost: tuple[str, ...]
    steps_count: int | None
    elapsed_ns: int


class Session:
    """The definitions so far.

    Args:
        limits: Bounds of each input's run.
        execute: Runs what calls capabilities; None refuses every call.
        modules: Where the modules come from that inputs import.
    """

    def __init__(
        self, limits: ResourceLimits, execute: Executor | None = None, modules: ModuleLoader | None = None
    ) -> None:
        self._limits = limits
        self._modules = modules
        self._execute = execute
        self._kept: list[Kept] = []
        self._clock = SystemClock()

    @property
    def kept(self) -> tuple[Kept, ...]:
        """What was kept, in the order in which inputs get it."""
        return tuple(self._kept)

    def names(self) -> list[str]:
        """Return the defined names."""
        return [name for kept in self._kept for name in kept.names]

    def find(self, name: str) -> Kept | None:
        """Return what defines a name, or None."""
        return next((kept for kept in self._kept if name in kept.names), None)

    def forget(self, name: str) -> bool:
        """Take a definition away; say whether there was one."""
        before = len(self._kept)
        self._kept = [kept for kept in self._kept if name not in kept.names]
        return len(self._kept) < before

    def evaluate(self, text: str, name: str) -> Answer:
        """Evaluate an input and keep what it defines.

        Args:
            text: The input.
            name: What places in it are called.

        Raises:
            CloisterError: Whatever is wrong with it, or went wrong; nothing of it is kept then.
        """
        source = Source(name, text)
        forms = read(source)
        began_ns = self._clock.monotonic_ns()
        plan = Input(source, forms, self._visible(text, forms), self._modules)
        value, steps_count = self._run(plan.program(), plan, began_ns)
        captured = plan.captured(value)
        new, lost = self._to_keep(plan, captured)
        self._keep(new)
        return Answer(
            value=captured.value,
            defined=tuple(name for kept in new for name in kept.names),
            is_empty=not forms,
            ends_in_definition=bool(forms) and only_defines(forms[-1]),
            lost=lost,
            steps_count=steps_count,
            elapsed_ns=self._clock.monotonic_ns() - began_ns,
        )

    def _visible(self, text: str, forms: Sequence[Form]) -> list[Kept]:
        """Return the definitions an input mentions, those that these mention, and so on."""
        replaced = {name for form in forms if is_code(form) for name in names_of(form)}
        mentioned = set(words(text))
        left = list(self._kept)
        chosen: set[int] = set()
        while True:
            found = [kept for kept in left if kept.always or mentioned & set(kept.names)]
            if not found:
                break
            left = [kept for kept in left if kept not in found]
            for kept in found:
                chosen.add(id(kept))
                mentioned |= kept.mentions
        return [
            kept
            for kept in self._kept
            if id(kept) in chosen and (kept.has_value or not kept.names or not set(kept.names) <= replaced)
        ]

    def _run(self, program: Program, plan: Input, began_ns: int) -> tuple[Value, int | None]:
        values = {input_name(index): kept.value for index, kept in enumerate(plan.visible) if kept.has_value}
        try:
            if program.effects and self._execute is not None:
                data = {name: to_python(value, self._limits) for name, value in values.items()}
                return self._execute(program, data), None
            outcome = run_program(
                program, PureHost(), self._limits, values, self._clock.monotonic_ns, began_ns=began_ns
            )
        except CloisterError as error:
            raise plan.composed.restore(error) from None
        return outcome.value, outcome.steps_count

    def _to_keep(self, plan: Input, captured: Captured) -> tuple[list[Kept], tuple[str, ...]]:
        new: list[Kept] = []
        lost: list[str] = []
        for form, names in plan.defined:
            if is_code(form):
                new.append(plan.kept(form, names))
                continue
            values = {name: captured.values[name] for name in names if name in captured.values}
            if all(self._is_data(value) for value in values.values()):
                new.extend(plan.kept(form, (name,), value=value) for name, value in values.items())
            elif not plan.has_effects:
                new.append(plan.kept(form, tuple(values)))
            else:
                lost.extend(values)
        return new, tuple(lost)

    def _is_data(self, value: Value) -> bool:
        try:
            from_python(to_python(value, self._limits))
        except CloisterError:
            return False
        return True

    def _keep(self, new: Sequence[Kept]) -> None:
        """Put definitions in the place of those they replace: values first, functions after what they may use."""
        for kept in new:
            place = next((at for at, old in enumerate(self._kept) if set(old.names) & set(kept.names)), len(self._kept))
            rest = [old for old in self._kept[place:] if not set(old.names) & set(kept.names)]
            self._kept = [*self._kept[:place], kept, *rest]
        self._kept.sort(key=lambda kept: (not kept.has_value, not kept.always))


def is_incomplete(text: str) -> bool:
    """Say whether a text only lacks its end: a bracket, quote or comment is open, or a prefix waits for its form."""
    try:
        read(Source(NAME, text))
    except ReadError as error:
        if error.code == "read.unclosed":
            return not error.details.get("more")
        if error.code == "read.prefix" and error.span is not None:
            return Source(NAME, text).span(len(text.rstrip()), len(text)).line == error.span.end_line and (
                text.rstrip().endswith(("'", "`", "~", "~@"))
            )
    return False
