"""A conversation with the language: inputs one after the other, each seeing what those before it defined.

Owns what an input can see and what of it stays. Each input is a program of its own: the definitions it mentions, and
then the input. A definition that is code stays as its text; a definition that was computed stays as its value, so that
nothing is computed or called again. Redefining a name replaces it for everybody. An input that fails leaves everything
as it was. Handles text that may be hostile.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloister.clock import SystemClock
from cloister.errors import MORE, CloisterError, ReadError
from cloister.lang.forms import Form
from cloister.lang.host import PureHost
from cloister.lang.modules import ModuleLoader
from cloister.lang.program import Program, run_program
from cloister.lang.reader import read
from cloister.lang.source import Source
from cloister.lang.transport import from_python, to_python
from cloister.lang.values import Value
from cloister.limits import ResourceLimits
from cloister.repl.forms import flattened, is_code, names_of, only_defines, text_of, words
from cloister.repl.input import NAME, Captured, Compiled, Input, Kept, input_name

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
        was_known = self.find(name) is not None
        self._kept = [left for kept in self._kept for left in kept.without({name})]
        return was_known

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
        before = self._kept
        try:
            return self._answer(source, forms, self._clock.monotonic_ns())
        except BaseException:
            self._kept = before
            raise

    def _answer(self, source: Source, forms: Sequence[Form], began_ns: int, *, needs_value: bool = True) -> Answer:
        """Evaluate an input or a part of it, and keep what it defines."""
        plan = Input(source, forms, self._visible(source.text, forms), self._modules)
        compiled = plan.to_run(needs_value=needs_value)
        if compiled is None:
            return self._answer_apart(source, plan, began_ns)
        value, steps_count = self._run(compiled, plan, began_ns)
        captured = plan.captured(value)
        new, lost = self._to_keep(plan, captured)
        self._keep(new)
        return Answer(
            value=captured.value,
            defined=tuple(dict.fromkeys(name for kept in new for name in kept.names)),
            is_empty=not forms,
            ends_in_definition=bool(plan.forms) and only_defines(plan.forms[-1]),
            lost=lost,
            steps_count=steps_count,
            elapsed_ns=self._clock.monotonic_ns() - began_ns,
        )

    def _answer_apart(self, source: Source, plan: Input, began_ns: int) -> Answer:
        """Evaluate an input whose last form gives its value only where nothing stands around it."""
        if len(plan.forms) > 1:
            first = self._answer(source, plan.forms[:-1], began_ns, needs_value=False)
            return _joined(first, self._answer(source, plan.forms[-1:], began_ns))
        answer = self._answer(source, plan.forms, began_ns, needs_value=False)
        if plan.has_effects:  # asking for its value too would call everything again
            return answer
        value, steps_count = self._run(plan.plain, plan, began_ns)
        return _joined(answer, replace(answer, value=value, steps_count=steps_count, lost=()))

    def _visible(self, text: str, forms: Sequence[Form]) -> list[Kept]:
        """Return the definitions that forms of a text mention, those that these mention, and so on."""
        replaced = {name for form in flattened(forms) if is_code(form) for name in names_of(form)}
        mentioned = set(words(text_of(text, forms)))
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
            part
            for kept in self._kept
            if id(kept) in chosen
            for part in ((kept,) if kept.has_value else kept.without(replaced))
        ]

    def _run(self, compiled: Compiled, plan: Input, began_ns: int) -> tuple[Value, int | None]:
        program = compiled.program
        values = {input_name(index): kept.value for index, kept in enumerate(plan.visible) if kept.has_value}
        try:
            if program.effects and self._execute is not None:
                data = {name: to_python(value, self._limits) for name, value in values.items()}
                return self._execute(program, data), None
            outcome = run_program(
                program, PureHost(), self._limits, values, self._clock.monotonic_ns, began_ns=began_ns
            )
        except CloisterError as error:
            raise compiled.composed.restore(error) from None
        return outcome.value, outcome.steps_count

    def _to_keep(self, plan: Input, captured: Captured) -> tuple[list[Kept], tuple[str, ...]]:
        new: list[Kept] = []
        lost: list[str] = []
        for form, names in plan.defined:
            if is_code(form):
                new.append(plan.kept(form, names))
                continue
            values = {name: captured.values[name] for name in names if name in captured.values}
            data = {name: value for name, value in values.items() if self._is_data(value)}
            if not plan.has_effects and (len(data) < len(values) or plan.is_silent(form)):
                bare = (len(values) > 1 or plan.is_silent(form)) and plan.is_only_for_top(form)
                if bare or values:
                    new.append(plan.kept(form, tuple(values), is_only_for_top=bare))
                    continue
            new.extend(plan.kept_value(form, name, value) for name, value in data.items())
            lost.extend(name for name in values if name not in data)
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
            old = [each for each in self._kept if each.names or each.text != kept.text]
            place = next((at for at, each in enumerate(old) if set(each.names) & set(kept.names)), len(old))
            rest = [left for each in old[place:] for left in each.without(kept.names)]
            self._kept = [*old[:place], kept, *rest]
        self._kept = sorted(self._kept, key=lambda kept: (not kept.has_value, not kept.always))


def _joined(first: Answer, last: Answer) -> Answer:
    """Return the answer to an input that was evaluated in two parts."""
    steps = None if first.steps_count is None or last.steps_count is None else first.steps_count + last.steps_count
    defined = tuple(dict.fromkeys((*first.defined, *last.defined)))
    return replace(last, defined=defined, lost=first.lost + last.lost, steps_count=steps)


def is_incomplete(text: str) -> bool:
    """Say whether a text only lacks its end: a bracket, quote or comment is open, or a prefix waits for its form."""
    try:
        read(Source(NAME, text))
    except ReadError as error:
        if error.code == "read.unclosed":
            return not error.details.get(MORE)
        if error.code == "read.prefix" and error.span is not None:
            return Source(NAME, text).span(len(text.rstrip()), len(text)).line == error.span.end_line and (
                text.rstrip().endswith(("'", "`", "~", "~@"))
            )
    return False
