"""What is known while a program is resolved: scopes, what encloses the present form, and the problems so far.

Owns entering and leaving of scopes, functions and loops, and the counters that bound them. Must not look at forms; the
walk over them is the resolver's. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloister.errors import CompileError
from cloister.lang import core
from cloister.lang.forms import Form, ListForm
from cloister.lang.program_size import too_large
from cloister.lang.scope import Scope
from cloister.lang.source import Source
from cloister.lang.types.expression import Declaration

if TYPE_CHECKING:
    from cloister.lang.macros.resolving import Extension

ERRORS_MAX = 20
"""Problems reported at once; nothing after them is looked at."""

LOOKUPS_MAX = 2_000_000
"""Scopes looked through for all names of a program; a hostile text nests many and then uses many names."""

BLOCKS_MAX = 16
"""Loops, steps and try forms inside one another in one function; Python code objects allow 20 blocks."""


FATAL = frozenset({"compile.too-large", "compile.expansion-limit"})
"""Problems after which nothing else is looked at, because looking is what costs too much."""


@dataclass(slots=True)
class RecurTarget:
    """A loop or function that `recur` repeats: how many values it takes, and whether any `recur` was seen."""

    count: int
    used: bool = False


class ResolverState:
    """The state of resolving one program.

    Attributes:
        source: The text.
        inputs: Names of the run's inputs.
        errors: Problems found so far, at most `ERRORS_MAX`.
        top_form: The form of the program's top level that is being resolved, or None.
        scope: The innermost scope.
        recur: The function or loop that `recur` would repeat, or None where there is none.
        tail: Whether the form now resolved is in tail position of the innermost loop.
        declared_types: The types that forms of the program declare, each with its form.
        extension: What is known of macros and modules; None for a text that has neither.
    """

    def __init__(self, source: Source, inputs: frozenset[str]) -> None:
        self.source = source
        self.inputs = inputs
        self.errors: list[CompileError] = []
        self.top_form: Form | None = None
        self.scope = Scope(None, 0)
        self.recur: RecurTarget | None = None
        self.tail = False
        self.declared_types: list[tuple[ListForm, Declaration]] = []
        self.extension: Extension | None = None
        self._blocks = 0
        self._variables = 0
        self._lookups = 0

    def variable(self, name: str, start: int) -> core.Variable:
        """Return a new variable."""
        self._variables += 1
        return core.Variable(self._variables, name, start)

    def bind(self, name: str, start: int) -> core.Variable:
        """Return a new variable bound in the present scope from here on."""
        variable = self.variable(name, start)
        self.scope.bind(variable)
        return variable

    @contextmanager
    def new_scope(self, *, function: bool = False) -> Iterator[Scope]:
        """Enter a scope for the duration of the `with` block."""
        outer = self.scope
        self.scope = Scope(outer, outer.level + function, outer.depth + 1)
        try:
            yield self.scope
        finally:
            self.scope = outer

    @contextmanager
    def top_scope(self, scope: Scope) -> Iterator[None]:
        """Resolve the `with` block outside all others, in a scope that belongs to a namespace."""
        outer = self.scope, self.recur, self.tail, self._blocks, self.top_form
        self.scope, self.recur, self.tail, self._blocks = scope, None, False, 0
        try:
            yield
        finally:
            self.scope, self.recur, self.tail, self._blocks, self.top_form = outer

    @contextmanager
    def recur_target(self, count: int, *, function: bool = False) -> Iterator[RecurTarget]:
        """Make `recur` in tail positions of the `with` block take `count` values."""
        outer = self.recur, self.tail, self._blocks
        self.recur, self.tail = RecurTarget(count), True
        if function:
            self._blocks = 0
        try:
            yield self.recur
        finally:
            self.recur, self.tail, self._blocks = outer

    @contextmanager
    def block(self, form: Form, count: int = 1) -> Iterator[None]:
        """Count nested loops, steps and try forms of one function.

        Raises:
            CompileError: `compile.nesting` beyond `BLOCKS_MAX`.
        """
        if self._blocks + count > BLOCKS_MAX:
            message = f"loops, steps and try forms are nested deeper than {BLOCKS_MAX} in one function"
            raise self.error(form, "compile.nesting", message, "move the inner part into a function of its own")
        self._blocks += count
        try:
            yield
        finally:
            self._blocks -= count

    # Problems

    @contextmanager
    def collecting(self, form: Form) -> Iterator[None]:
        """Note a problem that stops the `with` block."""
        self.top_form = form
        try:
            yield
        except CompileError as error:
            if error.code in FATAL:
                raise
            self.report(error)

    @property
    def is_full(self) -> bool:
        """Whether so many problems are known that nothing else is looked at."""
        return len(self.errors) >= ERRORS_MAX

    def error(self, form: Form, code: str, message: str, hint: str | None = None) -> CompileError:
        """Return a compile error that points at `form`."""
        if self.extension is not None:
            message = self.extension.explained(form, message)
        return CompileError(message, code=code, span=self.source.span(form.start, form.end), hint=hint)

    def report(self, error: CompileError) -> None:
        """Note a problem and go on; beyond `ERRORS_MAX` problems they are only passed over."""
        if len(self.errors) < ERRORS_MAX:
            self.errors.append(error)

    def count_lookup(self, found_count: int = 1) -> None:
        """Count looking through all scopes around the present place, and what was found there.

        Raises:
            CompileError: `compile.too-large` beyond `LOOKUPS_MAX`.
        """
        self._lookups += found_count + self.scope.depth
        if self._lookups > LOOKUPS_MAX:
            raise too_large("lookups_count", self._lookups, LOOKUPS_MAX)
