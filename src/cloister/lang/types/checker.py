"""The state of checking a program before it runs: what is known of its values, and what was found.

Owns findings, how certain they are, and what is known about variables and functions. What each kind of node means is in
`static`. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Final, TypeAlias

from cloister.errors import CompileError, quoted
from cloister.lang import core
from cloister.lang.printer import to_text
from cloister.lang.source import Source
from cloister.lang.types.expression import ANY, NEVER, Literal, Record, Tuple, Type, Union
from cloister.lang.types.relations import is_disjoint
from cloister.lang.types.text import type_text

FINDINGS_MAX: Final = 20
"""Findings of one sort; nothing after them is kept."""

TYPE_CHARS_MAX: Final = 80


@dataclass(frozen=True, slots=True)
class Finding:
    """An operation that cannot succeed.

    Attributes:
        kind: The kind of error it fails with.
        message: What cannot succeed, and why.
        hint: What to do, or None.
        start: Offset of the place in the text.
        end: Offset after it.
    """

    kind: str
    message: str
    hint: str | None
    start: int
    end: int


@dataclass(slots=True)
class Findings:
    """What a program was found to do wrong.

    Attributes:
        errors: Certain to happen when the program runs.
        warnings: Cannot succeed when they are reached, which they may never be.
    """

    errors: list[Finding] = field(default_factory=list)
    warnings: list[Finding] = field(default_factory=list)


class Reached(IntEnum):
    """Whether the code now looked at is reached by every run that does not fail before; the higher, the less so."""

    CERTAIN = 0
    POSSIBLE = 1
    CAUGHT = 2
    """A `try` around it catches what goes wrong."""


@dataclass(slots=True)
class Known:
    """What is known about a function of the program.

    Attributes:
        node: The function.
        result: What a call gives.
        findings: What goes wrong in every call of it.
    """

    node: core.Lambda
    result: Type
    findings: list[Finding]
    _declared: dict[core.Variable, Type] | None = None

    def declared(self) -> dict[core.Variable, Type]:
        """Return the types of parameters that are annotated; of the rest, that of its vector."""
        if self._declared is None:
            self._declared = _declared_types(self.node.body)
        return self._declared


class Checker:
    """The state of checking one program.

    Attributes:
        is_whole: Whether nil in the program is always nil; see `static.check_types`.
        findings: What was found so far, but for what waits in `lambdas`.
        types: What variables hold.
        functions: Variables that hold a known function.
        lambdas: The functions looked at, by the identity of their nodes.
        reached: How certainly the code now looked at is reached.
    """

    def __init__(self, *, is_whole: bool) -> None:
        self.is_whole = is_whole
        self.findings = Findings()
        self.types: dict[core.Variable, Type] = {}
        self.functions: dict[core.Variable, Known] = {}
        self.lambdas: dict[int, Known] = {}
        self.reached = Reached.CERTAIN
        self._certain = self.findings.errors

    def visit(self, node: core.Node) -> Type:
        """Return the type of a node's value; `NEVER` when it gives none."""
        visitor = VISITORS.get(type(node))
        if visitor is not None:
            return visitor(self, node)
        with self.at(Reached.POSSIBLE):
            for child in core.children(node):
                self.visit(child)
        return ANY

    def close(self) -> Findings:
        """Return what was found; what goes wrong in functions of which no call is certain is a warning."""
        certain = {id(each) for each in self.findings.errors}
        for known in self.lambdas.values():
            for finding in known.findings:
                if id(finding) not in certain:
                    _add(self.findings.warnings, finding)
        return self.findings

    # What is found

    def find(self, node: core.Node, kind: str, message: Callable[[], str], hint: str | None = None) -> None:
        """Note that a node cannot succeed; the message is made only when it is kept."""
        certain = self.reached is Reached.CERTAIN
        target = self._certain if certain else self.findings.warnings
        if self.reached is not Reached.CAUGHT and len(target) < FINDINGS_MAX:
            target.append(Finding(kind, message(), hint, node.start, node.end))

    def expect(self, node: core.Node, actual: Type, wanted: Type, operation: str, kind: str = "TypeError") -> None:
        """Note when a value can never be what an operation takes."""
        if actual is NEVER or not is_disjoint(actual, wanted):
            return
        self.find(node, kind, lambda: f"{operation} takes {shown(wanted)}, and this is {shown(actual)}")

    # Where the code stands

    @contextmanager
    def at(self, reached: Reached) -> Iterator[None]:
        """Look at code that is reached less certainly."""
        before = self.reached
        self.reached = max(before, reached)
        try:
            yield
        finally:
            self.reached = before

    def in_order(self, nodes: Sequence[core.Node]) -> list[Type] | None:
        """Return the types of nodes evaluated one after the other, None when one gives no value.

        What follows such a one is not reached.
        """
        before, found, ended = self.reached, [], False
        for node in nodes:
            type_ = self.visit(node)
            found.append(type_)
            if type_ is NEVER and not ended:
                ended, self.reached = True, max(before, Reached.POSSIBLE)
        self.reached = before
        return None if ended else found

    def bind(self, variable: core.Variable, value: core.Node, type_: Type) -> None:
        """Remember what a variable holds."""
        self.types[variable] = type_
        if isinstance(value, core.Lambda):
            self.functions[variable] = self.lambdas[id(value)]

    def function(self, node: core.Lambda) -> Known:
        """Look at the body of a function, whose findings count when it is called."""
        known = Known(node, ANY, [])
        outer = self._certain, self.reached
        # A function made inside `try` may be called outside of it.
        self._certain, self.reached = known.findings, Reached.CERTAIN
        known.result = self.visit(node.body)
        self._certain, self.reached = outer
        self.lambdas[id(node)] = known
        return known

    def call(self, known: Known) -> None:
        """Note that a function is called here; what goes wrong in every call goes wrong here."""
        if self.reached is Reached.CERTAIN:
            for finding in known.findings:
                _add(self._certain, finding)


