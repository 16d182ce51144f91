"""Which capabilities a program can reach, found without running it.

Owns the static analysis of effects. It is sound: whatever a run of the program asks the host for is covered by one of
the effects reported here, the literal ones by their id, all others by an effect without an id. Everything that reaches
the host is a `HostCall` or the value `HostFunction` of core by then: macros are expanded, modules are in the same tree,
and delegation, `llm-execute` and `context/set` are calls. Part of the guest set: standard library only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, TypeAlias

from cloister.lang import core
from cloister.lang.values import Keyword, Map, Value


@dataclass(frozen=True, slots=True)
class Known:
    """An argument whose value is known before the program runs."""

    value: Value


class Unknown(Enum):
    """An argument whose value only a run can tell."""

    UNKNOWN = "unknown"

    def __repr__(self) -> str:
        return "UNKNOWN"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class InputNamed:
    """Stands inside an outline for the value of one of the run's inputs."""

    name: str


@dataclass(frozen=True, slots=True)
class Outline:
    """An argument of which a part is known: `UNKNOWN` and `InputNamed` stand in the places of the rest."""

    value: Value


LiteralArgument: TypeAlias = Known | Outline | Unknown

ELEMENTS_MAX: Final = 10_000
"""Largest argument that is followed through names; a larger one is unknown."""

TOTAL_ELEMENTS_MAX: Final = 100_000
"""All arguments of a program together. A small text can name a large value many times; what comes after is unknown."""

_Sized: TypeAlias = tuple[LiteralArgument, int]
"""A literal and how many elements it has when written out."""

