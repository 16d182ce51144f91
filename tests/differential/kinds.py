"""Kinds: what the generator knows about the value of an expression it is about to write.

Owns their notation, how the result of a builtin is matched with a wanted kind, and which kinds are tried. A kind is a
promise the generator mostly keeps: `(first [])` is nil although an integer was wanted, and that is how errors come
about that no special case makes.

Notation: `int` `float` `num` `bool` `str` `kw` `sym` `nil` `err` `key` `any`, a capital letter for a variable (`N` is a
number, `K` a key), `[T]` a vector, `(T)` a list, `<T>` either, `{K V}` a map, `fn(A B)C` a function. The kinds of
arguments that are written as literals are explained in `atoms`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from random import Random
from typing import Any, Final, TypeAlias

Kind: TypeAlias = Any
"""A name, or `("vec", T)`, `("list", T)`, `("seq", T)`, `("map", K, V)`, `("fn", (A, ...), R)`."""

NUMBERS: Final = ("int", "float")
KEYS: Final = ("kw", "str", "int")
ALTERNATIVES: Final[dict[str, tuple[str, ...]]] = {"num": NUMBERS, "key": KEYS, "N": NUMBERS, "K": KEYS}
"""Kinds, and variables, that stand for one of several kinds."""

TRIED: Final[tuple[Kind, ...]] = (
    "int", "int", "int", "float", "bool", "str", "str", "kw", "nil", "sym",
    ("vec", "int"), ("vec", "int"), ("vec", "str"), ("vec", "any"), ("vec", ("vec", "int")), ("list", "int"),
    ("map", "kw", "int"), ("map", "str", "any"), ("map", "int", "str"), ("map", "kw", ("vec", "int")),
    ("vec", ("map", "kw", "int")), ("fn", ("int",), "int"), ("fn", ("int", "int"), "int"), ("vec", "float"),
)  # fmt: skip
"""What an expression that may be anything becomes, by how often it stands here."""

_TOKEN: Final = re.compile(r"fn\(|[a-z]+|[A-Z]|[\[\](){}<>]")
_GROUPS: Final = {"[": ("vec", "]"), "(": ("list", ")"), "<": ("seq", ">"), "{": ("map", "}")}


def parse_kinds(text: str) -> tuple[Kind, ...]:
    """Return the kinds written in a text, from left to right."""
    tokens = _TOKEN.findall(text)[::-1]
    found: list[Kind] = []
    while tokens:
        found.append(_parse(tokens))
    return tuple(found)


def _parse(tokens: list[str]) -> Kind:
    token = tokens.pop()
    if token == "fn(":
        return ("fn", _until(tokens, ")"), _parse(tokens))
    if token not in _GROUPS:
        return token
    name, closer = _GROUPS[token]
    return (name, *_until(tokens, closer))


def _until(tokens: list[str], closer: str) -> tuple[Kind, ...]:
    parts: list[Kind] = []
    while tokens[-1] != closer:
        parts.append(_parse(tokens))
    tokens.pop()
    return tuple(parts)


def head(kind: Kind) -> str:
    """Return the outermost word of a kind."""
    return kind if type(kind) is str else kind[0]


def is_variable(kind: Kind) -> bool:
    """Say whether a kind stands for one that is still to be found."""
    return type(kind) is str and len(kind) == 1


def fits(pattern: Kind, wanted: Kind, bound: dict[str, Kind]) -> bool:
    """Say whether something of the kind `pattern` will do where `wanted` is wanted; note what its variables are."""
    if type(pattern) is str:
        if len(pattern) == 1:
            return _bind(pattern, wanted, bound)
        return pattern == wanted or wanted == "any" or (wanted in ALTERNATIVES and pattern in ALTERNATIVES[wanted])
    if type(wanted) is str:
        return wanted == "any"
    if pattern[0] != wanted[0] and not (wanted[0] == "seq" and pattern[0] in ("vec", "list")):
        return False
    if pattern[0] == "fn":
        return len(pattern[1]) == len(wanted[1]) and all(
            map(fits, pattern[1] + pattern[2:], wanted[1] + wanted[2:], [bound] * 9)
        )
    return all(map(fits, pattern[1:], wanted[1:], [bound] * 2))


def _bind(variable: str, wanted: Kind, bound: dict[str, Kind]) -> bool:
    if wanted == "any":
        return True
    if variable in bound:
        return bool(bound[variable] == wanted)
    allowed = ALTERNATIVES.get(variable)
    if allowed is not None and wanted not in allowed and wanted not in ("num", "key"):
        return False
    bound[variable] = wanted
    return True


def filled(kind: Kind, bound: dict[str, Kind], rng: Random) -> Kind:
    """Return a kind without variables; those that are not bound yet become a kind that is tried."""
    if type(kind) is str:
        if len(kind) > 1:
            return kind
        if kind not in bound:
            choices: tuple[Kind, ...] = ALTERNATIVES.get(kind, TRIED)
            bound[kind] = choices[int(rng.random() * len(choices))]
        return bound[kind]
    if kind[0] == "fn":
        return ("fn", tuple([filled(each, bound, rng) for each in kind[1]]), filled(kind[2], bound, rng))
    return (kind[0], *[filled(each, bound, rng) for each in kind[1:]])


@lru_cache(maxsize=4096)
def annotation(kind: Kind) -> str:
    """Return a type of the language that every value of a kind has."""
    if type(kind) is str:
        return _ANNOTATIONS.get(kind, ":any")
    name, *parts = kind
    if name in ("vec", "seq"):
        return f"[:vector {annotation(parts[0])}]"
    if name == "map":
        return f"[:map-of {annotation(parts[0])} {annotation(parts[1])}]"
    return ":list" if name == "list" else ":fn"


_ANNOTATIONS: Final = {
    "int": ":int", "float": ":float", "num": ":number", "bool": ":bool", "str": ":string", "kw": ":keyword",
    "sym": ":symbol", "nil": ":nil", "key": "[:union :int :keyword :string]",
}  # fmt: skip
