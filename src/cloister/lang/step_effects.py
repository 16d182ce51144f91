"""What each step of a plan can reach, found without running it.

Owns the analysis. It is sound: whatever a run asks the host for while a step is the innermost open one, or while its
undo runs, is covered by an effect of that step, and of every step around it. What is asked outside of all steps is
covered by the effects outside. A call goes to what it names, through definitions, bindings and builtins that call their
arguments; a call of anything else may go to any function of the program that is used as a value somewhere. Must not
look at texts or names: only at core. Its input is the program of whoever wrote the plan.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from cloister.lang import core
from cloister.lang.core import Operation
from cloister.lang.effects import Effect, placed_effects
from cloister.lang.reaching import Graph, reached
from cloister.lang.stdlib.table import BUILTINS
from cloister.lang.values import Map


@dataclass(frozen=True, slots=True, kw_only=True)
class StepEffects:
    """What one step can reach.

    Attributes:
        place: Its `StepOptions.place`. Forms that a macro made may share one; then this is of all of them.
        name: Its name, or None when it is computed, or when several with different names share the place.
        start: Offset of the form in the text.
        end: Offset after it.
        effects: Everything its body, its undo and the steps inside can ask the host for, in the order of the text.
        declared: Each profile that a `with-security-profile` of this place declares; usually none or one.
    """

    place: int
    name: str | None
    start: int
    end: int
    effects: tuple[Effect, ...]
    declared: tuple[Map, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanEffects:
    """What a plan can reach, by step.

    Attributes:
        steps: One for each place, in the order of the text.
        outside: What is reached while no step is open.
    """

    steps: tuple[StepEffects, ...]
    outside: tuple[Effect, ...]


CALLED: Final[Mapping[str, tuple[int, ...]]] = {
    **dict.fromkeys((
        "apply", "drop-while", "every?", "filter", "filterv", "group-by", "keep", "keep-indexed", "map", "map-indexed",
        "mapcat", "mapv", "max-key", "merge-with", "min-key", "not-any?", "not-every?", "partition-by", "reduce",
        "reduce-kv", "reductions", "remove", "run!", "some", "split-with", "take-while",
    ), (0,)),
    **dict.fromkeys(("iterate", "repeatedly", "update-keys", "update-vals"), (1,)),
    **dict.fromkeys(("update", "update-in"), (2,)),
    **dict.fromkeys(("comp", "complement", "every-pred", "fnil", "juxt", "partial", "some-fn"), ()),
}  # fmt: skip
"""Which arguments a builtin calls before it returns; the last row makes functions and calls none. Builtins that call
functions and are not here may call any."""


@dataclass(slots=True)
class _Body:
    """What is evaluated at one time: the program, a function, or a step with its undo.

    Attributes:
        effects: Indexes of what it asks the host for itself.
        fallbacks: A bit for each effect that may be asked for in the place of calls made in it.
        calls: Bodies of the functions it calls.
        steps: Bodies of the steps it goes through.
    """

    effects: set[int] = field(default_factory=set)
    fallbacks: int = 0
    calls: set[int] = field(default_factory=set)
    steps: set[int] = field(default_factory=set)


_ROOT: Final = 0
_ANY_FUNCTION: Final = 1
"""Body that stands for whatever a call may go to of which nothing is known."""


def step_effects(program: core.Node) -> PlanEffects:
    """Return what each step of a program can reach, and what is reached outside of steps.

    Cost:
        Linear in the program; then, for each function and step, a bit for each effect.
    """
    placed = placed_effects(program)
    effects = [effect for _, effect in placed]
    walk = _Walk(program, {id(node): index for index, (node, _) in enumerate(placed)})
    _spread(walk.bodies)
    inside = reached(_graph(walk.bodies, with_steps=True))
    outside = reached(_graph(walk.bodies, with_steps=False))[_ROOT]
    found: dict[int, list[tuple[core.Step, int]]] = {}
    for step, body in walk.steps:
        found.setdefault(step.options.place, []).append((step, inside[body]))
    return PlanEffects(
        steps=tuple(_merged(found[place], effects) for place in sorted(found)),
        outside=_chosen(effects, outside),
    )


def _graph(bodies: list[_Body], *, with_steps: bool) -> Graph:
    return [
        (
            sum(1 << index for index in body.effects) | body.fallbacks,
            sorted(body.calls | body.steps if with_steps else body.calls),
        )
        for body in bodies
    ]


def _spread(bodies: list[_Body]) -> None:
    """Give each fallback to everything reached from the form it is in force in: any call there may end in it."""
    callers: list[list[int]] = [[] for _ in bodies]
    for number, body in enumerate(bodies):
        for called in sorted(body.calls | body.steps):
            callers[called].append(number)
    graph: Graph = [(body.fallbacks, around) for body, around in zip(bodies, callers, strict=True)]
    for body, bits in zip(bodies, reached(graph), strict=True):
        body.fallbacks = bits


def _merged(steps: list[tuple[core.Step, int]], effects: list[Effect]) -> StepEffects:
    names = {step.name.value if isinstance(step.name, core.Const) else None for step, _ in steps}
    name = names.pop() if len(names) == 1 else None
    bits = 0
    for _, each in steps:
        bits |= each
    first = steps[0][0]
    return StepEffects(
        place=first.options.place,
        name=name if isinstance(name, str) else None,
        start=first.start,
        end=max(step.end for step, _ in steps),
        effects=_chosen(effects, bits),
        declared=tuple(step.options.profile for step, _ in steps if step.options.profile is not None),
    )


def _chosen(effects: list[Effect], bits: int) -> tuple[Effect, ...]:
    found = []
    while bits:  # most steps have few of many
        last = bits & -bits
        found.append(effects[last.bit_length() - 1])
        bits ^= last
    return tuple(found)


class _Walk:
    """Finds the bodies of a program, and what each calls.

    Args:
        program: The program.
        effects: Index of the effect of each node that has one, by the node's identity.

    Attributes:
        bodies: By number; the program is the first, the second stands for any function.
        steps: Each step with its body.
    """

    def __init__(self, program: core.Node, effects: Mapping[int, int]) -> None:
        self._effects = effects
        self._known = _known_functions(program)
        self._numbers: dict[int, int] = {}
        self.bodies = [_Body(), _Body()]
        self.steps: list[tuple[core.Step, int]] = []
        self._pending: list[tuple[core.Node, int]] = [(program, _ROOT)]
        while self._pending:
            self._visit(*self._pending.pop())

    def _visit(self, node: core.Node, around: int) -> None:
        match node:
            case core.Call():
                self._call(node, around)
            case core.Lambda() | core.Local() | core.Latest():
                self._escapes(node)
            case core.HostCall() | core.HostFunction():
                self._note_effect(node, around)
                if isinstance(node, core.HostFunction):
                    self._note_effect(node, _ANY_FUNCTION)
                self._later(core.children(node), around)
            case core.Step():
                self._step(node, around)
            case core.Hinted() if id(node) in self._effects:
                self._hinted(node, around)
            case core.Let(bindings=bindings, body=body):
                for _, value in bindings:
                    self._bound(value, around)
                self._pending.append((body, around))
            case core.Sequence(items=items):
                for item in items[:-1]:
                    self._dropped(item, around)
                self._later(items[-1:], around)
            case core.Intrinsic(operation=Operation.UNDO_WITH, arguments=(function,)):
                self._called(function, around)
            case _:
                self._later(core.children(node), around)

    def _later(self, nodes: Iterable[core.Node], around: int) -> None:
        self._pending.extend((node, around) for node in nodes)

    def _bound(self, value: core.Node, around: int) -> None:
        """Take the value of a binding: a function is reached by the uses of its name alone."""
        if isinstance(value, core.Lambda):
            self._body_of(value)
        else:
            self._pending.append((value, around))

    def _dropped(self, item: core.Node, around: int) -> None:
        self._bound(item.value if isinstance(item, core.Define) else item, around)

    def _note_effect(self, node: core.Node, body: int) -> None:
        self.bodies[body].effects.add(self._effects[id(node)])

    def _step(self, node: core.Step, around: int) -> None:
        self._pending.append((node.name, around))
        is_known = id(node) in self._numbers
        body = self._numbered(node)
        self.bodies[around].steps.add(body)
        if not is_known:
            self.steps.append((node, body))
            self._pending.append((node.body, body))

    def _hinted(self, node: core.Hinted, around: int) -> None:
        """Take a form with a fallback: a body of its own, since the fallback is in force in it alone."""
        self._later((value for _, value in node.hints), around)
        body = self._numbered(node)
        self.bodies[body].fallbacks |= 1 << self._effects[id(node)]
        self.bodies[around].calls.add(body)
        self._pending.append((node.body, body))

    def _numbered(self, node: core.Node) -> int:
        number = self._numbers.get(id(node))
        if number is None:
            number = self._numbers[id(node)] = len(self.bodies)
            self.bodies.append(_Body())
        return number

    def _body_of(self, function: core.Lambda) -> int:
        is_known = id(function) in self._numbers
        body = self._numbered(function)
        if not is_known:
            self._pending.append((function.body, body))
        return body

    def _escapes(self, node: core.Lambda | core.Local | core.Latest) -> None:
        """Note that a function, or what a name holds, is used as a value."""
        if isinstance(node, core.Lambda):
            functions: list[core.Lambda | None] = [node]
        else:
            variables = (node.variable,) if isinstance(node, core.Local) else node.variables
            functions = [self._known.get(variable) for variable in variables]
        self.bodies[_ANY_FUNCTION].calls.update(self._body_of(each) for each in functions if each is not None)

    def _call(self, node: core.Call, around: int) -> None:
        called: tuple[int, ...] = ()
        if isinstance(node.callee, core.Global) and BUILTINS[node.callee.name].needs_call:
            positions = CALLED.get(node.callee.name)
            if positions is None:
                self.bodies[around].calls.add(_ANY_FUNCTION)
            else:
                called = positions
        elif not isinstance(node.callee, core.Global):
            self._called(node.callee, around)
        for index, argument in enumerate(node.arguments):
            if index in called:
                self._called(argument, around)
            else:
                self._pending.append((argument, around))

    def _called(self, function: core.Node, around: int) -> None:
        """Take a node whose value is called, and goes nowhere else."""
        calls = self.bodies[around].calls
        match function:
            case core.Lambda():
                calls.add(self._body_of(function))
            case core.Local(variable=variable):
                self._called_by_name((variable,), around)
            case core.Latest(variables=variables):
                self._called_by_name(variables, around)
            case core.HostFunction():
                self._note_effect(function, around)
            case core.Const():
                pass  # a keyword looks up; anything else cannot be called
            case core.Global(name=name) if not BUILTINS[name].needs_call:
                pass
            case _:
                calls.add(_ANY_FUNCTION)
                self._pending.append((function, around))

    def _called_by_name(self, variables: Iterable[core.Variable], around: int) -> None:
        for variable in variables:
            function = self._known.get(variable)
            self.bodies[around].calls.add(_ANY_FUNCTION if function is None else self._body_of(function))


def _known_functions(program: core.Node) -> dict[core.Variable, core.Lambda]:
    """Return the variables that always hold one function: a variable is assigned in one place only."""
    known: dict[core.Variable, core.Lambda] = {}
    for node in core.walk(program):
        match node:
            case core.Define(variable=variable, value=core.Lambda() as function):
                known[variable] = function
            case core.Let(bindings=bindings):
                known.update((variable, value) for variable, value in bindings if isinstance(value, core.Lambda))
    return known
