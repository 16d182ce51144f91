"""Expanding uses of macros.

Owns `Macro`, the bounds of expansion, and the step from one use to the form it stands for. A macro's code runs in the
engine that runs programs, without a host, without inputs and under a budget that all macros of a program share.
Handles hostile macros: whatever they do, the outcome is a form or a `CompileError`. Part of the guest set: standard
library only.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, TypeAlias

from cloister.errors import CloisterError, CompileError, quoted
from cloister.lang import core
from cloister.lang.forms import Form, ListForm, SymbolForm
from cloister.lang.macros.syntax import FRESH, NotCodeError, Syntax, TooMuchCodeError
from cloister.lang.namespace import ExpansionOffset, HomeSymbolForm, Namespace
from cloister.lang.source import Source
from cloister.lang.values import Value
from cloister.limits import MIB, ResourceLimits

if TYPE_CHECKING:
    from cloister.lang.macros.resolving import Extension

RunMacro: TypeAlias = Callable[[tuple[Value, ...], ResourceLimits], tuple[Value, int]]
"""Runs a macro's code on the values of its operands; returns its result and the steps it took."""

MakeRunner: TypeAlias = Callable[[core.Node, Source], RunMacro]
"""Makes that function from core that maps the input `operands` to the result, and the text it is from."""

EXPANSIONS_MAX: Final = 5_000
"""Expansions of one program, those of a form that stands in several places counted each time."""

DEPTH_MAX: Final = 500
"""How deep forms made by macros may be nested, through all expansions inside one another."""

MADE_MAX: Final = 30_000
"""Forms that all expansions of a program may add to it."""

OPERANDS_MAX: Final = 500_000
"""Forms handed to all macros of a program, those handed to several counted each time."""

STEPS_MAX: Final = 200_000
"""Steps of all macros of a program together."""

STEPS_AFTER_FAILURE: Final = 1_000
"""Steps that remain at least when a macro failed, so that the next one can fail for reasons of its own."""

FAILURES_MAX: Final = 50
"""Uses of macros that may fail; more are found than are told."""

LIMITS: Final = ResourceLimits(
    steps_count=STEPS_MAX, depth_count=1_000, value_bytes=4 * MIB, value_elements_count=200_000
)
"""Bounds of one expansion; the steps are those that are left."""


@dataclass(slots=True, eq=False)
class Macro:
    """A macro that can be used.

    Attributes:
        name: As defined.
        home: The namespace it was defined in.
        doc: Its documentation, or None.
        least: Fewest operands.
        most: Most operands; None for any number.
        shape: How a use looks.
        start: Where it is defined.
        run: Runs its code.
    """

    name: str
    home: Namespace
    doc: str | None
    least: int
    most: int | None
    shape: str
    start: int
    run: RunMacro


@dataclass(frozen=True, slots=True, eq=False)
class Expansion:
    """What one use of a macro stands for.

    Attributes:
        macro: The macro.
        use: The form that uses it.
        form: The form it stands for.
        added_count: Forms that the program gets by it.
        height: How deep the macro nested its own forms.
    """

    macro: Macro
    use: ListForm
    form: Form
    added_count: int
    height: int


@dataclass(frozen=True, slots=True, eq=False)
class Trail:
    """The expansions around the form that is now resolved, the innermost first.

    Attributes:
        expansion: The innermost.
        outer: Those around it.
        height: How deep all of them nest their own forms.
    """

    expansion: Expansion
    outer: Trail | None
    height: int


