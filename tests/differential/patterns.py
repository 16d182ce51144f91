"""Patterns: names that take a value apart, in `let`, parameters, loops and `match`.

Owns their spelling, and which names of which kinds they bind. A pattern is written for a kind; whether the value then
has the right length or keys is up to whoever writes it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tests.differential import atoms
from tests.differential.kinds import Kind, annotation
from tests.differential.writer import Scope, Writer

KEYWORDS: Final = ("a", "b", "c", "k", "name")


class Pattern(NamedTuple):
    """A pattern as text.

    Attributes:
        text: How it is written.
        names: What it binds, by name.
        length: How many elements it takes, when it takes apart a sequence, else 0.
    """

    text: str
    names: Scope
    length: int = 0


def binding(writer: Writer, kind: Kind, scope: Scope) -> Pattern:
    """Write a pattern that binds values of a kind."""
    chosen = writer.rng.random()
    if type(kind) is tuple and chosen < 0.45:
        if kind[0] in ("vec", "list", "seq"):
            return _sequence(writer, kind, scope)
        if kind[0] == "map":
            return _map(writer, kind, scope)
    name = writer.name(scope)
    return Pattern(name, {name: kind})


def _sequence(writer: Writer, kind: Kind, scope: Scope) -> Pattern:
    count = writer.count(0, 3)
    parts: list[str] = []
    names: Scope = {}
    for _ in range(count):
        inner = (
            binding(writer, kind[1], scope) if writer.chance(0.3) else Pattern(name := writer.name(), {name: kind[1]})
        )
        if writer.chance(0.1):
            inner = Pattern("_", {})
        parts.append(inner.text)
        names |= inner.names
    if writer.chance(0.35):
        rest = writer.name()
        parts += ["&", rest]
        names[rest] = ("vec", kind[1])
    if writer.chance(0.2):
        whole = writer.name()
        parts += [":as", whole]
        names[whole] = kind
    return Pattern(f"[{' '.join(parts)}]", names, count)


def _map(writer: Writer, kind: Kind, scope: Scope) -> Pattern:
    _, keys, values = kind
    names: Scope = {}
    parts: list[str] = []
    if keys in ("kw", "str") and writer.chance(0.5):
        taken = dict.fromkeys(writer.one(KEYWORDS) for _ in range(writer.count(1, 3)))
        parts.append(f"{':keys' if keys == 'kw' else ':strs'} [{' '.join(taken)}]")
        names |= dict.fromkeys(taken, values)
        if writer.chance(0.5):
            defaults = [f"{name} {writer.write(values, scope)}" for name in taken if writer.chance(0.7)]
            parts.append(f":or {{{' '.join(defaults)}}}")
    else:
        for key in dict.fromkeys(atoms.key(keys, writer.rng) for _ in range(writer.count(1, 2))):
            inner = (
                binding(writer, values, scope) if writer.chance(0.3) else Pattern(each := writer.name(), {each: values})
            )
            flipped = inner.text.isalnum() and writer.chance(0.3)
            parts.append(f"{inner.text} {key}" if flipped else f"{key} {inner.text}")
            names |= inner.names
    if writer.chance(0.2):
        rest = writer.name()
        parts.append(f"& {rest}")
        names[rest] = kind
    if writer.chance(0.2):
        whole = writer.name()
        parts.append(f":as {whole}")
        names[whole] = kind
    return Pattern(f"{{{' '.join(parts)}}}", names)


def bound_value(writer: Writer, pattern: Pattern, kind: Kind, scope: Scope) -> str:
    """Write a value for a pattern; of a sequence it is one of the right length most of the time."""
    if not pattern.length or writer.chance(0.2):
        return writer.write(kind, scope)
    extra = writer.count(0, 2) if "&" in pattern.text else 0
    items = " ".join([writer.write(kind[1], scope) for _ in range(pattern.length + extra)])
    return f"(list {items})" if kind[0] == "list" else f"[{items}]"


def clause(writer: Writer, kind: Kind, depth: int = 0) -> Pattern:
    """Write a pattern of `match`."""
    chosen = writer.rng.random()
    if chosen < 0.2:
        name = writer.name()
        return Pattern(name, {name: kind})
    if chosen < 0.28:
        return Pattern("_", {})
    if chosen < 0.42:
        name = writer.name()
        return Pattern(f"({annotation(kind)} {name})" if writer.chance(0.6) else f"(:as {name} _)", {name: kind})
    if chosen < 0.48 and annotation(kind).startswith(":"):
        return Pattern(f": {annotation(kind)[1:]}", {})
    if type(kind) is tuple and depth < 2:
        if kind[0] in ("vec", "list", "seq"):
            return _sequence_clause(writer, kind, depth)
        if kind[0] == "map":
            return _map_clause(writer, kind, depth)
    if type(kind) is str and kind not in ("any", "err"):
        return Pattern(atoms.literal(kind, writer.rng), {})
    return Pattern(writer.one(("1", '"a"', ":a", "nil", "'a", "'(1 2)", "[]")), {})


def _sequence_clause(writer: Writer, kind: Kind, depth: int) -> Pattern:
    names: Scope = {}
    parts: list[str] = []
    for _ in range(writer.count(0, 3)):
        inner = clause(writer, kind[1], depth + 1)
        parts.append(inner.text)
        names |= inner.names
    if writer.chance(0.4):
        rest = writer.name()
        parts.append(f"& {rest}")
        names[rest] = ("vec", kind[1])
    return Pattern(f"[{' '.join(parts)}]", names)


def _map_clause(writer: Writer, kind: Kind, depth: int) -> Pattern:
    names: Scope = {}
    parts: list[str] = []
    for key in dict.fromkeys(atoms.key(kind[1], writer.rng) for _ in range(writer.count(0, 2))):
        inner = clause(writer, kind[2], depth + 1)
        parts.append(f"{key} {inner.text}")
        names |= inner.names
    if writer.chance(0.5):
        rest = writer.name()
        parts.append(f"& {rest}")
        names[rest] = kind
    return Pattern(f"{{{' '.join(parts)}}}", names)