_NOTHING: Final[_Sized] = (UNKNOWN, 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Effect:
    """One place where a program asks the host for something.

    Attributes:
        capability_id: The id, or None when it is computed and may be any.
        arguments: What is known of each argument; empty for computed ids used as values.
        start: Offset of the place in the text.
        end: Offset after it.
    """

    capability_id: str | None
    arguments: tuple[LiteralArgument, ...]
    start: int
    end: int


def outline_of(effect: Effect, inputs: Mapping[str, Value]) -> tuple[Value, ...]:
    """Return the arguments of an effect, with `UNKNOWN` for what only a run can tell.

    Args:
        effect: The effect.
        inputs: Values of the program's inputs, as far as they are known.
    """
    values = (UNKNOWN if isinstance(argument, Unknown) else argument.value for argument in effect.arguments)
    return tuple(with_inputs(value, lambda name: inputs.get(name, UNKNOWN)) for value in values)


def with_inputs(value: Value, value_of: Callable[[str], Value]) -> Value:
    """Return an outline with something in the place of each input."""
    if isinstance(value, InputNamed):
        return value_of(value.name)
    if type(value) is tuple:
        return tuple(with_inputs(item, value_of) for item in value)
    if isinstance(value, Map):
        return Map((key, with_inputs(item, value_of)) for key, item in value.items())
    return value


FALLBACK_HINT: Final = "runtime.learning.fallback"
"""The hint that names another call."""

EFFECTFUL: Final[frozenset[type[core.Node]]] = frozenset({core.HostCall, core.HostFunction})
"""Classes of nodes that ask the host for something; a program without any has no effects."""


def find_effects(program: core.Node) -> tuple[Effect, ...]:
    """Return every effect of a program in source order, code that never runs included.

    Cost:
        Linear in the size of the program.
    """
    return tuple(effect for _, effect in placed_effects(program))


def placed_effects(program: core.Node) -> tuple[tuple[core.Node, Effect], ...]:
    """Return every effect of a program in source order, with the node of core that it is of. See `find_effects`."""
    constants: dict[core.Variable, _Sized] = {}
    found: list[tuple[core.Node, Effect]] = []
    left = TOTAL_ELEMENTS_MAX
    for node in core.walk(program):
        match node:
            case core.Define(variable=variable, value=value):
                constants[variable] = _known(value, constants)
            case core.Let(bindings=bindings):
                for variable, value in bindings:
                    constants[variable] = _known(value, constants)
            case core.HostCall():
                sized = [_known(argument, constants) for argument in node.arguments]
                left -= sum(size for _, size in sized)
                arguments = tuple(argument if left >= 0 else UNKNOWN for argument, _ in sized)
                wanted = _literal_id(node.capability)
                effect = Effect(capability_id=wanted, arguments=arguments, start=node.start, end=node.end)
                found.append((node, effect))
            case core.HostFunction():
                found.append((node, Effect(capability_id=None, arguments=(), start=node.start, end=node.end)))
            case core.Hinted(hints=hints):
                found += [(node, _fallback(node, value, constants)) for name, value in hints if name == FALLBACK_HINT]
    return tuple(sorted(found, key=lambda each: (each[1].start, each[1].end)))


def _fallback(node: core.Hinted, value: core.Node, constants: Mapping[core.Variable, _Sized]) -> Effect:
    """Return the call that a hint has made in the place of one that failed; with its arguments when it has none."""
    literal, _ = _known(value, constants)
    hint = Map() if isinstance(literal, Unknown) else literal.value
    named = hint.get(Keyword("capability")) if isinstance(hint, Map) else None
    given = hint.get(Keyword("args")) if isinstance(hint, Map) else None
    arguments: tuple[LiteralArgument, ...] = (UNKNOWN,)
    if isinstance(given, tuple):
        arguments = tuple(UNKNOWN if item is UNKNOWN else Outline(item) for item in given)
    wanted = named.name if isinstance(named, Keyword) else named if isinstance(named, str) else None
    return Effect(capability_id=wanted, arguments=arguments, start=node.start, end=node.end)


def step_names(program: core.Node) -> tuple[str, ...]:
    """Return the names of the steps that are named by a literal, in source order."""
    found = [
        (node.start, node.name.value)
        for node in core.walk(program)
        if isinstance(node, core.Step) and isinstance(node.name, core.Const)
    ]
    return tuple(name for _, name in sorted(found, key=lambda pair: pair[0]))


def _literal_id(node: core.Node) -> str | None:
    if isinstance(node, core.Const):
        if isinstance(node.value, Keyword):
            return node.value.name
        if isinstance(node.value, str):
            return node.value
    return None


def _known(node: core.Node, constants: Mapping[core.Variable, _Sized]) -> _Sized:
    # A variable is assigned in one place only, and definitions are met before the code that reads them; loop variables
    # and parameters are bound by other nodes, so they stay unknown.
    match node:
        case core.Const(value=value):
            return Known(value), _elements_count(value)
        case core.Input(name=name):
            return Outline(InputNamed(name)), 1
        case core.Local(variable=variable):
            return constants.get(variable, _NOTHING)
        case core.Cast(value=value):  # gives the very value, or fails
            return _known(value, constants)
        case core.MakeVector(items=items):
            parts = [_known(item, constants) for item in items]
            return _whole(tuple(_shown(part) for part, _ in parts), parts)
        case core.MakeMap(entries=entries):
            parts = [_known(item, constants) for _, item in entries]
            pairs = ((key, _shown(part)) for (key, _), (part, _) in zip(entries, parts, strict=True))
            return _whole(Map(pairs), parts)
    return _NOTHING


def _elements_count(value: Value) -> int:
    """Return how many elements a literal has. It was written out in the text, so it is a tree and not large."""
    count, pending = 0, [value]
    while pending:
        item = pending.pop()
        count += 1
        if isinstance(item, (tuple, Map)):
            pending.extend(item.values() if isinstance(item, Map) else item)
    return count


def _shown(part: LiteralArgument) -> Value:
    return UNKNOWN if isinstance(part, Unknown) else part.value


def _whole(value: Value, parts: list[_Sized]) -> _Sized:
    # Names share their values, so a few definitions can describe a value too large to write out.
    size = 1 + sum(size for _, size in parts)
    if size > ELEMENTS_MAX:
        return _NOTHING
    return Known(value) if all(isinstance(part, Known) for part, _ in parts) else Outline(value), size