def _declared_types(body: core.Node) -> dict[core.Variable, Type]:
    # Annotated parameters are checked first thing in the body: bound anew, maybe inside the loop that `recur` repeats.
    found: dict[core.Variable, Type] = {}
    looped: dict[core.Variable, core.Variable] = {}
    while True:
        match body:
            case core.Cast(value=core.Local(variable=variable), annotation=type_):
                found.setdefault(looped.get(variable, variable), type_)
                return found
            case core.Cast(value=inner):
                body = inner
            case core.Loop(variables=variables, initials=initials, body=inner):
                reads = zip(variables, initials, strict=True)
                looped = {each: read.variable for each, read in reads if isinstance(read, core.Local)}
                body = inner
            case core.Let(bindings=bindings):
                for _, value in bindings:
                    if isinstance(value, core.Cast) and isinstance(value.value, core.Local):
                        variable = value.value.variable
                        found.setdefault(looped.get(variable, variable), value.annotation)
                return found
            case _:
                return found


def _add(findings: list[Finding], finding: Finding) -> None:
    if len(findings) < FINDINGS_MAX and all(finding is not each for each in findings):
        findings.append(finding)


def type_error(finding: Finding, source: Source) -> CompileError:
    """Return a finding as an error that points into the text; its kind is the one a run would fail with."""
    span = source.span(finding.start, finding.end)
    return CompileError(finding.message, code="compile.type", kind=finding.kind, span=span, hint=finding.hint)


def shown(type_: Type) -> str:
    """Return a type for a message; of one value, the value."""
    match type_:
        case Literal(literal=exactly):
            text = to_text(exactly.value, TYPE_CHARS_MAX)
        case Tuple():
            text = ":vector"
        case Record(wildcard=wildcard) if wildcard is NEVER:
            text = ":map"
        case Union(members=members):
            text = " or ".join(map(shown, members))
        case _:
            text = type_text(type_)
    return quoted(text, TYPE_CHARS_MAX)


Visitor: TypeAlias = Callable[[Checker, core.Node], Type]
VISITORS: Final[dict[type[core.Node], Visitor]] = {}
"""How each kind of node is looked at, filled by `static`; of a kind that is not here nothing is known."""