@dataclass(slots=True)
class Expander:
    """The state of expanding the macros of one program.

    Attributes:
        make_runner: Compiles macros.
        syntax: What was handed to macros.
        steps_left: Steps that macros may still take.
    """

    make_runner: MakeRunner
    syntax: Syntax = field(default_factory=Syntax)
    steps_left: int = STEPS_MAX
    _expansions_left: int = EXPANSIONS_MAX
    _made_left: int = MADE_MAX
    _operands_left: int = OPERANDS_MAX
    _runs_count: int = 0
    _failures: dict[tuple[int, int], CompileError] = field(default_factory=dict)
    _known: dict[tuple[int, int], Expansion] = field(default_factory=dict)
    _held: list[tuple[Macro, ListForm]] = field(default_factory=list)

    def expand(self, ext: Extension, macro: Macro, use: ListForm) -> Trail:
        """Expand one use of a macro, once more when the form stands in several places.

        Returns:
            The trail to resolve `trail.expansion.form` under.

        Raises:
            CompileError: `compile.arity`, `compile.expansion`, `compile.expansion-limit`.
        """
        if self._expansions_left <= 0:
            raise _over(ext, use, f"macros are expanded more than {EXPANSIONS_MAX} times")
        self._expansions_left -= 1
        key = id(use), id(macro)  # what is remembered holds both, so the ids stay theirs
        if key in self._failures:
            raise self._failures[key]
        expansion = self._known.get(key)
        if expansion is None:
            try:
                expansion = self._known[key] = self._expanded(ext, macro, use)
            except CompileError as error:
                self._held.append((macro, use))
                self._failures[key] = error
                if len(self._failures) > FAILURES_MAX:
                    what = f"more than {FAILURES_MAX} uses of macros fail; the last one because {error.message}"
                    raise _over(ext, use, what) from None
                raise
        self._made_left -= expansion.added_count
        if self._made_left < 0:
            raise _over(ext, use, f"macros make the program more than {MADE_MAX} forms larger")
        outer = ext.trail
        height = expansion.height + (outer.height if outer else 0)
        if height > DEPTH_MAX:
            raise _over(ext, use, f"expansions are nested deeper than {DEPTH_MAX} levels")
        return Trail(expansion, outer, height)

    def _expanded(self, ext: Extension, macro: Macro, use: ListForm) -> Expansion:
        operands = use.items[1:]
        if len(operands) < macro.least or (macro.most is not None and len(operands) > macro.most):
            raise _wrong_count(ext, macro, use)
        size = self.syntax.size(use)
        self._operands_left -= size
        if self._operands_left < 0:
            raise _over(ext, use, f"macros are handed more than {OPERANDS_MAX} forms in all")
        self._runs_count += 1
        try:
            values = tuple(self.syntax.value(operand) for operand in operands)
            result = self._run(ext, macro, use, values)
            most = max(0, self._made_left) + size
            code = self.syntax.code(result, use.start, use.end, self._symbols(ext, macro, use), most)
        except NotCodeError as problem:
            raise _failed(ext, macro, use, str(problem)) from None
        except TooMuchCodeError:
            raise _over(ext, use, f"macros make the program more than {MADE_MAX} forms larger") from None
        return Expansion(macro, use, code.form, max(0, code.size - size) + 1, code.height)

    def _run(self, ext: Extension, macro: Macro, use: ListForm, values: tuple[Value, ...]) -> Value:
        if self.steps_left <= 0:
            raise _over(ext, use, f"macros take more than {STEPS_MAX} steps")
        try:
            value, steps = macro.run(values, replace(LIMITS, steps_count=self.steps_left))
        except CloisterError as error:
            # How many steps it took is not known, and a text full of failing macros must end soon, too
            self.steps_left = max(self.steps_left // 2, min(self.steps_left, STEPS_AFTER_FAILURE))
            if error.code == "limit.steps":
                raise _over(ext, use, f"macros take more than {STEPS_MAX} steps") from None
            if error.code == "compile.expansion-limit":
                raise _over(ext, use, error.message) from None
            raise _failed(ext, macro, use, error.message, error) from None
        self.steps_left -= steps
        return value

    def _symbols(self, ext: Extension, macro: Macro, use: ListForm) -> Callable[[str], Form]:
        home, number, mark = macro.home, self._runs_count, ExpansionOffset(use.start)

        def symbol(name: str) -> Form:
            if FRESH.search(name):  # counted in one expansion only; this makes it the program's only one
                return SymbolForm(f"{name}.{number}", use.start, use.end)
            if ext.means_something(name, home):
                return HomeSymbolForm(name, mark, use.end, home)
            return SymbolForm(name, use.start, use.end)

        return symbol


def _wrong_count(ext: Extension, macro: Macro, use: ListForm) -> CompileError:
    count, name = len(use.items) - 1, quoted(macro.name, 60)
    expected = f"at least {macro.least}" if macro.most is None else str(macro.least)
    return ext.resolver.error(
        use, "compile.arity", f"the macro `{name}` takes {expected} forms, not {count}", f"write {macro.shape}"
    )


def _failed(ext: Extension, macro: Macro, use: ListForm, why: str, error: CloisterError | None = None) -> CompileError:
    message = f"the macro `{quoted(macro.name, 60)}` failed: {quoted(why, 300)}"
    hint = error.hint if error is not None else "a macro returns symbols, lists, vectors, maps and literals"
    problem = ext.resolver.error(use, "compile.expansion", message, hint)
    if error is not None:
        problem.details["cause"] = error.to_dict()
    return problem


def _over(ext: Extension, use: ListForm, what: str) -> CompileError:
    hint = "look for a macro that uses itself without end; compute large data when the program runs"
    return ext.resolver.error(use, "compile.expansion-limit", what, hint)
